"""Writing a recording: its row, its chunks, and the gaps in them.

A recording has one writer, whose session holds its lock: an open one whose lock is free was broken off by a crash, and
whoever begins the next one closes it. The functions take the writer's connection, and raise what asyncpg raises;
`writing` is for whoever has all chunks at hand, and raises StorageError.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import asyncpg
import msgspec

from arbitrade_core.recording.entries import Chunk, Gap, Head
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database, explain
from arbitrade_core.storage.recordings.days import TABLE, day_of, make_day

BROKEN_OFF = "ended by a crash: what was stored until then is there"

_OPEN = 0x52454321  # "REC!": class of advisory locks, the second key being the recording's id


class Totals(msgspec.Struct, frozen=True):
    """Of a recording, from its beginning up to one of its chunks, included."""

    chunks: int = 0
    entries: int = 0
    frames: int = 0
    dropped: int = 0
    bytes: int = 0


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
                    INSERT INTO {TABLE} (recording, number, start_ns, end_ns, entries, frames, pairs, sha256, data)
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
        await connection.execute(f"DELETE FROM {TABLE} WHERE recording = $1", recording)  # noqa: S608 - ours
        await connection.execute("DELETE FROM recordings WHERE id = $1", recording)
