"""A plan's life, written through the journal and read back through the repositories."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from arbitrade_core.journal import Fields
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.projector import project
from arbitrade_core.storage.repositories import (
    balances,
    cycle,
    cycles,
    journal_tail,
    runtime_state,
)
from tests.storage.journals import Journal, running

pytestmark = pytest.mark.anyio

DECIDED_NS = 1_699_999_999_123_456_789


def leg(order_id: str, symbol: str, side: str, qty: str, limit: str) -> Fields:
    return {
        "order_id": order_id,
        "symbol": symbol,
        "side": side,
        "qty": qty,
        "limit": limit,
        "spends": "EUR",
        "gets": "BTC",
        "top": limit,
        "average": limit,
        "spend": "100",
        "get": "1",
        "fee": {"rate": "0.0080", "currency": "quote", "role": "taker"},
    }


def plan(plan_id: str, desk: str = "paper", **changes: Any) -> Fields:
    return {
        "id": plan_id,
        "desk": desk,
        "strategy": "triangular",
        "kind": "cycle",
        "key": "EUR>BTC>ETH",
        "path": "EUR → BTC → ETH → EUR",
        "start_asset": "EUR",
        "start": "100.0000",
        "end": "100.5000",
        "edge_bps": "50",
        "profit_valued": "0.54",
        "notional_valued": "108.00",
        "valuation_asset": "USD",
        "fees_id": "fees-1",
        "decided_ns": DECIDED_NS,
        "certificate": {"start": "100", "end_floor": "100.1", "margin": "0.1", "rounding_fills": 3},
        "legs": [
            leg(f"{plan_id}-1", "BTC/EUR", "buy", "0.00200000", "50000.0"),
            leg(f"{plan_id}-2", "ETH/BTC", "buy", "0.06000000", "0.03300"),
            leg(f"{plan_id}-3", "ETH/EUR", "sell", "0.06000000", "1680.00"),
        ],
        "approvals": ["max_notional", "staleness"],
    } | changes


def send(plan_id: str, order: str, qty: str = "0.00200000") -> Fields:
    return {
        "plan": plan_id,
        "order": order,
        "symbol": "BTC/EUR",
        "side": "buy",
        "qty": qty,
        "limit": "50000.0",
        "purpose": "leg 1",
    }


def fill(plan_id: str, order: str, exec_id: str, qty: str, price: str) -> Fields:
    cost = str(Decimal(qty) * Decimal(price))
    return {
        "plan": plan_id,
        "order": order,
        "exec_id": exec_id,
        "symbol": "BTC/EUR",
        "side": "buy",
        "qty": qty,
        "price": price,
        "cost": cost,
        "fee": "0.40",
        "fee_asset": "EUR",
        "rows": [{"asset": "BTC", "amount": qty, "fee": "0"}],
    }


def done(plan_id: str, order: str, filled_qty: str, state: str = "filled") -> Fields:
    return {
        "plan": plan_id,
        "order": order,
        "event": "done",
        "state": state,
        "reason": "",
        "filled_qty": filled_qty,
    }


def end(plan_id: str, outcome: str = "completed") -> Fields:
    return {
        "plan": plan_id,
        "outcome": outcome,
        "note": "as promised",
        "realised_end": "100.45",
        "pnl": {"EUR": "0.45"},
        "profit": "0.45",
        "profit_valued": "0.49",
        "residue": {"BTC": "0.00000012"},
        "attribution": [{"leg": 1, "slippage_bps": "0.1"}],
    }


async def write(journal: Journal, *records: tuple[str, Fields]) -> None:
    seq = 0
    for kind, data in records:
        seq = journal.write(kind, data)
    await journal.durable(seq)
    assert journal.writer.unprojected == 0


async def test_a_completed_cycle(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        await write(journal, ("plan", plan("p1")))
        row = await cycle(pool, "p1")
        assert row is not None
        assert row.state == "approved"
        assert [(order.state, order.purpose) for order in row.orders] == [
            ("intended", "leg 1"),
            ("intended", "leg 2"),
            ("intended", "leg 3"),
        ]
        await write(
            journal,
            ("send", send("p1", "p1-1", "0.00199000")),
            ("order", {"plan": "p1", "order": "p1-1", "event": "accepted", "state": "open", "reason": ""}),
        )
        row = await cycle(pool, "p1")
        assert row is not None
        assert (row.state, row.orders[0].state, row.orders[0].qty) == ("running", "open", Decimal("0.00199000"))
        await write(
            journal,
            ("fill", fill("p1", "p1-1", "x1", "0.00099000", "50000.0")),
            ("fill", fill("p1", "p1-1", "x2", "0.00100000", "49999.0")),
        )
        row = await cycle(pool, "p1")
        assert row is not None
        first = row.orders[0]
        assert (first.state, first.filled_qty, len(first.fills)) == ("partial", Decimal("0.00199"), 2)
        assert first.avg_price is not None
        assert abs(first.avg_price - Decimal("49999.4974874")) < Decimal("0.000001")
        await write(journal, ("order", done("p1", "p1-1", "0.00199000")), ("end", end("p1")))
    row = await cycle(pool, "p1")
    assert row is not None
    assert (row.state, row.outcome, row.realised_end, row.profit) == (
        "completed",
        "completed",
        Decimal("100.45"),
        Decimal("0.45"),
    )
    assert row.residue == {"BTC": "0.00000012"}
    assert row.certificate is not None
    assert row.certificate["rounding_fills"] == 3
    assert row.decided_ns == DECIDED_NS
    assert row.orders[0].state == "filled"
    assert row.ended_at is not None
    assert b'"start":"100.0000"' in msgspec.json.encode(row)


async def test_a_dropped_plan_sends_nothing(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        await write(journal, ("plan", plan("p1")), ("drop", {"plan": "p1", "stage": "gone", "reason": "price moved"}))
    row = await cycle(pool, "p1")
    assert row is not None
    assert (row.state, row.outcome, row.note) == ("dropped", "gone", "price moved")
    assert {order.state for order in row.orders} == {"canceled"}


async def test_a_short_leg_settles_with_a_follow_up(database: Database, pool: Pool) -> None:
    follow_up = send("p1", "p1-f1") | {"purpose": "reverse", "side": "sell"}
    async with running(database) as journal:
        await write(
            journal,
            ("plan", plan("p1")),
            ("send", send("p1", "p1-1")),
            ("fill", fill("p1", "p1-1", "x1", "0.00100000", "50000.0")),
            ("order", done("p1", "p1-1", "0.00100000", "canceled")),
            ("follow_up", follow_up),
            ("send", follow_up),
            ("order", {"plan": "p1", "order": "p1-f1", "event": "rejected", "state": "rejected", "reason": "no"}),
        )
        row = await cycle(pool, "p1")
        assert row is not None
        assert row.state == "settling"
        last = row.orders[-1]
        assert (last.order_id, last.purpose, last.leg_index) == ("p1-f1", "reverse", None)
        assert (last.state, last.reason, last.done_at is not None) == ("rejected", "no", True)
        await write(journal, ("end", end("p1", "unwound")))
    row = await cycle(pool, "p1")
    assert row is not None
    assert row.state == "unwound"


async def test_projecting_twice_changes_nothing(database: Database, pool: Pool) -> None:
    story = [
        ("plan", plan("p1")),
        ("send", send("p1", "p1-1")),
        ("fill", fill("p1", "p1-1", "x1", "0.00200000", "50000.0")),
        ("order", done("p1", "p1-1", "0.00200000")),
        ("end", end("p1")),
    ]
    async with running(database) as journal:
        await write(journal, *story)
    once = await cycle(pool, "p1")
    records = await pool.fetch("SELECT kind, time_ns, data FROM journal ORDER BY seq")
    async with pool.acquire() as connection:
        for row in [*records, records[2]]:  # the whole story again, and the fill once more
            await project(connection, row["kind"], row["time_ns"], row["data"])  # type: ignore[arg-type]
    again = await cycle(pool, "p1")
    assert again == once


async def test_lists_are_newest_first_and_by_desk(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        await write(
            journal,
            ("plan", plan("a", "live", decided_ns=DECIDED_NS)),
            ("plan", plan("b", "paper", decided_ns=DECIDED_NS + 1)),
            ("plan", plan("c", "live", decided_ns=DECIDED_NS + 2)),
            ("refusal", {"check": "max_edge"}),
        )
    assert [row.plan_id for row in await cycles(pool, 2)] == ["c", "b"]
    assert [row.plan_id for row in await cycles(pool, 9, "live")] == ["c", "a"]
    tail = await journal_tail(pool, 2, "live")
    assert [(row.seq, row.kind) for row in tail] == [(4, "refusal"), (3, "plan")]
    assert len(tail[0].hash) == 64


async def test_balances_and_state_keep_the_last_word(database: Database, pool: Pool) -> None:
    def holds(amount: str) -> Fields:
        return {"desk": "paper", "accounts": [{"asset": "EUR", "account": "available", "amount": amount}]}

    async with running(database) as journal:
        await write(
            journal,
            ("balances", holds("100.00000000000000000001")),
            ("balances", holds("99.5")),
            ("state", {"key": "halt", "value": {"reason": "test"}}),
            ("state", {"key": "halt", "value": None}),
        )
    assert [(row.asset, row.amount) for row in await balances(pool, "paper")] == [("EUR", Decimal("99.5"))]
    assert await balances(pool, "live") == []
    assert (await runtime_state(pool))["halt"].value is None
