"""Journal records -> rows of cycles, orders, fills, balances and runtime_state, in the journal's own transaction.

Every projection can be repeated: rows are inserted once, states are set, totals are computed from the rows.
Kinds that are not listed in `_PROJECTIONS` live in the journal alone.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import asyncpg

from arbitrade_core.journal import Fields
from arbitrade_core.storage.connect import Connection

type Projection = Callable[[Connection, int, Fields], Awaitable[None]]

UNPROJECTABLE: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.InterfaceError,  # a value that does not fit its column is refused before it is sent
    LookupError,
    TypeError,
    ValueError,
    InvalidOperation,
)
"""What a record that does not fit its tables raises. Not the database's trouble: trying again gives the same."""


async def project(connection: Connection, kind: str, time_ns: int, data: Fields) -> None:
    """Apply one record. Raises one of UNPROJECTABLE when it does not fit; then roll back."""
    projection = _PROJECTIONS.get(kind)
    if projection is not None:
        await projection(connection, time_ns, data)


def projects(kind: str) -> bool:
    return kind in _PROJECTIONS


def _amount(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


async def _plan(connection: Connection, time_ns: int, data: Fields) -> None:
    del time_ns
    await connection.execute(
        """
        INSERT INTO cycles (plan_id, desk_id, strategy, kind, key, path, state, start_asset, start,
        expected_end,
            expected_edge_bps, expected_profit_valued, notional_valued, valuation_asset, fees_id, certificate,
            legs, approvals, decided_ns)
        VALUES ($1, $2, $3, $4, $5, $6, 'approved', $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        ON CONFLICT (plan_id) DO NOTHING
        """,
        data["id"],
        data["desk"],
        data["strategy"],
        data["kind"],
        data["key"],
        data["path"],
        data["start_asset"],
        _amount(data["start"]),
        _amount(data["end"]),
        _amount(data["edge_bps"]),
        _amount(data["profit_valued"]),
        _amount(data["notional_valued"]),
        data["valuation_asset"],
        data["fees_id"],
        data["certificate"],
        data["legs"],
        data["approvals"],
        data["decided_ns"],
    )
    for number, leg in enumerate(data["legs"], start=1):
        order = leg | {"plan": data["id"], "order": leg["order_id"], "purpose": f"leg {number}"}
        await _intend(connection, data["decided_ns"], order, number)


async def _intend(connection: Connection, time_ns: int, data: Fields, leg_index: int | None) -> None:
    await connection.execute(
        """
        INSERT INTO orders (order_id, plan_id, desk_id, leg_index, purpose, symbol, side, qty, limit_price,
        state,
            intended_ns)
        SELECT $1, plan_id, desk_id, $3, $4, $5, $6, $7, $8, 'intended', $9 FROM cycles WHERE plan_id = $2
        ON CONFLICT (order_id) DO NOTHING
        """,
        data["order"],
        data["plan"],
        leg_index,
        data["purpose"],
        data["symbol"],
        data["side"],
        _amount(data["qty"]),
        _amount(data["limit"]),
        time_ns,
    )


async def _drop(connection: Connection, time_ns: int, data: Fields) -> None:
    _one(
        await connection.execute(
            "UPDATE cycles SET state = 'dropped', outcome = $2, note = $3, ended_ns = $4 WHERE plan_id = $1",
            data["plan"],
            data["stage"],
            data["reason"],
            time_ns,
        ),
        f"plan {data['plan']}",
    )
    await connection.execute(
        "UPDATE orders SET state = 'canceled', reason = $2, done_ns = $3 WHERE plan_id = $1 AND state = 'intended'",
        data["plan"],
        data["reason"],
        time_ns,
    )


async def _send(connection: Connection, time_ns: int, data: Fields) -> None:
    _one(
        await connection.execute(
            "UPDATE orders SET state = 'sent', qty = $2, limit_price = $3, sent_ns = $4, tif = coalesce($5, tif)"
            " WHERE order_id = $1",
            data["order"],
            _amount(data["qty"]),
            _amount(data["limit"]),
            time_ns,
            data.get("tif"),
        ),
        f"order {data['order']}",
    )
    # A follow-up is sent by a plan that settles, and stays so.
    await connection.execute(
        "UPDATE cycles SET state = 'running' WHERE plan_id = $1 AND state = 'approved'", data["plan"]
    )


async def _follow_up(connection: Connection, time_ns: int, data: Fields) -> None:
    _one(
        await connection.execute("UPDATE cycles SET state = 'settling' WHERE plan_id = $1", data["plan"]),
        f"plan {data['plan']}",
    )
    await _intend(connection, time_ns, data, None)


async def _order(connection: Connection, time_ns: int, data: Fields) -> None:
    over = data["event"] != "accepted"
    filled = _amount(data.get("filled_qty")) if data["event"] == "done" else None
    _one(
        await connection.execute(
            "UPDATE orders SET state = $2, reason = $3, filled_qty = coalesce($4, filled_qty),"
            " done_ns = coalesce($5, done_ns) WHERE order_id = $1",
            data["order"],
            data["state"],
            data.get("reason") or "",
            filled,
            time_ns if over else None,
        ),
        f"order {data['order']}",
    )


async def _fill(connection: Connection, time_ns: int, data: Fields) -> None:
    await connection.execute(
        """
        INSERT INTO fills (order_id, exec_id, plan_id, desk_id, symbol, side, qty, price, cost, fee,
        fee_asset, rows,
            time_ns)
        SELECT order_id, $2, plan_id, desk_id, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM orders WHERE order_id
        = $1 ON CONFLICT (order_id, exec_id) DO NOTHING
        """,
        data["order"],
        data["exec_id"],
        data["symbol"],
        data["side"],
        _amount(data["qty"]),
        _amount(data["price"]),
        _amount(data["cost"]),
        _amount(data["fee"]),
        data["fee_asset"],
        data["rows"],
        time_ns,
    )
    _one(
        await connection.execute(
            """
            UPDATE orders SET filled_qty = total.qty, avg_price = total.value / nullif(total.qty, 0),
                state = CASE WHEN state IN ('sent', 'open', 'unknown') THEN 'partial' ELSE state END
            FROM (SELECT sum(qty) AS qty, sum(qty * price) AS value FROM fills WHERE order_id = $1) AS total
            WHERE order_id = $1
            """,
            data["order"],
        ),
        f"order {data['order']}",
    )


async def _end(connection: Connection, time_ns: int, data: Fields) -> None:
    _one(
        await connection.execute(
            """
            UPDATE cycles SET state = $2, outcome = $2, note = $3, realised_end = $4, pnl = $5, profit = $6,
                profit_valued = $7, residue = $8, attribution = $9, ended_ns = $10
            WHERE plan_id = $1
            """,
            data["plan"],
            data["outcome"],
            data.get("note") or "",
            _amount(data["realised_end"]),
            data["pnl"],
            _amount(data["profit"]),
            _amount(data["profit_valued"]),
            data["residue"],
            data["attribution"],
            time_ns,
        ),
        f"plan {data['plan']}",
    )


async def _balances(connection: Connection, time_ns: int, data: Fields) -> None:
    await connection.executemany(
        """
        INSERT INTO balances (desk_id, asset, account, amount, time_ns) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (desk_id, asset, account) DO UPDATE SET amount = excluded.amount, time_ns =
        excluded.time_ns WHERE excluded.time_ns >= balances.time_ns
        """,
        [(data["desk"], row["asset"], row["account"], _amount(row["amount"]), time_ns) for row in data["accounts"]],
    )


async def _state(connection: Connection, time_ns: int, data: Fields) -> None:
    await connection.execute(
        """
        INSERT INTO runtime_state (key, value, time_ns) VALUES ($1, $2, $3)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, time_ns = excluded.time_ns
        WHERE excluded.time_ns >= runtime_state.time_ns
        """,
        data["key"],
        data["value"],
        time_ns,
    )


async def _plugin(connection: Connection, time_ns: int, data: Fields) -> None:
    await connection.execute(
        """
        INSERT INTO plugin_state (stream, plugin, state, actor, reason, checks, at_ns)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (stream, plugin) DO UPDATE SET state = excluded.state,
            actor = excluded.actor, reason = excluded.reason, checks = excluded.checks, at_ns = excluded.at_ns
        WHERE excluded.at_ns >= plugin_state.at_ns
        """,
        data["stream"],
        data["plugin"],
        data["state"],
        data["actor"],
        data["reason"],
        data["checks"],
        time_ns,
    )


def _one(status: Any, what: str) -> None:
    if status == "UPDATE 0":
        raise LookupError(f"{what} is not in the tables")


_PROJECTIONS: dict[str, Projection] = {
    "plan": _plan,
    "drop": _drop,
    "send": _send,
    "follow_up": _follow_up,
    "order": _order,
    "fill": _fill,
    "end": _end,
    "balances": _balances,
    "state": _state,
    "plugin": _plugin,
}
