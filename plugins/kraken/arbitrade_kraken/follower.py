"""Kraken's market data as it was recorded: the feed of replays, which listens and asks for nothing.

It decodes, converts and proves books with the code of the live feed. What it cannot know, because what we send is in no
recording: when a subscription was given up without an answer having come. Such a book goes out of use when its
connection says or does something about it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import override

from arbitrade_core.book import Book
from arbitrade_core.domain import Ns, Pair, PairId
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.spi import FeedPort
from arbitrade_kraken.books import BookReader
from arbitrade_kraken.hearing import HeardBook, HeardBooks, Hearing, grid
from arbitrade_kraken.listings import Listings
from arbitrade_kraken.protocol import Answer, ClockSample, Event, Instruments, Status, Unsubscribed, overheard
from arbitrade_kraken.settings import KrakenSettings

_UPDATE = b'{"channel":"book","type":"update","data":[{"symbol":"'
_NAME_AT = len(_UPDATE)
_KEY = b'"symbol":"'


@dataclass(slots=True, eq=False)
class FollowedBook(HeardBook):
    """One pair that is read."""

    carrier: "Overheard | None" = None
    """the connection that the market was told carries it"""


class KrakenFollower:
    """Implements `spi.Feed`, for recordings of `KrakenFeed` (see `spi.Recordable.follower`).

    The clock offset is that which the recording feed had found: its state frames tell. Before the first of them, and in
    captures made elsewhere, it is 0.
    """

    name = "kraken"
    port: FeedPort
    """from `start` on"""

    def __init__(self, settings: KrakenSettings) -> None:
        self.depth = settings.depth
        self.left_aside: Counter[str] = Counter()
        self._skipped = 0
        """frames that were not even decoded"""
        self._listings = Listings()
        self._wanted: frozenset[PairId] = frozenset()
        self.followed: dict[str, FollowedBook] = {}
        self._by_conn: dict[ConnId, Overheard] = {}
        self._skip: set[bytes] = set()
        """symbols, as they stand in frames, of which a book came that is not read"""

    @property
    def ignored(self) -> Counter[str]:
        """Frames and books left aside without being faults, by kind, since the start."""
        return self.left_aside + Counter(unwanted=self._skipped)

    # --- what the engine asks for ---

    def start(self, port: FeedPort, now: Ns) -> None:
        self.port = port

    def stop(self, now: Ns) -> None:
        self._by_conn.clear()

    def carry(self, pairs: Collection[PairId], now: Ns) -> None:
        self._wanted = frozenset(pairs)
        self._assign(now)

    def resync(self, pair: PairId, now: Ns) -> None:
        book = self.followed.get(self._listings.symbols.get(pair, ""))
        if book is not None:
            self.suspend(book)

    def on_open(self, conn: ConnId, now: Ns) -> None:
        pass  # nothing depends on it: what is read may begin later

    def on_close(self, conn: ConnId, code: int, reason: str, now: Ns) -> None:
        heard = self._by_conn.pop(conn, None)
        if heard is not None:
            for book in self.followed.values():
                if book.carrier is heard:
                    self.let_go(book, now)

    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        if self._skip and data.startswith(_UPDATE):
            # Nearly every frame of a pair that is not read ends here, undecoded.
            end = data.find(b'"', _NAME_AT)
            if data[_NAME_AT:end] in self._skip and data.find(_KEY, end) < 0:
                self._skipped += 1
                return ()
        heard = self._by_conn.get(conn)
        if heard is None:
            heard = self._by_conn[conn] = Overheard(self, conn)
        return heard.receive(data, now)

    # --- books ---

    def _assign(self, now: Ns) -> None:
        """Follow what is wanted and has a book, from its next snapshot on."""
        self._skip.clear()
        wanted = self._listings.with_book(self._wanted)
        for symbol in [symbol for symbol in self.followed if symbol not in wanted]:
            self.let_go(self.followed.pop(symbol), now)
        for symbol, pair_id in wanted.items():
            if symbol not in self.followed:
                pair = self._listings.pairs[symbol]
                self.followed[symbol] = FollowedBook(pair_id, pair, self._reader(pair_id, pair))

    def suspend(self, book: FollowedBook) -> None:
        """Its updates are not read until a snapshot came."""
        if book.carrier is not None:
            book.carrier.books.live.pop(book.pair.symbol, None)

    def let_go(self, book: FollowedBook, now: Ns) -> None:
        """No connection carries it any more."""
        self.suspend(book)
        if book.carrier is not None:
            book.carrier = None
            self.port.carried_by(book.id, None, now)

    # --- what Kraken says ---

    def on_event(self, event: Event, now: Ns) -> None:
        match event:
            case Status():
                self._listings.status(event, self.port, now)
            case ClockSample():
                self.port.clock_offset(event.offset_ns)
            case Instruments():
                for pair in self._listings.instruments(event, self.port, now) or ():
                    self._relist(pair, now)
                self._assign(now)
            case _:
                pass

    def _relist(self, pair: Pair, now: Ns) -> None:
        book = self.followed.get(pair.symbol)
        if book is None:
            return
        old, book.pair = book.pair, pair
        if grid(old) != grid(pair):
            live = book.carrier is not None and pair.symbol in book.carrier.books.live
            self.suspend(book)
            book.reader = self._reader(book.id, pair)
            if live:
                self.port.quarantine(book.id, "its precision or increments changed", now)

    def _reader(self, pair_id: PairId, pair: Pair) -> BookReader:
        return BookReader(pair_id, pair.price_decimals, pair.qty_decimals, self.depth)

    def unwanted(self, symbol: str) -> None:
        """A book came that is not read."""
        self.left_aside["unwanted"] += 1
        if symbol in self._listings.pairs:
            self._skip.add(symbol.encode())


class OverheardBooks(HeardBooks[FollowedBook]):
    """All the books that are read, and which of them this connection carries: those in `live`."""

    def __init__(self, feed: KrakenFollower, heard: "Overheard") -> None:
        super().__init__(feed.port, feed.followed, feed.left_aside)
        self._feed = feed
        self._heard = heard

    @override
    def listening(self, symbol: str, snapshot: bool, now: Ns) -> FollowedBook | None:
        book = self.by_symbol.get(symbol)
        if book is None:
            self._feed.unwanted(symbol)
            return None
        if snapshot or symbol in self.live:
            return book
        self.ignored["before_snapshot"] += 1
        return None

    @override
    def restored(self, book: FollowedBook, update: BookUpdate, conn: ConnId | None, now: Ns) -> bool:
        symbol, carrier = book.pair.symbol, book.carrier
        if symbol in self.live and _holds(self._port.book(book.id), update):
            return False
        if carrier is not self._heard:
            self._feed.suspend(book)
            book.carrier = self._heard
            self._port.carried_by(book.id, conn, now)
        book.reader.slowly = self._heard.read_slowly
        self.live[symbol] = book.reader
        return True

    @override
    def distrust(self, book: FollowedBook, reason: str, now: Ns) -> None:
        self._feed.suspend(book)
        self._port.quarantine(book.id, reason, now)

    def left(self, symbol: str, now: Ns) -> None:
        """Whoever subscribed on this connection did not want it any more."""
        book = self.by_symbol.get(symbol)
        if book is not None and symbol in self.live:
            self._feed.let_go(book, now)


class Overheard(Hearing[FollowedBook]):
    """One recorded connection."""

    def __init__(self, feed: KrakenFollower, conn: ConnId) -> None:
        self.books = OverheardBooks(feed, self)
        super().__init__(feed.port, self.books, feed.on_event)
        self.conn = conn
        self._depth = feed.depth

    @override
    def _events(self, data: bytes, now: Ns) -> Sequence[Event]:
        return overheard(data, self._depth, now)

    @override
    def _after(self, now: Ns) -> None:
        pass  # nothing is ever due

    @override
    def _answered(self, answer: Answer, now: Ns) -> None:
        if isinstance(answer, Unsubscribed):
            self.books.left(answer.symbol, now)


def _holds(book: Book, snapshot: BookUpdate) -> bool:
    """Whether the snapshot says what is known."""
    bids, asks = book.bids, book.asks
    return (
        len(snapshot.bids) == len(bids.keys)
        and len(snapshot.asks) == len(asks.keys)
        and bids.levels() == list(snapshot.bids)
        and asks.levels() == list(snapshot.asks)
    )
