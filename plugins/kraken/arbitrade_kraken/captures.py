"""Captures made elsewhere, one message a line, as dated frames that the follower reads.

They tell less than a recording does, so some of it is made up. Receive times: a frame comes when Kraken sent it, as far
as it says so, else with the frame before. Listings: a capture without the `instrument` channel gets one, with the
decimals that its numbers show, a tick and a lot of one unit, and no minimums; so does each book whose decimals change.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from arbitrade_core.domain import Asset, Ns, Pair
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import ConnId
from arbitrade_core.spi import CaptureReader
from arbitrade_kraken.books import decimals_of, lexeme
from arbitrade_kraken.capture_v1 import converted, is_v1
from arbitrade_kraken.wire import (
    DECODE_ERRORS,
    Envelope,
    LexemeBook,
    decode_elements,
    decode_envelope,
    decode_lexeme_book,
    parse_time_ns,
)
from arbitrade_kraken.writing import instrument_frame, status_frame

_MOST_DECIMALS = 22
"""of prices, of quantities, and of costs: see `instrument`"""
_LEDGER_DECIMALS = 10

type Bad = Callable[[int, str], None]
type Numbered = Iterator[tuple[int, bytes]]
"""Frames, each with the number of the line that it comes from."""
type Decimals = tuple[int, int]
"""of prices and of quantities"""


class RawCapture:
    """Frames as they came, one a line. Implements `spi.CaptureReader`."""

    name = "kraken-v2"

    def sniff(self, first_lines: Sequence[bytes]) -> bool:
        return any(_is_frame(line) for line in first_lines)

    def read(self, lines: Iterable[bytes], bad: Bad) -> Iterator[tuple[Ns, ConnId, bytes | None]]:
        return dated(lambda bad: _stripped(lines), bad)


class CaptureV1:
    """Messages of Kraken's older interface, one a line. Implements `spi.CaptureReader`."""

    name = "kraken-v1"

    def sniff(self, first_lines: Sequence[bytes]) -> bool:
        return any(is_v1(line) for line in first_lines)

    def read(self, lines: Iterable[bytes], bad: Bad) -> Iterator[tuple[Ns, ConnId, bytes | None]]:
        return dated(lambda bad: converted(lines, bad), bad)


FORMS: Sequence[CaptureReader] = (RawCapture(), CaptureV1())


def _is_frame(line: bytes) -> bool:
    try:
        envelope = decode_envelope(line)
    except DECODE_ERRORS:
        return False
    return isinstance(envelope.channel, str) or isinstance(envelope.method, str)


def _stripped(lines: Iterable[bytes]) -> Numbered:
    return ((number, data) for number, line in enumerate(lines, start=1) if (data := line.strip()))


# --- ahead of reading ---------------------------------------------------------------------------------------


class _Stamped(msgspec.Struct):
    timestamp: Any = None
    connection_id: Any = None


_decode_stamped = msgspec.json.Decoder(list[_Stamped]).decode


class Looked(msgspec.Struct):
    """What is to be known of a frame before it is passed on."""

    channel: str | None
    at: Ns | None
    """when Kraken sent it, if it says so"""
    snapshots: tuple[str, ...] = ()
    """symbols of the books that begin with it"""
    updates: tuple[str, ...] = ()
    decimals: tuple[Decimals, ...] = ()
    """of each of the books"""
    lists: bool = False
    """it holds a list of all pairs"""
    connection: int | None = None
    """Kraken's number of the connection"""


def look(data: bytes) -> Looked:
    """Raises ProtocolError for what is no frame of Kraken's, or a book that is none."""
    try:
        envelope = decode_envelope(data)
        match envelope.channel:
            case "book":
                return _look_at_books(envelope)
            case "trade" | "status":
                entries = _decode_stamped(envelope.data)
                moments = [at for entry in entries if (at := parse_time_ns(entry.timestamp)) is not None]
                numbers = [entry.connection_id for entry in entries if isinstance(entry.connection_id, int)]
                return Looked(envelope.channel, max(moments, default=None), connection=numbers[0] if numbers else None)
            case str():
                return Looked(envelope.channel, None, lists=(envelope.channel, envelope.type) == _LISTING)
            case _ if isinstance(envelope.method, str):
                return Looked(None, parse_time_ns(envelope.time_in))
            case _:
                raise ProtocolError("neither a channel nor a method")
    except DECODE_ERRORS as error:
        raise ProtocolError(f"no frame of Kraken's: {error}") from error


_LISTING = ("instrument", "snapshot")


def _look_at_books(envelope: Envelope) -> Looked:
    if envelope.type not in ("snapshot", "update"):
        raise ProtocolError(f"a book of type {envelope.type!r}")
    books = [decode_lexeme_book(raw) for raw in decode_elements(envelope.data)]
    symbols = tuple(book.symbol for book in books)
    for symbol in symbols:
        if not all(symbol.partition("/")[::2]) or symbol.count("/") != 1:
            raise ProtocolError(f"{symbol[:40]!r} is no pair")
    moments = [at for book in books if (at := parse_time_ns(book.timestamp)) is not None]
    snapshot = envelope.type == "snapshot"
    return Looked(
        "book",
        max(moments, default=None),
        snapshots=symbols if snapshot else (),
        updates=() if snapshot else symbols,
        decimals=tuple(widest(book) for book in books),
    )


def widest(book: LexemeBook) -> Decimals:
    """Decimals of prices and of quantities in a message. Raises ProtocolError for what is no number."""
    levels = [*book.bids, *book.asks]
    decimals = (
        max((decimals_of(lexeme(level.price)) for level in levels), default=0),
        max((decimals_of(lexeme(level.qty)) for level in levels), default=0),
    )
    if max(decimals) > _MOST_DECIMALS:
        raise ProtocolError(f"{book.symbol} has a number of {max(decimals)} decimals; at most {_MOST_DECIMALS}")
    return decimals


class _Survey:
    """What a whole capture shows, that its first frame must already know."""

    def __init__(self, frames: Numbered, bad: Bad) -> None:
        self.wrong: set[int] = set()
        """lines that are left out"""
        self.first_ns: Ns | None = None
        self.spans: dict[str, list[Decimals]] = {}
        """By symbol: the most decimals from each snapshot to the next."""
        for number, data in frames:
            try:
                seen = look(data)
            except ProtocolError as error:
                self.wrong.add(number)
                bad(number, f"{error}: {data[:120].decode('utf-8', 'replace')}")
                continue
            self._take(seen)

    def _take(self, seen: Looked) -> None:
        if self.first_ns is None:
            self.first_ns = seen.at
        for symbol, (price, qty) in zip(seen.snapshots or seen.updates, seen.decimals, strict=True):
            spans = self.spans.setdefault(symbol, [])
            if seen.snapshots:
                spans.append((price, qty))
            elif spans:
                spans[-1] = max(spans[-1][0], price), max(spans[-1][1], qty)


# --- reading ------------------------------------------------------------------------------------------------


def dated(frames: Callable[[Bad], Numbered], bad: Bad) -> Iterator[tuple[Ns, ConnId, bytes | None]]:
    """The frames with their times, and what a recording has beside them.

    Raises:
        ProtocolError: no frame says when it was sent.
    """
    survey = _Survey(frames(bad), bad)
    if survey.first_ns is None:
        raise ProtocolError("no message in this capture says when it was sent, so it cannot be dated")
    now, conn, connection = survey.first_ns, 1, None
    listings = _Listings(survey.spans)
    for number, data in frames(lambda number, why: None):
        if number in survey.wrong:
            continue
        seen = look(data)
        now = max(now, seen.at or now)
        if seen.connection is not None:
            if connection not in (None, seen.connection):
                yield now, conn, None
                conn += 1
            connection = seen.connection
        for made in listings.before(seen):
            yield now, conn, made
        yield now, conn, data


class _Listings:
    """The frames that a capture lacks."""

    def __init__(self, spans: dict[str, list[Decimals]]) -> None:
        self._spans = {symbol: iter(decimals) for symbol, decimals in spans.items()}
        self._decimals = {symbol: decimals[0] for symbol, decimals in spans.items() if decimals}
        self._status = False
        self._own = False
        """the capture lists its pairs itself"""
        self._began = False

    def before(self, seen: Looked) -> Iterator[bytes]:
        """What must stand before this frame."""
        self._own = self._own or seen.lists
        if seen.channel == "status":
            self._status = True
            return
        if not self._status:
            self._status = True
            yield status_frame("online")
        if seen.channel == "book" and not self._own and not self._began:
            self._began = True
            yield _listing("snapshot", self._decimals)
        for symbol in seen.snapshots:
            decimals = next(self._spans[symbol])
            if decimals != self._decimals[symbol] and not self._own:
                self._decimals[symbol] = decimals
                yield _listing("update", {symbol: decimals})


def _listing(kind: str, decimals: dict[str, Decimals]) -> bytes:
    pairs = [_pair(symbol, *of) for symbol, of in decimals.items()]
    names = dict.fromkeys(name for pair in pairs for name in (pair.base, pair.quote))
    assets = [Asset(name, _LEDGER_DECIMALS) for name in names] if kind == "snapshot" else []
    return instrument_frame(assets, pairs, kind=kind)


def _pair(symbol: str, price_decimals: int, qty_decimals: int) -> Pair:
    base, _, quote = symbol.partition("/")
    return Pair(
        symbol=symbol,
        base=base,
        quote=quote,
        price_decimals=price_decimals,
        qty_decimals=qty_decimals,
        tick=Decimal(1).scaleb(-price_decimals),
        lot=Decimal(1).scaleb(-qty_decimals),
        qty_min=Decimal(0),
        cost_min=Decimal(0),
        cost_decimals=min(price_decimals + qty_decimals, _MOST_DECIMALS),
    )
