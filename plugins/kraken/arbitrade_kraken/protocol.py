"""One connection's conversation with Kraken, without the connection: requests to bytes, frames to events.

Book frames do not come through here (see `wire.decode_book_frame`); this is the slow path for everything
else: status, heartbeats, pongs, acknowledgements, rejections, instrument data. Feeding it bytes never raises:
what Kraken should not have sent becomes a `Fault`. Sources: PROTOCOL 1.2 to 1.6.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_kraken import wire

KNOWN_SYSTEMS = frozenset({"online", "maintenance", "cancel_only", "post_only", "limit_only"})
OTHER_CHANNELS = frozenset({"trade", "ticker", "ohlc", "level3"})
"""Channels that exist but that this feed does not read."""

# --- events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the matching engine, and what Kraken says about its plans."""

    system: str
    maintenance: tuple[str, ...]
    """announced events, each as one line; stable text for one event and phase"""
    emergency: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    pass


@dataclass(frozen=True, slots=True)
class ClockSample:
    """One ping's answer, as NTP reads it: exchange clock minus ours, and the time on the wire both ways."""

    offset_ns: int
    round_trip_ns: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Kraken confirmed one symbol's channel, or the instrument channel (symbol None)."""

    symbol: str | None
    channel: str = "book"


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """Data of this symbol that arrives from here on belongs to a later subscription."""

    symbol: str
    channel: str = "book"


@dataclass(frozen=True, slots=True)
class Refused:
    """A request failed, in Kraken's words, or got no answer. `symbol` None: the instrument channel."""

    method: str
    symbol: str | None
    error: str
    answered: bool = True
    """False: no answer in time, so the request may have been carried out all the same"""
    channel: str = "book"


@dataclass(frozen=True, slots=True)
class Warned:
    """`result.warnings` of an acknowledgement."""

    text: str


@dataclass(frozen=True, slots=True)
class Instruments:
    """Assets and pairs: all of them, or the changed ones. `data` is for `instrument.read_instruments`."""

    snapshot: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class SlowBook:
    """A book frame for the slow path; `books` are its elements, undecoded."""

    snapshot: bool
    books: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """A frame of a channel that exists but is none of ours."""

    channel: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something Kraken should not have sent."""

    kind: str
    detail: str


type Event = (
    Status
    | Heartbeat
    | ClockSample
    | Subscribed
    | Unsubscribed
    | Refused
    | Warned
    | Instruments
    | SlowBook
    | Unread
    | Fault
)

type Answer = Subscribed | Unsubscribed | Refused | Warned
"""Events that answer a request."""

# --- requests under way -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Request:
    method: str
    channel: str
    waiting: dict[str | None, None]
    """symbols not answered yet, in the order asked; the instrument channel counts as the symbol None"""
    deadline: Ns
    errors: list[str] = field(default_factory=list)
    """rejections that named no symbol"""


class Protocol:
    """Requests are matched to answers by `req_id`, else by symbol; each is answered or refused by its deadline."""

    def __init__(self, depth: int, ack_timeout_ns: Ns) -> None:
        self._depth = depth
        self._ack_timeout_ns = ack_timeout_ns
        self._requests: dict[int, _Request] = {}
        self._pings: dict[int, Ns] = {}
        self._last_id = 0
        self._frames = 0

    # --- out ---

    def subscribe(self, symbols: Sequence[str], now: Ns) -> bytes:
        return wire.book_request("subscribe", symbols, self._depth, self._ask("subscribe", "book", symbols, now))

    def unsubscribe(self, symbols: Sequence[str], now: Ns) -> bytes:
        return wire.book_request("unsubscribe", symbols, self._depth, self._ask("unsubscribe", "book", symbols, now))

    def trades(self, method: str, symbols: Sequence[str], now: Ns) -> bytes:
        """Subscribe to or unsubscribe from trades."""
        return wire.trade_request(method, symbols, self._ask(method, "trade", symbols, now))

    def subscribe_instrument(self, now: Ns) -> bytes:
        return wire.instrument_request(self._ask("subscribe", "instrument", [None], now))

    def ping(self, now: Ns) -> bytes:
        self._last_id += 1
        self._pings = {self._last_id: now}
        return wire.ping_request(self._last_id)

    @property
    def ping_pending(self) -> bool:
        return bool(self._pings)

    def _ask(self, method: str, channel: str, symbols: Iterable[str | None], now: Ns) -> int:
        self._last_id += 1
        waiting = dict.fromkeys(symbols)
        self._requests[self._last_id] = _Request(method, channel, waiting, now + self._ack_timeout_ns)
        return self._last_id

    # --- time ---

    def next_deadline(self) -> Ns | None:
        return min((request.deadline for request in self._requests.values()), default=None)

    def expire(self, now: Ns) -> list[Event]:
        """What was not answered by its deadline failed."""
        events: list[Event] = []
        for req_id, request in list(self._requests.items()):
            if request.deadline > now:
                continue
            del self._requests[req_id]
            events += _all_refused(request, f"no answer within {self._ack_timeout_ns / 1e9:g} s", answered=False)
        return events

    # --- in ---

    def receive(self, data: bytes, now: Ns) -> list[Event]:
        """Any frame but a book frame of the fast path."""
        try:
            envelope = wire.decode_envelope(data)
        except wire.DECODE_ERRORS as error:
            return [Fault("malformed_frame", f"{error}: {_excerpt(data)}")]
        self._frames += 1
        events: list[Event] = []
        if self._frames == 1 and envelope.channel != "status":
            events.append(Fault("status_not_first", _excerpt(data)))
        channel = envelope.channel
        if channel is not None:
            events += _from_channel(channel, envelope, data)
        elif envelope.method == "pong":
            events += self._pong(envelope, now)
        elif isinstance(envelope.method, str):
            events += self._answer(envelope, data)
        else:
            events.append(Fault("unknown_message", _excerpt(data)))
        return events

    def _pong(self, envelope: wire.Envelope, now: Ns) -> list[Event]:
        sent = self._pings.pop(envelope.req_id, None) if isinstance(envelope.req_id, int) else None
        if sent is None:
            return [Fault("unexpected_pong", f"req_id {envelope.req_id!r} is no ping of ours")]
        came, left = wire.parse_time_ns(envelope.time_in), wire.parse_time_ns(envelope.time_out)
        if came is None or left is None:
            return [Heartbeat()]
        offset = ((came - sent) + (left - now)) // 2
        return [ClockSample(offset, (now - sent) - (left - came))]

    def _answer(self, envelope: wire.Envelope, data: bytes) -> list[Event]:
        result = envelope.result if isinstance(envelope.result, dict) else {}
        symbol = result.get("symbol", envelope.symbol)
        symbol = symbol if isinstance(symbol, str) else None
        channel = result.get("channel")
        request = self._request_of(envelope, symbol, channel if isinstance(channel, str) else None)
        if request is None:
            if isinstance(envelope.error, str):
                return [Fault("unmatched_rejection", f"{envelope.error} (symbol {symbol or 'not named'})")]
            return [Fault("unmatched_answer", _excerpt(data))]
        error = self._why_failed(envelope, result, request)
        if symbol is None and None not in request.waiting:
            if error is None:
                return [Fault("unmatched_answer", _excerpt(data))]
            return self._refuse_unnamed(request, error)
        request.waiting.pop(symbol, None)
        self._forget_answered()
        events: list[Event] = [Warned(str(text)) for text in _list(result.get("warnings"))]
        if error is not None:
            events.append(Refused(request.method, symbol, error, channel=request.channel))
        elif request.method == "unsubscribe" and symbol is not None:
            events.append(Unsubscribed(symbol, request.channel))
        else:
            events.append(Subscribed(symbol, request.channel))
        return events

    def _request_of(self, envelope: wire.Envelope, symbol: str | None, channel: str | None) -> _Request | None:
        """By req_id; an answer without one goes to the oldest request of that method that waits for the symbol, on that
        channel if it names one: rejections do not."""
        if isinstance(envelope.req_id, int):
            request = self._requests.get(envelope.req_id)
            if request is None or request.method != envelope.method:
                return None
            return request if symbol is None or symbol in request.waiting else None
        unnamed = symbol is None and channel != "instrument"
        for request in self._requests.values():
            if request.method != envelope.method or channel not in (None, request.channel):
                continue
            if unnamed or symbol in request.waiting:
                return request
        return None

    def _why_failed(self, envelope: wire.Envelope, result: dict[str, object], request: _Request) -> str | None:
        """None when the answer is a yes. Anything but a plain `true` is a no (PROTOCOL 1.5)."""
        if envelope.success is not True:
            return envelope.error if isinstance(envelope.error, str) else f"success is {envelope.success!r}"
        depth = result.get("depth", self._depth)
        if (request.method, request.channel) == ("subscribe", "book") and depth != self._depth:
            return f"confirmed depth {depth!r} instead of {self._depth}"
        return None

    def _refuse_unnamed(self, request: _Request, error: str) -> list[Event]:
        """A rejection naming no symbol may be for one of many: it is for all once as many came as symbols wait."""
        request.errors.append(error)
        if len(request.errors) < len(request.waiting):
            return []
        events = _all_refused(request, error, answered=True)
        request.waiting.clear()
        self._forget_answered()
        return events

    def _forget_answered(self) -> None:
        for req_id in [req_id for req_id, request in self._requests.items() if not request.waiting]:
            del self._requests[req_id]


def overheard(data: bytes, depth: int, now: Ns) -> list[Event]:
    """Any frame but a book frame of the fast path, whoever asked for it. Of answers, those that say what is carried."""
    try:
        envelope = wire.decode_envelope(data)
    except wire.DECODE_ERRORS as error:
        return [Fault("malformed_frame", f"{error}: {_excerpt(data)}")]
    if envelope.channel is not None:
        return _from_channel(envelope.channel, envelope, data)
    match envelope.method:
        case "pong":
            return [_unasked_pong(envelope, now)]
        case "subscribe" | "unsubscribe" if envelope.success is True:
            return [_overheard_yes(envelope, depth)]
        case str():
            return [Unread("answer")]
        case _:
            return [Fault("unknown_message", _excerpt(data))]


def _overheard_yes(envelope: wire.Envelope, depth: int) -> Event:
    result = envelope.result if isinstance(envelope.result, dict) else {}
    symbol = result.get("symbol")
    if result.get("channel") != "book" or not isinstance(symbol, str):
        return Unread("answer")
    if result.get("depth", depth) != depth:
        return Fault("other_depth", f"{symbol} was recorded at depth {result['depth']!r}, and this bot reads {depth}")
    return Subscribed(symbol) if envelope.method == "subscribe" else Unsubscribed(symbol)


def _unasked_pong(envelope: wire.Envelope, now: Ns) -> ClockSample | Heartbeat:
    """See `writing.pong_frame`. Of another pong nobody knows when its ping left."""
    came, left = wire.parse_time_ns(envelope.time_in), wire.parse_time_ns(envelope.time_out)
    if envelope.req_id is not None or came is None or came != left:
        return Heartbeat()
    return ClockSample(came - now, 0)


def _all_refused(request: _Request, otherwise: str, *, answered: bool) -> list[Event]:
    error = "; ".join(dict.fromkeys(request.errors)) or otherwise
    return [Refused(request.method, symbol, error, answered, request.channel) for symbol in request.waiting]


def _from_channel(channel: object, envelope: wire.Envelope, data: bytes) -> list[Event]:
    events: list[Event]
    match channel:
        case "heartbeat":
            events = [Heartbeat()]
        case "status":
            events = _status(envelope.data)
        case "book" | "instrument" if envelope.type not in ("snapshot", "update"):
            events = [Fault("malformed_frame", f"{channel} of type {envelope.type!r}: {_excerpt(data)}")]
        case "book":
            events = _slow_book(envelope)
        case "instrument":
            events = [Instruments(envelope.type == "snapshot", bytes(envelope.data))]
        case str() if channel in OTHER_CHANNELS:
            events = [Unread(channel)]
        case _:
            events = [Fault("unknown_channel", _excerpt(data))]
    return events


def _slow_book(envelope: wire.Envelope) -> list[Event]:
    try:
        books = wire.decode_elements(envelope.data)
    except wire.DECODE_ERRORS as error:
        return [Fault("malformed_frame", f"book data: {error}: {_excerpt(bytes(envelope.data))}")]
    return [SlowBook(envelope.type == "snapshot", tuple(map(bytes, books)))]


def _status(data: msgspec.Raw) -> list[Event]:
    try:
        entries = wire.decode_status(data)
    except wire.DECODE_ERRORS as error:
        return [Fault("malformed_frame", f"status: {error}: {_excerpt(bytes(data))}")]
    events: list[Event] = []
    for entry in entries:
        if entry.system not in KNOWN_SYSTEMS:
            events.append(Fault("unknown_status", f"system status {entry.system!r}"))
        announced = tuple(
            f"{item.get('title', 'maintenance')} ({item.get('phase', 'announced')}), "
            f"{item.get('expected_start_utc', '?')} to {item.get('expected_end_utc', '?')}"
            for item in entry.upcoming_maintenance
        )
        events.append(Status(entry.system, announced, tuple(str(item) for item in entry.emergency)))
    return events or [Fault("malformed_frame", "status without an entry")]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _excerpt(data: bytes) -> str:
    return data[:160].decode("utf-8", "replace")
