"""Backtests beside a running bot: a worker's process as long as there are jobs, so that trading does not feel them.

It ends with the bot: the job that runs then goes back into the queue, and is resumed by the next worker.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import structlog

from arbitrade_core.backtests.processes import WorkerProcess
from arbitrade_core.domain import Severity
from arbitrade_core.errors import ArbitradeError, StorageError
from arbitrade_core.services import ServiceHost
from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.connect import Database

_log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""How often it is looked whether there are jobs."""
REST_S = 60.0
"""After a worker that failed."""


class Backtests:
    """Implements `services.Service`."""

    name = "backtests"

    def __init__(self, database: Database, process: WorkerProcess | None = None, look_s: float = LOOK_S) -> None:
        self._database = database
        self._process = process or WorkerProcess(database.place.database)
        self._look_s = look_s
        self._told: str | None = None
        """the last failure that people heard of"""

    @asynccontextmanager
    async def run(self, host: ServiceHost) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._attend, host)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._process.end)

    async def _attend(self, host: ServiceHost) -> None:
        while True:
            try:
                async with self._database.pool(size=1, application="arbitrade backtests") as pool:
                    while True:
                        await self._look(host, await storage.queued(pool))
                        await anyio.sleep(self._look_s)
            except StorageError as error:
                # The journal tells people that the database is gone.
                _log.info("backtests wait for the database", reason=str(error))
                await anyio.sleep(self._look_s)

    async def _look(self, host: ServiceHost, waiting: int) -> None:
        process = self._process
        if process.runs:
            return
        failed = process.failed
        if failed is not None and failed != self._told:
            self._told = failed
            host.alert(Severity.WARNING, "backtest.worker", f"backtests do not run: {failed}; trading goes on")
        if failed is not None:
            await anyio.sleep(REST_S)
        if waiting:
            try:
                await anyio.to_thread.run_sync(process.start)
            except ArbitradeError as error:
                _log.error("no worker", reason=str(error))
                await anyio.sleep(REST_S)
