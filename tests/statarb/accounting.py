"""Results of one pair against its baseline, said anew: what the plugin's own figures are held against."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from arbitrade_core.money import BPS, exact, floor_to, ratio
from arbitrade_statarb.baseline import Holding, Lots, Prices


class Held(StrEnum):
    """One of a pair's two assets."""

    Y = "y"
    X = "x"


@dataclass(frozen=True, slots=True)
class Rotation:
    """Sell this much of one asset and buy the other with what it brings."""

    sells: Held
    qty: Decimal


def value(holding: Holding, prices: Prices) -> Decimal:
    """In the quote asset, exactly."""
    with exact():
        return holding.y * prices.y + holding.x * prices.x + holding.quote


def gained(holding: Holding, baseline: Holding, prices: Prices) -> Decimal:
    """What the holding is worth more than the baseline would be now, in the quote asset, exactly."""
    with exact():
        return value(holding, prices) - value(baseline, prices)


def gained_bps(holding: Holding, baseline: Holding, prices: Prices) -> Decimal:
    """The same as a part of the baseline's value, to 28 digits; for eyes."""
    with exact():
        one_bps = value(baseline, prices) * BPS
    return ratio(gained(holding, baseline, prices), one_bps)


def rotation(holding: Holding, wanted: Holding, lots: Lots) -> Rotation | None:
    """The way from one to the other: sell what is above `wanted` of one asset while the other is below it.

    None when there is none: an excess of both, or of one with enough of the other, is gain and stays.
    """
    with exact():
        spare_y = floor_to(holding.y - wanted.y, lots.y)
        spare_x = floor_to(holding.x - wanted.x, lots.x)
    if spare_y > 0 and holding.x < wanted.x:
        return Rotation(Held.Y, spare_y)
    if spare_x > 0 and holding.y < wanted.y:
        return Rotation(Held.X, spare_x)
    return None
