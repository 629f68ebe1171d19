"""Getting chunks into the database: in order, and again and again until it takes them.

Chunks that cannot be written wait in memory. When too many do, or when there is no use in going on, that is told by
single values, which the trading loop reads. Now and then old days are pruned, to make room for new ones.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import asyncpg
import msgspec
import structlog

from arbitrade_core.domain import Ns
from arbitrade_core.errors import StorageError
from arbitrade_core.recording.entries import Chunk, Gap, Head
from arbitrade_core.settings import RecordingSettings
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database
from arbitrade_core.storage.recordings import days, writing
from arbitrade_core.storage.recordings.writing import Totals

SLOW = "the recorder's thread is too far behind"
"""why inputs are missing when it is not the database's fault"""
_COMMAND_S = 30.0
_BACKOFF_FIRST_S = 0.5
_BACKOFF_LAST_S = 10.0
_PRUNE_EVERY_S = 3_600.0

_log = structlog.get_logger(__name__)


class Delivery:
    """One recording's way into the database.

    All of it is called on the recorder's thread, but for `begin`, before that starts, and `give_up`, on any thread.
    """

    def __init__(
        self,
        database: Database,
        source: str,
        settings: RecordingSettings,
        clock: Callable[[], Ns],
        most_waiting_bytes: int,
    ) -> None:
        self.full = ""
        """why nothing more is taken; empty: it is"""
        self.failing = ""
        """why nothing is being written; empty while it is"""
        self.trouble = ""
        """what people should hear at once"""
        self.recording: int | None = None
        """its id, once the database knows it"""
        self.waiting_bytes = 0
        self.given_up = False
        self._database = database
        self._source = source
        self._settings = settings
        self._clock = clock
        self._most_waiting_bytes = most_waiting_bytes
        self._head: Head | None = None
        self._wake = asyncio.Event()
        self._waiting: deque[tuple[Chunk, Totals, list[Gap]]] = deque()
        self._connection: Connection | None = None
        self._held = False
        self._stored = Totals()

    def begin(self, head: Head) -> None:
        """What the recording begins with, in the database as soon as there is one."""
        self._head = head

    def add(self, chunk: Chunk, totals: Totals, gaps: list[Gap]) -> None:
        """`totals` up to this chunk, `gaps` in it."""
        self._waiting.append((chunk, totals, gaps))
        self.waiting_bytes += len(chunk.data)
        self._measure()
        self._wake.set()

    def give_up(self, error: BaseException) -> None:
        self.given_up = True
        self.full = self.failing = f"{type(error).__name__}: {error}"
        self.trouble = f"nothing is recorded any more, until a restart: {self.full}"

    async def emptied(self, within_s: float) -> None:
        """Until nothing waits, or the time is over."""
        ending = time.monotonic() + within_s
        while self._waiting and time.monotonic() < ending:  # noqa: ASYNC110 - either ends it
            await asyncio.sleep(0.01)

    async def deliver(self) -> None:
        """Write what comes, until it is cancelled."""
        backoff_s = _BACKOFF_FIRST_S
        prune_at = 0.0
        while True:
            try:
                if self._connection is None:
                    await self._connect()
                if time.monotonic() >= prune_at:
                    prune_at = time.monotonic() + _PRUNE_EVERY_S
                    await self._prune()
                while self._waiting:
                    await self._write(*self._waiting[0])
                    self._waiting.popleft()
                    self.waiting_bytes = sum(len(chunk.data) for chunk, _, _ in self._waiting)
                    self._succeeded()
            except (*UNAVAILABLE, StorageError) as error:
                self._failed(error)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _BACKOFF_LAST_S)
            else:
                backoff_s = _BACKOFF_FIRST_S
                self._succeeded()
                self._wake.clear()
                if not self._waiting:
                    await self._wake.wait()

    async def close(self, heard: Callable[[], int], within_s: float) -> None:
        """End the recording, if the database lets us in that time. `heard`: how many entries it should hold."""
        try:
            async with asyncio.timeout(within_s):
                await self._end(heard)
        except (*UNAVAILABLE, StorageError) as error:
            _log.warning("the recording could not be closed; the next one closes it", reason=str(error))
        finally:
            self._disconnect()

    # --- on the way ---

    async def _connect(self) -> None:
        connecting = asyncio.ensure_future(
            self._database.connect(application="arbitrade recorder", command_timeout_s=_COMMAND_S)
        )
        try:
            connection = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # Given up half way it would stay open: it comes to its end first, as its own timeouts want it.
            with suppress(*UNAVAILABLE, StorageError):
                (await connecting).terminate()
            raise
        try:
            assert self._head is not None
            if self.recording is None:
                every_s = self._settings.state_every_s
                self.recording = await writing.begin(connection, self._source, self._head, every_s)
                self._held = True
            else:
                self._held = await writing.hold(connection, self.recording)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    async def _write(self, chunk: Chunk, totals: Totals, gaps: Sequence[Gap]) -> None:
        assert self._connection is not None
        assert self.recording is not None
        if not self._held:  # the server may not have known yet that our last session was dead
            self._held = await writing.hold(self._connection, self.recording)
        async with asyncio.timeout(2 * _COMMAND_S):
            whole = msgspec.structs.replace(chunk, recording=self.recording)
            await writing.append(self._connection, whole, totals, gaps)
        self._stored = totals

    async def _end(self, heard: Callable[[], int]) -> None:
        if self._connection is None:
            await self._connect()
        assert self._connection is not None
        assert self.recording is not None
        missing = heard() - self._stored.entries
        note = f"{missing} inputs at its end are missing: {self.failing or self.full or SLOW}" if missing else ""
        totals = msgspec.structs.replace(self._stored, dropped=self._stored.dropped + missing)
        await writing.end(self._connection, self.recording, totals, note)

    async def _prune(self) -> None:
        assert self._connection is not None
        pruned = await days.prune(
            self._connection,
            now_ns=self._clock(),
            keep_days=self._settings.keep_days,
            max_gb=float(self._settings.max_gb),
        )
        if pruned.dropped or pruned.held:
            _log.info(
                "old recordings pruned",
                days=[str(day) for day, _ in pruned.dropped],
                kept=[f"{day}: {why}" for day, why in pruned.held],
                freed_mb=pruned.freed_bytes // 1_000_000,
            )

    def _failed(self, error: BaseException) -> None:
        self._disconnect()
        reason = str(error) or type(error).__name__
        if not self.failing:
            _log.warning("the recording is not written", reason=reason, waiting=len(self._waiting))
        self.failing = reason
        causes = (error, error.__cause__)
        if any(isinstance(cause, asyncpg.DiskFullError) for cause in causes):
            self.trouble = (
                f"the disk of the database is full ({reason}): recording stops when {self._most_waiting_bytes >> 20} MB"
                " wait, and goes on when there is room; trading goes on"
            )

    def _succeeded(self) -> None:
        if self.failing and not self.given_up:
            _log.info("the recording is written again")
            self.failing = self.trouble = ""
        self._measure()

    def _measure(self) -> None:
        if self.waiting_bytes > self._most_waiting_bytes:
            self.full = self.failing or "the database takes chunks too slowly"
        elif self.full and not self.given_up and self.waiting_bytes <= self._most_waiting_bytes / 2:
            self.full = ""

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
