"""The hedge filter against plain matrices and against statsmodels' state space."""

import numpy as np
import pytest

from arbitrade_core.errors import InvariantError
from arbitrade_statarb.kalman import Coefficients, HedgeFilter, Innovation
from arbitrade_statarb.regression import Series, line
from tests.statarb.reference import statespace
from tests.statarb.series import cointegrated

START = Coefficients(slope=0.7, level=7.5, slope_variance=0.3, covariance=-0.02, level_variance=0.1)
CENTRE, NOISE, SLOPE_DRIFT, LEVEL_DRIFT = 8.0, 4e-4, 3e-6, 2e-8


def ours(y: Series, x: Series) -> tuple[list[Innovation], HedgeFilter]:
    hedge = HedgeFilter(START, centre=CENTRE, noise=NOISE, slope_drift=SLOPE_DRIFT, level_drift=LEVEL_DRIFT)
    return [hedge.update(float(a), float(b)) for a, b in zip(y, x, strict=True)], hedge


@pytest.mark.parametrize("seed", range(4))
def test_the_filter_is_the_textbooks(seed: int) -> None:
    y, x = cointegrated(seed, 400)
    steps, hedge = ours(y, x)
    mean = np.array([START.slope, START.level])
    covariance = np.array([[START.slope_variance, START.covariance], [START.covariance, START.level_variance]])
    for step, y_now, x_now in zip(steps, y, x, strict=True):
        covariance = covariance + np.diag([SLOPE_DRIFT, LEVEL_DRIFT])
        design = np.array([[x_now - CENTRE, 1.0]])
        variance = (design @ covariance @ design.T)[0, 0] + NOISE
        error = y_now - (design @ mean)[0]
        assert (step.slope, step.error) == pytest.approx((mean[0], error), rel=1e-9, abs=1e-12)
        assert step.variance == pytest.approx(variance, rel=1e-9)
        gain = covariance @ design.T / variance
        mean = mean + gain[:, 0] * error
        # Joseph's form, which keeps a covariance a covariance: the short one must not have lost it
        keep = np.eye(2) - gain @ design
        covariance = keep @ covariance @ keep.T + gain @ gain.T * NOISE
    now = hedge.believed
    assert (now.slope, now.level) == pytest.approx(tuple(mean), rel=1e-9)
    assert (now.slope_variance, now.covariance, now.level_variance) == pytest.approx(
        (covariance[0, 0], covariance[0, 1], covariance[1, 1]), rel=1e-7, abs=1e-15
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_filter_is_that_of_statsmodels(seed: int) -> None:
    y, x = cointegrated(seed, 300)
    steps, hedge = ours(y, x)
    drift = np.diag([SLOPE_DRIFT, LEVEL_DRIFT])
    reference = statespace.KalmanFilter(k_endog=1, k_states=2)
    reference.bind(np.asfortranarray(y[np.newaxis, :]))
    reference["design"] = np.array([[x - CENTRE, np.ones_like(x)]])
    reference["transition"] = np.eye(2)
    reference["selection"] = np.eye(2)
    reference["state_cov"] = drift
    reference["obs_cov"] = np.array([[NOISE]])
    prior = np.array([[START.slope_variance, START.covariance], [START.covariance, START.level_variance]])
    reference.initialize_known(np.array([START.slope, START.level]), prior + drift)
    found = reference.filter()
    assert [step.error for step in steps] == pytest.approx(found.forecasts_error[0], rel=1e-8, abs=1e-12)
    assert [step.variance for step in steps] == pytest.approx(found.forecasts_error_cov[0, 0], rel=1e-8)
    assert (hedge.believed.slope, hedge.believed.level) == pytest.approx(tuple(found.filtered_state[:, -1]), rel=1e-8)


def test_it_begins_where_the_regression_ended() -> None:
    y, x = cointegrated(1, 1_000)
    fit = line(y, x)
    step = HedgeFilter.from_fit(fit, 1e-6).update(float(y[500]), float(x[500]))
    assert step.slope == fit.slope
    assert step.error == pytest.approx(fit.residuals[500], abs=1e-12)
    assert step.variance == pytest.approx(fit.noise, rel=0.01)


def test_it_follows_a_hedge_ratio_that_moves() -> None:
    rng = np.random.default_rng(4)
    bars = 4_000
    x = 8.0 + np.cumsum(rng.normal(0.0, 0.01, bars))
    true = np.linspace(0.8, 1.2, bars)
    y = 1.0 + true * (x - 8.0) + rng.normal(0.0, 0.01, bars)
    hedge = HedgeFilter.from_fit(line(y[:500], x[:500]), 1e-3)
    slopes = [hedge.update(float(a), float(b)).slope for a, b in zip(y[500:], x[500:], strict=True)]
    assert np.abs(np.array(slopes[500:]) - true[1_000:]).mean() < 0.05


def test_z_is_standard_where_the_model_is_true() -> None:
    rng = np.random.default_rng(9)
    x = 8.0 + np.cumsum(rng.normal(0.0, 0.01, 5_000))
    y = 1.0 + 0.9 * x + rng.normal(0.0, 0.02, 5_000)
    hedge = HedgeFilter.from_fit(line(y[:1_000], x[:1_000]), 1e-8)
    z = np.array([hedge.update(float(a), float(b)).z for a, b in zip(y[1_000:], x[1_000:], strict=True)])
    assert z.mean() == pytest.approx(0.0, abs=0.1)
    assert z.std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("y", "x"), [(float("nan"), 8.0), (8.0, float("inf"))])
def test_a_bar_that_is_no_number_is_our_mistake(y: float, x: float) -> None:
    hedge = HedgeFilter(START, centre=CENTRE, noise=NOISE, slope_drift=SLOPE_DRIFT, level_drift=LEVEL_DRIFT)
    with pytest.raises(InvariantError, match="offer finite log prices"):
        hedge.update(y, x)
    assert hedge.believed == START
