"""What fees would have to be for a cycle to break even (TRADING 10). Floats: shown, never ordered."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from arbitrade_core.domain import FeeCurrency, Side
from arbitrade_core.pricing.messages import LegInput

_STEPS = 80
"""halvings: leaves nothing but the rounding of doubles, about 1e-15"""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Fees at which the top-of-book product of net rates is 1; precise to about 1e-12."""

    taker_fee: float
    """one fraction for every leg; negative when the gross product is below 1: free trading would not do"""
    fees_factor: float | None
    """what all actual fees would have to be multiplied by: above 1, they may rise; None when every fee is 0, or
    one is a rebate, so that no single factor says anything"""


def break_even_fee(legs: Sequence[LegInput]) -> BreakEven | None:
    """Sides and fee currencies count, a currency not established as the worse one. None: a leg has no price."""
    gross = 0.0
    for leg in legs:
        ticks = next((ticks for ticks, lots in leg.levels if lots > 0), None)
        if ticks is None:
            return None
        price = math.log(ticks) + math.log(leg.pair.price_unit)
        gross += -price if leg.leg.side is Side.BUY else price
    added = [_is_added(leg) for leg in legs]
    rates = [float(leg.fee.rate) for leg in legs]

    def left(fees: Sequence[float]) -> float:
        """Logarithm of the product of net rates."""
        return gross + sum(
            -math.log1p(fee) if on_top else math.log1p(-fee) for fee, on_top in zip(fees, added, strict=True)
        )

    uniform = _root(lambda fee: left([fee] * len(legs)), -1, 1)
    factor = None
    if min(rates) >= 0 and max(rates) > 0:
        bound = (1 - 1e-12) / max(rates)  # beyond it nothing is left
        factor = _root(lambda factor: left([factor * rate for rate in rates]), -bound, bound)
    return BreakEven(uniform, factor)


def _is_added(leg: LegInput) -> bool:
    """Whether the fee comes on top of what is spent, factor 1 / (1 + f), or off what is got, 1 - f (the less)."""
    match leg.fee.currency:
        case FeeCurrency.QUOTE:
            return leg.leg.side is Side.BUY
        case FeeCurrency.BASE:
            return leg.leg.side is Side.SELL
        case FeeCurrency.EITHER:
            return False


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0 in the open interval; its edge when it does not cross inside."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
