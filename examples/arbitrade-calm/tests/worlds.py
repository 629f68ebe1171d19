"""A market that shows what a test tells it, and plans on it: what the checks look at, and no more."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from arbitrade_core.book import Book
from arbitrade_core.domain import Asset, Fee, Leg, LegId, Ns, Pair, PairId, Plan, PlanKind, PlanLeg, Side
from arbitrade_core.spi import DeskView, DetectorPort

SECOND: Ns = 1_000_000_000
NOW: Ns = 1_790_000_000 * SECOND


def pair(symbol: str) -> Pair:
    base, _, quote = symbol.partition("/")
    return Pair(symbol, base, quote, 2, 8, Decimal("0.01"), Decimal("0.00000001"), Decimal("0.1"), Decimal("0.5"), 5)


@dataclass
class Market:
    """Implements `spi.MarketView`."""

    symbols: Sequence[str]
    delisted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pairs = [pair(symbol) for symbol in self.symbols]
        self.rate = [0.0] * (2 * len(self.pairs))
        self.books: Sequence[Book] = ()

    def sees(self, symbol: str, bid: float, ask: float) -> PairId:
        at = self.symbols.index(symbol)
        self.rate[2 * at : 2 * at + 2] = [bid, 1.0 / ask]
        return at

    def loses(self, symbol: str) -> PairId:
        at = self.symbols.index(symbol)
        self.rate[2 * at : 2 * at + 2] = [0.0, 0.0]
        return at

    def leg(self, leg: LegId) -> Leg:
        of, side = self.pairs[leg >> 1], Side(leg & 1)
        spends, gets = (of.quote, of.base) if side is Side.BUY else (of.base, of.quote)
        return Leg(leg, leg >> 1, of.symbol, side, spends, gets)

    def pair_id(self, symbol: str) -> PairId | None:
        return self.symbols.index(symbol) if symbol in self.symbols else None

    def asset(self, symbol: str) -> Asset | None:
        return Asset(symbol, 8)

    def tradable(self, pair: PairId) -> bool:
        return self.symbols[pair] not in self.delisted

    def usable(self, pair: PairId) -> bool:
        return self.rate[2 * pair] > 0.0

    def mark(self, asset: str, valuation_asset: str) -> Decimal | None:
        return None

    def alive_age_ns(self, pair: PairId, now: Ns) -> int | None:
        return 0

    def feed_lag_ns(self, pair: PairId) -> int | None:
        return 0

    def changed_age_ns(self, pair: PairId, now: Ns) -> int | None:
        return 0


NO_PORT = cast(DetectorPort, object())
"""The listener asks its port for nothing; if it did, it would fail here."""


@dataclass
class Desk:
    market: Market


def desk(market: Market) -> DeskView:
    """As much of a desk as these checks need; one that asked for more would fail here."""
    return cast(DeskView, Desk(market))


def plan(market: Market, *symbols: str) -> Plan:
    """A plan that sells on each of these pairs."""
    one = Decimal(1)
    legs = [market.leg(2 * market.symbols.index(symbol)) for symbol in symbols]
    values: dict[str, Any] = {
        "id": "p1",
        "desk_id": "paper",
        "strategy": "triangular",
        "kind": PlanKind.CYCLE,
        "key": " ".join(map(str, legs)),
        "start_asset": "USD",
        "start": one,
        "end": one,
        "legs": tuple(PlanLeg(f"p1-{at}", leg, one, one, Fee(one), one, one, one, one) for at, leg in enumerate(legs)),
        "certificate": None,
        "edge_bps": one,
        "profit_valued": one,
        "notional_valued": one,
        "valuation_asset": "USD",
        "fees_id": "f1",
        "decided_ns": NOW,
    }
    return Plan(**values)
