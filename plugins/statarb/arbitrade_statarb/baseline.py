"""The funded baseline: what is held when nothing is rotated, and what everything is measured against.

Spot only, no shorting (TRADING 37): long the spread is some x turned into y, short the spread some y turned into x,
flat is the baseline again. All amounts are exact; a rotation buys what its sale brings and never more.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from arbitrade_core.money import BPS, ZERO, divide_down, exact, floor_to, ratio
from arbitrade_statarb.signal import Position


class Held(StrEnum):
    """One of a pair's two assets."""

    Y = "y"
    X = "x"


@dataclass(frozen=True, slots=True)
class Holding:
    """Amounts of a pair's two assets, and what stands in their quote asset between two trades."""

    y: Decimal
    x: Decimal
    quote: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Prices:
    """Quote per unit of each asset."""

    y: Decimal
    x: Decimal


@dataclass(frozen=True, slots=True)
class Lots:
    """Steps in which each asset is traded."""

    y: Decimal
    x: Decimal


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


def target(baseline: Holding, position: Position, share: Decimal, prices: Prices, lots: Lots) -> Holding:
    """What to hold in `position`, at most: `share` (0 to 1) of one asset's baseline turned into the other.

    Whole lots, rounded so that no more is bought than sold; never below zero. Fees come off what is bought.
    """
    with exact():
        match position:
            case Position.FLAT:
                return baseline
            case Position.LONG:
                sold = floor_to(baseline.x * share, lots.x)
                return Holding(baseline.y + divide_down(sold * prices.x, prices.y, lots.y), baseline.x - sold)
            case Position.SHORT:
                sold = floor_to(baseline.y * share, lots.y)
                return Holding(baseline.y - sold, baseline.x + divide_down(sold * prices.y, prices.x, lots.x))


def weights(holding: Holding, baseline: Holding) -> tuple[Decimal, Decimal]:
    """Amounts of y and x as fractions of the baseline's, to 28 digits: (1, 1) is the baseline, 0 is nothing."""
    return ratio(holding.y, baseline.y), ratio(holding.x, baseline.x)


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
