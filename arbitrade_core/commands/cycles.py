"""`arbitrade cycles`."""

from typing import Annotated

import anyio
import typer

from arbitrade_core.commands.console import DemoOption, JsonOption, print_json, print_table
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.plugins import load_catalogue
from arbitrade_core.storage import repositories

app = typer.Typer(no_args_is_help=True, help="Executed cycles.")


@app.command("list")
def list_cycles(
    demo: DemoOption = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the newest plans: path, outcome, expected and realised. `--json` has orders and fills as well."""
    core = load_catalogue().settings().core

    async def run() -> list[repositories.CycleRow]:
        async with open_database(core, demo) as database:
            if not await has_schema(database):
                return []
            async with database.pool(size=1) as pool:
                return await repositories.cycles(pool, limit)

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
