"""Everything a report leaves out, as CSV files: all rows, exact decimals, times in ns since the epoch and in UTC."""

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from arbitrade_core.domain import Ns
from arbitrade_core.money import plain
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.report import tables, words
from arbitrade_core.replay.report.shapes import AnyReport, Earned, ExecutorCurve, Report, SweepReport
from arbitrade_core.replay.report.tables import PARTS
from arbitrade_core.replay.results import HEADLINE, Coverage, DeskResult, ReplayResult
from arbitrade_core.replay.searched import SweepResult

type Cell = str | int | float | Decimal | None
type Rows = Iterable[Sequence[Cell]]
type Sheet = tuple[tuple[str, ...], Rows]
"""header, rows"""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def write(job: JobSpec, report: AnyReport, result: ReplayResult | SweepResult, to: Path) -> list[str]:
    """Into the folder `to`, which is made, or into one archive when its name ends in `.zip`. Returns the files' names.

    `report` is the one made of `job` and `result`.

    Raises:
        TypeError: the report is of the other kind than the result.
        OSError: it cannot be written.
    """
    found = sheets(job, report, result)
    if to.suffix.lower() == ".zip":
        with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, sheet in found.items():
                entry = zipfile.ZipInfo(name, _ZIP_DATE)  # the same report gives the same bytes
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, text(sheet))
    else:
        to.mkdir(parents=True, exist_ok=True)
        for name, sheet in found.items():
            (to / name).write_text(text(sheet), encoding="utf-8", newline="")
    return list(found)


def sheets(job: JobSpec, report: AnyReport, result: ReplayResult | SweepResult) -> dict[str, Sheet]:
    """By file name."""
    match report, result:
        case Report(), ReplayResult():
            return _backtest(job, report, result)
        case SweepReport(), SweepResult():
            return _sweep(job, result)
        case _:
            raise TypeError(f"a {type(report).__name__} is not made of a {type(result).__name__}")


def text(sheet: Sheet) -> str:
    header, rows = sheet
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow(header)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def _cell(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case Decimal():
            return plain(cell)
        case str():
            # A name that a spreadsheet would take for a formula is made text.
            return f"'{cell}" if cell.startswith(_FORMULA) else cell
        case _:
            return str(cell)


# --- a backtest -----------------------------------------------------------------------------------------------


def _backtest(job: JobSpec, report: Report, result: ReplayResult) -> dict[str, Sheet]:
    desk = result.desks[HEADLINE]
    rates = {symbol: rate.taker for symbol, rate in job.fees.rates.items()}
    return {
        "plans.csv": _plans(desk),
        "legs.csv": _legs(desk),
        "lives.csv": _lives(desk),
        "worth.csv": (
            ("at_ns", "at_utc", "trading_valued", "revaluation_valued"),
            ((each.at_ns, _utc(each.at_ns), each.trading, each.revaluation) for each in desk.worth),
        ),
        "curve.csv": _curves(report),
        "desks.csv": _desks(report.desks.rows, result),
        "cycles.csv": _cycles(desk),
        "pairs.csv": (
            ("symbol", "plans", "completed", "profit_valued", "price_cost_bps", "taker_bps"),
            (
                (row.symbol, row.plans, row.completed, row.profit_valued, row.price_cost_bps, row.taker_bps)
                for row in tables.pair_rows(desk, rates)
            ),
        ),
        "funnel.csv": (
            ("stage", "count"),
            [
                *((stage.name, stage.count) for stage in report.funnel.stages),
                *((f"refused:{check}", times) for check, times in report.funnel.refused.items()),
            ],
        ),
        "fees.csv": _fees(job),
        "gaps.csv": _gaps(result.coverage),
    }


def _plans(desk: DeskResult) -> Sheet:
    header = (
        *("id", "strategy", "kind", "key", "path", "pairs", "decided_ns", "decided_utc", "ended_ns", "outcome"),
        *("start_asset", "start", "notional_valued", "expected_edge_bps", "expected_profit_valued", "profit_valued"),
        *("orders", "ordered_valued", "filled_valued", "fees_valued", "pnl", "residue"),
    )
    rows = (
        (
            *(plan.id, plan.strategy, plan.kind, plan.key, plan.path, " ".join(plan.pairs), plan.decided_ns),
            *(_utc(plan.decided_ns), plan.ended_ns, plan.outcome, plan.start_asset, plan.start, plan.notional_valued),
            *(plan.expected_edge_bps, plan.expected_profit_valued, plan.profit_valued, plan.orders),
            *(plan.ordered_valued, plan.filled_valued, plan.fees_valued, _amounts(plan.pnl), _amounts(plan.residue)),
        )
        for plan in desk.plans
    )
    return header, rows


def _legs(desk: DeskResult) -> Sheet:
    rows = (
        (
            *(plan.id, place + 1, plan.pairs[place] if place < len(plan.pairs) else ""),
            *(leg["order"], leg["asset"], Decimal(leg["expected"]), Decimal(leg["realised"])),
            *(Decimal(leg[part]) for part in PARTS),
        )
        for plan in desk.plans
        for place, leg in enumerate(plan.attribution)
    )
    return ("plan", "leg", "symbol", "order", "asset", "expected", "realised", *PARTS), rows


def _lives(desk: DeskResult) -> Sheet:
    header = ("strategy", "key", "path", "opened_ns", "opened_utc", "closed_ns", "duration_ns")
    rows = (
        (
            *(life.strategy, life.key, life.path, life.opened_ns, _utc(life.opened_ns), life.closed_ns),
            None if life.closed_ns is None else life.closed_ns - life.opened_ns,
            *(life.best_gross_bps, life.best_edge_bps, life.outcome, life.evaluations),
        )
        for life in desk.lives
    )
    return (*header, "best_gross_bps", "best_edge_bps", "outcome", "evaluations"), rows


def _curves(report: Report) -> Sheet:
    kinds: tuple[tuple[str, tuple[ExecutorCurve, ...]], ...] = (
        ("latency_ms", report.latency),
        ("taker_bps", report.fees.by_tier),
        ("fees_factor", report.fees.by_factor),
    )
    rows = (
        (
            *(kind, found.executor, point.at, point.name, "yes" if point.extrapolated else "no"),
            *(point.result.estimate, point.result.low, point.result.high, point.result.level),
        )
        for kind, curves in kinds
        for found in curves
        for point in found.curve.points
    )
    return ("curve", "executor", "at", "name", "extrapolated", "earned_valued", "low", "high", "level"), rows


def _desks(intervals: Sequence[Earned], result: ReplayResult) -> Sheet:
    known = {each.desk: each.total for each in intervals}
    header = (
        *("desk", "settings", "fees", "trading_valued", "low", "high", "revaluation_valued", "drawdown_valued"),
        *("exposure_valued", "fees_valued", "orders", "fills", "ordered_valued", "filled_valued", "plans_ended"),
    )
    rows = []
    for desk in result.desks.values():
        total = known.get(desk.name)
        rows.append(
            (
                *(desk.name, _settings(desk.settings), desk.fees_source, desk.trading_valued),
                *((total.low, total.high) if total else (None, None)),
                *(desk.revaluation_valued, desk.drawdown_valued, desk.exposure_valued, desk.fees_valued, desk.orders),
                *(desk.fills, desk.ordered_valued, desk.filled_valued, len(desk.earned), desk.halted, desk.decisions),
            )
        )
    return (*header, "halted", "decisions"), rows


def _cycles(desk: DeskResult) -> Sheet:
    header = (
        *("key", "path", "strategy", "lives", "median_life_ns", "best_edge_bps", "candidates", "plans", "completed"),
        *("expected_valued", "profit_valued", "stopped"),
    )
    rows = (
        (
            *(row.key, row.path, row.strategy, row.lives, row.median_life_ns, row.best_edge_bps, row.candidates),
            *(row.plans, row.completed, row.expected_valued, row.profit_valued, row.stopped),
        )
        for row in tables.cycle_rows(desk)
    )
    return header, rows


def _fees(job: JobSpec) -> Sheet:
    rows = ((symbol, rate.maker, rate.taker, rate.currency) for symbol, rate in sorted(job.fees.rates.items()))
    return ("symbol", "maker", "taker", "currency"), rows


def _gaps(coverage: Coverage) -> Sheet:
    rows = ((low, _utc(low), high, _utc(high), why) for low, high, why in coverage.gaps)
    return ("from_ns", "from_utc", "to_ns", "to_utc", "why"), rows


# --- a sweep --------------------------------------------------------------------------------------------------


def _sweep(job: JobSpec, result: SweepResult) -> dict[str, Sheet]:
    return {
        "variants.csv": _variants(result),
        "earned.csv": (
            ("variant", "decided_ns", "ended_ns", "profit_valued"),
            (
                (variant.number, decided_ns, ended_ns, profit)
                for variant, desk in zip(result.variants, result.desks, strict=True)
                for decided_ns, ended_ns, profit in desk.earned
            ),
        ),
        "folds.csv": _folds(result),
        "heat.csv": (
            ("x", "x_value", "y", "y_value", "mean_profit_valued"),
            (
                (found.x, x, found.y, y, cell)
                for found in result.heat
                for y, row in zip(found.ys or ("",), found.cells, strict=True)
                for x, cell in zip(found.xs, row, strict=True)
            ),
        ),
        "fees.csv": _fees(job),
        "gaps.csv": _gaps(result.coverage),
    }


def _variants(result: SweepResult) -> Sheet:
    names = sorted({name for variant in result.variants for name in variant.settings})
    places = {number: place for place, number in enumerate(result.ranking, start=1)}
    rows = (
        (
            *(variant.number, places.get(variant.number), *(variant.settings.get(name) for name in names), score),
            *(desk.trading_valued, desk.revaluation_valued, desk.drawdown_valued, desk.fees_valued, len(desk.earned)),
            *(desk.orders, desk.fills, desk.ordered_valued, desk.filled_valued, desk.halted, desk.decisions),
        )
        for variant, desk, score in zip(result.variants, result.desks, result.scores, strict=True)
    )
    header = (
        *("trading_valued", "revaluation_valued", "drawdown_valued", "fees_valued", "plans_ended", "orders", "fills"),
        *("ordered_valued", "filled_valued", "halted", "decisions"),
    )
    return ("variant", "place", *names, f"score_{result.objective}", *header), rows


def _folds(result: SweepResult) -> Sheet:
    rows = (
        (
            *(place, each.fold.train.start_ns, each.fold.train.end_ns, each.fold.test.start_ns, each.fold.test.end_ns),
            *(each.chosen, each.trained, each.tested_valued, each.best_tested_valued),
        )
        for place, each in enumerate(result.folds, start=1)
    )
    header = ("fold", "train_from_ns", "train_to_ns", "test_from_ns", "test_to_ns", "chosen", "trained")
    return (*header, "tested_valued", "best_tested_valued"), rows


# --- cells ----------------------------------------------------------------------------------------------------


def _utc(at_ns: Ns) -> str:
    return f"{words.moment(at_ns):%Y-%m-%dT%H:%M:%S.%f}Z"


def _amounts(found: Mapping[str, Decimal]) -> str:
    """`USD=0.4 BTC=-0.001`."""
    return " ".join(f"{asset}={plain(amount)}" for asset, amount in found.items())


def _settings(found: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(found.items()))
