"""The tables of a report: plans, cycles, pairs, and where the expected profit went. Sums are exact."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from statistics import median_low
from typing import Any

from arbitrade_core.money import BPS, ZERO, exact, nearest_decimals, plain, ratio
from arbitrade_core.replay.report.shapes import CycleRow, PairRow, Shortfall, Table, bounded
from arbitrade_core.replay.results import DeskResult, Life, PlanResult

MOST_ROWS = 100
_ABOUT_DECIMALS = 8
"""of figures that are rounded anyway"""
COMPLETED = "completed"
OUTCOMES = (COMPLETED, "partial", "unwound", "missed", "stuck", "gone", "open")
PARTS = ("drift", "depth", "rounding", "fee", "partial")

_LOST = (
    ("candidates", "priced_after_fees", "not profitable after exact fees"),
    ("priced_after_fees", "after_rounding", "lots and minimums"),
    ("after_rounding", "after_depth", "depth"),
    ("after_depth", "after_buffers", "buffers and thresholds"),
)
"""(stage, next stage, what stops between them)"""


def plans(desk: DeskResult) -> Table[PlanResult]:
    """Those with the largest results, gains and losses alike, in order of time."""
    if len(desk.plans) <= MOST_ROWS:
        return Table(desk.plans, 0, "oldest first")
    by_size = sorted(range(len(desk.plans)), key=lambda place: -abs(desk.plans[place].profit_valued or ZERO))
    kept = tuple(desk.plans[place] for place in sorted(by_size[:MOST_ROWS]))
    return Table(kept, len(desk.plans) - len(kept), "the largest gains and losses, oldest first")


def shortfall(found: Sequence[PlanResult]) -> tuple[Shortfall, ...]:
    """Expected against realised, by outcome."""
    by_outcome: dict[str, list[PlanResult]] = {}
    for plan in found:
        by_outcome.setdefault(plan.outcome, []).append(plan)
    with exact():
        return tuple(
            Shortfall(
                outcome,
                len(these),
                sum((plan.expected_profit_valued for plan in these), ZERO),
                sum((plan.profit_valued or ZERO for plan in these), ZERO),
                _parts(these) if outcome == COMPLETED else {},
            )
            for outcome, these in sorted(by_outcome.items(), key=lambda item: _place(item[0]))
        )


def _place(outcome: str) -> tuple[int, str]:
    return (OUTCOMES.index(outcome) if outcome in OUTCOMES else len(OUTCOMES), outcome)


def _parts(found: Iterable[PlanResult]) -> dict[str, Decimal]:
    sums = dict.fromkeys(PARTS, ZERO)
    for plan in found:
        for leg in plan.attribution:
            for name in PARTS:
                sums[name] += leg_share(leg, name) * plan.notional_valued
    return {name: Decimal(plain(nearest_decimals(value, _ABOUT_DECIMALS))) for name, value in sums.items()}


def leg_share(leg: Mapping[str, Any], part: str) -> Decimal:
    """A part of a leg's attribution, as a fraction of what the leg was to get."""
    expected = Decimal(leg["expected"])
    return ratio(Decimal(leg[part]), expected) if expected else ZERO


def pairs(desk: DeskResult, takers: Mapping[str, Decimal]) -> Table[PairRow]:
    return bounded(pair_rows(desk, takers), MOST_ROWS, "most traded first")


def pair_rows(desk: DeskResult, takers: Mapping[str, Decimal]) -> list[PairRow]:
    """`takers` are fees by symbol, as fractions."""
    by_symbol: dict[str, list[PlanResult]] = {}
    costs: dict[str, list[Decimal]] = {}
    with exact():
        for plan in desk.plans:
            for symbol in dict.fromkeys(plan.pairs):
                by_symbol.setdefault(symbol, []).append(plan)
            if plan.outcome == COMPLETED:
                # Attribution may be missing, as for a plan that was taken over from an earlier run.
                for symbol, leg in zip(plan.pairs, plan.attribution, strict=False):
                    costs.setdefault(symbol, []).append(leg_share(leg, "drift") + leg_share(leg, "depth"))
        rows = [
            PairRow(
                symbol,
                len(these),
                sum(plan.outcome == COMPLETED for plan in these),
                sum((plan.profit_valued or ZERO for plan in these), ZERO),
                ratio(sum(costs[symbol], ZERO), len(costs[symbol]) * BPS) if symbol in costs else None,
                takers[symbol] / BPS if symbol in takers else None,
            )
            for symbol, these in by_symbol.items()
        ]
    rows.sort(key=lambda row: (-row.plans, row.symbol))
    return rows


def cycles(desk: DeskResult) -> Table[CycleRow]:
    return bounded(cycle_rows(desk), MOST_ROWS, "most profitable first")


def cycle_rows(desk: DeskResult) -> list[CycleRow]:
    """Every cycle that was over its hurdle once."""
    lives: dict[str, list[Life]] = {}
    for life in desk.lives:
        lives.setdefault(life.key, []).append(life)
    traded: dict[str, list[PlanResult]] = {}
    for plan in desk.plans:
        traded.setdefault(plan.key, []).append(plan)
    keys = sorted({*desk.funnel_by_key, *lives, *traded})
    with exact():
        rows = [_cycle(key, lives.get(key, []), traded.get(key, []), desk.funnel_by_key.get(key, {})) for key in keys]
    rows.sort(key=lambda row: (-row.profit_valued, -row.plans, -row.lives, -row.candidates, row.key))
    return rows


def _cycle(key: str, lives: Sequence[Life], found: Sequence[PlanResult], funnel: Mapping[str, Any]) -> CycleRow:
    told = lives[0] if lives else found[0] if found else None
    ended = [life.closed_ns - life.opened_ns for life in lives if life.closed_ns is not None]
    return CycleRow(
        key=key,
        path=told.path if told else key,
        strategy=told.strategy if told else "",
        lives=len(lives),
        median_life_ns=median_low(ended) if ended else None,
        best_edge_bps=max((life.best_edge_bps for life in lives if life.best_edge_bps is not None), default=None),
        candidates=int(funnel.get("candidates", 0)),
        plans=len(found),
        completed=sum(plan.outcome == COMPLETED for plan in found),
        expected_valued=sum((plan.expected_profit_valued for plan in found), ZERO),
        profit_valued=sum((plan.profit_valued or ZERO for plan in found), ZERO),
        stopped=stopped(funnel),
    )


def stopped(funnel: Mapping[str, Any]) -> str:
    """What stopped most offers of a funnel's view, in words; empty: nothing did."""
    lost: Counter[str] = Counter()
    for stage, following, what in _LOST:
        lost[what] = int(funnel.get(stage, 0)) - int(funnel.get(following, 0))
    lost["not profitable after exact fees"] -= int(funnel.get("desk_busy", 0))
    lost["a plan on it was under way"] = int(funnel.get("desk_busy", 0))
    lost.update({f"refused by {check}": number for check, number in funnel.get("refused", {}).items()})
    lost["stale books"] = int(funnel.get("stale", 0))
    lost["gone at the last look"] = int(funnel.get("gone", 0))
    what, number = max(lost.items(), key=lambda item: item[1])
    return what if number > 0 else ""
