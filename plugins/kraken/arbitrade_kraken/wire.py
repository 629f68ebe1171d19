"""Kraken's WebSocket v2 frames as typed structs, and our requests as bytes (PROTOCOL 1.2 to 1.7).

A `book` frame is decoded once, typed, with prices as floats: that is the hot path. Everything else, and every
book frame that the fast decoder or the precision grid refuses, goes through the slow path, which keeps number
lexemes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

DECODE_ERRORS: tuple[type[Exception], ...] = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that decoding bytes can raise; whoever feeds bytes turns these into a fault."""

# --- book frames, fast --------------------------------------------------------------------------------------


class WireLevel(msgspec.Struct, gc=False):
    price: float
    qty: float


class WireBook(msgspec.Struct, gc=False):
    symbol: str
    bids: list[WireLevel]
    asks: list[WireLevel]
    checksum: int
    timestamp: str | None = None
    """absent in snapshots recorded up to 2025-05 (PROTOCOL 1.7)"""


class BookFrame(msgspec.Struct, gc=False):
    channel: Literal["book"]
    type: Literal["snapshot", "update"]
    data: list[WireBook]


decode_book_frame = msgspec.json.Decoder(BookFrame).decode
"""bytes -> BookFrame; raises one of DECODE_ERRORS for anything that is not a well-formed book frame."""

# --- book frames, with lexemes ------------------------------------------------------------------------------


class LexemeLevel(msgspec.Struct):
    price: msgspec.Raw
    qty: msgspec.Raw


class LexemeBook(msgspec.Struct):
    """One book as it stood on the wire. Whether checksum and timestamp make sense is for the reader."""

    symbol: str
    bids: list[LexemeLevel]
    asks: list[LexemeLevel]
    checksum: Any = None
    timestamp: Any = None


decode_lexeme_book = msgspec.json.Decoder(LexemeBook).decode
"""One element of a book frame's `data`, bytes -> LexemeBook."""

# --- everything else ----------------------------------------------------------------------------------------


class Envelope(msgspec.Struct):
    """The outside of any frame: data frames have `channel`, answers have `method` (PROTOCOL 1.2)."""

    channel: Any = None
    type: Any = None
    data: msgspec.Raw = msgspec.Raw()
    method: Any = None
    result: Any = None
    success: Any = None
    error: Any = None
    req_id: Any = None
    symbol: Any = None
    time_in: Any = None
    time_out: Any = None


decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""An array, its elements left as bytes."""


class StatusEntry(msgspec.Struct):
    system: str
    upcoming_maintenance: list[dict[str, Any]] = []
    emergency: list[Any] = []


decode_status = msgspec.json.Decoder(list[StatusEntry]).decode

# --- requests -----------------------------------------------------------------------------------------------


def book_request(method: str, symbols: Sequence[str], depth: int, req_id: int) -> bytes:
    """Subscribe to or unsubscribe from books; unsubscribing must name the same depth (PROTOCOL 1.5)."""
    params: dict[str, Any] = {"channel": "book", "symbol": list(symbols), "depth": depth}
    if method == "subscribe":
        params["snapshot"] = True
    return msgspec.json.encode({"method": method, "params": params, "req_id": req_id})


def trade_request(method: str, symbols: Sequence[str], req_id: int) -> bytes:
    """Subscribe to or unsubscribe from trades. Without a snapshot: that is of trades long gone (PROTOCOL 1.8)."""
    params: dict[str, Any] = {"channel": "trade", "symbol": list(symbols)}
    if method == "subscribe":
        params["snapshot"] = False
    return msgspec.json.encode({"method": method, "params": params, "req_id": req_id})


def instrument_request(req_id: int) -> bytes:
    """Subscribe to assets and pairs, with a snapshot of all of them."""
    params = {"channel": "instrument", "snapshot": True}
    return msgspec.json.encode({"method": "subscribe", "params": params, "req_id": req_id})


def ping_request(req_id: int) -> bytes:
    """The application's own ping, whose pong carries Kraken's clock (PROTOCOL 1.4)."""
    return msgspec.json.encode({"method": "ping", "req_id": req_id})


# --- time ---------------------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_time_ns(text: object) -> int | None:
    """RFC 3339 with up to microseconds -> ns since the epoch; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - _EPOCH) // _MICROSECOND * 1000
