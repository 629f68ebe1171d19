"""How sure a figure is: confidence intervals for sums and means of series that depend on their own past.

Profits that follow each other are not independent: one volatile hour holds many. Drawing them one by one would make
every interval too narrow, so they are drawn in blocks (H. R. Künsch (1989), "The jackknife and the bootstrap for
general stationary observations", Annals of Statistics 17(3), 1217-1241).

Money stays exact: a series is a row of integers on its finest grid, a resampled total is an integer sum, and floats
only choose which of the sorted totals are the bounds.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate
from random import Random
from statistics import NormalDist

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.money import ONE, ZERO, exact, ratio

LEAST = 10
"""Fewer observations say nothing about how sure a figure is."""

NORMAL = NormalDist()
_FLAT_LAGS = 5
"""so many autocorrelations in a row must be insignificant: K_N of Politis & White, 5 for every length in use"""


class SampleError(ArbitradeError):
    """A series, a range or a level does not allow the statistic asked of it."""


@dataclass(frozen=True, slots=True)
class Window:
    """Time from `start_ns` up to, not including, `end_ns`."""

    start_ns: Ns
    end_ns: Ns

    def __post_init__(self) -> None:
        if self.end_ns < self.start_ns:
            raise SampleError(f"a window from {self.start_ns} ns ends before, at {self.end_ns} ns; swap its ends")


class Blocks(StrEnum):
    STATIONARY = "stationary"
    """lengths drawn from a geometric distribution: D. N. Politis and J. P. Romano (1994), "The stationary bootstrap",
    Journal of the American Statistical Association 89(428), 1303-1313"""
    MOVING = "moving"
    """of one length, starting anywhere, wrapped around the end so that no observation is drawn less often: Politis
    and Romano (1992), "A circular block-resampling procedure for stationary data" """


class Method(StrEnum):
    PERCENTILE = "percentile"
    BCA = "bca"
    """corrected for bias and skew: B. Efron (1987), "Better bootstrap confidence intervals", Journal of the American
    Statistical Association 82(397), 171-185; with the acceleration of blocks: F. Götze and H. R. Künsch (1996),
    "Second-order correctness of the blockwise bootstrap", Annals of Statistics 24(5), 1914-1933"""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and how sure it is. In the unit of the values, over whatever `per` counted."""

    estimate: Decimal
    low: Decimal | None
    """None, as `high`: too few observations to say (fewer than `LEAST`)"""
    high: Decimal | None
    level: float
    """the share of such intervals that hold the truth, if the series is stationary: 0.95"""
    observations: int
    block: float
    """mean block length, in observations"""
    method: Method = Method.BCA


@dataclass(frozen=True, slots=True)
class Dependence:
    """How much a series depends on its own past, and the blocks that keep it."""

    variance: float
    long_run_variance: float
    """the variance of the mean, times the number of observations; not above 0 is an artefact of short series"""
    stationary: float
    """best mean block length of the stationary bootstrap, in observations, at least 1"""
    moving: float
    """best length of moving blocks"""

    def best(self, blocks: Blocks) -> float:
        match blocks:
            case Blocks.STATIONARY:
                return self.stationary
            case Blocks.MOVING:
                return self.moving


def interval(
    values: Sequence[Decimal],
    *,
    random: Random,
    per: Decimal = ONE,
    level: float = 0.95,
    method: Method = Method.BCA,
    blocks: Blocks = Blocks.STATIONARY,
    block: float | None = None,
    resamples: int = 2000,
) -> Interval:
    """The total of `values`, oldest first, divided by `per`, with a confidence interval.

    The total is `per=1`, the mean `per=len(values)`; profit per plan is the mean of plans' profits; profit per hour is
    `per=hours` over the profits of equal parts of the time, idle ones included (`in_parts`).

    Without `block` its length is chosen (`dependence`). It takes about `resamples * len(values) / block` steps: sum
    more than some ten thousand values into parts first.

    Intervals of short or strongly dependent series hold the truth less often than `level` says, as block bootstraps
    do: 95 % intervals held it in 91 to 94 % of independent series of 100 to 250 values, and with an autocorrelation
    of 0.6 in 88 % of 250 and 83 % of 100 values.

    Raises:
        SampleError: `per` is not above 0, a value is not finite, a block is shorter than 1, the level is not inside
            0 to 1, or there are too few resamples for it.
    """
    if not per > 0:
        raise SampleError(f"a total cannot be shown per {per}; give a number above 0")
    check_level(level, resamples)
    (units,), unit = on_grid([values])
    count, total = len(units), sum(units)

    def figure(units: int) -> Decimal:
        with exact():
            return ratio(units * unit, per)

    if count < LEAST:
        return Interval(figure(total), None, None, level, count, 1.0, method)
    length = dependence(units).best(blocks) if block is None else block
    sums = wrapped(units)
    totals = sorted(resampled(sums, draw_blocks(count, length, blocks, random)) for _ in range(resamples))
    tails = (1.0 - level) / 2.0, (1.0 + level) / 2.0
    if method is Method.BCA:
        tails = _corrected(tails, _bias(totals, total), acceleration(units, length))
    low, high = (tail * (resamples + 1) for tail in tails)
    # Outward: the rank that is not above, and the one that is not below.
    lowest = totals[min(max(math.floor(low), 1), resamples) - 1]
    highest = totals[min(max(math.ceil(high), 1), resamples) - 1]
    return Interval(figure(total), figure(lowest), figure(highest), level, count, length, method)


def in_parts(amounts: Iterable[tuple[Ns, Decimal]], window: Window, parts: int) -> list[Decimal]:
    """Sums of the amounts in `parts` equal parts of the window, empty ones included. A recording with gaps is given
    stretch by stretch, and the lists joined.

    Raises:
        SampleError: an amount outside of the window, or a part that would be shorter than a nanosecond.
    """
    length = window.end_ns - window.start_ns
    if not 1 <= parts <= length:
        raise SampleError(f"{length} ns cannot be cut into {parts} parts; give 1 to {length}")
    sums = [ZERO] * parts
    with exact():
        for at_ns, amount in amounts:
            if not window.start_ns <= at_ns < window.end_ns:
                raise SampleError(
                    f"{amount} at {at_ns} ns lies outside of {window.start_ns} to {window.end_ns} ns; "
                    f"widen the window, or leave it out knowingly"
                )
            sums[(at_ns - window.start_ns) * parts // length] += amount
    return sums


def dependence(values: Sequence[float]) -> Dependence:
    """Long-run variance and the block lengths that estimate it with the least mean squared error.

    D. N. Politis and H. White (2004), "Automatic block-length selection for the dependent bootstrap", Econometric
    Reviews 23(1), 53-70, with the correction by A. Patton, D. N. Politis and H. White (2009), 28(4), 372-375. As in
    the authors' own program no block is longer than `min(3 sqrt(n), n / 3)`, and at least one lag counts.

    Raises:
        SampleError: no value.
    """
    count = len(values)
    if not count:
        raise SampleError("an empty series has no variance; give at least one value")
    mean = math.fsum(values) / count
    centred = [value - mean for value in values]
    most = min(math.ceil(math.sqrt(count)) + _FLAT_LAGS, count - 1)
    covariances = [math.sumprod(centred[lag:], centred[: count - lag]) / count for lag in range(most + 1)]
    variance = covariances[0]
    if variance <= 0.0:
        return Dependence(0.0, 0.0, 1.0, 1.0)
    bandwidth = min(2 * max(_last_significant(covariances, count), 1), most)
    weighted = [(lag, _flat_top(lag / bandwidth) * covariances[lag]) for lag in range(1, bandwidth + 1)]
    spectrum = variance + 2.0 * math.fsum(each for _, each in weighted)
    slope = 2.0 * math.fsum(lag * each for lag, each in weighted)
    longest = math.ceil(min(3.0 * math.sqrt(count), count / 3.0))

    def best(factor: float) -> float:
        if spectrum == 0.0:
            return 1.0 if slope == 0.0 else float(longest)
        length = math.cbrt(2.0 * slope * slope / (factor * spectrum * spectrum) * count)
        return min(max(length, 1.0), float(longest))

    return Dependence(variance, spectrum, best(2.0), best(4.0 / 3.0))


def _last_significant(covariances: Sequence[float], count: int) -> int:
    """The lag after which `_FLAT_LAGS` autocorrelations in a row are insignificant; the last one when there is none."""
    band = 2.0 * math.sqrt(math.log10(count) / count) * covariances[0]
    flat = 0
    for lag, covariance in enumerate(covariances[1:], start=1):
        flat = flat + 1 if abs(covariance) < band else 0
        if flat == _FLAT_LAGS:
            return lag - _FLAT_LAGS
    return len(covariances) - 1


def _flat_top(share: float) -> float:
    return min(1.0, 2.0 * (1.0 - share))


# --- resampling, shared with `selection` ----------------------------------------------------------------------

type Cuts = tuple[list[int], list[int]]
"""Where blocks start, and where they end, in the series written twice in a row."""


def on_grid(series: Sequence[Sequence[Decimal]]) -> tuple[list[list[int]], Decimal]:
    """All series as integers of one unit, and that unit: the finest decimal in use.

    Raises:
        SampleError: a value is not finite.
    """
    finest = 0
    for values in series:
        for place, value in enumerate(values):
            exponent = value.as_tuple().exponent
            if not isinstance(exponent, int):
                raise SampleError(f"value {place} of {len(values)} is {value}; leave out what has no result")
            finest = min(finest, exponent)
    with exact():
        return [[int(value.scaleb(-finest)) for value in values] for values in series], Decimal(1).scaleb(finest)


def wrapped(units: Sequence[int]) -> list[int]:
    """Running sums of the series written twice in a row, so that every block's sum is one difference."""
    return list(accumulate((*units, *units), initial=0))


def draw_blocks(count: int, length: float, blocks: Blocks, random: Random) -> Cuts:
    """Blocks that together hold `count` observations; the last one is cut to fit.

    Raises:
        SampleError: a length below 1, or not finite.
    """
    if not 1.0 <= length < math.inf:
        raise SampleError(f"blocks of {length} observations cannot be drawn; give a length of at least 1")
    fixed = round(length)
    stay = math.log1p(-1.0 / length) if blocks is Blocks.STATIONARY and length > 1.0 else None
    starts: list[int] = []
    ends: list[int] = []
    left = count
    while left:
        size = fixed if stay is None else 1 + int(math.log1p(-random.random()) / stay)
        size = min(size, left)
        start = int(random.random() * count)
        starts.append(start)
        ends.append(start + size)
        left -= size
    return starts, ends


def resampled(sums: Sequence[int], cuts: Cuts) -> int:
    """The total of a series, given by its `wrapped` sums, over drawn blocks."""
    starts, ends = cuts
    return sum(map(sums.__getitem__, ends)) - sum(map(sums.__getitem__, starts))


def check_level(level: float, resamples: int) -> None:
    """Raises SampleError unless both tails hold at least one resample."""
    if not 0.0 < level < 1.0:
        raise SampleError(f"a confidence level of {level} is not inside 0 to 1; 0.95 is usual")
    least = math.ceil(2.0 / (1.0 - level) - 1e-9)
    if resamples < least:
        raise SampleError(f"{resamples} resamples have no tail at a level of {level}; draw at least {least}")


def acceleration(units: Sequence[int], length: float) -> float:
    """A sixth of the skewness of the total, as blocks of that length tell it; with blocks of 1 Efron's constant."""
    size, count, total = min(round(length), len(units)), len(units), sum(units)
    sums = wrapped(units)
    off = [float(count * (sums[start + size] - sums[start]) - size * total) for start in range(count)]
    second = math.fsum(each * each for each in off) / count
    if second == 0.0:
        return 0.0
    third = math.fsum(each * each * each for each in off) / count
    return third / (second * math.sqrt(second)) / (6.0 * math.sqrt(count / size))


def _bias(ordered: Sequence[int], total: int) -> float:
    """How far the middle of the resampled totals lies off, in standard deviations; ties count half."""
    below = (bisect_left(ordered, total) + bisect_right(ordered, total)) / 2.0
    share = min(max(below, 0.5), len(ordered) - 0.5) / len(ordered)
    return NORMAL.inv_cdf(share)


def _corrected(tails: tuple[float, float], bias: float, speed: float) -> tuple[float, float]:
    def corrected(tail: float) -> float:
        off = bias + NORMAL.inv_cdf(tail)
        room = 1.0 - speed * off
        if room <= 0.0:  # beyond the reach of the correction: the outermost resample
            return 1.0 if off > 0.0 else 0.0
        return NORMAL.cdf(bias + off / room)

    low, high = tails
    return corrected(low), corrected(high)
