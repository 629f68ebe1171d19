"""The `instrument` channel: what Kraken lists -> the core's assets and pairs (PROTOCOL 1.6).

Each entry is read by itself, so a malformed one costs that pair alone. Numbers are Decimals taken from their
lexemes, exponent form included; an increment may be coarser than the precision and may change while we run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from arbitrade_core.domain import Asset, Pair, PairStatus
from arbitrade_core.errors import ProtocolError
from arbitrade_kraken.wire import DECODE_ERRORS

_MOST_DECIMALS = 22
"""10**22 is the largest power of ten that a float holds exactly; the book path relies on it."""

_MOST_DIGITS = 30


class _Asset(msgspec.Struct):
    id: str
    precision: int


class _Pair(msgspec.Struct):
    symbol: str
    base: str
    quote: str
    status: str
    price_precision: int
    price_increment: Decimal
    qty_precision: int
    qty_increment: Decimal
    qty_min: Decimal
    cost_min: Decimal
    """a string in Kraken's documentation, a number on the wire; both are read"""
    cost_precision: int


class _Symbol(msgspec.Struct):
    symbol: str


class _Data(msgspec.Struct):
    assets: list[msgspec.Raw] = []
    pairs: list[msgspec.Raw] = []


_ENTRY_ERRORS: tuple[type[Exception], ...] = (*DECODE_ERRORS, ValueError)

_decode_data = msgspec.json.Decoder(_Data).decode
_decode_asset = msgspec.json.Decoder(_Asset).decode
_decode_pair = msgspec.json.Decoder(_Pair).decode
_decode_symbol = msgspec.json.Decoder(_Symbol).decode


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An entry that could not be read; `symbol` None when not even its name could."""

    symbol: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument message. `oddities` are entries that were read although they hold something unknown."""

    assets: tuple[Asset, ...]
    pairs: tuple[Pair, ...]
    bad: tuple[BadEntry, ...]
    oddities: tuple[str, ...]


def read_instruments(data: bytes) -> Listing:
    """The `data` object of an instrument frame. Raises ProtocolError when it is no such object."""
    try:
        message = _decode_data(data)
    except DECODE_ERRORS as error:
        raise ProtocolError(f"instrument data cannot be read: {error}") from error
    bad: list[BadEntry] = []
    oddities: list[str] = []
    assets = [asset for raw in message.assets if (asset := _entry(raw, read_asset, bad)) is not None]
    pairs: list[Pair] = []
    for raw in message.pairs:
        pair = _entry(raw, read_pair, bad)
        if pair is None:
            continue
        pairs.append(pair)
        if pair.status is PairStatus.UNKNOWN:
            oddities.append(f"{pair.symbol} has a status unknown here: {bytes(raw)[:200].decode('utf-8', 'replace')}")
    return Listing(tuple(assets), tuple(pairs), tuple(bad), tuple(oddities))


def _entry[T](raw: msgspec.Raw, read: Callable[[bytes], T], bad: list[BadEntry]) -> T | None:
    try:
        return read(bytes(raw))
    except _ENTRY_ERRORS as error:
        bad.append(BadEntry(_symbol_of(raw), f"{error}: {bytes(raw)[:200].decode('utf-8', 'replace')}"))
        return None


def _symbol_of(raw: msgspec.Raw) -> str | None:
    try:
        return _decode_symbol(raw).symbol
    except DECODE_ERRORS:
        return None


def read_asset(data: bytes) -> Asset:
    """One entry of `assets`. Raises one of DECODE_ERRORS or ValueError."""
    asset = _decode_asset(data)
    _decimals("precision", asset.precision)
    return Asset(asset.id, asset.precision)


def read_pair(data: bytes) -> Pair:
    """One entry of `pairs`. Raises one of DECODE_ERRORS or ValueError, saying which field is wrong."""
    entry = _decode_pair(data)
    _decimals("price_precision", entry.price_precision)
    _decimals("qty_precision", entry.qty_precision)
    _decimals("cost_precision", entry.cost_precision)
    _amount("price_increment", entry.price_increment, positive=True)
    _amount("qty_increment", entry.qty_increment, positive=True)
    _amount("qty_min", entry.qty_min)
    _amount("cost_min", entry.cost_min)
    if not entry.base or not entry.quote or entry.symbol != f"{entry.base}/{entry.quote}":
        raise ValueError(f"symbol {entry.symbol!r} is not {entry.base!r}/{entry.quote!r}")
    return Pair(
        symbol=entry.symbol,
        base=entry.base,
        quote=entry.quote,
        price_decimals=entry.price_precision,
        qty_decimals=entry.qty_precision,
        tick=entry.price_increment,
        lot=entry.qty_increment,
        qty_min=entry.qty_min,
        cost_min=entry.cost_min,
        cost_decimals=entry.cost_precision,
        status=_status(entry.status),
    )


def _status(text: str) -> PairStatus:
    try:
        return PairStatus(text)
    except ValueError:
        return PairStatus.UNKNOWN


def _decimals(name: str, value: int) -> None:
    if not 0 <= value <= _MOST_DECIMALS:
        raise ValueError(f"{name} {value} is not within 0..{_MOST_DECIMALS}")


def _amount(name: str, value: Decimal, *, positive: bool = False) -> None:
    if (
        not value.is_finite()
        or value < 0
        or (positive and value == 0)
        or not -_MOST_DECIMALS <= value.adjusted() <= _MOST_DIGITS
    ):
        raise ValueError(f"{name} {value} is not a sensible amount")
