"""The journal on disk: one writer per stream, whole batches or nothing, and a chain that can be checked.

`append` puts records into a queue and never waits. `run` commits whatever is queued, with its projections, in
one transaction, and says so with `Durable`. When that fails it says `JournalLost` once, keeps everything, and
comes back by itself: it connects anew, takes the stream's lock again (so the old session is over and its last
transaction is decided, acknowledged or not), compares the database's tail with what it knows, and goes on from there.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import msgspec
import orjson
import structlog

from arbitrade_core.errors import InvariantError, StorageError
from arbitrade_core.events import Durable, JournalBack, JournalLost
from arbitrade_core.journal import GENESIS, Fields, Record, canonical
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database, Pool, explain
from arbitrade_core.storage.projector import UNPROJECTABLE, project, projects

type Report = Durable | JournalLost | JournalBack

_BATCH = 1_000
_TAIL_CHECKED = 1_000
_CHUNK = 5_000
_COMMIT_S = 5.0
_BACKOFF_FIRST_S = 0.2
_BACKOFF_LAST_S = 5.0

_log = structlog.get_logger(__name__)


class JournalRefused(StorageError):
    """Records were not taken. The caller turns this into `JournalLost`; what was refused may be offered again."""


class Tail(msgspec.Struct, frozen=True):
    """Where a stream ends: its last number (0: it is empty) and hash."""

    seq: int
    hash: bytes


class _Entry(msgspec.Struct, frozen=True):
    """A record on its way to disk, hashed when it was appended."""

    record: Record
    content: bytes
    hash: bytes


class JournalWriter:
    """Writes the given streams. Open it, run `run` as a task, append from the same event loop.

    `emit` receives the reports, in order; `clock` gives their time in ns. `capacity` bounds the queue in records.
    """

    def __init__(
        self,
        database: Database,
        streams: Sequence[str],
        *,
        clock: Callable[[], int],
        emit: Callable[[Report], None],
        capacity: int = 20_000,
    ) -> None:
        self._database = database
        self._streams = tuple(streams)
        self._clock = clock
        self._emit = emit
        self._capacity = capacity
        self._queue: deque[_Entry] = deque()
        self._queued: dict[str, Tail] = {}
        """the last record accepted, by stream"""
        self._durable: dict[str, Tail] = {}
        """the last record known to be on disk, by stream"""
        self._connection: Connection | None = None
        self._session: tuple[int, Any] | None = None
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._lost = False
        self._broken: str | None = None
        self.unprojected = 0
        """records in the journal that did not fit the tables (see table projection_failures)"""

    @property
    def depth(self) -> int:
        """Records queued and not yet durable."""
        return len(self._queue)

    @property
    def broken(self) -> str | None:
        """Why this writer will never write again; None while it may."""
        return self._broken

    async def open(self) -> dict[str, Tail]:
        """Take the streams; their tails. Raises StorageError: unreachable, taken by another, or broken chain."""
        connection = await self._database.connect(application="arbitrade journal", command_timeout_s=_COMMIT_S)
        try:
            for stream in self._streams:
                if not await _lock(connection, stream):
                    raise StorageError(
                        f"journal stream {stream!r} in database {self._database.place.database!r} is being"
                        " written by another process; stop that bot, or give this one another database"
                    )
                tail = await _checked_tail(connection, stream)
                self._queued[stream] = self._durable[stream] = tail
            await self._adopt(connection)
        except UNAVAILABLE as error:
            connection.terminate()
            raise explain(error, self._database.place) from error
        except BaseException:
            connection.terminate()
            raise
        return dict(self._durable)

    def append(self, records: Sequence[Record]) -> None:
        """Queue records, all or none; returns at once.

        Raises JournalRefused when the queue is full or the writer is broken, InvariantError when a number
        does not follow, TypeError when a content cannot be written.
        """
        if self._broken is not None:
            raise JournalRefused(self._broken)
        if len(self._queue) + len(records) > self._capacity:
            self._lost = True  # as the caller will say; so that JournalBack follows when there is room again
            raise JournalRefused(
                f"the journal's queue is full: {len(self._queue)} records wait for the database"
                f" (of {self._capacity}), {len(records)} more were refused"
            )
        tails = dict(self._queued)
        entries: list[_Entry] = []
        for record in records:
            tail = tails.get(record.stream)
            if tail is None:
                raise InvariantError(f"record for stream {record.stream!r}, which this writer has not opened")
            if record.seq != tail.seq + 1:
                raise InvariantError(
                    f"record {record.seq} ({record.kind}) of stream {record.stream!r} does not follow {tail.seq}"
                )
            content = canonical(record)
            entry = _Entry(record, content, hashlib.sha256(tail.hash + content).digest())
            tails[record.stream] = Tail(record.seq, entry.hash)
            entries.append(entry)
        self._queue.extend(entries)
        self._queued = tails
        self._drained.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled, or until the database turns out to hold what somebody else wrote."""
        backoff_s = _BACKOFF_FIRST_S
        try:
            while self._broken is None:
                if not self._queue and not self._lost:
                    self._drained.set()
                    self._wake.clear()
                    await self._wake.wait()
                try:
                    if self._connection is None:
                        await self._reconnect()
                    await self._commit()
                except (*UNAVAILABLE, StorageError) as error:
                    self._disconnect()
                    self._lose(error)
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(2 * backoff_s, _BACKOFF_LAST_S)
                else:
                    backoff_s = _BACKOFF_FIRST_S
        finally:
            self._disconnect()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until everything is durable; whether it is. For an orderly end: drain, then cancel `run`."""
        if not self._queue:
            return True
        try:
            await asyncio.wait_for(self._drained.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Let go of the streams. `run` does so when it ends; needed when it was never run."""
        self._disconnect()

    # --- writing --------------------------------------------------------------------------------------------

    async def _commit(self) -> None:
        connection = self._connection
        if connection is None or self._broken is not None:
            return
        batch = [self._queue[index] for index in range(min(_BATCH, len(self._queue)))]
        if batch:
            async with asyncio.timeout(2 * _COMMIT_S):
                async with connection.transaction():
                    await _insert(connection, batch)
                    failures = await _project_all(connection, batch)
            self.unprojected += len(failures)
            for entry, reason in failures:
                _log.error(
                    "journal record not projected",
                    seq=entry.record.seq,
                    kind=entry.record.kind,
                    reason=reason,
                )
            self._settle(batch)
        if self._lost and not self._queue:
            self._lost = False
            self._emit(JournalBack(self._clock()))

    def _settle(self, batch: Sequence[_Entry]) -> None:
        """These are on disk: forget them and say so."""
        last: dict[str, Tail] = {}
        for entry in batch:
            self._queue.popleft()
            last[entry.record.stream] = Tail(entry.record.seq, entry.hash)
        self._durable |= last
        for stream, tail in last.items():
            self._emit(Durable(stream, tail.seq, self._clock()))

    # --- losing and finding again ---------------------------------------------------------------------------

    def _lose(self, error: BaseException) -> None:
        if not self._lost:
            self._lost = True
            known = isinstance(error, StorageError)
            reason = str(error if known else explain(error, self._database.place))
            self._emit(JournalLost(reason, self._clock()))

    def _break(self, reason: str) -> None:
        self._lost = True
        self._broken = reason
        self._disconnect()
        self._emit(JournalLost(reason, self._clock()))

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _adopt(self, connection: Connection) -> None:
        row = await connection.fetchrow("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        self._session = None if row is None else (row["pid"], row["backend_start"])
        self._connection = connection

    async def _reconnect(self) -> None:
        connection = await self._database.connect(application="arbitrade journal", command_timeout_s=_COMMIT_S)
        try:
            if self._session is not None:
                # Our own session, which the server may not know to be dead. Its lock goes with it.
                await connection.execute(
                    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                    " WHERE pid = $1 AND backend_start = $2",
                    *self._session,
                )
            for stream in self._streams:
                if not await _lock(connection, stream):
                    raise StorageError(f"journal stream {stream!r} is locked by another session; waiting for it")
            if await self._catch_up(connection):
                await self._adopt(connection)
        finally:
            if self._connection is not connection:
                connection.terminate()

    async def _catch_up(self, connection: Connection) -> bool:
        """Compare the database's tails with ours; what was committed unacknowledged is settled. False: broken."""
        found = {stream: await _tail(connection, stream) for stream in self._streams}
        for stream, tail in found.items():
            known = {entry.record.seq: entry.hash for entry in self._queue if entry.record.stream == stream}
            known[self._durable[stream].seq] = self._durable[stream].hash
            if known.get(tail.seq) != tail.hash:
                self._break(
                    f"journal stream {stream!r} in the database ends at record {tail.seq}, which is not what"
                    f" this process wrote (it knows {self._durable[stream].seq} as durable): something else"
                    " wrote, or the database was set back; nothing more is written. Find out which, then"
                    " restart"
                )
                return False
        batch: list[_Entry] = []
        for entry in self._queue:  # batches are whole transactions, so what is on disk is the queue's beginning
            if entry.record.seq > found[entry.record.stream].seq:
                break
            batch.append(entry)
        self._settle(batch)
        return True


# --- rows ---------------------------------------------------------------------------------------------------


async def _lock(connection: Connection, stream: str) -> bool:
    key = int.from_bytes(hashlib.sha256(f"arbitrade journal {stream}".encode()).digest()[:8], signed=True)
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", key))


async def _insert(connection: Connection, batch: Sequence[_Entry]) -> None:
    await connection.execute(
        """
        INSERT INTO journal (stream, seq, time_ns, kind, data, content, hash)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::jsonb[], $6::bytea[],
        $7::bytea[])
        """,
        [entry.record.stream for entry in batch],
        [entry.record.seq for entry in batch],
        [entry.record.time_ns for entry in batch],
        [entry.record.kind for entry in batch],
        [_fields(entry.content) for entry in batch],
        [entry.content for entry in batch],
        [entry.hash for entry in batch],
    )


async def _project_all(connection: Connection, batch: Sequence[_Entry]) -> list[tuple[_Entry, str]]:
    """Project the batch; a record that does not fit is noted and left out, the journal keeps it all the same."""
    failures: list[tuple[_Entry, str]] = []
    for entry in batch:
        if not projects(entry.record.kind):
            continue
        try:
            async with connection.transaction():
                await project(connection, entry.record.kind, entry.record.time_ns, _fields(entry.content))
        except UNPROJECTABLE as error:
            if connection.is_closed():
                raise
            failures.append((entry, f"{type(error).__name__}: {error}"))
    if failures:
        await connection.executemany(
            "INSERT INTO projection_failures (stream, seq, kind, reason) VALUES ($1, $2, $3, $4)",
            [(entry.record.stream, entry.record.seq, entry.record.kind, reason) for entry, reason in failures],
        )
    return failures


def _fields(content: bytes) -> Fields:
    """A record's content as tables can hold it: PostgreSQL's text and jsonb know no NUL character."""
    fields: Fields = orjson.loads(content)[4]
    return _without_nul(fields) if b"\\u0000" in content else fields


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case list():
            return [_without_nul(item) for item in value]
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
        case _:
            return value


# --- checking -----------------------------------------------------------------------------------------------


async def _tail(connection: Connection, stream: str) -> Tail:
    row = await connection.fetchrow("SELECT seq, hash FROM journal WHERE stream = $1 ORDER BY seq DESC LIMIT 1", stream)
    return Tail(0, GENESIS) if row is None else Tail(row["seq"], row["hash"])


async def _checked_tail(connection: Connection, stream: str) -> Tail:
    tail = await _tail(connection, stream)
    before = max(0, tail.seq - _TAIL_CHECKED)
    bad = await _first_bad(connection, stream, before)
    if bad is not None:
        raise StorageError(
            f"journal stream {stream!r} in the database is damaged at record {bad}: its hash chain does not"
            " hold. Restore the database from a backup; do not trade on it"
        )
    return tail


async def verify_chain(pool: Pool, stream: str) -> tuple[int, bool, int | None]:
    """Check a whole stream byte for byte: (records read, chain holds, number of the first bad record).

    A record is bad when it is missing, its hash does not follow, or its columns differ from its hashed
    content. That records were cut off at the end shows only against a hash kept elsewhere.
    """
    async with pool.acquire() as connection:
        records = await connection.fetchval("SELECT count(*) FROM journal WHERE stream = $1", stream)
        bad = await _first_bad(connection, stream, 0)
    return records, bad is None, bad


async def _first_bad(connection: Any, stream: str, after: int) -> int | None:
    """The first bad record behind `after`, whose own hash is taken as given."""
    previous = GENESIS
    if after:
        previous = await connection.fetchval("SELECT hash FROM journal WHERE stream = $1 AND seq = $2", stream, after)
        if previous is None:
            return after
    while True:
        rows = await connection.fetch(
            "SELECT seq, time_ns, kind, data, content, hash FROM journal WHERE stream = $1 AND seq > $2"
            " ORDER BY seq LIMIT $3",
            stream,
            after,
            _CHUNK,
        )
        for row in rows:
            if row["seq"] != after + 1 or not _holds(row, stream, previous):
                return after + 1
            after, previous = row["seq"], row["hash"]
        if len(rows) < _CHUNK:
            return None


def _holds(row: asyncpg.Record, stream: str, previous: bytes) -> bool:
    content: bytes = row["content"]
    if hashlib.sha256(previous + content).digest() != row["hash"]:
        return False
    written: list[Any] = [*orjson.loads(content)[:4], _fields(content)]
    return written == [stream, row["seq"], row["time_ns"], row["kind"], row["data"]]
