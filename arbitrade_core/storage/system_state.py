"""What the journal's system stream says of the process as a whole, before it starts again: toggles and the halt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from arbitrade_core.plugins import State, Toggle


@dataclass(frozen=True, slots=True)
class SystemState:
    toggles: Mapping[str, Toggle] = field(default_factory=dict)
    """by plugin: what was last said of it"""
    halted: str | None = None
    """why everything halted, when nobody has resumed it since (RELIABILITY 10)"""


async def system_state(pool: "asyncpg.Pool[Any]", stream: str) -> SystemState:
    """Raises what asyncpg raises; the schema is there."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT plugin, state, actor, reason, checks FROM plugin_state WHERE stream = $1", stream
        )
        halt = await connection.fetchrow(
            "SELECT kind, data FROM journal WHERE stream = $1 AND kind IN ('halt', 'resume') ORDER BY seq DESC LIMIT 1",
            stream,
        )
    toggles = {
        row["plugin"]: Toggle(State(row["state"]), row["actor"], row["reason"], tuple(row["checks"])) for row in rows
    }
    halted = halt["data"]["reason"] if halt is not None and halt["kind"] == "halt" else None
    return SystemState(toggles, halted)
