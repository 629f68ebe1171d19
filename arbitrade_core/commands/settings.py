"""`arbitrade settings`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import anyio
import typer
from pydantic import BaseModel

from arbitrade_core import runtime
from arbitrade_core.commands.console import DemoOption, JsonOption, print_json, print_table
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.composition import Overrides, core_settings, overriding
from arbitrade_core.control import NotRunning, call
from arbitrade_core.control.client import actor
from arbitrade_core.engine import SYSTEM_STREAM
from arbitrade_core.errors import ControlError, SettingsError, StorageError
from arbitrade_core.host import overrides
from arbitrade_core.host.overrides import Applied
from arbitrade_core.plugins import Catalogue, Toggle, import_plugin, load_catalogue
from arbitrade_core.settings import CoreSettings, Settings, Variable, allowed, default, markdown, written
from arbitrade_core.storage.overrides import Kept, Version, history, newest
from arbitrade_core.storage.system_state import system_state

app = typer.Typer(no_args_is_help=True, help="Settings in force, and changing them.")

ReasonOption = Annotated[str, typer.Option(help="Why, for the history and the journal.")]


@app.command("list")
def list_settings(
    demo: DemoOption = False,
    as_json: JsonOption = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference of all settings, docs/settings.md.")
    ] = False,
) -> None:
    """Show every setting: its variable, its value (secrets hidden), and where the value comes from."""
    if as_json and as_markdown:
        raise typer.BadParameter("--json and --markdown exclude each other")
    if as_markdown:
        typer.echo(reference(load_catalogue()), nl=False)
        return
    core = core_settings()
    try:
        kept, toggles = anyio.run(kept_overrides, core, demo)
    except StorageError as error:
        typer.echo(f"note: overrides cannot be read, so this is what the environment says: {error}", err=True)
        kept, toggles = Kept(), {}
    with overriding(kept, toggles) as found:
        settings = load_catalogue(toggles).settings()
    pending = anyio.run(_pending, core, demo)
    rows = [_row(settings, variable, found, variable.name in pending) for variable in settings.variables]
    gone = kept.values.keys() - {row["variable"] for row in rows}
    rows += [_gone(name, found) for name in sorted(gone & found.wrong.keys())]
    if as_json:
        print_json(rows)
        return
    columns = ("variable", "value", "origin")
    print_table(columns, [(row["variable"], row["value"], _origin(row)) for row in rows])
    for name, why in found.wrong.items():
        typer.echo(f"\noverride v{kept.since[name]} of {name} is left out: {why}")


@app.command("set")
def set_settings(
    values: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="By variable, or as `trading.min_edge_bps=7`.")
    ],
    reason: ReasonOption = "",
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Override settings: in the running bot now where it can take them, else from the next start on."""
    changes: dict[str, str | None] = {}
    problems = []
    for text in values:
        name, given, value = text.partition("=")
        if not given or not name.strip():
            problems.append(f"{text!r} sets nothing: write <name>=<value>, such as trading.min_edge_bps=7")
        elif name in changes:
            problems.append(f"{name} is given twice; give it once")
        changes[name] = value
    if problems:
        raise SettingsError(problems)
    _tell(anyio.run(overrides.apply, core_settings(), changes, actor(), reason, demo), as_json)


@app.command("unset")
def unset_settings(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="By variable, or as `trading.min_edge_bps`.")],
    reason: ReasonOption = "",
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take overrides away: the environment and the defaults decide again."""
    changes = dict.fromkeys(names)
    _tell(anyio.run(overrides.apply, core_settings(), changes, actor(), reason, demo), as_json)


@app.command("revert")
def revert_settings(
    version: Annotated[int, typer.Argument(min=0, help="See `settings history`. 0: no overrides at all.")],
    reason: ReasonOption = "",
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Have the overrides of an earlier version again. That is a new version: nothing is ever forgotten."""
    _tell(anyio.run(overrides.revert, core_settings(), version, actor(), reason, demo), as_json)


@app.command("history")
def show_history(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many versions, newest first.")] = 20,
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show who overrode what, when and why."""
    core = core_settings()

    async def read() -> list[Version]:
        async with open_database(core, demo) as database:
            if not await has_schema(database):
                return []
            async with database.pool(size=1) as pool:
                return await history(pool, limit)

    versions = anyio.run(read)
    if as_json:
        print_json(versions)
        return
    print_table(
        ("version", "at", "actor", "reason", "changes"),
        [(one.version, f"{one.at:%Y-%m-%d %H:%M:%S}", one.actor, one.reason, _changes(one)) for one in versions],
        right=("version",),
    )


def reference(catalogue: Catalogue) -> str:
    """docs/settings.md: the core's settings and those of the plugins that come with it."""
    models: dict[str, type[BaseModel]] = {"": CoreSettings}
    for entry in catalogue.entries:
        if entry.distribution == "arbitrade":  # one that is not enabled has its settings all the same
            model = catalogue.models.get(entry.name) or import_plugin(catalogue.point(entry.name), entry.who).model
            models.update({} if model is None else {entry.name: model})
    return markdown(models)


# --- reading --------------------------------------------------------------------------------------------------


async def kept_overrides(core: CoreSettings, demo: bool = False) -> tuple[Kept, Mapping[str, Toggle]]:
    """Overrides and toggles of the database; none of either when there is no database yet. Raises StorageError."""
    if not runtime.has_database(core):
        return Kept(), {}
    async with open_database(core, demo) as database:
        if not await has_schema(database):
            return Kept(), {}
        async with database.pool(size=1) as pool:
            # Every demo is an account of its own, so no toggle outlives it; overrides are for the next one too.
            toggles = {} if demo else (await system_state(pool, SYSTEM_STREAM)).toggles
            return await newest(pool), toggles


async def _pending(core: CoreSettings, demo: bool) -> Sequence[str]:
    """What the running bot has otherwise until it starts anew."""
    try:
        pending: Sequence[str] = (await call(core, "settings.overrides", demo=demo))["pending"]
    except NotRunning:
        return ()
    except ControlError as error:
        typer.echo(f"note: the running bot does not say which settings wait for its next start: {error}", err=True)
        return ()
    return pending


def _row(settings: Settings, variable: Variable, found: Overrides, pending: bool) -> dict[str, Any]:
    value = settings.value(variable)
    name = variable.name
    return {
        "variable": name,
        "value": written("(hidden)" if variable.secret and value is not None else value),
        "origin": settings.origin(variable),
        "pinned": settings.given.pins(name),
        "override": found.kept.values.get(name),
        "override_version": found.kept.since.get(name),
        "wrong": found.wrong.get(name),
        "at_next_start": pending,
        "default": default(variable),
        "allowed": allowed(variable),
        "secret": variable.secret,
        "description": variable.field.description or "",
    }


def _gone(name: str, found: Overrides) -> dict[str, Any]:
    """An override of what is no setting any more."""
    return {
        "variable": name,
        "value": None,
        "origin": "not a setting",
        "pinned": False,
        "override": found.kept.values[name],
        "override_version": found.kept.since[name],
        "wrong": found.wrong[name],
        "at_next_start": False,
        "default": None,
        "allowed": "",
        "secret": False,
        "description": "",
    }


def _origin(row: Mapping[str, Any]) -> str:
    text = f"{row['origin']}: pinned" if row["pinned"] else str(row["origin"])
    if row["wrong"] is not None:
        text += f"; override v{row['override_version']} is wrong"
    elif row["pinned"] and row["override"] is not None:
        text += f"; override v{row['override_version']} says {row['override']}"
    return text + ("; at the next start" if row["at_next_start"] else "")


# --- telling --------------------------------------------------------------------------------------------------


def _tell(applied: Applied, as_json: bool) -> None:
    """Raises SettingsError when something was refused: nothing was changed."""
    if applied.refused:
        raise SettingsError(list(applied.refused.values()))
    if as_json:
        print_json(applied)
    elif not applied.changed:
        typer.echo(f"nothing to change: version {applied.version} says that already")
    else:
        typer.echo(f"version {applied.version}")
        for name in applied.now:
            typer.echo(f"in force now       {name}")
        for name in applied.later:
            typer.echo(f"at the next start  {name}")


def _changes(version: Version) -> str:
    return "; ".join(
        f"{name}: {_said(change.was)} -> {_said(change.to)}" for name, change in sorted(version.changes.items())
    )


def _said(text: str | None) -> str:
    return "none" if text is None else text
