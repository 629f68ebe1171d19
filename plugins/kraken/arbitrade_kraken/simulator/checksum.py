"""Kraken's book checksum, from integers (PROTOCOL 1.7).

Removing the point and the leading zeros of a number printed with fixed decimals leaves exactly its count of
wire units, so the ten best levels of each side are written as bare integers: asks upward, then bids downward.
"""

from collections.abc import Iterable
from zlib import crc32

LEVELS = 10
"""of each side enter the checksum; a thinner book uses what it has"""


def checksum(asks: Iterable[tuple[int, int]], bids: Iterable[tuple[int, int]]) -> int:
    """CRC-32 over (ticks, lots) of the ten best asks and the ten best bids, best first; unsigned 32 bit."""
    text = "".join([f"{ticks}{lots}" for side in (asks, bids) for ticks, lots in side])
    return crc32(text.encode())
