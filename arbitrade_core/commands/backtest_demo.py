"""`arbitrade backtest demo`: recording, backtest, sweep and report, on a market that is simulated."""

import os
import subprocess
import sys
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console

from arbitrade_core.backtests import api
from arbitrade_core.backtests.asked import Asked
from arbitrade_core.backtests.real import TOOLS
from arbitrade_core.commands.backtest_wait import Left, wait
from arbitrade_core.commands.console import JsonOption, configure_logging, print_json
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.composition import core_settings
from arbitrade_core.control.client import actor
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.replay.report import page, text
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.recordings import reading

SWEEP = ("trading.min_edge_bps=1,5,10,20", "paper.latency_ms=1,20,80")
_END_S = 60.0
"""How long the demo may take beyond the time that it was given."""


def demo(
    seconds: Annotated[float, typer.Option(min=5, max=3_600, help="How long to record.")] = 60.0,
    folder: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where the reports go. Not set: the data directory.")
    ] = None,
    look: Annotated[bool, typer.Option("--open/--no-open", help="Open the report when there is a display.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Record the simulated exchange, backtest the recording, sweep it, and open the report. No network, no keys.

    The market is invented and its mispricings are planted: its profit says nothing about an exchange.
    """
    core = core_settings()
    configure_logging(core.log.model_copy(update={"level": "error"}))
    to = folder or core.data_path / "backtests"
    console = Console(stderr=True, quiet=as_json)

    async def main() -> list[api.Reported]:
        # Open all the while, so that an embedded server is not started and stopped for each step.
        async with open_database(core, True) as database:
            before = await _newest(database)
            console.print(f"recording the simulated exchange for {seconds:g} s ...", highlight=False)
            await _record(seconds)
            recording = await _newest(database)
            if recording is None or recording == before:
                raise ArbitradeError("the demo recorded nothing; run `arbitrade demo --record` to see why")
            async with database.pool(size=2) as pool:
                return [
                    await _ran(database, pool, asked, console)
                    for asked in (_asked(recording, "demo"), _asked(recording, "demo sweep", *SWEEP))
                ]

    done = anyio.run(main)
    files = [_written(to / f"backtest-{one.row.id}.html", one) for one in done]
    if as_json:
        print_json(
            [
                {"id": one.row.id, "kind": one.row.kind, "decisions": one.row.decisions, "html": str(file)}
                | {"headline": one.row.headline}
                for one, file in zip(done, files, strict=True)
            ]
        )
        return
    for one, file in zip(done, files, strict=True):
        text.show(one.report, Console())
        typer.echo(f"the whole report: {file}\n")
    if look and _has_display():
        webbrowser.open(files[0].resolve().as_uri())


def _asked(recording: int, name: str, *sweep: str) -> Asked:
    return Asked(
        name=name,
        recording=recording,
        balances=("USD=10000",),
        min_profit=("5bps",),
        fees="recorded",
        sweep=sweep,
    )


async def _newest(database: Database) -> int | None:
    if not await has_schema(database):
        return None
    async with database.pool(size=1) as pool:
        found = await reading.recordings(pool, 1)
    return found[0].id if found else None


async def _record(seconds: float) -> None:
    # `arbitrade demo` is a plugin's command, so it is run as people run it. In a session of its own: Ctrl-C is for us.
    command = [sys.executable, "-P", "-c", "from arbitrade_core.cli import main; main()"]
    command += ["demo", "--record", f"--seconds={seconds:g}", "--json"]
    try:
        with anyio.fail_after(seconds + _END_S):
            ran = await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL, start_new_session=True)
    except TimeoutError:
        raise ArbitradeError(f"`arbitrade demo --record --seconds {seconds:g}` did not end") from None
    if ran.returncode:
        lines = ran.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise ArbitradeError(f"`arbitrade demo --record` failed: {lines[-1]}")


async def _ran(database: Database, pool: Pool, asked: Asked, console: Console) -> api.Reported:
    told = await api.submit(pool, asked, TOOLS, actor(), datetime.now(UTC))
    console.print(f"{told.kind} {told.id} ...", highlight=False)
    row = await wait(database, pool, told.id, console)
    if isinstance(row, Left):
        raise ArbitradeError(row.words)
    if row.state != "done":
        raise ArbitradeError(f"{told.kind} {told.id} is {row.state}: {row.reason}")
    return await api.report(pool, told.id)


def _written(file: Path, one: api.Reported) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page.render(one.report), encoding="utf-8")
    except OSError as error:
        raise ArbitradeError(f"the report cannot be written: {error}; name another place with --to") from error
    return file


def _has_display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
