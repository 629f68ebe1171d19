"""What commands of plugins are built with: options, output, settings, and a line to the running bot.

A command is an entry point of the group `arbitrade.commands`, a typer app:

    app = typer.Typer(help="Doorbell.")

    @app.command()
    def ring(demo: DemoOption = False, as_json: JsonOption = False) -> None:
        answer = ask("doorbell.ring", demo=demo)
        print_json(answer) if as_json else typer.echo(answer["heard"])
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import anyio
from pydantic import BaseModel

from arbitrade_core.commands.console import DemoOption, JsonOption, configure_logging, print_json, print_table
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.composition import core_settings, load
from arbitrade_core.control import call
from arbitrade_core.errors import PluginError
from arbitrade_core.storage import fee_schedules
from arbitrade_core.storage.fee_schedules import FeeSchedule, Ladder, NextRates, PairRates, Step, StoredSchedule
from arbitrade_core.storage.migrations import core_migrations, migrate

__all__ = [
    "DemoOption",
    "FeeSchedule",
    "JsonOption",
    "Ladder",
    "NextRates",
    "PairRates",
    "Step",
    "StoredSchedule",
    "ask",
    "core_settings",
    "keep_fees",
    "kept_fees",
    "plugin_settings",
    "print_json",
    "print_table",
]


def ask(verb: str, parameters: Mapping[str, Any] | None = None, *, demo: bool = False) -> Any:
    """What the running bot, or the newest demo, answers to a verb. Raises ControlError when none runs or it refuses."""
    return anyio.run(partial(call, core_settings(), verb, parameters, demo=demo))


def plugin_settings[M: BaseModel](name: str, model: type[M]) -> M:
    """A plugin's settings as the environment has them, for commands that need no running bot; logging is set up.

    Raises:
        SettingsError: some setting is wrong.
        PluginError: the plugin is not enabled.
    """
    loaded = load()
    configure_logging(loaded.core.log)
    settings = loaded.settings.sections.get(name)
    if not isinstance(settings, model):
        raise PluginError(f"plugin {name!r} is not enabled; add it to ARBITRADE_PLUGINS, or unset that")
    return settings


def keep_fees(schedule: FeeSchedule, *, demo: bool = False) -> int:
    """Store an account's schedule for good; pending migrations are applied. Its id. Raises StorageError."""

    async def run() -> int:
        async with open_database(core_settings(), demo) as database:
            await migrate(database, core_migrations())
            async with database.pool(size=1) as pool:
                return await fee_schedules.store(pool, schedule)

    return anyio.run(run)


def kept_fees(limit: int, account: str | None = None, *, demo: bool = False) -> list[StoredSchedule]:
    """Stored schedules of this account, or of all, newest first. Raises StorageError."""

    async def run() -> list[StoredSchedule]:
        async with open_database(core_settings(), demo) as database:
            if not await has_schema(database):
                return []
            async with database.pool(size=1) as pool:
                return await fee_schedules.schedules(pool, limit, account)

    return anyio.run(run)
