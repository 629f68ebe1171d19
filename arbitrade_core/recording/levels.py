"""The books of a recording, without a bot: what its frames say of them, level by level, and whether that is proven."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from arbitrade_core.book import Book
from arbitrade_core.clock import Timers
from arbitrade_core.domain import Asset, Ns, Pair, PairId, Severity
from arbitrade_core.errors import InvariantError
from arbitrade_core.events import BookUpdate, Closed, ConnId, Frame
from arbitrade_core.market import IGNORED, Market
from arbitrade_core.recording.entries import Entry, Gap, State, Via
from arbitrade_core.spi import Feed

VERIFIED_LEVELS = 10
"""a side, of a feed that does not say how deep its books are"""


class Said(msgspec.Struct):
    """One message about a book in use, or that came into use with it."""

    pair: Pair
    update: BookUpdate
    """its levels are read"""
    proven: bool
    """whether its checksum is that of the book with this update"""
    now: Ns


class Levels:
    """Give it a recording's entries in order. `followers`: feeds that listen, one for each that was recorded."""

    def __init__(self, followers: Iterable[Feed]) -> None:
        feeds = list(followers)
        self.market = Market(max((getattr(feed, "depth", VERIFIED_LEVELS) for feed in feeds), default=VERIFIED_LEVELS))
        self.proven = 0
        self.wrong = 0
        """messages whose checksum was not that of the book"""
        self.carried: set[str] = set()
        """symbols of the pairs of which a message was proven"""
        self.faults: dict[str, int] = {}
        self.last_fault: dict[str, str] = {}
        self._ports = {feed.name: _Port(self, feed) for feed in feeds}
        self._by_conn: dict[ConnId, _Port] = {}

    def take(self, entry: Entry) -> Iterator[Said]:
        """What the entry says of books."""
        match entry:
            case Frame(conn, data, now) | State(conn, data, now):
                port = self._by_conn.get(conn)
                if port is None and len(self._ports) == 1:  # the recording is read from its middle
                    (port,) = self._ports.values()
                    self._by_conn[conn] = port
                if port is not None:
                    yield from self._frame(port, conn, data, now)
            case Via(conn, name, _):
                if name in self._ports:
                    self._by_conn[conn] = self._ports[name]
            case Closed(conn, code, reason, now):
                port = self._by_conn.pop(conn, None)
                if port is not None:
                    port.feed.on_close(conn, code, reason, now)
            case Gap(_, now, _, reason):
                for conn, port in list(self._by_conn.items()):
                    # Nothing is known across it: books come back with snapshots.
                    port.feed.on_close(conn, 0, reason, now)
            case _:
                pass

    def _frame(self, port: "_Port", conn: ConnId, data: bytes, now: Ns) -> Iterator[Said]:
        for update in port.feed.on_frame(conn, data, now):
            proven = self._apply(port, update, now)
            if proven is not None:
                pair = self.market.pairs[update.pair]
                yield Said(pair, update, proven, now)
        if port.listed_anew:
            port.listed_anew = False
            port.feed.carry(sorted(port.listed), now)

    def _apply(self, port: "_Port", update: BookUpdate, now: Ns) -> bool | None:
        """Whether it is proven; None: it cannot be used."""
        market, pair = self.market, update.pair
        if update.snapshot:
            proven = market.restore(update, now) != IGNORED
        elif market.apply(update, now) == IGNORED:
            return None
        else:
            proven = update.verify(market.books[pair])
        if proven:
            self.proven += 1
            self.carried.add(market.pairs[pair].symbol)
        else:
            self.wrong += 1
            port.quarantine(pair, "checksum mismatch", now)
        return proven


class _Port:
    """Implements `spi.FeedPort` for a feed that listens: it never asks for a connection or a timer."""

    def __init__(self, levels: Levels, feed: Feed) -> None:
        self.feed = feed
        self.clockwork = Timers()
        self.listed: set[PairId] = set()
        self.listed_anew = False
        self._levels = levels
        self._market = levels.market
        feed.start(self, 0)

    def connect(self, url: str) -> ConnId:
        raise InvariantError(f"feed {self.feed.name!r} asks for {url}, though it was to listen only")

    def transmit(self, conn: ConnId, data: bytes) -> None: ...
    def disconnect(self, conn: ConnId) -> None: ...
    def list_assets(self, assets: Sequence[Asset]) -> None:
        self._market.assets.update((asset.symbol, asset) for asset in assets)

    def list_pairs(self, pairs: Sequence[Pair], now: Ns) -> list[PairId]:
        ids = [self._market.list_pair(pair)[0] for pair in pairs]
        self.listed_anew = self.listed_anew or not self.listed.issuperset(ids)
        self.listed.update(ids)
        return ids

    def book(self, pair: PairId) -> Book:
        return self._market.books[pair]

    def carried_by(self, pair: PairId, conn: ConnId | None, now: Ns) -> None:
        self._market.carried_by(pair, conn)

    def quarantine(self, pair: PairId, reason: str, now: Ns) -> None:
        self._market.quarantine(pair, reason)
        self.feed.resync(pair, now)

    def clock_offset(self, offset_ns: int) -> None:
        self._market.clock_offset_ns = offset_ns

    def exchange_status(self, status: str, now: Ns) -> None: ...
    def fault(self, kind: str, detail: str, now: Ns) -> None:
        faults = self._levels.faults
        faults[kind] = faults.get(kind, 0) + 1
        self._levels.last_fault[kind] = detail

    def alert(self, severity: Severity, topic: str, text: str, now: Ns) -> None: ...
