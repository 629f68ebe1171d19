"""A second opinion on the stream: a minimal client that keeps the text of every number.

Nothing here is shared with the exchange or with the bot. It follows the protocol's own wording: apply the
levels of a message in order, truncate to the subscribed depth, then compare the CRC of the ten best levels a
side.
"""

import json
from decimal import Decimal
from heapq import nlargest, nsmallest
from typing import Any
from zlib import crc32


class Lexeme(str):
    """A JSON number as it stood on the wire."""

    __slots__ = ()


def parse(frame: str | bytes) -> dict[str, Any]:
    message = json.loads(frame, parse_float=Lexeme, parse_int=Lexeme)
    assert isinstance(message, dict)
    return message


def stripped(lexeme: str) -> str:
    return lexeme.replace(".", "").lstrip("0")


class ClientBook:
    """What a subscriber at one depth believes."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: dict[Decimal, tuple[str, str]] = {}
        self.asks: dict[Decimal, tuple[str, str]] = {}

    def apply(self, kind: str, data: dict[str, Any]) -> bool:
        """Apply a message; whether its checksum is right."""
        if kind == "snapshot":
            self.bids.clear()
            self.asks.clear()
        for side, levels in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            for level in levels:
                price = Decimal(level["price"])
                if Decimal(level["qty"]) == 0:
                    side.pop(price, None)
                else:
                    side[price] = (level["price"], level["qty"])
        for price in sorted(self.bids)[: -self.depth] if len(self.bids) > self.depth else ():
            del self.bids[price]
        for price in sorted(self.asks)[self.depth :] if len(self.asks) > self.depth else ():
            del self.asks[price]
        return self.checksum() == int(data["checksum"])

    def checksum(self) -> int:
        best = [self.asks[price] for price in nsmallest(10, self.asks)]
        best += [self.bids[price] for price in nlargest(10, self.bids)]
        return crc32("".join(stripped(price) + stripped(qty) for price, qty in best).encode())

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Bids and asks, best first."""
        bids = [level for _, level in sorted(self.bids.items(), reverse=True)]
        return bids, [level for _, level in sorted(self.asks.items())]

    def best(self) -> tuple[Decimal, Decimal]:
        return max(self.bids), min(self.asks)


class Client:
    """Every book of one connection. `wrong` counts messages whose checksum did not match."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.books: dict[str, ClientBook] = {}
        self.messages = 0
        self.wrong = 0

    def see(self, frame: str | bytes) -> None:
        message = parse(frame)
        if message.get("channel") != "book":
            return
        (data,) = message["data"]
        book = self.books.setdefault(data["symbol"], ClientBook(self.depth))
        self.messages += 1
        self.wrong += not book.apply(message["type"], data)
