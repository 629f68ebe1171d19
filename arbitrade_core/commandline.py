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
from arbitrade_core.composition import core_settings, load
from arbitrade_core.control import call
from arbitrade_core.errors import PluginError

__all__ = ["DemoOption", "JsonOption", "ask", "plugin_settings", "print_json", "print_table"]


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
