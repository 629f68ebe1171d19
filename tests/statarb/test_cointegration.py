"""The tests of cointegration against statsmodels, and what they refuse to answer."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from arbitrade_statarb.cointegration import engle_granger, half_life_bars, unit_root
from arbitrade_statarb.errors import SeriesError
from arbitrade_statarb.mackinnon import Case, critical_values, p_value
from arbitrade_statarb.regression import Series, line
from tests.statarb.reference import adfvalues, linear, stattools
from tests.statarb.series import cointegrated, reverting, walk


def close(expected: Any) -> Any:
    return pytest.approx(expected, rel=1e-8, abs=1e-10)


def pairs() -> list[tuple[Series, Series]]:
    """Some that belong together, some that do not, long and short."""
    found: list[tuple[Series, Series]] = []
    for seed in range(6):
        for bars in (30, 120, 700):
            found += [cointegrated(seed, bars), (walk(seed, bars), walk(seed + 50, bars))]
    return found


PAIRS = pairs()


@pytest.mark.parametrize(("y", "x"), PAIRS, ids=range(len(PAIRS)))
def test_the_hedge_ratio_is_that_of_ordinary_least_squares(y: Series, x: Series) -> None:
    ours = line(y, x)
    theirs = linear.OLS(y, np.column_stack([x, np.ones_like(x)])).fit()
    assert (ours.slope, ours.intercept) == close(tuple(theirs.params))
    assert ours.residuals == close(theirs.resid)
    assert ours.r_squared == close(theirs.rsquared)
    assert ours.noise == close(theirs.mse_resid)
    variance = ours.noise / ours.x_spread
    assert math.sqrt(variance) == pytest.approx(theirs.bse[0], rel=1e-6)


@pytest.mark.parametrize(("lags", "max_lags"), [(None, None), (None, 4), (0, None), (3, None)])
@pytest.mark.parametrize(("y", "x"), PAIRS, ids=range(len(PAIRS)))
def test_engle_granger_is_that_of_statsmodels(y: Series, x: Series, lags: int | None, max_lags: int | None) -> None:
    ours = engle_granger(y, x, lags=lags, max_lags=max_lags)
    most = max_lags if lags is None else lags
    theirs = stattools.coint(y, x, trend="c", maxlag=most, autolag="aic" if lags is None else None)
    statistic, p, critical = theirs[0], theirs[1], theirs[2]
    assert ours.statistic == close(statistic)
    assert ours.p_value == close(p)
    assert ours.critical == close(tuple(critical))


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(("lags", "max_lags"), [(None, None), (None, 5), (0, None), (2, None)])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bars", [25, 400])
def test_the_unit_root_test_is_that_of_statsmodels(
    constant: bool, lags: int | None, max_lags: int | None, seed: int, bars: int
) -> None:
    for values in (walk(seed, bars), reverting(seed, bars, 5.0, 1.0)):
        ours = unit_root(values, constant=constant, lags=lags, max_lags=max_lags)
        statistic, p, used, rows, critical = stattools.adfuller(
            values,
            maxlag=max_lags if lags is None else lags,
            regression="c" if constant else "n",
            autolag="AIC" if lags is None else None,
            result_object=False,
        )[:5]
        assert (ours.lags, ours.bars) == (used, rows)
        assert ours.statistic == close(statistic)
        assert ours.p_value == close(p)
        assert ours.critical == close(tuple(critical.values()))


@pytest.mark.parametrize(
    ("case", "regression", "count"),
    [(Case.PLAIN, "n", 1), (Case.CONSTANT, "c", 1), (Case.COINTEGRATION, "c", 2)],
)
def test_p_values_and_critical_values_are_mackinnons(case: Case, regression: str, count: int) -> None:
    for statistic in (*np.linspace(-25.0, 4.0, 400), case.value.tail_until, case.value.lowest):
        theirs = adfvalues.mackinnonp(statistic, regression=regression, N=count)
        assert p_value(float(statistic), case) == pytest.approx(theirs, rel=1e-9, abs=1e-15)
    for bars in (20, 50, 250, 5000):
        theirs = adfvalues.mackinnoncrit(N=count, regression=regression, nobs=bars)
        assert critical_values(case, bars) == pytest.approx(tuple(theirs), rel=1e-12)


# --- half-life ----------------------------------------------------------------------------------------------


def test_the_half_life_is_that_of_the_autoregression() -> None:
    spread = reverting(7, 500, 12.0, 0.02)
    fit = linear.OLS(spread[1:], np.column_stack([np.ones(499), spread[:-1]])).fit()
    assert half_life_bars(spread) == pytest.approx(-math.log(2.0) / math.log(fit.params[1]), rel=1e-9)


def test_a_long_window_finds_the_half_life_that_is_there() -> None:
    assert half_life_bars(reverting(3, 60_000, 20.0, 0.02)) == pytest.approx(20.0, rel=0.1)


def test_what_does_not_revert_has_no_half_life() -> None:
    assert half_life_bars(np.exp(np.arange(50) / 10.0)) == math.inf


def test_what_flips_every_bar_is_gone_within_one() -> None:
    assert half_life_bars(np.array([1.0, -1.0] * 20)) == 0.0


# --- what has no answer -------------------------------------------------------------------------------------

WALK = walk(1, 100)


@pytest.mark.parametrize(
    ("y", "x", "says"),
    [
        ([*WALK[:40], math.nan, *WALK[41:]], WALK, "y holds nan at 40 .1 of 100 are not finite.*after the gap"),
        (WALK, [*WALK[:-1], math.inf], "x holds inf at 99"),
        (WALK, np.full(100, 8.0), "x is 8.0 in all 100 bars"),
        (np.full(100, 8.0), WALK, "y is 8.0 in all 100 bars"),
        (2.0 * WALK + 1.0, WALK, "collinear over 100 bars"),
        (WALK, WALK[1:], "y has 100 bars and x has 99"),
        (WALK[:2], WALK[1:3], "at least 3"),
        (WALK[:4], walk(2, 4), "bars"),
        ([], [], r"shape \(0,\)"),
        (WALK.reshape(10, 10), WALK, r"shape \(10, 10\)"),
    ],
)
def test_a_series_that_allows_no_test_is_refused_by_name(y: ArrayLike, x: ArrayLike, says: str) -> None:
    with pytest.raises(SeriesError, match=says):
        engle_granger(np.asarray(y), np.asarray(x))


@pytest.mark.parametrize("bars", range(3, 16))
def test_short_windows_are_answered_or_refused_never_nonsense(bars: int) -> None:
    try:
        found = engle_granger(walk(1, bars), walk(2, bars))
    except SeriesError:
        return
    assert math.isfinite(found.statistic)
    assert 0.0 <= found.p_value <= 1.0


def test_too_many_lags_are_refused_with_the_number_that_fits() -> None:
    with pytest.raises(SeriesError, match="20 bars allow 8 lags, not 9"):
        unit_root(walk(1, 20), lags=9)
    with pytest.raises(SeriesError, match="all 30 bars"):
        unit_root(np.zeros(30))
    with pytest.raises(SeriesError, match="combination"):
        unit_root(np.arange(60.0), lags=3)


def test_the_same_series_gives_the_same_bits() -> None:
    y, x = cointegrated(5, 1_003)
    one, two = engle_granger(y, x), engle_granger(y.copy(), x[::-1].copy()[::-1])
    assert (one.statistic.hex(), one.fit.slope.hex()) == (two.statistic.hex(), two.fit.slope.hex())
