"""What one connection says, read: shared by the link that asked for it and the follower that overhears it.

Nearly every frame is an update of one live book: that is the short way through `Hearing.receive`. All else is told to
`HeardBooks` and to whoever owns the connection.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from arbitrade_core.domain import Ns, Pair, PairId
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.spi import FeedPort
from arbitrade_kraken import protocol
from arbitrade_kraken.books import BookReader, KrakenBookUpdate, Levels
from arbitrade_kraken.protocol import Answer, Event
from arbitrade_kraken.wire import DECODE_ERRORS, WireBook, decode_book_frame, decode_lexeme_book

_MOST_BLAMED = 5
_TRADES = b'{"channel":"trade",'
"""what is recorded and not read, and comes often"""
_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"\\]{1,40})"')


@dataclass(slots=True, eq=False)
class HeardBook:
    """One pair's book."""

    id: PairId
    pair: Pair
    reader: BookReader


class HeardBooks[B: HeardBook](ABC):
    """The books that one connection may speak of."""

    def __init__(self, port: FeedPort, by_symbol: dict[str, B], ignored: Counter[str]) -> None:
        self._port = port
        self.by_symbol = by_symbol
        self.ignored = ignored
        """books and frames that were left aside without being faults, by kind"""
        self.live: dict[str, BookReader] = {}
        """readers of the books whose updates go to the market: all that nearly every frame needs to know"""

    @abstractmethod
    def listening(self, symbol: str, snapshot: bool, now: Ns) -> B | None:
        """The book, when its messages are to be read now."""

    @abstractmethod
    def restored(self, book: B, update: BookUpdate, conn: ConnId | None, now: Ns) -> bool:
        """Its snapshot was read: it is live. False: the market is not to hear of it."""

    @abstractmethod
    def distrust(self, book: B, reason: str, now: Ns) -> None:
        """What was said of it cannot be true: out of use until a snapshot."""

    def read_exactly(self, data: bytes, snapshot: bool, conn: ConnId | None, now: Ns) -> BookUpdate | None:
        """A book by the slow path; None when it is not to be read, or cannot be: then it is distrusted."""
        try:
            message = decode_lexeme_book(data)
        except DECODE_ERRORS as error:
            self._port.fault("malformed_book", f"{error}: {data[:160].decode('utf-8', 'replace')}", now)
            self.blame(data, "malformed_book", now)
            return None
        book = self.listening(message.symbol, snapshot, now)
        if book is None:
            return None
        try:
            update = book.reader.read_exactly(message, snapshot)
        except ProtocolError as error:
            self._port.fault("bad_level", f"{message.symbol}: {error}", now)
            self.distrust(book, f"a message that cannot be true: {error}", now)
            return None
        if snapshot and not self.restored(book, update, conn, now):
            return None
        return update

    def blame(self, data: bytes, kind: str, now: Ns) -> None:
        """An unreadable frame may have held a change of the pair it names: its book is not to be trusted."""
        names = dict.fromkeys(_SYMBOL.findall(data))
        if len(names) > _MOST_BLAMED:
            return  # a list of instruments, not a book
        for name in names:
            book = self.by_symbol.get(name.decode("utf-8", "replace"))
            if book is not None:
                self.distrust(book, f"a frame that names it could not be read ({kind})", now)


class Hearing[B: HeardBook](ABC):
    """One connection's frames: updates for the market, and events for whoever owns it."""

    def __init__(self, port: FeedPort, books: HeardBooks[B], on_event: Callable[[Event, Ns], None]) -> None:
        """`on_event` hears of status, clock, heartbeats and instruments."""
        self.conn: ConnId | None = None
        self._port = port
        self._heard = books
        self._live = books.live
        self._on_event = on_event
        self._frame = b""
        """the newest that was handed over unread"""
        self._heard_at: Ns = 0

    @abstractmethod
    def _events(self, data: bytes, now: Ns) -> Sequence[Event]:
        """What a frame says that is not a book frame of the short way."""

    @abstractmethod
    def _answered(self, answer: Answer, now: Ns) -> None:
        """An answer to a request."""

    @abstractmethod
    def _after(self, now: Ns) -> None:
        """Events were handled: do what is due because of them."""

    def receive(self, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        """A frame: updates for the market, already in its units. Never raises."""
        self._heard_at = now
        try:
            frame = decode_book_frame(data)
        except DECODE_ERRORS:
            if data.startswith(_TRADES):
                self._heard.ignored["trade"] += 1
                return ()
            return self._receive_slowly(data, now)
        books = frame.data
        if frame.type == "update" and len(books) == 1:
            # What nearly every frame is: one book that is live.
            book = books[0]
            reader = self._live.get(book.symbol)
            if reader is not None:
                self._frame = data
                return (reader.quote(book),)
        return self._receive_books(books, data, frame.type == "snapshot", now)

    def _receive_books(self, read: list[WireBook], data: bytes, snapshot: bool, now: Ns) -> Sequence[BookUpdate]:
        books = self._heard
        updates: list[KrakenBookUpdate] = []
        for message in read:
            book = books.listening(message.symbol, snapshot, now)
            if book is None:
                continue
            update = book.reader.read(message, snapshot)
            if update is None:
                return self._receive_slowly(data, now)
            if not snapshot or books.restored(book, update, self.conn, now):
                updates.append(update)
        return updates

    def _receive_slowly(self, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        updates: list[BookUpdate] = []
        for event in self._events(data, now):
            self._handle(event, data, updates, now)
        self._after(now)
        return updates

    def read_slowly(self) -> Levels | None:
        """Its levels could not be read from doubles: now exactly, or it is a fault of the pair it names."""
        updates = self._receive_slowly(self._frame, self._heard_at)
        return (updates[0].bids, updates[0].asks) if updates else None

    def _handle(self, event: Event, data: bytes, updates: list[BookUpdate], now: Ns) -> None:
        match event:
            case protocol.SlowBook():
                read = [self._heard.read_exactly(book, event.snapshot, self.conn, now) for book in event.books]
                updates += [update for update in read if update is not None]
            case protocol.Fault():
                self._port.fault(event.kind, event.detail, now)
                if event.kind in ("malformed_frame", "unknown_message"):
                    self._heard.blame(data, event.kind, now)
            case protocol.Unread():
                self._heard.ignored[event.channel] += 1
            case protocol.Subscribed() | protocol.Unsubscribed() | protocol.Refused() | protocol.Warned():
                self._answered(event, now)
            case protocol.Instruments() | protocol.Status() | protocol.ClockSample() | protocol.Heartbeat():
                self._on_event(event, now)
            case _:
                assert_never(event)


def grid(pair: Pair) -> tuple[object, ...]:
    """What a book's numbers rest on: after a change only a snapshot tells what they are."""
    return pair.price_decimals, pair.qty_decimals, pair.tick, pair.lot
