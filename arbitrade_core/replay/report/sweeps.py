"""From a sweep and its result to the report: the ranking, and what is left of its winner after the search."""

from collections.abc import Mapping, Sequence

from arbitrade_core.domain import Ns
from arbitrade_core.money import ZERO, exact, plain, ratio
from arbitrade_core.replay.job import JobSpec, Range
from arbitrade_core.replay.report import thin, verdicts
from arbitrade_core.replay.report.grounds import grounds
from arbitrade_core.replay.report.shapes import Ranked, SweepReport, Table, bounded
from arbitrade_core.replay.results import DeskResult
from arbitrade_core.replay.searched import HeatMap, SweepResult

MOST_RANKED = 100
MOST_MAPS = 12
MOST_CELLS = 900
_MOST_VALUES = 12


def sweep_report(
    job: JobSpec,
    result: SweepResult,
    *,
    code: Mapping[str, str] | None = None,
    ran_ns: Ns | None = None,
    notes: Sequence[str] = (),
) -> SweepReport:
    """What a search found, and what that is worth. The keyword arguments are those of `figures.report`."""
    spec = job.sweep
    found = grounds(
        job,
        result.coverage,
        result.market,
        decisions=result.decisions,
        took_s=result.took_s,
        code=code or {},
        ran_ns=ran_ns,
    )
    asset = result.desks[0].valuation_asset if result.desks else ""
    with exact():
        best_forward = sum((fold.best_tested_valued for fold in result.folds), ZERO) if result.folds else None
    return SweepReport(
        name=job.name,
        asset=asset,
        answer=verdicts.answer(job, result, found, asset, notes),
        finding=verdicts.finding(result),
        objective=result.objective,
        method="grid" if spec is None else spec.method,
        searched={} if spec is None else {name: _space(values) for name, values in sorted(spec.space.items())},
        variants=len(result.variants),
        idle=sum(not desk.earned for desk in result.desks),
        ranking=_ranking(result),
        profits=thin.bars([desk.trading_valued for desk in result.desks]),
        heat=_maps(result.heat),
        deflated=result.deflated,
        reality=result.reality,
        folds=result.folds,
        forward_valued=result.forward_valued,
        best_forward_valued=best_forward,
        cost=verdicts.cost(result, asset),
        grounds=found,
    )


def _space(values: tuple[str, ...] | Range) -> str:
    if isinstance(values, tuple):
        more = len(values) - _MOST_VALUES
        return ", ".join(values[:_MOST_VALUES]) + (f" and {more} more" if more > 0 else "")
    by = "any value" if values.step is None else f"by {plain(values.step)}"
    return f"{plain(values.low)} to {plain(values.high)}, {by}{', in equal factors' if values.log else ''}"


def _ranking(result: SweepResult) -> Table[Ranked]:
    places = {variant.number: place for place, variant in enumerate(result.variants)}
    rows = [
        _ranked(rank, places[number], result, result.desks[places[number]])
        for rank, number in enumerate(result.ranking[:MOST_RANKED], start=1)
    ]
    return Table(tuple(rows), len(result.ranking) - len(rows), "best first")


def _ranked(rank: int, place: int, result: SweepResult, desk: DeskResult) -> Ranked:
    variant = result.variants[place]
    return Ranked(
        place=rank,
        variant=variant.number,
        settings=variant.settings,
        score=result.scores[place],
        trading_valued=desk.trading_valued,
        revaluation_valued=desk.revaluation_valued,
        drawdown_valued=desk.drawdown_valued,
        fill_ratio=ratio(desk.filled_valued, desk.ordered_valued) if desk.ordered_valued else None,
        plans=len(desk.earned),
        halted=desk.halted,
        decisions=desk.decisions,
    )


def _maps(heat: Sequence[HeatMap]) -> Table[HeatMap]:
    """Those that can be read; two settings in hundreds of steps each are a matter for the CSV file."""
    kept = [each for each in heat if len(each.xs) * max(1, len(each.ys)) <= MOST_CELLS]
    shown = bounded(kept, MOST_MAPS, "most influential first")
    return Table(shown.rows, len(heat) - len(shown.rows), shown.order)
