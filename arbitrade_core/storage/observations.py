"""Appearances on their way into `opportunities`: batched, lossy, never in anybody's way.

When the database is slow or gone the queue fills and the oldest appearances are dropped and counted; trading
does not notice.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

import structlog

from arbitrade_core.errors import StorageError
from arbitrade_core.events import Appearance
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database

_BATCH = 2_000
_PAUSE_S = 0.25
_COMMAND_S = 10.0
_BACKOFF_FIRST_S = 0.5
_BACKOFF_LAST_S = 10.0

_COLUMNS = (
    "run_id",
    "strategy",
    "key",
    "path",
    "opened_ns",
    "closed_ns",
    "best_gross_bps",
    "best_edge_bps",
    "outcome",
    "evaluations",
)

_log = structlog.get_logger(__name__)


class ObservationWriter:
    """Writes one run's appearances. Run `run` as a task; offer from the same event loop."""

    def __init__(self, database: Database, run_id: str, *, capacity: int = 50_000) -> None:
        self._database = database
        self._run_id = run_id
        self._capacity = capacity
        self._queue: deque[Appearance] = deque()
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._connection: Connection | None = None
        self.written = 0
        self.dropped = 0
        """appearances that were never written, since start"""
        self.failing: str | None = None
        """why nothing is being written; None while it works"""

    @property
    def depth(self) -> int:
        return len(self._queue)

    def offer(self, appearances: Iterable[Appearance]) -> None:
        """Queue them; returns at once. When the queue is full the oldest make room and are counted as dropped."""
        self._queue.extend(appearances)
        while len(self._queue) > self._capacity:
            self._queue.popleft()
            self.dropped += 1
        if self._queue:
            self._drained.clear()
            self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        backoff_s = _BACKOFF_FIRST_S
        try:
            while True:
                if not self._queue:
                    self._drained.set()
                    self._wake.clear()
                    await self._wake.wait()
                    await asyncio.sleep(_PAUSE_S)  # appearances come in flocks: one COPY for many
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                try:
                    await self._write(batch)
                except (*UNAVAILABLE, StorageError) as error:
                    self._failed(error)
                    self._put_back(batch)
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(2 * backoff_s, _BACKOFF_LAST_S)
                else:
                    backoff_s = _BACKOFF_FIRST_S
                    self._succeeded(len(batch))
        finally:
            self._disconnect()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until everything offered is written or dropped; whether it is."""
        try:
            await asyncio.wait_for(self._drained.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _write(self, batch: list[Appearance]) -> None:
        if self._connection is None:
            self._connection = await self._database.connect(
                application="arbitrade observations", command_timeout_s=_COMMAND_S
            )
        rows = [
            (
                self._run_id,
                seen.strategy,
                seen.key,
                seen.path,
                seen.opened_ns,
                seen.closed_ns,
                seen.best_gross_bps,
                seen.best_edge_bps,
                seen.outcome,
                seen.evaluations,
            )
            for seen in batch
        ]
        await self._connection.copy_records_to_table("opportunities", records=rows, columns=_COLUMNS)

    def _put_back(self, batch: list[Appearance]) -> None:
        room = self._capacity - len(self._queue)
        kept = batch[max(0, len(batch) - room) :] if room > 0 else []
        self.dropped += len(batch) - len(kept)
        self._queue.extendleft(reversed(kept))

    def _failed(self, error: BaseException) -> None:
        self._disconnect()
        if self.failing is None:
            _log.warning("observations not written", reason=str(error), queued=len(self._queue))
        self.failing = str(error) or type(error).__name__

    def _succeeded(self, count: int) -> None:
        self.written += count
        if self.failing is not None:
            _log.info("observations written again", dropped=self.dropped)
            self.failing = None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
