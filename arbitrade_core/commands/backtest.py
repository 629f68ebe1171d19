"""`arbitrade backtest`: backtests and sweeps on recorded market data. Here: what can be done with those there are."""

from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Annotated

import anyio
import anyio.to_thread
import typer

from arbitrade_core.backtests import api
from arbitrade_core.backtests.real import TOOLS
from arbitrade_core.commands.backtest_demo import demo
from arbitrade_core.commands.backtest_run import run
from arbitrade_core.commands.backtest_show import Number, audit, list_jobs, show, variants, why, with_jobs
from arbitrade_core.commands.console import DemoOption, JsonOption, print_json
from arbitrade_core.composition import core_settings
from arbitrade_core.control.client import actor
from arbitrade_core.errors import SettingsError
from arbitrade_core.host import overrides
from arbitrade_core.replay.sweep.apply import Application
from arbitrade_core.storage.connect import Pool

app = typer.Typer(no_args_is_help=True, help="Backtests and sweeps on recorded market data.")
# In the order of `--help`.
app.command("run")(run)
app.command("list")(list_jobs)
app.command("show")(show)
app.command("variants")(variants)


@app.command()
def cancel(number: Number, demo_database: DemoOption = False, as_json: JsonOption = False) -> None:
    """Cancel a backtest: at once when it waits, within a second or so when it runs."""
    row = with_jobs(demo_database, lambda pool: api.cancel(pool, number, TOOLS, actor()), None)
    if row is None:
        raise api.NoSuchJob(number)
    if as_json:
        print_json(row)
    elif row.state == "running":
        typer.echo(f"{row.kind} {number} is being cancelled")
    else:
        typer.echo(f"{row.kind} {number} {why(row)}")


@app.command()
def delete(number: Number, demo_database: DemoOption = False, as_json: JsonOption = False) -> None:
    """Delete an ended backtest with its report. Who ran it and what was applied stays in the audit."""

    async def gone(pool: Pool) -> bool:
        await api.delete(pool, number, actor())
        return True

    if not with_jobs(demo_database, gone, False):
        raise api.NoSuchJob(number)
    if as_json:
        print_json({"deleted": number})
    else:
        typer.echo(f"backtest {number} is deleted")


@app.command()
def apply(  # noqa: PLR0917 - each is an option of the command line
    number: Number,
    variant: Annotated[int | None, typer.Option(min=0, help="Not set: the sweep's best.")] = None,
    env_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write them there, as `.env`, and not as overrides; what else it says stays."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show them, as variables of the environment.")
    ] = False,
    demo_database: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Set a variant's settings as overrides: in the running bot now where it can take them, else from its next start.

    What was applied, by whom, is kept in the audit.
    """
    if dry_run and env_file is not None:
        raise typer.BadParameter("--dry-run changes nothing, and --env-file writes: give one of them")
    core = core_settings()

    async def override(values: Mapping[str, str], reason: str) -> str:
        done = await overrides.apply(core, dict(values), actor(), reason, demo_database)
        if done.refused:
            raise SettingsError(
                [*done.refused.values(), "nothing was changed; --env-file writes them to a file instead"]
            )
        return f"setting overrides, version {done.version}"

    async def write(values: Mapping[str, str], reason: str) -> str:
        del reason
        assert env_file is not None
        await anyio.to_thread.run_sync(api.write_environment, env_file, dict(values))
        return str(env_file)

    def ask(pool: Pool) -> Awaitable[Application]:
        if dry_run:
            return api.proposed(pool, number, variant)
        return api.apply(pool, number, variant, override if env_file is None else write, actor())

    found = with_jobs(demo_database, ask, None)
    if found is None:
        raise api.NoSuchJob(number)
    if as_json:
        print_json({"applied": not dry_run, "environment": found.environment, "application": found})
        return
    typer.echo(found.text.rstrip(), err=True)
    typer.echo(found.environment, nl=False)
    if dry_run:
        typer.echo("nothing is changed; without --dry-run these are set as overrides", err=True)
    elif env_file is not None:
        typer.echo(f"written to {env_file}; the bot uses them from its next start on", err=True)
    else:
        typer.echo("set; `arbitrade settings history` tells it, `arbitrade settings revert` takes it back", err=True)


app.command("audit")(audit)
app.command("demo")(demo)
