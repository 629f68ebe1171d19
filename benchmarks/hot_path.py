"""Bytes in, decision out: the real engine with its plugins against the baseline, in one run.

    python -m benchmarks.hot_path [--json] [--updates 120000] [--pairs 1228] [--seed 7]

Blocks of frames alternate: the engine, then the baseline on the same frames. A frame is timed until its detectors have
returned, which is when the decision is made, and until the whole step is over: first without (`step_`), then with the
checksum of every message (`with_crc_`), as it always trades. Machines are noisy, so ratios are medians over blocks;
quote those, never one absolute figure. `pricing_us` is one candidate through pricing and gate, apart.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Candidate, Ns, PairId
from arbitrade_core.engine import Engine
from arbitrade_core.events import ConnId, Frame
from arbitrade_core.planning import Prices
from arbitrade_core.refusals import Proposal
from arbitrade_core.spi import Finding
from arbitrade_kraken.books import KrakenBookUpdate
from arbitrade_triangular.bruteforce import active_cycles, every_cycle
from benchmarks.baseline import Baseline
from benchmarks.load import Load, build

BLOCK = 1_000
CHECK_EVERY = 500


def main() -> int:
    parser = argparse.ArgumentParser(description="Bytes in, decision out.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--updates", type=int, default=120_000, help="book updates in all")
    parser.add_argument("--pairs", type=int, default=1228)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    result = run(arguments.updates, arguments.pairs, arguments.seed)
    print(json.dumps(result, indent=2) if arguments.json else table(result))
    return 0 if result["incremental_equals_brute_force"] else 1


def run(updates: int, pairs: int, seed: int) -> dict[str, object]:
    load = build(updates, pairs=pairs, seed=seed, mispricings_per_s=0.0)
    baseline = baseline_for(load)
    for snapshot in load.snapshots:
        baseline.frame(snapshot)
    probe = Probe(load.engine)
    gc.collect()
    gc.freeze()
    gc.disable()
    with without_verification():
        decided, plain, base = alternated(probe, load, baseline, 0, updates // 2)
    # The texts that checksums are made of are missing after updates that were not verified: warm-up.
    _, checked, _ = alternated(probe, load, baseline, updates // 2, updates)
    checked = checked[len(checked) // 3 :]
    gc.enable()
    ratios = quotients(base, decided)
    return {
        "pairs": pairs,
        "cycles": sum(len(detector.detections()) for detector in load.engine.detectors),
        "updates": updates,
        **figures("", decided),
        **figures("step_", plain),
        "messages_per_s": round(1e6 / typical(plain)),
        "messages_per_s_without_crc": round(1e6 / typical(plain)),
        "messages_per_s_with_crc": round(1e6 / typical(checked)),
        **figures("with_crc_", checked),
        **figures("baseline_", base),
        "ratio_to_baseline": round(statistics.median(ratios), 2),
        "ratio_quartiles": [round(ratios[len(ratios) // 4], 2), round(ratios[len(ratios) * 3 // 4], 2)],
        "step_ratio_to_baseline": round(statistics.median(quotients(base, plain)), 2),
        "checksums_bad": load.engine.checksums_bad,
        "pricing_us": pricing_us(seed),
        "incremental_equals_brute_force": equal_to_brute_force(seed),
    }


class Probe:
    """Notes when the last detector of a frame returned. What noting costs is in the figures."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.returned_ns = 0
        for detector in engine.detectors:
            detector.on_change = self._noting(detector.on_change)  # type: ignore[method-assign]

    def _noting(self, on_change: Callable[[PairId, int, Ns], Sequence[Finding]]) -> Callable[..., Sequence[Finding]]:
        clock = time.perf_counter_ns

        def noting(pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
            findings = on_change(pair, rose, now)
            self.returned_ns = clock()
            return findings

        return noting

    def timed(self, frames: list[tuple[ConnId, bytes, int]]) -> tuple[list[int], list[int]]:
        """Nanoseconds of every frame: until its detectors had returned, and until the step was over."""
        step, clock = self.engine.step, time.perf_counter_ns
        decided, stepped = [], []
        for conn, data, now in frames:
            began = clock()
            step(Frame(conn, data, now))
            ended = clock()
            decided.append((self.returned_ns if self.returned_ns > began else ended) - began)
            stepped.append(ended - began)
        return decided, stepped


def alternated(
    probe: Probe, load: Load, baseline: Baseline, start: int, end: int
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Blocks of frames through the engine, decided and stepped, each followed by the same frames in the baseline."""
    decided_blocks, stepped_blocks, baseline_blocks = [], [], []
    for at in range(start, end - BLOCK + 1, BLOCK):
        block = load.updates[at : at + BLOCK]
        decided, stepped = probe.timed(block)
        decided_blocks.append(decided)
        stepped_blocks.append(stepped)
        baseline_blocks.append(timed(baseline.frame, [frame for _, frame, _ in block]))
    return decided_blocks, stepped_blocks, baseline_blocks


def quotients(base: list[list[int]], ours: list[list[int]]) -> list[float]:
    """How many times longer the baseline took for each block, in order of size."""
    return sorted(mean(b) / mean(o) for b, o in zip(base, ours, strict=True))


def figures(prefix: str, blocks: list[list[int]]) -> dict[str, float]:
    samples = sorted(sample for block in blocks for sample in block)
    return {
        f"{prefix}p50_us": percentile(samples, 50),
        f"{prefix}p99_us": percentile(samples, 99),
        f"{prefix}mean_us": round(typical(blocks), 2),
    }


def mean(block: list[int]) -> float:
    return statistics.fmean(block) / 1000


def typical(blocks: list[list[int]]) -> float:
    """Median over blocks of their mean, in microseconds: what a preempted block does not spoil."""
    return statistics.median(mean(block) for block in blocks)


def timed_engine(engine: Engine, frames: list[tuple[ConnId, bytes, int]]) -> list[int]:
    step, clock = engine.step, time.perf_counter_ns
    samples = []
    for conn, data, now in frames:
        began = clock()
        step(Frame(conn, data, now))
        samples.append(clock() - began)
    return samples


def timed(call: Callable[[bytes], object], frames: list[bytes]) -> list[int]:
    clock = time.perf_counter_ns
    samples = []
    for data in frames:
        began = clock()
        call(data)
        samples.append(clock() - began)
    return samples


@contextmanager
def without_verification() -> Iterator[None]:
    """Leave the checksum out, so that detection is timed alone. Trading never does this."""
    verify = KrakenBookUpdate.verify
    KrakenBookUpdate.verify = lambda self, book: True  # type: ignore[method-assign]
    try:
        yield
    finally:
        KrakenBookUpdate.verify = verify  # type: ignore[method-assign]


def baseline_for(load: Load) -> Baseline:
    engine = load.engine
    desk = engine.desks[0]
    cycles = [
        tuple((engine.market.leg(leg).symbol, bool(leg & 1)) for leg in legs)
        for legs in every_cycle(engine.market, engine.offers.start_assets()).values()
    ]
    factor = {}
    for pair in engine.market.pairs:
        fee = desk.fee(pair.symbol)
        factor[pair.symbol] = 1.0 - float(fee.rate) if fee else 0.0
    return Baseline(cycles, factor)


def pricing_us(seed: int) -> dict[str, float]:
    """One candidate that is priced to the end, and its review by the gate."""
    load = build(4_000, pairs=200, seed=seed, mispricings_per_s=20.0)
    samples: list[int] = []
    consider = Desk.consider

    def timed_consider(self: Desk, candidates: Sequence[Proposal], now: int, prices: Prices) -> None:
        began = time.perf_counter_ns()
        consider(self, candidates, now, prices)
        samples.append((time.perf_counter_ns() - began) // max(1, len(candidates)))

    Desk.consider = timed_consider  # type: ignore[method-assign]
    try:
        timed_engine(load.engine, load.updates)
    finally:
        Desk.consider = consider  # type: ignore[method-assign]
    ordered = sorted(samples) or [0]
    return {"samples": len(samples), "p50": percentile(ordered, 50), "p99": percentile(ordered, 99)}


def equal_to_brute_force(seed: int) -> bool:
    """Incremental detection against a rescore of everything, along a run with mispricings (TRADING 5)."""
    load = build(6_000, pairs=300, seed=seed, mispricings_per_s=20.0)
    engine = load.engine
    for number, (conn, data, now) in enumerate(load.updates):
        engine.step(Frame(conn, data, now))
        if number % CHECK_EVERY == 0:
            found = {
                one.key for detector in engine.detectors for one in detector.active() if isinstance(one, Candidate)
            }
            if found != active_cycles(engine.market, engine.offers):
                return False
    return True


def percentile(ordered: list[int], percent: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1000, 2)


def table(result: dict[str, object]) -> str:
    width = max(len(name) for name in result)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in result.items())


if __name__ == "__main__":
    sys.exit(main())
