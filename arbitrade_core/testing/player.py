"""Plays a market through a real engine with a plugin's objects in it: what production does, on simulated time.

player = MarketPlayer(checks=[MyCheck()])
player.play([Sees("ETH/BTC", ask="0.0297"), Passes(ms=200)])
assert player.outcomes == ["completed"]
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol, assert_never, runtime_checkable

from arbitrade_core.book import Level
from arbitrade_core.desk import Desk
from arbitrade_core.domain import Asset, FeeSnapshot, Ns, Order, Pair, PairId
from arbitrade_core.engine import Engine
from arbitrade_core.events import BookUpdate, Closed, ConnId, FeesLoaded, Frame, Halt, Resume
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.journal import Record, Stream
from arbitrade_core.market import Market
from arbitrade_core.parts import DeskParts, Parts
from arbitrade_core.planning import DeskTerms
from arbitrade_core.pricing import Terms
from arbitrade_core.recovery import Recovered
from arbitrade_core.risk.checks import shipped_checks
from arbitrade_core.risk.gate import Gate
from arbitrade_core.settings import RiskSettings
from arbitrade_core.spi import Detector, Executor, FeedPort, RiskCheck, Venue
from arbitrade_core.subledgers import Ledgers
from arbitrade_core.testing.builders import MS, QUIET, START_NS, TRIANGLE, S, fees, pair
from arbitrade_core.testing.moves import (
    Breaks,
    Charges,
    Disconnects,
    Halts,
    Lists,
    Mends,
    Move,
    Passes,
    Quotes,
    Resumes,
    Sees,
    Shows,
)
from arbitrade_core.testing.triangles import EveryTriangle
from arbitrade_core.testing.world import SilentPeer, World

DESK = "desk"
AUTHOR = "author"
"""The plugin to which the objects under test belong."""


@runtime_checkable
class VenueOpens(Protocol):
    """A `spi.VenueKind`, as opposed to a venue."""

    def open(self, desk_id: str, funds: Callable[[str], Decimal]) -> Venue: ...


class MarketPlayer:
    """An engine with one paper desk on a hand-made market. Whatever is not given is what ships, with wide limits."""

    def __init__(
        self,
        symbols: Sequence[str | Pair] = TRIANGLE,
        *,
        detectors: Sequence[Detector] | None = None,
        checks: Sequence[RiskCheck] = (),
        executors: Sequence[Executor] | None = None,
        venue: Venue | VenueOpens | None = None,
        balances: Mapping[str, str] | None = None,
        fee: str = "0.001",
        start_assets: tuple[str, ...] = ("USD",),
        max_notional: str | None = "1000",
        latency_ms: int = 20,
        prices: Mapping[str, tuple[str, str]] = QUIET,
        start_ns: Ns = START_NS,
    ) -> None:
        """Args:
        symbols: pairs, each with both sides at `prices` (bid, ask); one without a price starts with an empty book.
        detectors: None: every triangle of the pairs.
        checks: asked after the shipped ones.
        venue: None: the paper venue.
        fee: a fraction of the cost, on every pair.
        max_notional: most that one plan may spend, in USD; None: by balance and depth alone.
        """
        listed = [pair(symbol) if isinstance(symbol, str) else symbol for symbol in symbols]
        self._feed = HandFeed(listed)
        self._prices = dict(prices)
        self._rate = fee
        self._fees_number = 1
        own = DeskParts(tuple(checks), tuple(executors or ()))
        finders = tuple(detectors) if detectors is not None else (EveryTriangle(),)
        ledger = Ledgers(DESK)
        self.desk = Desk(
            desk_id=DESK,
            terms=DeskTerms(
                start_assets=start_assets,
                valuation_asset="USD",
                pricing=Terms(Decimal(1), Decimal(5), Decimal("0.01"), Decimal(0), Decimal(0), 10, 10),
                max_notional_valued=None if max_notional is None else Decimal(max_notional),
                reserve={},
                leg_ban_ns=60 * S,
            ),
            balances={asset: Decimal(amount) for asset, amount in (balances or {"USD": "10000"}).items()},
            recovered=Recovered(),
            gate=Gate([*shipped_checks(_wide_limits()), *checks], ()),
            executors=executors or [SequentialExecutor()],
            venue=_opened(venue, ledger, latency_ms),
            ledger=ledger,
            stream=Stream(DESK),
            epoch="kit",
        )
        parts = {"kit": Parts(feeds=(self._feed,)), AUTHOR: Parts(detectors=finders, desks={DESK: own})}
        self.engine = Engine(market=Market(), parts=parts, desks=[self.desk])
        self.world = World(self.engine, SilentPeer(), start_ns=start_ns, fees=self._fees, commit_ns=MS)
        self.world.start()
        self.world.run_for(0)
        for one in listed:
            self.mends(one.symbol)
        self.passes(ms=5)

    # --- moves ---

    def play(self, moves: Iterable[Move]) -> "MarketPlayer":
        for move in moves:
            match move:
                case Sees(symbol, bid, ask, qty):
                    self.sees(symbol, bid=bid, ask=ask, qty=qty)
                case Shows(symbol, bids, asks):
                    self.shows(symbol, bids=bids, asks=asks)
                case Breaks(symbol):
                    self.breaks(symbol)
                case Mends(symbol):
                    self.mends(symbol)
                case Lists(symbol, status):
                    self._feed.relists(replace(self._pair(symbol), status=status))
                    self._hears()
                case Passes(ms):
                    self.passes(ms=ms)
                case Halts(reason):
                    self.world.take(Halt(reason, "the author's kit", self.world.now))
                case Resumes():
                    self.world.take(Resume("the author's kit", self.world.now))
                case Charges(rate):
                    self.charges(rate)
                case Disconnects():
                    self.disconnects()
                case unexpected:
                    assert_never(unexpected)
        return self

    def sees(self, symbol: str, *, bid: str | None = None, ask: str | None = None, qty: str = "10") -> None:
        """One message: each side that is given is now one level."""
        self.shows(
            symbol,
            bids=None if bid is None else [(bid, qty)],
            asks=None if ask is None else [(ask, qty)],
        )

    def shows(self, symbol: str, *, bids: Quotes | None = None, asks: Quotes | None = None) -> None:
        """One message: the sides that are given are replaced by these levels."""
        self._hears(self._update(symbol, bids, asks))

    def breaks(self, symbol: str) -> None:
        """A message whose checksum is wrong: the pair is quarantined."""
        update = self._update(symbol, None, None)
        update.right = False
        self._hears(update)

    def mends(self, symbol: str) -> None:
        """A verified snapshot: the levels that are there, or the prices of the beginning."""
        pair_id, listed = self._id(symbol), self._pair(symbol)
        book = self.engine.market.books[pair_id]
        bids, asks = book.bids.levels(), book.asks.levels()
        if not bids and not asks and symbol in self._prices:
            lots = listed.lots(Decimal(10))
            bid, ask = self._prices[symbol]
            bids, asks = [(listed.ticks(Decimal(bid)), lots)], [(listed.ticks(Decimal(ask)), lots)]
        self._hears(Told(pair=pair_id, snapshot=True, bids=bids, asks=asks, right=True, sent_ns=self.world.now))

    def disconnects(self) -> None:
        """The connection is gone, and back a moment later; every book waits for a snapshot (`mends`)."""
        self.world.take(Closed(self._feed.conn, 1006, "gone", self.world.now))
        self._feed.reconnects()
        self.world.take(Frame(self._feed.conn, b"", self.world.now))

    def charges(self, rate: str) -> None:
        """New fees for every pair: a fraction of the cost."""
        self._rate = rate
        self._fees_number += 1
        self.world.take(FeesLoaded(DESK, self._fees(self.engine.market.pairs, self.world.now), self.world.now))

    def passes(self, *, ms: float = 0, s: float = 0) -> None:
        """Time goes by, with a sign of life from the exchange each second."""
        until = self.world.now + round(ms * MS) + round(s * S)
        while self.world.now < until:
            self.world.run_until(min(until, self.world.now + S))
            if self.world.now < until:
                self._hears()

    # --- looking ---

    @property
    def records(self) -> list[Record]:
        """Everything journalled."""
        return self.world.records

    def told(self, kind: str) -> list[Record]:
        """Journal records of a kind: `plan`, `send`, `fill`, `end`, `drop`, `ban`, `desk_halt`, `quarantine` ..."""
        return self.world.journal.told(kind)

    @property
    def orders(self) -> list[Order]:
        """Everything that was sent, in order."""
        return self.world.orders

    @property
    def planned(self) -> list[str]:
        """Keys of the plans approved so far."""
        return [record.data["key"] for record in self.told("plan")]

    @property
    def outcomes(self) -> list[str]:
        """How plans ended: completed, partial, unwound, missed or stuck."""
        return [record.data["outcome"] for record in self.told("end")]

    @property
    def refusals(self) -> Mapping[str, int]:
        """How often each risk check refused."""
        refused: Any = self.desk.funnel.view()["refused"]
        return dict(refused)

    @property
    def stopped(self) -> Mapping[str, str]:
        """By cycle: why its last offer went no further, in words."""
        return self.desk.last_stop

    def alerts(self, topic: str = "") -> list[str]:
        """What people were told under topics that begin so."""
        return [alert.text for alert in self.world.alerts if alert.topic.startswith(topic)]

    @property
    def quarantined(self) -> list[str]:
        """What the engine said of objects under test that it took out of use, because they raised."""
        return self.alerts("plugin.")

    # --- how ---

    def _hears(self, *updates: BookUpdate) -> None:
        self._feed.next = list(updates)
        self.world.take(Frame(self._feed.conn, b"", self.world.now))

    def _update(self, symbol: str, bids: Quotes | None, asks: Quotes | None) -> "Told":
        pair_id, listed = self._id(symbol), self._pair(symbol)
        book = self.engine.market.books[pair_id]
        changes: list[list[Level]] = []
        for side, quotes in ((book.bids, bids), (book.asks, asks)):
            wanted = [(listed.ticks(Decimal(price)), listed.lots(Decimal(qty))) for price, qty in quotes or ()]
            kept = {ticks for ticks, _ in wanted}
            gone = [] if quotes is None else [(ticks, 0) for ticks, _ in side.levels() if ticks not in kept]
            changes.append(gone + wanted)
        return Told(pair_id, False, changes[0], changes[1], right=True, sent_ns=self.world.now)

    def _fees(self, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        symbols = [listed.symbol for listed in pairs]
        return fees(symbols, self._rate, id=f"fees-{self._fees_number}", as_of_ns=now)

    def _id(self, symbol: str) -> PairId:
        found = self.engine.market.pair_id(symbol)
        if found is None:
            raise KeyError(f"{symbol} is not played; name it in MarketPlayer(symbols=...)")
        return found

    def _pair(self, symbol: str) -> Pair:
        return self.engine.market.pairs[self._id(symbol)]


def _wide_limits() -> RiskSettings:
    wide = Decimal(1_000_000)
    return RiskSettings(
        max_cycle_notional_valued=wide,
        max_pair_notional_valued=wide,
        max_asset_notional_valued=wide,
        max_total_notional_valued=wide,
        reserve={},
    )


def _opened(venue: Venue | VenueOpens | None, ledger: Ledgers, latency_ms: int) -> Venue:
    if venue is None:
        return PaperVenue(DESK, funds=ledger.balance, latency_ns=latency_ms * MS)
    if isinstance(venue, VenueOpens):
        return venue.open(DESK, ledger.balance)
    return venue


# --- the market's own parts -----------------------------------------------------------------------------------


class Told(BookUpdate, kw_only=True):
    """An update that is `right` or wrong, as its test says."""

    right: bool
    sent_ns: Ns

    def verify(self, book: object) -> bool:
        return self.right

    def exchange_ns(self) -> Ns:
        return self.sent_ns


@dataclass
class HandFeed:
    """Implements `spi.Feed`: one connection, and frames that stand for the updates laid ready."""

    pairs: list[Pair]

    def __post_init__(self) -> None:
        self.name = "hand"
        self.next: list[BookUpdate] = []
        self.conn: ConnId = 0
        self._carried: frozenset[PairId] = frozenset()
        self._relisted: list[Pair] = []

    def relists(self, listed: Pair) -> None:
        """With the next frame."""
        self._relisted.append(listed)

    def reconnects(self) -> None:
        self.conn = self._port.connect("ws://hand")
        self._again = True

    def start(self, port: FeedPort, now: Ns) -> None:
        self._port = port
        self._again = False
        self.conn = port.connect("ws://hand")

    def stop(self, now: Ns) -> None:
        self._port.disconnect(self.conn)

    def carry(self, pairs: Collection[PairId], now: Ns) -> None:
        wanted = frozenset(pairs)
        for pair_id in sorted(wanted - self._carried):
            self._port.carried_by(pair_id, self.conn, now)
        for pair_id in sorted(self._carried - wanted):
            self._port.carried_by(pair_id, None, now)
        self._carried = wanted

    def resync(self, pair: PairId, now: Ns) -> None: ...

    def on_open(self, conn: ConnId, now: Ns) -> None:
        symbols = {asset for listed in self.pairs for asset in (listed.base, listed.quote)}
        self._port.list_assets([Asset(symbol, 10) for symbol in sorted(symbols)])
        self._port.list_pairs(self.pairs, now)
        self._port.exchange_status("online", now)

    def on_close(self, conn: ConnId, code: int, reason: str, now: Ns) -> None:
        for pair_id in sorted(self._carried):
            self._port.carried_by(pair_id, None, now)

    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        if self._again:
            self._again = False
            for pair_id in sorted(self._carried):
                self._port.carried_by(pair_id, conn, now)
        if self._relisted:
            self._port.list_pairs(self._relisted, now)
            self._relisted = []
        updates, self.next = self.next, []
        return updates
