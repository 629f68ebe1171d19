"""Recorded book frames and the books they make, read independently: the truth that damage is judged by.

It shares nothing with the bot's book, wire or checksum code: numbers stay the decimal texts of the wire.
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

DEPTH = 10

type Levels = tuple[tuple[Decimal, Decimal], ...]
type State = tuple[Levels, Levels]
"""bids and asks, best first"""


class Reference:
    """One pair's book as PROTOCOL 1.7 words it, with numbers as the wire said them."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._bids: dict[Decimal, str] = {}
        self._asks: dict[Decimal, str] = {}

    def apply(self, frame: dict[str, Any]) -> State:
        book = frame["data"][0]
        snapshot = frame["type"] == "snapshot"
        self._bids = _changed({} if snapshot else self._bids, book["bids"], highest_first=True)
        self._asks = _changed({} if snapshot else self._asks, book["asks"], highest_first=False)
        return self.state()

    def state(self) -> State:
        return _levels(self._bids), _levels(self._asks)

    def snapshot(self) -> bytes:
        """A snapshot frame of the book as it is."""
        bids, asks = (
            ",".join(f'{{"price":{price:f},"qty":{qty}}}' for price, qty in side.items())
            for side in (self._bids, self._asks)
        )
        text = "".join(
            _stripped(f"{price:f}") + _stripped(qty) for side in (self._asks, self._bids) for price, qty in side.items()
        )
        return (
            f'{{"channel":"book","type":"snapshot","data":[{{"symbol":"{self.symbol}","bids":[{bids}],'
            f'"asks":[{asks}],"checksum":{zlib.crc32(text.encode())}}}]}}'
        ).encode()


def _changed(side: dict[Decimal, str], levels: list[dict[str, str]], *, highest_first: bool) -> dict[Decimal, str]:
    """The side after these changes, best first, cut to the depth."""
    after = side | {Decimal(level["price"]): level["qty"] for level in levels}
    prices = sorted((price for price, qty in after.items() if Decimal(qty)), reverse=highest_first)
    return {price: after[price] for price in prices[:DEPTH]}


def _levels(side: dict[Decimal, str]) -> Levels:
    return tuple((price, Decimal(qty)) for price, qty in side.items())


def _stripped(text: str) -> str:
    return text.replace(".", "").lstrip("0")


@dataclass(frozen=True, slots=True)
class Message:
    """One recorded book frame and the book after it."""

    data: bytes
    symbol: str
    before: State
    after: State


def lexemes(data: bytes) -> dict[str, Any]:
    # The standard library's parser is the only one at hand that hands over number lexemes.
    frame: dict[str, Any] = json.loads(data, parse_float=str, parse_int=str)
    return frame


def read_capture(lines: Iterable[bytes]) -> list[Message]:
    """The book frames of a recording, with the state of the book before and after each."""
    references: dict[str, Reference] = {}
    messages: list[Message] = []
    for line in lines:
        data = line.strip()
        if not data or json.loads(data).get("channel") != "book":
            continue
        frame = lexemes(data)
        symbol = frame["data"][0]["symbol"]
        reference = references.setdefault(symbol, Reference(symbol))
        before = reference.state()
        messages.append(Message(data, symbol, before, reference.apply(frame)))
    return messages


def instruments_of(messages: Sequence[Message]) -> dict[str, dict[str, Any]]:
    """Instrument entries with the precisions that the recorded numbers show."""
    decimals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for message in messages:
        for side in message.after:
            for price, qty in side:
                widest = decimals[message.symbol]
                widest[0] = max(widest[0], -int(price.as_tuple().exponent))
                widest[1] = max(widest[1], -int(qty.as_tuple().exponent))
    return {
        symbol: {
            "symbol": symbol,
            "base": symbol.split("/")[0],
            "quote": symbol.split("/")[1],
            "status": "online",
            "price_precision": price,
            "price_increment": f"{Decimal(1).scaleb(-price):f}",
            "qty_precision": qty,
            "qty_increment": f"{Decimal(1).scaleb(-qty):f}",
            "qty_min": "0.0001",
            "cost_min": "0.5",
            "cost_precision": 5,
        }
        for symbol, (price, qty) in decimals.items()
    }
