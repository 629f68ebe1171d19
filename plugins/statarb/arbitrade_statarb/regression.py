"""Least squares, the two forms that the tests need, without a linear-algebra library.

Bit for bit the same on every run: sums are numpy's own pairwise sums over contiguous rows, whose order depends on
nothing but the length. `@`, `dot`, `einsum` and `lstsq` are avoided on purpose: they end in BLAS or in loops chosen by
the processor, where the number of threads or the width of a register changes the order of additions and so the
last bits, and a last bit may decide a lag, a p-value and a trade.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arbitrade_statarb.errors import SeriesError

type Series = NDArray[np.float64]
"""One dimension, oldest first."""

_DEPENDENT = 1e-10
"""A column that keeps less than this share of its length beside the ones before it is a combination of them."""


def series(values: ArrayLike, name: str) -> Series:
    """`values` as a finite series of at least one number.

    Raises:
        SeriesError: it has another shape, or a value that is not finite.
    """
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise SeriesError(f"{name} has the shape {array.shape}; give one non-empty row of numbers")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise SeriesError(
            f"{name} holds {array[bad[0]]} at {bad[0]} ({bad.size} of {array.size} are not finite); "
            f"begin the window after the gap"
        )
    return array


def total(row: NDArray[Any]) -> float:
    """The pairwise sum of a contiguous row."""
    return float(np.add.reduce(row))


@dataclass(frozen=True, slots=True)
class Line:
    """`y = slope * x + intercept` by least squares."""

    slope: float
    intercept: float
    x_mean: float
    x_spread: float
    """sum of squared deviations of x from its mean"""
    residuals: Series = field(compare=False, repr=False)
    rss: float
    """residual sum of squares"""
    r_squared: float

    @property
    def noise(self) -> float:
        """Variance of the residuals, two degrees of freedom taken off."""
        return self.rss / (self.residuals.size - 2)


def line(y: Series, x: Series) -> Line:
    """Simple regression in closed form, over centred values.

    Raises:
        SeriesError: lengths differ, fewer than three values, or either series is constant.
    """
    bars = y.size
    if x.size != bars:
        raise SeriesError(f"y has {bars} bars and x has {x.size}; cut both to the same window")
    if bars < 3:  # noqa: PLR2004
        raise SeriesError(f"a line through {bars} bars says nothing; give at least 3")
    for name, values in (("y", y), ("x", x)):
        if np.ptp(values) == 0.0:
            raise SeriesError(f"{name} is {values[0]} in all {bars} bars; a series that never moves has no hedge ratio")
    y_mean, x_mean = total(y) / bars, total(x) / bars
    y_centred, x_centred = y - y_mean, x - x_mean
    x_spread, y_spread = total(x_centred * x_centred), total(y_centred * y_centred)
    slope = total(x_centred * y_centred) / x_spread
    residuals = y_centred - slope * x_centred
    rss = total(residuals * residuals)
    return Line(slope, y_mean - slope * x_mean, x_mean, x_spread, residuals, rss, 1.0 - rss / y_spread)


def nested_rss(target: Series, columns: list[Series]) -> list[float]:
    """Residual sums of squares of `target` on the first column, on the first two, and so on.

    Raises:
        SeriesError: a column is a combination of those before it.
    """
    return [total(left * left) for _, left in _eliminated(target, columns)]


def last_t(target: Series, columns: list[Series]) -> float:
    """The t value of the last column's coefficient in the regression of `target` on all `columns`.

    Raises:
        SeriesError: no degree of freedom is left, a column is a combination of those before it, or nothing is left
            to explain.
    """
    freedom = target.size - len(columns)
    if freedom < 1:
        raise SeriesError(f"{target.size} rows cannot fit {len(columns)} coefficients; give more bars or fewer lags")
    along, left = list(_eliminated(target, columns))[-1]
    rss = total(left * left)
    if rss == 0.0:
        raise SeriesError(f"{target.size} rows are fitted without any error; this is no market's series")
    return along / math.sqrt(rss / freedom)


def _eliminated(target: Series, columns: list[Series]) -> Iterator[tuple[float, Series]]:
    """After each column: `target` along what is new in that column, and what the columns so far leave of it.

    Modified Gram-Schmidt. Along the last column the length is the coefficient in units of its standard error over
    the noise, so that a t value needs no inverse; along the way stand the residuals of all nested regressions.
    """
    rest = np.array(columns)
    lengths = [math.sqrt(total(column * column)) for column in rest]
    left = target
    for index, length in enumerate(lengths):
        kept = math.sqrt(total(rest[index] * rest[index]))
        if kept <= _DEPENDENT * length:
            raise SeriesError(
                f"regressor {index} of {len(columns)} is a combination of those before it over {target.size} bars; "
                f"the series is constant or too regular for this many lags"
            )
        direction = rest[index] / kept
        others = rest[index + 1 :]
        others -= np.add.reduce(others * direction, axis=1)[:, np.newaxis] * direction
        along = total(direction * left)
        left = left - along * direction
        yield along, left
