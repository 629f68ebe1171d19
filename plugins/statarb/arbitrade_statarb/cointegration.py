"""Do two series belong together, and how fast do they come back?

Engle-Granger in two steps: R. F. Engle and C. W. J. Granger (1987), "Co-integration and error correction",
Econometrica 55(2), 251-276. The hedge ratio is the slope of log price on log price with an intercept; then the
residuals are tested for a unit root with the augmented Dickey-Fuller regression: S. E. Said and D. A. Dickey (1984),
"Testing for unit roots in ARMA models of unknown order", Biometrika 71(3), 599-607.
"""

import math
from dataclasses import dataclass

import numpy as np

from arbitrade_statarb.errors import SeriesError
from arbitrade_statarb.mackinnon import Case, critical_values, p_value
from arbitrade_statarb.regression import Line, Series, last_t, line, nested_rss, series

_COLLINEAR = 1.0 - 100.0 * math.sqrt(float(np.finfo(np.float64).eps))
"""An R squared from here on: two names of one thing, and residuals that are rounding."""


@dataclass(frozen=True, slots=True)
class UnitRoot:
    """An augmented Dickey-Fuller test. A low `p_value` speaks against a unit root, for a series that reverts."""

    statistic: float
    p_value: float
    lags: int
    bars: int
    """observations in the regression"""
    critical: tuple[float, float, float]
    """statistics that reject at 1 %, 5 % and 10 %"""


@dataclass(frozen=True, slots=True)
class Cointegration:
    """An Engle-Granger test of y on x. A low `p_value` speaks for a spread `y - slope * x` that reverts."""

    fit: Line
    statistic: float
    p_value: float
    lags: int
    critical: tuple[float, float, float]
    """statistics that reject at 1 %, 5 % and 10 %"""


def engle_granger(y: Series, x: Series, *, lags: int | None = None, max_lags: int | None = None) -> Cointegration:
    """Test log prices `y` and `x`, oldest first, of the same bars. Lags as in `unit_root`.

    Raises:
        SeriesError: not finite, too short, constant, of different length, or collinear.
    """
    fit = line(series(y, "y"), series(x, "x"))
    if fit.r_squared >= _COLLINEAR:
        raise SeriesError(
            f"y and x are collinear over {y.size} bars (R squared {fit.r_squared:.9f}): "
            f"two names of one thing; leave one out"
        )
    # The residuals have no mean left, so their regression has no constant; the case accounts for both coefficients.
    found = unit_root(fit.residuals, constant=False, lags=lags, max_lags=max_lags)
    # One observation less: the regression is in differences. Stata's egranger and statsmodels do likewise.
    critical = critical_values(Case.COINTEGRATION, y.size - 1)
    return Cointegration(fit, found.statistic, p_value(found.statistic, Case.COINTEGRATION), found.lags, critical)


def unit_root(
    values: Series, *, constant: bool = True, lags: int | None = None, max_lags: int | None = None
) -> UnitRoot:
    """Test one series. With `lags` that many; else the Akaike criterion chooses among 0 to `max_lags` over a common
    sample, fewest on a tie. Without `max_lags` Schwert's (1989) rule: 12 * (bars / 100) ** 0.25, rounded up.

    Raises:
        SeriesError: not finite, constant, or too short for the lags.
    """
    values = series(values, "series")
    if np.ptp(values) == 0.0:
        raise SeriesError(f"series is {values[0]} in all {values.size} bars; nothing in it can revert")
    most = values.size // 2 - constant - 1
    asked = max_lags if lags is None else lags
    if asked is None:
        asked = min(most, math.ceil(12.0 * (values.size / 100.0) ** 0.25))
    if not 0 <= asked <= most:
        raise SeriesError(f"{values.size} bars allow {max(most, 0)} lags, not {asked}; give more bars or fewer lags")
    chosen = _by_akaike(values, constant, asked) if lags is None else lags
    change, level, past = _regressors(values, chosen)
    columns = [np.ones_like(level)] if constant else []
    statistic = last_t(change, [*columns, *past, level])
    case = Case.CONSTANT if constant else Case.PLAIN
    return UnitRoot(statistic, p_value(statistic, case), chosen, change.size, critical_values(case, change.size))


def _by_akaike(values: Series, constant: bool, most: int) -> int:
    change, level, past = _regressors(values, most)
    columns = [np.ones_like(level)] if constant else []
    rows = change.size
    if rows <= len(columns) + 1 + most:
        raise SeriesError(f"{values.size} bars are too few to choose among {most} lags; give more bars or fewer lags")
    sums = nested_rss(change, [*columns, level, *past])[len(columns) :]
    if sums[-1] <= 0.0:
        raise SeriesError(f"{values.size} bars are fitted without any error; this is no market's series")
    return min(range(most + 1), key=lambda lags: (rows * math.log(sums[lags] / rows) + 2.0 * lags, lags))


def _regressors(values: Series, lags: int) -> tuple[Series, Series, list[Series]]:
    """Changes, the levels before them, and the `lags` changes before each of them, nearest first."""
    change = np.diff(values)
    rows = change.size - lags
    past = [change[lags - back : lags - back + rows] for back in range(1, lags + 1)]
    return change[lags:], values[lags:-1], past


def half_life_bars(spread: Series) -> float:
    """Bars in which a deviation halves: `-ln 2 / ln phi` of the first-order autoregression with a constant, which is
    the Ornstein-Uhlenbeck process seen at bar ends. inf: it does not revert; 0: it is gone within a bar.

    The estimate of phi is low in short windows (Kendall 1954), so that half-lives come out short.

    Raises:
        SeriesError: not finite, too short, or constant.
    """
    values = series(spread, "spread")
    # Of the level itself, not of its change: a spread may flip sign exactly every bar, and its change never be flat.
    phi = line(values[1:], values[:-1]).slope
    if phi >= 1.0:
        return math.inf
    return 0.0 if phi <= 0.0 else -math.log(2.0) / math.log(phi)
