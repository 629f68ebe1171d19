"""Bots that record: what they were fed comes back, whatever becomes of them."""

import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest

from arbitrade_core import runtime
from arbitrade_core.events import Frame, Input
from arbitrade_core.mode import Mode
from arbitrade_core.recording.chunks import decode
from arbitrade_core.recording.entries import Entry, Gap, State, Via
from arbitrade_core.replay.exact import compare
from arbitrade_core.report import recorded
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.recordings import reading, writing
from tests.host.bots import Bot
from tests.host.conftest import (
    Command,
    Start,
    _opened_by_picows,
    arbitrade,
    data_dir,
    exchange_url,
    install,
    nothing_set,
    plugin,
    setting,
    site,
    start,
)
from tests.recording.stored import Span

pytestmark = pytest.mark.anyio

__all__ = ["arbitrade", "data_dir", "exchange_url", "install", "nothing_set", "plugin", "setting", "site", "start"]

EVER = Span(0, 2**62)


@asynccontextmanager
async def bot_of(*, record: bool | None = None) -> AsyncIterator[Bot]:
    """A bot in this process."""
    async with runtime.session(Mode.PAPER, record=record) as session:
        yield Bot(session)
        # picows leaves the socket behind of a connection that is given up while it is being opened.
        with anyio.move_on_after(5):
            while any(not one._opening.done() for one in _opened_by_picows(session)):  # noqa: ASYNC110
                await anyio.sleep(0.01)


@pytest.fixture
def told(setting: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a bot in this process."""
    for name, value in (setting | {"ARBITRADE_RECORDING__CHUNK_S": "0.5"}).items():
        monkeypatch.setenv(name, value)
    yield monkeypatch


async def stored(pool: Pool, recording: int = 1) -> list[Entry]:
    return [entry async for one in reading.chunks(pool, EVER, recording) for entry in decode(one.data)]


def inputs(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if not isinstance(entry, Via | State | Gap)]


async def test_a_recorded_run_is_all_that_its_engine_was_fed(
    told: pytest.MonkeyPatch, pool: Pool, database: Database
) -> None:
    heard: list[Input] = []
    async with bot_of(record=True) as bot:
        session = bot.session
        session.shell.tap(heard.append)
        await bot.trades(2)
        assert session.recorder is not None
        view = session.recorder.view()
        assert view["id"] == 1
    got = inputs(await stored(pool))
    # The second tap came a moment later, and both heard until the end.
    assert got[-len(heard) :] == heard
    frames = sum(isinstance(entry, Frame) for entry in got)
    assert frames == session.engine.frames
    (row,) = await reading.recordings(pool)
    assert (row.source, row.state, row.dropped, row.frames, row.desk_id) == ("run", "complete", 0, frames, "paper")
    head = await reading.head(pool, row.id)
    assert head.started == row.started_ns
    assert head.plugins.keys() >= {"core", "kraken", "triangular"}
    assert head.settings["ARBITRADE_KRAKEN__FEE_TIER"] == "tier-1"
    assert not {name for name in head.settings if "DATABASE" in name or name.startswith("PG_") or "DATA_DIR" in name}
    first_frame = next(entry for entry in await stored(pool) if isinstance(entry, Frame))
    vias = [entry for entry in await stored(pool) if isinstance(entry, Via)]
    assert (vias[0].conn, vias[0].feed) == (first_frame.conn, "kraken")


async def test_a_recorded_run_can_be_run_again_record_for_record(told: pytest.MonkeyPatch, pool: Pool) -> None:
    async with bot_of(record=True) as bot:
        await bot.trades(2)
        await bot.session.plugins.disable("triangular", "test")
        await bot.session.plugins.enable("triangular", "test")
        await bot.trades(1)
    rows = await pool.fetch("SELECT stream, seq, content FROM journal")
    journal = {(row["stream"], row["seq"]): bytes(row["content"]) for row in rows}
    again = compare(await reading.head(pool, 1), await stored(pool), lambda stream, seq: journal.get((stream, seq)))
    assert again.differences == []
    assert (again.gap, again.records) == (None, len(journal))


async def test_a_run_that_is_not_to_record_does_not(told: pytest.MonkeyPatch, pool: Pool) -> None:
    told.setenv("ARBITRADE_RECORDING__ENABLED", "true")
    async with bot_of(record=False) as bot:
        assert bot.session.recorder is None
    assert await reading.recordings(pool) == []


async def test_a_session_may_only_record_beside_a_bot(told: pytest.MonkeyPatch, pool: Pool, start: Start) -> None:
    told.setenv("ARBITRADE_RECORDING__ENABLED", "true")
    async with bot_of() as bot:
        session = bot.session
        await bot.trades()
        beside = start("record", "--seconds=2", "--json", "--all-pairs")
        assert await anyio.to_thread.run_sync(beside.ended) == 0, beside.errors
        await bot.trades()
        assert recorded(session)["recording"]["dropped"] == 0
    answer = beside.answer()
    assert answer["recording"]["frames"] == answer["frames"] > 0
    assert answer["checksums_bad"] == 0
    rows = {row.source: row for row in await reading.recordings(pool)}
    assert {name: row.state for name, row in rows.items()} == {"run": "complete", "record": "complete"}
    listing = {pair.symbol for pair in session.engine.market.pairs}
    assert set(await reading.symbols(pool, rows["record"].id)) == listing
    # It traded nothing, and wrote nothing but its recording.
    streams = {row["stream"] for row in await pool.fetch("SELECT DISTINCT stream FROM journal")}
    assert streams == {"paper", "system"}
    span = Span(rows["record"].started_ns, rows["record"].ended_ns)
    coverage = await reading.coverage(pool, span)
    assert coverage.gaps == ()
    assert set(coverage.recordings) == {rows["run"].id}
    assert coverage.overlapped == (rows["record"].id,)


async def test_after_kill_9_what_was_stored_is_there(pool: Pool, start: Start, arbitrade: Command) -> None:
    bot = start("run", "--record", RECORDING__CHUNK_S="0.2")
    with anyio.fail_after(40):
        while not (rows := await reading.recordings(pool)) or rows[0].chunks < 3:
            assert bot.process.poll() is None, bot.ended()
            await anyio.sleep(0.05)
    bot.process.send_signal(signal.SIGKILL)
    bot.ended()
    again = start("record", "--seconds=1", "--json")
    assert await anyio.to_thread.run_sync(again.ended) == 0, again.errors
    new, old = await reading.recordings(pool)
    assert (old.state, old.note) == ("broken", writing.BROKEN_OFF)
    assert (new.state, new.source) == ("complete", "record")
    assert len(await stored(pool, old.id)) == old.entries
    assert old.frames > 0

    listed = await arbitrade("recordings", "list", "--json")
    assert [row["state"] for row in listed.answer()] == ["complete", "broken"]
    table = await arbitrade("recordings", "list")
    assert "broken" in table.out
    shown = await arbitrade("recordings", "show", str(old.id), "--json")
    assert shown.answer()["recording"]["note"] == writing.BROKEN_OFF
    assert "ended by a crash" in " ".join((await arbitrade("recordings", "show", str(old.id))).out.split())
    missing = await arbitrade("recordings", "show", "99")
    assert (missing.code, "there is no recording 99" in missing.errors) == (2, True)
    dry = await arbitrade("recordings", "prune", "--dry-run", "--json")
    assert dry.answer()["dropped"] == []
    assert (await arbitrade("recordings", "prune")).code == 0


async def test_a_recording_bot_says_so(told: pytest.MonkeyPatch, start: Start, arbitrade: Command) -> None:
    bot = start("run", "--record", RECORDING__CHUNK_S="0.2")
    await anyio.to_thread.run_sync(bot.listens)
    with anyio.fail_after(40):
        while not json.loads((await arbitrade("status")).out)["recording"]["frames"]:  # noqa: ASYNC110
            await anyio.sleep(0.1)
    bot.process.send_signal(signal.SIGINT)
    assert await anyio.to_thread.run_sync(bot.ended) == 0
    assert "recording" in bot.out
