"""`price_rotation`: as much of one asset turned into another as a strategy's price bound allows.

The same walk, sizing and rounding as a cycle's, over a chain that ends in another asset: instead of a profit it has a
bound, the least that must arrive for each unit that goes, every leg filled at its limit and fees in the adverse
currency.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.domain import Side
from arbitrade_core.errors import InvariantError
from arbitrade_core.legs import factor
from arbitrade_core.money import exact, plain
from arbitrade_core.pricing.messages import LegInput, PricedLeg, Stage, Stopped, Terms
from arbitrade_core.pricing.sizing import TooSmall, limited, size_legs
from arbitrade_core.pricing.tight import tightened, top_level
from arbitrade_core.pricing.walk import Chain, Ladder


@dataclass(frozen=True, slots=True)
class PricedRotation:
    """Sized and limited; `end_floor >= start * min_rate`."""

    legs: tuple[PricedLeg, ...]
    start: Decimal
    """to be reserved: the most that the first leg can spend"""
    end_floor: Decimal
    """of the last leg's asset, when every leg fills at its limit"""


def price_rotation(
    legs: Sequence[LegInput], amount: Decimal, min_rate: Decimal, terms: Terms
) -> PricedRotation | Stopped:
    """Turn at most `amount` of what the first leg spends, for at least `min_rate` of what the last one gets, a unit.

    The largest that keeps the bound, up to what whole lots and limits that fund each other leave over; where it would
    be below what the exchange takes, a shallower and smaller one may still be above it, so all are looked at.

    Raises:
        InvariantError: the legs are no chain.
    """
    _check_chain(legs)
    if min_rate <= 0:
        return Stopped(Stage.FEES, f"a price bound of {plain(min_rate)} binds nothing; it must be above 0", None)
    start_asset, end_asset = legs[0].leg.spends, legs[-1].leg.gets
    rate = 1.0
    for leg in legs:
        top = top_level(leg, terms.max_levels)
        if top is None:
            side = "asks" if leg.leg.side is Side.BUY else "bids"
            return Stopped(Stage.DEPTH, f"{leg.pair.symbol}: no {side} left to take", None)
        price = top[0] * float(leg.pair.price_unit)
        rate *= max(factor(leg.leg.side, leg.fee), 0.0) * (1 / price if leg.leg.side is Side.BUY else price)
    if rate <= float(min_rate):
        gives = f"the tops of the books give {rate:.8g} {end_asset} for 1 {start_asset}"
        words = f"{gives}, the strategy wants {min_rate:.8g}"
        return Stopped(Stage.FEES, words, None)
    with exact():
        ladders = [Ladder(leg, terms.max_levels) for leg in legs]
        reachable = [ladder.deepen() for ladder in ladders]
        too_small = ""
        failure = "the price bound leaves no depth with whole ticks and fees in the adverse currency"
        for depths in Chain(ladders, float(amount)).deepest_first(float(min_rate)) if all(reachable) else ():
            at = [limited(leg, *depth, terms.rounding_fills) for leg, depth in zip(legs, depths, strict=True)]
            sized = size_legs(at, amount)
            if isinstance(sized, TooSmall):
                too_small = sized.reason
                continue
            tight = tightened(at, sized.qtys, terms.max_levels, terms.rounding_fills)
            if tight.end_floor >= tight.start * min_rate:
                return PricedRotation(tight.legs, tight.start, tight.end_floor)
            there, back = f"{plain(tight.start)} {start_asset}", f"{plain(tight.end_floor)} {end_asset}"
            too_small = ""
            failure = f"{there} would bring {back} at the limits, after rounding less than the strategy wants"
        return Stopped(Stage.ROUNDING, too_small, None) if too_small else Stopped(Stage.DEPTH, failure, None)


def _check_chain(legs: Sequence[LegInput]) -> None:
    spends, gets = [leg.leg.spends for leg in legs], [leg.leg.gets for leg in legs]
    if not legs or gets[:-1] != spends[1:] or spends[0] == gets[-1] or len({leg.leg.id for leg in legs}) < len(legs):
        path = " ".join(str(leg.leg) for leg in legs)
        raise InvariantError(f"legs [{path}] are no rotation: each must spend what the one before gets, none twice")
