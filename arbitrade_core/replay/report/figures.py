"""From a job and its result to the report. Nothing is computed that a desk could have measured."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.funnel_words import STAGES, why_no_trade
from arbitrade_core.money import ZERO, exact, ratio
from arbitrade_core.replay import curves
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.report import answers, certainty, fee_points, latencies, tables, thin
from arbitrade_core.replay.report.certainty import Parts
from arbitrade_core.replay.report.grounds import grounds
from arbitrade_core.replay.report.measured import Measured
from arbitrade_core.replay.report.shapes import (
    Earned,
    Edges,
    ExposureFigures,
    Funnel,
    Holding,
    Lifetimes,
    Report,
    Stage,
    WorthPoint,
    bounded,
)
from arbitrade_core.replay.report.sweeps import sweep_report
from arbitrade_core.replay.results import HEADLINE, Coverage, DeskResult, ReplayResult, Worth

__all__ = ["report", "sweep_report"]

MOST_DESKS = 200
_DETECTED = ("evaluated", "gross_positive", "after_fees")


def report(
    job: JobSpec,
    result: ReplayResult,
    *,
    code: Mapping[str, str] | None = None,
    ran_ns: Ns | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """Everything that is worth knowing of a backtest.

    `code` are the versions of what ran, by distribution; `ran_ns` is when, for the age of the fees; `notes` are
    cautions that only the caller knows of, such as that mispricings were planted.

    Raises:
        ArbitradeError: the result has no desk `headline`.
    """
    desk = result.desks.get(HEADLINE)
    if desk is None:
        names = ", ".join(result.desks) or "none"
        raise ArbitradeError(f"a report is made of the desk {HEADLINE!r}, and the result has {names}; replay it too")
    parts = Parts(result.coverage)
    measured = Measured(job, result, desk, parts)
    found = grounds(
        job,
        result.coverage,
        result.market,
        decisions=result.decisions,
        took_s=result.took_s,
        code=code or {},
        ran_ns=ran_ns,
    )
    unlimited = measured.unlimited
    others = [each for each in result.desks.values() if each is not desk]
    falls = curves.drawdowns(_equity(desk))
    funnel = _funnel(result, desk)
    headline = _earned(measured, desk)
    shortfall = tables.shortfall(desk.plans)
    fees = fee_points.figures(measured)
    lifetimes = _lifetimes(desk, result.coverage)
    return Report(
        name=job.name,
        asset=desk.valuation_asset,
        answer=answers.backtest(
            measured,
            found=found,
            funnel=funnel,
            shortfall=shortfall,
            fees=fees,
            lifetimes=lifetimes,
            notes=notes,
        ),
        headline=headline,
        unlimited=None if unlimited is None else _earned(measured, unlimited),
        holding=_holding(desk),
        shortfall=shortfall,
        funnel=funnel,
        plans=tables.plans(desk),
        cycles=tables.cycles(desk),
        pairs=tables.pairs(desk, {symbol: rate.taker for symbol, rate in job.fees.rates.items()}),
        worth=_worth(desk.worth),
        deepest=max(falls, key=lambda fall: fall.depth, default=None),
        longest=max(falls, key=lambda fall: fall.length_ns, default=None),
        exposure=_exposure(desk, result.coverage),
        lifetimes=lifetimes,
        edges=_edges(desk),
        latency=latencies.curves(measured),
        fees=fees,
        desks=bounded([headline, *(_earned(measured, each) for each in others)], MOST_DESKS, "as they ran"),
        grounds=found,
    )


def _earned(measured: Measured, desk: DeskResult) -> Earned:
    total = measured.total(desk)
    detailed = desk is measured.headline or desk is measured.unlimited
    with exact():
        worth = None if desk.revaluation_valued is None else desk.trading_valued + desk.revaluation_valued
        changed = {
            asset: desk.closing.get(asset, ZERO) - desk.opening.get(asset, ZERO)
            for asset in sorted({*desk.opening, *desk.closing})
        }
        fill_ratio = ratio(desk.filled_valued, desk.ordered_valued) if desk.ordered_valued else None
    return Earned(
        desk=desk.name,
        trading_valued=desk.trading_valued,
        revaluation_valued=desk.revaluation_valued,
        total_valued=worth,
        by_asset={asset: amount for asset, amount in changed.items() if amount},
        plans=sum(desk.outcomes.values()),
        outcomes=desk.outcomes,
        orders=desk.orders,
        fills=desk.fills,
        ordered_valued=desk.ordered_valued,
        filled_valued=desk.filled_valued,
        fill_ratio=fill_ratio,
        fees_valued=desk.fees_valued,
        drawdown_valued=desk.drawdown_valued,
        exposure_valued=desk.exposure_valued,
        halted=desk.halted,
        decisions=desk.decisions,
        total=total,
        per_hour=certainty.per_hour(total, measured.parts),
        per_plan=certainty.per_plan(desk, measured.parts, measured.job.seed) if detailed else None,
    )


def _holding(desk: DeskResult) -> Holding | None:
    held = {asset: amount for asset, amount in sorted(desk.opening.items()) if amount and asset != desk.valuation_asset}
    if not held:
        return None
    with exact():
        drifted = {asset: desk.closing.get(asset, ZERO) - amount for asset, amount in held.items()}
    return Holding(
        held,
        desk.revaluation_valued,
        desk.trading_valued,
        {asset: amount for asset, amount in drifted.items() if amount},
    )


def _funnel(result: ReplayResult, desk: DeskResult) -> Funnel:
    counts: dict[str, Any] = {name: result.market.detection.get(name, 0) for name in _DETECTED} | desk.funnel
    if not result.market.frames:
        why = "nothing trades: no market data was recorded"
    elif desk.halted is not None and not counts.get("executed"):
        why = f"nothing trades: {desk.halted}"
    else:
        why = why_no_trade(counts)
    return Funnel(
        stages=tuple(Stage(name, told, int(counts.get(name, 0))) for name, told in STAGES.items()),
        busy=int(counts.get("desk_busy", 0)),
        refused=dict(counts.get("refused", {})),
        refused_appearances=dict(sorted(desk.refusals.items())),
        why=why,
    )


# --- series ---------------------------------------------------------------------------------------------------


def _equity(desk: DeskResult) -> list[tuple[Ns, Decimal]]:
    """Trading plus revaluation, as far as it could be marked."""
    with exact():
        return [(each.at_ns, each.trading + each.revaluation) for each in desk.worth if each.revaluation is not None]


def _worth(series: Sequence[Worth]) -> tuple[WorthPoint, ...]:
    with exact():
        points = [
            WorthPoint(each.at_ns, each.trading, None if each.revaluation is None else each.trading + each.revaluation)
            for each in series
        ]
    return tuple(thin.extremes(points, lambda point: point.trading if point.total is None else point.total))


def _exposure(desk: DeskResult, coverage: Coverage) -> ExposureFigures:
    under_way = [
        (plan.decided_ns, plan.ended_ns, plan.notional_valued) for plan in desk.plans if plan.outcome != "gone"
    ]
    found = curves.exposure(under_way, coverage.wanted)
    return ExposureFigures(desk.exposure_valued, found.mean, found.busy_share, thin.steps(found.steps))


def _lifetimes(desk: DeskResult, coverage: Coverage) -> Lifetimes:
    found, unknown = curves.lifetimes(((life.opened_ns, life.closed_ns) for life in desk.lives), coverage.stretches)
    return Lifetimes(thin.survival(curves.survival(found)), unknown)


def _edges(desk: DeskResult) -> Edges:
    known = [life.best_edge_bps for life in desk.lives if life.best_edge_bps is not None]
    found = curves.edge_distribution(known)
    return Edges(
        found.count,
        len(desk.lives) - len(known),
        found.least,
        found.most,
        found.mean,
        found.quantiles,
        thin.bars(known),
    )
