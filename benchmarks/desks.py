"""What many desks on one engine cost: the same frames with one desk and with many, through the real engine.

    python -m benchmarks.desks [--desks 1000] [--updates 60000] [--pairs 1228] [--seed 9] [--json]

The desks are those of a sweep: they share fees, differ in thresholds and sizes, and take each appearance once. `ratio`
is the CPU time of many desks over that of one, their start included. Frames that give candidates, and the share of
desk-candidates that trade, are printed, for PERFORMANCE.md's row is about 0.3 % and at most 1 %; what an executed cycle
costs is measured apart, by the time that its own steps take.
"""

import argparse
import gc
import heapq
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from arbitrade_core.composition import Loaded, Past, compose, load
from arbitrade_core.domain import Fee, FeeSnapshot, Ns
from arbitrade_core.engine import Engine
from arbitrade_core.events import Append, Command, ConnId, Durable, FeesLoaded, Frame, Input, Tick
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.testing.world import World
from arbitrade_kraken.loopback import Loopback
from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan

RATE_PER_S = 2_000.0
COMMIT_NS = 2_000_000
TAKER = Decimal("0.0005")
EDGES_BPS = (0, 2, 5, 8, 12, 20, 30, 50, 80, 120)
SIZES = (100, 250, 500, 1000)


def main() -> int:
    parser = argparse.ArgumentParser(description="One desk against many, on the same frames.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--desks", type=int, default=1000)
    parser.add_argument("--updates", type=int, default=60_000)
    parser.add_argument("--pairs", type=int, default=1228)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--mispricings-per-s", type=float, default=0.15)
    parser.add_argument("--least-profit", type=float, default=1.0, help="least that most desks ask for, in USD")
    options = parser.parse_args()
    result = run(
        options.desks, options.updates, options.pairs, options.seed, options.mispricings_per_s, options.least_profit
    )
    width = max(map(len, result))
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<{width}}  {v}" for k, v in result.items()))
    return 0


def run(  # noqa: PLR0917 - the command line's
    desks: int, updates: int, pairs: int, seed: int, mispricings_per_s: float, least_profit: float
) -> dict[str, object]:
    costs = [measured(count, updates, pairs, seed, mispricings_per_s, least_profit) for count in (1, desks)]
    one, many = costs
    offers = many.offers
    return {
        "desks": desks,
        "updates": updates,
        "one_desk_s": round(one.start_s + one.frames_s, 3),
        "many_desks_s": round(many.start_s + many.frames_s, 3),
        "ratio": round((many.start_s + many.frames_s) / (one.start_s + one.frames_s), 2),
        "ratio_without_executing": round((many.frames_s - many.executing_s) / (one.frames_s - one.executing_s), 2),
        "many_start_s": round(many.start_s, 3),
        "frames_with_candidates_percent": round(100 * many.candidate_frames / updates, 3),
        "desk_candidates": offers,
        "executed": many.executed,
        "traded_percent": round(100 * many.executed / max(1, offers), 3),
        "us_per_desk_candidate": round(1e6 * (many.frames_s - many.executing_s - one.frames_s) / max(1, offers), 2),
        "us_per_executed_cycle": round(1e6 * many.executing_s / max(1, many.executed)),
    }


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of CPU."""

    start_s: float
    """fees of all desks, and the indexing they ask for"""
    frames_s: float
    executing_s: float
    """of those: in timers and commits, which is where plans are carried out"""
    candidate_frames: int
    offers: int
    executed: int


def measured(  # noqa: PLR0917 - likewise
    desks: int, updates: int, pairs: int, seed: int, mispricings_per_s: float, least_profit: float
) -> Cost:
    engine, world, exchange, peer = live(desks, pairs, seed, mispricings_per_s, least_profit)
    taker = {pair.symbol: Fee(TAKER) for pair in engine.market.pairs}
    fees = FeeSnapshot("bench", "a benchmark", world.now, taker)
    began = time.process_time()
    for desk in engine.desks:
        world.take(FeesLoaded(desk.id, fees, world.now))
    start_s = time.process_time() - began
    world.run_for(10_000_000_000)
    if engine.checksums_bad or not engine.market.in_use():
        raise RuntimeError(f"the load is not sound: {engine.faults}, {engine.checksums_bad} bad checksums")
    frames = coming(exchange, peer, world.now, updates)
    driver = Driver(engine)
    before = counted(engine)
    gc.collect()
    gc.freeze()
    gc.disable()
    began = time.process_time()
    driver.drive(frames)
    frames_s = time.process_time() - began
    gc.enable()
    gc.unfreeze()
    offers, executed = (now - then for now, then in zip(counted(engine), before, strict=True))
    return Cost(
        start_s,
        frames_s,
        driver.executing_s,
        driver.candidate_frames,
        offers,
        executed,
    )


def counted(engine: Engine) -> tuple[int, int]:
    """Desk-candidates so far, and those that were executed: what the warm-up came to is no part of what is timed."""
    views = [desk.funnel.view() for desk in engine.desks]
    return sum(int(str(view["candidates"])) for view in views), sum(int(str(view["executed"])) for view in views)


class Driver:
    """Frames in, timers when due, commits answered: a replay without its recording."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.executing_s = 0.0
        self.candidate_frames = 0
        self._heap: list[tuple[Ns, int, Input]] = []
        self._put = 0

    def drive(self, frames: Sequence[tuple[ConnId, bytes, Ns]]) -> None:
        engine, timers, heap = self.engine, self.engine.timers, self._heap
        for conn, data, now in frames:
            if timers.next_due <= now or (heap and heap[0][0] <= now):
                self._advance(now)
            before = engine.candidates
            commands = engine.step(Frame(conn, data, now))
            self.candidate_frames += engine.candidates > before
            if commands:
                self._carry_out(commands, now)

    def _advance(self, until: Ns) -> None:
        began = time.process_time()
        timers, heap = self.engine.timers, self._heap
        while (due := min(timers.next_due, heap[0][0] if heap else until + 1)) <= until:
            event = Tick(due) if timers.next_due <= due else heapq.heappop(heap)[2]
            self._carry_out(self.engine.step(event), due)
        self.executing_s += time.process_time() - began

    def _carry_out(self, commands: Sequence[Command], now: Ns) -> None:
        for command in commands:
            if isinstance(command, Append):
                for stream, seq in {record.stream: record.seq for record in command.records}.items():
                    self._put += 1
                    heapq.heappush(self._heap, (now + COMMIT_NS, self._put, Durable(stream, seq, now + COMMIT_NS)))


def live(
    desks: int, pairs: int, seed: int, mispricings_per_s: float, least_profit: float
) -> tuple[Engine, World, SimulatedExchange, Loopback]:
    """The real engine, its books about to be live, its desks without fees."""
    loaded = load().adjusted("kraken", ws_url="ws://simulated/v2", fee_tier="tier-1", messages_per_s=1000.0)
    exchange = SimulatedExchange(
        seed, pairs, messages_per_s=RATE_PER_S, mispricings=MispricingPlan(per_s=mispricings_per_s)
    )
    settings = {f"desk-{number}": variant(loaded, number, least_profit) for number in range(desks)}
    setup = Setup(loaded.catalogue, loaded.settings, settings)
    setup.register_all()
    engine = compose(setup, now=DEFAULT_START_NS, system="system", past=Past())
    peer = Loopback(exchange)
    world = World(engine, peer, start_ns=DEFAULT_START_NS)
    exchange.messages_per_s = 1e-9  # quiet while books are fetched
    world.start()
    world.run_for(10_000_000_000)
    return engine, world, exchange, peer


def variant(loaded: Loaded, number: int, least_profit: float):  # type: ignore[no-untyped-def]
    """The first is the job's own desk; the others ask for more."""
    core = loaded.core
    risk = {"once_per_appearance": True, "max_cycle_notional_valued": Decimal(SIZES[number // 10 % len(SIZES)])}
    trading = {
        "min_edge_bps": Decimal(EDGES_BPS[number % 10]),
        "min_profit_valued": Decimal(f"{least_profit * (1 + number // 40):.2f}") if number else Decimal("0.01"),
    }
    core = core.model_copy(
        update={"risk": core.risk.model_copy(update=risk), "trading": core.trading.model_copy(update=trading)}
    )
    return replace(loaded.settings, core=core)


def coming(exchange: SimulatedExchange, peer: Loopback, now: Ns, count: int) -> list[tuple[ConnId, bytes, Ns]]:
    frames: list[tuple[ConnId, bytes, Ns]] = []
    while len(frames) < count:
        now += round(1e9 / RATE_PER_S)
        exchange.event_on(exchange.market.draw())
        frames += [
            (conn, frame, now)
            for conn, frame in peer.advance(now)
            if frame is not None and frame.startswith(b'{"channel":"book"')
        ]
    return frames[:count]


if __name__ == "__main__":
    sys.exit(main())
