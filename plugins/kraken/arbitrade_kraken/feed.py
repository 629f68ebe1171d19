"""Kraken's market data as the core's `spi.Feed`: which pairs exist, which connection carries which book.

The first link also carries the `instrument` channel. Pairs are spread over links of `symbols_per_socket`, and
stay where they are as long as they are wanted. What one connection does is in `link.py`.
"""

from collections import Counter, deque
from collections.abc import Collection, Sequence

from arbitrade_core.domain import Ns, Pair, PairId
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.spi import CaptureReader, Feed, FeedPort
from arbitrade_kraken.captures import FORMS
from arbitrade_kraken.follower import KrakenFollower
from arbitrade_kraken.link import Link, LinkPolicy
from arbitrade_kraken.listings import Listings
from arbitrade_kraken.protocol import ClockSample, Event, Instruments, Status
from arbitrade_kraken.settings import KrakenSettings
from arbitrade_kraken.writing import pong_frame

_CLOCK_SAMPLES = 8


class KrakenFeed:
    """Implements `spi.Feed` and `spi.Recordable`.

    Feeding it bytes never raises; what Kraken does wrong is a `FeedPort.fault`.
    """

    name = "kraken"
    _port: FeedPort
    """from `start` on"""

    def __init__(self, settings: KrakenSettings) -> None:
        self._settings = settings
        self._policy = LinkPolicy(settings)
        self._links: list[Link] = []
        self._by_conn: dict[ConnId, Link] = {}
        self._listings = Listings()
        self._wanted: frozenset[PairId] = frozenset()
        self._carrier: dict[str, Link] = {}
        self._clock: deque[ClockSample] = deque(maxlen=_CLOCK_SAMPLES)
        self._left_over: Counter[str] = Counter()

    @property
    def depth(self) -> int:
        """Levels a side of every book: the market keeps as many."""
        return self._settings.depth

    @property
    def ignored(self) -> Counter[str]:
        """Frames and books left aside without being faults, by kind, since the start."""
        return sum((link.books.ignored for link in self._links), self._left_over.copy())

    # --- what the engine asks for ---

    def start(self, port: FeedPort, now: Ns) -> None:
        self._port = port
        self._listings = Listings()
        self._carrier.clear()
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
        symbol = self._listings.symbols.get(pair, "")
        link = self._carrier.get(symbol)
        if link is not None:
            link.books.resync(symbol, now)
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

    # --- recordings ---

    def state(self, pairs: Collection[PairId], now: Ns) -> Sequence[tuple[ConnId, bytes]]:
        """See `spi.Recordable`. With the listing goes a pong that nobody asked for, which tells a follower what the
        clock offset was: that took pings to find, and what we send is in no recording."""
        if not pairs:
            return self._state_of_exchange(now)
        frames: list[tuple[ConnId, bytes]] = []
        for pair in pairs:
            symbol = self._listings.symbols.get(pair, "")
            link = self._carrier.get(symbol)
            reader = None if link is None else link.books.live.get(symbol)
            if link is not None and link.conn is not None and reader is not None:
                frames.append((link.conn, reader.snapshot(symbol, self._port.book(pair))))
        return frames

    def _state_of_exchange(self, now: Ns) -> Sequence[tuple[ConnId, bytes]]:
        conn = self._links[0].conn if self._links else None
        if conn is None:
            return ()
        frames = self._listings.frames()
        if self._clock:
            frames.append(pong_frame(now + self._clock_offset_ns()))
        return [(conn, frame) for frame in frames]

    def follower(self) -> Feed:
        return KrakenFollower(self._settings)

    def captures(self) -> Sequence[CaptureReader]:
        return FORMS

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
        wanted = self._listings.with_book(self._wanted)
        touched: list[Link] = []
        for symbol in [symbol for symbol in self._carrier if symbol not in wanted]:
            link = self._carrier.pop(symbol)
            link.drop(symbol, now)
            touched.append(link)
        for symbol, pair_id in wanted.items():
            if symbol not in self._carrier:
                self._carrier[symbol] = link = self._roomy_link()
                link.add(pair_id, self._listings.pairs[symbol], now)
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

    def _clock_offset_ns(self) -> int:
        return min(self._clock, key=lambda sample: sample.round_trip_ns).offset_ns

    def _on_event(self, event: Event, now: Ns) -> None:
        match event:
            case Status():
                self._policy.calm = event.system != "online"
                self._listings.status(event, self._port, now)
            case ClockSample():
                self._clock.append(event)
                self._port.clock_offset(self._clock_offset_ns())
            case Instruments():
                self._on_instruments(event, now)
            case _:
                pass  # links keep the rest to themselves

    def _on_instruments(self, event: Instruments, now: Ns) -> None:
        pairs = self._listings.instruments(event, self._port, now)
        if pairs is None:
            self._links[0].restart(now)  # what it listed is unknown: only a new snapshot tells
        elif pairs:
            self._relist(pairs, now)

    def _relist(self, pairs: Sequence[Pair], now: Ns) -> None:
        touched: dict[Link, None] = {}
        for pair in pairs:
            link = self._carrier.get(pair.symbol)
            if link is not None:
                link.books.relist(pair, now)
                touched[link] = None
        self._assign(now)
        for link in touched:
            link.pump(now)
