"""What is changed while no bot runs is written to the journal stream that the bot will go on with."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from arbitrade_core.clock import WallClock
from arbitrade_core.composition import overriding
from arbitrade_core.errors import ArbitradeError, ControlError, PluginError, StorageError
from arbitrade_core.journal import Fields, Stream
from arbitrade_core.plugins import State, Toggle, load_catalogue
from arbitrade_core.storage.connect import Database
from arbitrade_core.storage.journal_store import JournalWriter
from arbitrade_core.storage.migrations import core_migrations, migrate, status
from arbitrade_core.storage.overrides import newest
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
        wanted = {**known, name: Toggle(State.ENABLED)}
        async with database.pool(size=1) as pool:
            kept = await newest(pool)
        with overriding(kept, wanted):
            tried = load_catalogue(wanted)
            fresh = tried.entry(name)
            if refused is None and fresh.state is not State.ENABLED:
                raise PluginError(fresh.last_error or f"{fresh.who} cannot be enabled")
            if refused is None:
                tried.settings()
    if refused:
        raise ControlError(refused)
    about = {"stream": stream, "plugin": name, "state": state.value, "actor": actor}
    async with taken(database, stream) as write:
        await write("plugin", {**about, "reason": "no bot was running", "checks": []})
    return {"plugin": name, "state": state.value, "changed": True}


type Write = Callable[[str, Fields], Awaitable[None]]
"""Journals a record of a kind; it is durable when this returns. Raises StorageError when that cannot be told."""


@asynccontextmanager
async def taken(database: Database, stream: str) -> AsyncIterator[Write]:
    """A journal stream that nobody else writes meanwhile. Raises StorageError, also when a bot writes it."""
    clock = WallClock()
    writer = JournalWriter(database, [stream], clock=clock, emit=lambda report: None)
    try:
        numbers = Stream(stream, (await writer.open())[stream].seq)

        async def write(kind: str, data: Fields) -> None:
            writer.append([numbers.record(kind, clock(), data)])
            if not await writer.drain(_WRITE_S):
                raise StorageError(
                    f"the journal did not take the change within {_WRITE_S:.0f} s; it may or may not be there"
                )

        failed: ArbitradeError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            try:
                yield write
            except ArbitradeError as error:
                failed = error  # raised out here, it would come in a group
            tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed
    finally:
        writer.close()
