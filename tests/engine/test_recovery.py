"""Start is recovery: whatever record was the last one on disk, the desk goes on from there (RELIABILITY 2, 8, 9).

On a real PostgreSQL: after every record of a run in this process, and once under `kill -9`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

from arbitrade_core.domain import Done, DoneReason, Ns, OrderEvent, Rejected
from arbitrade_core.journal import Record
from arbitrade_core.ledger import Ledger
from arbitrade_core.money import ZERO, exact
from arbitrade_core.pnl import HOUR_NS, day_start
from arbitrade_core.recovery import INTERRUPTED, HighWater, Recovered
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.journal_store import JournalWriter, verify_chain
from arbitrade_core.storage.past import recover
from tests.engine.harness import CHEAP, OVER_ETH, Scene
from tests.engine.watched import assert_books_add_up, assert_flat

WAIT_S = 60.0


def eventful() -> Scene:
    """A cycle that leaves residue, one that takes it along, one that misses, one that is unwound, one dropped."""
    scene = Scene(cooldown_ms=300, leg_ban_s=1, commit_ms=5)
    for ask in (CHEAP, "0.02965"):
        scene.sees("ETH/BTC", ask=ask)
        scene.passes(ms=150)
        scene.sees("ETH/BTC", ask="0.03001")
        scene.passes(ms=300)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    scene.sees("BTC/USD", bid="50100", ask="50500")
    scene.passes(ms=100)
    scene.sees("ETH/BTC", ask="0.03001")
    scene.sees("BTC/USD", bid="50000", ask="50001")
    scene.passes(ms=300)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    scene.sees("ETH/BTC", ask="0.03001")
    scene.passes(ms=1_500)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=2)
    scene.sees("ETH/BTC", ask="0.03001")
    scene.passes(ms=100)
    assert scene.outcomes == ["completed", "completed", "missed", "unwound"]
    assert len(scene.world.told("drop")) == 1
    residues = [
        Decimal(row["amount"])
        for record in scene.world.told("balances")
        for row in record.data["accounts"]
        if (row["asset"], row["account"]) == ("BTC", "residue")
    ]
    assert residues[1] < residues[0], "the second cycle took residue along"
    assert_flat(scene.world)
    assert_books_add_up(scene.world, scene.opening)
    return scene


@pytest.mark.anyio
async def test_a_start_after_any_record_finds_the_same_money_and_ends_what_was_open(
    database: Database, pool: Pool
) -> None:
    scene = eventful()
    records = [record for record in scene.world.records if record.stream == "desk"]
    writer = JournalWriter(database, ["desk"], clock=lambda: scene.world.now, emit=lambda report: None)
    await writer.open()
    recovered = Recovered()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        for number, record in enumerate(records, start=1):
            writer.append([record])
            assert await writer.drain(5)
            recovered = await recover(pool, "desk", scene.world.now)
            found_as_left(records[:number], recovered, scene.opening)
        tasks.cancel_scope.cancel()
    assert await verify_chain(pool, "desk") == (len(records), True, None)
    assert writer.unprojected == 0
    limits_remember(scene, recovered)


def found_as_left(records: Sequence[Record], recovered: Recovered, opening: dict[str, Decimal]) -> None:
    kinds = [record.kind for record in records]
    if "balances" not in kinds:
        assert recovered == Recovered(), "a desk that never opened its books is new"
        return
    with exact():
        ledger = Ledger("desk")
        ledger.restore(recovered.accounts)
        assert ledger.problems() == [], kinds[-5:]
        expected = dict(opening)
        for record in records:
            for row in record.data["rows"] if record.kind == "fill" else ():
                amount = Decimal(row["amount"]) - Decimal(row["fee"])
                expected[row["asset"]] = expected.get(row["asset"], ZERO) + amount
        assert ledger.balances() == {asset: amount for asset, amount in expected.items() if amount}
        over = {record.data["plan"] for record in records if record.kind in ("end", "drop")}
        left_open = {record.data["id"] for record in records if record.kind == "plan"} - over
        ends = [data for kind, data in recovered.interrupted if kind == "end"]
        assert {data["plan"] for data in ends} == left_open
        assert all(data["outcome"] == INTERRUPTED for data in ends)
        for data in ends:
            for asset, amount in data["residue"].items():
                assert 0 < Decimal(amount) <= ledger.residue(asset)
        values = {data["plan"]: Decimal(data["profit_valued"]) for data in ends}
        assert values == {plan: value_at_marks(records, plan) for plan in left_open}
        assert sorted(past.value for past in recovered.past if past.outcome == INTERRUPTED) == sorted(values.values())
        told = {record.data["plan"] for record in records if record.kind == "end"}
        assert len(recovered.past) == len(told | left_open), "interrupted plans count as plans"


def value_at_marks(records: Sequence[Record], plan: str) -> Decimal:
    """What a plan's fills came to at the marks of its decision."""
    marks = next(record.data["marks"] for record in records if record.kind == "plan" and record.data["id"] == plan)
    rows = [row for record in records if record.kind == "fill" and record.data["plan"] == plan
            for row in record.data["rows"]]  # fmt: skip
    return sum(((Decimal(row["amount"]) - Decimal(row["fee"])) * Decimal(marks[row["asset"]]) for row in rows), ZERO)


def limits_remember(scene: Scene, recovered: Recovered) -> None:
    """The next start: same money, and every limit looks at the plans of the run before (RELIABILITY 9)."""
    again = Scene(after=scene, recovered=recovered, cooldown_ms=60_000)
    before, now, desk = scene.desk, again.world.now, again.desk
    with exact():
        assert desk.ledger.accounts() == before.ledger.accounts()
        assert desk.unwind_loss(day_start(now)) == before.unwind_loss(day_start(now)) > 0
        assert desk.trading_pnl(now - HOUR_NS) == before.trading_pnl(now - HOUR_NS) != 0
        assert desk.drawdown() == before.drawdown() > 0  # type: ignore[operator]
    assert desk.consecutive_failures == before.consecutive_failures == 1
    ended = [end.data["plan"] for end in scene.world.told("end")]
    assert desk.plans_since(now - HOUR_NS) == len(ended)
    again.sees("ETH/BTC", ask=CHEAP)
    assert again.planned == []
    assert list(again.funnel["refused"]) == ["cooldown"], f"{OVER_ETH} had a plan just before the restart"


async def found_after(scene: Scene, database: Database, pool: Pool) -> Recovered:
    """The desk as a start finds it when the scene's journal is all that is left."""
    writer = JournalWriter(database, ["desk"], clock=lambda: scene.world.now, emit=lambda report: None)
    await writer.open()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        writer.append([record for record in scene.world.records if record.stream == "desk"])
        assert await writer.drain(5)
        tasks.cancel_scope.cancel()
    writer.close()
    return await recover(pool, "desk", scene.world.now)


@pytest.mark.anyio
async def test_reliability_9_a_loss_that_was_cut_off_counts_in_every_later_run(database: Database, pool: Pool) -> None:
    """The process ends while dear ether is held: the next run, and the one after it, know what that cost."""
    scene = Scene(fee="0.002")
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=30)
    assert len(scene.world.told("fill")) == 1, "leg 1 has filled, leg 2 is under way"
    second = await found_after(scene, database, pool)
    again = Scene(after=scene, recovered=second, cooldown_ms=0, max_unwind_loss_per_day_valued=Decimal(2))
    third = await found_after(again, database, pool)
    now = scene.world.now
    (cut,) = second.past
    with exact():
        assert cut.value == value_at_marks(scene.world.records, "test0001")
        assert Decimal(-3) < cut.value < Decimal(-2), "the fee of leg 1 and half the spread"
        assert again.desk.unwind_loss(day_start(now)) == -cut.value
        assert again.desk.trading_pnl(now - HOUR_NS) == cut.value
    again.sees("ETH/BTC", ask=CHEAP)
    assert again.planned == []
    assert list(again.funnel["refused"]) == ["unwind_loss"]
    assert [(past.outcome, past.value) for past in third.past] == [(INTERRUPTED, cut.value)]


@pytest.mark.anyio
async def test_reliability_5_what_a_venue_tells_again_of_an_earlier_run_is_known(
    database: Database, pool: Pool
) -> None:
    """An exchange repeats its last fills when a connection is new."""
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=300)
    assert scene.outcomes == ["completed"]
    again = Scene(after=scene, recovered=await found_after(scene, database, pool))
    for order_id in scene.sent:
        record = scene.desk.conductor.history.orders.get(order_id)
        assert record is not None
        told: list[OrderEvent] = [*record.fills.values(), Done(order_id, DoneReason.FILLED, record.filled_qty)]
        for event in told:
            again.desk.conductor.on_event(event, again.world.now)
    assert again.desk.halted is None
    assert again.desk.conductor.repeats >= 6
    assert again.desk.ledger.accounts() == scene.desk.ledger.accounts()
    again.desk.conductor.on_event(Rejected(scene.sent[0], "not any more"), again.world.now)
    assert "test0001-1 filled" in str(again.desk.halted)


def test_reliability_9_a_fall_from_the_peak_goes_on_over_a_restart() -> None:
    """Inventory rises and falls between plans; the peak is what the journal was told last."""
    scene = Scene(balances={"USD": "1000", "BTC": "1"})
    scene.passes(ms=6_000)
    scene.sees("BTC/USD", bid="51000", ask="51001")
    scene.passes(ms=6_000)
    scene.sees("BTC/USD", bid="50400", ask="50401")
    scene.passes(ms=6_000)
    assert scene.desk.drawdown() == 600
    told = scene.world.told("high_water")
    assert [Decimal(record.data["high_water_valued"]) for record in told] == [Decimal("51000.5"), Decimal("52000.5")]
    recovered = Recovered(
        accounts=scene.desk.ledger.accounts(),
        high_water=HighWater(Decimal(told[-1].data["high_water_valued"]), told[-1].data["valuation_asset"]),
    )
    again = Scene(after=scene, recovered=recovered, max_drawdown_valued=Decimal(1_000))
    again.passes(ms=6_000)
    assert again.desk.drawdown() == 1_000, "at 50000.5, its price when the books came back"
    again.sees("ETH/BTC", ask=CHEAP)
    assert list(again.funnel["refused"]) == ["drawdown"]
    elsewhere = Scene(after=scene, recovered=replace(recovered, high_water=HighWater(Decimal(10**6), "EUR")))
    elsewhere.passes(ms=6_000)
    assert elsewhere.desk.drawdown() == 0, "an amount of another asset says nothing"


# --- kill -9 -------------------------------------------------------------------------------------------------


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def exchange_url(processes: list["subprocess.Popen[str]"]) -> str:
    """A simulated exchange with a mispricing every moment."""
    options = ["--pairs=14", "--rate=100", "--mispricings-per-s=10", "--size-bps-min=300", "--size-bps-max=450"]
    process = subprocess.Popen(
        [sys.executable, "-m", "arbitrade_kraken.simulator", "simulate", "--json", "--lifetime-ms-min=1500", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    processes.append(process)
    assert process.stdout is not None
    return str(json.loads(process.stdout.readline())["url"])


def bot(
    processes: list["subprocess.Popen[str]"], dsn: str, url: str, folder: Path, *arguments: str, **settings: str
) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "DATABASE_URL": dsn,
        "ARBITRADE_DATA_DIR": str(folder),
        "ARBITRADE_KRAKEN__WS_URL": url,
        "ARBITRADE_KRAKEN__FEE_TIER": "tier-1",
        "ARBITRADE_PAPER__LATENCY_MS": "150",
        **settings,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "from arbitrade_core.cli import main; main()", "run", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    processes.append(process)
    return process


async def journal(pool: Pool) -> list[Record]:
    async with pool.acquire() as connection:
        try:
            rows = await connection.fetch(
                "SELECT stream, seq, time_ns, kind, data FROM journal WHERE stream = 'paper' ORDER BY seq"
            )
        except asyncpg.UndefinedTableError:
            return []
    return [Record(row["stream"], row["seq"], row["time_ns"], row["kind"], row["data"]) for row in rows]


def half_done(records: Sequence[Record]) -> set[str]:
    """Plans whose first leg brought something and that have not ended."""
    over = {record.data["plan"] for record in records if record.kind == "end"}
    return {record.data["plan"] for record in records if record.kind == "fill"} - over


@pytest.mark.anyio
async def test_reliability_2_a_bot_killed_in_mid_cycle_goes_on_with_its_money(
    processes: list["subprocess.Popen[str]"], exchange_url: str, dsn: str, pool: Pool, tmp_path: Path
) -> None:
    first = bot(processes, dsn, exchange_url, tmp_path)
    until = time.monotonic() + WAIT_S
    while not half_done(await journal(pool)):
        assert time.monotonic() < until
        assert first.poll() is None, first.communicate()
        await anyio.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = await journal(pool)
    broken = half_done(before)

    second = bot(
        processes, dsn, exchange_url, tmp_path, "--seconds=3", "--json", ARBITRADE_RISK__MAX_PLANS_PER_HOUR="1"
    )
    out, errors = await anyio.to_thread.run_sync(lambda: second.communicate(timeout=WAIT_S))
    assert second.returncode == 0, errors
    told = json.loads(out)
    records = await journal(pool)
    assert await verify_chain(pool, "paper") == (len(records), True, None)
    assert records[: len(before)] == before
    opened = [record.seq for record in records if record.kind == "open"]
    assert len(opened) == 2

    ended = {record.data["plan"]: record.data for record in records if record.kind == "end"}
    assert broken <= {plan for plan, data in ended.items() if data["outcome"] == INTERRUPTED}
    for plan in broken:
        assert_booked_as_residue(records, ended[plan], told["pnl"]["residue"])
    assert told["ledger_consistent"] is True
    assert told["frames"] > 0
    assert told["approved"] == 0, "one plan an hour: the one before the kill was it"
    if told["candidates"]:
        assert "plan_rate" in told["refused"]
    assert_money_continues(records)
    sent = [record.data["order"] for record in records if record.kind == "send"]
    assert len(sent) == len(set(sent))


def assert_booked_as_residue(records: Sequence[Record], end: dict[str, Any], residue: dict[str, str]) -> None:
    held: dict[str, Decimal] = {}
    for record in records:
        if record.kind == "fill" and record.data["plan"] == end["plan"]:
            for row in record.data["rows"]:
                held[row["asset"]] = held.get(row["asset"], ZERO) + Decimal(row["amount"]) - Decimal(row["fee"])
    start = next(r.data["start_asset"] for r in records if r.kind == "plan" and r.data["id"] == end["plan"])
    left = {asset: amount for asset, amount in held.items() if asset != start and amount > 0}
    assert {asset: Decimal(amount) for asset, amount in end["residue"].items()} == left
    assert all(Decimal(residue[asset]) >= amount for asset, amount in left.items())


def assert_money_continues(records: Sequence[Record], opening: Decimal = Decimal(10_000)) -> None:
    """Both runs together: the last balances are the opening and every fill, to the last decimal."""
    with exact():
        expected = {"USD": opening}
        last: Ns = 0
        shown: dict[str, Decimal] = {}
        for record in records:
            if record.kind == "fill":
                for row in record.data["rows"]:
                    amount = Decimal(row["amount"]) - Decimal(row["fee"])
                    expected[row["asset"]] = expected.get(row["asset"], ZERO) + amount
            elif record.kind == "balances":
                shown = {}
                for row in record.data["accounts"]:
                    if row["account"] in ("cash", "residue"):
                        shown[row["asset"]] = shown.get(row["asset"], ZERO) + Decimal(row["amount"])
            assert record.time_ns >= last
            last = record.time_ns
        assert {asset: amount for asset, amount in shown.items() if amount} == {
            asset: amount for asset, amount in expected.items() if amount
        }
