"""Waiting for a backtest on a terminal: a worker of our own where none is at it, progress, and Ctrl-C."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import anyio.to_thread
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from arbitrade_core.backtests import api
from arbitrade_core.backtests.processes import WorkerProcess
from arbitrade_core.backtests.real import TOOLS
from arbitrade_core.control.client import actor
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.runtime import stop_on_signals
from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.backtests import JobRow
from arbitrade_core.storage.connect import Database, Pool

LOOK_S = 0.4
_AGAIN_S = 5.0
"""Between two workers: one that ended at once found others at work."""
_CANCEL_S = 20.0
_LINE_EVERY_S = 10.0
_FAILURES = 3
"""of workers, after which there is no use in another one"""


class Left(msgspec.Struct, frozen=True):
    """Ctrl-C came first."""

    words: str


async def wait(database: Database, pool: Pool, number: int, console: Console) -> JobRow | Left:
    """The job when it has ended; or what became of it when the operator interrupted.

    Raises:
        ArbitradeError: no worker can be started, or each one fails.
    """
    worker = WorkerProcess(database.place.database)
    stop = anyio.Event()
    failures = 0
    again_s = 0.0
    try:
        async with stop_on_signals(stop):
            with _shown(console, number) as show:
                while not stop.is_set():
                    row = await api.job(pool, number)
                    show(row)
                    if row.ended:
                        return row
                    if not worker.runs and time.monotonic() >= again_s and await storage.queued(pool):
                        failed = worker.failed
                        failures += failed is not None
                        if failed is not None and failures >= _FAILURES:
                            raise ArbitradeError(f"backtest {number} stays queued: {failed}")
                        await anyio.to_thread.run_sync(worker.start)
                        again_s = time.monotonic() + _AGAIN_S
                    with anyio.move_on_after(LOOK_S):
                        await stop.wait()
            return await _interrupted(pool, number, worker)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(worker.end)


async def _interrupted(pool: Pool, number: int, worker: WorkerProcess) -> JobRow | Left:
    row = await api.job(pool, number)
    ours = worker.runs and f":{worker.pid}:" in (row.worker or "")
    if row.state == "running" and ours:
        await api.cancel(pool, number, TOOLS, actor())
        with anyio.move_on_after(_CANCEL_S):
            while not (await api.job(pool, number)).ended:  # noqa: ASYNC110 - another process ends it
                await anyio.sleep(LOOK_S / 2)
        return Left(f"{row.kind} {number} was cancelled")
    if row.ended:
        return row
    return Left(f"{row.kind} {number} stays {row.state}; `arbitrade backtest cancel {number}` ends it")


@contextmanager
def _shown(console: Console, number: int) -> Iterator[Callable[[JobRow], None]]:
    if console.is_terminal and not console.quiet:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(f"backtest {number}", total=1.0, words="")

            def live(row: JobRow) -> None:
                share = 0.0 if row.progress is None else row.progress.share
                bar.update(task, completed=share, words=words(row))

            yield live
        return
    next_s = time.monotonic() + _LINE_EVERY_S

    def lines(row: JobRow) -> None:
        nonlocal next_s
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + _LINE_EVERY_S
            console.print(f"backtest {number}: {words(row)}", highlight=False, markup=False)

    yield lines


def words(row: JobRow) -> str:
    """How far it is: `replaying 42 %, 31,000 frames/s, 12 s left`."""
    if row.state != "running" or row.progress is None:
        return row.state
    told = row.progress
    parts = [f"{told.phase} {told.share:.0%}"]
    if told.of_variants:
        parts.append(f"{told.variants:,} of {told.of_variants:,} variants")
    if told.frames_per_s:
        parts.append(f"{told.frames_per_s:,.0f} frames/s")
    if told.eta_s is not None:
        parts.append(f"{_duration(told.eta_s)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004
