"""A pair's book messages: wire levels -> integer ticks and lots, and the proof that the book is right.

The float on the wire lies on the pair's grid exactly when dividing the rounded integer by the scale gives the same
float again: both are the double nearest to that decimal. Below 2**51 units rounding is exact; from there on, and for
anything that does not fit the grid, the message is read again with its lexemes, exactly, and refused with a reason.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from math import floor

import msgspec

from arbitrade_core.book import Book, Level
from arbitrade_core.domain import Ns, PairId
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import BookUpdate, Quote, Quotes
from arbitrade_kraken.checksum import book_checksum
from arbitrade_kraken.wire import LexemeBook, LexemeLevel, WireBook, parse_time_ns
from arbitrade_kraken.writing import book_snapshot

EXACT_UNITS = 2.0**51
"""From here on `int(x * scale + 0.5)` may be off by one (PERFORMANCE, measured)."""
MOST_UNITS = 10**30
"""No market quotes this many ticks or lots."""
MOST_CHANGES = 5000
"""Changes of one side in one update: five times the deepest subscription."""
_LONGEST_LEXEME = 64

type Levels = tuple[Sequence[Level], Sequence[Level]]
"""bids and asks"""


class KrakenBookUpdate(BookUpdate):
    """One book message, with what proves the book afterwards."""

    checksum: int | None = None
    """None when the message had none, or none that is an integer"""
    timestamp: object = None
    reader: "BookReader | None" = None
    """who reads the quotes"""

    def read(self) -> bool:
        quotes, reader = self.quotes, self.reader
        if quotes is None or reader is None:
            return True
        levels = reader.levels(quotes) or reader.slowly()
        if levels is None:
            return False
        self.bids, self.asks = levels
        self.quotes = None
        return True

    def verify(self, book: Book) -> bool:
        """Whether the ten best levels a side have the checksum that came with the message."""
        return book_checksum(book) == self.checksum

    def exchange_ns(self) -> Ns | None:
        return parse_time_ns(self.timestamp)


class BookReader:
    """Reads the book messages of one pair at its current precisions, to `depth` levels a side."""

    __slots__ = ("_price_scale", "_qty_scale", "depth", "pair", "price_decimals", "qty_decimals", "slowly", "timestamp")

    def __init__(
        self,
        pair: PairId,
        price_decimals: int,
        qty_decimals: int,
        depth: int,
        slowly: Callable[[], Levels | None] = lambda: None,
    ) -> None:
        """`slowly` gives the levels of the frame at hand from its lexemes, or None having dealt with their fault."""
        self.pair = pair
        self.depth = depth
        self.slowly = slowly
        self.price_decimals = price_decimals
        self.qty_decimals = qty_decimals
        self.timestamp: object = None
        """of the newest message"""
        self._price_scale = _scale(price_decimals)
        self._qty_scale = _scale(qty_decimals)

    def quote(self, book: WireBook) -> KrakenBookUpdate:
        """An update whose levels are read when the market asks for them."""
        self.timestamp = timestamp = book.timestamp
        # By position: keywords cost a third of a microsecond here.
        return KrakenBookUpdate(self.pair, False, (), (), book, book.checksum, timestamp, self)

    def read(self, book: WireBook, snapshot: bool) -> KrakenBookUpdate | None:
        """The update, read at once; None when a value needs (or deserves) the slow path, `read_exactly`."""
        levels = None if snapshot and max(len(book.bids), len(book.asks)) > self.depth else self.levels(book)
        if levels is None:
            return None
        self.timestamp = book.timestamp
        return KrakenBookUpdate(self.pair, snapshot, *levels, None, book.checksum, book.timestamp)

    def levels(self, book: Quotes) -> Levels | None:
        """Both sides in ticks and lots; None when a value needs (or deserves) the slow path."""
        bids, asks = book.bids, book.asks
        if len(bids) > MOST_CHANGES or len(asks) > MOST_CHANGES:
            return None
        bid_levels = self._levels(bids) if bids else ()
        ask_levels = self._levels(asks) if asks else ()
        return None if bid_levels is None or ask_levels is None else (bid_levels, ask_levels)

    def _levels(self, levels: Sequence[Quote]) -> Sequence[Level] | None:
        price_scale, qty_scale = self._price_scale, self._qty_scale
        read: list[Level] = []
        for level in levels:
            price = level.price
            scaled = price * price_scale + 0.5
            if not 1.0 <= scaled < EXACT_UNITS:
                return None
            ticks = floor(scaled)
            if ticks / price_scale != price:
                return None
            qty = level.qty
            if qty == 0.0:
                read.append((ticks, 0))
                continue
            scaled = qty * qty_scale + 0.5
            if not 1.0 <= scaled < EXACT_UNITS:
                return None
            lots = floor(scaled)
            if lots / qty_scale != qty:
                return None
            read.append((ticks, lots))
        return read

    def read_exactly(self, book: LexemeBook, snapshot: bool) -> KrakenBookUpdate:
        """The update, from lexemes. Raises ProtocolError naming the value that no book can hold."""
        bids = self._exact_levels(book.bids, "bid")
        asks = self._exact_levels(book.asks, "ask")
        most = self.depth if snapshot else MOST_CHANGES
        if len(bids) > most or len(asks) > most:
            kind = "snapshot" if snapshot else "update"
            raise ProtocolError(
                f"{book.symbol}: a {kind} of {len(bids)} bids and {len(asks)} asks for depth {self.depth}"
            )
        self.timestamp = book.timestamp
        checksum: object = book.checksum
        return KrakenBookUpdate(
            pair=self.pair,
            snapshot=snapshot,
            bids=bids,
            asks=asks,
            checksum=checksum if isinstance(checksum, int) and not isinstance(checksum, bool) else None,
            timestamp=book.timestamp,
        )

    def snapshot(self, symbol: str, book: Book) -> bytes:
        """The frame that Kraken would send now, if the pair were subscribed to."""
        timestamp = self.timestamp if isinstance(self.timestamp, str) else None
        return book_snapshot(symbol, book, decimals=(self.price_decimals, self.qty_decimals), timestamp=timestamp)

    def _exact_levels(self, levels: Sequence[LexemeLevel], what: str) -> list[Level]:
        read: list[Level] = []
        for level in levels:
            ticks = units(lexeme(level.price), self.price_decimals, f"{what} price")
            lots = units(lexeme(level.qty), self.qty_decimals, f"{what} quantity")
            if ticks == 0:
                raise ProtocolError(f"{what} price is zero")
            read.append((ticks, lots))
        return read


@cache
def _scale(decimals: int) -> float:
    """One object for all books: a thousand floats of their own would be cold in memory when they are needed."""
    return 10.0**decimals


def lexeme(raw: msgspec.Raw) -> str:
    """The value's text as it stood on the wire."""
    return bytes(raw).decode("ascii", "replace")


def decimals_of(text: str) -> int:
    """Decimals that a number's text claims: `0.50` has 2, `1e-08` has 8. Raises ProtocolError."""
    exponent = _number(text, "value").as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def units(text: str, decimals: int, what: str) -> int:
    """A number's text as an integer of `10**-decimals`, exactly. Raises ProtocolError when it is none."""
    number = _number(text, what)
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits)))
    if mantissa == 0:
        return 0
    if sign:
        raise ProtocolError(f"{what} {text} is negative")
    if number.adjusted() + decimals > len(str(MOST_UNITS)):
        raise ProtocolError(f"{what} {text} is absurd")
    shift = exponent + decimals
    if shift >= 0:
        return mantissa * int("1" + "0" * shift)
    whole, rest = divmod(mantissa, int("1" + "0" * -shift)) if -shift <= len(digits) else (0, mantissa)
    if rest:
        raise ProtocolError(f"{what} {text} has more than {decimals} decimals")
    return whole


def _number(text: str, what: str) -> Decimal:
    if len(text) > _LONGEST_LEXEME or text[:1] not in "-0123456789" or not text:
        raise ProtocolError(f"{what} {text[:_LONGEST_LEXEME]!r} is not a number")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ProtocolError(f"{what} {text!r} is not a number") from error
