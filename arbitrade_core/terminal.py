"""The live terminal view of a session, and its summary for people."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from arbitrade_core.funnel_words import STAGES
from arbitrade_core.money import exact, plain
from arbitrade_core.report import (
    profit_and_loss,
    recorded,
    recording_line,
    standings,
    summary,
    whole_funnel,
    why_no_trade,
)
from arbitrade_core.runtime import Session
from arbitrade_core.spi import Standing

_REFRESH_S = 0.5
_PLAIN_EVERY_S = 10.0
_CYCLES = 5


async def watch(
    session: Session, until: anyio.Event, title: str, notes: Callable[[Session], Sequence[str]], console: Console
) -> None:
    """Show the session until `until` is set: a live view on a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        while not until.is_set():
            with anyio.move_on_after(_PLAIN_EVERY_S):
                await until.wait()
            console.print(_line(session), highlight=False, markup=False)
        return
    with Live(console=console, refresh_per_second=4, screen=False, transient=True) as live:
        while not until.is_set():
            live.update(view(session, title, notes(session)))
            with anyio.move_on_after(_REFRESH_S):
                await until.wait()


def view(session: Session, title: str, notes: Sequence[str]) -> RenderableType:
    """Everything at a glance."""
    columns = Table.grid(expand=True, padding=(0, 2))
    columns.add_row(_funnel(session), Group(_state(session), Text(), _latest(session)))
    return Panel(
        Group(*(Text(note, style="dim") for note in notes), Text(), columns, Text(), best_cycles(session)),
        title=title,
        subtitle="Ctrl-C ends it",
    )


def _state(session: Session) -> Table:
    engine, desk = session.engine, session.desk
    decision = session.shell.decision.summary()
    with exact():
        pnl = profit_and_loss(desk)
    rows = [
        ("books live", f"{len(engine.market.in_use())} of {len(engine.market.pairs)} pairs"),
        ("exchange", engine.exchange_status),
        ("frames", f"{engine.frames:,}"),
        ("checksums", f"{engine.checksums_ok:,} right, {engine.checksums_bad:,} wrong"),
        ("decision", _micros(decision)),
        ("fees", "none: nothing trades" if desk.fees is None else desk.fees.source),
        ("trading P&L", f"{pnl['trading'][:14]} {pnl['valuation_asset']}"),
        ("revaluation", "not marked" if pnl["revaluation"] is None else pnl["revaluation"][:14]),
    ]
    recording = recording_line(session)
    if recording is not None:
        rows.append(("recording", recording))
    if desk.halted is not None:
        rows.append(("halted", desk.halted))
    if session.shell.last_connection_fault:
        rows.append(("last connection fault", session.shell.last_connection_fault))
    return _pairs(rows)


def _micros(decision: dict[str, float | None]) -> str:
    if decision["p50"] is None:
        return "no frame yet"
    return f"p50 {decision['p50']:g} us, p99 {decision['p99']:g} us"


def _funnel(session: Session) -> Table:
    funnel = whole_funnel(session.engine, session.desk)
    rows = [(words, f"{funnel[stage]:,}") for stage, words in STAGES.items()]
    rows += [(f"refused: {check}", f"{count:,}") for check, count in funnel["refused"].items()]
    return _pairs(rows, heading="Funnel")


def _latest(session: Session) -> RenderableType:
    recent = list(session.desk.conductor.recent)[-_CYCLES:]
    if not recent:
        return Text(why_no_trade(session.engine, session.desk), style="yellow")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("plan", "outcome", "expected", "realised"):
        table.add_column(column, justify="right" if column in ("expected", "realised") else "left")
    for ended in reversed(recent):
        plan = ended.plan
        expected = f"{plan.profit:.4f}"
        table.add_row(plan.key, ended.outcome.kind, expected, f"{ended.profit:.4f} {plan.start_asset}")
    return table


def best_cycles(session: Session, limit: int = _CYCLES) -> Table:
    """The cycles nearest to trading by current top-of-book rates."""
    return cycles_table(standings(session.engine, limit))


def cycles_table(rows: Sequence[tuple[str, Standing]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for column in ("nearest cycles", "gross bps", "net bps"):
        table.add_column(column, justify="left" if column == "nearest cycles" else "right")
    for path, standing in rows:
        table.add_row(path, f"{standing.gross_bps:.1f}", f"{standing.net_bps:.1f}")
    return table


def _pairs(rows: Sequence[tuple[str, str]], heading: str = "") -> Table:
    table = Table(box=None, pad_edge=False, show_header=bool(heading), header_style="bold")
    table.add_column(heading)
    table.add_column("", justify="right" if heading else "left", overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def _line(session: Session) -> str:
    engine, desk = session.engine, session.desk
    ended = desk.conductor.ended
    fault = session.shell.last_connection_fault
    live = len(engine.market.in_use())
    parts = [
        f"{engine.frames} frames",
        f"{live} books live",
        f"{engine.candidates} candidates",
        f"{desk.conductor.approved} approved",
        f"{ended.get('completed', 0)} completed",
        f"{ended.get('unwound', 0)} unwound",
    ]
    recording = recording_line(session)
    if recording is not None:
        parts.append(f"recording {recording}")
    return ", ".join(parts) + (f"; not connected: {fault}" if fault and not live else "")


def print_summary(session: Session, notes: Sequence[str], console: Console) -> None:
    """The end of a session, for people."""
    whole = summary(session)
    for note in notes:
        console.print(note, style="dim", markup=False)
    console.print(_funnel(session))
    console.print()
    console.print(_pairs(_summary_rows(session, whole)))
    console.print()
    console.print(why_no_trade(session.engine, session.desk, whole["funnel"]), markup=False)


def print_recorded(session: Session, console: Console) -> None:
    """The end of a session that only records, for people."""
    told = recorded(session)
    rows = [
        ("frames", f"{told['frames']:,}"),
        ("books live", f"{told['books_live']} of {told['pairs']} pairs"),
        ("checksums", f"{told['checksums_ok']:,} right, {told['checksums_bad']:,} wrong"),
        ("recording", recording_line(session) or "none"),
    ]
    if told["last_connection_fault"]:
        rows.append(("last connection fault", told["last_connection_fault"]))
    console.print(_pairs(rows))


def _summary_rows(session: Session, whole: dict[str, Any]) -> list[tuple[str, str]]:
    pnl = whole["pnl"]
    outcomes = ("completed", "partial", "unwound", "missed", "stuck")
    with exact():
        balances = session.desk.ledger.balances()
    fault = whole["last_connection_fault"]
    return [
        ("frames", f"{whole['frames']:,}"),
        ("books live", str(whole["books_live"])),
        *([("last connection fault", fault)] if fault else []),
        ("checksums", f"{whole['checksums_ok']:,} right, {whole['checksums_bad']:,} wrong"),
        ("decision", _micros(whole["decision_us"])),
        ("cycles", ", ".join(f"{whole[f'cycles_{name}']} {name}" for name in outcomes)),
        ("trading P&L", f"{pnl['trading']} {pnl['valuation_asset']}"),
        ("revaluation", "not marked" if pnl["revaluation"] is None else f"{pnl['revaluation']}"),
        ("by asset", ", ".join(f"{amount} {asset}" for asset, amount in pnl["by_asset"].items()) or "nothing"),
        ("balances", ", ".join(f"{plain(amount)} {asset}" for asset, amount in balances.items())),
        ("ledger", "consistent" if whole["ledger_consistent"] else "; ".join(whole["ledger_problems"])),
        *([("recording", recording)] if (recording := recording_line(session)) is not None else []),
    ]
