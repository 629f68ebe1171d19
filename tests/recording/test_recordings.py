"""Recordings in a real database: days, gaps, what is read back, and what is let go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

import anyio
import pytest

from arbitrade_core.errors import ProtocolError, StorageError
from arbitrade_core.recording.chunks import decode
from arbitrade_core.recording.entries import Chunk, Entry, Gap
from arbitrade_core.storage.connect import Connection, Database, Pool
from arbitrade_core.storage.recordings import days, reading, writing
from tests.recording.stored import DAY, NOON, S, Span, chunk, frames, gaps_in, head

pytestmark = pytest.mark.anyio

FRIDAY = date(2026, 11, 20)


async def store(database: Database, *chunks: Chunk, source: str = "import", started: int = NOON) -> int:
    """A complete recording; its id."""
    async with writing.writing(database, source, head(started), 60.0) as made:
        for one in chunks:
            await made.append(one)
        return made.id


async def read(pool: Pool, span: Span, recording: int | None = None) -> list[Chunk]:
    return [one async for one in reading.chunks(pool, span, recording)]


def entries_of(chunks: list[Chunk]) -> list[Entry]:
    return [entry for one in chunks for entry in decode(one.data)]


@asynccontextmanager
async def connected(database: Database) -> AsyncIterator[Connection]:
    connection = await database.connect()
    try:
        yield connection
    finally:
        connection.terminate()


async def test_what_is_stored_is_read_in_order(database: Database, pool: Pool) -> None:
    parts = [frames(NOON + number * 10 * S) for number in range(30)]
    made = await store(database, *(chunk(part) for part in parts))
    got = await read(pool, Span(NOON, NOON + 300 * S))
    assert [one.number for one in got] == list(range(30))
    assert entries_of(got) == [entry for part in parts for entry in part]
    row = await reading.recording(pool, made)
    assert row is not None
    assert (row.state, row.chunks, row.frames, row.chunks_left) == ("complete", 30, 600, 30)
    assert (row.started_ns, row.ended_ns) == (NOON, parts[-1][-1].now)
    assert await reading.symbols(pool, made) == ["BTC/USD"]
    assert await reading.head(pool, made) == head()
    assert [one.id for one in await reading.recordings(pool)] == [made]


async def test_a_range_is_read_from_one_state_interval_before(database: Database, pool: Pool) -> None:
    await store(database, *(chunk(frames(NOON + number * 10 * S)) for number in range(30)))
    span = Span(NOON + 150 * S, NOON + 175 * S)
    got = await read(pool, span)
    assert (got[0].number, got[-1].number) == (9, 17)
    assert [one.number async for one in reading.chunks(pool, span, warm_ns=0)] == [15, 16, 17]
    told = await reading.coverage(pool, span)
    assert (told.stretches, told.gaps) == (((span.start_ns, span.end_ns),), ())


async def test_a_chunk_is_in_the_partition_of_its_day(database: Database, pool: Pool) -> None:
    midnight = days.next_midnight(NOON)
    await store(database, chunk(frames(midnight - 10 * S)), chunk(frames(midnight)))
    rows = await pool.fetch("SELECT tableoid::regclass::text AS name, number FROM market_snapshots ORDER BY number")
    assert [row["name"] for row in rows] == ["market_snapshots_20261120", "market_snapshots_20261121"]
    assert len(entries_of(await read(pool, Span(midnight - 5 * S, midnight + 5 * S)))) == 40
    stored = await pool.fetchval(
        "SELECT attstorage FROM pg_attribute"
        " WHERE attrelid = 'market_snapshots_20261121'::regclass AND attname = 'data'"
    )
    assert stored == b"e"  # as it is: PostgreSQL need not try to compress it


async def test_two_writers_make_a_day_at_once(database: Database, pool: Pool) -> None:
    async def write(number: int) -> None:
        await store(database, *(chunk(frames(NOON + (number * 3 + part) * 10 * S)) for part in range(3)))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(write, number)
    assert len(await read(pool, Span(NOON, NOON + 180 * S))) == 18
    assert [row.day for row in await days.days(pool)] == [FRIDAY]


async def test_gaps_are_told(database: Database, pool: Pool) -> None:
    broken = [*frames(NOON, 4), Gap(NOON + 2 * S, NOON + 6 * S, 17, "slow"), *frames(NOON + 6 * S, 4)]
    async with writing.writing(database, "import", head(), 60.0) as made:
        await made.append(chunk(broken), gaps_in(broken))
    told = await reading.coverage(pool, Span(NOON - 10 * S, NOON + 7 * S), made.id)
    assert told.stretches == ((NOON, NOON + 2 * S), (NOON + 6 * S, NOON + 7 * S))
    assert told.gaps == (
        (NOON - 10 * S, NOON, "nothing was recorded"),
        (NOON + 2 * S, NOON + 6 * S, "slow"),
    )
    assert [gap.dropped for gap in await reading.gaps(pool, made.id)] == [17]
    row = await reading.recording(pool, made.id)
    assert row is not None
    assert (row.dropped, row.gaps) == (17, 1)


async def test_a_missing_chunk_is_a_gap(database: Database, pool: Pool) -> None:
    await store(database, *(chunk(frames(NOON + number * 10 * S)) for number in range(5)))
    await pool.execute("DELETE FROM market_snapshots WHERE number = 2")
    assert [one.number for one in await read(pool, Span(NOON, NOON + 50 * S))] == [0, 1, 3, 4]
    told = await reading.coverage(pool, Span(NOON, NOON + 49 * S))
    assert [why for _, _, why in told.gaps] == ["chunks are missing"]


async def test_of_recordings_made_at_once_the_one_that_covers_more_is_read(database: Database, pool: Pool) -> None:
    short = await store(database, *(chunk(frames(NOON + (5 + number) * 10 * S)) for number in range(5)))
    long = await store(database, *(chunk(frames(NOON + number * 10 * S)) for number in range(30)))
    later = await store(database, *(chunk(frames(NOON + (40 + number) * 10 * S)) for number in range(3)))
    span = Span(NOON, NOON + 430 * S)
    got = await read(pool, span)
    assert list(dict.fromkeys(one.recording for one in got)) == [long, later]
    told = await reading.coverage(pool, span)
    assert (told.recordings, told.overlapped) == ((long, later), (short,))
    assert {one.recording for one in await read(pool, span, short)} == {short}


async def test_recordings_without_the_pairs_are_left_out(database: Database, pool: Pool) -> None:
    await store(database, chunk(frames(NOON), pairs=["ADA/USD"]))
    wanted = await store(database, chunk(frames(NOON), pairs=[]), chunk(frames(NOON + 10 * S), pairs=["BTC/USD"]))
    told = await reading.coverage(pool, Span(NOON, NOON + 20 * S), pairs=["BTC/USD", "X/Y"])
    assert (told.recordings, told.pairs) == ((wanted,), ("BTC/USD",))
    got = [one async for one in reading.chunks(pool, Span(NOON, NOON + 20 * S), pairs=["BTC/USD"])]
    assert [(one.recording, one.number) for one in got] == [(wanted, 0), (wanted, 1)]


async def test_a_damaged_chunk_is_named(database: Database, pool: Pool) -> None:
    made = await store(database, *(chunk(frames(NOON + number * 10 * S)) for number in range(3)))
    await pool.execute("UPDATE market_snapshots SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE number = 1")
    wanted = rf"chunk 1 of recording {made}, from 2026-11-20 12:00:10 UTC on, is damaged"
    with pytest.raises(ProtocolError, match=wanted):
        await read(pool, Span(NOON, NOON + 30 * S))


async def test_an_import_that_fails_leaves_nothing(database: Database, pool: Pool) -> None:
    with pytest.raises(ValueError, match="bad line"):
        async with writing.writing(database, "import", head(), 60.0) as made:
            await made.append(chunk(frames(NOON)))
            raise ValueError("bad line")
    assert await reading.recordings(pool) == []
    assert await pool.fetchval("SELECT count(*) FROM market_snapshots") == 0


async def test_storing_a_chunk_twice_stores_it_once(database: Database, pool: Pool) -> None:
    """When the answer to a commit is lost, nobody knows whether it was one."""
    async with connected(database) as connection:
        made = await writing.begin(connection, "run", head(), 60.0)
        one = chunk([*frames(NOON, 2), Gap(NOON + S, NOON + 2 * S, 1, "slow")], recording=made)
        totals = writing.Totals(1, 3, 2, 1, len(one.data))
        for _ in range(2):
            await writing.append(connection, one, totals, [Gap(NOON + S, NOON + 2 * S, 1, "slow")])
        await writing.end(connection, made, totals)
    row = await reading.recording(pool, made)
    assert row is not None
    assert (row.chunks, row.chunks_left, row.frames, row.gaps) == (1, 1, 2, 1)


async def test_what_a_crash_left_open_is_closed_by_the_next(database: Database, pool: Pool) -> None:
    async with connected(database) as alive, connected(database) as crashed:
        goes_on = await writing.begin(alive, "record", head(), 60.0)
        left = await writing.begin(crashed, "run", head(), 60.0)
        crashed.terminate()
        with anyio.fail_after(10):
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1"
            while await pool.fetchval(held, left):  # noqa: ASYNC110 - the server tells nobody
                await anyio.sleep(0.02)
        made = await store(database, chunk(frames(NOON)))
        states = {row.id: (row.state, row.note) for row in await reading.recordings(pool)}
        assert states == {
            goes_on: ("open", ""),
            left: ("broken", writing.BROKEN_OFF),
            made: ("complete", ""),
        }


async def test_no_such_recording(pool: Pool) -> None:
    with pytest.raises(StorageError, match="there is no recording 7"):
        await reading.head(pool, 7)
    assert await reading.recording(pool, 7) is None


# --- making room ---


async def ten_days(database: Database) -> int:
    return await store(database, *(chunk(frames(NOON + number * DAY)) for number in range(10)))


async def test_days_that_are_too_old_go_as_a_whole(database: Database, pool: Pool) -> None:
    await ten_days(database)
    now = NOON + 9 * DAY
    async with connected(database) as connection:
        dry = await days.prune(connection, now_ns=now, keep_days=4, max_gb=1, dry_run=True)
        assert len(await days.days(pool)) == 10
        done = await days.prune(connection, now_ns=now, keep_days=4, max_gb=1)
    assert dry == done
    assert [day.day for day, _ in zip([date(2026, 11, 20 + n) for n in range(5)], done.dropped, strict=True)] == [
        20,
        21,
        22,
        23,
        24,
    ]
    assert {why for _, why in done.dropped} == {"older than 4 days"}
    assert [row.day.day for row in await days.days(pool)] == [25, 26, 27, 28, 29]
    (row,) = await reading.recordings(pool)
    assert row.chunks == 10
    assert await pool.fetchval("SELECT count(*) FROM market_snapshots") == 5


async def test_the_oldest_go_first_when_there_is_too_much_and_today_stays(database: Database, pool: Pool) -> None:
    await ten_days(database)
    of_a_day = (await days.days(pool))[0].bytes
    async with connected(database) as connection:
        done = await days.prune(connection, now_ns=NOON + 9 * DAY, keep_days=99, max_gb=3.5 * of_a_day / days.GB)
        assert len(done.dropped) == 7
        assert done.kept_bytes == 3 * of_a_day
        nothing = await days.prune(connection, now_ns=NOON + 9 * DAY, keep_days=99, max_gb=1e-9)
    assert [day.day for day, _ in nothing.dropped] == [27, 28]
    assert [row.day.day for row in await days.days(pool)] == [29]


async def test_pinned_days_stay_until_they_are_let_go(database: Database, pool: Pool) -> None:
    await ten_days(database)
    span = Span(NOON + DAY, NOON + 2 * DAY)
    assert [day.day for day in await days.pin(pool, span, "backtest 5")] == [21, 22]
    async with connected(database) as connection:
        done = await days.prune(connection, now_ns=NOON + 9 * DAY, keep_days=1, max_gb=1)
        assert [(day.day, why) for day, why in done.held] == [
            (21, "pinned: backtest 5"),
            (22, "pinned: backtest 5"),
        ]
        assert [row.day.day for row in await days.days(pool)] == [21, 22, 28, 29]
        assert len(entries_of(await read(pool, span))) >= 20
        await days.unpin(pool, "backtest 5")
        await days.prune(connection, now_ns=NOON + 9 * DAY, keep_days=1, max_gb=1)
    assert [row.day.day for row in await days.days(pool)] == [28, 29]


async def test_recordings_go_with_the_last_of_their_days(database: Database, pool: Pool) -> None:
    made = await store(database, chunk(frames(NOON)))
    async with connected(database) as connection:
        await days.prune(connection, now_ns=NOON + 60 * DAY, keep_days=30, max_gb=1)
    assert await reading.recording(pool, made) is None


async def test_a_day_that_is_gone_can_be_written_again(database: Database, pool: Pool) -> None:
    async with connected(database) as connection:
        made = await writing.begin(connection, "run", head(), 60.0)
        await writing.append(connection, chunk(frames(NOON), 0, made), writing.Totals(1, 20, 20, 0, 1))
        await days.prune(connection, now_ns=NOON + 2 * DAY, keep_days=1, max_gb=1)
        await writing.append(connection, chunk(frames(NOON + 10 * S), 1, made), writing.Totals(2, 40, 40, 0, 2))
    assert [one.number for one in await read(pool, Span(NOON, NOON + 20 * S), made)] == [1]


async def test_what_is_read_is_found_by_index(database: Database, pool: Pool) -> None:
    await store(database, chunk(frames(NOON)))
    indexes = {
        row["indexdef"]
        for row in await pool.fetch("SELECT indexdef FROM pg_indexes WHERE tablename = 'market_snapshots_20261120'")
    }
    assert any("gin (pairs)" in one for one in indexes)
    assert any("btree (start_ns, end_ns)" in one for one in indexes)
