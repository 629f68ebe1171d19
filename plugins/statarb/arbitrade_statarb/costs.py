"""What a rotation costs and what it can be expected to bring, in basis points of the value rotated.

A round trip is four taker trades: in by selling one asset and buying the other, out by the same way back
(TRADING 37). An entry must beat that before anything else is asked.
"""

import math
from decimal import Decimal

from arbitrade_core.money import BPS, ratio


def round_trip_bps(taker_y: Decimal, taker_x: Decimal, slippage_bps: Decimal) -> Decimal:
    """Four taker fees, given as fractions of the cost, and a buffer for each of the four trades."""
    return ratio(2 * (taker_y + taker_x), BPS) + 4 * slippage_bps


def expected_reversion_bps(
    z: float, exit_z: float, sigma: float, hedge_ratio: float, time_stop_half_lives: float
) -> float:
    """What the rotation gains if the spread goes from `z` to the exit as its own history says.

    `sigma` is the spread's standard deviation in log price. Two reservations: within the time stop a deviation loses
    only `1 - 2 ** -half_lives` of itself; and a rotation moves equal values while the spread weighs x with the hedge
    ratio, so that when x does the moving a hedge ratio above 1 leaves only its inverse.
    """
    distance = min(abs(z) - exit_z, abs(z) * (1.0 - math.exp2(-time_stop_half_lives)))
    return max(0.0, distance) * sigma * min(1.0, 1.0 / hedge_ratio) * 1e4
