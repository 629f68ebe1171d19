"""The funded baseline: what is held when nothing is rotated, and what everything is measured against.

Spot only, no shorting (TRADING 37): long the spread is some x turned into y, short the spread some y turned into x,
flat is the baseline again. All amounts are exact; a rotation buys what its sale brings and never more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.money import BPS, ZERO, divide_down, exact, floor_to, ratio
from arbitrade_statarb.signal import Position


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


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is held against what would be held had nothing been traded, at one moment's prices."""

    held: Mapping[str, Decimal]
    baseline: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    """quote per unit, of every asset of either; the quote asset's own is 1"""

    @property
    def value(self) -> Decimal:
        """Of what is held, in the quote asset, exactly."""
        return self._worth(self.held)

    @property
    def baseline_value(self) -> Decimal:
        return self._worth(self.baseline)

    @property
    def gained(self) -> Decimal:
        """What the strategy has made of its allocation, in the quote asset, exactly; below 0: lost."""
        with exact():
            return self.value - self.baseline_value

    @property
    def gained_bps(self) -> Decimal:
        """The same as a part of the baseline's value, to 28 digits; for eyes. 0 of a baseline without value."""
        value = self.baseline_value
        with exact():
            one_bps = value * BPS
        return ratio(self.gained, one_bps) if one_bps else ZERO

    def _worth(self, amounts: Mapping[str, Decimal]) -> Decimal:
        with exact():
            return sum((amount * self.prices[asset] for asset, amount in amounts.items()), ZERO)
