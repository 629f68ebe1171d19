"""What a report draws: results over latency and over fee tiers, edges, lifetimes, drawdown, exposure.

Points are measured, each on a desk of its own (TRADING 34): nothing here computes a result, and nothing smooths one.
A curve that rises with latency is shown rising; its intervals say how much that means.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from arbitrade_core.domain import Ns
from arbitrade_core.money import ZERO, exact, floor_to, nearest_decimals, ratio
from arbitrade_core.replay.statistics import NORMAL, Interval, SampleError, Window

_SHOWN_DECIMALS = 4
"""of interpolated places, in bps or ms"""


# --- results over latency and fees ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """What one desk earned at one place of a curve."""

    at: Decimal
    """latency in ms, or taker fee in bps"""
    result: Interval
    name: str = ""
    """of the fee tier"""
    extrapolated: bool = False
    """closer than the recording can tell (TRADING 34)"""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Between two measured neighbours, one of which earned and one of which did not."""

    earned_at: Decimal
    failed_at: Decimal
    at: Decimal
    """where the straight line between them meets 0"""
    idle: bool
    """exactly nothing was earned at `failed_at`, as by a desk that did not trade: the truth lies anywhere between"""


class Answer(StrEnum):
    WITHIN = "within"
    """inside of what was measured: see the crossings; more than one when the curve is not monotone"""
    BEYOND_LAST = "beyond_last"
    """earned at every point: break-even lies beyond the highest"""
    BEFORE_FIRST = "before_first"
    """earned at no point: break-even lies before the lowest, if there is one"""
    UNKNOWN = "unknown"
    """no point, or points whose interval cannot be told"""


@dataclass(frozen=True, slots=True)
class Root:
    answer: Answer
    crossings: tuple[Crossing, ...] = ()
    """in order of place"""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where results turn from earning to not earning: the highest fee, or the longest latency, that still pays."""

    estimate: Root
    low: Root
    """of the intervals' lower bounds: up to here the desk earned with confidence"""
    high: Root
    """of their upper bounds: from here on it failed with confidence"""


@dataclass(frozen=True, slots=True)
class Curve:
    """Measured points in order of place."""

    points: tuple[Point, ...]
    break_even: BreakEven

    @property
    def rises(self) -> tuple[tuple[Decimal, Decimal], ...]:
        """Neighbours where more latency, or a higher fee, earned more: noise, or a desk that took other trades."""
        return tuple(
            (one.at, two.at) for one, two in pairwise(self.points) if two.result.estimate > one.result.estimate
        )


def latency_curve(results: Iterable[tuple[Decimal, Interval]], jitter_ms: Decimal) -> Curve:
    """Results by latency in ms; those below the recording's own jitter are marked as extrapolated.

    Raises:
        SampleError: two results for one latency, or a latency below 0.
    """
    return _curve(Point(at_ms, result, extrapolated=at_ms < jitter_ms) for at_ms, result in results)


def fee_curve(results: Iterable[tuple[str, Decimal, Interval]]) -> Curve:
    """Results by fee tier: its name and its taker fee in bps. A rebate is a negative fee.

    Raises:
        SampleError: two results for one fee.
    """
    return _curve((Point(fee_bps, result, name) for name, fee_bps, result in results), lowest=None)


def _curve(points: Iterable[Point], lowest: Decimal | None = ZERO) -> Curve:
    ordered = tuple(sorted(points, key=lambda point: point.at))
    for one, two in pairwise(ordered):
        if one.at == two.at:
            raise SampleError(f"two results at {one.at} ({one.name or 'first'}, {two.name or 'second'}); give one each")
    if lowest is not None and ordered and ordered[0].at < lowest:
        raise SampleError(f"a result at {ordered[0].at}; nothing comes before {lowest}")
    return Curve(ordered, break_even(ordered))


def break_even(points: Sequence[Point]) -> BreakEven:
    """Of points in order of place, by linear interpolation between neighbours and never beyond the ends."""
    return BreakEven(
        _root([(point.at, point.result.estimate) for point in points]),
        _root([(point.at, point.result.low) for point in points]),
        _root([(point.at, point.result.high) for point in points]),
    )


def _root(results: Sequence[tuple[Decimal, Decimal | None]]) -> Root:
    known = [(at, result) for at, result in results if result is not None]
    if not known or len(known) < len(results):
        return Root(Answer.UNKNOWN)
    crossings = tuple(_crossing(*one, *two) for one, two in pairwise(known) if (one[1] > 0) is not (two[1] > 0))
    if crossings:
        return Root(Answer.WITHIN, crossings)
    return Root(Answer.BEYOND_LAST if known[0][1] > 0 else Answer.BEFORE_FIRST)


def _crossing(at: Decimal, result: Decimal, next_at: Decimal, next_result: Decimal) -> Crossing:
    with exact():
        share = ratio(result, result - next_result)
        meets = nearest_decimals(at + (next_at - at) * share, _SHOWN_DECIMALS)
    earned_at, failed_at = (at, next_at) if result > 0 else (next_at, at)
    return Crossing(earned_at, failed_at, meets, idle=ZERO in (result, next_result))


# --- edges ----------------------------------------------------------------------------------------------------

QUANTILES = tuple(Decimal(text) for text in ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"))


@dataclass(frozen=True, slots=True)
class EdgeDistribution:
    """Edges in bps."""

    count: int
    least: Decimal | None
    most: Decimal | None
    mean: Decimal | None
    """None, as the bounds: there was none"""
    quantiles: tuple[tuple[Decimal, Decimal], ...]
    """share and the smallest edge that at least this share does not exceed: always one that occurred"""
    bin_bps: int
    histogram: tuple[tuple[int, int], ...]
    """lower bound of a bin in whole bps, and how many edges lie from there up to, not including, the next bin's;
    empty bins are left out"""


def edge_distribution(
    edges_bps: Iterable[Decimal], *, bin_bps: int = 1, quantiles: Sequence[Decimal] = QUANTILES
) -> EdgeDistribution:
    """Quantiles and a histogram of edges, positive or not.

    Raises:
        SampleError: bins below 1 bps, a share outside of 0 to 1, or an edge that is not finite.
    """
    if bin_bps < 1:
        raise SampleError(f"bins of {bin_bps} bps cannot be counted; give a whole number from 1 on")
    if wrong := [share for share in quantiles if not 0 <= share <= 1]:
        raise SampleError(f"{wrong[0]} is no share of edges; give 0 to 1")
    edges = list(edges_bps)
    if bad := [edge for edge in edges if not edge.is_finite()]:
        raise SampleError(f"an edge of {bad[0]} bps cannot be counted; leave out what was never priced")
    edges.sort()
    count = len(edges)
    if not count:
        return EdgeDistribution(0, None, None, None, (), bin_bps, ())
    with exact():
        mean = ratio(sum(edges, ZERO), Decimal(count))
        ranks = [max(1, math.ceil(share * count)) for share in quantiles]
    bins = Counter(int(floor_to(edge, Decimal(bin_bps))) for edge in edges)
    found = tuple((share, edges[rank - 1]) for share, rank in zip(quantiles, ranks, strict=True))
    return EdgeDistribution(count, edges[0], edges[-1], mean, found, bin_bps, tuple(sorted(bins.items())))


# --- lifetimes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an opportunity was seen to live."""

    duration_ns: Ns
    ended: bool
    """False: it still lived when the recording ended or broke off, so it lived at least that long"""


@dataclass(frozen=True, slots=True)
class Step:
    """After `duration_ns`: the estimated share of opportunities that still live, and its confidence interval."""

    duration_ns: Ns
    at_risk: int
    """were seen to live at least that long"""
    ended: int
    """exactly then"""
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Survival:
    """Share still alive by age; 1 before the first step."""

    count: int
    censored: int
    level: float
    steps: tuple[Step, ...]
    median_ns: Ns | None
    """the age that at most half of them pass; None: more than half were alive as far as could be seen"""

    def share_after(self, duration_ns: Ns) -> float | None:
        """The share that lives longer than this; None: nothing was seen for that long."""
        if not self.steps or (duration_ns > self.steps[-1].duration_ns and self.steps[-1].share > 0.0):
            return None
        return next((step.share for step in reversed(self.steps) if step.duration_ns <= duration_ns), 1.0)


def lifetimes(spans: Iterable[tuple[Ns, Ns | None]], covered: Sequence[Window]) -> tuple[list[Lifetime], int]:
    """Lifetimes of opportunities, given from when to when each was above its hurdle, over the gap-free stretches of a
    recording. Second: how many were left out, because they were there already when a stretch began, or began in none,
    so that their age is unknown.

    One that was open at the end of its stretch is censored there, whatever came after the gap.

    Raises:
        SampleError: stretches overlap or are out of order, or a span ends before it begins.
    """
    for one, two in pairwise(covered):
        if two.start_ns < one.end_ns:
            raise SampleError(
                f"the stretch from {two.start_ns} ns begins before {one.end_ns} ns, where one ends; sort them"
            )
    found: list[Lifetime] = []
    unknown = 0
    for opened_ns, closed_ns in spans:
        if closed_ns is not None and closed_ns < opened_ns:
            raise SampleError(f"a life from {opened_ns} ns cannot end before, at {closed_ns} ns")
        stretch = next((each for each in covered if each.start_ns < opened_ns < each.end_ns), None)
        if stretch is None:
            unknown += 1
        elif closed_ns is not None and closed_ns < stretch.end_ns:
            found.append(Lifetime(closed_ns - opened_ns, ended=True))
        else:
            found.append(Lifetime(stretch.end_ns - opened_ns, ended=False))
    return found, unknown


def survival(lives: Iterable[Lifetime], *, level: float = 0.95) -> Survival:
    """The product-limit estimate: E. L. Kaplan and P. Meier (1958), "Nonparametric estimation from incomplete
    observations", Journal of the American Statistical Association 53(282), 457-481. Variance by Greenwood (1926);
    bounds on the log-log scale, inside 0 to 1 (J. D. Kalbfleisch and R. L. Prentice 1980).

    Raises:
        SampleError: a level outside of 0 to 1, or a duration below 0.
    """
    if not 0.0 < level < 1.0:
        raise SampleError(f"a confidence level of {level} is not inside 0 to 1; 0.95 is usual")
    ended: Counter[Ns] = Counter()
    left: Counter[Ns] = Counter()
    for life in lives:
        if life.duration_ns < 0:
            raise SampleError(f"a life of {life.duration_ns} ns ended before it began; give durations from 0 on")
        left[life.duration_ns] += 1
        if life.ended:
            ended[life.duration_ns] += 1
    count = at_risk = left.total()
    share, greenwood = 1.0, 0.0
    steps: list[Step] = []
    width = NORMAL.inv_cdf((1.0 + level) / 2.0)
    oldest = max(left, default=0)
    for duration_ns in sorted(left):
        if deaths := ended[duration_ns]:
            share *= 1.0 - deaths / at_risk
            if deaths < at_risk:
                greenwood += deaths / (at_risk * (at_risk - deaths))
            low, high = _log_log(share, greenwood, width)
            steps.append(Step(duration_ns, at_risk, deaths, share, low, high))
        elif duration_ns == oldest:
            # The last ones were only seen so far: the curve goes on flat to here, and no further.
            low, high = _log_log(share, greenwood, width)
            steps.append(Step(duration_ns, at_risk, 0, share, low, high))
        at_risk -= left[duration_ns]
    half = next((step.duration_ns for step in steps if step.share <= 0.5 + 1e-12), None)
    return Survival(count, count - ended.total(), level, tuple(steps), half)


def _log_log(share: float, greenwood: float, width: float) -> tuple[float, float]:
    if not 0.0 < share < 1.0:
        return share, share
    factor = math.exp(width * math.sqrt(greenwood) / -math.log(share))
    return share**factor, share ** (1.0 / factor)


# --- equity and exposure --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drawdown:
    """From a high of the equity to the next one as high."""

    depth: Decimal
    """high less the lowest equity before it was reached again; above 0"""
    peak_ns: Ns
    """the last time at the high"""
    trough_ns: Ns
    """the first time at the lowest"""
    recovered_ns: Ns | None
    """None: never, as far as the series goes"""
    length_ns: Ns
    """from the high to the recovery, or to the end of the series"""


def drawdowns(equity: Sequence[tuple[Ns, Decimal]]) -> tuple[Drawdown, ...]:
    """All drawdowns of an equity series, oldest first; the first point is the starting equity. The deepest is
    `max(found, key=lambda each: each.depth)`, the longest likewise.

    Raises:
        SampleError: times go backwards.
    """
    _in_order([at_ns for at_ns, _ in equity])
    if not equity:
        return ()
    found: list[Drawdown] = []
    peak = trough = last = equity[0]
    for last in equity:
        if last[1] >= peak[1]:
            if trough[1] < peak[1]:
                found.append(_drawdown(peak, trough, last[0], last[0]))
            peak = trough = last
        elif last[1] < trough[1]:
            trough = last
    if trough[1] < peak[1]:
        found.append(_drawdown(peak, trough, None, last[0]))
    return tuple(found)


def _drawdown(peak: tuple[Ns, Decimal], trough: tuple[Ns, Decimal], recovered_ns: Ns | None, end_ns: Ns) -> Drawdown:
    with exact():
        return Drawdown(peak[1] - trough[1], peak[0], trough[0], recovered_ns, end_ns - peak[0])


@dataclass(frozen=True, slots=True)
class Exposure:
    """What was at risk over a window, in one asset."""

    steps: tuple[tuple[Ns, Decimal], ...]
    """from that time on, that much; the first is at the window's start"""
    peak: Decimal
    peak_ns: Ns
    """the first time"""
    mean: Decimal
    """over time"""
    busy_share: Decimal
    """of the time with anything at risk"""


def exposure(positions: Iterable[tuple[Ns, Ns | None, Decimal]], window: Window) -> Exposure:
    """From when to when (None: still) how much was at risk; positions add up, and are cut to the window.

    Raises:
        SampleError: an empty window, a negative amount, or a position that ends before it begins.
    """
    length = window.end_ns - window.start_ns
    if not length:
        raise SampleError(f"a window of no length at {window.start_ns} ns has no mean; give a longer one")
    changes: dict[Ns, Decimal] = {window.start_ns: ZERO}
    with exact():
        for opened_ns, closed_ns, amount in positions:
            if amount < 0 or (closed_ns is not None and closed_ns < opened_ns):
                raise SampleError(
                    f"{amount} at risk from {opened_ns} to {closed_ns} ns cannot be; give amounts and times from 0 on"
                )
            start_ns = max(opened_ns, window.start_ns)
            end_ns = window.end_ns if closed_ns is None else min(closed_ns, window.end_ns)
            if start_ns < end_ns:
                changes[start_ns] = changes.get(start_ns, ZERO) + amount
                changes[end_ns] = changes.get(end_ns, ZERO) - amount
        changes.setdefault(window.end_ns, ZERO)
        area = at_risk = peak = ZERO
        peak_ns, busy_ns = window.start_ns, 0
        steps: list[tuple[Ns, Decimal]] = []
        for at_ns, next_ns in pairwise(sorted(changes)):
            at_risk += changes[at_ns]
            if not steps or at_risk != steps[-1][1]:
                steps.append((at_ns, at_risk))
            if at_risk > peak:
                peak, peak_ns = at_risk, at_ns
            if at_risk > 0:
                busy_ns += next_ns - at_ns
            area += at_risk * (next_ns - at_ns)
        return Exposure(
            tuple(steps), peak, peak_ns, ratio(area, Decimal(length)), ratio(Decimal(busy_ns), Decimal(length))
        )


def _in_order(times_ns: Sequence[Ns]) -> None:
    for one, two in pairwise(times_ns):
        if two < one:
            raise SampleError(f"{two} ns comes after {one} ns in the series; sort it by time")
