"""`arbitrade backtest`: backtests and sweeps on recorded market data."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
import msgspec
import typer
from rich.console import Console

from arbitrade_core.backtests import api, processes
from arbitrade_core.backtests.asked import Asked
from arbitrade_core.backtests.real import TOOLS
from arbitrade_core.commands.backtest_demo import demo
from arbitrade_core.commands.backtest_wait import Left, wait
from arbitrade_core.commands.console import DemoOption, JsonOption, configure_logging, print_json, print_table
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.composition import core_settings
from arbitrade_core.control.client import actor
from arbitrade_core.errors import ArbitradeError, SettingsError
from arbitrade_core.host import overrides
from arbitrade_core.replay.report import csv, page, text
from arbitrade_core.replay.sweep.apply import Application
from arbitrade_core.settings import CoreSettings
from arbitrade_core.storage.backtests import JobRow
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.migrations import core_migrations, migrate

app = typer.Typer(no_args_is_help=True, help="Backtests and sweeps on recorded market data.")

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

Number = Annotated[int, typer.Argument(min=1, help="The backtest's number, as `arbitrade backtest list` shows it.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one HTML file.")]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="DIR", help="Write its tables into a folder, or a .zip file.")
]


@app.command()
def run(  # noqa: PLR0917 - each is an option of the command line
    last: Annotated[str | None, typer.Option(help="Time range: the last `30m`, `2h`, `1d12h`.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Time range: its begin, as 2026-11-22T10:00 (UTC).")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Its end. Not set: now.")] = None,
    recording: Annotated[int | None, typer.Option(help="Time range: this recording, and no other.")] = None,
    balance: Annotated[
        list[str] | None, typer.Option(metavar="ASSET=AMOUNT", help="Starting balances (required): USD=10000,BTC=0.1.")
    ] = None,
    min_profit: Annotated[
        list[str] | None,
        typer.Option(metavar="5bps|0.05USD", help="Least profit of a plan (required): an edge, an amount, or both."),
    ] = None,
    pairs: Annotated[str | None, typer.Option(help="Only these, as ETH/USD,ETH/BTC. Not set: all recorded.")] = None,
    fees: Annotated[
        str,
        typer.Option(
            help="Fee profile: `api` (the account's, as fetched last), `tier:NAME`, `file:PATH`, "
            "`rates:maker=16bps,taker=26bps`, `settings` (as the bot is told) or `recorded` (as that bot was)."
        ),
    ] = "api",
    slippage_bps: Annotated[str | None, typer.Option(help="How much worse each fill is. Not set: 4.")] = None,
    latency_ms: Annotated[str | None, typer.Option(help="Round trip of an order. Not set: 20.")] = None,
    executor: Annotated[str | None, typer.Option(help="What carries cycles out. Not set: as the settings say.")] = None,
    plugins: Annotated[str | None, typer.Option(help="Plugins to use, as A,B. Not set: as the settings say.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="SETTING=VALUE", help="As risk.max_open_plans=3; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn by lot.")] = 0,
    curves: Annotated[bool, typer.Option(help="Also what other latencies and fees would have earned.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a range of which anything is missing.")] = False,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING=VALUES",
            help="Search: trading.min_edge_bps=2,5,10 or paper.latency_ms=5:100:5 (low:high:step); repeatable.",
        ),
    ] = None,
    method: Annotated[
        Literal["grid", "random", "adaptive"], typer.Option(help="How a sweep searches; `adaptive` needs optuna.")
    ] = "grid",
    variants: Annotated[
        int | None, typer.Option(min=1, help="How many variants a sweep tries. Not set: the whole grid.")
    ] = None,
    objective: Annotated[
        Literal["profit", "profit_per_drawdown", "sharpe"], typer.Option(help="What a sweep looks for.")
    ] = "profit",
    folds: Annotated[int, typer.Option(min=0, max=100, help="Of a sweep's walk-forward split; 0: none.")] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Adaptive: variants between two looks at the results.")] = 100,
    procs: Annotated[
        int | None, typer.Option("--processes", min=1, help="That compute a sweep. Not set: as the settings say.")
    ] = None,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Compute a sweep on a Dask cluster.")] = None,
    name: Annotated[str, typer.Option(help="For lists and reports.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait: a process of its own runs it.")] = False,
    html: HtmlOption = None,
    csv_dir: CsvOption = None,
    demo_database: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the bot on recorded market data, and report what it would have earned and why.

    Required are a time range, starting balances, and a least profit. With --sweep it is run with many settings at once.
    """
    asked = Asked(
        name=name,
        start=start,
        end=end,
        last=last,
        recording=recording,
        pairs=_listed(pairs),
        balances=tuple(balance or ()),
        min_profit=tuple(min_profit or ()),
        fees=fees,
        slippage_bps=slippage_bps,
        latency_ms=latency_ms,
        executor=executor,
        plugins=_listed(plugins),
        seed=seed,
        settings=tuple(settings or ()),
        curves=curves,
        sweep=tuple(sweep or ()),
        method=method,
        variants=variants,
        batch=batch,
        objective=objective,
        folds=folds,
        strict=strict,
        processes=procs,
        dask=dask,
    )
    core = core_settings()
    configure_logging(core.log)

    async def main() -> tuple[api.Submitted, JobRow | Left | None, api.Reported | None]:
        async with open_database(core, demo_database) as database:
            await migrate(database, core_migrations())
            async with database.pool(size=2) as pool:
                told = await api.submit(pool, asked, TOOLS, actor(), datetime.now(UTC))
                for note in told.notes:
                    typer.echo(f"note: {note}", err=True)
                if detach:
                    processes.detached(database.place.database, _log_file(core))
                    return told, None, None
                row = await wait(database, pool, told.id, Console(stderr=True, quiet=as_json))
                done = isinstance(row, JobRow) and row.state == "done"
                return told, row, await api.report(pool, told.id) if done else None

    told, row, reported = anyio.run(main)
    if row is None:
        if as_json:
            print_json(told)
        else:
            typer.echo(f"{told.kind} {told.id} is queued; `arbitrade backtest show {told.id}` tells how far it is")
        return
    if isinstance(row, Left):
        typer.echo(row.words, err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    if reported is None:
        typer.echo(f"error: {told.kind} {told.id} {_why(row)}", err=True)
        raise typer.Exit(EXIT_FAILED)
    _show(reported, html, csv_dir, as_json=as_json)


def _listed(told: str | None) -> tuple[str, ...] | None:
    return None if told is None else tuple(item.strip() for item in told.split(",") if item.strip())


def _log_file(core: CoreSettings) -> Path:
    return core.data_path / "backtests.log"


def _why(row: JobRow) -> str:
    match row.state:
        case "failed":
            return f"failed: {row.reason}"
        case "cancelled":
            return f"was {row.reason or 'cancelled'}"
        case _:
            return f"is {row.state}"


# --- what there is --------------------------------------------------------------------------------------------------


@app.command("list")
def list_jobs(
    demo_database: DemoOption = False,
    state: Annotated[
        Literal["queued", "running", "done", "failed", "cancelled"] | None, typer.Option(help="Only these.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show backtests and sweeps, newest first."""
    rows = _with_jobs(demo_database, lambda pool: api.jobs(pool, limit, state), [])
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


@app.command()
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

    found = _with_jobs(demo_database, look, None)
    if found is None:
        raise api.NoSuchJob(number)
    if isinstance(found, api.Reported):
        _show(found, html, csv_dir, as_json=as_json)
        return
    if html is not None or csv_dir is not None:
        raise ArbitradeError(f"backtest {number} has no report: it {_why(found)}")
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


def _show(found: api.Reported, html: Path | None, csv_dir: Path | None, *, as_json: bool) -> None:
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


@app.command()
def variants(number: Number, demo_database: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show the variants of a sweep that are computed, best profit first; also while it runs."""
    rows = _with_jobs(demo_database, lambda pool: api.variants(pool, number), None)
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


# --- what can be done -----------------------------------------------------------------------------------------------


@app.command()
def cancel(number: Number, demo_database: DemoOption = False, as_json: JsonOption = False) -> None:
    """Cancel a backtest: at once when it waits, within a second or so when it runs."""
    row = _with_jobs(demo_database, lambda pool: api.cancel(pool, number, TOOLS, actor()), None)
    if row is None:
        raise api.NoSuchJob(number)
    if as_json:
        print_json(row)
    elif row.state == "running":
        typer.echo(f"{row.kind} {number} is being cancelled")
    else:
        typer.echo(f"{row.kind} {number} {_why(row)}")


@app.command()
def delete(number: Number, demo_database: DemoOption = False, as_json: JsonOption = False) -> None:
    """Delete an ended backtest with its report. Who ran it and what was applied stays in the audit."""

    async def gone(pool: Pool) -> bool:
        await api.delete(pool, number, actor())
        return True

    if not _with_jobs(demo_database, gone, False):
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

    found = _with_jobs(demo_database, ask, None)
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


@app.command()
def audit(number: Number, demo_database: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show who submitted, cancelled, applied or deleted a backtest."""
    rows = _with_jobs(demo_database, lambda pool: api.audit(pool, number), [])
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


app.command("demo")(demo)


@asynccontextmanager
async def _jobs(demo_database: bool) -> AsyncIterator[Database | None]:
    async with open_database(core_settings(), demo_database) as database:
        yield database if await has_schema(database) else None


def _with_jobs[T](demo_database: bool, ask: Callable[[Pool], Awaitable[T]], nothing: Any) -> T:
    """The answer; `nothing` of a database that holds nothing yet."""

    async def main() -> T:
        async with _jobs(demo_database) as database:
            if database is None:
                return nothing  # type: ignore[no-any-return]
            async with database.pool(size=2) as pool:
                return await ask(pool)

    return anyio.run(main)
