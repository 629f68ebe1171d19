"""What everybody sees: all books, the gross rate of every directed leg, and the health of every pair.

A leg that cannot be used has rate 0.0, so going out of use is a fall and coming back is a rise like any other
(TRADING 1), and whoever ranks by rates needs no second look at health.
"""

from array import array
from collections.abc import Sequence
from decimal import Decimal
from enum import IntFlag

from arbitrade_core.book import Book, BookSide
from arbitrade_core.domain import Asset, Leg, LegId, Ns, Pair, PairId, PairStatus, Side
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.money import ratio
from arbitrade_core.spi import BUY_ROSE, SELL_ROSE


class Block(IntFlag):
    """Reasons why a pair is out of use; it is in use when none is left."""

    NO_BOOK = 1
    """no verified snapshot yet, or its connection is gone"""
    QUARANTINED = 2
    """its book was found wrong; only a verified snapshot lifts this"""
    OFFLINE = 4
    """the exchange says it does not trade"""
    DISABLED = 8
    """the operator does not want it"""
    CROSSED = 16
    """best bid at or above best ask: no market, whatever the checksum says"""


_NEEDS_SNAPSHOT = int(Block.NO_BOOK | Block.QUARANTINED)
_UNTRADABLE = int(Block.OFFLINE | Block.DISABLED)
_CROSSED = int(Block.CROSSED)

_SURELY_UNCROSSED = 1.0 - 1e-12
"""A bid over an ask below this is below 1, however the doubles were rounded."""

_POWERS = tuple(10.0**decimals for decimals in range(64))

IGNORED = -1
"""`Market.apply` did not take the update: the pair waits for a snapshot, or it cannot be read."""

UNSURE = -1
"""`Market.look` needs the book to say what rose."""


class Market:
    """Implements `spi.MarketView`; changed only inside an engine's step."""

    def __init__(self, depth: int = 10) -> None:
        self.depth = depth
        self.pairs: list[Pair] = []
        self.books: list[Book] = []
        self.rate: list[float] = []
        """by LegId"""
        self.legs: list[Leg] = []
        self.blocks: list[int] = []
        self.reason: list[str] = []
        """why the pair was last quarantined"""
        self.alive: dict[ConnId, Ns] = {}
        """when each connection last proved alive"""
        self.clock_offset_ns = 0
        """exchange clock minus ours"""
        self.crossed_count = 0
        self.crossed_since: list[Ns] = []
        """when each pair's book last became crossed"""
        self.assets: dict[str, Asset] = {}
        self._ids: dict[str, PairId] = {}
        self._scale: list[float] = []
        """ticks per unit of price"""
        self._carrier: list[ConnId | None] = []
        self._changed = array("q")
        self.newest: dict[ConnId, BookUpdate] = {}
        """the last update of each connection: what its feed lag is measured by. Not a snapshot, which carries the time
        of its book's last change, not of its sending (PROTOCOL 1.7)"""
        self.newest_ns: dict[ConnId, Ns] = {}
        """when it came"""
        self._bids: list[BookSide] = []
        self._asks: list[BookSide] = []
        self._pairs_of: dict[str, list[PairId]] = {}

    # --- listing ---

    def list_pair(self, pair: Pair) -> tuple[PairId, bool]:
        """Add a pair or replace its listing; returns its id and whether anything changed.

        New precisions or increments make the old levels meaningless: the book is cleared and waits for a snapshot.
        """
        known = self._ids.get(pair.symbol)
        if known is None:
            return self._add(pair), True
        old = self.pairs[known]
        if old == pair:
            return known, False
        self.pairs[known] = pair
        self._scale[known] = _POWERS[pair.price_decimals]
        if (old.price_decimals, old.qty_decimals) != (pair.price_decimals, pair.qty_decimals):
            self.books[known].clear()
            self.block(known, Block.NO_BOOK)
        self._status(known)
        return known, True

    def _add(self, pair: Pair) -> PairId:
        pair_id = len(self.pairs)
        self._ids[pair.symbol] = pair_id
        self.pairs.append(pair)
        book = Book(self.depth)
        self.books.append(book)
        self._bids.append(book.bids)
        self._asks.append(book.asks)
        self.rate.extend((0.0, 0.0))
        self.legs.append(Leg(2 * pair_id, pair_id, pair.symbol, Side.SELL, pair.base, pair.quote))
        self.legs.append(Leg(2 * pair_id + 1, pair_id, pair.symbol, Side.BUY, pair.quote, pair.base))
        self.blocks.append(int(Block.NO_BOOK))
        self.reason.append("")
        self._scale.append(_POWERS[pair.price_decimals])
        self._carrier.append(None)
        self._changed.append(0)
        self.crossed_since.append(0)
        self._pairs_of.setdefault(pair.base, []).append(pair_id)
        self._pairs_of.setdefault(pair.quote, []).append(pair_id)
        self._status(pair_id)
        return pair_id

    def _status(self, pair: PairId) -> None:
        if self.pairs[pair].status is PairStatus.ONLINE:
            self.release(pair, Block.OFFLINE)
        else:
            self.block(pair, Block.OFFLINE)

    # --- books ---

    def look(self, update: BookUpdate) -> int:
        """What `apply` will say rose, from the quotes alone, with the new rates; or UNSURE, and nothing changed.

        A message that deletes no best price can only better a rate or leave it: two messages in three. These are scored
        before their levels are made exact and their book is touched, which is most of the work and cold in memory.
        """
        pair, quotes = update.pair, update.quotes
        if quotes is None or self.blocks[pair]:
            return UNSURE
        rate, leg = self.rate, 2 * pair
        sell = was_sell = rate[leg]
        for quote in quotes.bids:
            price = quote.price
            if price >= sell:
                if quote.qty == 0.0:
                    return UNSURE
                sell = price
        buy = was_buy = rate[leg + 1]
        for quote in quotes.asks:
            price = quote.price
            if price <= 0.0:
                return UNSURE
            got = 1.0 / price
            if got >= buy:
                if quote.qty == 0.0:
                    return UNSURE
                buy = got
        rose = 0
        if sell > was_sell:
            rose = SELL_ROSE
        if buy > was_buy:
            rose |= BUY_ROSE
        if rose:
            if sell * buy >= _SURELY_UNCROSSED:
                return UNSURE
            rate[leg] = sell
            rate[leg + 1] = buy
        return rose

    def apply(self, update: BookUpdate, now: Ns) -> int:
        """Apply an update, not yet verified. Returns SELL_ROSE | BUY_ROSE bits, or IGNORED when it cannot be used."""
        pair = update.pair
        if self.blocks[pair] & _NEEDS_SNAPSHOT or not (update.quotes is None or update.read()):
            return IGNORED
        bid_side, ask_side = self._bids[pair], self._asks[pair]
        bids, asks = bid_side.keys, ask_side.keys
        bid = bids[0] if bids else None
        ask = asks[0] if asks else None
        if update.bids:
            bid_side.change(update.bids, self.depth)
        if update.asks:
            ask_side.change(update.asks, self.depth)
        self._changed[pair] = now
        if bids and asks and bids[0] == bid and asks[0] == ask:
            return 0
        return self._rerate(pair)

    def restore(self, update: BookUpdate, now: Ns) -> int:
        """Replace a book by a snapshot and put the pair back into use; returns what rose.

        IGNORED when the snapshot does not verify: the pair stays out of use.
        """
        pair = update.pair
        self.block(pair, Block.NO_BOOK)
        book = self.books[pair]
        book.apply(update.bids, update.asks, snapshot=True)
        self._changed[pair] = now
        if not update.verify(book):
            return IGNORED
        return self.release(pair, Block.NO_BOOK | Block.QUARANTINED)

    def _rerate(self, pair: PairId) -> int:
        bids, asks = self._bids[pair].keys, self._asks[pair].keys
        rate, scale, leg = self.rate, self._scale[pair], 2 * pair
        blocks = self.blocks[pair]
        if bids and asks and -bids[0] >= asks[0]:
            if not blocks & _CROSSED:
                self.crossed_count += 1
                self.crossed_since[pair] = self._changed[pair]
                self.blocks[pair] = blocks = blocks | _CROSSED
        elif blocks & _CROSSED:
            self.blocks[pair] = blocks = blocks & ~_CROSSED
        if blocks:
            rate[leg] = rate[leg + 1] = 0.0
            return 0
        sell = -bids[0] / scale if bids else 0.0
        buy = 1.0 / (asks[0] / scale) if asks else 0.0
        rose = 0
        if sell > rate[leg]:
            rose = SELL_ROSE
        if buy > rate[leg + 1]:
            rose |= BUY_ROSE
        rate[leg] = sell
        rate[leg + 1] = buy
        return rose

    # --- health ---

    def block(self, pair: PairId, why: Block) -> None:
        self.blocks[pair] |= int(why)
        self.rate[2 * pair] = self.rate[2 * pair + 1] = 0.0

    def release(self, pair: PairId, why: Block) -> int:
        """Lift a reason; returns which rates rose."""
        self.blocks[pair] &= ~int(why)
        return self._rerate(pair)

    def quarantine(self, pair: PairId, reason: str) -> bool:
        """Take one pair out of use until a snapshot verifies; False when it already was."""
        fresh = not self.blocks[pair] & Block.QUARANTINED
        self.reason[pair] = reason
        self.block(pair, Block.QUARANTINED)
        return fresh

    def carried_by(self, pair: PairId, conn: ConnId | None) -> None:
        self._carrier[pair] = conn
        if conn is None:
            self.block(pair, Block.NO_BOOK)

    # --- reading ---

    def leg(self, leg: LegId) -> Leg:
        return self.legs[leg]

    def pair_id(self, symbol: str) -> PairId | None:
        return self._ids.get(symbol)

    def asset(self, symbol: str) -> Asset | None:
        return self.assets.get(symbol)

    def tradable(self, pair: PairId) -> bool:
        return not self.blocks[pair] & _UNTRADABLE

    def usable(self, pair: PairId) -> bool:
        return not self.blocks[pair]

    def carrier(self, pair: PairId) -> ConnId | None:
        return self._carrier[pair]

    def alive_age_ns(self, pair: PairId, now: Ns) -> int | None:
        conn = self._carrier[pair]
        last = None if conn is None else self.alive.get(conn)
        return None if last is None else max(0, now - last)

    def gone(self, conn: ConnId) -> None:
        """The connection closed."""
        self.alive.pop(conn, None)
        self.newest.pop(conn, None)
        self.newest_ns.pop(conn, None)

    def feed_lag_ns(self, pair: PairId) -> int | None:
        conn = self._carrier[pair]
        if conn is None:
            return None
        newest = self.newest.get(conn)
        if newest is None:
            return 0 if self.usable(pair) else None  # all fresh from snapshots: nothing has shown a lag yet
        sent = newest.exchange_ns()
        return None if sent is None else self.newest_ns[conn] + self.clock_offset_ns - sent

    def changed_age_ns(self, pair: PairId, now: Ns) -> int | None:
        return now - self._changed[pair] if self._changed[pair] else None

    def mid(self, pair: PairId) -> Decimal | None:
        """Mid price of a usable pair with both sides."""
        book = self.books[pair]
        bid, ask = book.bids.best(), book.asks.best()
        if not self.usable(pair) or bid is None or ask is None:
            return None
        return Decimal(bid + ask).scaleb(-self.pairs[pair].price_decimals) / 2

    def path(self, legs: Sequence[LegId]) -> str:
        """Assets in trade order, for eyes: `USD > BTC > ETH > USD`."""
        return " > ".join([self.legs[legs[0]].spends, *(self.legs[leg].gets for leg in legs)])

    def mark(self, asset: str, valuation_asset: str) -> Decimal | None:
        """Direct, else over the two-hop route whose two spreads are tightest, ties by symbol."""
        if asset == valuation_asset:
            return Decimal(1)
        direct = self._rate_between(asset, valuation_asset)
        if direct is not None:
            return direct[0]
        best: tuple[float, str, Decimal] | None = None
        for pair_id in self._pairs_of.get(asset, ()):
            pair = self.pairs[pair_id]
            middle = pair.quote if pair.base == asset else pair.base
            first = self._rate_between(asset, middle)
            second = self._rate_between(middle, valuation_asset)
            if first is None or second is None:
                continue
            route = (first[1] + second[1], middle, ratio(first[0] * second[0], Decimal(1)))
            if best is None or route[:2] < best[:2]:
                best = route
        return None if best is None else best[2]

    def _rate_between(self, asset: str, other: str) -> tuple[Decimal, float] | None:
        """Mid value of one `asset` in `other` over a direct pair, and its relative spread."""
        for symbol, inverse in ((f"{asset}/{other}", False), (f"{other}/{asset}", True)):
            pair_id = self._ids.get(symbol)
            mid = None if pair_id is None else self.mid(pair_id)
            if pair_id is not None and mid is not None:
                spread = 1.0 - self.rate[2 * pair_id] * self.rate[2 * pair_id + 1]
                return (ratio(Decimal(1), mid) if inverse else mid), spread
        return None

    def why_unusable(self, pair: PairId) -> str:
        """In an operator's words; empty when the pair is in use."""
        blocks = Block(self.blocks[pair])
        words = {
            Block.NO_BOOK: "no verified book",
            Block.QUARANTINED: f"quarantined: {self.reason[pair]}",
            Block.OFFLINE: f"the exchange lists it as {self.pairs[pair].status}",
            Block.DISABLED: "disabled by the operator",
            Block.CROSSED: "its book is crossed",
        }
        return "; ".join(text for block, text in words.items() if block in blocks)

    def in_use(self) -> Sequence[PairId]:
        return [pair for pair, blocks in enumerate(self.blocks) if not blocks]
