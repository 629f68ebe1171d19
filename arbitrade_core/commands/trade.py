"""`arbitrade run`, `arbitrade record` and `arbitrade scan`."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import msgspec
import typer
from rich.console import Console

from arbitrade_core import runtime
from arbitrade_core.commands.console import JsonOption, RecordOption, configure_logging, print_json
from arbitrade_core.commands.shadow import ShadowOption, print_shadow, shadow_summary
from arbitrade_core.composition import Loaded, core_settings
from arbitrade_core.mode import Mode
from arbitrade_core.report import recorded, standings, summary, whole_funnel
from arbitrade_core.spi import Standing
from arbitrade_core.terminal import cycles_table, print_recorded, print_summary, watch

Seconds = Annotated[float | None, typer.Option(min=0.1, help="Stop after that long. Not set: until Ctrl-C.")]
PAPER_NOTES = ("Paper trading: real market data, fills simulated on the live book. No order leaves this machine.",)
RECORD_NOTES = ("Recording: real market data, nothing is traded. `arbitrade recordings list` shows what there is.",)
_POLL_S = 0.1


def run(
    seconds: Seconds = None,
    resume: Annotated[bool, typer.Option("--resume", help="Clear a halt that an earlier run left.")] = False,
    shadow: ShadowOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trade on paper on real market data until Ctrl-C. Open plans end first, then everything is written."""
    configure_logging(core_settings().log)
    session = runtime.start_loop(_paper, seconds, resume, shadow, record, as_json)
    if as_json:
        print_json({**summary(session), **shadow_summary(session)})
    else:
        print_summary(session, PAPER_NOTES, Console())
        print_shadow(session)


async def _paper(
    seconds: float | None, resume: bool, shadow: Path | None, record: bool | None, quiet: bool
) -> runtime.Session:
    stop = anyio.Event()
    running = runtime.session(Mode.PAPER, resume=resume, status=summary, shadow=shadow, record=record)
    async with runtime.stop_on_signals(stop), running as session:
        console = Console(stderr=True, quiet=quiet)
        with anyio.move_on_after(seconds):
            await watch(session, stop, "arbitrade: paper", lambda _: PAPER_NOTES, console)
    return session


def record(
    seconds: Seconds = None,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Every pair that is online, not only those that detectors want.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Record the market until Ctrl-C, trading nothing. A bot may run beside it on the same database."""
    configure_logging(core_settings().log)
    session = runtime.start_loop(_record, seconds, all_pairs, as_json)
    if as_json:
        print_json(recorded(session))
    else:
        print_recorded(session, Console())


async def _record(seconds: float | None, all_pairs: bool, quiet: bool) -> runtime.Session:
    stop = anyio.Event()
    running = runtime.session(Mode.RECORD, adjust=partial(_with_all_pairs, all_pairs))
    async with runtime.stop_on_signals(stop), running as session:
        console = Console(stderr=True, quiet=quiet)
        with anyio.move_on_after(seconds):
            await watch(session, stop, "arbitrade: recording", lambda _: RECORD_NOTES, console)
    return session


def _with_all_pairs(wanted: bool, loaded: Loaded) -> Loaded:
    if not wanted:
        return loaded
    core = loaded.core
    core = core.model_copy(update={"recording": core.recording.model_copy(update={"all_pairs": True})})
    return replace(loaded, settings=replace(loaded.settings, core=core))


def scan(
    seconds: Annotated[float, typer.Option(min=1, help="How long to look once books are live.")] = 10.0,
    wait: Annotated[float, typer.Option(min=1, help="How long to wait for the first live book.")] = 30.0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many cycles.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the cycles nearest to trading now and what they would return after fees. No database, no keys."""
    configure_logging(core_settings().log)
    session, rows = runtime.start_loop(_scan, seconds, wait, limit)
    funnel = whole_funnel(session.engine, session.desk)
    fees = session.desk.fees
    if as_json:
        print_json(
            {
                "books_live": len(session.engine.market.in_use()),
                "fees": None if fees is None else fees.source,
                "fees_missing": session.shell.fees_missing,
                "last_connection_fault": session.shell.last_connection_fault,
                "cycles": [{"path": path, **msgspec.to_builtins(standing)} for path, standing in rows],
                "funnel": funnel,
            }
        )
    else:
        console = Console()
        console.print(cycles_table(rows))
        if session.shell.fees_missing or fees is not None:
            console.print(f"fees: {session.shell.fees_missing or (fees and fees.source)}", markup=False)
        if not rows:
            fault = session.shell.last_connection_fault
            console.print(f"no book is live{f': {fault}' if fault else ''}", markup=False)
        elif fees is not None:
            console.print(_words(funnel), markup=False)
    if not rows:
        raise typer.Exit(1)


def _words(funnel: dict[str, int]) -> str:
    return (
        f"{funnel['evaluated']:,} evaluations: {funnel['gross_positive']:,} returned more than they cost before fees, "
        f"{funnel['after_fees']:,} after them"
    )


async def _scan(seconds: float, wait: float, limit: int) -> tuple[runtime.Session, list[tuple[str, Standing]]]:
    stop = anyio.Event()
    async with runtime.stop_on_signals(stop), runtime.session(Mode.SCAN) as session:
        with anyio.move_on_after(wait):
            while not session.engine.market.in_use() and not stop.is_set():  # noqa: ASYNC110 - the market tells nobody
                await anyio.sleep(_POLL_S)
        if session.engine.market.in_use():
            with anyio.move_on_after(seconds):
                await stop.wait()
        return session, list(standings(session.engine, limit))
