"""What is left of a winner after the search for it.

The best of a thousand settings looks good even when none of them is: luck alone lifts it. Three answers: the deflated
Sharpe ratio, the tests of White and Hansen with the winner's result in money less what the luck of the best is
worth, and windows that let the winner be chosen on one stretch and judged on the next.
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import add, mul, sub
from random import Random
from statistics import median, pvariance, variance

from arbitrade_core.domain import Ns
from arbitrade_core.money import exact, ratio
from arbitrade_core.replay.statistics import (
    LEAST,
    NORMAL,
    Blocks,
    SampleError,
    Window,
    check_level,
    dependence,
    draw_blocks,
    on_grid,
    resampled,
    wrapped,
)

_FAR = 12.0
"""standard deviations beyond which no maximum of any number of trials lies"""
_STEPS = 1536


# --- Sharpe ratios --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sharpe:
    """Mean over standard deviation of a series of results, per period, not annualised."""

    ratio: float
    observations: float
    """as many independent ones would tell as much: fewer than the series has when it depends on its own past"""
    skewness: float
    kurtosis: float
    """3 for the normal distribution"""


@dataclass(frozen=True, slots=True)
class DeflatedSharpe:
    """The best Sharpe ratio of a search, judged as the best of a search."""

    winner: int
    """index of the trial with the highest ratio"""
    sharpe: Sharpe
    trials: int
    """that had any variation: one whose result never changes took no part in the luck"""
    independent_trials: float
    luck: float
    """the highest ratio to expect of so many trials none of which has any merit"""
    probability: float
    """that the winner's true ratio lies above `luck`: significant at 5 % from 0.95 on"""


def sharpe(values: Sequence[Decimal]) -> Sharpe | None:
    """Of results per period, oldest first. None: fewer than `LEAST`, or all the same.

    A. W. Lo (2002), "The statistics of Sharpe ratios", Financial Analysts Journal 58(4), 36-52, is why dependence
    takes observations off. Dependence that would add some is not believed.

    Raises:
        SampleError: a value is not finite.
    """
    (units,), _ = on_grid([values])
    if len(units) < LEAST or min(units) == max(units):
        return None
    count = len(units)
    mean = math.fsum(units) / count
    off = [each - mean for each in units]
    second = math.fsum(each**2 for each in off) / count
    third = math.fsum(each**3 for each in off) / count
    fourth = math.fsum(each**4 for each in off) / count
    memory = dependence(units)
    worth = count * min(1.0, memory.variance / memory.long_run_variance) if memory.long_run_variance > 0 else count
    return Sharpe(
        mean / math.sqrt(second * count / (count - 1)), max(worth, 2.0), third / second**1.5, fourth / second**2
    )


def probabilistic_sharpe(found: Sharpe, benchmark: float = 0.0) -> float:
    """The probability that the true ratio lies above `benchmark`, with skew and fat tails counted.

    D. H. Bailey and M. López de Prado (2012), "The Sharpe ratio efficient frontier", Journal of Risk 15(2), 3-44.
    """
    spread = 1.0 - found.skewness * found.ratio + (found.kurtosis - 1.0) / 4.0 * found.ratio**2
    score = (found.ratio - benchmark) * math.sqrt(found.observations - 1.0)
    return NORMAL.cdf(score / math.sqrt(max(spread, 1e-12)))


def deflated_sharpe(trials: Sequence[Sequence[Decimal]]) -> DeflatedSharpe | None:
    """Of the results per period of all variants that were tried, losers too. None: nothing varied, or fewer than
    `LEAST` periods.

    D. H. Bailey and M. López de Prado (2014), "The deflated Sharpe ratio: correcting for selection bias, backtest
    overfitting and non-normality", Journal of Portfolio Management 40(5), 94-107. Two things differ, both on the
    careful side: the expected maximum is computed, not approximated, and the trials' ratios are taken to scatter at
    least as much as chance makes series of this length and correlation scatter.

    Raises:
        SampleError: lengths differ, no trial, or a value is not finite.
    """
    check_trials(trials)
    found = {trial: each for trial, values in enumerate(trials) if (each := sharpe(values)) is not None}
    if not found:
        return None
    winner = max(found, key=lambda trial: found[trial].ratio)
    correlation = average_correlation([trials[trial] for trial in found])
    independent = independent_trials(len(found), correlation)
    by_chance = (1.0 - correlation) * math.fsum(1.0 / (each.observations - 1.0) for each in found.values()) / len(found)
    seen = variance(each.ratio for each in found.values()) if len(found) > 1 else 0.0
    luck = math.sqrt(max(seen, by_chance, 0.0)) * expected_maximum(independent)
    best = found[winner]
    return DeflatedSharpe(winner, best, len(found), independent, luck, probabilistic_sharpe(best, luck))


def expected_maximum(trials: float) -> float:
    """The mean of the highest of so many independent standard normal draws; fractions interpolate.

    The integral over the distribution function of the maximum, which Bailey & López de Prado (2014) approximate.

    Raises:
        SampleError: fewer than one trial.
    """
    if not trials >= 1.0:
        raise SampleError(f"{trials} trials have no highest; give at least 1")

    def height(at: float) -> float:
        tail = math.erfc(at / math.sqrt(2.0)) / 2.0
        return -math.expm1(trials * math.log1p(-tail)) - math.pow(tail, trials)

    # The slope is 0 at both ends, so the plain trapezoid rule is exact to about the step to the fourth power.
    step = _FAR / _STEPS
    inner = math.fsum(height(place * step) for place in range(1, _STEPS))
    return step * (inner + (height(0.0) + height(_FAR)) / 2.0)


def average_correlation(trials: Sequence[Sequence[Decimal]]) -> float:
    """The mean correlation over all pairs of series; 0 for fewer than two that vary.

    Raises:
        SampleError: lengths differ, no series, or a value is not finite.
    """
    check_trials(trials)
    together = [0.0] * len(trials[0])
    varied = 0
    for units in on_grid(trials)[0]:
        spread = math.sqrt(pvariance(units) * len(units)) if units and min(units) != max(units) else 0.0
        if spread > 0.0:
            mean = math.fsum(units) / len(units)
            together = list(map(add, together, ((each - mean) / spread for each in units)))
            varied += 1
    if varied <= 1:
        return 0.0
    # The squared length of the sum of unit vectors holds each pair's correlation twice, and each one's own 1.
    return (math.sumprod(together, together) - varied) / (varied * (varied - 1))


def independent_trials(trials: int, correlation: float) -> float:
    """How many independent trials so many correlated ones are worth: all at 0, one at 1 (Bailey & López de Prado 2014,
    appendix 3). Rather too many than too few; a negative correlation adds none."""
    return trials + (1.0 - trials) * min(max(correlation, 0.0), 1.0)


# --- tests for having searched --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RealityCheck:
    """Whether the best of all variants is better than doing nothing by more than its luck; money in one asset."""

    winner: int
    """index of the variant with the highest total"""
    total: Decimal
    luck: Decimal
    """the total to expect of the best of these variants if none had any merit"""
    luck_high: Decimal
    """a total that the luck of the best passes only with probability 1 - `level`"""
    deflated: Decimal
    """`total - luck`"""
    deflated_low: Decimal
    """`total - luck_high`: above 0 is significant in money"""
    white_p: float
    """White's reality check: the chance of so high a best total without any merit"""
    hansen_p: float
    """Hansen's test, the consistent one: each variant by its own risk, and hopeless ones do not help the winner"""
    hansen_p_lower: float
    """lower bound: as if all losing variants were known to be as bad as they look"""
    hansen_p_upper: float
    """upper bound: as if every variant might be as good as doing nothing"""
    level: float
    variants: int
    constant: int
    """variants whose result never changes, most often by never trading: no luck in them, left out of the tests"""
    periods: int
    block: float
    """mean block length, in periods"""

    @property
    def significant(self) -> bool:
        return self.hansen_p <= 1.0 - self.level and self.deflated_low > 0


def reality_check(
    variants: Sequence[Sequence[Decimal]],
    *,
    random: Random,
    level: float = 0.95,
    block: float | None = None,
    resamples: int = 1000,
) -> RealityCheck | None:
    """Test the results per period, oldest first, of all variants of a search: what each earned beyond its benchmark,
    or beyond doing nothing. None: nothing varied, or fewer than `LEAST` periods.

    H. White (2000), "A reality check for data snooping", Econometrica 68(5), 1097-1126. P. R. Hansen (2005), "A test
    for superior predictive ability", Journal of Business & Economic Statistics 23(4), 365-380. All variants are drawn
    at the same times, by the stationary bootstrap, so that their correlation stays. Without `block` the length is the
    median of what suits each variant. A p-value is never 0: the sample itself counts as one of the draws.

    Of 200 searches of 12 variants over 120 periods of independent noise 1.5 to 5 % were `significant` at 5 %, the
    more the variants correlate; with 8 variants over 200 periods and an autocorrelation of 0.4 it was 11 to 13 % of
    150 searches. Choose periods long enough to be nearly independent.

    It takes about `len(variants) * resamples * periods / block` steps.

    Raises:
        SampleError: lengths differ, no variant, a value is not finite, a level outside of 0 to 1, or too few resamples.
    """
    check_trials(variants)
    check_level(level, resamples)
    grid, unit = on_grid(variants)
    varied = [units for units in grid if units and min(units) != max(units)]
    periods = len(grid[0])
    if not varied or periods < LEAST:
        return None
    length = median(dependence(units).stationary for units in varied) if block is None else block
    totals = [sum(units) for units in varied]
    luck, draws = _without_merit(varied, totals, length, resamples, random)
    all_totals = [sum(units) for units in grid]
    winner = max(range(len(grid)), key=lambda variant: all_totals[variant])
    passed = sum(each >= max(totals) for each in luck)
    lower, consistent, upper = _hansen(totals, draws, periods)
    # Outward, as in intervals: the rank that is not below.
    high = sorted(luck)[min(math.ceil(level * (resamples + 1)), resamples) - 1]
    with exact():
        total, expected, most = all_totals[winner] * unit, ratio(sum(luck) * unit, Decimal(resamples)), high * unit
        return RealityCheck(
            winner=winner,
            total=total,
            luck=expected,
            luck_high=most,
            deflated=total - expected,
            deflated_low=total - most,
            white_p=_chance(passed, resamples),
            hansen_p=consistent,
            hansen_p_lower=lower,
            hansen_p_upper=upper,
            level=level,
            variants=len(grid),
            constant=len(grid) - len(varied),
            periods=periods,
            block=length,
        )


def _without_merit(
    varied: Sequence[Sequence[int]], totals: Sequence[int], length: float, resamples: int, random: Random
) -> tuple[list[int], list["array[float]"]]:
    """Drawn totals less the true ones: the best of each draw, and all of them."""
    sums = [wrapped(units) for units in varied]
    luck: list[int] = []
    draws: list[array[float]] = []
    for _ in range(resamples):
        cuts = draw_blocks(len(varied[0]), length, Blocks.STATIONARY, random)
        off = list(map(sub, (resampled(each, cuts) for each in sums), totals))
        luck.append(max(off))
        draws.append(array("d", off))
    return luck, draws


def _hansen(totals: Sequence[int], draws: Sequence["array[float]"], periods: int) -> tuple[float, float, float]:
    """The p-values: lower, consistent, upper. They differ in where a losing variant is centred."""
    deviations = [
        math.sqrt(math.fsum(each * each for each in column) / len(draws)) for column in zip(*draws, strict=True)
    ]
    # A deviation of 0: no draw ever differed, as with one value that never left its place. It has no luck to test.
    weights = [1.0 / each if each > 0.0 else 0.0 for each in deviations]
    scores = list(map(mul, totals, weights))
    hopeless = -math.sqrt(2.0 * math.log(math.log(periods)))
    shifts = (
        [min(score, 0.0) for score in scores],
        [score if score < hopeless else 0.0 for score in scores],
        [0.0] * len(scores),
    )
    best = max(0.0, *scores)
    passed = [0, 0, 0]
    for row in draws:
        scaled = list(map(mul, row, weights))
        for which, shift in enumerate(shifts):
            passed[which] += max(0.0, *map(add, scaled, shift)) >= best
    lower, consistent, upper = (_chance(each, len(draws)) for each in passed)
    return lower, consistent, upper


def _chance(passed: int, resamples: int) -> float:
    return (1 + passed) / (1 + resamples)


def check_trials(trials: Sequence[Sequence[Decimal]]) -> None:
    """Raises SampleError unless there are trials, all of one length."""
    if not trials:
        raise SampleError("a search without a trial has no winner; give the results of every variant")
    for place, values in enumerate(trials):
        if len(values) != len(trials[0]):
            raise SampleError(
                f"trial {place} has {len(values)} periods and trial 0 has {len(trials[0])}; give all the same periods"
            )


# --- walk forward ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fold:
    """Choose on `train`, judge on `test`."""

    train: Window
    test: Window


def walk_forward(
    window: Window, folds: int, *, train_parts: int = 3, embargo_ns: Ns = 0, anchored: bool = False
) -> tuple[Fold, ...]:
    """Cut the window into `train_parts + folds` equal parts; each fold is judged on one part and chosen on the
    `train_parts` before it, or on everything before it when `anchored`. The tests follow each other without gap, from
    the first part that has enough before it to the end of the window.

    Training ends `embargo_ns` before its test begins, so that nothing that lasts (a cooldown, an open cycle, a
    consumed level) reaches over: M. López de Prado (2018), "Advances in Financial Machine Learning", chapter 7.

    Raises:
        SampleError: fewer than one fold or training part, or a window too short for them and the embargo.
    """
    if folds < 1 or train_parts < 1 or embargo_ns < 0:
        raise SampleError(
            f"{folds} folds over {train_parts} training parts with an embargo of {embargo_ns} ns cannot be cut; "
            f"give at least one of each and no negative embargo"
        )
    length, parts = window.end_ns - window.start_ns, train_parts + folds
    bounds = [window.start_ns + length * part // parts for part in range(parts + 1)]
    cut: list[Fold] = []
    for first, split, end in zip(bounds, bounds[train_parts:], bounds[train_parts + 1 :], strict=False):
        start = window.start_ns if anchored else first
        if split - embargo_ns <= start or end <= split:
            raise SampleError(
                f"{length} ns in {parts} parts leave nothing to train or to test on after an embargo of "
                f"{embargo_ns} ns; take a longer range, fewer folds, or a shorter embargo"
            )
        cut.append(Fold(Window(start, split - embargo_ns), Window(split, end)))
    return tuple(cut)


def members(fold: Fold, lives: Sequence[Window]) -> tuple[list[int], list[int]]:
    """Indices of what belongs to the training and of what belongs to the test, of things that last for a while.

    Training takes what began and ended inside its window: what reaches beyond it would tell of the test, and is
    purged. The test takes what begins in it, so that over all folds nothing counts twice.
    """
    train = [
        index
        for index, life in enumerate(lives)
        if fold.train.start_ns <= life.start_ns < fold.train.end_ns and life.end_ns <= fold.train.end_ns
    ]
    test = [index for index, life in enumerate(lives) if fold.test.start_ns <= life.start_ns < fold.test.end_ns]
    return train, test
