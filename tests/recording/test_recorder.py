"""The recorder: everything it hears is stored, or it is said what is not, and nobody waits for it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import asyncpg
import pytest

from arbitrade_core.domain import Alert
from arbitrade_core.events import Frame, Input, Opened, Tick
from arbitrade_core.recording.chunks import decode
from arbitrade_core.recording.entries import Entry, Gap, State, Via
from arbitrade_core.settings import RecordingSettings
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.recordings import days, reading, writing
from arbitrade_core.storage.recordings.recorder import Recorder
from tests.recording.fakes import FakeEngine, engine_with
from tests.recording.stored import NOON, S, Span, head
from tests.storage.proxy import proxied

pytestmark = pytest.mark.anyio

WAIT_S = 30.0


class Recorded:
    """A recorder, and everything it was told."""

    def __init__(self, database: Database, settings: RecordingSettings, symbols: list[str], **more: Any) -> None:
        engine, self.fake = engine_with(symbols)
        self.heard: list[Input] = []
        self.alerts: list[Alert] = []
        self.clock = itertools.count(NOON, S // 1000)
        self.recorder = Recorder(database, engine, "run", settings, clock=self.now, tell=self.alerts.append, **more)

    def now(self) -> int:
        return next(self.clock)

    def hear(self, count: int = 1) -> None:
        for _ in range(count):
            now = self.now()
            event: Input = Frame(1, b'{"channel":"book","price":%d.%06d,"qty":7}' % (now % 997, now % 999_983), now)
            if now % 7 == 0:
                event = Tick(now)
            self.heard.append(event)
            self.recorder.tap(event)

    def topics(self) -> list[str]:
        return [alert.topic for alert in self.alerts]

    async def until(self, happened: Callable[[], object], *, hearing: int = 0) -> None:
        with anyio.fail_after(WAIT_S):
            while not happened():
                self.hear(hearing)
                await anyio.sleep(0.01)


@asynccontextmanager
async def recording(
    database: Database, *, symbols: list[str] | None = None, chunk_s: float = 0.2, every_s: float = 60, **more: Any
) -> AsyncIterator[Recorded]:
    settings = RecordingSettings(chunk_s=chunk_s, state_every_s=every_s)
    made = Recorded(database, settings, symbols or [], **more)
    made.recorder.begin(head(NOON))
    try:
        yield made
    finally:
        await made.recorder.finish()


async def stored(pool: Pool, recording_id: int = 1) -> list[Entry]:
    span = Span(0, 2**62)
    return [entry async for one in reading.chunks(pool, span, recording_id) for entry in decode(one.data)]


def inputs(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if not isinstance(entry, Via | State | Gap)]


async def test_everything_heard_is_stored_in_order(database: Database, pool: Pool) -> None:
    async with recording(database) as made:
        for _ in range(20):
            made.hear(200)
            await anyio.sleep(0.02)
    got = await stored(pool)
    assert inputs(got) == made.heard
    assert got[0] == Via(1, "telling", NOON)
    (row,) = await reading.recordings(pool)
    assert (row.state, row.dropped, row.source, row.started_ns) == ("complete", 0, "run", NOON)
    assert row.frames == sum(isinstance(event, Frame) for event in made.heard)
    assert row.chunks > 1
    assert made.alerts == []
    view = made.recorder.view()
    assert (view["frames"], view["dropped"], view["behind"], view["waiting_bytes"]) == (row.frames, 0, 0, 0)


async def test_a_connection_is_told_before_its_first_frame(database: Database, pool: Pool) -> None:
    async with recording(database) as made:
        made.recorder.tap(Opened(1, made.now()))
        made.hear()
    got = await stored(pool)
    assert [type(entry) for entry in got[:3]] == [Via, Via, Opened]


async def test_a_chunk_ends_when_it_is_old_or_large_or_the_day_is_over(database: Database, pool: Pool) -> None:
    midnight = days.next_midnight(NOON)
    settings = RecordingSettings(chunk_s=30, chunk_mb=0.01)
    made = Recorded(database, settings, [])
    made.recorder.begin(head(NOON))
    made.clock = itertools.count(midnight - 50 * S // 1000, S // 1000)
    made.hear(1_000)
    await made.recorder.finish()
    rows = await pool.fetch("SELECT start_ns, end_ns FROM market_snapshots ORDER BY number")
    assert len(rows) > 4
    assert all(row["end_ns"] < midnight or row["start_ns"] >= midnight for row in rows)
    assert any(row["start_ns"] == midnight for row in rows)
    assert inputs(await stored(pool)) == made.heard


async def test_all_books_are_told_once_in_an_interval_and_the_listing_first(database: Database, pool: Pool) -> None:
    symbols = [f"A{number}/USD" for number in range(30)]
    async with recording(database, symbols=symbols, every_s=1) as made:
        until = NOON + 5 * S
        made.clock = itertools.count(NOON, S // 100)

        def moves_on() -> bool:
            return made.now() > until

        await made.until(moves_on, hearing=1)
    asked = made.fake.feed.asked
    assert asked[0] == []
    books = [pair for pairs in asked for pair in pairs]
    first = books[: len(symbols)]
    assert sorted(first) == list(range(30))
    states = [entry for entry in await stored(pool) if isinstance(entry, State)]
    assert len(states) == len(books) + asked.count([])
    chunk_pairs = [one.pairs async for one in reading.chunks(pool, Span(0, 2**62))]
    assert set(chunk_pairs) == {tuple(sorted(symbols))}


async def test_a_new_listing_is_told(database: Database) -> None:
    from arbitrade_core.testing.builders import pair  # noqa: PLC0415

    async with recording(database, symbols=["A/USD"]) as made:
        await made.until(lambda: [] in made.fake.feed.asked)
        made.fake.feed.asked.clear()
        made.fake.market.list_pair(pair("NEW/USD"))
        await made.until(lambda: [] in made.fake.feed.asked)


async def test_a_feed_that_cannot_tell_its_state_is_asked_no_more(database: Database, pool: Pool) -> None:
    async with recording(database, symbols=["A/USD"]) as made:
        made.fake.feed.broken = True
        made.hear(10)
        await anyio.sleep(0.5)
        made.hear(10)
    assert inputs(await stored(pool)) == made.heard


async def test_without_a_database_what_does_not_fit_is_dropped_and_said(database: Database, pool: Pool) -> None:
    async with proxied(database) as (proxy, through):
        async with recording(through, chunk_s=0.1, symbols=["A/USD"], waiting_bytes=4_000) as made:
            recorder = made.recorder
            await made.until(lambda: recorder.view()["id"] is not None, hearing=5)
            proxy.refuse = True
            proxy.drop_all()
            await made.until(lambda: recorder.dropped > 500, hearing=50)
            assert made.topics() == ["recording.dropped"]
            assert "trading goes on" in made.alerts[0].text
            assert recorder.view()["failing"]
            proxy.refuse = False
            await made.until(lambda: "recording.back" in made.topics(), hearing=5)
            made.hear(100)
            dropped = recorder.dropped
            asked = len(made.fake.feed.asked)
            await made.until(lambda: len(made.fake.feed.asked) > asked + 1)  # books again, at once
        got = await stored(pool)
        (gap,) = [entry for entry in got if isinstance(entry, Gap)]
        assert gap.dropped == dropped
        kept = inputs(got)
        assert len(kept) + dropped == len(made.heard)
        left_out = [event for event in made.heard if gap.since < event.now < gap.now]
        assert kept == [event for event in made.heard if event not in left_out]
        assert len(left_out) == dropped
        after = got[got.index(gap) + 1 :]
        assert isinstance(after[0], Via)
        assert made.topics() == ["recording.dropped", "recording.back"]
        (row,) = await reading.recordings(pool)
        assert (row.state, row.dropped, row.gaps) == ("complete", dropped, 1)
        told = await reading.coverage(pool, Span(got[0].now, got[-1].now))
        assert [(since, now) for since, now, _ in told.gaps] == [(gap.since, gap.now)]


async def test_a_database_that_is_gone_for_a_while_costs_nothing(database: Database, pool: Pool) -> None:
    async with proxied(database) as (proxy, through), recording(through, chunk_s=0.1) as made:
        await made.until(lambda: made.recorder.view()["id"] is not None, hearing=5)
        proxy.refuse = True
        proxy.drop_all()
        await made.until(lambda: made.recorder.view()["failing"], hearing=5)
        made.hear(500)
        proxy.refuse = False
        await made.until(lambda: not made.recorder.view()["failing"], hearing=5)
    assert inputs(await stored(pool)) == made.heard
    assert made.alerts == []


async def test_a_commit_whose_answer_is_lost_is_stored_once(database: Database, pool: Pool) -> None:
    async with proxied(database) as (proxy, through), recording(through, chunk_s=0.1) as made:
        await made.until(lambda: made.recorder.view()["id"] is not None, hearing=5)
        proxy.cut_after_commit = True
        await made.until(lambda: proxy.cuts, hearing=5)
        await made.until(lambda: not made.recorder.view()["failing"], hearing=5)
    assert inputs(await stored(pool)) == made.heard


async def test_without_a_database_at_the_start_it_begins_when_there_is_one(database: Database, pool: Pool) -> None:
    async with proxied(database) as (proxy, through):
        proxy.refuse = True
        async with recording(through, chunk_s=0.1) as made:
            await made.until(lambda: made.recorder.view()["failing"], hearing=5)
            proxy.refuse = False
            await made.until(lambda: made.recorder.view()["id"] is not None, hearing=5)
    assert inputs(await stored(pool)) == made.heard


async def test_a_full_disk_is_said_and_recording_goes_on_when_there_is_room(
    database: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True
    append = writing.append

    async def refusing(*given: Any) -> None:
        if full:
            raise asyncpg.DiskFullError("could not extend file: No space left on device")
        await append(*given)

    monkeypatch.setattr(writing, "append", refusing)
    async with recording(database, chunk_s=0.1, waiting_bytes=2_000) as made:
        await made.until(lambda: made.recorder.dropped, hearing=50)
        assert made.topics() == ["recording.stopped"]
        assert "disk of the database is full" in made.alerts[0].text
        full = False
        await made.until(lambda: "recording.back" in made.topics(), hearing=5)
    got = await stored(pool)
    assert len(inputs(got)) + made.recorder.dropped == len(made.heard)
    assert made.topics() == ["recording.stopped", "recording.back"]


async def test_a_thread_that_cannot_follow_drops_and_says_so(database: Database, pool: Pool) -> None:
    async with recording(database, furthest_behind=1_000) as made:
        for _ in range(200):  # no chance for the thread to keep up: nobody lets it run
            made.hear(500)
        await made.until(lambda: made.recorder.view()["behind"] == 0)
        made.hear(600)
    assert made.topics()[:2] == ["recording.dropped", "recording.back"]
    got = await stored(pool)
    assert len(inputs(got)) + made.recorder.dropped == len(made.heard)
    assert sum(entry.dropped for entry in got if isinstance(entry, Gap)) == made.recorder.dropped


async def test_what_is_missing_at_the_end_is_said(database: Database, pool: Pool) -> None:
    async with recording(database, furthest_behind=-1) as made:
        made.hear(100)
    (row,) = await reading.recordings(pool)
    assert row.state == "complete"
    assert (row.dropped, row.note) == (
        100,
        "100 inputs at its end are missing: the recorder's thread is too far behind",
    )


async def test_an_input_that_cannot_be_written_ends_the_recording_alone(database: Database, pool: Pool) -> None:
    async with recording(database, chunk_s=0.1) as made:
        made.hear(200)
        await made.until(lambda: made.recorder.view()["chunks"])
        made.recorder.tap(Tick(1 << 80))
        await made.until(made.topics, hearing=5)
        assert "nothing is recorded any more" in made.alerts[0].text
        made.hear(1_000)
        assert made.recorder.dropped
    assert made.topics() == ["recording.stopped"]
    kept = inputs(await stored(pool))
    assert kept == made.heard[: len(kept)]
    (row,) = await reading.recordings(pool)
    assert row.dropped == len(made.heard) + 1 - len(kept)
    assert "missing" in row.note


async def test_two_recorders_write_at_once(database: Database, pool: Pool) -> None:
    async with recording(database, chunk_s=0.1) as one, recording(database, chunk_s=0.1) as other:
        for _ in range(20):
            one.hear(20)
            other.hear(30)
            await asyncio.sleep(0.02)
    ids = sorted(made.recorder.view()["id"] for made in (one, other))
    assert ids == [1, 2]
    for made in (one, other):
        assert inputs(await stored(pool, made.recorder.view()["id"])) == made.heard


def test_the_fake_is_as_recordable_as_a_feed() -> None:
    from arbitrade_core.spi import Recordable  # noqa: PLC0415

    assert isinstance(FakeEngine().feed, Recordable)
