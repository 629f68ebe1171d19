"""Recordings in the database: chunks in partitions by UTC day, gaps, and days that must stay.

Functions that read take a pool; those that write take the connection of one writer, whose session holds the
recording's lock. Everything raises StorageError when the database cannot answer, and ProtocolError for a chunk that is
damaged.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta

import asyncpg
import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError, StorageError
from arbitrade_core.recording.entries import Chunk, Gap, Head
from arbitrade_core.recording.spans import Covered, Hole, Piece, Range, chosen, covered
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database, Pool, explain

DAY_NS: Ns = 86_400 * 10**9
GB = 10**9
BROKEN_OFF = "ended by a crash: what was stored until then is there"

_OPEN = 0x52454321  # "REC!": class of advisory locks, the second key being the recording's id
_DAYS = 0x52444159  # "RDAY": held while days are made, pinned or dropped
_TABLE = "market_snapshots"
_PARTITION = re.compile(rf"{_TABLE}_(\d{{8}})")
_AT_ONCE = 8
"""Chunks that are fetched together, while those before are read."""
_EDGE_NS: Ns = 120 * 10**9
"""Longer than any chunk lasts."""
_DROP_WAITS = "5s"
"""for readers of a day that is to be dropped; it is tried again at the next pruning"""


class Totals(msgspec.Struct, frozen=True):
    """Of a recording, from its beginning up to one of its chunks, included."""

    chunks: int = 0
    entries: int = 0
    frames: int = 0
    dropped: int = 0
    bytes: int = 0


class RecordingRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    source: str
    desk_id: str
    state: str
    """open | complete | broken"""
    note: str
    started_at: datetime
    ended_at: datetime
    started_ns: Ns
    ended_ns: Ns
    chunks: int
    entries: int
    frames: int
    dropped: int
    bytes: int
    gaps: int
    pairs: int
    """whose books were carried at some time"""
    state_every_s: float
    versions: dict[str, str]
    chunks_left: int | None = None
    """not pruned; told of one recording alone"""


class GapRow(msgspec.Struct, frozen=True):
    since_ns: Ns
    now_ns: Ns
    dropped: int
    reason: str


class DayRow(msgspec.Struct, frozen=True):
    """One UTC day of chunks."""

    day: date
    bytes: int
    """on disk, indexes included"""
    pins: tuple[str, ...]


class Pruned(msgspec.Struct, frozen=True):
    """`dropped`: days that are gone, with the reason of each; in a dry run those that would go."""

    dropped: tuple[tuple[date, str], ...]
    freed_bytes: int
    kept_bytes: int
    held: tuple[tuple[date, str], ...]
    """days that should go and stay, with what keeps them"""


def day_of(at_ns: Ns) -> date:
    """The UTC day."""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).date()


def start_of(day: date) -> Ns:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 10**9


def next_midnight(at_ns: Ns) -> Ns:
    return (at_ns // DAY_NS + 1) * DAY_NS


# --- writing ------------------------------------------------------------------------------------------------


async def begin(connection: Connection, source: str, head: Head, state_every_s: float) -> int:
    """A new recording, whose lock this session holds; its id. Earlier ones that a crash left open are closed."""
    await close_broken_off(connection)
    recording = await connection.fetchval(
        """
        INSERT INTO recordings (source, desk_id, schema, inputs_schema, versions, head, state_every_s, started_ns,
            ended_ns)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) RETURNING id
        """,
        source,
        head.desk_id,
        head.schema,
        head.inputs_schema,
        head.versions,
        msgspec.msgpack.encode(head),
        state_every_s,
        head.started or head.now,
    )
    await hold(connection, recording)
    return int(recording)


async def hold(connection: Connection, recording: int) -> bool:
    """Take the recording's lock, so that nobody thinks that its writer crashed; False while another session has it."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _OPEN, recording))


async def append(connection: Connection, chunk: Chunk, totals: Totals, gaps: Iterable[Gap] = ()) -> None:
    """Store a chunk and the gaps in it. Safe to repeat when it is not known whether it was stored."""
    for attempt in (1, 2):
        try:
            async with connection.transaction():
                await connection.execute(
                    f"""
                    INSERT INTO {_TABLE} (recording, number, start_ns, end_ns, entries, frames, pairs, sha256, data)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
                    """,  # noqa: S608 - the table is ours
                    chunk.recording,
                    chunk.number,
                    chunk.start_ns,
                    chunk.end_ns,
                    chunk.entries,
                    chunk.frames,
                    chunk.pairs,
                    chunk.sha256,
                    chunk.data,
                )
                await connection.executemany(
                    "INSERT INTO recording_gaps VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                    [(chunk.recording, min(gap.since, gap.now), gap.now, gap.dropped, gap.reason) for gap in gaps],
                )
                await connection.execute(
                    """
                    UPDATE recordings SET state = 'open', note = '', ended_ns = greatest(ended_ns, $2), chunks = $3,
                        entries = $4, frames = $5, dropped = $6, bytes = $7, pairs = CASE WHEN pairs @> $8 THEN pairs
                        ELSE (SELECT array_agg(DISTINCT symbol ORDER BY symbol) FROM unnest(pairs || $8) AS symbol) END
                    WHERE id = $1
                    """,
                    chunk.recording,
                    chunk.end_ns,
                    totals.chunks,
                    totals.entries,
                    totals.frames,
                    totals.dropped,
                    totals.bytes,
                    chunk.pairs,
                )
        except asyncpg.CheckViolationError:
            # There is no partition yet for its day, or no more: the cheapest way to know is to be told.
            if attempt == 2:  # noqa: PLR2004
                raise
            await make_day(connection, day_of(chunk.start_ns))
        else:
            return


async def make_day(connection: Connection, day: date) -> None:
    """The partition of a day, when it is not there."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _DAYS)
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_partition(day)} PARTITION OF {_TABLE}"
            f" FOR VALUES FROM ({start_of(day)}) TO ({start_of(day) + DAY_NS})"
        )


async def end(connection: Connection, recording: int, totals: Totals, note: str = "") -> None:
    """It is complete: nothing more comes. A repeated `end` changes nothing."""
    await connection.execute(
        "UPDATE recordings SET state = 'complete', note = $2, dropped = $3 WHERE id = $1",
        recording,
        note,
        totals.dropped,
    )
    await connection.execute("SELECT pg_advisory_unlock($1, $2)", _OPEN, recording)


async def close_broken_off(connection: Connection) -> list[int]:
    """Close recordings that nobody writes any more, with what is there; their ids."""
    closed: list[int] = []
    for row in await connection.fetch("SELECT id FROM recordings WHERE state = 'open' ORDER BY id"):
        if await hold(connection, row["id"]):
            await connection.execute(
                "UPDATE recordings SET state = 'broken', note = $2 WHERE id = $1 AND state = 'open'",
                row["id"],
                BROKEN_OFF,
            )
            await connection.execute("SELECT pg_advisory_unlock($1, $2)", _OPEN, row["id"])
            closed.append(row["id"])
    return closed


@asynccontextmanager
async def writing(database: Database, source: str, head: Head, state_every_s: float) -> AsyncIterator["Writing"]:
    """A new recording for whoever has its chunks at hand, such as an import; complete when the context ends well, and
    gone, with its chunks, when it does not."""
    connection = await database.connect(application="arbitrade recordings", command_timeout_s=60.0)
    try:
        try:
            recording = Writing(connection, await begin(connection, source, head, state_every_s))
            try:
                yield recording
            except BaseException:
                with suppress(*UNAVAILABLE):
                    await forget(connection, recording.id)
                raise
            await end(connection, recording.id, recording.totals)
        except UNAVAILABLE as error:
            raise explain(error, database.place) from error
    finally:
        connection.terminate()


class Writing:
    """A recording that is being written."""

    def __init__(self, connection: Connection, recording: int) -> None:
        self.id = recording
        self.totals = Totals()
        self._connection = connection

    async def append(self, chunk: Chunk, gaps: Sequence[Gap] = ()) -> None:
        """Its `recording` is this one's, whatever it says."""
        chunk = msgspec.structs.replace(chunk, recording=self.id, number=self.totals.chunks)
        self.totals = plus(self.totals, chunk, gaps)
        await append(self._connection, chunk, self.totals, gaps)


def plus(totals: Totals, chunk: Chunk, gaps: Iterable[Gap]) -> Totals:
    return Totals(
        totals.chunks + 1,
        totals.entries + chunk.entries,
        totals.frames + chunk.frames,
        totals.dropped + sum(gap.dropped for gap in gaps),
        totals.bytes + len(chunk.data),
    )


async def forget(connection: Connection, recording: int) -> None:
    """Delete a recording with everything in it."""
    async with connection.transaction():
        await connection.execute(f"DELETE FROM {_TABLE} WHERE recording = $1", recording)  # noqa: S608 - ours
        await connection.execute("DELETE FROM recordings WHERE id = $1", recording)


# --- reading ------------------------------------------------------------------------------------------------


_ROWS = """
SELECT id, source, desk_id, state, note, started_at, ended_at, started_ns, ended_ns, chunks, entries, frames, dropped,
    bytes, state_every_s, versions, cardinality(pairs) AS pairs,
    (SELECT count(*) FROM recording_gaps WHERE recording = id) AS gaps
FROM recordings
"""


async def recordings(pool: Pool, limit: int = 1_000) -> list[RecordingRow]:
    """Newest first."""
    async with _asked():
        rows = await pool.fetch(f"{_ROWS} ORDER BY started_ns DESC, id DESC LIMIT $1", limit)
    return [RecordingRow(**row) for row in rows]


async def recording(pool: Pool, recording_id: int) -> RecordingRow | None:
    async with _asked():
        row = await pool.fetchrow(f"{_ROWS} WHERE id = $1", recording_id)
        left = await pool.fetchval(f"SELECT count(*) FROM {_TABLE} WHERE recording = $1", recording_id)  # noqa: S608
    return None if row is None else RecordingRow(**row, chunks_left=left)


async def head(pool: Pool, recording_id: int) -> Head:
    """Where the recorded run began. Raises StorageError when there is no such recording."""
    async with _asked():
        found = await pool.fetchval("SELECT head FROM recordings WHERE id = $1", recording_id)
    if found is None:
        raise StorageError(f"there is no recording {recording_id}; `arbitrade recordings list` shows those there are")
    try:
        return msgspec.msgpack.decode(found, type=Head)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"the head of recording {recording_id} cannot be read: {error}") from error


async def gaps(pool: Pool, recording_id: int) -> list[GapRow]:
    """Oldest first."""
    async with _asked():
        rows = await pool.fetch(
            "SELECT since_ns, now_ns, dropped, reason FROM recording_gaps WHERE recording = $1 ORDER BY now_ns",
            recording_id,
        )
    return [GapRow(**row) for row in rows]


async def symbols(pool: Pool, recording_id: int) -> list[str]:
    """Of all pairs whose books were carried at some time, sorted."""
    async with _asked():
        return list(await pool.fetchval("SELECT pairs FROM recordings WHERE id = $1", recording_id) or ())


async def coverage(
    pool: Pool, span: Range, recording: int | None = None, pairs: Collection[str] | None = None
) -> Covered:
    """What of `span` was recorded: by that recording, or by any; of recordings that carried some of `pairs` alone."""
    async with _asked():
        pieces = await _pieces(pool, span, await _warm_ns(pool, span, recording), recording, pairs)
        return covered(pieces, await _holes(pool, span, pieces), span)


async def chunks(
    pool: Pool,
    span: Range,
    recording: int | None = None,
    pairs: Collection[str] | None = None,
    warm_ns: Ns | None = None,
) -> AsyncGenerator[Chunk]:
    """The chunks that tell of `span`, in order of time; which recordings these are is what `coverage` says.

    They begin `warm_ns` early (not set: one state interval of the recordings), so that every book is known when `span`
    begins. A missing number, or another recording, is a gap: what was known of books is worth nothing after it.

    Raises:
        ProtocolError: a chunk is damaged.
    """
    async with _asked():
        if warm_ns is None:
            warm_ns = await _warm_ns(pool, span, recording)
        pieces = await _pieces(pool, span, warm_ns, recording, pairs)
    read = [
        piece
        for piece in chosen(pieces, span)
        if piece.end_ns >= span.start_ns - warm_ns and piece.start_ns < span.end_ns
    ]
    batches = [read[start : start + _AT_ONCE] for start in range(0, len(read), _AT_ONCE)]
    coming: asyncio.Task[list[Chunk]] | None = None
    try:
        for number, batch in enumerate(batches):
            found = await (coming or _fetched(pool, batch))
            coming = None
            if number + 1 < len(batches):
                coming = asyncio.create_task(_fetched(pool, batches[number + 1]))
            for chunk in found:
                require_sound(chunk)
                yield chunk
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def require_sound(chunk: Chunk) -> None:
    """Raises ProtocolError when its data is not what was written."""
    if hashlib.sha256(chunk.data).digest() != chunk.sha256:
        at = datetime.fromtimestamp(chunk.start_ns / 1e9, UTC)
        raise ProtocolError(
            f"chunk {chunk.number} of recording {chunk.recording}, from {at:%Y-%m-%d %H:%M:%S} UTC on, is damaged: the"
            " SHA-256 of its data is not the one that was stored; restore the database, or leave its time out"
        )


async def _warm_ns(pool: Pool, span: Range, recording: int | None) -> Ns:
    seconds = await pool.fetchval(
        "SELECT max(state_every_s) FROM recordings WHERE ended_ns >= $1 AND started_ns < $2 AND ($3::int IS NULL OR"
        " id = $3)",
        span.start_ns,
        span.end_ns,
        recording,
    )
    return 0 if seconds is None else int(seconds * 1e9)


async def _pieces(
    pool: Pool, span: Range, warm_ns: Ns, recording: int | None, pairs: Collection[str] | None
) -> list[Piece]:
    """Some more than asked for, so that what is at the edges can be told from what ends there."""
    first_ns, last_ns = span.start_ns - warm_ns - _EDGE_NS, span.end_ns + _EDGE_NS
    # A chunk lasts some seconds: looking a day back for its start lets PostgreSQL leave all other days out.
    rows = await pool.fetch(
        f"""
        SELECT recording, number, start_ns, end_ns, pairs FROM {_TABLE}
        WHERE start_ns BETWEEN $1 AND $2 AND end_ns >= $3 AND ($4::int IS NULL OR recording = $4)
        ORDER BY recording, number
        """,  # noqa: S608 - ours
        first_ns - DAY_NS,
        last_ns,
        first_ns,
        recording,
    )
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    pieces = [
        Piece(row["recording"], row["number"], row["start_ns"], row["end_ns"], shared.setdefault(carried, carried))
        for row in rows
        for carried in (tuple(row["pairs"]),)
    ]
    if pairs is None:
        return pieces
    wanted = set(pairs)
    telling = {carried for carried in shared if not wanted.isdisjoint(carried)}
    of = {piece.recording for piece in pieces if piece.pairs in telling}
    return [piece for piece in pieces if piece.recording in of]


async def _holes(pool: Pool, span: Range, pieces: Iterable[Piece]) -> list[Hole]:
    rows = await pool.fetch(
        "SELECT recording, since_ns, now_ns, reason FROM recording_gaps"
        " WHERE recording = ANY($1::int[]) AND now_ns >= $2 AND since_ns < $3 ORDER BY now_ns",
        sorted({piece.recording for piece in pieces}),
        span.start_ns - _EDGE_NS,
        span.end_ns + _EDGE_NS,
    )
    return [Hole(**row) for row in rows]


async def _fetched(pool: Pool, batch: Sequence[Piece]) -> list[Chunk]:
    """In the order of `batch`. One that was pruned meanwhile is left out, and so a gap."""
    async with _asked():
        rows = await pool.fetch(
            f"""
            SELECT recording, number, start_ns, end_ns, entries, frames, pairs, sha256, data FROM {_TABLE}
            WHERE start_ns = ANY($1::bigint[]) AND start_ns BETWEEN $2 AND $3 AND recording = ANY($4::int[])
            """,  # noqa: S608 - ours
            [piece.start_ns for piece in batch],
            min(piece.start_ns for piece in batch),
            max(piece.start_ns for piece in batch),
            sorted({piece.recording for piece in batch}),
        )
    found = {
        (row["recording"], row["number"]): Chunk(**{**row, "pairs": tuple(row["pairs"]), "data": bytes(row["data"])})
        for row in rows
    }
    keys = [(piece.recording, piece.number) for piece in batch]
    return [found[key] for key in keys if key in found]


# --- days ---------------------------------------------------------------------------------------------------


async def days(connection: Connection | Pool) -> list[DayRow]:
    """Days that hold chunks, oldest first."""
    rows = await connection.fetch(
        "SELECT child.relname AS name, pg_total_relation_size(child.oid) AS bytes FROM pg_inherits"
        " JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = $1::regclass ORDER BY child.relname",
        _TABLE,
    )
    pins: dict[date, list[str]] = {}
    for row in await connection.fetch("SELECT day, reason FROM recording_pins ORDER BY day, reason"):
        pins.setdefault(row["day"], []).append(row["reason"])
    found: list[DayRow] = []
    for row in rows:
        match = _PARTITION.fullmatch(row["name"])
        if match is not None:
            day = datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).date()
            found.append(DayRow(day, row["bytes"], tuple(pins.get(day, ()))))
    return found


async def prune(connection: Connection, *, now_ns: Ns, keep_days: int, max_gb: float, dry_run: bool = False) -> Pruned:
    """Drop whole days, oldest first: those more than `keep_days` before today, then until no more than `max_gb` (10^9
    bytes) are left. Pinned days and today stay. Recordings of which nothing is left go with their days."""
    today = day_of(now_ns)
    dropped: list[tuple[date, str]] = []
    held: list[tuple[date, str]] = []
    freed = 0
    known = await days(connection)
    left = sum(row.bytes for row in known)
    for row in known:
        old = today - row.day > timedelta(days=keep_days)
        why = f"older than {keep_days} days" if old else f"more than {max_gb:g} GB are kept"
        if row.day >= today or not (old or left > max_gb * GB):
            continue
        if row.pins:
            held.append((row.day, f"pinned: {', '.join(row.pins)}"))
            continue
        if not dry_run and not await _drop(connection, row.day):
            held.append((row.day, "it is being read"))
            continue
        dropped.append((row.day, why))
        freed += row.bytes
        left -= row.bytes
    if not dry_run:
        await connection.execute(
            f"""
            DELETE FROM recordings WHERE state <> 'open' AND ended_ns < $1
                AND NOT EXISTS (SELECT FROM {_TABLE} WHERE recording = id)
            """,  # noqa: S608 - ours
            start_of(today),
        )
    return Pruned(tuple(dropped), freed, left, tuple(held))


async def _drop(connection: Connection, day: date) -> bool:
    """False when it is pinned or read at the moment."""
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _DAYS)
            if await connection.fetchval("SELECT EXISTS (SELECT FROM recording_pins WHERE day = $1)", day):
                return False
            await connection.execute(f"SET LOCAL lock_timeout = '{_DROP_WAITS}'")
            await connection.execute(f"DROP TABLE IF EXISTS {_partition(day)}")
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        return False
    return True


async def pin(pool: Pool, span: Range, reason: str) -> list[date]:
    """From now on the days of `span`, with the one before it if the warm-up reaches there, are not pruned; the days.

    They may be gone already: ask for the coverage after pinning.
    """
    first, last = day_of(span.start_ns - 3_600 * 10**9), day_of(max(span.start_ns, span.end_ns - 1))
    pinned = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    async with _asked(), pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _DAYS)
        await connection.executemany(
            "INSERT INTO recording_pins VALUES ($1, $2) ON CONFLICT DO NOTHING", [(day, reason) for day in pinned]
        )
    return pinned


async def unpin(pool: Pool, reason: str) -> None:
    """Whatever was pinned for that reason may be pruned."""
    async with _asked():
        await pool.execute("DELETE FROM recording_pins WHERE reason = $1", reason)


def _partition(day: date) -> str:
    return f"{_TABLE}_{day:%Y%m%d}"


@asynccontextmanager
async def _asked() -> AsyncIterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        raise StorageError(
            f"recordings cannot be read: {error or type(error).__name__}; see whether the database runs"
        ) from error
