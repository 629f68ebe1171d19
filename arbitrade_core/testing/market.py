"""A market that shows what a test tells it: real books, real rates, real marks, moved by verbs."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, overload

from arbitrade_core.book import Book, Level
from arbitrade_core.domain import Asset, Leg, LegId, Ns, Pair, PairId, PairStatus
from arbitrade_core.events import BookUpdate
from arbitrade_core.market import Block, Market
from arbitrade_core.spi import MarketView
from arbitrade_core.testing.builders import MS, QUIET, START_NS, TRIANGLE, pair

type Quotes = Sequence[tuple[str, str]]
"""(price, quantity), best first"""


class Shown(BookUpdate):
    """An update that proves itself."""

    def verify(self, book: Book) -> bool:
        return True


class FakeMarket:
    """Implements `spi.MarketView` over the engine's own `Market`.

    market = FakeMarket()
    market.sees("ETH/BTC", bid="0.0312", ask="0.0313", qty="5")
    market.breaks("ETH/USD")

    A pair that was never listed is listed with the increments of `builders.pair` when it is first seen.
    """

    def __init__(self, *pairs: Pair, depth: int = 10) -> None:
        self._market = Market(depth)
        self.now: Ns = START_NS
        self._lag_ns: dict[PairId, int | None] = {}
        self._alive_ns: dict[PairId, int | None] = {}
        self._changed_ns: dict[PairId, int | None] = {}
        self._marks: dict[str, Decimal | None] = {}
        for listed in pairs:
            self.lists(listed)

    # --- verbs ---

    def lists(self, listed: Pair) -> PairId:
        """A new pair, or a pair with another listing."""
        for symbol in (listed.base, listed.quote):
            self._market.assets.setdefault(symbol, Asset(symbol, 10))
        return self._market.list_pair(listed)[0]

    def books_asset(self, symbol: str, decimals: int) -> None:
        """The precision of the exchange's ledger for an asset; 10 decimals unless told otherwise."""
        self._market.assets[symbol] = Asset(symbol, decimals)

    def sees(self, symbol: str, *, bid: str | None = None, ask: str | None = None, qty: str = "10") -> int:
        """Each side that is given is now one level. Returns what rose: `SELL_ROSE | BUY_ROSE` bits."""
        return self.shows(
            symbol,
            bids=None if bid is None else [(bid, qty)],
            asks=None if ask is None else [(ask, qty)],
        )

    def shows(self, symbol: str, *, bids: Quotes | None = None, asks: Quotes | None = None) -> int:
        """A verified book: the sides that are given are replaced, the other stays. Returns what rose."""
        known = self._market.pair_id(symbol)
        pair_id = self.lists(pair(symbol)) if known is None else known
        book = self._market.books[pair_id]
        update = Shown(
            pair=pair_id,
            snapshot=True,
            bids=book.bids.levels() if bids is None else self._levels(pair_id, bids),
            asks=book.asks.levels() if asks is None else self._levels(pair_id, asks),
        )
        was = self._market.rate[2 * pair_id], self._market.rate[2 * pair_id + 1]
        self._market.restore(update, self.now)
        return sum(1 << side for side in (0, 1) if self._market.rate[2 * pair_id + side] > was[side])

    def empties(self, symbol: str) -> None:
        """The book is there, verified, and shows nothing."""
        self.shows(symbol, bids=(), asks=())

    def breaks(self, symbol: str, reason: str = "a test") -> None:
        """The pair is quarantined until it is seen again."""
        self._market.quarantine(self.id(symbol), reason)

    def stops(self, symbol: str, status: PairStatus = PairStatus.CANCEL_ONLY) -> None:
        """The exchange lists it otherwise: `PairStatus.ONLINE` lets it trade again."""
        self.lists(replace(self._market.pairs[self.id(symbol)], status=status))

    def disables(self, symbol: str) -> None:
        """The operator does not want the pair."""
        self._market.block(self.id(symbol), Block.DISABLED)

    def lags(self, symbol: str, ms: float | None) -> None:
        """Receive minus exchange time; None: not known. 0 unless told otherwise."""
        self._lag_ns[self.id(symbol)] = None if ms is None else round(ms * MS)

    def is_silent(self, symbol: str, ms: float | None) -> None:
        """How long its connection has not proved alive; None: no connection carries it. 0 unless told otherwise."""
        self._alive_ns[self.id(symbol)] = None if ms is None else round(ms * MS)

    def is_unchanged(self, symbol: str, ms: float | None) -> None:
        """How long its book did not change; None: it never did. 0 unless told otherwise."""
        self._changed_ns[self.id(symbol)] = None if ms is None else round(ms * MS)

    def values(self, asset: str, value: str | None) -> None:
        """One unit is worth this in whatever asset is asked for; None: it has no mark. Else mids of books say."""
        self._marks[asset] = None if value is None else Decimal(value)

    def id(self, symbol: str) -> PairId:
        """Raises KeyError when the pair is not listed."""
        found = self._market.pair_id(symbol)
        if found is None:
            listed = ", ".join(known.symbol for known in self._market.pairs) or "none"
            raise KeyError(f"{symbol} is not listed; listed: {listed}")
        return found

    def leg_id(self, name: str) -> LegId:
        """`+ETH/BTC` buys, `-ETH/BTC` sells."""
        return 2 * self.id(name[1:]) + (name[0] == "+")

    def _levels(self, pair_id: PairId, quotes: Quotes) -> list[Level]:
        listed = self._market.pairs[pair_id]
        return [(listed.ticks(Decimal(price)), listed.lots(Decimal(qty))) for price, qty in quotes]

    # --- spi.MarketView ---

    @property
    def pairs(self) -> Sequence[Pair]:
        return self._market.pairs

    @property
    def books(self) -> Sequence[Book]:
        return self._market.books

    @property
    def rate(self) -> Sequence[float]:
        return self._market.rate

    def leg(self, leg: LegId) -> Leg:
        return self._market.leg(leg)

    def pair_id(self, symbol: str) -> PairId | None:
        return self._market.pair_id(symbol)

    def asset(self, symbol: str) -> Asset | None:
        return self._market.asset(symbol)

    def tradable(self, pair: PairId) -> bool:
        return self._market.tradable(pair)

    def usable(self, pair: PairId) -> bool:
        return self._market.usable(pair)

    def mark(self, asset: str, valuation_asset: str) -> Decimal | None:
        if asset in self._marks and asset != valuation_asset:
            return self._marks[asset]
        return self._market.mark(asset, valuation_asset)

    def alive_age_ns(self, pair: PairId, now: Ns) -> int | None:
        return self._alive_ns.get(pair, 0)

    def feed_lag_ns(self, pair: PairId) -> int | None:
        return self._lag_ns.get(pair, 0)

    def changed_age_ns(self, pair: PairId, now: Ns) -> int | None:
        return self._changed_ns.get(pair, 0)


def triangle_market() -> FakeMarket:
    """`builders.TRIANGLE` at prices among which no cycle pays."""
    market = FakeMarket()
    for symbol in TRIANGLE:
        bid, ask = QUIET[symbol]
        market.sees(symbol, bid=bid, ask=ask)
    return market


# --- read-only ----------------------------------------------------------------------------------------------


class Row[T](Sequence[T]):
    """A live view of a sequence that cannot be written to."""

    def __init__(self, read: Callable[[], Sequence[T]]) -> None:
        self._read = read

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self._read()[index]

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[T]:
        return iter(self._read())


class Sealed:
    """A `MarketView` and nothing more: what is behind it cannot be reached, and its rows cannot be written to."""

    def __init__(self, market: MarketView) -> None:
        for name in ("leg", "pair_id", "asset", "tradable", "usable", "mark"):
            object.__setattr__(self, name, getattr(market, name))
        for name in ("alive_age_ns", "feed_lag_ns", "changed_age_ns"):
            object.__setattr__(self, name, getattr(market, name))
        object.__setattr__(self, "pairs", Row(lambda: market.pairs))
        object.__setattr__(self, "books", Row(lambda: market.books))
        object.__setattr__(self, "rate", Row(lambda: market.rate))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a market view is read-only; {name!r} was assigned {value!r}")


def sealed(market: MarketView) -> MarketView:
    """The same market, read-only."""
    view: Any = Sealed(market)
    return view  # type: ignore[no-any-return]


def fingerprint(market: MarketView) -> Hashable:
    """Everything that a plugin could have changed behind a view."""
    return (
        tuple(market.pairs),
        tuple(market.rate),
        tuple((tuple(book.bids.levels()), tuple(book.asks.levels()), book.depth) for book in market.books),
        tuple(market.usable(pair_id) for pair_id in range(len(market.pairs))),
    )
