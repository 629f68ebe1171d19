"""The process of jobs: `python -m arbitrade_core.backtests.worker`. It takes jobs from the queue until there is none.

It reads the settings of the environment like every command, stands back behind whoever trades, and ends cleanly on
SIGTERM, on Ctrl-C, and with `--until-stdin-closes` when whoever started it is gone: the job that runs then waits for
the next worker, and a sweep goes on where it was.
"""

import argparse
import asyncio
import os
import platform
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import anyio
import structlog

from arbitrade_core.backtests.running import Means, run_job, unpin
from arbitrade_core.backtests.tools import Tools
from arbitrade_core.composition import core_settings
from arbitrade_core.errors import ArbitradeError, StorageError
from arbitrade_core.plugins.catalogue import EXPERIMENTAL_GROUP, GROUP
from arbitrade_core.settings import BacktestSettings
from arbitrade_core.storage.backtest_ownership import owning
from arbitrade_core.storage.backtests import ENDED
from arbitrade_core.storage.connect import Database, open_database
from arbitrade_core.storage.migrations import core_migrations, migrate

_log = structlog.get_logger(__name__)

POLL_S = 1.0
"""How often one that stays looks at the queue."""
_AGAIN_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits between tries to reach a database that was there before."""
_OOM_SCORE = 500


async def work(
    database: Database, settings: BacktestSettings, tools: Tools, stop: anyio.Event, *, stay: bool = False
) -> None:
    """Run jobs until the queue is empty, or, with `stay`, until `stop`.

    Raises:
        StorageError: the database is gone, and does not come back.
    """
    failures = 0
    code = versions()
    while not stop.is_set():
        began = False
        try:
            async with (
                owning(database, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}") as owner,
                database.pool(size=3, application="arbitrade backtest") as pool,
            ):
                means = Means(owner, pool, tools, code)
                while not stop.is_set():
                    took = await owner.take_slot(settings.max_running)
                    for number, now in (await owner.recover()).items() if took else ():
                        _log.warning("its worker was gone", job=number, state=now)
                        if now in ENDED:
                            await unpin(means, number)
                    claimed = await owner.claim() if took else None
                    began = True
                    if claimed is not None:
                        failures = 0
                        _log.info("job begins", job=claimed.id, kind=claimed.kind, attempt=claimed.attempts)
                        state = await run_job(claimed, means, stop)
                        _log.info("job left", job=claimed.id, state=state)
                        for gone in await owner.prune(settings.keep_jobs):
                            _log.info("old job deleted", job=gone)
                        continue
                    # Another worker may see that there is no slot while we still have ours: so look again without it.
                    await owner.leave_slot()
                    if took and await owner.waiting():
                        await anyio.sleep(0.05)
                    elif not stay:
                        return
                    else:
                        with anyio.move_on_after(POLL_S):
                            await stop.wait()
        except StorageError as error:
            if not began and failures == 0 and not stay:
                raise
            if failures >= len(_AGAIN_S) and not stay:
                raise
            _log.error("the database is gone", error=str(error))
            with anyio.move_on_after(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)]):
                await stop.wait()
            failures += 1


def versions() -> dict[str, str]:
    """Of all code that may decide: what another version has computed of a sweep is not mixed with ours."""
    points = [*metadata.entry_points(group=GROUP), *metadata.entry_points(group=EXPERIMENTAL_GROUP)]
    plugins = {point.dist.name: point.dist.version for point in points if point.dist is not None}
    return {**plugins, "arbitrade": metadata.version("arbitrade"), "python": platform.python_version()}


def main(tools: Tools, arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m arbitrade_core.backtests.worker", description=__doc__)
    parser.add_argument("--database", help="name of the database, when not that of the settings")
    parser.add_argument("--stay", action="store_true", help="wait for more jobs when the queue is empty")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    told = parser.parse_args(arguments)
    code = 0
    try:
        anyio.run(partial(_main, tools, told.database, stay=told.stay, watched=told.until_stdin_closes))
    except* ArbitradeError as errors:
        code = 2
        for error in _leaves(errors):
            sys.stderr.write(f"error: {error}\n")
    except* KeyboardInterrupt:
        code = 130
    return code


def leave(code: int) -> NoReturn:
    """End now: a computation that did not end in time, and processes that it started, end with us."""
    sys.stderr.flush()
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    os._exit(code)


async def _main(tools: Tools, name: str | None, *, stay: bool, watched: bool) -> None:
    core = core_settings()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = anyio.Event()
    async with open_database(core.database, core.data_path, name) as database, anyio.create_task_group() as tasks:
        # A server that this process had to start is not to stand back with it.
        stand_back(core.backtest.nice)
        await migrate(database, core_migrations())
        tasks.start_soon(_stop_on_signals, stop)
        if watched:
            _watch_stdin(stop)
        await work(database, core.backtest, tools, stop, stay=stay)
        tasks.cancel_scope.cancel()


def stand_back(nice: int) -> None:
    """Trading goes first, in CPU and when memory runs out."""
    if hasattr(os, "nice"):
        os.nice(nice)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")


async def _stop_on_signals(stop: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            stop.set()


def _watch_stdin(stop: anyio.Event) -> None:
    loop = asyncio.get_running_loop()

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 64):
                pass
        with suppress(RuntimeError):  # the loop is closed: we ended first
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="standard input", daemon=True).start()


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


if __name__ == "__main__":
    from arbitrade_core.backtests.real import TOOLS

    leave(main(TOOLS))
