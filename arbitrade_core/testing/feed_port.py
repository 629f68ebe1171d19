"""The engine's side of a feed: remembers what the feed asked for and told, on simulated time."""

from collections.abc import Sequence
from dataclasses import dataclass

from arbitrade_core.book import Book
from arbitrade_core.domain import Asset, Ns, Pair, PairId, Severity
from arbitrade_core.errors import InvariantError
from arbitrade_core.events import ConnId
from arbitrade_core.market import Market
from arbitrade_core.testing.clock import SimClock


@dataclass(frozen=True, slots=True)
class Connection:
    conn: ConnId
    url: str
    asked_ns: Ns


class FakeFeedPort:
    """Implements `spi.FeedPort`. Connections open and close when a test says so to the feed."""

    def __init__(self, clock: SimClock | None = None) -> None:
        self.clock = clock or SimClock()
        self.market = Market()
        self.connections: list[Connection] = []
        """every one that was asked for"""
        self.open: set[ConnId] = set()
        """those that the feed has not closed"""
        self.sent: list[tuple[ConnId, bytes]] = []
        self.listed: list[str] = []
        """symbols, in the order in which they were first listed"""
        self.carrier: dict[PairId, ConnId | None] = {}
        self.quarantined: list[tuple[str, str]] = []
        self.faults: list[tuple[str, str]] = []
        """(kind, detail)"""
        self.alerts: list[tuple[Severity, str, str]] = []
        """(severity, topic, text)"""
        self.status = "unknown"
        self.clock_offset_ns: int | None = None
        self.calls: list[str] = []
        """everything above in order, for comparing runs"""

    @property
    def clockwork(self) -> SimClock:
        return self.clock

    def connect(self, url: str) -> ConnId:
        conn = len(self.connections) + 1
        self.connections.append(Connection(conn, url, self.clock.now))
        self.open.add(conn)
        self._note("connect", url)
        return conn

    def transmit(self, conn: ConnId, data: bytes) -> None:
        """Raises InvariantError for a connection that was never asked for; one that is gone swallows it."""
        if not 0 < conn <= len(self.connections):
            raise InvariantError(f"transmit on connection {conn!r}, which `connect` never gave")
        self.sent.append((conn, data))
        self._note("transmit", conn, data)

    def disconnect(self, conn: ConnId) -> None:
        self.open.discard(conn)
        self._note("disconnect", conn)

    def closes(self, conn: ConnId) -> None:
        """The other side ended it; tell the feed with `on_close`."""
        self.open.discard(conn)

    def list_assets(self, assets: Sequence[Asset]) -> None:
        self.market.assets.update((asset.symbol, asset) for asset in assets)
        self._note("list_assets", [asset.symbol for asset in assets])

    def list_pairs(self, pairs: Sequence[Pair], now: Ns) -> list[PairId]:
        self.listed += [pair.symbol for pair in pairs if pair.symbol not in self.listed]
        self._note("list_pairs", [pair.symbol for pair in pairs])
        return [self.market.list_pair(pair)[0] for pair in pairs]

    def book(self, pair: PairId) -> Book:
        return self.market.books[pair]

    def carried_by(self, pair: PairId, conn: ConnId | None, now: Ns) -> None:
        self.carrier[pair] = conn
        self._note("carried_by", pair, conn)

    def quarantine(self, pair: PairId, reason: str, now: Ns) -> None:
        self.quarantined.append((self.market.pairs[pair].symbol, reason))
        self._note("quarantine", pair, reason)

    def clock_offset(self, offset_ns: int) -> None:
        self.clock_offset_ns = offset_ns
        self._note("clock_offset", offset_ns)

    def exchange_status(self, status: str, now: Ns) -> None:
        self.status = status
        self._note("exchange_status", status)

    def fault(self, kind: str, detail: str, now: Ns) -> None:
        self.faults.append((kind, detail))
        self._note("fault", kind, detail)

    def alert(self, severity: Severity, topic: str, text: str, now: Ns) -> None:
        self.alerts.append((severity, topic, text))
        self._note("alert", severity, topic, text)

    def _note(self, call: str, *values: object) -> None:
        self.calls.append(f"{self.clock.now} {call} {values!r}")
