"""Backtests beside a running bot: a worker's process as long as there are jobs, so that trading does not feel them.

It ends with the bot: the job that runs then goes back into the queue, and is resumed by the next worker.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import structlog

from arbitrade_core.backtests.processes import WorkerProcess
from arbitrade_core.domain import Alert, Ns, Severity
from arbitrade_core.errors import ArbitradeError, StorageError
from arbitrade_core.settings import BacktestSettings
from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.connect import Database

_log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""How often it is looked whether there are jobs."""
REST_S = 60.0
"""After a worker that failed."""


@asynccontextmanager
async def beside(
    database: Database | None,
    settings: BacktestSettings,
    tell: Callable[[Alert], None],
    clock: Callable[[], Ns],
    *,
    process: WorkerProcess | None = None,
    look_s: float = LOOK_S,
) -> AsyncIterator[None]:
    """Run what is queued for as long as the context lasts; nothing without a database, or when the settings say so.

    Whatever goes wrong is told, and ends nothing but this.
    """
    if database is None or not settings.in_run:
        yield
        return
    attendant = _Attendant(database, process or WorkerProcess(database.place.database), tell, clock, look_s)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(attendant.attend)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(attendant.process.end)


class _Attendant:
    """Sees that a worker is at it while there is something to do."""

    def __init__(
        self,
        database: Database,
        process: WorkerProcess,
        tell: Callable[[Alert], None],
        clock: Callable[[], Ns],
        look_s: float,
    ) -> None:
        self.process = process
        self._database = database
        self._tell = tell
        self._clock = clock
        self._look_s = look_s
        self._told: str | None = None
        """the last failure that people heard of"""

    async def attend(self) -> None:
        while True:
            try:
                async with self._database.pool(size=1, application="arbitrade backtests") as pool:
                    while True:
                        if not self.process.runs:
                            await self._look(await storage.queued(pool))
                        await anyio.sleep(self._look_s)
            except StorageError as error:
                # The journal tells people that the database is gone.
                _log.info("backtests wait for the database", reason=str(error))
            except ArbitradeError as error:
                self._alert(str(error))
            except Exception as error:  # noqa: BLE001 - a bug here costs the backtests, not the bot
                _log.exception("backtests beside the bot failed")
                self._alert(f"{type(error).__name__}: {error}")
                return
            await anyio.sleep(max(self._look_s, 1.0))

    async def _look(self, waiting: int) -> None:
        failed = self.process.failed
        if failed is not None:
            self._alert(failed)
            await anyio.sleep(REST_S)
        if waiting:
            await anyio.to_thread.run_sync(self.process.start)

    def _alert(self, reason: str) -> None:
        """Once for the same reason."""
        if reason != self._told:
            self._told = reason
            text = f"backtests do not run: {reason}; trading goes on"
            self._tell(Alert(Severity.WARNING, "backtest.worker", text, self._clock()))
