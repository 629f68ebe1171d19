"""Kraken's market data as the core's `spi.Feed`: which pairs exist, which connection carries which book.

The first link also carries the `instrument` channel. Pairs are spread over links of `symbols_per_socket`, and
stay where they are as long as they are wanted. What one connection does is in `link.py`.
"""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import replace

from arbitrade_core.domain import Ns, Pair, PairId, PairStatus, Severity
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.spi import FeedPort
from arbitrade_kraken.instrument import Listing, read_instruments
from arbitrade_kraken.link import Link, LinkPolicy
from arbitrade_kraken.protocol import ClockSample, Event, Instruments, Status
from arbitrade_kraken.settings import KrakenSettings

WITHOUT_BOOK = frozenset({PairStatus.DELISTED, PairStatus.WORK_IN_PROGRESS, PairStatus.UNKNOWN})
"""Statuses in which a book is not asked for. In every other one it is kept, to be there when trading resumes.
"""
_CLOCK_SAMPLES = 8


class KrakenFeed:
    """Implements `spi.Feed`. Feeding it bytes never raises; what Kraken does wrong is a `FeedPort.fault`."""

    name = "kraken"
    _port: FeedPort
    """from `start` on"""

    def __init__(self, settings: KrakenSettings) -> None:
        self._settings = settings
        self._policy = LinkPolicy(settings)
        self._links: list[Link] = []
        self._by_conn: dict[ConnId, Link] = {}
        self._pairs: dict[str, Pair] = {}
        self._ids: dict[str, PairId] = {}
        self._symbols: dict[PairId, str] = {}
        self._wanted: frozenset[PairId] = frozenset()
        self._carrier: dict[str, Link] = {}
        self._clock: deque[ClockSample] = deque(maxlen=_CLOCK_SAMPLES)
        self._announced: set[str] = set()
        self._left_over: Counter[str] = Counter()

    @property
    def ignored(self) -> Counter[str]:
        """Frames and books left aside without being faults, by kind, since the start."""
        return sum((link.books.ignored for link in self._links), self._left_over.copy())

    # --- what the engine asks for ---

    def start(self, port: FeedPort, now: Ns) -> None:
        self._port = port
        self._links = [self._new_link(control=True)]
        self._links[0].pump(now)

    def stop(self, now: Ns) -> None:
        for link in self._links:
            link.close(now)
        self._by_conn.clear()

    def carry(self, pairs: Collection[PairId], now: Ns) -> None:
        self._wanted = frozenset(pairs)
        self._assign(now)

    def resync(self, pair: PairId, now: Ns) -> None:
        link = self._carrier.get(self._symbols.get(pair, ""))
        if link is not None:
            link.books.resync(self._symbols[pair], now)
            link.pump(now)

    def on_open(self, conn: ConnId, now: Ns) -> None:
        link = self._by_conn.get(conn)
        if link is not None:
            link.opened(now)

    def on_close(self, conn: ConnId, code: int, reason: str, now: Ns) -> None:
        link = self._by_conn.pop(conn, None)
        if link is not None and link.conn == conn:
            link.closed(code, reason, now)

    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        link = self._by_conn.get(conn)
        if link is None or link.conn != conn:
            self._left_over["closed_connection"] += 1
            return ()
        return link.receive(data, now)

    # --- links ---

    def _new_link(self, *, control: bool = False) -> Link:
        return Link(self._port, self._policy, self._connected, self._on_event, control=control)

    def _connected(self, link: Link, conn: ConnId) -> None:
        self._by_conn = {known: other for known, other in self._by_conn.items() if other is not link}
        self._by_conn[conn] = link

    def _assign(self, now: Ns) -> None:
        """Bring the links in line with what is wanted and has a book."""
        if not self._links:
            return  # not started yet
        wanted = {
            symbol: pair_id
            for symbol, pair_id in self._ids.items()
            if pair_id in self._wanted and self._pairs[symbol].status not in WITHOUT_BOOK
        }
        touched: list[Link] = []
        for symbol in [symbol for symbol in self._carrier if symbol not in wanted]:
            link = self._carrier.pop(symbol)
            link.books.drop(symbol, now)
            touched.append(link)
        for symbol, pair_id in wanted.items():
            if symbol not in self._carrier:
                self._carrier[symbol] = link = self._roomy_link()
                link.books.add(pair_id, self._pairs[symbol], now)
                touched.append(link)
        for link in dict.fromkeys(touched):
            if link.books.size == 0 and link is not self._links[0]:
                link.close(now)
                self._links.remove(link)
                self._left_over += link.books.ignored
            else:
                link.pump(now)

    def _roomy_link(self) -> Link:
        for link in self._links:
            if link.books.size < self._settings.symbols_per_socket:
                return link
        self._links.append(self._new_link())
        return self._links[-1]

    # --- what Kraken says ---

    def _on_event(self, event: Event, now: Ns) -> None:
        match event:
            case Status():
                self._on_status(event, now)
            case ClockSample():
                self._clock.append(event)
                best = min(self._clock, key=lambda sample: sample.round_trip_ns)
                self._port.clock_offset(best.offset_ns)
            case Instruments():
                self._on_instruments(event, now)
            case _:
                pass  # links keep the rest to themselves

    def _on_status(self, status: Status, now: Ns) -> None:
        self._policy.calm = status.system != "online"
        self._port.exchange_status(status.system, now)
        notices = [(Severity.WARNING, "feed.maintenance", f"Kraken announces: {text}") for text in status.maintenance]
        notices += [(Severity.CRITICAL, "feed.emergency", f"Kraken reports: {text}") for text in status.emergency]
        for severity, topic, text in notices:
            if text not in self._announced:
                self._announced.add(text)
                self._port.alert(severity, topic, text, now)

    def _on_instruments(self, event: Instruments, now: Ns) -> None:
        try:
            listing = read_instruments(event.data)
        except ProtocolError as error:
            self._port.fault("malformed_instruments", str(error), now)
            self._links[0].restart(now)  # what it listed is unknown: only a new snapshot tells
            return
        for oddity in listing.oddities:
            self._port.fault("unknown_pair_status", oddity, now)
        if listing.assets:
            self._port.list_assets(listing.assets)
        self._list(self._changed(listing, event.snapshot, now), now)

    def _changed(self, listing: Listing, snapshot: bool, now: Ns) -> list[Pair]:
        """Pairs that are new or differ from what we knew."""
        pairs = {pair.symbol: pair for pair in listing.pairs}
        for entry in listing.bad:
            self._port.fault(
                "malformed_instrument", f"{entry.symbol or 'an entry without a symbol'}: {entry.reason}", now
            )
            if entry.symbol in self._pairs:
                # What it is now cannot be known: out of use until an entry can be read again.
                pairs[entry.symbol] = replace(self._pairs[entry.symbol], status=PairStatus.UNKNOWN)
        if snapshot:
            for symbol, pair in self._pairs.items():
                if symbol not in pairs:
                    pairs[symbol] = replace(pair, status=PairStatus.DELISTED)
        return [pair for symbol, pair in pairs.items() if self._pairs.get(symbol) != pair]

    def _list(self, pairs: list[Pair], now: Ns) -> None:
        if not pairs:
            return
        ids = self._port.list_pairs(pairs, now)
        for pair, pair_id in zip(pairs, ids, strict=True):
            self._pairs[pair.symbol] = pair
            self._ids[pair.symbol] = pair_id
            self._symbols[pair_id] = pair.symbol
        touched: dict[Link, None] = {}
        for pair in pairs:
            link = self._carrier.get(pair.symbol)
            if link is not None:
                link.books.relist(pair, now)
                touched[link] = None
        self._assign(now)
        for link in touched:
            link.pump(now)
