"""Start and recovery are one path: what the journal says of a desk, before it trades again.

The last `balances` record holds every account as of its place in the stream; fills after it are booked on top.
Plans that had not ended are over: on paper an order that had not filled never will. What they held of other assets
than their start is residue; their end is journalled as `interrupted`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg

from arbitrade_core.domain import Fee, Fill, LedgerRow, Leg, Ns, Order, Side
from arbitrade_core.errors import StorageError
from arbitrade_core.journal import Fields
from arbitrade_core.ledger import Ledger
from arbitrade_core.money import ZERO, exact, plain
from arbitrade_core.pnl import DAY_NS

INTERRUPTED = "interrupted"
_OPEN = ("approved", "running", "settling")


@dataclass(frozen=True, slots=True)
class PastPlan:
    """A plan of an earlier run, as far as limits still look at it."""

    key: str
    decided_ns: Ns
    ended_ns: Ns
    outcome: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Recovered:
    """A desk as the journal left it."""

    accounts: list[tuple[str, str, Decimal]] = field(default_factory=list)
    """(asset, account, amount); empty: the desk is new"""
    interrupted: list[tuple[str, Fields]] = field(default_factory=list)
    """records, by kind, that end the plans and orders that had not ended"""
    past: list[PastPlan] = field(default_factory=list)
    """the last two days', oldest first"""
    halted: str | None = None
    """why the desk halted, when nobody has resumed it since (RELIABILITY 10)"""


async def recover(pool: "asyncpg.Pool[Any]", desk_id: str, now: Ns) -> Recovered:
    """One paper desk's state; its journal stream has the desk's name. Raises StorageError when it cannot be told."""
    async with pool.acquire() as connection:
        lost = await connection.fetchval("SELECT count(*) FROM projection_failures WHERE stream = $1", desk_id)
        if lost:
            raise StorageError(
                f"{lost} journal records of desk {desk_id!r} could not be turned into table rows, so what it left open"
                f" cannot be told; see table projection_failures, or begin a new account in another database"
            )
        opened = await connection.fetchrow(
            "SELECT seq, data FROM journal WHERE stream = $1 AND kind = 'balances' ORDER BY seq DESC LIMIT 1",
            desk_id,
        )
        if opened is None:
            return Recovered()
        late = await connection.fetch(
            "SELECT data FROM journal WHERE stream = $1 AND kind = 'fill' AND seq > $2 ORDER BY seq",
            desk_id,
            opened["seq"],
        )
        plans = await connection.fetch(
            "SELECT plan_id, key, start_asset, decided_ns FROM cycles WHERE desk_id = $1 AND state = ANY($2)"
            " ORDER BY plan_id",
            desk_id,
            list(_OPEN),
        )
        fills = await connection.fetch(
            "SELECT data FROM journal WHERE stream = $1 AND kind = 'fill' AND data ->> 'plan' = ANY($2) ORDER BY seq",
            desk_id,
            [plan["plan_id"] for plan in plans],
        )
        orders = await connection.fetch(
            "SELECT order_id, plan_id, filled_qty FROM orders WHERE plan_id = ANY($1) AND done_ns IS NULL"
            " ORDER BY order_id",
            [plan["plan_id"] for plan in plans],
        )
        halt = await connection.fetchrow(
            "SELECT kind, data FROM journal WHERE stream = $1 AND kind IN ('desk_halt', 'desk_resume')"
            " ORDER BY seq DESC LIMIT 1",
            desk_id,
        )
        past = await connection.fetch(
            "SELECT key, decided_ns, ended_ns, outcome, profit_valued"
            " FROM cycles WHERE desk_id = $1 AND ended_ns IS NOT NULL AND state <> 'dropped' AND decided_ns >= $2"
            " ORDER BY ended_ns, plan_id",
            desk_id,
            now - 2 * DAY_NS,
        )
    accounts = [(row["asset"], row["account"], Decimal(row["amount"])) for row in opened["data"]["accounts"]]
    with exact():
        ledger = Ledger(desk_id)
        ledger.restore(accounts)
        for row in late:
            order, fill = _fill(row["data"])
            ledger.book_fill(order, fill)
            _take_residue(ledger, order)
        ended: list[tuple[str, Fields]] = [("order", _interrupted_order(desk_id, row)) for row in orders]
        ended += [("end", _interrupt(ledger, plan, [row["data"] for row in fills])) for plan in plans]
        known = [
            PastPlan(row["key"], row["decided_ns"], row["ended_ns"], row["outcome"], row["profit_valued"] or ZERO)
            for row in past
        ]
        # What an interrupted plan is worth cannot be told: it counts as a plan, not as a loss.
        known += [PastPlan(plan["key"], plan["decided_ns"], now, INTERRUPTED, ZERO) for plan in plans]
        halted = halt["data"]["reason"] if halt is not None and halt["kind"] == "desk_halt" else None
        return Recovered(ledger.accounts(), ended, known, halted)


def _take_residue(ledger: Ledger, order: Order) -> None:
    """What a fill took beyond cash was residue that its plan took along; that is no record of its own (TRADING 15)."""
    asset = order.leg.spends
    taken = min(-ledger.cash(asset), ledger.residue(asset))
    if taken > 0:
        ledger.use_residue(order.plan_id, asset, taken)


def _interrupt(ledger: Ledger, plan: Any, fills: Sequence[Fields]) -> Fields:
    """Put what an unended plan holds to residue; its `end` record."""
    own = Ledger("interrupted")
    for data in fills:
        if data["plan"] == plan["plan_id"]:
            own.book_fill(*_fill(data))
    changes = own.plan_changes(plan["plan_id"])
    residue = {asset: amount for asset, amount in changes.items() if amount > 0 and asset != plan["start_asset"]}
    for asset, amount in residue.items():
        left = min(amount, ledger.cash(asset))
        if left > 0:
            ledger.to_residue(plan["plan_id"], asset, left)
    note = "the process ended while the plan was under way; what it held is residue" if changes else "nothing was sent"
    return {
        "plan": plan["plan_id"],
        "desk": ledger.desk_id,
        "outcome": INTERRUPTED,
        "note": note,
        "realised_end": None,
        "profit": plain(changes.get(plan["start_asset"], ZERO)),
        "profit_valued": None,
        "pnl": {asset: plain(amount) for asset, amount in sorted(changes.items())},
        "residue": {asset: plain(amount) for asset, amount in sorted(residue.items())},
        "attribution": [],
    }


def _interrupted_order(desk_id: str, row: Any) -> Fields:
    return {
        "plan": row["plan_id"],
        "desk": desk_id,
        "order": row["order_id"],
        "event": "done",
        "state": "canceled",
        "reason": INTERRUPTED,
        "filled_qty": plain(row["filled_qty"]),
    }


def _fill(data: Fields) -> tuple[Order, Fill]:
    """The order and fill that a `fill` record tells of, as far as booking needs them."""
    leg = Leg(-1, -1, data["symbol"], Side[data["side"].upper()], data["spends"], data["gets"])
    order = Order(
        data["order"],
        data["plan"],
        data["desk"],
        leg,
        Decimal(data["qty"]),
        Decimal(data["price"]),
        Fee(ZERO),
    )
    return order, Fill(
        order_id=data["order"],
        exec_id=data["exec_id"],
        qty=Decimal(data["qty"]),
        price=Decimal(data["price"]),
        cost=Decimal(data["cost"]),
        fee=Decimal(data["fee"]),
        fee_asset=data["fee_asset"],
        rows=tuple(LedgerRow(row["asset"], Decimal(row["amount"]), Decimal(row["fee"])) for row in data["rows"]),
    )
