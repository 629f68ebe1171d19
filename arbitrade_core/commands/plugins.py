"""`arbitrade plugins`."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from arbitrade_core import runtime
from arbitrade_core.commands.console import DemoOption, JsonOption, print_json, print_table
from arbitrade_core.commands.db import open_database
from arbitrade_core.commands.plugins_check import check_plugin
from arbitrade_core.commands.plugins_new import new_plugin
from arbitrade_core.composition import core_settings
from arbitrade_core.control import NotRunning, call
from arbitrade_core.control.client import actor
from arbitrade_core.engine import SYSTEM_STREAM
from arbitrade_core.errors import StorageError
from arbitrade_core.host import offline
from arbitrade_core.plugins import State, Toggle, load_catalogue
from arbitrade_core.settings import CoreSettings

app = typer.Typer(no_args_is_help=True, help="Installed plugins: what they are, and whether they are in use.")


@app.command("list")
def list_plugins(demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show every installed plugin: state, version, hooks, last error. Of the running bot, when one runs."""
    entries = _entries(demo)
    if as_json:
        print_json(entries)
        return
    print_table(
        ("plugin", "state", "distribution", "API", "hooks"),
        [
            (
                entry["name"],
                entry["state"],
                f"{entry['distribution']} {entry['version']}",
                entry["api_version"],
                _short(entry["hooks"]) if entry["api_version"] else "not imported, so not known",
            )
            for entry in entries
        ],
        right=("API",),
    )
    for entry in entries:
        for note in _notes(entry):
            typer.echo(f"\n{entry['name']}: {note}")


@app.command("show")
def show_plugin(name: str, demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show one plugin: what it needs and registers, its settings, what it costs, and its panels when the bot runs."""
    core = core_settings()
    try:
        shown = anyio.run(lambda: call(core, "plugins.show", {"plugin": name}, demo=demo))
    except NotRunning:
        catalogue = load_catalogue(_toggles(core, demo))
        catalogue.settings()
        shown = _plain(catalogue.entry(name))
    if as_json:
        print_json(shown)
        return
    for key in ("name", "state", "distribution", "version", "module", "api_version", "experimental", "pinned"):
        typer.echo(f"{key:<13} {shown[key]}")
    typer.echo(f"{'hooks':<13} {_short(shown['hooks']) or '-'}")
    typer.echo(f"{'needs':<13} {', '.join(shown['needs']) or '-'}")
    for note in _notes(shown):
        typer.echo(f"\n{note}")
    console = Console()
    if shown.get("costs"):
        columns = ("kind", "name", "measured", "mean_us", "worst_us")
        typer.echo("\nCPU time of a call, on the trading thread:")
        print_table(columns, [tuple(cost[column] for column in columns) for cost in shown["costs"]], right=columns[2:])
    for panel in shown.get("panels", ()):
        _print_panel(panel, console)


@app.command("enable")
def enable_plugin(name: str, demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Bring a plugin into use: in the running bot now, and at every later start."""
    _toggle(name, State.ENABLED, demo, as_json)


@app.command("disable")
def disable_plugin(name: str, demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Take a plugin out of use, once its plans have ended: in the running bot now, and at every later start."""
    _toggle(name, State.DISABLED, demo, as_json)


app.command("new")(new_plugin)
app.command("check")(check_plugin)


def _toggle(name: str, state: State, demo: bool, as_json: bool) -> None:
    core = core_settings()
    verb = "plugins.enable" if state is State.ENABLED else "plugins.disable"
    live = True
    try:
        done = anyio.run(lambda: call(core, verb, {"plugin": name}, demo=demo))
    except NotRunning:
        if demo:
            raise
        live = False
        done = anyio.run(_offline, core, name, state)
    if as_json:
        print_json(done)
    elif not done["changed"]:
        typer.echo(f"{name} is {state.value} already")
    elif not live:
        typer.echo(f"{name} will be {state.value} at the next start: no bot is running")
    else:
        left = done.get("plans_left")
        typer.echo(
            f"{name} is {state.value}; trading stood still for {done['stall_ms']:.2f} ms"
            + (f"; {left} plans are still ending with its objects" if left else "")
        )


async def _offline(core: CoreSettings, name: str, state: State) -> dict[str, Any]:
    async with open_database(core) as database:
        return await offline.toggle(database, SYSTEM_STREAM, name, state, actor())


def _entries(demo: bool) -> Sequence[Mapping[str, Any]]:
    core = core_settings()
    try:
        answer: Sequence[Mapping[str, Any]] = anyio.run(lambda: call(core, "plugins.list", demo=demo))
    except NotRunning:
        catalogue = load_catalogue(_toggles(core, demo))
        catalogue.settings()
        return [_plain(entry) for entry in catalogue.entries]
    return answer


def _toggles(core: CoreSettings, demo: bool) -> Mapping[str, Toggle]:
    """What was said while a bot ran; nothing for a demo, whose every run is an account of its own."""
    if demo or not runtime.has_database(core):
        return {}

    async def read() -> Mapping[str, Toggle]:
        async with open_database(core) as database:
            return await offline.toggles(database, SYSTEM_STREAM)

    try:
        return anyio.run(read)
    except StorageError as error:
        typer.echo(f"note: toggles cannot be read, so this is what the environment says: {error}", err=True)
        return {}


def _plain(entry: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(entry)
    return plain


def _notes(entry: Mapping[str, Any]) -> list[str]:
    notes = [entry["last_error"]] if entry["last_error"] else []
    if entry["restart_for"]:
        notes.append(f"version {entry['restart_for']} is installed, {entry['version']} runs: restart the bot to use it")
    return notes


def _print_panel(panel: Mapping[str, Any], console: Console) -> None:
    console.print(f"\n[bold]{panel['title']}[/bold]")
    for fact in panel["facts"]:
        console.print(f"  {fact['label']}: {fact['value']}", markup=False)
    for found in panel["tables"]:
        table = Table(*found["columns"], title=found["caption"] or None)
        for row in found["rows"]:
            table.add_row(*row)
        console.print(table)
    if panel["note"]:
        console.print(panel["note"], markup=False)


def _short(hooks: Sequence[str]) -> str:
    return ", ".join(hook.removeprefix("register_") for hook in hooks)
