"""What is read back, for command line, API and dashboard. Rows as msgspec structs: exact, and JSON-able as they are.

Every function takes a pool, returns newest first, and raises StorageError when the database cannot answer.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec

from arbitrade_core.errors import StorageError
from arbitrade_core.storage.connect import UNAVAILABLE, Pool


class FillRow(msgspec.Struct, frozen=True, kw_only=True):
    order_id: str
    exec_id: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    cost: Decimal
    fee: Decimal
    fee_asset: str
    rows: list[dict[str, Any]]
    time_ns: int
    at: datetime


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    order_id: str
    leg_index: int | None
    """1 for the first leg; None for a follow-up"""
    purpose: str
    symbol: str
    side: str
    qty: Decimal
    limit_price: Decimal
    tif: str
    state: str
    filled_qty: Decimal
    avg_price: Decimal | None
    reason: str
    intended_at: datetime
    sent_at: datetime | None
    done_at: datetime | None
    fills: tuple[FillRow, ...] = ()


class CycleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One plan and what became of it. Amounts are in the start asset unless `_valued` (in
    `valuation_asset`)."""

    plan_id: str
    desk_id: str
    strategy: str
    kind: str
    key: str
    path: str
    state: str
    outcome: str | None
    note: str
    start_asset: str
    start: Decimal
    expected_end: Decimal
    realised_end: Decimal | None
    expected_edge_bps: Decimal
    expected_profit_valued: Decimal
    notional_valued: Decimal
    profit: Decimal | None
    profit_valued: Decimal | None
    valuation_asset: str
    fees_id: str
    certificate: dict[str, Any] | None
    legs: list[dict[str, Any]]
    approvals: list[str]
    attribution: list[Any] | None
    pnl: dict[str, str] | None
    residue: dict[str, str] | None
    decided_ns: int
    decided_at: datetime
    ended_at: datetime | None
    orders: tuple[OrderRow, ...] = ()


class OpportunityRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    run_id: str
    strategy: str
    key: str
    path: str
    opened_at: datetime
    closed_at: datetime | None
    best_gross_bps: float
    best_edge_bps: Decimal | None
    outcome: str
    evaluations: int


class BalanceRow(msgspec.Struct, frozen=True, kw_only=True):
    desk_id: str
    asset: str
    account: str
    amount: Decimal
    at: datetime


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    seq: int
    time_ns: int
    at: datetime
    kind: str
    data: dict[str, Any]
    hash: str
    """hexadecimal"""


class StateRow(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    value: Any
    at: datetime


def _select(row: type[msgspec.Struct], table: str, *nested: str) -> str:
    names = ", ".join(name for name in row.__struct_fields__ if name not in nested)
    return f"SELECT {names} FROM {table} "  # noqa: S608 - names of this module, never input


_CYCLES = _select(CycleRow, "cycles", "orders")
_ORDERS = _select(OrderRow, "orders", "fills").replace("SELECT ", "SELECT plan_id, ")
_FILLS = _select(FillRow, "fills")
_OPPORTUNITIES = _select(OpportunityRow, "opportunities")
_BALANCES = _select(BalanceRow, "balances")
_JOURNAL = _select(JournalRow, "journal").replace("hash", "encode(hash, 'hex') AS hash")


async def cycles(pool: Pool, limit: int, desk_id: str | None = None, outcome: str | None = None) -> list[CycleRow]:
    """The newest plans by decision time, each with its orders and their fills."""
    where = (
        "WHERE ($1::text IS NULL OR desk_id = $1) AND ($3::text IS NULL OR outcome = $3 OR state = $3)"
        " ORDER BY decided_ns DESC, plan_id DESC LIMIT $2"
    )
    async with _reading(pool) as connection:
        return await _with_orders(connection, await connection.fetch(_CYCLES + where, desk_id, limit, outcome))


async def last_desk(pool: Pool) -> str | None:
    """The desk that opened its books last."""
    async with _reading(pool) as connection:
        found: str | None = await connection.fetchval(
            "SELECT data ->> 'desk' FROM journal WHERE kind = 'open' ORDER BY time_ns DESC LIMIT 1"
        )
        return found


async def cycle(pool: Pool, plan_id: str) -> CycleRow | None:
    """One plan with its orders and fills; None when there is none of that id."""
    async with _reading(pool) as connection:
        found = await connection.fetch(_CYCLES + "WHERE plan_id = $1", plan_id)
        return next(iter(await _with_orders(connection, found)), None)


async def opportunities(pool: Pool, limit: int, run_id: str | None = None) -> list[OpportunityRow]:
    where = "WHERE $1::text IS NULL OR run_id = $1 ORDER BY opened_ns DESC, id DESC LIMIT $2"
    async with _reading(pool) as connection:
        found = await connection.fetch(_OPPORTUNITIES + where, run_id, limit)
    return [OpportunityRow(**row) for row in found]


async def balances(pool: Pool, desk_id: str | None = None) -> list[BalanceRow]:
    """By desk, asset and account."""
    where = "WHERE $1::text IS NULL OR desk_id = $1 ORDER BY desk_id, asset, account"
    async with _reading(pool) as connection:
        found = await connection.fetch(_BALANCES + where, desk_id)
    return [BalanceRow(**row) for row in found]


async def journal_tail(pool: Pool, limit: int, stream: str | None = None) -> list[JournalRow]:
    """The last records of one stream, or of all by time."""
    order = "time_ns DESC, seq DESC" if stream is None else "seq DESC"
    where = f"WHERE $1::text IS NULL OR stream = $1 ORDER BY {order} LIMIT $2"
    async with _reading(pool) as connection:
        found = await connection.fetch(_JOURNAL + where, stream, limit)
    return [JournalRow(**row) for row in found]


async def journal_contents(pool: Pool, stream: str, first: int, count: int) -> dict[int, bytes]:
    """The hashed bytes of records of one stream, by their numbers, from `first` on."""
    async with _reading(pool) as connection:
        rows = await connection.fetch(
            "SELECT seq, content FROM journal WHERE stream = $1 AND seq >= $2 AND seq < $3",
            stream,
            first,
            first + count,
        )
    return {row["seq"]: row["content"] for row in rows}


async def projection_failures(pool: Pool) -> int:
    """Journal records that could not be turned into table rows."""
    async with _reading(pool) as connection:
        found: int = await connection.fetchval("SELECT count(*) FROM projection_failures")
        return found


async def runtime_state(pool: Pool) -> dict[str, StateRow]:
    """What is to survive a restart, by key."""
    async with _reading(pool) as connection:
        found = await connection.fetch("SELECT key, value, at FROM runtime_state ORDER BY key")
    return {row["key"]: StateRow(**row) for row in found}


@asynccontextmanager
async def _reading(pool: Pool) -> AsyncIterator[Any]:
    try:
        async with pool.acquire(timeout=10.0) as connection:
            yield connection
    except UNAVAILABLE as error:
        raise StorageError(f"the database did not answer a read: {type(error).__name__}: {error}") from error


async def _with_orders(connection: Any, found: list[asyncpg.Record]) -> list[CycleRow]:
    plans = [row["plan_id"] for row in found]
    fills: dict[str, list[FillRow]] = defaultdict(list)
    for row in await connection.fetch(_FILLS + "WHERE plan_id = ANY($1) ORDER BY time_ns, exec_id", plans):
        fills[row["order_id"]].append(FillRow(**row))
    orders: dict[str, list[OrderRow]] = defaultdict(list)
    for row in await connection.fetch(
        _ORDERS + "WHERE plan_id = ANY($1) ORDER BY intended_ns, leg_index, order_id", plans
    ):
        values = dict(row)
        orders[values.pop("plan_id")].append(OrderRow(**values, fills=tuple(fills[row["order_id"]])))
    return [CycleRow(**row, orders=tuple(orders[row["plan_id"]])) for row in found]
