"""Which variant was best, and what is left of that once the search for it is counted.

Everything is computed from what each plan earned and when (`DeskResult.earned`), on recorded time alone: what lies in
a gap of the recording is cut out, so that an hour without a recording is not an hour without a trade. Where there is
too little to judge by, there is no judgement, rather than one that looks like it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import floor

from arbitrade_core.domain import Ns
from arbitrade_core.money import ZERO, exact, nearest_decimals, ratio
from arbitrade_core.replay.curves import drawdowns
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage, DeskResult
from arbitrade_core.replay.searched import FoldResult, HeatMap, Variant
from arbitrade_core.replay.selection import (
    DeflatedSharpe,
    Fold,
    RealityCheck,
    deflated_sharpe,
    members,
    reality_check,
    sharpe,
    walk_forward,
)
from arbitrade_core.replay.statistics import LEAST, SampleError, Window, in_parts
from arbitrade_core.replay.sweep.heat import heat_maps
from arbitrade_core.replay.sweep.search import chance

PERIODS = 120
"""Most periods that results are cut into."""
SHORTEST_NS: Ns = 1_000_000_000
"""of a period"""
_RATIO_DECIMALS = 8
_LEAST_DRAWDOWN = Decimal("0.0001")
"""of the most that was under way at once: a fall below one basis point of it is none"""
_RESAMPLES = 1_000
_LEAST_RESAMPLES = 200
_STEPS = 40_000_000
"""so many steps the reality check may take before it draws less often"""
_MS: Ns = 1_000_000

type Earned = Sequence[tuple[Ns, Ns, Decimal]]


@dataclass(frozen=True, slots=True)
class Judgement:
    scores: tuple[Decimal | None, ...]
    ranking: tuple[int, ...]
    deflated: DeflatedSharpe | None
    reality: RealityCheck | None
    folds: tuple[FoldResult, ...]
    forward_valued: Decimal | None
    heat: tuple[HeatMap, ...]


def judge(job: JobSpec, coverage: Coverage, variants: Sequence[Variant], desks: Sequence[DeskResult]) -> Judgement:
    """Of all variants of a sweep, in their order, losers too."""
    spec = job.sweep
    assert spec is not None
    time = RecordedTime(coverage)
    scores = tuple(score(desk, spec.objective, time) for desk in desks)
    ranking = ranked(scores)
    deflated, reality = _tests(job, time, desks)
    folds = _walked(desks, time, spec.objective, spec.folds, _embargo_ns(job, desks))
    with exact():
        forward = sum((fold.tested_valued for fold in folds), ZERO) if folds else None
    return Judgement(scores, ranking, deflated, reality, folds, forward, heat_maps(variants, desks))


class RecordedTime:
    """The recorded stretches put end to end: times without the gaps."""

    def __init__(self, coverage: Coverage) -> None:
        stretches = [each for each in coverage.stretches if each.end_ns > each.start_ns]
        self._stretches = stretches
        start_ns = stretches[0].start_ns if stretches else coverage.wanted.start_ns
        self.whole = Window(start_ns, start_ns + coverage.covered_ns)
        """begins when the first one does, and is as long as all of them"""

    def at(self, at_ns: Ns) -> Ns:
        """A moment on it, inside of `whole`. What fell into a gap counts as the last of the stretch before."""
        begun_ns = self.whole.start_ns
        placed_ns = begun_ns
        for stretch in self._stretches:
            if at_ns < stretch.start_ns:
                break
            placed_ns = begun_ns + min(at_ns, stretch.end_ns - 1) - stretch.start_ns
            begun_ns += stretch.end_ns - stretch.start_ns
        return placed_ns

    def earned(self, desk: DeskResult) -> list[tuple[Ns, Ns, Decimal]]:
        return [(self.at(decided_ns), self.at(ended_ns), profit) for decided_ns, ended_ns, profit in desk.earned]


def periods(earned: Earned, window: Window) -> list[Decimal]:
    """Results of equal periods, by when plans ended; empty when the window is too short for `LEAST` of them."""
    parts = min(PERIODS, floor((window.end_ns - window.start_ns) / SHORTEST_NS))
    if parts < LEAST:
        return []
    inside = [(end_ns, profit) for _, end_ns, profit in earned if window.start_ns <= end_ns < window.end_ns]
    return in_parts(inside, window, parts)


# --- scores -----------------------------------------------------------------------------------------------------


def score(desk: DeskResult, objective: str, time: RecordedTime) -> Decimal | None:
    """By the objective; None: it has no value. Who does not trade has a profit of 0, and no ratio of any kind."""
    if objective == "profit":
        return desk.trading_valued
    if objective == "profit_per_drawdown":
        return _per_drawdown(desk.trading_valued, desk.drawdown_valued, desk.exposure_valued)
    return _sharpe(periods(time.earned(desk), time.whole))


def _score_of(earned: Earned, window: Window, objective: str, exposure: Decimal) -> Decimal | None:
    """The same of some plans of a desk; what is held is not valued anew in between."""
    with exact():
        total = sum((profit for *_, profit in earned), ZERO)
        if objective == "profit":
            return total
        if objective == "profit_per_drawdown":
            at = ZERO
            equity = [(window.start_ns, ZERO)]
            for _, ended_ns, profit in sorted(earned, key=lambda each: each[1]):
                at += profit
                equity.append((ended_ns, at))
            deepest = max((fall.depth for fall in drawdowns(equity)), default=ZERO)
            return _per_drawdown(total, deepest, exposure)
    return _sharpe(periods(earned, window))


def _per_drawdown(profit: Decimal, drawdown: Decimal, exposure: Decimal) -> Decimal | None:
    with exact():
        fall = max(drawdown, exposure * _LEAST_DRAWDOWN)
    return nearest_decimals(ratio(profit, fall), _RATIO_DECIMALS) if fall > 0 else None


def _sharpe(values: Sequence[Decimal]) -> Decimal | None:
    found = sharpe(values)
    return None if found is None else Decimal(format(found.ratio, f".{_RATIO_DECIMALS}f"))


def ranked(scores: Sequence[Decimal | None]) -> tuple[int, ...]:
    """Places, best first; equal ones in their order, and last those without a score."""
    return tuple(sorted(range(len(scores)), key=lambda place: (scores[place] is None, -(scores[place] or ZERO), place)))


# --- having searched --------------------------------------------------------------------------------------------


def _tests(
    job: JobSpec, time: RecordedTime, desks: Sequence[DeskResult]
) -> tuple[DeflatedSharpe | None, RealityCheck | None]:
    """None, None: too little was traded, or recorded, to tell merit from luck."""
    if max((len(desk.earned) for desk in desks), default=0) < LEAST:
        return None, None
    trials = [periods(time.earned(desk), time.whole) for desk in desks]
    if not trials[0]:
        return None, None
    return deflated_sharpe(trials), _reality(job, trials)


def _reality(job: JobSpec, trials: Sequence[Sequence[Decimal]]) -> RealityCheck | None:
    # Settings that never mattered make variants with one and the same result. Equal ones add nothing to the best.
    first: dict[tuple[Decimal, ...], int] = {}
    for place, values in enumerate(trials):
        first.setdefault(tuple(values), place)
    steps = len(first) * len(trials[0])
    resamples = max(_LEAST_RESAMPLES, min(_RESAMPLES, _STEPS // steps))
    found = reality_check([list(each) for each in first], random=chance(job, "reality check"), resamples=resamples)
    if found is None:
        return None
    winner = list(first.values())[found.winner]
    return replace(found, winner=winner, variants=len(trials), constant=sum(len(set(each)) == 1 for each in trials))


# --- walk forward -----------------------------------------------------------------------------------------------


def _embargo_ns(job: JobSpec, desks: Sequence[DeskResult]) -> Ns:
    """As long as anything of the training may still last: the longest cycle of any variant, and an order's way."""
    longest_ns = max((ended - decided for desk in desks for decided, ended, _ in desk.earned), default=0)
    latency_ms = max((int(desk.settings.get("paper.latency_ms", job.latency_ms)) for desk in desks), default=0)
    return longest_ns + latency_ms * _MS


def _walked(
    desks: Sequence[DeskResult], time: RecordedTime, objective: str, folds: int, embargo_ns: Ns
) -> tuple[FoldResult, ...]:
    """Empty: none are wanted, nobody traded, or the recording is too short for so many."""
    earned = [time.earned(desk) for desk in desks]
    if not folds or not any(earned):
        return ()
    try:
        cut = walk_forward(time.whole, folds, embargo_ns=embargo_ns)
    except SampleError:
        return ()
    return tuple(_fold(fold, earned, [desk.exposure_valued for desk in desks], objective) for fold in cut)


def _fold(fold: Fold, earned: Sequence[Earned], exposures: Sequence[Decimal], objective: str) -> FoldResult:
    scores: list[Decimal | None] = []
    tested: list[Decimal] = []
    traded = False
    for plans, exposure in zip(earned, exposures, strict=True):
        train, test = members(fold, [Window(decided_ns, ended_ns) for decided_ns, ended_ns, _ in plans])
        traded = traded or bool(train)
        scores.append(_score_of([plans[index] for index in train], fold.train, objective, exposure))
        with exact():
            tested.append(sum((plans[index][2] for index in test), ZERO))
    chosen = ranked(scores)[0] if traded else None
    if chosen is None or scores[chosen] is None:
        return FoldResult(fold, None, ZERO, ZERO, max(tested))
    return FoldResult(fold, chosen, scores[chosen] or ZERO, tested[chosen], max(tested))
