"""The command line: the core's commands, and those of plugins, loaded when they are asked for.

A plugin's command is an entry point of the group `arbitrade.commands`: a typer app or a click command. One
that cannot be loaded says so when it is called, and leaves the others and `--help` alone.
"""

import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import typer
import typer.core
import typer.main

from arbitrade_core.commands import cycles, db, plugins, recordings, settings, shadow
from arbitrade_core.commands.console import JsonOption, print_json
from arbitrade_core.commands.control import halt, resume, status
from arbitrade_core.commands.doctor import doctor
from arbitrade_core.commands.trade import record, run, scan
from arbitrade_core.errors import ArbitradeError, PluginError, SettingsError
from arbitrade_core.hooks import API_VERSION

GROUP = "arbitrade.commands"

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class WithPlugins(typer.core.TyperGroup):
    """The core's commands and, after them, those that entry points name. The core's names cannot be taken."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return own + sorted({point.name for point in metadata.entry_points(group=GROUP)} - set(own))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        points = tuple(metadata.entry_points(group=GROUP, name=cmd_name))
        return _loaded(cmd_name, points) if points else None


def _loaded(name: str, points: Sequence[metadata.EntryPoint]) -> Any:
    """The command behind an entry point, or one that says why there is none."""
    origins = " and ".join(_origin(point) for point in points)
    if len(points) > 1:
        return _broken(name, PluginError(f"command {name!r} is brought by {origins}; uninstall all of them but one"))
    try:
        thing = points[0].load()
        if isinstance(thing, typer.Typer):
            return typer.main.get_command(thing)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; the command then says what happened
        reason = f"{type(error).__name__}: {error}"
        return _broken(name, PluginError(f"command {name!r} of {origins} cannot be loaded: {reason}"))
    if callable(getattr(thing, "main", None)):
        return _passed_on(name, thing)
    return _broken(name, PluginError(f"command {name!r} of {origins} is {thing!r}, no typer app or click command"))


def _origin(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _broken(name: str, error: PluginError) -> Any:
    app = typer.Typer(add_completion=False)

    @app.command(name, help=f"Unavailable: {error}", context_settings=_EVERYTHING)
    def fail() -> None:
        raise error

    return typer.main.get_command(app)


def _passed_on(name: str, click_command: Any) -> Any:
    """A click command gets its arguments untouched, since typer's own click may be another one."""
    app = typer.Typer(add_completion=False)

    @app.command(name, help=click_command.help, context_settings=_EVERYTHING | {"help_option_names": []})
    def run(ctx: typer.Context) -> None:
        click_command.main(args=list(ctx.args), prog_name=ctx.command_path)

    return typer.main.get_command(app)


_EVERYTHING: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name="arbitrade",
    cls=WithPlugins,
    no_args_is_help=True,
    add_completion=False,
    help="A triangular-arbitrage bot for Kraken: measures, explains and, on paper, trades.",
)
app.add_typer(cycles.app, name="cycles")
app.add_typer(db.app, name="db")
app.add_typer(plugins.app, name="plugins")
app.add_typer(recordings.app, name="recordings")
app.add_typer(settings.app, name="settings")
app.add_typer(shadow.app, name="shadow")
app.command("run")(run)
app.command("record")(record)
app.command("scan")(scan)
app.command("status")(status)
app.command("halt")(halt)
app.command("resume")(resume)
app.command("doctor")(doctor)


@app.command("version")
def show_version(as_json: JsonOption = False) -> None:
    """Show the versions of arbitrade, of its plugin API, and of Python."""
    versions = {
        "arbitrade": metadata.version("arbitrade"),
        "plugin_api": API_VERSION,
        "python": platform.python_version(),
    }
    if as_json:
        print_json(versions)
    else:
        typer.echo(f"arbitrade {versions['arbitrade']}, plugin API {API_VERSION}, Python {versions['python']}")


def main() -> None:
    """Entry point `arbitrade`. Errors of ours are one message and exit code 2; Ctrl-C is 130, quietly."""
    try:
        typer.main.get_command(app)(prog_name="arbitrade")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except ArbitradeError as error:
        _tell([error])
        sys.exit(EXIT_ERROR)
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        if any(isinstance(error, KeyboardInterrupt) for error in errors):
            sys.exit(EXIT_INTERRUPTED)
        ours = [error for error in errors if isinstance(error, ArbitradeError)]
        if len(ours) < len(errors):
            raise
        _tell(ours)
        sys.exit(EXIT_ERROR)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """What several tasks raised, one by one."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _tell(errors: list[ArbitradeError]) -> None:
    for error in errors:
        many = isinstance(error, SettingsError) and len(error.problems) > 1
        text = (
            f"{len(error.problems)} settings are wrong:\n{error}"
            if many and isinstance(error, SettingsError)
            else str(error)
        )
        sys.stderr.write(f"error: {text}\n".replace("\n", "\n  ").rstrip() + "\n")
