"""Toggles while no bot runs: read from the database, written to the journal stream that the bot will go on with."""

from collections.abc import Mapping
from typing import Any

import anyio

from arbitrade_core.clock import WallClock
from arbitrade_core.errors import ControlError, PluginError, StorageError
from arbitrade_core.journal import Stream
from arbitrade_core.plugins import State, Toggle, load_catalogue
from arbitrade_core.storage.connect import Database
from arbitrade_core.storage.journal_store import JournalWriter
from arbitrade_core.storage.migrations import core_migrations, migrate, status
from arbitrade_core.storage.system_state import system_state

_WRITE_S = 10.0


async def toggles(database: Database, stream: str) -> Mapping[str, Toggle]:
    """What was last said of each plugin; nothing when the database holds nothing yet."""
    found = await status(database, core_migrations())
    if found.pending:
        return {}
    async with database.pool(size=1) as pool:
        return (await system_state(pool, stream)).toggles


async def toggle(database: Database, stream: str, name: str, state: State, actor: str) -> dict[str, Any]:
    """Say that a plugin is to be enabled or disabled from the next start on.

    Raises:
        ArbitradeError: why it cannot be; nothing changed.
    """
    await migrate(database, core_migrations())
    known = await toggles(database, stream)
    catalogue = load_catalogue(known)
    entry = catalogue.entry(name)
    if entry.state is state:
        return {"plugin": name, "state": state.value, "changed": False}
    if state is State.DISABLED:
        refused = catalogue.why_not_disable(name)
    else:
        refused = catalogue.why_not_enable(name)
        tried = load_catalogue({**known, name: Toggle(State.ENABLED)})
        fresh = tried.entry(name)
        if refused is None and fresh.state is not State.ENABLED:
            raise PluginError(fresh.last_error or f"{fresh.who} cannot be enabled")
        if refused is None:
            tried.settings()
    if refused:
        raise ControlError(refused)
    await _write(database, stream, {"plugin": name, "state": state.value, "actor": actor})
    return {"plugin": name, "state": state.value, "changed": True}


async def _write(database: Database, stream: str, data: Mapping[str, str]) -> None:
    clock = WallClock()
    writer = JournalWriter(database, [stream], clock=clock, emit=lambda report: None)
    tail = (await writer.open())[stream]
    written = False
    try:
        record = Stream(stream, tail.seq).record(
            "plugin", clock(), {"stream": stream, "reason": "no bot was running", "checks": [], **data}
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            writer.append([record])
            written = await writer.drain(_WRITE_S)
            tasks.cancel_scope.cancel()
    finally:
        writer.close()
    if not written:
        raise StorageError(f"the journal did not take the change within {_WRITE_S:.0f} s; it may or may not be there")
