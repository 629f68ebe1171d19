"""The UTC days of recordings: chunks lie in one partition for each, which is let go as a whole.

Days that somebody needs are pinned. Making, pinning and dropping a day exclude each other, so that none goes that was
pinned before. Who asks for pins takes a pool, and hears StorageError when the database cannot answer.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import asyncpg
import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.errors import StorageError
from arbitrade_core.recording.spans import Range
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Pool

DAY_NS: Ns = 86_400 * 10**9
GB = 10**9
TABLE = "market_snapshots"
"""of chunks"""

_DAYS = 0x52444159  # "RDAY": held while days are made, pinned or dropped
_PARTITION = re.compile(rf"{TABLE}_(\d{{8}})")
_DROP_WAITS = "5s"
"""for readers of a day that is to be dropped; it is tried again at the next pruning"""


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


async def make_day(connection: Connection, day: date) -> None:
    """The partition of a day, when it is not there."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _DAYS)
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_partition(day)} PARTITION OF {TABLE}"
            f" FOR VALUES FROM ({start_of(day)}) TO ({start_of(day) + DAY_NS})"
        )


async def days(connection: Connection | Pool) -> list[DayRow]:
    """Days that hold chunks, oldest first."""
    rows = await connection.fetch(
        "SELECT child.relname AS name, pg_total_relation_size(child.oid) AS bytes FROM pg_inherits"
        " JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = $1::regclass ORDER BY child.relname",
        TABLE,
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
                AND NOT EXISTS (SELECT FROM {TABLE} WHERE recording = id)
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
    async with asked(), pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _DAYS)
        await connection.executemany(
            "INSERT INTO recording_pins VALUES ($1, $2) ON CONFLICT DO NOTHING", [(day, reason) for day in pinned]
        )
    return pinned


async def unpin(pool: Pool, reason: str) -> None:
    """Whatever was pinned for that reason may be pruned."""
    async with asked():
        await pool.execute("DELETE FROM recording_pins WHERE reason = $1", reason)


def _partition(day: date) -> str:
    return f"{TABLE}_{day:%Y%m%d}"


@asynccontextmanager
async def asked() -> AsyncIterator[None]:
    """For whoever asks on a pool: what asyncpg raises becomes a StorageError that says what to do."""
    try:
        yield
    except UNAVAILABLE as error:
        raise StorageError(
            f"recordings cannot be read: {error or type(error).__name__}; see whether the database runs"
        ) from error
