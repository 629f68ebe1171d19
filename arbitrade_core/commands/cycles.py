"""`arbitrade cycles`."""

from typing import Annotated

import anyio
import typer

from arbitrade_core.commands.console import DemoOption, JsonOption, print_json, print_table
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.composition import core_settings
from arbitrade_core.storage import repositories

app = typer.Typer(no_args_is_help=True, help="Executed cycles.")


@app.command("list")
def list_cycles(
    demo: DemoOption = False,
    desk: Annotated[
        str | None, typer.Option(help="Of this desk. Not set: of all; with --demo, the last run's.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Only these: completed, partial, unwound, missed, stuck ...")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="How many, newest first. Not set: 20, with --json all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest plans: path, outcome, expected and realised. `--json` has orders and fills as well."""
    core = core_settings()
    most = limit or (100_000 if as_json else 20)

    async def run() -> list[repositories.CycleRow]:
        async with open_database(core, demo) as database:
            if not await has_schema(database):
                return []
            async with database.pool(size=1) as pool:
                of = desk or (await repositories.last_desk(pool) if demo else None)
                return await repositories.cycles(pool, most, of, outcome)

    cycles = anyio.run(run)
    if as_json:
        print_json(cycles)
    elif not cycles:
        typer.echo("no cycles yet")
    else:
        print_table(
            ("decided (UTC)", "path", "outcome", "edge bps", "profit", "asset"),
            [
                (
                    f"{cycle.decided_at:%m-%d %H:%M:%S}",
                    cycle.path,
                    cycle.outcome or cycle.state,
                    f"{cycle.expected_edge_bps:.1f}",
                    "" if cycle.profit is None else f"{cycle.profit:f}",
                    cycle.start_asset,
                )
                for cycle in cycles
            ],
            right=("edge bps", "profit"),
        )
