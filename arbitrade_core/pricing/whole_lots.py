"""Every size of a cycle whose last book holds few order lots: there rounding decides, which the walk does not see.

The quantity of the last leg is tried lot by lot. Each leg before it is then as small as funds the next one at their
limits, its limit the worst price that its quantity touches: larger ones and looser limits cost more and bring nothing.
So of all plans in whole lots, one limit a leg, none that is better is missed. Exact; call under `money.exact()`.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from arbitrade_core.legs import least_tradable_qty, limit_ticks, tradable_qty
from arbitrade_core.money import ZERO
from arbitrade_core.pricing.messages import LegInput
from arbitrade_core.pricing.sizing import LimitedLeg, Sized, limited

MOST_LOTS = 64
"""With more in its last book, a lot is too little of a cycle for rounding to choose between its sizes."""


def every_size(
    legs: Sequence[LegInput], budget: Decimal, max_levels: int, fills: int
) -> list[tuple[list[LimitedLeg], Sized]]:
    """By size; none when the last book holds more than `MOST_LOTS`."""
    pair = legs[-1].pair
    lots = sum(max(shown, 0) for _, shown in legs[-1].levels[:max_levels]) // pair.lot_multiple
    if lots > MOST_LOTS:
        return []
    depths = [list(_depths(leg, max_levels, fills)) for leg in legs]
    if not all(depths):
        return []
    found: list[tuple[list[LimitedLeg], Sized]] = []
    lot = pair.lot
    for number in range(1, lots + 1):
        sized = _funded(depths, number * lot, budget)
        if sized is not None:
            found.append(sized)
    return found


def _depths(leg: LegInput, max_levels: int, fills: int) -> Iterator[LimitedLeg]:
    """The leg at the limit of each of its levels, with all that is within it."""
    lots = 0
    for ticks, shown in leg.levels[:max_levels]:
        limit = limit_ticks(leg.leg.side, leg.pair, ticks)
        if limit <= 0:
            return
        lots += max(shown, 0)
        if lots >= leg.pair.lot_multiple:
            yield limited(leg, limit, lots - lots % leg.pair.lot_multiple, fills)


def _funded(
    depths: Sequence[Sequence[LimitedLeg]], last_qty: Decimal, budget: Decimal
) -> tuple[list[LimitedLeg], Sized] | None:
    """The cheapest plan that ends with this quantity; None when there is none."""
    at: list[LimitedLeg] = []
    qtys: list[Decimal] = []
    wanted = ZERO
    for ways in reversed(depths):
        chosen = None
        for way in ways:
            # What is too small for the exchange at a limit may be large enough at the next.
            least = least_tradable_qty(way.leg.pair, way.limit)
            qty = max(way.lines.smallest_qty(wanted), least) if qtys else last_qty
            if way.cap is not None and qty <= way.cap and tradable_qty(way.leg.pair, qty, way.limit):
                chosen = (way, qty)
                break
        if chosen is None:
            return None
        way, qty = chosen
        at.insert(0, way)
        qtys.insert(0, qty)
        wanted = way.lines.most_spent(qty)
    if wanted > budget:
        return None
    return at, Sized(qtys, wanted, at[-1].lines.least_got(qtys[-1]))
