"""`arbitrade db`, and the way from settings to an open database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import typer

from arbitrade_core.commands.console import DemoOption, JsonOption, print_json, print_table
from arbitrade_core.composition import core_settings
from arbitrade_core.errors import StorageError
from arbitrade_core.settings import CoreSettings
from arbitrade_core.storage import connect
from arbitrade_core.storage.migrations import Status, core_migrations, migrate, status

app = typer.Typer(no_args_is_help=True, help="The database and its schema.")


@asynccontextmanager
async def open_database(core: CoreSettings, demo: bool = False) -> AsyncIterator[connect.Database]:
    """The database that the settings name, or the embedded one; the demo's is apart. Raises StorageError."""
    name = connect.DEMO_DATABASE if demo else None
    async with connect.open_database(core.database, core.data_path, name) as database:
        yield database


async def has_schema(database: connect.Database) -> bool:
    """Whether there is something to read; False for a database that is still empty.

    Raises:
        StorageError: its schema is older than this program.
    """
    found = await status(database, core_migrations())
    if found.applied and found.pending:
        place = database.place
        raise StorageError(
            f"database {place.database!r} at {place.shown} lacks {', '.join(found.pending)}; "
            f"run `arbitrade db migrate`, for the demo's with --demo"
        )
    return bool(found.applied)


@app.command("migrate")
def migrate_database(demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Apply pending migrations. Safe to repeat, and at the same time as others."""
    core = core_settings()

    async def run() -> list[str]:
        async with open_database(core, demo) as database:
            return await migrate(database, core_migrations())

    applied = anyio.run(run)
    if as_json:
        print_json({"applied": applied})
    else:
        typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: all migrations are applied")


@app.command("status")
def show_status(demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show where the database is and which migrations are applied."""
    core = core_settings()

    async def run() -> tuple[connect.Place, Status]:
        async with open_database(core, demo) as database:
            return database.place, await status(database, core_migrations())

    place, found = anyio.run(run)
    if as_json:
        print_json(
            {
                "database": place.database,
                "server": place.shown,
                "applied": found.applied,
                "pending": found.pending,
            }
        )
        return
    typer.echo(f"database {place.database!r} at {place.shown}\n")
    rows = [(name, "applied") for name in found.applied] + [(name, "pending") for name in found.pending]
    print_table(("migration", "state"), rows)
