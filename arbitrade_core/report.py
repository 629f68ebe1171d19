"""What a session did, as figures: for the end of a demo, for JSON, and for the terminal."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from arbitrade_core import funnel_words
from arbitrade_core.desk import Desk
from arbitrade_core.engine import Engine
from arbitrade_core.money import ZERO, exact, plain
from arbitrade_core.runtime import Session
from arbitrade_core.spi import Standing


def summary(session: Session) -> dict[str, Any]:
    """One JSON-able object; money is decimal text, and every amount names its asset."""
    engine, desk = session.engine, session.desk
    conductor = desk.conductor
    funnel = whole_funnel(engine, desk)
    with exact():
        problems = desk.ledger.problems()
        pnl = profit_and_loss(desk)
    return {
        "frames": engine.frames,
        "books_live": books_live(session),
        "checksums_ok": engine.checksums_ok,
        "checksums_bad": engine.checksums_bad,
        "candidates": engine.candidates,
        "approved": conductor.approved,
        "refused": funnel["refused"],
        "cycles_completed": conductor.ended.get("completed", 0),
        "cycles_partial": conductor.ended.get("partial", 0),
        "cycles_unwound": conductor.ended.get("unwound", 0),
        "cycles_missed": conductor.ended.get("missed", 0),
        "cycles_stuck": conductor.ended.get("stuck", 0),
        "pnl": pnl,
        "ledger_consistent": not problems,
        "ledger_problems": problems,
        "decision_us": session.shell.decision.summary(),
        "priced_us": {**session.shell.priced.summary(), "frames": session.shell.priced.count},
        "funnel": funnel,
        "fees": None if desk.fees is None else desk.fees.source,
        "fees_missing": session.shell.fees_missing,
        "last_connection_fault": session.shell.last_connection_fault,
        "faults": dict(sorted(engine.faults.items())),
        "halted": desk.halted if not engine.draining else desk.halt_reason,
        "desk": desk.id,
        "recording": None if session.recorder is None else session.recorder.view(),
    }


def recorded(session: Session) -> dict[str, Any]:
    """What a session that only records has done; JSON-able."""
    engine = session.engine
    return {
        "frames": engine.frames,
        "pairs": len(engine.market.pairs),
        "books_live": books_live(session),
        "checksums_ok": engine.checksums_ok,
        "checksums_bad": engine.checksums_bad,
        "last_connection_fault": session.shell.last_connection_fault,
        "faults": dict(sorted(engine.faults.items())),
        "recording": None if session.recorder is None else session.recorder.view(),
    }


def recording_line(session: Session) -> str | None:
    """What is recorded, in one line; None when nothing is."""
    if session.recorder is None:
        return None
    told = session.recorder.view()
    parts = [
        "no number yet" if told["id"] is None else f"number {told['id']}",
        f"{told['frames']:,} frames in {told['bytes'] / 1e6:,.1f} MB",
    ]
    if told["behind"] or told["waiting_bytes"]:
        parts.append(f"{told['behind']:,} inputs and {told['waiting_bytes'] / 1e6:.1f} MB wait")
    if told["dropped"]:
        parts.append(f"{told['dropped']:,} inputs DROPPED")
    if told["failing"]:
        parts.append(f"not written: {told['failing']}")
    return ", ".join(parts)


def books_live(session: Session) -> int:
    """Now; after the end, when it ended."""
    ended = session.shell.books_live_at_stop
    return len(session.engine.market.in_use()) if ended is None else ended


def whole_funnel(engine: Engine, desk: Desk) -> dict[str, Any]:
    """From every evaluation to the last executed plan; see docs/funnel.md for what each stage means."""
    totals = engine.funnel()
    view = desk.funnel.view()
    return {stage: totals[stage] for stage in ("evaluated", "gross_positive", "after_fees")} | dict(view)


def profit_and_loss(desk: Desk) -> dict[str, Any]:
    """Trading, revaluation and flows apart (TRADING 23). Call under `money.exact()`."""
    results = desk.conductor.results
    changes: dict[str, Decimal] = {}
    for asset, account, amount in desk.ledger.totals():
        if account in ("market", "fees", "rounding"):
            changes[asset] = changes.get(asset, ZERO) - amount
    return {
        "by_asset": {asset: plain(amount) for asset, amount in sorted(changes.items()) if amount},
        "valuation_asset": results.valuation_asset,
        "trading": plain(results.trading),
        "revaluation": None if results.revaluation is None else plain(results.revaluation),
        "flows": plain(results.flows),
        "residue": {asset: plain(amount) for asset, account, amount in desk.ledger.totals() if account == "residue"},
    }


def standings(engine: Engine, limit: int) -> list[tuple[str, Standing]]:
    """The cycles nearest to trading now, of all detectors: (path, standing), best net first."""
    found = [
        (path(engine, standing.legs), standing) for detector in engine.detectors for standing in detector.ranked(limit)
    ]
    return sorted(found, key=lambda row: (-row[1].net_bps, row[1].key))[:limit]


def path(engine: Engine, legs: tuple[int, ...]) -> str:
    market = engine.market
    return " > ".join([market.leg(legs[0]).spends, *(market.leg(leg).gets for leg in legs)])


def why_no_trade(engine: Engine, desk: Desk, shown: Mapping[str, Any] | None = None) -> str:
    """One plain sentence: the stage at which the nearest candidates stop."""
    stopped = engine.halted or desk.halt_reason or engine.journal_lost
    if stopped is None and not engine.frames:
        stopped = "no market data arrived"
    elif stopped is None and desk.fees is None:
        stopped = "no fees are known"
    if stopped is not None:
        return f"nothing trades: {stopped}"
    return funnel_words.why_no_trade(shown or whole_funnel(engine, desk))
