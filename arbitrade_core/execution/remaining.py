"""What the legs that are left must do once some have filled: size and limit of the next order (TRADING 15, 17).

The certificate promises `start + margin` when every leg fills within its limit. After a fill the promise is kept
anew for what was realised: of the start asset that was really spent, the end must bring back all, and the margin's
share. Backwards from there, each later leg at its planned limit says what it must be given; what the next leg must
bring follows, and from that the worst price it may accept. Price improvement so far loosens that limit, dust that
rounding left behind tightens it. Rounding is allowed as in the certificate, and leftovers count as nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.book import Level
from arbitrade_core.domain import Asset, Fee, Pair, Plan, Side
from arbitrade_core.legs import (
    largest_qty,
    limit_ticks,
    most_spent,
    quote_fee_rate,
    rounding_quote,
    smallest_qty,
    tradable_qty,
)
from arbitrade_core.money import ONE, ZERO, divide_down, floor_to, unit
from arbitrade_core.spi import MarketView

ROUNDING_FILLS = 10
"""Rounding allowed for each order of a plan without a certificate, in units of cost precision."""

_STEP = unit(18)
"""Shares of an amount are rounded up to this, far below every asset's own precision."""


def rounding_fills(plan: Plan) -> int:
    return ROUNDING_FILLS if plan.certificate is None else plan.certificate.rounding_fills


def share_of(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """`amount * part / whole`, rounded up a hair; exactly `amount` for the whole."""
    return amount if part == whole else min(divide_up(amount * part, whole, _STEP), amount)


def divide_up(numerator: Decimal, denominator: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` whose product with `denominator` (> 0) is not below `numerator`, exactly."""
    down = divide_down(numerator, denominator, step)
    return down if down * denominator >= numerator else down + step


def booking_slack(asset: Asset | None, pair: Pair, fills: int) -> Decimal:
    """What may be missing of a balance because the exchange books it in units coarser than the pair reports in."""
    if asset is None:
        return ZERO
    reported = pair.qty_decimals if asset.symbol == pair.base else pair.cost_decimals
    return fills * unit(asset.decimals) if asset.decimals < reported else ZERO


@dataclass(frozen=True, slots=True)
class Sized:
    """The next leg's order."""

    qty: Decimal
    limit: Decimal
    own: Decimal
    """the part of `qty` that the run's own holdings pay for; the rest is residue's"""


class Remaining:
    """The rest of a plan from leg `index` on."""

    def __init__(self, plan: Plan, index: int, market: MarketView) -> None:
        self._plan = plan
        self._leg = plan.legs[index]
        self._later = plan.legs[index + 1 :]
        self._market = market
        self._fills = rounding_fills(plan)
        self._pair = market.pairs[self._leg.leg.pair_id]

    def size(self, own: Decimal, residue: Decimal, due: Decimal | None, levels: Sequence[Level]) -> Sized | None:
        """The order that carries `own` (and `residue`, as far as `levels` show room for it) to the next asset.

        `due` is what the start asset must come back as for `own`, None without a certificate. None when the
        amount is too small for an order.
        """
        leg, pair, fills = self._leg, self._pair, self._fills
        side, fee = leg.leg.side, leg.fee
        own -= booking_slack(self._market.asset(leg.leg.spends), pair, fills)
        limit = self._limit(own, due, levels)
        if limit is None:
            return None
        shown = floor_to(_within(pair, side, levels, limit), pair.lot)
        mine = largest_qty(side, pair, fee, own, limit, fills)
        qty = min(largest_qty(side, pair, fee, own + residue, limit, fills), max(mine, shown))
        if mine <= 0 or not tradable_qty(pair, qty, limit):
            return None
        return Sized(qty, limit, mine)

    def _limit(self, own: Decimal, due: Decimal | None, levels: Sequence[Level]) -> Decimal | None:
        if own <= 0:
            return None
        planned = self._leg.limit
        bound = planned if due is None else self._worst(own, self._asked(due))
        if bound is None or bound <= 0:
            return None
        if self._leg.leg.side is Side.BUY:
            # A looser buy limit costs quantity, since funds are reserved at the limit: only as loose as need be.
            return min(bound, max(planned, self._reaching(own, levels)))
        # A looser sell limit costs nothing, but for the exchange's minimum at that limit.
        qty = largest_qty(Side.SELL, self._pair, self._leg.fee, own, bound, self._fills)
        least = divide_up(self._pair.cost_min, qty, self._pair.tick) if qty else ZERO
        best = self._pair.price(levels[0][0]) if levels else ZERO
        return max(bound, least) if least <= max(planned, best) else bound

    def _asked(self, due: Decimal) -> Decimal:
        """What the next leg must bring so that the later ones, at their planned limits, bring `due`."""
        wanted = due
        for leg in reversed(self._later):
            pair = self._market.pairs[leg.leg.pair_id]
            side, fee = leg.leg.side, leg.fee
            qty = smallest_qty(side, pair, fee, wanted, leg.limit, self._fills)
            slack = booking_slack(self._market.asset(leg.leg.spends), pair, self._fills)
            wanted = most_spent(side, pair, fee, qty, leg.limit, self._fills) + slack
        return wanted

    def _worst(self, own: Decimal, wanted: Decimal) -> Decimal | None:
        """The worst price on the order grid at which `own` still brings `wanted`; None when none does."""
        leg, pair, fills = self._leg, self._pair, self._fills
        rate = quote_fee_rate(leg.fee)
        if leg.leg.side is Side.BUY:
            qty = smallest_qty(Side.BUY, pair, leg.fee, wanted, leg.limit, fills)
            free = own - rounding_quote(pair, fills, rate)
            return divide_down(free, qty * (ONE + rate), pair.tick) if qty > 0 and free > 0 else None
        qty = largest_qty(Side.SELL, pair, leg.fee, own, leg.limit, fills)
        gross = wanted + rounding_quote(pair, fills, rate)
        return divide_up(gross, qty * (ONE - rate), pair.tick) if qty > 0 else None

    def _reaching(self, own: Decimal, levels: Sequence[Level]) -> Decimal:
        """The limit that spends `own` in the book as it is; the deepest level's when it does not hold that much."""
        best = fullest(self._leg.leg.side, self._pair, self._leg.fee, levels, own, self._fills)
        return best[-1].limit if best else ZERO


@dataclass(frozen=True, slots=True)
class Take:
    """One way to spend an amount in a book: the best levels down to `limit`."""

    qty: Decimal
    limit: Decimal
    whole: Decimal
    """quantity that all of the amount affords at this limit: `qty / whole` of it is spent"""


def fullest(  # noqa: PLR0917 - the words of one leg, as in `legs`
    side: Side, pair: Pair, fee: Fee, levels: Sequence[Level], funds: Decimal, fills: int
) -> list[Take]:
    """Ways to spend `funds`, each a level deeper than the one before and spending more of it.

    A deeper limit shows more to take; for a buy it also affords less, since the exchange reserves at the
    limit.
    """
    takes: list[Take] = []
    lots = 0
    for ticks, shown in levels:
        lots += shown
        limit = pair.price(limit_ticks(side, pair, ticks))
        whole = largest_qty(side, pair, fee, funds, limit, fills)
        qty = min(whole, floor_to(pair.qty(lots), pair.lot))
        if qty <= 0 or limit <= 0:
            continue
        if takes and qty * takes[-1].whole <= takes[-1].qty * whole:
            continue
        takes.append(Take(qty, limit, whole))
        if qty == whole:
            break
    return takes


def _within(pair: Pair, side: Side, levels: Sequence[Level], limit: Decimal) -> Decimal:
    worst = pair.ticks(limit)
    lots = sum(shown for ticks, shown in levels if (ticks <= worst if side is Side.BUY else ticks >= worst))
    return pair.qty(lots)
