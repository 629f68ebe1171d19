"""The hedge ratio as it moves: a Kalman filter of (slope, intercept), both random walks.

    y = slope * (x - centre) + level + noise        slope, level: a step each bar, of variance `drift`

R. E. Kalman (1960), "A new approach to linear filtering and prediction problems". Two states, so everything is written
out: no matrix library, the same bits on every run. x is taken from its mean in the formation window: log prices
are all far from zero, and around zero slope and intercept would be one direction that the filter cannot tell apart.
"""

import math
from dataclasses import dataclass

from arbitrade_core.errors import InvariantError
from arbitrade_statarb.regression import Line


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What the filter believes: means and their covariance."""

    slope: float
    level: float
    slope_variance: float
    covariance: float
    level_variance: float


@dataclass(frozen=True, slots=True)
class Innovation:
    """One bar against what was expected of it before it was seen."""

    slope: float
    """hedge ratio that the expectation used"""
    error: float
    """y less its expectation: the deviation of the spread, in log price"""
    variance: float
    """of `error`, as expected"""

    @property
    def z(self) -> float:
        return self.error / math.sqrt(self.variance)


class HedgeFilter:
    """One pair's filter. `update` is called once a closed bar."""

    def __init__(
        self, start: Coefficients, *, centre: float, noise: float, slope_drift: float, level_drift: float
    ) -> None:
        """`noise` and drifts are variances: of y around the line, and of each coefficient's step a bar."""
        self.believed = start
        self._centre = centre
        self._noise = noise
        self._slope_drift = slope_drift
        self._level_drift = level_drift

    @classmethod
    def from_fit(cls, fit: Line, delta: float, noise: float | None = None) -> "HedgeFilter":
        """Begin with a regression's coefficients and their uncertainty.

        `delta` is how much of the noise the coefficients' steps have: `delta / (1 - delta)` times the noise for the
        level, and for the slope as much as moves y alike at x's usual distance from its mean. The filter's memory is
        about `1 / sqrt(delta)` bars, which must be many half-lives: deviations last, and a filter with a short
        memory takes them for a new level. `noise` None: the variance of the regression's residuals.
        """
        bars = fit.residuals.size
        noise = fit.noise if noise is None else noise
        drift = delta / (1.0 - delta) * noise
        start = Coefficients(
            slope=fit.slope,
            level=fit.intercept + fit.slope * fit.x_mean,
            slope_variance=fit.noise / fit.x_spread,
            covariance=0.0,
            level_variance=fit.noise / bars,
        )
        return cls(start, centre=fit.x_mean, noise=noise, slope_drift=drift * bars / fit.x_spread, level_drift=drift)

    def update(self, y: float, x: float) -> Innovation:
        """Compare a bar with its expectation, then learn from it.

        Raises:
            InvariantError: the bar is not finite, or the covariance is broken.
        """
        now = self.believed
        h = x - self._centre
        p11 = now.slope_variance + self._slope_drift
        p12 = now.covariance
        p22 = now.level_variance + self._level_drift
        gain_slope = p11 * h + p12
        gain_level = p12 * h + p22
        variance = gain_slope * h + gain_level + self._noise
        error = y - (now.slope * h + now.level)
        if not (math.isfinite(error) and 0.0 < variance < math.inf):
            raise InvariantError(
                f"hedge filter: bar y {y}, x {x} gives error {error} of variance {variance}; offer finite log prices"
            )
        k_slope, k_level = gain_slope / variance, gain_level / variance
        self.believed = Coefficients(
            slope=now.slope + k_slope * error,
            level=now.level + k_level * error,
            slope_variance=p11 - k_slope * gain_slope,
            covariance=p12 - k_slope * gain_level,
            level_variance=p22 - k_level * gain_level,
        )
        return Innovation(now.slope, error, variance)
