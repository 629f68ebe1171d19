"""`arbitrade backtest list`, `show`, `variants` and `audit`: what there is, on the terminal; reports also as files."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import msgspec
import typer
from rich.console import Console

from arbitrade_core.backtests import api
from arbitrade_core.commands.console import DemoOption, JsonOption, print_json, print_table
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.composition import core_settings
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.replay.report import csv, page, text
from arbitrade_core.storage.backtests import JobRow
from arbitrade_core.storage.connect import Database, Pool

Number = Annotated[int, typer.Argument(min=1, help="The backtest's number, as `arbitrade backtest list` shows it.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one HTML file.")]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="DIR", help="Write its tables into a folder, or a .zip file.")
]


def list_jobs(
    demo_database: DemoOption = False,
    state: Annotated[
        Literal["queued", "running", "done", "failed", "cancelled"] | None, typer.Option(help="Only these.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show backtests and sweeps, newest first."""
    rows = with_jobs(demo_database, lambda pool: api.jobs(pool, limit, state), [])
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("no backtests yet; `arbitrade backtest run --help` shows how to run one")
    else:
        print_table(
            ("id", "kind", "name", "state", "submitted (UTC)", "range (UTC)", "earned", "plans"),
            [
                (
                    row.id,
                    row.kind,
                    row.name,
                    _state(row),
                    f"{row.created_at:%m-%d %H:%M:%S}",
                    _range(row),
                    _earned(row),
                    (row.headline or {}).get("plans"),
                )
                for row in rows
            ],
            right=("earned", "plans"),
        )


def show(
    number: Number,
    html: HtmlOption = None,
    csv_dir: CsvOption = None,
    demo_database: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a backtest: its report when it is done, else how far it is, or why it failed."""

    async def look(pool: Pool) -> JobRow | api.Reported:
        row = await api.job(pool, number)
        return await api.report(pool, number) if row.state == "done" else row

    found = with_jobs(demo_database, look, None)
    if found is None:
        raise api.NoSuchJob(number)
    if isinstance(found, api.Reported):
        show_report(found, html, csv_dir, as_json=as_json)
        return
    if html is not None or csv_dir is not None:
        raise ArbitradeError(f"backtest {number} has no report: it {why(found)}")
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.kind} {found.id} {found.name}".rstrip() + f": {_state(found)}")
    for name, value in (
        ("range", _range(found)),
        ("by", f"{found.actor}, {found.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("reason", found.reason),
        ("notes", "; ".join(found.notes)),
    ):
        if value:
            typer.echo(f"{name:8} {value}")


def variants(number: Number, demo_database: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show the variants of a sweep that are computed, best profit first; also while it runs."""
    rows = with_jobs(demo_database, lambda pool: api.variants(pool, number), None)
    if rows is None:
        raise api.NoSuchJob(number)
    if as_json:
        print_json(rows)
        return
    ranked = sorted(rows, key=lambda row: (-float(row.headline["trading_valued"]), row.number))
    print_table(
        ("variant", "earned", "drawdown", "plans", "settings"),
        [
            (
                row.number,
                f"{row.headline['trading_valued']} {row.headline['valuation_asset']}",
                row.headline["drawdown_valued"],
                row.headline["plans"],
                ", ".join(f"{path}={value}" for path, value in row.settings.items()),
            )
            for row in ranked
        ],
        right=("earned", "drawdown", "plans"),
    )


def audit(number: Number, demo_database: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show who submitted, cancelled, applied or deleted a backtest."""
    rows = with_jobs(demo_database, lambda pool: api.audit(pool, number), [])
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("at (UTC)", "what", "who", "detail"),
            [
                (f"{row.at:%Y-%m-%d %H:%M:%S}", row.action, row.actor, msgspec.json.encode(row.detail).decode())
                for row in rows
            ],
        )


# --- a job and its report ---------------------------------------------------------------------------------------------


def why(row: JobRow) -> str:
    """What became of it, after "backtest 7": `failed: ...`, `was cancelled by ...`, `is done`."""
    match row.state:
        case "failed":
            return f"failed: {row.reason}"
        case "cancelled":
            return f"was {row.reason or 'cancelled'}"
        case _:
            return f"is {row.state}"


def _state(row: JobRow) -> str:
    if row.state != "running" or row.progress is None:
        return row.state
    cancelling = ", to be cancelled" if row.cancel_requested else ""
    return f"running, {row.progress.share:.0%}{cancelling}"


def _range(row: JobRow) -> str:
    start, end = (str(row.about.get(name, ""))[:19].replace("T", " ") for name in ("start", "end"))
    return f"{start} to {end}"


def _earned(row: JobRow) -> str:
    head = row.headline
    if not head or "trading_valued" not in head:
        return ""
    return f"{head['trading_valued']} {head['valuation_asset']}"


def show_report(found: api.Reported, html: Path | None, csv_dir: Path | None, *, as_json: bool) -> None:
    """On the terminal, or as JSON; before that into the files that are named."""
    number = found.row.id
    try:
        if html is not None:
            html.write_text(page.render(found.report), encoding="utf-8")
        if csv_dir is not None:
            csv.write(found.spec, found.report, found.result, csv_dir)
    except OSError as error:
        raise ArbitradeError(f"the report cannot be written: {error}; name another place") from error
    if as_json:
        row = found.row
        about = {"id": number, "kind": row.kind, "name": row.name, "state": row.state, "decisions": row.decisions}
        print_json({**about, "notes": row.notes, "report": found.report})
        return
    text.show(found.report, Console())
    typer.echo("")
    if html is not None:
        typer.echo(f"the whole report: {html}")
    if csv_dir is not None:
        typer.echo(f"its tables: {csv_dir}")
    if html is None:
        typer.echo(f"the whole report: `arbitrade backtest show {number} --html report.html`")


# --- asking -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _jobs(demo_database: bool) -> AsyncIterator[Database | None]:
    async with open_database(core_settings(), demo_database) as database:
        yield database if await has_schema(database) else None


def with_jobs[T](demo_database: bool, ask: Callable[[Pool], Awaitable[T]], nothing: Any) -> T:
    """The answer; `nothing` of a database that holds nothing yet."""

    async def main() -> T:
        async with _jobs(demo_database) as database:
            if database is None:
                return nothing  # type: ignore[no-any-return]
            async with database.pool(size=2) as pool:
                return await ask(pool)

    return anyio.run(main)
