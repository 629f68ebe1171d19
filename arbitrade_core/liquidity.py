"""What one desk may count on of the books: what they show, less what it took there, less what its plans wait for."""

from collections.abc import Collection, Hashable, Sequence

from arbitrade_core.book import Level
from arbitrade_core.claims import Claims, net_of
from arbitrade_core.domain import LegId, Plan, Side
from arbitrade_core.market import Market
from arbitrade_core.spi import Venue


class Liquidity:
    """`own` are orders whose claims do not count: those of whoever asks."""

    def __init__(self, market: Market, venue: Venue, claims: Claims, max_levels: int) -> None:
        self._market = market
        self._venue = venue
        self._claims = claims
        self._max_levels = max_levels

    def depth(self, leg_id: LegId, own: frozenset[str]) -> Sequence[Level]:
        """Best price first; nothing of a pair that is out of use."""
        leg = self._market.legs[leg_id]
        if not self._market.usable(leg.pair_id):
            return []
        levels = self._market.books[leg.pair_id].taken_by(leg.side).levels(self._max_levels)
        return net_of(
            levels,
            self._venue.taken(leg.pair_id, leg.side),
            self._claims.on(leg.pair_id, leg.side, own),
        )

    def differs_on(self, legs: Sequence[LegId]) -> Hashable:
        """What the desk took and promised on the books of these legs; None when it sees them as they are shown."""
        venue, claims, market_legs = self._venue, self._claims, self._market.legs
        rows: list[Hashable] = []
        for at, leg_id in enumerate(legs):
            leg = market_legs[leg_id]
            taken = venue.taken(leg.pair_id, leg.side) if venue.watches(leg.pair_id) else None
            held = claims.on(leg.pair_id, leg.side) if claims else None
            if taken or held:
                rows.append((at, frozenset((taken or {}).items()), frozenset((held or {}).items())))
        return tuple(rows) or None

    def promised(self, leg_id: LegId, own: frozenset[str]) -> Collection[int]:
        """Prices in ticks that the book shows and other orders have a claim on."""
        leg = self._market.legs[leg_id]
        shown = self._market.books[leg.pair_id].taken_by(leg.side)
        claimed = self._claims.on(leg.pair_id, leg.side, own)
        return [ticks for ticks in claimed if shown.lots_at(ticks)]

    def promise(self, plan: Plan, own: frozenset[str]) -> None:
        """The plan's first orders have a claim on what they are to take."""
        for leg in plan.legs:
            pair = self._market.pairs[leg.leg.pair_id]
            levels = self.depth(leg.leg.id, own)
            self._claims.promise(leg.order_id, leg.leg.pair_id, leg.leg.side, levels, pair.lots(leg.qty))

    def missing(self, plan: Plan) -> str | None:
        """The first leg that shows less within its limit than the plan wants, in words; None when all is there."""
        own = frozenset(leg.order_id for leg in plan.legs)
        for leg in plan.legs:
            pair = self._market.pairs[leg.leg.pair_id]
            sign, limit = (1 if leg.leg.side is Side.BUY else -1), pair.ticks(leg.limit)
            within = sum(lots for ticks, lots in self.depth(leg.leg.id, own) if sign * ticks <= sign * limit)
            if within < pair.lots(leg.qty):
                return f"{leg.leg} shows {pair.qty(within)} within its limit {leg.limit}, not {leg.qty}"
        return None
