"""Bytes of every frame that is sent: key order and number style of the recordings (PROTOCOL 1.2 - 1.8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from time import gmtime, strftime

import orjson

from .listing import AssetListing, PairListing
from .orderbook import Fill, Levels, Taken

HEARTBEAT = b'{"channel":"heartbeat"}'
_NS_PER_S = 1_000_000_000
_second: tuple[int, str] = (-1, "")


def rfc3339(time_ns: int) -> str:
    """UTC with microseconds: `2026-07-07T23:00:03.947173Z`."""
    global _second  # noqa: PLW0603 - consecutive frames share their second: a cache of one entry
    second, rest_ns = divmod(time_ns, _NS_PER_S)
    if second != _second[0]:
        _second = (second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second)))
    return f"{_second[1]}.{rest_ns // 1000:06d}Z"


def fixed(units: int, decimals: int) -> str:
    """An integer count of wire units with all its decimals: `fixed(1000, 8)` is `0.00001000`."""
    if decimals == 0:
        return str(units)
    text = f"{units:0{decimals + 1}d}"
    return f"{text[:-decimals]}.{text[-decimals:]}"


def book(kind: str, pair: PairListing, sides: tuple[Levels, Levels], checksum: int, timestamp_ns: int) -> bytes:
    """A `book` snapshot or update; `sides` are bids and asks."""
    bids, asks = sides
    price, qty = pair.price_precision, pair.qty_precision
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{pair.symbol}",'
        f'"bids":[{_levels(bids, price, qty)}],"asks":[{_levels(asks, price, qty)}],'
        f'"checksum":{checksum},"timestamp":"{rfc3339(timestamp_ns)}"}}]}}'
    ).encode()


def _levels(levels: Levels, price: int, qty: int) -> str:
    return ",".join([f'{{"price":{fixed(ticks, price)},"qty":{fixed(lots, qty)}}}' for ticks, lots in levels])


def trade_entry(pair: PairListing, taken: Taken, fill: Fill, trade_id: int, time_ns: int) -> str:
    """One element of a `trade` frame's data."""
    return (
        f'{{"symbol":"{pair.symbol}","side":"{taken.side}","price":{fixed(fill.ticks, pair.price_precision)},'
        f'"qty":{fixed(fill.lots, pair.qty_precision)},"ord_type":"{taken.ord_type}","trade_id":{trade_id},'
        f'"timestamp":"{rfc3339(time_ns)}"}}'
    )


def trades(kind: str, entries: Iterable[str]) -> bytes:
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(entries)}]}}'.encode()


def instrument(kind: str, assets: Iterable[AssetListing], pairs: Iterable[PairListing]) -> bytes:
    """`data` is an object, in snapshots and updates alike."""
    listed = ",".join(asset.json() for asset in assets)
    tradable = ",".join(pair.json() for pair in pairs)
    data = f'{{"assets":[{listed}],"pairs":[{tradable}]}}'
    return f'{{"channel":"instrument","type":"{kind}","data":{data}}}'.encode()


def status(system: str, connection_id: int) -> bytes:
    return (
        f'{{"channel":"status","type":"update","data":[{{"version":"2.0.10","system":"{system}",'
        f'"api_version":"v2","connection_id":{connection_id},"upcoming_maintenance":[],"emergency":[]}}]}}'
    ).encode()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What every answer to one request repeats."""

    req_id: int | None
    time_in_ns: int
    time_out_ns: int

    def req_id_json(self) -> str:
        return "" if self.req_id is None else f',"req_id":{self.req_id}'

    def times_json(self) -> str:
        return f',"time_in":"{rfc3339(self.time_in_ns)}","time_out":"{rfc3339(self.time_out_ns)}"'


def pong(receipt: Receipt) -> bytes:
    return f'{{"method":"pong"{receipt.req_id_json()}{receipt.times_json()}}}'.encode()


def acknowledged(method: str, result: str, receipt: Receipt) -> bytes:
    """`result` is the JSON of what was subscribed or unsubscribed."""
    start = f'{{"method":"{method}"{receipt.req_id_json()},"result":{result}'
    return f'{start},"success":true{receipt.times_json()}}}'.encode()


def rejected(error: str, receipt: Receipt, *, method: str | None = None, symbol: object = None) -> bytes:
    """No `result`, no `channel`; `symbol` only when the rejection is about one symbol."""
    named = "" if method is None else f',"method":{_json(method)}'
    about = "" if symbol is None else f',"symbol":{_json(symbol)}'
    start = f'{{"error":{_json(error)}{named}{receipt.req_id_json()}'
    return f'{start},"success":false{about}{receipt.times_json()}}}'.encode()


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
