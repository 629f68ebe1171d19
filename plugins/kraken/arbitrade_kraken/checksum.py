"""Kraken's book checksum: CRC-32 over the ten best levels of both sides (PROTOCOL 1.7).

A level's part of the checksummed text is its price and quantity as they stood on the wire, without point and leading
zeros: in integer ticks and lots `str(ticks) + str(lots)`. The text of a side is kept with it until something on it
changes, so proving a book after an update writes one side, seldom both.
"""

from zlib import crc32

import msgspec

from arbitrade_core.book import Book, BookSide

COVERED_LEVELS = 10
"""levels a side that the checksum sees, whatever depth is subscribed"""

_as_json = msgspec.json.Encoder().encode
_PUNCTUATION = b"[,-]"
"""what JSON adds to the digits; the sign is of bids, whose keys are negated"""


def book_checksum(book: Book) -> int:
    """The checksum of a book as it stands."""
    asks, bids = book.asks, book.bids
    return crc32(bids.text or _text(bids), crc32(asks.text or _text(asks)))


def _text(side: BookSide) -> bytes:
    """Twenty integers to text: 0.5 us as one JSON array less its punctuation, 1.8 us one by one."""
    keys = side.keys[:COVERED_LEVELS]
    numbers = [0] * (2 * len(keys))
    numbers[::2] = keys
    numbers[1::2] = side.lots[:COVERED_LEVELS]
    side.text = text = _as_json(numbers).translate(None, _PUNCTUATION)
    return text
