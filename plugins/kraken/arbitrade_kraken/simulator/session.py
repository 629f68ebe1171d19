"""One client's connection: requests in, answers out (PROTOCOL 1.1, 1.4 - 1.8).

Observed word for word: `Currency pair not supported X`, `Subscription depth not supported`, `Subscription
name invalid`, `Exceeded msg rate`. The remaining error texts (`Already subscribed`, `Subscription Not
Found`, `Malformed request`, ...) are those of the exchange's documented v1 error list, assumed to live on in
v2.
"""

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import orjson

from . import wire

CHANNELS = ("book", "trade", "instrument")
BOOK_DEPTHS = (10, 25, 100, 500, 1000)
POLICY_VIOLATION = 1008

_FLAGRANT = 100
"""requests over the limit in a row after which the connection is closed"""


@dataclass(frozen=True, slots=True)
class Closed:
    """The exchange ended the connection."""

    code: int
    reason: str


@dataclass(slots=True, eq=False)
class Subscription:
    """What a session is subscribed to. `live` once its snapshot is out: before, it gets no updates."""

    session: "Session"
    channel: str
    symbol: str = ""
    depth: int = 0
    live: bool = False


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """Messages a client may send: a rate and a burst on top. Kraken publishes neither (PROTOCOL 1.1)."""

    per_s: float = 25.0
    burst: int = 30


class Venue(Protocol):
    """What a session needs of the exchange behind it."""

    def lists(self, symbol: str) -> bool: ...
    def subscribed(self, subscription: Subscription, *, snapshot: bool, now_ns: int) -> list[bytes]:
        """Start sending; returns the frames to send with the answer."""
        ...

    def unsubscribed(self, subscription: Subscription) -> None: ...
    def ended(self, session: "Session") -> None: ...


class Session:
    """A connection as the exchange sees it. Once `closed` is set, the transport closes with its code."""

    def __init__(self, venue: Venue, connection_id: int, limit: RequestLimit, chance: Random, now_ns: int) -> None:
        self.connection_id = connection_id
        self.closed: Closed | None = None
        self.silent = False
        """a silent stall: the connection stays open and says nothing at all"""
        self.subscriptions: dict[tuple[str, str, int], Subscription] = {}
        self.heartbeats = False
        self.last_request_ns = now_ns
        self._venue = venue
        self._limit = limit
        self._allowed_ns = now_ns
        self._over_limit = 0
        self._chance = chance

    def receive(self, message: str | bytes, now_ns: int) -> list[bytes]:
        """Answer one text frame. Never raises for what a client sends."""
        if self.closed:
            return []
        self.last_request_ns = now_ns
        answers = self._answer(message, now_ns)
        return [] if self.silent else answers

    def close(self, code: int, reason: str) -> None:
        """End the connection from the exchange's side; also what the shell calls when the client is gone."""
        if self.closed is None:
            self.closed = Closed(code, reason)
            self._venue.ended(self)

    def _answer(self, message: str | bytes, now_ns: int) -> list[bytes]:
        try:
            request = orjson.loads(message)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            return [wire.rejected("Malformed request", self._receipt(None, now_ns))]
        method, params = request.get("method"), request.get("params", {})
        receipt = self._receipt(request.get("req_id"), now_ns)
        if not isinstance(method, str) or not isinstance(params, dict):
            return [wire.rejected("Malformed request", receipt)]
        if self._exceeds_rate(now_ns):
            return [wire.rejected("Exceeded msg rate", receipt, method=method)]
        match method:
            case "ping":
                return [wire.pong(receipt)]
            case "subscribe" | "unsubscribe":
                return self._change_subscriptions(method, params, receipt)
            case _:
                return [wire.rejected("Unsupported method", receipt, method=method)]

    def _change_subscriptions(self, method: str, params: dict[str, Any], receipt: wire.Receipt) -> list[bytes]:
        wanted = _wanted(params)
        if isinstance(wanted, str):
            return [wire.rejected(wanted, receipt, method=method)]
        if method == "unsubscribe":
            return [self._unsubscribe(wanted, symbol, receipt) for symbol in wanted.symbols]
        answers: list[bytes] = []
        data: list[bytes] = []
        for symbol in wanted.symbols:
            answer, frames = self._subscribe(wanted, symbol, receipt)
            answers.append(answer)
            data += frames
        return answers + data

    def _subscribe(self, wanted: "_Wanted", symbol: object, receipt: wire.Receipt) -> tuple[bytes, list[bytes]]:
        if not isinstance(symbol, str) or (symbol and not self._venue.lists(symbol)):
            error = f"Currency pair not supported {symbol}"
            return wire.rejected(error, receipt, method="subscribe", symbol=symbol), []
        key = (wanted.channel, symbol, wanted.depth)
        if key in self.subscriptions:
            return wire.rejected("Already subscribed", receipt, method="subscribe", symbol=symbol or None), []
        subscription = Subscription(self, wanted.channel, symbol, wanted.depth)
        self.subscriptions[key] = subscription
        answer = wire.acknowledged("subscribe", wanted.result(symbol, wanted.snapshot), receipt)
        return answer, self._venue.subscribed(subscription, snapshot=wanted.snapshot, now_ns=receipt.time_in_ns)

    def _unsubscribe(self, wanted: "_Wanted", symbol: object, receipt: wire.Receipt) -> bytes:
        subscription = None
        if isinstance(symbol, str):
            subscription = self.subscriptions.pop((wanted.channel, symbol, wanted.depth), None)
        if subscription is None:
            error = "Subscription Not Found"
            return wire.rejected(error, receipt, method="unsubscribe", symbol=symbol or None)
        self._venue.unsubscribed(subscription)
        return wire.acknowledged("unsubscribe", wanted.result(subscription.symbol, None), receipt)

    def _receipt(self, req_id: object, now_ns: int) -> wire.Receipt:
        """Handling took 10 to 80 microseconds in the recordings."""
        known = req_id if isinstance(req_id, int) and not isinstance(req_id, bool) else None
        return wire.Receipt(known, now_ns, now_ns + self._chance.randrange(10_000, 80_000))

    def _exceeds_rate(self, now_ns: int) -> bool:
        interval_ns = round(1e9 / self._limit.per_s)
        allowed_ns = max(self._allowed_ns, now_ns) + interval_ns
        if allowed_ns - now_ns > self._limit.burst * interval_ns:
            self._over_limit += 1
            if self._over_limit >= _FLAGRANT:
                self.close(POLICY_VIOLATION, "message rate limit")
            return True
        self._allowed_ns = allowed_ns
        self._over_limit = 0
        return False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The parameters of a subscribe or unsubscribe request, checked."""

    channel: str
    symbols: tuple[object, ...]
    """as sent; one empty string for `instrument`, which has no symbols"""
    depth: int
    snapshot: bool

    def result(self, symbol: str, snapshot: bool | None) -> str:
        """What an acknowledgement echoes; an unsubscribe's has no `snapshot`."""
        at_depth = f',"depth":{self.depth}' if self.channel == "book" else ""
        with_snapshot = "" if snapshot is None else f',"snapshot":{"true" if snapshot else "false"}'
        about = f',"symbol":"{symbol}"' if symbol else ""
        return f'{{"channel":"{self.channel}"{at_depth}{with_snapshot}{about}}}'


def _wanted(params: dict[str, Any]) -> _Wanted | str:
    """The request, or the error that rejects it as a whole."""
    channel, symbols = params.get("channel"), params.get("symbol")
    if not isinstance(channel, str) or channel not in CHANNELS:
        return "Subscription name invalid"
    depth = 0
    if channel == "book":
        depth = params.get("depth", BOOK_DEPTHS[0])
        if not isinstance(depth, int) or isinstance(depth, bool):
            return "Subscription book depth must be an integer"
        if depth not in BOOK_DEPTHS:
            return "Subscription depth not supported"
    snapshot = params.get("snapshot", channel != "trade")
    if not isinstance(snapshot, bool):
        return "Malformed request"
    if channel == "instrument":
        symbols = [""]
    if not isinstance(symbols, list) or not symbols or (channel != "instrument" and "" in symbols):
        return "Symbol field must be an array"
    return _Wanted(channel, tuple(symbols), depth, snapshot)
