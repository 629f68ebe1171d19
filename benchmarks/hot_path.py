"""Bytes in, decision out: the real engine with its plugins against the baseline, in one run.

    python -m benchmarks.hot_path [--json] [--updates 120000] [--pairs 1228] [--seed 7]

Blocks of frames alternate: the engine, then the baseline on the same frames; first until detectors have returned, then
with the checksum of every message, as it always trades. Machines are noisy, so ratios are medians over
blocks; quote those, never one absolute figure. `pricing_us` is one candidate through pricing and gate, apart.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Candidate
from arbitrade_core.engine import Engine
from arbitrade_core.events import ConnId, Frame
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
    gc.collect()
    gc.freeze()
    gc.disable()
    with without_verification():
        plain, base = alternated(load, baseline, 0, updates // 2)
    # A checksum's cache starts anew after updates it did not see: the first blocks are warm-up.
    checked, _ = alternated(load, baseline, updates // 2, updates)
    checked = checked[len(checked) // 3 :]
    gc.enable()
    ratios = sorted(mean(b) / mean(p) for b, p in zip(base, plain, strict=True))
    return {
        "pairs": pairs,
        "cycles": sum(len(detector.detections()) for detector in load.engine.detectors),
        "updates": updates,
        **figures("", plain),
        "messages_per_s": round(1e6 / typical(plain)),
        "messages_per_s_without_crc": round(1e6 / typical(plain)),
        "messages_per_s_with_crc": round(1e6 / typical(checked)),
        **figures("with_crc_", checked),
        **figures("baseline_", base),
        "ratio_to_baseline": round(statistics.median(ratios), 2),
        "ratio_quartiles": [round(ratios[len(ratios) // 4], 2), round(ratios[len(ratios) * 3 // 4], 2)],
        "checksums_bad": load.engine.checksums_bad,
        "pricing_us": pricing_us(seed),
        "incremental_equals_brute_force": equal_to_brute_force(seed),
    }


def alternated(load: Load, baseline: Baseline, start: int, end: int) -> tuple[list[list[int]], list[list[int]]]:
    """Blocks of frames through the engine, each followed by the same frames through the baseline."""
    engine_blocks, baseline_blocks = [], []
    for at in range(start, end - BLOCK + 1, BLOCK):
        block = load.updates[at : at + BLOCK]
        engine_blocks.append(timed_engine(load.engine, block))
        baseline_blocks.append(timed(baseline.frame, [frame for _, frame, _ in block]))
    return engine_blocks, baseline_blocks


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
        for legs in every_cycle(engine.market, engine.start_assets()).values()
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

    def timed_consider(self: Desk, candidates: list[Candidate], now: int) -> None:
        began = time.perf_counter_ns()
        consider(self, candidates, now)
        samples.append((time.perf_counter_ns() - began) // max(1, len(candidates)))

    Desk.consider = timed_consider  # type: ignore[method-assign,assignment]
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
            if found != active_cycles(engine.market, engine):
                return False
    return True


def percentile(ordered: list[int], percent: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1000, 2)


def table(result: dict[str, object]) -> str:
    width = max(len(name) for name in result)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in result.items())


if __name__ == "__main__":
    sys.exit(main())
