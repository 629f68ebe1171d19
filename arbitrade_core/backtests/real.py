"""The tools in use: recordings of the database, the replay, the sweep."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from os import cpu_count
from typing import Any

from arbitrade_core.backtests.tools import Pairs, Recorded, Store, Tools
from arbitrade_core.recording.entries import Chunk
from arbitrade_core.replay.driver import listing, replay
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage
from arbitrade_core.replay.searched import SweepResult
from arbitrade_core.replay.statistics import Window
from arbitrade_core.replay.sweep.cluster import Cluster
from arbitrade_core.replay.sweep.pool import Inline, Pool, Processes
from arbitrade_core.replay.sweep.sweep import TellProgress, run_sweep
from arbitrade_core.storage.connect import Pool as Connections
from arbitrade_core.storage.recordings import days, reading


async def _recorded(pool: Connections, number: int) -> Recorded | None:
    found = await reading.recording(pool, number)
    if found is None:
        return None
    head = await reading.head(pool, number)
    return Recorded(found.started_ns, found.ended_ns, found.source, head.settings)


async def _coverage(pool: Connections, window: Window, recording: int | None, pairs: Pairs) -> Coverage:
    found = await reading.coverage(pool, window, recording, pairs)
    return Coverage(
        wanted=window,
        stretches=tuple(Window(start_ns, end_ns) for start_ns, end_ns in found.stretches),
        gaps=found.gaps,
        recordings=found.recordings,
        pairs=found.pairs,
        overlapped=found.overlapped,
    )


async def _chunks(pool: Connections, window: Window, recording: int | None, pairs: Pairs) -> AsyncGenerator[Chunk]:
    async for chunk in reading.chunks(pool, window, recording, pairs):
        yield chunk


async def _pin(pool: Connections, window: Window, reason: str) -> None:
    await days.pin(pool, window, reason)


def _sweep(  # noqa: PLR0917 - as `run_sweep` is
    job: JobSpec,
    chunks: Callable[[], Iterable[Chunk]],
    coverage: Coverage,
    store: Store,
    tell: TellProgress,
    resources: Mapping[str, Any],
) -> SweepResult:
    return run_sweep(job, chunks, coverage, store, tell, _computed_by(resources))


def _computed_by(resources: Mapping[str, Any]) -> Pool:
    address, count = resources.get("dask"), resources.get("processes")
    if address:
        return Cluster(str(address))
    count = int(count or max(1, (cpu_count() or 1) - 1))
    return Inline() if count == 1 else Processes(count)


TOOLS = Tools(
    recorded=_recorded,
    coverage=_coverage,
    chunks=_chunks,
    pin=_pin,
    unpin=days.unpin,
    listing=listing,
    replay=replay,
    sweep=_sweep,
)
