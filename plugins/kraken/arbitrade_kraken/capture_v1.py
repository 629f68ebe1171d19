"""Captures of Kraken's older WebSocket interface, as the frames that the newer one would have sent (PROTOCOL 1.7).

Numbers keep their text, so checksums stay what they were: the rule is the same. The older snapshots had none; theirs is
made here. Trades and quotes are left out: their counterparts hold more than the old ones tell.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any
from zlib import crc32

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError
from arbitrade_kraken.checksum import COVERED_LEVELS
from arbitrade_kraken.wire import DECODE_ERRORS
from arbitrade_kraken.writing import status_frame, time_text

_LINE_ERRORS: tuple[type[Exception], ...] = (*DECODE_ERRORS, ProtocolError)
_NEW_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
_NUMBER = re.compile(r"\d{1,30}(\.\d{1,22})?")
_CHANNEL = re.compile(r"book-(\d{1,4})")
_PAIR = re.compile(r"([A-Z0-9.]{1,20})/([A-Z0-9.]{1,20})")
_LEFT_OUT = re.compile(r"trade|spread|ticker|ohlc-\d+")
_SNAPSHOT = {"bs", "as"}
_UPDATE = {"b", "a", "c"}
_SHORTEST, _LONGEST = 4, 5
"""elements of a message: channel number, one or two objects, channel name, pair"""

type Level = tuple[str, str]
"""price and quantity as they stood"""


def is_v1(line: bytes) -> bool:
    """Whether a line is of that interface."""
    try:
        message = msgspec.json.decode(line)
    except DECODE_ERRORS:
        return False
    if isinstance(message, dict):
        return "event" in message
    return isinstance(message, list) and len(message) >= _SHORTEST and isinstance(message[-1], str)


def converted(lines: Iterable[bytes], bad: Callable[[int, str], None]) -> Iterator[tuple[int, bytes]]:
    """Frames, each with the number of the line that it comes from. `bad` is told of lines that cannot be read."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            frames = _frames(msgspec.json.decode(line))
        except _LINE_ERRORS as error:
            bad(number, f"{error}: {line.strip()[:120].decode('utf-8', 'replace')}")
            continue
        for frame in frames:
            yield number, frame


def _frames(message: Any) -> list[bytes]:
    """Raises ProtocolError for what that interface does not send."""
    if isinstance(message, dict) and isinstance(message.get("event"), str):
        return _event(message)
    if not isinstance(message, list) or not _SHORTEST <= len(message) <= _LONGEST:
        raise ProtocolError("neither an event nor a message of a channel")
    *_, channel, pair = message
    if not isinstance(channel, str) or not isinstance(pair, str):
        raise ProtocolError("it names no channel and pair")
    depth = _CHANNEL.fullmatch(channel)
    if depth is not None:
        return _book(message[1:-2], _symbol(pair), int(depth[1]))
    if _LEFT_OUT.fullmatch(channel):
        return []
    raise ProtocolError(f"no channel is called {channel[:40]!r}")


def _event(event: dict[str, Any]) -> list[bytes]:
    match event["event"]:
        case "heartbeat":
            return [b'{"channel":"heartbeat"}']
        case "systemStatus":
            connection, system = event.get("connectionID"), event.get("status")
            if not isinstance(system, str):
                raise ProtocolError("a system status without a status")
            return [status_frame(system, connection if isinstance(connection, int) else None)]
        case "subscriptionStatus" if event.get("status") == "unsubscribed":
            depth = _CHANNEL.fullmatch(str(event.get("channelName")))
            return [] if depth is None else [_answer("unsubscribe", _symbol(str(event.get("pair"))), int(depth[1]))]
        case _:
            return []


def _book(parts: list[Any], symbol: str, depth: int) -> list[bytes]:
    if not all(isinstance(part, dict) for part in parts):
        raise ProtocolError("a book that is no object")
    book: dict[str, Any] = {key: value for part in parts for key, value in part.items()}
    sides = {key: _side(value) for key, value in book.items() if key != "c"}
    moments = [at for side in sides.values() for *_, at in side]
    levels = {key: [(price, qty) for price, qty, _ in side] for key, side in sides.items()}
    if book.keys() == _SNAPSHOT:
        checksum = _checksum(levels["bs"], levels["as"])
        frame = _frame("snapshot", symbol, (levels["bs"], levels["as"]), checksum, moments)
        return [_answer("subscribe", symbol, depth), frame]
    if not book.keys() <= _UPDATE or not levels:
        raise ProtocolError(f"a book of {', '.join(book) or 'nothing'}")
    checksum_text = book.get("c")
    if not isinstance(checksum_text, str) or not (checksum_text.isascii() and checksum_text.isdigit()):
        raise ProtocolError(f"checksum {checksum_text!r} is no number, so the book cannot be proven")
    return [_frame("update", symbol, (levels.get("b", []), levels.get("a", [])), int(checksum_text), moments)]


def _side(levels: Any) -> list[tuple[str, str, Ns]]:
    if not isinstance(levels, list):
        raise ProtocolError(f"levels {str(levels)[:60]!r} are no list")
    return [_level(level) for level in levels]


def _level(level: Any) -> tuple[str, str, Ns]:
    """`[price, quantity, time]`, texts all; a fourth element says that it was sent again."""
    if not isinstance(level, list) or len(level) not in (3, 4):
        raise ProtocolError(f"level {str(level)[:60]!r} is no price, quantity and time")
    price, qty, at = level[:3]
    for what, text in (("price", price), ("quantity", qty), ("time", at)):
        if not isinstance(text, str) or not _NUMBER.fullmatch(text):
            raise ProtocolError(f"{what} {str(text)[:60]!r} is no number")
    # The number of a message may not begin with zeros that JSON does not know.
    return _bare(price), _bare(qty), int(Decimal(at).scaleb(9))


def _bare(number: str) -> str:
    whole, point, rest = number.partition(".")
    return f"{int(whole)}{point}{rest}"


def _symbol(pair: str) -> str:
    names = _PAIR.fullmatch(pair)
    if names is None:
        raise ProtocolError(f"{pair[:40]!r} is no pair")
    return "/".join(_NEW_NAMES.get(name, name) for name in names.groups())


def _checksum(bids: list[Level], asks: list[Level]) -> int:
    levels = chain(asks[:COVERED_LEVELS], bids[:COVERED_LEVELS])
    return crc32("".join(number.replace(".", "").lstrip("0") for level in levels for number in level).encode())


def _frame(
    kind: str, symbol: str, books: tuple[list[Level], list[Level]], checksum: int, moments: Sequence[Ns]
) -> bytes:
    bids, asks = books

    def side(levels: list[Level]) -> str:
        return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels)

    at = f',"timestamp":"{time_text(max(moments))}"' if moments else ""
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{side(bids)}],'
        f'"asks":[{side(asks)}],"checksum":{checksum}{at}}}]}}'
    ).encode()


def _answer(method: str, symbol: str, depth: int) -> bytes:
    result = {"channel": "book", "depth": depth, "symbol": symbol}
    return msgspec.json.encode({"method": method, "result": result, "success": True})
