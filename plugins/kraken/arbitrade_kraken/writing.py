"""Frames as Kraken writes them, of what we know: for those who read a recording without having heard its beginning.

Numbers are bare and have the pair's decimals, trailing zeros included: the checksum counts them (PROTOCOL 1.7).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from arbitrade_core.book import Book, Level
from arbitrade_core.domain import Asset, Ns, Pair
from arbitrade_kraken.checksum import book_checksum

_encode = msgspec.json.Encoder(decimal_format="number").encode


def status_frame(system: str, connection_id: int | None = None) -> bytes:
    named = {} if connection_id is None else {"connection_id": connection_id}
    entry = {"system": system, "api_version": "v2", **named}
    return _encode({"channel": "status", "type": "update", "data": [entry]})


def instrument_frame(assets: Iterable[Asset], pairs: Iterable[Pair], *, kind: str = "snapshot") -> bytes:
    """A frame of the `instrument` channel that reads as these assets and pairs: nothing but what is read."""
    data = {
        "assets": [{"id": asset.symbol, "precision": asset.decimals} for asset in assets],
        "pairs": [
            {
                "symbol": pair.symbol,
                "base": pair.base,
                "quote": pair.quote,
                "status": pair.status.value,
                "qty_precision": pair.qty_decimals,
                "qty_increment": pair.lot,
                "price_precision": pair.price_decimals,
                "cost_precision": pair.cost_decimals,
                "cost_min": pair.cost_min,
                "price_increment": pair.tick,
                "qty_min": pair.qty_min,
            }
            for pair in pairs
        ],
    }
    return _encode({"channel": "instrument", "type": kind, "data": data})


def book_snapshot(symbol: str, book: Book, *, decimals: tuple[int, int], timestamp: str | None) -> bytes:
    """The whole book, with its checksum; `decimals`: those of prices and of quantities."""
    levels = book.bids.levels(), book.asks.levels()
    checksum = book_checksum(book)
    return book_frame("snapshot", symbol, levels, decimals=decimals, checksum=checksum, timestamp=timestamp)


def book_frame(
    kind: str,
    symbol: str,
    levels: tuple[Sequence[Level], Sequence[Level]],
    *,
    decimals: tuple[int, int],
    checksum: int,
    timestamp: str | None,
) -> bytes:
    """A book message of these bids and asks, in units of the decimals of prices and of quantities.

    Some had no `timestamp` (PROTOCOL 1.7).
    """
    price_decimals, qty_decimals = decimals
    bids, asks = levels

    def side(levels: Sequence[Level]) -> str:
        return ",".join(
            [
                f'{{"price":{number(ticks, price_decimals)},"qty":{number(lots, qty_decimals)}}}'
                for ticks, lots in levels
            ]
        )

    at = "" if timestamp is None else f',"timestamp":"{timestamp}"'
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{side(bids)}],'
        f'"asks":[{side(asks)}],"checksum":{checksum}{at}}}]}}'
    ).encode()


def pong_frame(at: Ns) -> bytes:
    """The answer to a ping without `req_id`, given in no time at this moment of Kraken's clock."""
    moment = time_text(at)
    return _encode({"method": "pong", "time_in": moment, "time_out": moment})


def number(units: int, decimals: int) -> str:
    """Units of `10**-decimals` as Kraken writes them, every decimal shown."""
    if not decimals:
        return str(units)
    digits = str(units).zfill(decimals + 1)
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


def time_text(at: Ns) -> str:
    """RFC 3339 with microseconds."""
    seconds, rest = divmod(at, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
