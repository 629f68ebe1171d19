"""Reading recordings: what there is, what of a range of time they cover, and the chunks that tell of it.

All functions take a pool. They raise StorageError when the database cannot answer, and ProtocolError for what is
damaged.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError, StorageError
from arbitrade_core.recording.entries import Chunk, Head
from arbitrade_core.recording.spans import Covered, Hole, Piece, Range, chosen, covered
from arbitrade_core.storage.connect import Pool
from arbitrade_core.storage.recordings.days import DAY_NS, TABLE, asked

_AT_ONCE = 8
"""Chunks that are fetched together, while those before are read."""
_EDGE_NS: Ns = 120 * 10**9
"""Longer than any chunk lasts."""


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


# --- what there is ------------------------------------------------------------------------------------------


_ROWS = """
SELECT id, source, desk_id, state, note, started_at, ended_at, started_ns, ended_ns, chunks, entries, frames, dropped,
    bytes, state_every_s, versions, cardinality(pairs) AS pairs,
    (SELECT count(*) FROM recording_gaps WHERE recording = id) AS gaps
FROM recordings
"""


async def recordings(pool: Pool, limit: int = 1_000) -> list[RecordingRow]:
    """Newest first."""
    async with asked():
        rows = await pool.fetch(f"{_ROWS} ORDER BY started_ns DESC, id DESC LIMIT $1", limit)
    return [RecordingRow(**row) for row in rows]


async def recording(pool: Pool, recording_id: int) -> RecordingRow | None:
    async with asked():
        row = await pool.fetchrow(f"{_ROWS} WHERE id = $1", recording_id)
        left = await pool.fetchval(f"SELECT count(*) FROM {TABLE} WHERE recording = $1", recording_id)  # noqa: S608
    return None if row is None else RecordingRow(**row, chunks_left=left)


async def head(pool: Pool, recording_id: int) -> Head:
    """Where the recorded run began. Raises StorageError when there is no such recording."""
    async with asked():
        found = await pool.fetchval("SELECT head FROM recordings WHERE id = $1", recording_id)
    if found is None:
        raise StorageError(f"there is no recording {recording_id}; `arbitrade recordings list` shows those there are")
    try:
        return msgspec.msgpack.decode(found, type=Head)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"the head of recording {recording_id} cannot be read: {error}") from error


async def gaps(pool: Pool, recording_id: int) -> list[GapRow]:
    """Oldest first."""
    async with asked():
        rows = await pool.fetch(
            "SELECT since_ns, now_ns, dropped, reason FROM recording_gaps WHERE recording = $1 ORDER BY now_ns",
            recording_id,
        )
    return [GapRow(**row) for row in rows]


async def symbols(pool: Pool, recording_id: int) -> list[str]:
    """Of all pairs whose books were carried at some time, sorted."""
    async with asked():
        return list(await pool.fetchval("SELECT pairs FROM recordings WHERE id = $1", recording_id) or ())


# --- a range of time ----------------------------------------------------------------------------------------


async def coverage(
    pool: Pool, span: Range, recording: int | None = None, pairs: Collection[str] | None = None
) -> Covered:
    """What of `span` was recorded: by that recording, or by any; of recordings that carried some of `pairs` alone."""
    async with asked():
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
    async with asked():
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
        SELECT recording, number, start_ns, end_ns, pairs FROM {TABLE}
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
    async with asked():
        rows = await pool.fetch(
            f"""
            SELECT recording, number, start_ns, end_ns, entries, frames, pairs, sha256, data FROM {TABLE}
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
