"""What the journal and its tables say of a desk's past, read before it trades again; `recovery` makes a desk of it."""

from typing import Any

import asyncpg

from arbitrade_core.domain import Ns
from arbitrade_core.errors import StorageError
from arbitrade_core.journal import Fields
from arbitrade_core.money import ZERO
from arbitrade_core.pnl import DAY_NS
from arbitrade_core.recovery import Journalled, OpenOrder, PastPlan, Recovered, rebuilt
from arbitrade_core.storage.connect import Pool

_OPEN = ("approved", "running", "settling")
_KEPT_NS = 2 * DAY_NS


async def recover(pool: Pool, desk_id: str, now: Ns) -> Recovered:
    """One paper desk's state; its journal stream has the desk's name. Raises StorageError when it cannot be told."""
    async with pool.acquire() as connection:
        journalled = await read(connection, desk_id, now)
    return Recovered() if journalled is None else rebuilt(journalled, desk_id, now)


async def read(connection: Any, desk_id: str, now: Ns) -> Journalled | None:
    """None: the desk never opened its books. Raises StorageError when some of its records have no rows."""
    lost = await connection.fetchval("SELECT count(*) FROM projection_failures WHERE stream = $1", desk_id)
    if lost:
        raise StorageError(
            f"{lost} journal records of desk {desk_id!r} could not be turned into table rows, so what it left open"
            f" cannot be told; see table projection_failures, or begin a new account in another database"
        )
    opened = await _last(connection, desk_id, "kind = 'balances'")
    if opened is None:
        return None
    open_plans = await connection.fetch(
        "SELECT plan_id FROM cycles WHERE desk_id = $1 AND state = ANY($2) ORDER BY plan_id", desk_id, list(_OPEN)
    )
    plans = [row["plan_id"] for row in open_plans]
    day = now - DAY_NS
    ended_orders = await connection.fetch(
        "SELECT time_ns, data FROM journal WHERE stream = $1 AND kind = 'order' AND time_ns >= $2"
        " AND data ->> 'event' IN ('done', 'rejected') ORDER BY seq",
        desk_id,
        day,
    )
    halt = await _last(connection, desk_id, "kind IN ('desk_halt', 'desk_resume')")
    high_water = await _last(connection, desk_id, "kind = 'high_water'")
    late_fills = await _contents(connection, desk_id, "kind = 'fill' AND seq > $2", opened["seq"])
    of_plans = sorted({fill["plan"] for fill in late_fills})
    late_plans = await _contents(connection, desk_id, "kind = 'plan' AND data ->> 'id' = ANY($2)", of_plans)
    return Journalled(
        balances=opened["data"],
        late_fills=late_fills,
        late_plans={plan["id"]: plan["strategy"] for plan in late_plans},
        open_plans=await _contents(connection, desk_id, "kind = 'plan' AND data ->> 'id' = ANY($2)", plans),
        fills=await _contents(connection, desk_id, "kind = 'fill' AND data ->> 'plan' = ANY($2)", plans),
        open_orders=await _open_orders(connection, plans),
        past=await _past(connection, desk_id, now - _KEPT_NS),
        ended_orders=[(row["time_ns"], row["data"]) for row in ended_orders],
        ended_fills=await _contents(connection, desk_id, "kind = 'fill' AND time_ns >= $2", day),
        high_water=None if high_water is None else high_water["data"],
        halted=halt["data"]["reason"] if halt is not None and halt["kind"] == "desk_halt" else None,
    )


async def _last(connection: Any, desk_id: str, which: str) -> asyncpg.Record | None:
    """The desk's last record of these; `which` is a condition of this module, never input."""
    found: asyncpg.Record | None = await connection.fetchrow(
        f"SELECT seq, kind, data FROM journal WHERE stream = $1 AND {which} ORDER BY seq DESC LIMIT 1",  # noqa: S608
        desk_id,
    )
    return found


async def _contents(connection: Any, desk_id: str, which: str, wanted: Any) -> list[Fields]:
    if wanted == []:
        return []
    rows = await connection.fetch(
        f"SELECT data FROM journal WHERE stream = $1 AND {which} ORDER BY seq",  # noqa: S608 - as above
        desk_id,
        wanted,
    )
    return [row["data"] for row in rows]


async def _open_orders(connection: Any, plans: list[str]) -> list[OpenOrder]:
    rows = await connection.fetch(
        "SELECT order_id, plan_id, filled_qty FROM orders WHERE plan_id = ANY($1) AND done_ns IS NULL"
        " ORDER BY order_id",
        plans,
    )
    return [OpenOrder(**row) for row in rows]


async def _past(connection: Any, desk_id: str, since: Ns) -> list[PastPlan]:
    rows = await connection.fetch(
        "SELECT key, decided_ns, ended_ns, outcome, profit_valued FROM cycles"
        " WHERE desk_id = $1 AND ended_ns IS NOT NULL AND state <> 'dropped' AND decided_ns >= $2"
        " ORDER BY ended_ns, plan_id",
        desk_id,
        since,
    )
    return [
        PastPlan(row["key"], row["decided_ns"], row["ended_ns"], row["outcome"], row["profit_valued"] or ZERO)
        for row in rows
    ]
