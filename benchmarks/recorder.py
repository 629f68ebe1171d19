"""What recording costs: CPU of a bot that takes 2,000 frames a second, with and without its recorder.

Real frames of the simulated exchange, jittered as real ones are, go through a real engine on an event loop at their
pace; the recorder writes to a real database. Blocks with and without it take turns, so that what the machine does
beside it is in both. Everything that the recorder does is in its share: tap, states, encoding, compression, writing.
"""

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from arbitrade_core.clock import WallClock
from arbitrade_core.engine import Engine
from arbitrade_core.events import ConnId, Frame
from arbitrade_core.recording.chunks import Encoder, decode
from arbitrade_core.recording.entries import SCHEMA, Head
from arbitrade_core.settings import DatabaseSettings, RecordingSettings
from arbitrade_core.storage.connect import Database, open_database
from arbitrade_core.storage.migrations import core_migrations, migrate
from arbitrade_core.storage.recordings import days, reading, writing
from arbitrade_core.storage.recordings.recorder import Recorder
from arbitrade_core.telemetry import Latency
from benchmarks.load import RATE_PER_S, build

BURST_S = 0.005
COPIES = 20
_STAMP = re.compile(rb'"timestamp":"[^"]*"')


def jittered(updates: Sequence[tuple[ConnId, bytes, int]], seed: int) -> list[tuple[ConnId, bytes, int]]:
    """The same frames at random times, each stamped by the exchange a few milliseconds before it comes."""
    chance, now = random.Random(seed), updates[0][2]
    frames: list[tuple[ConnId, bytes, int]] = []
    for conn, data, _ in updates:
        now += round(chance.expovariate(RATE_PER_S) * 1e9)
        sent_us = (now - round(chance.lognormvariate(1.0, 0.5) * 1e6)) // 1000
        stamp = datetime.fromtimestamp(sent_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        stamped = _STAMP.sub(b'"timestamp":"%s.%06dZ"' % (stamp.encode(), sent_us % 1_000_000), data)
        frames.append((conn, stamped, now))
    return frames


async def fed(
    engine: Engine, frames: Sequence[tuple[ConnId, bytes, int]], recorder: Recorder | None, took: Latency
) -> None:
    """The frames, at their pace; `took` is told how long each kept the loop."""
    offset = time.monotonic_ns() - frames[0][2]
    for conn, data, at in frames:
        if at + offset > time.monotonic_ns():
            await asyncio.sleep(BURST_S)
        began = time.perf_counter_ns()
        frame = Frame(conn, data, at)
        if recorder is not None:
            recorder.tap(frame)
        engine.step(frame)
        took.record(time.perf_counter_ns() - began)


def head(now: int) -> Head:
    return Head(SCHEMA, 1, now, "bench", "system", None, {}, {}, {}, b"\x80", now)


async def measured(database: Database, seconds: float, blocks: int, pairs: int, seed: int) -> dict[str, Any]:
    """`seconds` of each block; blocks with a recorder and without take turns."""
    count = round(seconds * RATE_PER_S)
    load = build(2 * blocks * count, pairs=pairs, seed=seed, mispricings_per_s=0.0)
    updates = jittered(load.updates, seed)
    shares: dict[bool, list[float]] = {False: [], True: []}
    latency = {False: Latency(), True: Latency()}
    views: list[dict[str, Any]] = []
    alerts: list[str] = []
    for block in range(2 * blocks):
        part = updates[block * count : (block + 1) * count]
        recorder = None
        began, cpu = time.monotonic(), time.process_time()
        if block % 2:
            now = part[0][2]
            clock = WallClock()
            ahead = now - clock()

            def simulated(clock: WallClock = clock, ahead: int = ahead) -> int:
                return clock() + ahead

            recorder = Recorder(
                database,
                load.engine,
                "run",
                RecordingSettings(),
                clock=simulated,
                tell=lambda alert: alerts.append(alert.text),
            )
            recorder.begin(head(now))
        await fed(load.engine, part, recorder, latency[recorder is not None])
        if recorder is not None:
            await recorder.finish()
            views.append(recorder.view())
        shares[recorder is not None].append((time.process_time() - cpu) / (time.monotonic() - began))
    alone, recorded = shares[False], shares[True]
    frames = sum(view["frames"] for view in views)
    return {
        "frames_per_s": RATE_PER_S,
        "pairs": pairs,
        "cpu_share_without": round(median(alone), 4),
        "cpu_share_with": round(median(recorded), 4),
        "cpu_share_of_recorder": round(median(one - other for one, other in zip(recorded, alone, strict=True)), 4),
        "bytes_a_frame": round(sum(view["bytes"] for view in views) / frames, 1),
        "bytes_a_frame_in_database": round(await on_disk(database), 1),
        "frames": frames,
        "dropped": sum(view["dropped"] for view in views),
        "alerts": alerts,
        "frame_us_without": latency[False].summary(),
        "frame_us_with": latency[True].summary(),
        **parts(updates[:20_000]),
    }


async def on_disk(database: Database) -> float:
    """Bytes a frame of everything in the database, as it is after some minutes: empty pages are no measure."""
    span = Span(0, 1 << 62)
    async with database.pool(size=1) as pool:
        chunks = [chunk async for chunk in reading.chunks(pool, span)]
        before = sum(day.bytes for day in await days.days(pool))
        async with writing.writing(database, "import", head(chunks[0].start_ns), 60.0) as made:
            for copy in range(COPIES):
                for chunk in chunks:
                    later = copy * 60_000_000_000
                    await made.append(
                        msgspec.structs.replace(chunk, start_ns=chunk.start_ns + later, end_ns=chunk.end_ns + later)
                    )
        after = sum(day.bytes for day in await days.days(pool))
    return float(after - before) / (COPIES * sum(chunk.frames for chunk in chunks))


@dataclass(frozen=True, slots=True)
class Span:
    start_ns: int
    end_ns: int


def parts(frames: Sequence[tuple[ConnId, bytes, int]]) -> dict[str, float]:
    """Of a chunk, per frame."""
    entries = [Frame(conn, data, now) for conn, data, now in frames]
    encoder = Encoder()
    times = [time.process_time()]
    encoder.add(entries)
    times.append(time.process_time())
    packed = encoder.finish()
    times.append(time.process_time())
    back = decode(packed)
    times.append(time.process_time())
    if back != entries:
        raise RuntimeError("what was recorded is not what came")
    tap = _Tapped().tap
    began = time.perf_counter_ns()
    for entry in entries:
        tap(entry)
    tap_us = (time.perf_counter_ns() - began) / len(entries) / 1000
    split, pack, read = (1e6 * (b - a) / len(entries) for a, b in pairwise(times))
    return {
        "tap_us": round(tap_us, 3),
        "split_us": round(split, 2),
        "pack_us": round(pack, 2),
        "read_us": round(read, 2),
        "bytes_a_frame_before": round(sum(len(data) for _, data, _ in frames) / len(frames), 1),
    }


class _Tapped(Recorder):
    """A recorder that was not begun: its tap gathers, and nothing else."""

    def __init__(self) -> None:
        self._batch = []
        self._flushing = None
        self._loop = None


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    async with open_database(DatabaseSettings(), arguments.folder, "arbitrade_bench_recorder") as database:
        await migrate(database, core_migrations())
        return await measured(database, arguments.seconds, arguments.blocks, arguments.pairs, arguments.seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each block")
    parser.add_argument("--blocks", type=int, default=2, help="with the recorder, and as many without")
    parser.add_argument("--pairs", type=int, default=1228)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="arb-rec-") as folder:
        arguments.folder = Path(folder)
        arguments.folder.chmod(0o755)
        told = asyncio.run(run(arguments))
    if arguments.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name:28} {value}")
    print(f"targets: {told['cpu_share_of_recorder']:.1%} of a core (5 %), {told['bytes_a_frame_in_database']} B (40)")


if __name__ == "__main__":
    main()
