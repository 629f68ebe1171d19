"""`arbitrade backtest run`: everything that can be asked for, submitted, waited for, and shown."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import anyio
import typer
from rich.console import Console

from arbitrade_core.backtests import api, processes
from arbitrade_core.backtests.asked import Asked
from arbitrade_core.backtests.real import TOOLS
from arbitrade_core.commands.backtest_show import CsvOption, HtmlOption, show_report, why
from arbitrade_core.commands.backtest_wait import Left, wait
from arbitrade_core.commands.console import DemoOption, JsonOption, configure_logging, print_json
from arbitrade_core.commands.db import open_database
from arbitrade_core.composition import core_settings
from arbitrade_core.control.client import actor
from arbitrade_core.settings import CoreSettings
from arbitrade_core.storage.backtests import JobRow
from arbitrade_core.storage.migrations import core_migrations, migrate

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


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
    pairs: Annotated[str | None, typer.Option(help="As ETH/USD,ETH/BTC. Not set: as the settings say.")] = None,
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
        typer.echo(f"error: {told.kind} {told.id} {why(row)}", err=True)
        raise typer.Exit(EXIT_FAILED)
    show_report(reported, html, csv_dir, as_json=as_json)


def _listed(told: str | None) -> tuple[str, ...] | None:
    return None if told is None else tuple(item.strip() for item in told.split(",") if item.strip())


def _log_file(core: CoreSettings) -> Path:
    return core.data_path / "backtests.log"
