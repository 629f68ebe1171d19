"""Long series made short enough to draw, so that nothing an eye would see is lost: highs and lows stay."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal

from arbitrade_core.domain import Ns
from arbitrade_core.money import ZERO, exact, floor_to
from arbitrade_core.replay.curves import Step, Survival
from arbitrade_core.replay.report.shapes import Amount, Bars

MOST_POINTS = 400
MOST_BARS = 60
_FEWEST_BARS = 8
_TAIL = 100
"""one of so many values at each end may lie beyond the bars"""


def extremes[Point](points: Sequence[Point], value: Callable[[Point], Decimal], most: int = MOST_POINTS) -> list[Point]:
    """At most about `most` points: of each of equal runs the first, the lowest, the highest and the last."""
    if len(points) <= most:
        return list(points)
    runs = max(1, most // 4)
    kept: list[Point] = []
    for run in range(runs):
        places = range(len(points) * run // runs, len(points) * (run + 1) // runs)
        low = min(places, key=lambda place: value(points[place]))
        high = max(places, key=lambda place: value(points[place]))
        kept += [points[place] for place in sorted({places[0], low, high, places[-1]})]
    return kept


def steps(series: Sequence[tuple[Ns, Decimal]]) -> tuple[Amount, ...]:
    return tuple(Amount(at_ns, amount) for at_ns, amount in extremes(series, lambda point: point[1]))


def survival(found: Survival) -> Survival:
    """With as many steps as can be told apart in a drawing; shares and median as they were."""
    if len(found.steps) <= MOST_POINTS:
        return found
    last = len(found.steps) - 1
    places = sorted({round(last * place / (MOST_POINTS - 1)) for place in range(MOST_POINTS)})
    kept: tuple[Step, ...] = tuple(found.steps[place] for place in places)
    return Survival(found.count, found.censored, found.level, kept, found.median_ns)


def bars(values: Sequence[Decimal]) -> Bars:
    """A histogram with a round bar width; the outermost values on either side are only counted."""
    most = min(MOST_BARS, max(_FEWEST_BARS, round(2 * math.sqrt(len(values)))))
    if not values:
        return Bars(Decimal(1), (), 0, 0)
    ordered = sorted(values)
    tail = len(ordered) // _TAIL
    low, high = ordered[tail], ordered[-1 - tail]
    with exact():
        width = round_width(high - low, most)
        bins = Counter(floor_to(value, width) for value in ordered[tail : len(ordered) - tail])
    return Bars(width, tuple(sorted(bins.items())), tail, tail)


def round_width(span: Decimal, most: int) -> Decimal:
    """1, 2 or 5 times a power of ten, so that at most about `most` of it make up the span."""
    if span <= ZERO:
        return Decimal(1)
    power = Decimal(10) ** (math.floor(math.log10(float(span) / most)) - 1)
    while True:
        for factor in (10, 20, 50):
            if power * factor * most >= span:
                return (power * factor).normalize()
        power *= 10
