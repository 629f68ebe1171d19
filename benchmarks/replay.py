"""A recording from PostgreSQL through the production path, against the same frames live; and 1,000 desks on one replay.

    python -m benchmarks.replay [--json] [--frames 60000] [--pairs 1228] [--desks 1000] [--seed 7]

`live_` is the running bot's step over frames in memory, checksum of every message included. `replay_` is the whole way:
chunks from the database, unpacked, frames through the same engine, commits and timers on simulated time, results
collected; wall time on one core. `sweep_ratio` is one replay with as many desks as variants against one replay with a
single desk, each with the time to set its desks up. Both are medians of alternating runs: machines are noisy.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
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
from arbitrade_core.replay.driver import Replay, replay
from arbitrade_core.replay.fees import fees_of
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage, ReplayResult
from arbitrade_core.replay.stage import DeskWish
from arbitrade_core.replay.statistics import Window
from arbitrade_core.settings import DatabaseSettings, RecordingSettings
from arbitrade_core.spi import Recordable
from arbitrade_core.storage.connect import Database, open_database
from arbitrade_core.storage.migrations import core_migrations, migrate
from arbitrade_core.storage.recordings import reading
from arbitrade_core.storage.recordings.writing import writing
from benchmarks.load import build

MISPRICINGS_PER_S = 0.17
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
    chunk_ns = int(RecordingSettings().chunk_s * 1e9)
    chunks = [chunk for chunk, _ in cut(entries, (), recording=1, longest_ns=chunk_ns)]
    window = Window(load.updates[0][2], load.updates[-1][2] + 1)
    coverage = Coverage(window, (window,), (), (1,), ())
    job = job_of(engine, window)
    with tempfile.TemporaryDirectory(prefix="arbitrade-replay-") as data_dir:
        async with open_database(DatabaseSettings(), Path(data_dir)) as database:
            await migrate(database, core_migrations())
            async with writing(database, "import", head(window.start_ns), 60.0) as recording:
                for chunk in chunks:
                    await recording.append(chunk)
            live, busy = [], 0
            replays: list[float] = []
            part = len(load.updates) // ROUNDS
            result: ReplayResult | None = None
            for number in range(ROUNDS):
                rate, frames_busy = stepped(engine, load.updates[number * part : (number + 1) * part])
                live.append(rate)
                busy += frames_busy
                began = time.perf_counter()
                result = await from_database(database, job, coverage)
                replays.append(result.market.frames / (time.perf_counter() - began))
    assert result is not None
    sweep = swept(job, chunks, coverage, desks)
    return {
        "pairs": pairs,
        "frames": frames,
        "bytes_a_frame": round(sum(len(chunk.data) for chunk in chunks) / frames, 1),
        "frames_with_candidates_share": round(busy / (part * ROUNDS), 5),
        "live_frames_per_s": round(statistics.median(live)),
        "replay_frames_per_s": round(statistics.median(replays)),
        "replay_to_live": round(statistics.median(replays) / statistics.median(live), 2),
        "replay_to_live_each": [round(a / b, 2) for a, b in zip(replays, live, strict=True)],
        "unpacking_us_a_frame": round(unpacking_us(chunks), 2),
        "checksums_ok": result.market.checksums_ok,
        "checksums_bad": result.market.checksums_bad,
        "plans": sum(result.desks["one"].outcomes.values()),
        **sweep,
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


def stepped(engine: Engine, frames: Sequence[tuple[int, bytes, Ns]]) -> tuple[float, int]:
    """Frames a second of the live step, and how many of them had candidates."""
    step, busy = engine.step, 0
    began = time.perf_counter()
    for conn, data, now in frames:
        before = engine.candidates
        step(Frame(conn, data, now))
        busy += engine.candidates != before
    return len(frames) / (time.perf_counter() - began), busy


async def from_database(database: Database, job: JobSpec, coverage: Coverage) -> ReplayResult:
    """As a worker does it: the event loop reads, a thread replays."""
    loop = asyncio.get_running_loop()
    async with database.pool(size=2) as pool:
        chunks = Chunks(loop, lambda: reading.chunks(pool, coverage.wanted), lambda: False)
        return await anyio.to_thread.run_sync(replay, job, [ONE], chunks, coverage)


def unpacking_us(chunks: Sequence[Chunk]) -> float:
    began = time.perf_counter()
    entries = sum(len(codec.decode(chunk.data)) for chunk in chunks)
    return (time.perf_counter() - began) / entries * 1e6


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
