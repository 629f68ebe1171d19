"""A recording from PostgreSQL through the production path, against the same frames live; and 1,000 desks on one replay.

    python -m benchmarks.replay [--json] [--frames 60000] [--pairs 1228] [--desks 1000] [--seed 7]

`live_` is the running bot's step over frames in memory, checksum of every message included. `replay_` is the same
frames out of the database, unpacked, through the same engine, commits and timers on simulated time, results collected.
The two take turns, a chunk each, and `replay_to_live` is the median of the turns: machines are noisy. What a
replay costs once, whatever its length, stands apart (`replay_start_s`: staging it, and reading the listing and all
books), and `whole_frames_per_s` is all of it together, as a worker does it. `sweep_ratio` is one replay with as many
desks as variants against one replay with a single desk, each with the time to set its desks up; medians.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from arbitrade_core.backtests.bridge import Chunks
from arbitrade_core.composition import Past
from arbitrade_core.domain import Ns
from arbitrade_core.engine import Engine
from arbitrade_core.events import Frame
from arbitrade_core.inputs_codec import SCHEMA as INPUTS_SCHEMA
from arbitrade_core.recording import chunks as codec
from arbitrade_core.recording.cut import cut
from arbitrade_core.recording.entries import SCHEMA, Chunk, Entry, Head, State, Via
from arbitrade_core.replay.driver import Replay, collected_rarely, replay
from arbitrade_core.replay.fees import fees_of
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage, ReplayResult
from arbitrade_core.replay.stage import DeskWish
from arbitrade_core.replay.statistics import Window
from arbitrade_core.settings import DatabaseSettings
from arbitrade_core.spi import Recordable
from arbitrade_core.storage.connect import Database, open_database
from arbitrade_core.storage.migrations import core_migrations, migrate
from arbitrade_core.storage.recordings import reading
from arbitrade_core.storage.recordings.writing import writing
from benchmarks.load import build

MISPRICINGS_PER_S = 0.17
CHUNK_ENTRIES = 2_500
"""10 s of a usual load"""
ROUNDS = 3
ONE = DeskWish("one", detail=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="Recordings through the production path.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--frames", type=int, default=60_000)
    parser.add_argument("--pairs", type=int, default=1228)
    parser.add_argument("--desks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    result = anyio.run(run, arguments.frames, arguments.pairs, arguments.desks, arguments.seed)
    width = max(len(name) for name in result)
    print(
        json.dumps(result, indent=2)
        if arguments.json
        else "\n".join(f"{name:<{width}}  {value}" for name, value in result.items())
    )
    return 1 if result["checksums_bad"] else 0


async def run(frames: int, pairs: int, desks: int, seed: int) -> dict[str, Any]:
    load = build(frames, pairs=pairs, seed=seed, mispricings_per_s=MISPRICINGS_PER_S)
    engine = load.engine
    entries = beginning(engine, load.updates[0][2])
    entries += [Frame(conn, data, now) for conn, data, now in load.updates]

    chunks = [chunk for chunk, _ in cut(entries, (), recording=1, most=CHUNK_ENTRIES)]
    window = Window(load.updates[0][2], load.updates[-1][2] + 1)
    coverage = Coverage(window, (window,), (), (1,), ())
    job = job_of(engine, window)
    with tempfile.TemporaryDirectory(prefix="arbitrade-replay-") as data_dir:
        async with open_database(DatabaseSettings(), Path(data_dir)) as database:
            await migrate(database, core_migrations())
            async with writing(database, "import", head(window.start_ns), 60.0) as recording:
                for chunk in chunks:
                    await recording.append(chunk)
            async with database.pool(size=2) as pool:
                began = time.perf_counter()
                stored = [chunk async for chunk in reading.chunks(pool, coverage.wanted)]
                reading_us = (time.perf_counter() - began) / frames * 1e6
            began = time.perf_counter()
            result = await from_database(database, job, coverage)
            whole = result.market.frames / (time.perf_counter() - began)
    turns = Turns(engine, job, stored, reading_us)
    sweep = swept(job, chunks, coverage, desks)
    return {
        "pairs": pairs,
        "frames": frames,
        "bytes_a_frame": round(sum(len(chunk.data) for chunk in chunks) / frames, 1),
        "frames_with_candidates_share": round(turns.busy / frames, 5),
        **turns.told(),
        "reading_us_a_frame": round(reading_us, 2),
        "whole_frames_per_s": round(whole),
        "checksums_ok": result.market.checksums_ok,
        "checksums_bad": result.market.checksums_bad + engine.checksums_bad,
        "plans": sum(result.desks["one"].outcomes.values()),
        **sweep,
    }


class Turns:
    """The same frames, a chunk at a time, by a running engine and by a replay."""

    def __init__(self, engine: Engine, job: JobSpec, chunks: Sequence[Chunk], reading_us: float) -> None:
        self.busy = 0
        """frames that had candidates"""
        began = time.perf_counter()
        run = Replay(job, [ONE])
        run.feed(chunks[0])  # the listing and all books
        self._start_s = time.perf_counter() - began
        self._live(engine, frames_of(chunks[0]))
        self._turns: list[tuple[float, float]] = []
        """us a frame, live and replayed"""
        self._unpacking: list[float] = []
        with collected_rarely() as collect:
            for number, chunk in enumerate(chunks[1:]):
                began = time.perf_counter()
                frames = frames_of(chunk)
                self._unpacking.append((time.perf_counter() - began) / len(frames) * 1e6)
                if number % 2:
                    live, replayed = self._live(engine, frames), self._replayed(run, chunk, collect)
                else:
                    replayed, live = self._replayed(run, chunk, collect), self._live(engine, frames)
                self._turns.append((live / len(frames) * 1e6, replayed / len(frames) * 1e6 + reading_us))

    def _live(self, engine: Engine, frames: Sequence[Frame]) -> float:
        step, busy = engine.step, 0
        began = time.perf_counter()
        for frame in frames:
            before = engine.candidates
            step(frame)
            busy += engine.candidates != before
        took = time.perf_counter() - began
        self.busy += busy
        return took

    def _replayed(self, run: Replay, chunk: Chunk, collect: Callable[[int], None]) -> float:
        began = time.perf_counter()
        run.feed(chunk)
        collect(run.frames)
        return time.perf_counter() - began

    def told(self) -> dict[str, Any]:
        ratios = [live / replayed for live, replayed in self._turns]
        low, middle, high = statistics.quantiles(ratios, n=4)
        live, replayed = (statistics.median(column) for column in zip(*self._turns, strict=True))
        return {
            "live_frames_per_s": round(1e6 / live),
            "replay_frames_per_s": round(1e6 / replayed),
            "replay_to_live": round(middle, 2),
            "replay_to_live_quartiles": [round(low, 2), round(high, 2)],
            "replay_start_s": round(self._start_s, 2),
            "unpacking_us_a_frame": round(statistics.median(self._unpacking), 2),
        }


def beginning(engine: Engine, now: Ns) -> list[Entry]:
    """Where a recording may be entered: listing, status and all books."""
    entries: list[Entry] = []
    for port in engine.in_use.feeds:
        feed = port.feed
        if isinstance(feed, Recordable):
            entries += [Via(conn, feed.name, now) for conn in sorted(engine.connections_of(feed))]
            entries += [State(conn, data, now) for conn, data in feed.state((), now)]
            entries += [State(conn, data, now) for conn, data in feed.state(engine.market.in_use(), now)]
    return entries


def job_of(engine: Engine, window: Window) -> JobSpec:
    fees = engine.desks[0].fees
    assert fees is not None
    return JobSpec(
        start=moment(window.start_ns),
        end=moment(window.end_ns) + timedelta(microseconds=1),
        balances={"USD": Decimal(10_000)},
        min_profit_bps=Decimal(5),
        fees=fees_of(fees),
        settings={"ARBITRADE_TRADING__START_ASSETS": ",".join(sorted(engine.market.assets))},
        curves=False,
    )


def moment(at_ns: Ns) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)


def head(now: Ns) -> Head:
    past = msgspec.msgpack.encode(Past())
    return Head(SCHEMA, INPUTS_SCHEMA, now, "bench", "system", None, {}, {}, {}, past, now)


def frames_of(chunk: Chunk) -> list[Frame]:
    return [entry for entry in codec.decode(chunk.data) if type(entry) is Frame]


async def from_database(database: Database, job: JobSpec, coverage: Coverage) -> ReplayResult:
    """As a worker does it: the event loop reads, a thread replays."""
    loop = asyncio.get_running_loop()
    async with database.pool(size=2) as pool:
        chunks = Chunks(loop, lambda: reading.chunks(pool, coverage.wanted), lambda: False)
        return await anyio.to_thread.run_sync(replay, job, [ONE], chunks, coverage)


def swept(job: JobSpec, chunks: Sequence[Chunk], coverage: Coverage, desks: int) -> dict[str, Any]:
    """One desk, then all of them, as often as there are rounds."""
    wishes = variants(desks)
    singles, manies, staged = [], [], []
    result = replay(job, [ONE], chunks, coverage)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        replay(job, [ONE], chunks, coverage)
        singles.append(time.perf_counter() - began)
        began = time.perf_counter()
        Replay(job, wishes)
        staged.append(time.perf_counter() - began)
        began = time.perf_counter()
        result = replay(job, wishes, chunks, coverage)
        manies.append(time.perf_counter() - began)
    offers = sum(int(desk.funnel["candidates"]) for desk in result.desks.values())
    traded = sum(sum(desk.outcomes.values()) for desk in result.desks.values())
    single, many = statistics.median(singles), statistics.median(manies)
    return {
        "desks": desks,
        "sweep_s": round(many, 2),
        "single_s": round(single, 2),
        "sweep_ratio": round(many / single, 2),
        "sweep_setup_s": round(statistics.median(staged), 2),
        "desk_candidates": offers,
        "desk_candidates_traded_share": round(traded / max(1, offers), 5),
        "us_per_executed_cycle": round((many - single) / max(1, traded) * 1e6, 1),
    }


def variants(count: int) -> list[DeskWish]:
    """Thresholds, margins and latencies, as a sweep tries them."""
    edges = [str(Decimal(number) / 4) for number in range(4, 4 + 4 * 10, 4)]
    margins = [str(Decimal(number) / 2) for number in range(10)]
    latencies = [str(ms) for ms in (1, 5, 10, 20, 30, 50, 75, 100, 150, 250)]
    grid = product(edges, margins, latencies)
    return [
        DeskWish(
            str(number),
            {
                "trading.min_edge_bps": edge,
                "trading.margin_bps": margin,
                "paper.latency_ms": latency,
                "risk.once_per_appearance": "true",
            },
            detail=False,
        )
        for number, (edge, margin, latency) in enumerate(grid)
        if number < count
    ]


if __name__ == "__main__":
    sys.exit(main())
