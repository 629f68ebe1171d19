"""A market made by hand: three or four assets, exact prices, and an engine with one paper desk on simulated time.

scene = Scene()
scene.sees("ETH/BTC", ask="0.0297")
scene.passes(ms=100)
assert scene.outcomes == ["completed"]
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Asset, Candidate, Fee, FeeSnapshot, Ns, Pair, PairId
from arbitrade_core.engine import Engine
from arbitrade_core.events import (
    BookUpdate,
    Closed,
    ConnId,
    FeesLoaded,
    Frame,
    Halt,
    JournalBack,
    JournalLost,
    Resume,
)
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.rotation import RotationExecutor
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.journal import Stream
from arbitrade_core.market import Market
from arbitrade_core.parts import Parts
from arbitrade_core.planning import DeskTerms
from arbitrade_core.pricing import Terms
from arbitrade_core.recovery import Recovered
from arbitrade_core.risk.checks import required_checks, shipped_checks
from arbitrade_core.risk.gate import Gate
from arbitrade_core.settings import RiskSettings
from arbitrade_core.spi import Detector, FeedPort
from arbitrade_core.subledgers import Ledgers
from arbitrade_triangular.bruteforce import active_cycles
from arbitrade_triangular.detector import TriangularDetector
from tests.engine.watched import Watched

START_NS: Ns = 1_790_000_000_000_000_000
MS: Ns = 1_000_000
S: Ns = 1_000_000_000
D = Decimal

QUOTES = {
    "BTC/USD": ("50000", "50001"),
    "ETH/BTC": ("0.02950", "0.03001"),
    "ETH/USD": ("1500.0", "1500.1"),
    "ADA/USD": ("0.5000", "0.5001"),
    "ADA/BTC": ("0.00001", "0.00001001"),
    "LTC/BTC": ("0.02950", "0.03001"),
    "LTC/USD": ("1500.0", "1500.1"),
    "BTC/EUR": ("40000", "40001"),
    "ETH/EUR": ("1200.0", "1200.1"),
    "EUR/USD": ("1.2499", "1.2500"),
}
"""Prices among which no cycle pays: (bid, ask). ETH/BTC has room for a cheap ask that does not cross."""
QTY = {"ADA/USD": "1000000", "ADA/BTC": "1000000", "EUR/USD": "1000000"}
"""Of every level, where it is not 10."""
TRIANGLE = ("BTC/USD", "ETH/BTC", "ETH/USD")
OVER_ETH = "+BTC/USD +ETH/BTC -ETH/USD"
"""The cycle that `scene.sees("ETH/BTC", ask=...)` lifts, in every test."""
CHEAP = "0.02970"
"""An ask of ETH/BTC that returns a hundredth before fees."""

type Quotes = Sequence[tuple[str, str]]
"""(price, quantity)"""


class Update(BookUpdate, kw_only=True):
    right: bool
    """what its checksum says"""
    sent_ns: Ns

    def verify(self, book: object) -> bool:
        return self.right

    def exchange_ns(self) -> Ns:
        return self.sent_ns


class StubFeed:
    """Implements `spi.Feed`: one connection, and frames that stand for updates a test has prepared."""

    name = "stub"

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = list(pairs)
        self.next: list[BookUpdate] = []
        self.resyncs: list[str] = []
        self.carried: set[PairId] = set()
        self.relisted: list[Pair] = []
        self.conn: ConnId | None = None

    def start(self, port: FeedPort, now: Ns) -> None:
        self.port = port
        self.conn = port.connect("ws://stub")

    def stop(self, now: Ns) -> None:
        if self.conn is not None:
            self.port.disconnect(self.conn)

    def carry(self, pairs: Collection[PairId], now: Ns) -> None:
        for pair in sorted(set(pairs) - self.carried):
            self.port.carried_by(pair, self.conn, now)
        for pair in sorted(self.carried - set(pairs)):
            self.port.carried_by(pair, None, now)
        self.carried = set(pairs)

    def resync(self, pair: PairId, now: Ns) -> None:
        self.resyncs.append(self.pairs[pair].symbol)

    def on_open(self, conn: ConnId, now: Ns) -> None:
        symbols = {asset for pair in self.pairs for asset in (pair.base, pair.quote)}
        self.port.list_assets([Asset(symbol, 10) for symbol in sorted(symbols)])
        self.port.list_pairs(self.pairs, now)
        self.port.exchange_status("online", now)

    def on_close(self, conn: ConnId, code: int, reason: str, now: Ns) -> None:
        for pair in sorted(self.carried):
            self.port.carried_by(pair, None, now)

    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        if self.relisted:
            self.port.list_pairs(self.relisted, now)
            self.relisted = []
        updates, self.next = self.next, []
        return updates


class SilentPeer:
    """Implements `world.Peer`: says nothing by itself."""

    def open(self, conn: ConnId, url: str, now: Ns) -> None: ...
    def receive(self, conn: ConnId, data: bytes, now: Ns) -> None: ...
    def close(self, conn: ConnId, now: Ns) -> None: ...
    def next_due(self) -> None:
        return None

    def advance(self, now: Ns) -> Iterable[tuple[ConnId, bytes | None]]:
        return ()


def listing(symbol: str) -> Pair:
    """Fine grids; minimums of a few dollars on dear assets, as on a real exchange, so that crumbs are residue."""
    base, quote = symbol.split("/")
    return Pair(symbol, base, quote, 8, 6, D("1e-8"), D("1e-6"), D("0.0002"), D("0.000002"), 8)


class Scene:
    """One engine, one desk, one detector on a hand-made market. Book quantities are 10 units unless told otherwise."""

    def __init__(
        self,
        symbols: Sequence[str] = TRIANGLE,
        *,
        balances: Mapping[str, str] | None = None,
        fee: str | None = "0.001",
        start_assets: tuple[str, ...] = ("USD",),
        reserve: Mapping[str, Decimal] | None = None,
        max_notional: str | None = "1000",
        leg_ban_s: int = 60,
        latency_ms: int = 20,
        commit_ms: int = 1,
        decorate: Callable[[PaperVenue], Any] = lambda venue: venue,
        after: "Scene | None" = None,
        recovered: Recovered | None = None,
        beside: Sequence[Detector] = (),
        **risk: Any,
    ) -> None:
        """`fee` None: nobody knows any fees. `risk` are fields of `RiskSettings`.

        `after` another scene that ended, with what was `recovered` of it. `beside`: detectors after the triangular one.
        """
        limits: dict[str, Any] = {
            "max_pair_notional_valued": D(1_000_000),
            "max_asset_notional_valued": D(1_000_000),
            "max_total_notional_valued": D(1_000_000),
            "max_cycle_notional_valued": D(1_000_000),
            "reserve": reserve or {},
            **risk,
        }
        settings = RiskSettings(**limits)
        self.opening = {asset: D(amount) for asset, amount in (balances or {"USD": "10000"}).items()}
        self.fee = fee
        self.fees_id = "fees-1"
        self.feed = StubFeed([listing(symbol) for symbol in symbols])
        ledger = Ledgers("desk")
        venue = PaperVenue(
            "desk",
            funds=ledger.balance,
            latency_ns=latency_ms * MS,
        )
        desk = Desk(
            desk_id="desk",
            terms=DeskTerms(
                start_assets=start_assets,
                valuation_asset="USD",
                pricing=Terms(D(1), D(5), D("0.01"), D(0), D(0), 10, 10),
                max_notional_valued=None if max_notional is None else D(max_notional),
                reserve=settings.reserve,
                leg_ban_ns=leg_ban_s * S,
            ),
            balances=self.opening,
            recovered=recovered or Recovered(),
            gate=Gate(shipped_checks(settings), required_checks(settings)),
            executors=[SequentialExecutor(), RotationExecutor()],
            venue=decorate(venue),
            ledger=ledger,
            stream=Stream("desk", after.desk._stream.last_seq if after else 0),
            epoch="again" if after else "test",
        )
        self.detector = TriangularDetector()
        self.parts = {
            "test": Parts(feeds=(self.feed,), detectors=(self.detector,)),
            "beside": Parts(detectors=tuple(beside)),
        }
        self.engine = Engine(market=Market(), parts=self.parts, desks=[desk])
        self.desk: Desk = desk
        self.world: Watched = Watched(
            self.engine,
            SilentPeer(),
            start_ns=after.world.now if after else START_NS,
            fees=self._fees if fee is not None else None,
            commit_ns=commit_ms * MS,
        )
        self.world.start()
        self.world.run_for(0)
        self.fetches_all()
        self.passes(ms=5)

    def _fees(self, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        fee = Fee(D(self.fee or 0))
        return FeeSnapshot(self.fees_id, "a test", now, {pair.symbol: fee for pair in pairs})

    # --- the market moves ---

    def sees(self, symbol: str, *, bid: str | None = None, ask: str | None = None, qty: str = "", **more: Any) -> None:
        """One message: this side of the book is now one level. `right=False`: with a checksum that is wrong."""
        qty = qty or QTY.get(symbol, "10")
        self.says(
            symbol,
            bids=None if bid is None else [(bid, qty)],
            asks=None if ask is None else [(ask, qty)],
            **more,
        )

    def says(self, symbol: str, *, bids: Quotes | None = None, asks: Quotes | None = None, right: bool = True) -> None:
        """One message: these levels replace those of the sides that are given."""
        self.hears(self._update(symbol, bids, asks, right=right))

    def resyncs(self, symbol: str, *, bid: str = "", ask: str = "", qty: str = "", right: bool = True) -> None:
        """A snapshot: the usual prices, or these."""
        pair_id, pair = self.pair_id(symbol), self.pair(symbol)
        qty = qty or QTY.get(symbol, "10")
        bid, ask = bid or QUOTES[symbol][0], ask or QUOTES[symbol][1]
        self.hears(
            Update(
                pair=pair_id,
                snapshot=True,
                bids=[(pair.ticks(D(bid)), pair.lots(D(qty)))],
                asks=[(pair.ticks(D(ask)), pair.lots(D(qty)))],
                right=right,
                sent_ns=self.world.now,
            )
        )

    def fetches_all(self) -> None:
        """A snapshot of every pair at the usual prices, as after a connection or when pairs are wanted again."""
        for pair in self.feed.pairs:
            self.resyncs(pair.symbol)

    def hears(self, *updates: BookUpdate) -> None:
        """One frame."""
        self.feed.next = list(updates)
        assert self.feed.conn is not None
        self.world.take(Frame(self.feed.conn, b"", self.world.now))

    def _update(self, symbol: str, bids: Quotes | None, asks: Quotes | None, *, right: bool) -> Update:
        pair_id, pair = self.pair_id(symbol), self.pair(symbol)
        book = self.engine.market.books[pair_id]
        changes: list[list[tuple[int, int]]] = []
        for side, quotes in ((book.bids, bids), (book.asks, asks)):
            wanted = [(pair.ticks(D(price)), pair.lots(D(qty))) for price, qty in quotes or ()]
            gone = [] if quotes is None else [(ticks, 0) for ticks, _ in side.levels()]
            kept = {ticks for ticks, _ in wanted}
            changes.append([level for level in gone if level[0] not in kept] + wanted)
        return Update(
            pair=pair_id, snapshot=False, bids=changes[0], asks=changes[1], right=right, sent_ns=self.world.now
        )

    def lists(self, symbol: str, **changes: Any) -> None:
        """The exchange changes a pair's listing, in a message without books."""
        pair_id = self.pair_id(symbol)
        self.feed.pairs[pair_id] = replace(self.feed.pairs[pair_id], **changes)
        self.feed.relisted = [self.feed.pairs[pair_id]]
        self.hears()

    def disconnects(self) -> None:
        assert self.feed.conn is not None
        self.world.take(Closed(self.feed.conn, 1006, "gone", self.world.now))

    # --- time and the journal ---

    def passes(self, ms: float, *, silent: bool = False) -> None:
        """Time goes by, with a heartbeat each second unless `silent`."""
        until = self.world.now + round(ms * MS)
        while self.world.now < until:
            self.world.run_until(min(until, self.world.now + S))
            if not silent and self.world.now < until:
                self.hears()

    def hangs(self) -> None:
        """The journal takes records and does not answer."""
        self.world.commits = False

    def loses_journal(self, reason: str = "the database is gone") -> None:
        self.world.commits = False
        self.world.take(JournalLost(reason, self.world.now))

    def finds_journal(self) -> None:
        """Everything is written after all."""
        self.world.commits = True
        last = {record.stream: record.seq for record in self.world.records}
        for stream, seq in last.items():
            self.world.durable(stream, seq)
        self.world.take(JournalBack(self.world.now))

    def halts(self, reason: str = "a test") -> None:
        self.world.take(Halt(reason, "tester", self.world.now))

    def resumes(self) -> None:
        self.world.take(Resume("tester", self.world.now))

    def charges(self, fee: str) -> None:
        """New fees."""
        self.fee = fee
        self.fees_id = f"{self.fees_id}+"
        self.world.take(FeesLoaded("desk", self._fees(self.engine.market.pairs, self.world.now), self.world.now))

    # --- looking ---

    def pair_id(self, symbol: str) -> PairId:
        found = self.engine.market.pair_id(symbol)
        assert found is not None
        return found

    def pair(self, symbol: str) -> Pair:
        return self.engine.market.pairs[self.pair_id(symbol)]

    def leg(self, name: str) -> int:
        """`+ETH/BTC` buys, `-ETH/BTC` sells."""
        return 2 * self.pair_id(name[1:]) + (name[0] == "+")

    @property
    def sent(self) -> list[str]:
        """Order ids, in the order in which they left."""
        return [order.id for order in self.world.orders]

    @property
    def outcomes(self) -> list[str]:
        return [record.data["outcome"] for record in self.world.told("end")]

    @property
    def planned(self) -> list[str]:
        """Keys of the plans approved so far."""
        return [record.data["key"] for record in self.world.told("plan")]

    @property
    def funnel(self) -> dict[str, Any]:
        return dict(self.desk.funnel.view())

    @property
    def active(self) -> set[str]:
        """Cycles above their hurdle, as the detector has it; compared with the slow way each time."""
        found = {one.key for one in self.detector.active() if isinstance(one, Candidate)}
        assert found == active_cycles(self.engine.market, self.engine.offers)
        return found

    def usable(self, symbol: str) -> bool:
        return self.engine.market.usable(self.pair_id(symbol))

    def alerts(self, topic: str) -> list[str]:
        return [alert.text for alert in self.world.alerts if alert.topic == topic]
