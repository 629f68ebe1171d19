"""How sure a desk's result is: its trading P&L over equal parts of the recorded time, drawn again in blocks.

Every figure draws its own chance from the job's seed and its own name, so that another desk more or less changes none.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random

from arbitrade_core.domain import Ns
from arbitrade_core.money import ONE, ZERO, exact, ratio
from arbitrade_core.replay.report.words import between, count, duration, gain
from arbitrade_core.replay.results import Coverage, DeskResult
from arbitrade_core.replay.statistics import LEAST, Interval, Window, interval

PART_NS: Ns = 60_000_000_000
"""Shorter parts of the time depend too much on each other to tell anything."""
MOST_PARTS = 120
MOST_GROUPS = 200
"""of plans that follow each other: more values than that take long and tell no more"""
HOUR_NS: Ns = 3_600_000_000_000
RESAMPLES = 1_000

type Earnings = Sequence[tuple[Ns, Ns, Decimal]]
"""decided, ended, profit of every plan that ended, in order of its end"""


class Parts:
    """The recorded time in parts of about equal length."""

    def __init__(self, coverage: Coverage) -> None:
        covered_ns = coverage.covered_ns
        self.hours = ratio(Decimal(covered_ns), Decimal(HOUR_NS))
        self.covered_ns = covered_ns
        parts = min(MOST_PARTS, covered_ns // PART_NS)
        self.length_ns = covered_ns // parts if parts else covered_ns
        self.starts = [start for stretch in coverage.stretches for start in _cut(stretch, self.length_ns)]
        self.starts = self.starts or [coverage.wanted.start_ns]

    def sums(self, earned: Earnings) -> list[Decimal]:
        """What ended in each part; what ended in a gap counts in the part before it, so that nothing is lost."""
        sums = [ZERO] * len(self.starts)
        with exact():
            for _, ended_ns, profit in earned:
                sums[max(0, bisect_right(self.starts, ended_ns) - 1)] += profit
        return sums


def _cut(stretch: Window, length_ns: Ns) -> Iterable[Ns]:
    """Where its parts begin: none when it is shorter than half a part."""
    span = stretch.end_ns - stretch.start_ns
    parts = round(span / length_ns) if length_ns else 0
    return (stretch.start_ns + span * part // parts for part in range(parts))


def total(desk: DeskResult, parts: Parts, seed: int) -> Interval:
    """Of the trading P&L of the whole range."""
    return _honest(parts.sums(desk.earned), len(desk.earned), ONE, _chance(seed, desk.name, "total"))


def per_hour(found: Interval, parts: Parts) -> Interval:
    """A total, per recorded hour."""

    def each(value: Decimal) -> Decimal:
        return ratio(value, parts.hours) if parts.hours else value

    return replace(
        found,
        estimate=each(found.estimate),
        low=None if found.low is None else each(found.low),
        high=None if found.high is None else each(found.high),
    )


def per_plan(desk: DeskResult, parts: Parts, seed: int) -> Interval:
    """Per plan that ended; many plans are drawn in groups of neighbours. Plans of a few minutes tell of no others."""
    profits = [profit for _, _, profit in desk.earned]
    size = -(-len(profits) // MOST_GROUPS) or 1
    with exact():
        groups = [sum(profits[start : start + size], ZERO) for start in range(0, len(profits), size)]
    found = _honest(groups, len(profits), Decimal(max(1, len(profits))), _chance(seed, desk.name, "plan"))
    return found if len(parts.starts) >= LEAST else replace(found, low=None, high=None)


def more(one: DeskResult, than: DeskResult, parts: Parts, seed: int) -> Interval:
    """What one desk earned more than the other, part by part: both saw the same market."""
    with exact():
        pairs = zip(parts.sums(one.earned), parts.sums(than.earned), strict=True)
        differences = [here - there for here, there in pairs]
    return _honest(differences, max(len(one.earned), len(than.earned)), ONE, _chance(seed, one.name, than.name))


def _honest(values: Sequence[Decimal], plans: int, per: Decimal, random: Random) -> Interval:
    """A desk that traded a few times is as unsure as a recording of a few minutes; one that never did is neither."""
    found = interval(values, random=random, per=per, resamples=RESAMPLES)
    return replace(found, low=None, high=None) if 0 < plans < LEAST else found


def _chance(seed: int, *names: str) -> Random:
    return Random("\0".join((str(seed), *names)))  # noqa: S311 - drawn again, not secret


# --- in words -------------------------------------------------------------------------------------------------


def lacking(plans: int, parts: Parts) -> str | None:
    """What is missing for an interval, or None."""
    if plans < LEAST:
        return f"{count(plans, 'plan')} ended, and fewer than {LEAST} say nothing about how sure a result is"
    if len(parts.starts) < LEAST:
        return (
            f"{duration(parts.covered_ns)} were recorded, and less than {LEAST * PART_NS // 60_000_000_000} minutes "
            f"without gaps say nothing about how sure a result is"
        )
    return None


def in_words(found: Interval, plans: int, parts: Parts, asset: str) -> str:
    """How sure a total is, never more confident than it."""
    if not plans:
        return "nothing was traded, so there is nothing to be sure of"
    if found.low is None or found.high is None:
        return f"too little data: {lacking(plans, parts) or 'no interval can be given'}"
    level = f"{found.level:.0%}".replace("%", " %")
    span = f"the {level} interval is {between(found, asset)}"
    if found.low > 0:
        return f"{span}: above zero, as far as hours like these go"
    if found.high < 0:
        return f"{span}: a loss, as far as hours like these go"
    return f"{span}, which holds zero: {gain(found.estimate, asset)} may be chance"
