"""What the legs that are left must do once some have filled: size and limit of the next order (TRADING 15, 17).

The certificate promises `start + margin` when every leg fills within its limit. After a fill the promise is kept
anew for what was realised: of the start asset that was really spent, the end must bring back all, and the margin's
share. Backwards from there, each later leg at its planned limit says what it must be given; what the next leg must
bring follows, and from that the worst price it may accept for the quantity it sends. Price improvement so far loosens
that limit, dust that rounding left behind tightens it. Rounding is allowed as in the certificate, and leftovers count
as nothing.

A plan was promised its legs' quantities at their limits, its siblings theirs (TRADING 6). More than the first, or a
looser limit, may only reach for what nobody was promised: an order fills best price first, so that ends at the first
level that somebody else was. What price improvement then leaves over is residue (TRADING 15).
"""

from collections.abc import Collection, Sequence
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

    def size(
        self,
        own: Decimal,
        residue: Decimal,
        due: Decimal | None,
        levels: Sequence[Level],
        promised: Collection[int] = (),
    ) -> Sized | None:
        """The order that carries `own` (and `residue`, as far as there is room for it) to the next asset.

        `due` is what the start asset must come back as for `own`, None without a certificate. `levels` are free of
        what siblings were promised, `promised` the price ticks where they were. None when the amount is too small
        for an order.
        """
        leg, pair, fills = self._leg, self._pair, self._fills
        side, fee = leg.leg.side, leg.fee
        own -= booking_slack(self._market.asset(leg.leg.spends), pair, fills)
        wanted = None if due is None else self._asked(due)
        room = self._unpromised(levels, promised)
        least = smallest_qty(side, pair, fee, wanted, leg.limit, fills) if wanted and side is Side.BUY else ZERO
        limit = self._buy_limit(own, wanted, least, room) if side is Side.BUY else self._sell_limit(own, wanted, room)
        if limit is None or limit <= 0:
            return None
        limit = self._short_of(promised, limit)
        shown = floor_to(_within(pair, side, room, limit), pair.lot)
        # A sell that must bring more than planned asks a better price; a buy can only buy more.
        claim = max(leg.qty, least) if side is Side.BUY else leg.qty
        mine = min(largest_qty(side, pair, fee, own, limit, fills), max(claim, shown))
        qty = min(largest_qty(side, pair, fee, own + residue, limit, fills), max(mine, shown))
        if mine <= 0 or not tradable_qty(pair, qty, limit):
            return None
        return Sized(qty, limit, mine)

    def _buy_limit(self, own: Decimal, wanted: Decimal | None, least: Decimal, room: Sequence[Level]) -> Decimal | None:
        """A looser buy limit costs quantity, since funds are reserved at the limit: only as loose as need be, and
        never so loose that `own` would not pay for `least` any more."""
        if own <= 0:
            return None
        leg, pair, rate = self._leg, self._pair, quote_fee_rate(self._leg.fee)
        bound = leg.limit
        if wanted is not None:
            free = own - rounding_quote(pair, self._fills, rate)
            if least <= 0 or free <= 0:
                return None
            bound = divide_down(free, least * (ONE + rate), pair.tick)
        return min(bound, max(leg.limit, self._reaching(own, room)))

    def _sell_limit(self, own: Decimal, wanted: Decimal | None, room: Sequence[Level]) -> Decimal | None:
        """A looser sell limit costs nothing, but for the exchange's minimum at that limit. It is what the quantity that
        goes for sure must ask: a larger one brings more."""
        leg, pair, fills = self._leg, self._pair, self._fills
        shown = floor_to(_within(pair, Side.SELL, room, leg.limit), pair.lot)
        qty = min(largest_qty(Side.SELL, pair, leg.fee, own, leg.limit, fills), max(leg.qty, shown))
        if own <= 0 or qty <= 0:
            return None
        bound = leg.limit
        if wanted is not None:
            rate = quote_fee_rate(leg.fee)
            bound = divide_up(wanted + rounding_quote(pair, fills, rate), qty * (ONE - rate), pair.tick)
        least = divide_up(pair.cost_min, qty, pair.tick)
        best = pair.price(room[0][0]) if room else ZERO
        return max(bound, least) if least <= max(leg.limit, best) else bound

    def _unpromised(self, levels: Sequence[Level], promised: Collection[int]) -> Sequence[Level]:
        """Levels that an order can take without passing one that a sibling was promised."""
        if not promised:
            return levels
        if self._leg.leg.side is Side.BUY:
            first = min(promised)
            return [level for level in levels if level[0] <= first]
        first = max(promised)
        return [level for level in levels if level[0] >= first]

    def _short_of(self, promised: Collection[int], limit: Decimal) -> Decimal:
        """`limit`, loosened beyond the planned one only up to where a sibling was promised something."""
        pair, planned, loose = self._pair, self._pair.ticks(self._leg.limit), self._pair.ticks(limit)
        step = pair.tick_multiple
        if self._leg.leg.side is Side.BUY:
            beyond = [ticks for ticks in promised if planned < ticks <= loose]
            return pair.price((min(beyond) - 1) // step * step) if beyond else limit
        beyond = [ticks for ticks in promised if loose <= ticks < planned]
        return pair.price((max(beyond) // step + 1) * step) if beyond else limit

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
