"""What happens to the books: a crowd of makers around a latent value, and takers.

Every asset has a latent USD value that walks at random; every pair's *anchor* is the ratio of two of them,
so all triangles agree up to spreads. One *event* is one thing happening on one pair: makers requote a side
around the anchor, change depth behind it, or a taker's market order eats into it. Time here is counted in
events, not in seconds: the stream has the same shape at any message rate.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from .listing import PairListing
from .orderbook import ASK, BID, Change, OrderBook, Taken
from .universe import Traits, Universe

TRADES_KEPT = 50
"""what a `trade` snapshot holds"""

_OPEN_STATUSES = {"online", "limit_only", "post_only", "reduce_only"}

# Shares of events; what is left changes depth. Tuned with the figures that `shape` prints.
_REQUOTE_SHARE = 0.62
_BOTH_SIDES_SHARE = 0.1
_TRADE_SHARE = 0.03
_REPEAT_SHARE = 0.01
_SCRAMBLE_SHARE = 0.06
_DEEP_SHARE = 0.15
_SECOND_CHANGE_SHARE = 0.15
_PENNY_SHARE = 0.1
"""of new levels: the smallest order there is"""

_STALENESS = 0.15
"""Half spreads by which a pair's anchor moves at most between its events (one standard deviation)."""
_NEAREST, _FARTHEST = 0.5, 1.6
"""Best prices are quoted this many half spreads from the anchor."""
_LEVEL_GAP = 0.35
"""Typical gap between levels near the top, in half spreads."""
_LADDER_LEVELS = 9
_DEEPEST_NEAR_RANK = 8
_REFILL_LEVELS = 8


@dataclass(slots=True)
class _Value:
    """The latent value of an asset."""

    log_usd: float
    variance_per_event: float
    updated: int = 0


@dataclass(slots=True)
class PairMarket:
    """One pair: its listing, its book, its recent trades."""

    listing: PairListing
    traits: Traits
    lots_per_level: float
    trade_id: int
    shift: float = 0.0
    """log distance of the quotes from fair value: not zero while a mispricing is planted"""
    changed_ns: int = 0
    book: OrderBook = field(default_factory=OrderBook)
    trades: deque[str] = field(default_factory=lambda: deque(maxlen=TRADES_KEPT))
    """JSON of the last trades, oldest first"""

    @property
    def open(self) -> bool:
        return self.listing.status in _OPEN_STATUSES


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened on one pair."""

    change: Change
    taken: Taken | None = None


class Market:
    """All pairs. It knows neither sessions nor time; whoever drives it says which depths are watched."""

    def __init__(self, universe: Universe, chance: Random) -> None:
        self._chance = chance
        self._values = {
            asset: _Value(math.log(usd), _variance(universe, asset)) for asset, usd in universe.usd_value.items()
        }
        self.events = 0
        self.pairs: dict[str, PairMarket] = {}
        for symbol, listing in universe.pairs.items():
            traits = universe.traits[symbol]
            lots = traits.level_usd / universe.usd_value[listing.base] * 10.0**listing.qty_precision
            pair = PairMarket(listing, traits, lots, trade_id=chance.randrange(10_000, 100_000_000))
            self.pairs[symbol] = pair
            self._open_book(pair)
        self._symbols = list(self.pairs)
        self._cumulated = list(accumulate(pair.traits.activity for pair in self.pairs.values()))

    # --- events -----------------------------------------------------------------------------------------

    def draw(self) -> str:
        """The symbol of the next event; active pairs come up more often."""
        place = bisect_right(self._cumulated, self._chance.random() * self._cumulated[-1])
        return self._symbols[min(place, len(self._symbols) - 1)]

    def event(self, symbol: str, depths: Iterable[int]) -> Event:
        """An ordinary event on a pair; subscribers at any depth see something of it."""
        pair, chance = self.pairs[symbol], self._chance
        self.events += 1
        anchor = self._anchor(pair)
        pair.book.begin(depths)
        taken = None
        kind = chance.random()
        if pair.book.crossed():
            self._quote_around(pair, anchor)
        elif kind < _REQUOTE_SHARE:
            first = chance.randrange(2)
            for side in (first, 1 - first) if chance.random() < _BOTH_SIDES_SHARE else (first,):
                distance = chance.uniform(_NEAREST, _FARTHEST) * self._half_spread(pair, anchor)
                self._requote(pair, side, _key(side, anchor, distance, pair.listing.tick_step))
            if chance.random() < _SECOND_CHANGE_SHARE:
                self._change_depth(pair, first, self._near_rank())
        elif kind < _REQUOTE_SHARE + _TRADE_SHARE:
            taken = self._market_order(pair)
        else:
            side = chance.randrange(2)
            self._change_depth(pair, side, self._near_rank())
            if chance.random() < _SECOND_CHANGE_SHARE:
                self._change_depth(pair, 1 - side, self._near_rank())
        self._tend(pair, anchor)
        return Event(pair.book.finish(scrambled=chance.random() < _SCRAMBLE_SHARE), taken)

    def requote(self, symbol: str, depths: Iterable[int]) -> Change:
        """Move both sides to the anchor at once, with depth behind them: a jump of the price."""
        pair = self.pairs[symbol]
        self.events += 1
        anchor = self._anchor(pair)
        pair.book.begin(depths)
        self._quote_around(pair, anchor)
        return pair.book.finish()

    def take(self, symbol: str, side: str, lots: int, limit_ticks: int | None, depths: Iterable[int]) -> Event:
        """A taker's immediate-or-cancel order from outside: `side` buy eats asks."""
        pair = self.pairs[symbol]
        pair.book.begin(depths)
        eaten = ASK if side == "buy" else BID
        limit = None if limit_ticks is None else (limit_ticks if eaten == ASK else -limit_ticks)
        fills = pair.book.take(eaten, lots, limit)
        return Event(pair.book.finish(), Taken(side, "market" if limit is None else "limit", fills))

    def cross(self, symbol: str, depths: Iterable[int]) -> Change:
        """Put a bid above the best ask, as a broken feed shows it; the pair's next event ends it."""
        pair = self.pairs[symbol]
        ask = pair.book.best(ASK)
        if ask is None:
            raise ValueError(f"{symbol} has no asks to cross: choose another pair")
        pair.book.begin(depths)
        pair.book.put(BID, -(ask + pair.listing.tick_step), self._lots(pair))
        return pair.book.finish()

    # --- state ------------------------------------------------------------------------------------------

    def relist(self, symbol: str, listing: PairListing) -> None:
        """A new listing for a pair. Levels move to the new grid; those that fall together are added up.

        Nobody is told: Kraken expects the pair's book to be subscribed again after its increments changed.
        """
        pair = self.pairs[symbol]
        old = pair.listing
        same_grid = (old.price_precision, old.price_increment, old.qty_precision, old.qty_increment) == (
            listing.price_precision, listing.price_increment, listing.qty_precision, listing.qty_increment,
        )  # fmt: skip
        pair.listing = listing
        if same_grid:
            return
        tick_step, lot_step, min_lots = listing.tick_step, listing.lot_step, listing.min_lots
        ticks_factor = 10.0 ** (listing.price_precision - old.price_precision)
        lots_factor = 10.0 ** (listing.qty_precision - old.qty_precision)
        pair.lots_per_level *= lots_factor
        for levels in pair.book.sides:
            moved: dict[int, int] = {}
            for key, lots in levels.items():
                # Keys round up, that is away from the top: a book never crosses by changing its grid.
                place = math.ceil(round(key * ticks_factor / tick_step, 6)) * tick_step
                scaled = max(round(lots * lots_factor / lot_step) * lot_step, min_lots)
                moved[place] = moved.get(place, 0) + scaled
            levels.clear()
            levels.update((key, lots) for key, lots in moved.items() if key)

    def fair_usd(self, asset: str) -> float:
        """The latent value of one unit of an asset, as of the last event that needed it."""
        return math.exp(self._values[asset].log_usd)

    def _anchor(self, pair: PairMarket) -> float:
        """Where the quotes of a pair belong, in ticks."""
        listing = pair.listing
        log_price = self._walk(listing.base) - self._walk(listing.quote) + pair.shift
        return math.exp(log_price) * 10.0**listing.price_precision

    def _walk(self, asset: str) -> float:
        value = self._values[asset]
        passed = self.events - value.updated
        if passed and value.variance_per_event:
            value.log_usd += self._chance.gauss(0.0, math.sqrt(value.variance_per_event * passed))
        value.updated = self.events
        return value.log_usd

    def _half_spread(self, pair: PairMarket, anchor: float) -> float:
        return max(anchor * pair.traits.half_spread, 0.5 * pair.listing.tick_step)

    # --- makers -----------------------------------------------------------------------------------------

    def _open_book(self, pair: PairMarket) -> None:
        anchor = self._anchor(pair)
        distance, step = self._half_spread(pair, anchor), pair.listing.tick_step
        for side in (BID, ASK):
            key = _key(side, anchor, distance, step)
            levels = pair.book.sides[side]
            filled: dict[int, int] = {}
            for rank in range(pair.traits.levels):
                if side == BID and key >= 0:
                    break
                filled[key] = self._lots(pair)
                key += self._gap(distance, rank, step)
            levels.update(filled)

    def _requote(self, pair: PairMarket, side: int, key: int) -> None:
        """Make `key` the best of its side: what is better goes, and so does what it would cross."""
        book = pair.book
        own, other = book.sides[side], book.sides[1 - side]
        for better in list(own.irange(maximum=key, inclusive=(True, False))):
            book.put(side, better, 0)
        for crossed in list(other.irange(maximum=-key)):
            book.put(1 - side, crossed, 0)
        book.put(side, key, self._lots(pair))

    def _quote_around(self, pair: PairMarket, anchor: float) -> None:
        half_spread, step = self._half_spread(pair, anchor), pair.listing.tick_step
        for side in (BID, ASK):
            self._requote(pair, side, _key(side, anchor, half_spread, step))
        for side in (BID, ASK):
            key = pair.book.sides[side].peekitem(0)[0]
            for rank in range(min(_LADDER_LEVELS, pair.traits.levels - 1)):
                key += self._gap(half_spread, rank, step)
                if key not in pair.book.sides[side] and (side == ASK or key < 0):
                    pair.book.put(side, key, self._lots(pair))

    def _change_depth(self, pair: PairMarket, side: int, rank: int) -> None:
        """Resize, add or remove a level at about that rank; the best level is only ever resized."""
        book, chance = pair.book, self._chance
        levels = book.sides[side]
        if not levels:
            return
        rank = min(rank, len(levels) - 1)
        key = levels.peekitem(rank)[0]
        choice = chance.random()
        if choice < 0.3 and rank and len(levels) > pair.traits.levels // 2 + 1:  # noqa: PLR2004
            book.put(side, key, 0)
            return
        if choice < 0.6 and rank + 1 < len(levels):  # noqa: PLR2004 - as often as a level is removed
            step = pair.listing.tick_step
            free = (levels.peekitem(rank + 1)[0] - key) // step - 1
            if free > 0:
                book.put(side, key + step * chance.randint(1, free), self._lots(pair))
                return
        if chance.random() < _REPEAT_SHARE / 0.4:
            for _ in range(chance.randint(1, 4)):
                book.put(side, key, self._lots(pair))
        book.put(side, key, self._lots(pair))

    def _market_order(self, pair: PairMarket) -> Taken:
        """Takes from the top level or sweeps a few, and leaves at least one level."""
        chance = self._chance
        side = chance.randrange(2)
        levels = pair.book.sides[side]
        swept = min(chance.choice((0, 0, 0, 1, 1, 2)), len(levels) - 1)
        lots = sum(lots for _, lots in levels.items()[:swept])
        lots += max(round(levels.peekitem(swept)[1] * chance.uniform(0.05, 0.95)), 1)
        ord_type = chance.choice(("market", "limit"))
        return Taken("buy" if side == ASK else "sell", ord_type, pair.book.take(side, lots))

    def _tend(self, pair: PairMarket, anchor: float) -> None:
        """Keep each side near its usual number of levels, far from the top."""
        book, chance, usual = pair.book, self._chance, pair.traits.levels
        for side in (BID, ASK):
            levels = book.sides[side]
            if not levels:
                half_spread = self._half_spread(pair, anchor)
                book.put(side, _key(side, anchor, half_spread, pair.listing.tick_step), self._lots(pair))
            if len(levels) > 1.2 * usual + 1:
                book.put(side, levels.peekitem(-1)[0], 0)
            elif len(levels) < 0.8 * usual:
                distance = self._half_spread(pair, anchor)
                for _ in range(1 if len(levels) > usual // 2 else _REFILL_LEVELS):
                    key = levels.peekitem(-1)[0] + self._gap(distance, len(levels), pair.listing.tick_step)
                    if side == ASK or key < 0:
                        book.put(side, key, self._lots(pair))
            if len(levels) > _LADDER_LEVELS and chance.random() < _DEEP_SHARE / 2:
                rank = chance.randrange(_LADDER_LEVELS, len(levels))
                book.put(side, levels.peekitem(rank)[0], self._lots(pair))

    def _near_rank(self) -> int:
        """A rank that subscribers at depth 10 see, wherever in its neighbourhood a level is added."""
        return min(int(self._chance.expovariate(0.3)), _DEEPEST_NEAR_RANK)

    def _gap(self, half_spread: float, rank: int, step: int) -> int:
        """Ticks to the next level, growing with distance from the top."""
        typical = half_spread * _LEVEL_GAP * (1.0 + rank / 100.0)
        return max(round(typical * self._chance.uniform(0.3, 1.7) / step), 1) * step

    def _lots(self, pair: PairMarket) -> int:
        if self._chance.random() < _PENNY_SHARE:
            return pair.listing.min_lots
        step = pair.listing.lot_step
        lots = round(pair.lots_per_level * math.exp(self._chance.gauss(0.0, 1.0)) / step) * step
        return max(lots, pair.listing.min_lots)


def _key(side: int, anchor: float, distance: float, step: int) -> int:
    """The key of a price `distance` away from the anchor, rounded away from it; never a price of zero."""
    if side == BID:
        return min(math.ceil((distance - anchor) / step), -1) * step
    return math.ceil((anchor + distance) / step) * step


def _variance(universe: Universe, asset: str) -> float:
    """Variance of an asset's log value per event, so small that its pairs do not go stale."""
    if asset == "USD":
        return 0.0
    return min(
        (_STALENESS * universe.traits[symbol].half_spread) ** 2 * universe.traits[symbol].activity / 2.0
        for symbol, pair in universe.pairs.items()
        if asset in (pair.base, pair.quote)
    )
