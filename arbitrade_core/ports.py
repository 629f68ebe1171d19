"""How feeds and desks reach into the engine: each is handed a port of its own, and nothing else of the engine.

A call takes effect at once, inside the running step.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from arbitrade_core.book import Book
from arbitrade_core.desk import Desk
from arbitrade_core.domain import Asset, FeeSnapshot, Ns, Order, Pair, PairId, Severity
from arbitrade_core.events import ConnId, Disconnect, Send, Transmit
from arbitrade_core.journal import Fields, Record
from arbitrade_core.meter import Meter
from arbitrade_core.parts import Part
from arbitrade_core.spi import Detector, Feed, Holdings

if TYPE_CHECKING:
    from arbitrade_core.engine import Engine


class EngineFeedPort:
    """One feed's way in (`spi.FeedPort`)."""

    def __init__(self, engine: "Engine", feed: Feed) -> None:
        self._engine = engine
        self.feed = feed
        self.listed: set[PairId] = set()
        self.clockwork = engine.timers

    def connect(self, url: str) -> ConnId:
        return self._engine.connect(self.feed, url)

    def transmit(self, conn: ConnId, data: bytes) -> None:
        self._engine.out.command(Transmit(conn, data))

    def disconnect(self, conn: ConnId) -> None:
        self._engine.out.command(Disconnect(conn))

    def list_assets(self, assets: Sequence[Asset]) -> None:
        self._engine.market.assets.update((asset.symbol, asset) for asset in assets)

    def list_pairs(self, pairs: Sequence[Pair], now: Ns) -> list[PairId]:
        return self._engine.list_pairs(pairs, self.listed, now)

    def book(self, pair: PairId) -> Book:
        return self._engine.market.books[pair]

    def carried_by(self, pair: PairId, conn: ConnId | None, now: Ns) -> None:
        self._engine.carried_by(pair, conn, now)

    def quarantine(self, pair: PairId, reason: str, now: Ns) -> None:
        self._engine.quarantine(pair, reason, now)

    def clock_offset(self, offset_ns: int) -> None:
        self._engine.market.clock_offset_ns = offset_ns

    def exchange_status(self, status: str, now: Ns) -> None:
        self._engine.set_exchange_status(status, now)

    def fault(self, kind: str, detail: str, now: Ns) -> None:
        self._engine.faults[kind] = self._engine.faults.get(kind, 0) + 1
        self._engine.last_fault[kind] = detail

    def alert(self, severity: Severity, topic: str, text: str, now: Ns) -> None:
        self._engine.out.notify(severity, topic, text, now)


class EngineDetectorPort:
    """One detector's way in (`spi.DetectorPort`)."""

    def __init__(self, engine: "Engine", detector: Detector) -> None:
        self._engine = engine
        self.detector = detector
        self.break_even = engine.offers.break_even
        self.required = engine.offers.required
        self.start_assets = engine.offers.start_assets
        self.taker_rate = engine.offers.taker_rate

    def holdings(self) -> Sequence[Holdings]:
        own = [desk.holdings(self.detector.name) for desk in self._engine.desks]
        return [one for one in own if one is not None]

    def wake_at(self, due: Ns) -> None:
        self._engine.timers.at(due, lambda now: self._engine.wake(self.detector, now))


class EngineDeskPort:
    """One desk's way in (`desk.DeskPort`)."""

    def __init__(self, engine: "Engine", desk: Desk) -> None:
        self._engine = engine
        self._desk = desk
        self.clockwork = engine.timers
        self.market = engine.market
        self.appearances = engine.appearances

    @property
    def blocked(self) -> str | None:
        if self._engine.halted is not None:
            return f"halted: {self._engine.halted}"
        if self._engine.journal_lost is not None:
            return f"journal lost: {self._engine.journal_lost}"
        return "shutting down" if self._engine.draining else None

    @property
    def exchange_status(self) -> str:
        return self._engine.exchange_status

    @property
    def now(self) -> Ns:
        return self._engine.now

    @property
    def journal_lost(self) -> bool:
        return self._engine.journal_lost is not None

    def append(self, record: Record, durable: Callable[[Ns], None] | None = None) -> None:
        self._engine.out.append(record, durable)

    def send(self, order: Order) -> None:
        self._engine.out.command(Send(self._desk.id, order))

    def notify(self, severity: Severity, topic: str, text: str, now: Ns) -> None:
        self._engine.out.notify(severity, topic, text, now)

    def fees_record(self, fees: FeeSnapshot) -> Fields:
        """Of over a thousand pairs: written out once for all desks that are given the same."""
        return {**self._engine.offers.fees_record(fees), "desk": self._desk.id}

    def offer_again(self) -> None:
        self._engine.offer_again(self._desk)

    def taken_on(self, pair: PairId) -> None:
        self._engine.taken_on(pair, self._desk)

    @property
    def meter(self) -> Meter | None:
        return self._engine.meter

    def executor_failed(self, name: str, error: BaseException, now: Ns) -> None:
        self._engine.in_use.failed(Part.EXECUTOR, name, error, now, self._desk)
