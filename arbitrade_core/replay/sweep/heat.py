"""Heat maps: what earned, by one searched setting or by two."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import combinations
from math import fsum

from arbitrade_core.money import ZERO, exact, nearest_decimals, ratio
from arbitrade_core.replay.results import DeskResult
from arbitrade_core.replay.searched import HeatMap, Variant

MOST_PAIRS = 6
MOST_SINGLE = 12
MOST_STEPS = 10
"""of an axis: more values than that are put into so many classes"""
_DECIMALS = 8


class _Axis:
    """The values of one setting, in order, in classes when there are many."""

    def __init__(self, path: str, texts: Sequence[str]) -> None:
        """`texts`: of every variant."""
        self.path = path
        ordered = _ordered(list(dict.fromkeys(texts)))
        steps = min(MOST_STEPS, len(ordered))
        starts = [len(ordered) * step // steps for step in range(steps)]
        ends = [*starts[1:], len(ordered)]
        self.labels = tuple(
            ordered[start] if end - start == 1 else f"{ordered[start]} to {ordered[end - 1]}"
            for start, end in zip(starts, ends, strict=True)
        )
        place = {text: bisect_right(starts, at) - 1 for at, text in enumerate(ordered)}
        self.places = [place[text] for text in texts]
        """of every variant, which class"""


def _ordered(texts: list[str]) -> list[str]:
    """Numbers by size, anything else as it was tried."""
    try:
        return sorted(texts, key=Decimal)
    except InvalidOperation:
        return texts


def heat_maps(variants: Sequence[Variant], desks: Sequence[DeskResult]) -> tuple[HeatMap, ...]:
    """The pairs of settings that matter most, then single ones; the most influential first.

    How much a setting matters is the share of the scatter of all profits that lies between its values.
    """
    if not variants:
        return ()
    profits = [desk.trading_valued for desk in desks]
    axes = [_Axis(path, [variant.settings[path] for variant in variants]) for path in sorted(variants[0].settings)]
    weight = {axis.path: _influence(axis.places, profits) for axis in axes}
    single = sorted(axes, key=lambda axis: (-weight[axis.path], axis.path))
    pairs = sorted(combinations(single, 2), key=lambda two: -fsum(weight[axis.path] for axis in two))
    return (
        *(_map(x, y, profits) for x, y in pairs[:MOST_PAIRS]),
        *(_map(axis, None, profits) for axis in single[:MOST_SINGLE]),
    )


def _map(x: _Axis, y: _Axis | None, profits: Sequence[Decimal]) -> HeatMap:
    cells: dict[tuple[int, int], list[Decimal]] = defaultdict(list)
    for place, profit in enumerate(profits):
        cells[(y.places[place] if y is not None else 0), x.places[place]].append(profit)
    ys = y.labels if y is not None else ("",)
    rows = tuple(tuple(_mean(cells.get((row, column))) for column in range(len(x.labels))) for row in range(len(ys)))
    return HeatMap(x.path, y.path if y is not None else "", x.labels, ys, rows)


def _mean(values: Sequence[Decimal] | None) -> Decimal | None:
    if not values:
        return None
    with exact():
        total = sum(values, ZERO)
    return nearest_decimals(ratio(total, Decimal(len(values))), _DECIMALS)


def _influence(places: Sequence[int], profits: Sequence[Decimal]) -> float:
    """0 to 1."""
    floats = [float(profit) for profit in profits]
    mean = fsum(floats) / len(floats)
    scatter = fsum((each - mean) ** 2 for each in floats)
    if scatter <= 0.0:
        return 0.0
    groups: dict[int, list[float]] = defaultdict(list)
    for place, each in zip(places, floats, strict=True):
        groups[place].append(each)
    return fsum(len(group) * (fsum(group) / len(group) - mean) ** 2 for group in groups.values()) / scatter
