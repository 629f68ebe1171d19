"""Kraken's book checksum: CRC-32 over the ten best levels of both sides (PROTOCOL 1.7).

A level's part of the checksummed text, its *token*, is its price and quantity as they stood on the wire
without point and leading zeros. In integer ticks and lots that is `str(ticks) + str(lots)`. Tokens are kept
per level, so proving a book after an update formats the changed levels only and joins one side, seldom both.
"""

from collections.abc import Sequence
from zlib import crc32

from arbitrade_core.book import Book, BookSide, Level

COVERED_LEVELS = 10
"""levels a side that the checksum sees, whatever depth is subscribed"""

LAST_NUMBER = 0xFF
"""Updates of one book are numbered around this: enough to see a gap, and small numbers are never cold in memory."""

_MOST_TOKENS = 4096
"""A side's cache is rebuilt beyond this: tokens of levels that were deleted or cut are left behind in it."""


def book_checksum(book: Book) -> int:
    """The checksum of a book, computed from nothing but its levels."""
    return crc32(_text(book.bids), crc32(_text(book.asks)))


def _text(side: BookSide) -> bytes:
    return "".join([f"{ticks}{lots}" for ticks, lots in side.levels(COVERED_LEVELS)]).encode()


class RunningChecksum:
    """The checksum of one book as updates go by, at the cost of what changed.

    The cache is right only while it has seen every change. So updates are numbered by whoever issues them: a
    gap in the numbers, a snapshot, or another book object makes it start anew from the book itself. A book that
    was emptied in between waits for a snapshot anyway.
    """

    __slots__ = ("_ask_crc", "_ask_tokens", "_bid_text", "_bid_tokens", "_book", "_number")

    def __init__(self) -> None:
        self._book: Book | None = None
        self._number = 0
        self._ask_tokens: dict[int, str] = {}
        self._bid_tokens: dict[int, str] = {}
        self._ask_crc = 0
        self._bid_text = b""

    def after(self, book: Book, number: int, snapshot: bool, bids: Sequence[Level], asks: Sequence[Level]) -> int:
        """The checksum of `book`, to which the update of that number (these changes) was just applied."""
        if snapshot or number != (self._number + 1) & LAST_NUMBER or book is not self._book:
            self._restart(book)
        else:
            if asks:
                tokens = self._ask_tokens
                for ticks, lots in asks:
                    tokens[ticks] = f"{ticks}{lots}"
                text = "".join([tokens[key] for key in book.asks.keys[:COVERED_LEVELS]])
                self._ask_crc = crc32(text.encode())
            if bids:
                tokens = self._bid_tokens
                for ticks, lots in bids:
                    tokens[-ticks] = f"{ticks}{lots}"
                text = "".join([tokens[key] for key in book.bids.keys[:COVERED_LEVELS]])
                self._bid_text = text.encode()
            if len(self._ask_tokens) > _MOST_TOKENS or len(self._bid_tokens) > _MOST_TOKENS:
                self._restart(book)
        self._number = number
        return crc32(self._bid_text, self._ask_crc)

    def _restart(self, book: Book) -> None:
        self._book = book
        self._ask_tokens = _tokens(book.asks)
        self._bid_tokens = _tokens(book.bids)
        self._ask_crc = crc32(_text(book.asks))
        self._bid_text = _text(book.bids)


def _tokens(side: BookSide) -> dict[int, str]:
    """By key, as the side keeps its levels: ticks for asks, negated ticks for bids."""
    sign = side.sign
    return {key: f"{sign * key}{lots}" for key, lots in side.lots.items()}
