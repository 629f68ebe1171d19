"""What a Dickey-Fuller statistic means: MacKinnon's p-values and critical values.

p-values: J. G. MacKinnon (1994), "Approximate asymptotic distribution functions for unit-root and cointegration
tests", Journal of Business & Economic Statistics 12(2), 167-176: the normal distribution function of a polynomial in
the statistic, one for the left tail and one for the rest.

Critical values: J. G. MacKinnon (2010), "Critical values for cointegration tests", Queen's Economics Department
Working Paper 1227: a polynomial in 1 / number of observations. Of both the cases without trend.
"""

import math
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Surface:
    """The published coefficients of one case, lowest power first."""

    lowest: float
    """below: p is 0"""
    highest: float
    """above: p is 1"""
    tail_until: float
    tail: tuple[float, ...]
    rest: tuple[float, ...]
    critical: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    """at 1 %, 5 % and 10 %"""


class Case(Enum):
    """Which regression the statistic comes from."""

    PLAIN = Surface(
        lowest=-19.04,
        highest=math.inf,
        tail_until=-1.04,
        tail=(0.6344, 1.2378, 0.032496),
        rest=(0.4797, 0.93557, -0.06999, 0.033066),
        critical=(
            (-2.56574, -2.2358, -3.627, 0.0),
            (-1.94100, -0.2686, -3.365, 31.223),
            (-1.61682, 0.2656, -2.714, 25.364),
        ),
    )
    """one series, no constant"""
    CONSTANT = Surface(
        lowest=-18.83,
        highest=2.74,
        tail_until=-1.61,
        tail=(2.1659, 1.4412, 0.038269),
        rest=(1.7339, 0.93202, -0.12745, -0.010368),
        critical=(
            (-3.43035, -6.5393, -16.786, -79.433),
            (-2.86154, -2.8903, -4.234, -40.040),
            (-2.56677, -1.5384, -2.809, 0.0),
        ),
    )
    """one series, with a constant"""
    COINTEGRATION = Surface(
        lowest=-18.86,
        highest=0.92,
        tail_until=-2.62,
        tail=(2.92, 1.5012, 0.039796),
        rest=(2.1945, 0.64695, -0.29198, -0.042377),
        critical=(
            (-3.89644, -10.9519, -33.527, 0.0),
            (-3.33613, -6.1101, -6.823, 0.0),
            (-3.04445, -4.2412, -2.720, 0.0),
        ),
    )
    """residuals of one series on another and a constant"""


def p_value(statistic: float, case: Case) -> float:
    """The chance of a statistic this low if there were a unit root (no cointegration)."""
    surface = case.value
    if statistic > surface.highest:
        return 1.0
    if statistic < surface.lowest:
        return 0.0
    powers = surface.tail if statistic <= surface.tail_until else surface.rest
    return math.erfc(-_polynomial(powers, statistic) / math.sqrt(2.0)) / 2.0


def critical_values(case: Case, bars: int) -> tuple[float, float, float]:
    """The statistics that reject at 1 %, 5 % and 10 % with that many observations."""
    one, five, ten = case.value.critical
    return _polynomial(one, 1.0 / bars), _polynomial(five, 1.0 / bars), _polynomial(ten, 1.0 / bars)


def _polynomial(powers: tuple[float, ...], at: float) -> float:
    value = 0.0
    for power in reversed(powers):
        value = value * at + power
    return value
