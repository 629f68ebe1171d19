"""One connection to Kraken and the books it carries: pacing, liveness, subscribing, resyncing, reconnecting.

A book is resynced strictly in sequence (unsubscribe, wait for the answer, subscribe, wait for the snapshot),
so a snapshot can never be one of the subscription before. While a pair waits, its messages are ignored and
counted. Everything due by time is found by one timer per link; frames only note when they came.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from arbitrade_core.domain import Ns, Pair, PairId, Severity
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.spi import FeedPort
from arbitrade_kraken import protocol as wire_events
from arbitrade_kraken.books import BookReader
from arbitrade_kraken.pacing import MILLISECOND, SECOND, AttemptBudget, Backoff, TokenBucket
from arbitrade_kraken.protocol import Event, Protocol
from arbitrade_kraken.settings import KrakenSettings
from arbitrade_kraken.wire import DECODE_ERRORS, decode_book_frame, decode_lexeme_book

RECONNECT_DELAYS_NS: Sequence[Ns] = (0, SECOND // 4, SECOND // 2, SECOND, 2 * SECOND, 5 * SECOND)
"""At once a handful of times with growing delay, then at most once per 5 s (PROTOCOL 1.1)."""
CALM_DELAY_NS: Ns = 5 * SECOND
"""Least delay after maintenance: nothing is gained sooner."""
RESYNC_DELAYS_NS: Sequence[Ns] = (
    0,
    SECOND,
    2 * SECOND,
    4 * SECOND,
    8 * SECOND,
    16 * SECOND,
    32 * SECOND,
    60 * SECOND,
)
REFUSED_DELAY_NS: Ns = 5 * SECOND
"""Least delay after a refusal in words."""
SETTLED_NS: Ns = 60 * SECOND
"""A connection or book that held this long starts over with the shortest delay."""
ALERT_AFTER = 3
"""failures in a row after which an operator hears of it, and again each time the count doubles"""
POLICY_VIOLATION = 1008

_MOST_BLAMED = 5
_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"\\]{1,40})"')


class Stage(Enum):
    """Where a pair's subscription stands. Only in LIVE do its updates go to the market."""

    QUEUED = auto()
    """subscribe when due"""
    SUBSCRIBING = auto()
    """asked for; a snapshot must come by `due`"""
    LIVE = auto()
    LEAVING = auto()
    """unsubscribe when due"""
    UNSUBSCRIBING = auto()
    """asked for; whatever comes now is ignored"""


@dataclass(slots=True, eq=False)
class Subscription:
    """One pair's book on this link."""

    id: PairId
    pair: Pair
    reader: BookReader
    stage: Stage
    due: Ns
    backoff: Backoff
    wanted: bool = True
    live_since: Ns = 0
    carried: bool = False
    """whether the market was told that this link carries the pair"""


class LinkPolicy:
    """What all links of a feed share: the budget of attempts, and whether the exchange is in maintenance."""

    def __init__(self, settings: KrakenSettings) -> None:
        self.settings = settings
        self.budget = AttemptBudget(settings.connect_attempts_per_600_s, 600 * SECOND)
        self.calm = False
        """the exchange said it is not online"""
        self.told_until: Ns = 0
        """operators know that the budget is used up until then"""


class Link:
    """Books of up to `symbols_per_socket` pairs; the control link carries the instrument channel too."""

    def __init__(
        self,
        port: FeedPort,
        policy: LinkPolicy,
        on_connect: Callable[["Link", ConnId], None],
        on_event: Callable[[Event, Ns], None],
        *,
        control: bool,
    ) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.ignored: Counter[str] = Counter()
        """frames and books that were left aside without being faults, by kind"""
        self.conn: ConnId | None = None
        self._port = port
        self._policy = policy
        self._settings = policy.settings
        self._on_connect = on_connect
        self._on_event = on_event
        self._control = control
        self._instrument_due: Ns | None = 0 if control else None
        self._instrument_backoff = Backoff(RESYNC_DELAYS_NS[1:])
        self._protocol = self._new_protocol()
        self._bucket = TokenBucket(self._settings.messages_per_s, self._settings.message_burst, 0)
        self._backoff = Backoff(RECONNECT_DELAYS_NS)
        self._open = False
        self._opened_at: Ns = 0
        self._heard_at: Ns = 0
        self._ping_due: Ns = 0
        self._connect_due: Ns | None = 0
        """when to connect, while there is no connection; None: never again"""
        self._timer: int | None = None
        self._timer_due: Ns = 0

    def _new_protocol(self) -> Protocol:
        return Protocol(self._settings.depth, self._settings.ack_timeout_ms * MILLISECOND)

    # --- what the feed asks for ---

    @property
    def size(self) -> int:
        """Pairs this link is to carry."""
        return sum(subscription.wanted for subscription in self.subscriptions.values())

    def add(self, pair_id: PairId, pair: Pair, now: Ns) -> None:
        """Carry this pair's book. One that is being dropped is taken back once unsubscribed."""
        known = self.subscriptions.get(pair.symbol)
        if known is None:
            self.subscriptions[pair.symbol] = Subscription(
                pair_id, pair, self._reader(pair_id, pair), Stage.QUEUED, now, Backoff(RESYNC_DELAYS_NS)
            )
            return
        known.wanted = True
        if known.pair != pair:
            self._relist(known, pair)

    def drop(self, symbol: str, now: Ns) -> None:
        """Carry it no longer."""
        subscription = self.subscriptions[symbol]
        subscription.wanted = False
        self._uncarry(subscription, now)
        match subscription.stage:
            case Stage.QUEUED:
                del self.subscriptions[symbol]
            case Stage.UNSUBSCRIBING:
                pass
            case _:
                self._leave(subscription, now)

    def relist(self, pair: Pair, now: Ns) -> None:
        """The pair's listing changed. New precisions or increments need a new book; a new status may end a
        wait."""
        subscription = self.subscriptions[pair.symbol]
        old = subscription.pair
        self._relist(subscription, pair)
        if _grid(old) != _grid(pair) and subscription.stage in (Stage.SUBSCRIBING, Stage.LIVE):
            self._leave(subscription, now)
            self._port.quarantine(subscription.id, "its precision or increments changed", now)
        elif old.status is not pair.status and subscription.stage is Stage.QUEUED:
            subscription.due = now

    def _relist(self, subscription: Subscription, pair: Pair) -> None:
        if _grid(subscription.pair) != _grid(pair):
            subscription.reader = self._reader(subscription.id, pair)
        subscription.pair = pair

    def resync(self, symbol: str, now: Ns) -> None:
        """The pair's book is wrong: get a fresh snapshot, later and later when that repeats."""
        subscription = self.subscriptions[symbol]
        if subscription.stage is Stage.LIVE:
            self._fail(subscription, "its book had to be fetched again", now)
            self.pump(now)

    def restart(self, now: Ns) -> None:
        """Give up the connection and make a new one."""
        if self.conn is not None:
            self._drop_connection(now)

    def close(self, now: Ns) -> None:
        """End for good."""
        self._connect_due = None
        if self.conn is not None:
            self._drop_connection(now)
        self._cancel_timer()

    def _reader(self, pair_id: PairId, pair: Pair) -> BookReader:
        return BookReader(pair_id, pair.price_decimals, pair.qty_decimals, self._settings.depth)

    # --- connection ---

    def opened(self, now: Ns) -> None:
        self._open = True
        self._opened_at = self._heard_at = self._ping_due = now
        self._protocol = self._new_protocol()
        self._bucket = TokenBucket(self._settings.messages_per_s, self._settings.message_burst, now)
        if self._control:
            self._instrument_due = now
        self.pump(now)

    def closed(self, code: int, reason: str, now: Ns) -> None:
        """The connection ended, or could not be made: its books are out of use until it is back."""
        if self._open and now - self._opened_at >= SETTLED_NS:
            self._backoff.reset()
        self.conn = None
        self._open = False
        for symbol, subscription in list(self.subscriptions.items()):
            self._uncarry(subscription, now)
            if subscription.wanted:
                subscription.stage, subscription.due = Stage.QUEUED, now
            else:
                del self.subscriptions[symbol]
        if self._connect_due is not None:
            self._plan_reconnect(code, reason, now)
            self.pump(now)

    def _plan_reconnect(self, code: int, reason: str, now: Ns) -> None:
        delay = self._backoff.next_delay_ns()
        if self._policy.calm:
            delay = max(delay, CALM_DELAY_NS)
        if code == POLICY_VIOLATION:
            delay = self._settings.policy_pause_s * SECOND
            self._port.fault("policy_violation", reason or "close code 1008", now)
            self._port.alert(
                Severity.CRITICAL,
                "feed.policy",
                f"Kraken closed a connection for a policy violation ({reason or 'no reason given'}); it is "
                f"tried again in {self._settings.policy_pause_s} s. Ask for less at a time.",
                now,
            )
        elif _worth_telling(self._backoff.failures):
            self._port.alert(
                Severity.WARNING,
                "feed.connection",
                f"{self._settings.ws_url}: {self._backoff.failures} connections lost in a row, last with "
                f"code {code} ({reason or 'no reason given'})",
                now,
            )
        self._connect_due = now + delay

    def _connect(self, now: Ns) -> None:
        ready = self._policy.budget.ready_at(now)
        if ready > now:
            self._connect_due = ready
            if now >= self._policy.told_until:
                self._policy.told_until = now + 60 * SECOND
                self._port.alert(
                    Severity.WARNING,
                    "feed.budget",
                    f"{self._settings.connect_attempts_per_600_s} connection attempts within 600 s are used "
                    f"up: the next one is in {(ready - now) / SECOND:.0f} s",
                    now,
                )
            return
        self._policy.budget.take(now)
        self._heard_at = now
        self.conn = self._port.connect(self._settings.ws_url)
        self._on_connect(self, self.conn)

    def _drop_connection(self, now: Ns) -> None:
        """Give up a connection without waiting for its close."""
        conn, self.conn = self.conn, None
        if conn is not None:
            self._port.disconnect(conn)
            self.closed(0, "given up", now)

    # --- frames ---

    def receive(self, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        """A frame: updates for the market, already in its units. Never raises."""
        self._heard_at = now
        try:
            frame = decode_book_frame(data)
        except DECODE_ERRORS:
            return self._receive_slowly(data, now)
        if frame.channel != "book" or frame.type not in ("update", "snapshot"):
            return self._receive_slowly(data, now)
        snapshot = frame.type == "snapshot"
        updates: list[BookUpdate] = []
        for book in frame.data:
            subscription = self._listening(book.symbol, snapshot, now)
            if subscription is None:
                continue
            update = subscription.reader.read(book, snapshot)
            if update is None:
                return self._receive_slowly(data, now)
            if snapshot:
                self._went_live(subscription, now)
            updates.append(update)
        return updates

    def _listening(self, symbol: str, snapshot: bool, now: Ns) -> Subscription | None:
        """The subscription whose book this is, when its messages are to be read now."""
        subscription = self.subscriptions.get(symbol)
        if subscription is None:
            self._port.fault("unknown_symbol", f"a book of {symbol[:40]!r}, which was not asked for", now)
            return None
        if subscription.stage is Stage.LIVE or (snapshot and subscription.stage is Stage.SUBSCRIBING):
            return subscription
        self.ignored["before_snapshot" if subscription.stage is Stage.SUBSCRIBING else "resyncing"] += 1
        return None

    def _went_live(self, subscription: Subscription, now: Ns) -> None:
        if subscription.stage is not Stage.LIVE:
            subscription.stage = Stage.LIVE
            subscription.live_since = now
        if not subscription.carried:
            subscription.carried = True
            self._port.carried_by(subscription.id, self.conn, now)

    def _receive_slowly(self, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        updates: list[BookUpdate] = []
        for event in self._protocol.receive(data, now):
            self._handle(event, data, updates, now)
        self.pump(now)
        return updates

    def _handle(self, event: Event, data: bytes, updates: list[BookUpdate], now: Ns) -> None:
        match event:
            case wire_events.SlowBook():
                for book in event.books:
                    self._read_exactly(book, event.snapshot, updates, now)
            case wire_events.Fault():
                self._port.fault(event.kind, event.detail, now)
                if event.kind in ("malformed_frame", "unknown_message"):
                    self._blame(data, event.kind, now)
            case wire_events.Subscribed():
                self._subscribed(event.symbol, now)
            case wire_events.Unsubscribed():
                self._unsubscribed(event.symbol, now)
            case wire_events.Refused():
                self._refused(event, now)
            case wire_events.Warned():
                self._port.alert(Severity.WARNING, "feed.warning", f"Kraken warns: {event.text}", now)
            case wire_events.Unread():
                self.ignored[event.channel] += 1
            case wire_events.Instruments():
                self._instruments(event, now)
            case wire_events.Status() | wire_events.ClockSample() | wire_events.Heartbeat():
                self._on_event(event, now)
            case _:
                assert_never(event)

    def _instruments(self, event: wire_events.Instruments, now: Ns) -> None:
        if event.snapshot:
            self._instrument_due = None
            self._instrument_backoff.reset()
        self._on_event(event, now)

    def _read_exactly(self, data: bytes, snapshot: bool, updates: list[BookUpdate], now: Ns) -> None:
        try:
            book = decode_lexeme_book(data)
        except DECODE_ERRORS as error:
            self._port.fault("malformed_book", f"{error}: {data[:160].decode('utf-8', 'replace')}", now)
            self._blame(data, "malformed_book", now)
            return
        subscription = self._listening(book.symbol, snapshot, now)
        if subscription is None:
            return
        try:
            update = subscription.reader.read_exactly(book, snapshot)
        except ProtocolError as error:
            self._port.fault("bad_level", f"{book.symbol}: {error}", now)
            self._distrust(subscription, f"a message that cannot be true: {error}", now)
            return
        if snapshot:
            self._went_live(subscription, now)
        updates.append(update)

    def _blame(self, data: bytes, kind: str, now: Ns) -> None:
        """An unreadable frame may have held a change of the pair it names: its book is not to be trusted."""
        names = dict.fromkeys(_SYMBOL.findall(data))
        if len(names) > _MOST_BLAMED:
            return  # a list of instruments, not a book
        for name in names:
            subscription = self.subscriptions.get(name.decode("utf-8", "replace"))
            if subscription is not None:
                self._distrust(subscription, f"a frame that names it could not be read ({kind})", now)

    def _distrust(self, subscription: Subscription, reason: str, now: Ns) -> None:
        if subscription.stage in (Stage.LIVE, Stage.SUBSCRIBING):
            self._fail(subscription, reason, now)
        self._port.quarantine(subscription.id, reason, now)

    # --- subscriptions ---

    def _subscribed(self, symbol: str | None, now: Ns) -> None:
        subscription = self.subscriptions.get(symbol) if symbol is not None else None
        if subscription is not None and subscription.stage is Stage.SUBSCRIBING:
            subscription.due = now + self._settings.snapshot_timeout_ms * MILLISECOND

    def _unsubscribed(self, symbol: str, now: Ns) -> None:
        subscription = self.subscriptions.get(symbol)
        if subscription is None or subscription.stage is not Stage.UNSUBSCRIBING:
            return
        if subscription.wanted:
            subscription.stage, subscription.due = Stage.QUEUED, now
        else:
            del self.subscriptions[symbol]

    def _refused(self, event: wire_events.Refused, now: Ns) -> None:
        symbol, error = event.symbol, event.error
        if event.method == "unsubscribe":
            # Nothing to leave, or no answer: either way the next step is to subscribe anew.
            self._port.fault("unsubscribe_refused", f"{symbol}: {error}", now)
            if symbol is not None:
                self._unsubscribed(symbol, now)
            return
        self._port.fault("subscribe_refused", f"{symbol or 'instrument'}: {error}", now)
        if symbol is None:
            self._instrument_due = now + self._instrument_backoff.next_delay_ns()
            self._port.alert(
                Severity.CRITICAL,
                "feed.instrument",
                f"Kraken refused the list of pairs: {error}. Nothing can be traded until it comes; it is "
                "asked for again.",
                now,
            )
            return
        subscription = self.subscriptions.get(symbol)
        if subscription is None or subscription.stage is not Stage.SUBSCRIBING:
            return  # its snapshot came: the book proves itself
        if not event.answered:
            self._fail(subscription, error, now)
            return
        delay = max(REFUSED_DELAY_NS, subscription.backoff.next_delay_ns())
        subscription.stage, subscription.due = Stage.QUEUED, now + delay
        failures = subscription.backoff.failures
        if failures == 1 or _worth_telling(failures):
            text = f"Kraken refused the book of {symbol}: {error}. It is tried again, later and later."
            self._port.alert(Severity.WARNING, "feed.rejected", text, now)

    def _fail(self, subscription: Subscription, reason: str, now: Ns) -> None:
        """Start this pair's book anew, after a delay that grows while it keeps failing."""
        backoff = subscription.backoff
        if subscription.stage is Stage.LIVE and now - subscription.live_since >= SETTLED_NS:
            backoff.reset()
        delay = backoff.next_delay_ns()
        if _worth_telling(backoff.failures):
            self._port.alert(
                Severity.WARNING,
                "feed.resync",
                f"the book of {subscription.pair.symbol} failed {backoff.failures} times in a row: {reason}",
                now,
            )
        self._leave(subscription, now + delay)

    def _leave(self, subscription: Subscription, due: Ns) -> None:
        subscription.stage, subscription.due = Stage.LEAVING, due

    def _uncarry(self, subscription: Subscription, now: Ns) -> None:
        if subscription.carried:
            subscription.carried = False
            self._port.carried_by(subscription.id, None, now)

    # --- time ---

    def pump(self, now: Ns) -> None:
        """Do what is due, and ask to be woken for the next."""
        if self.conn is None and self._connect_due is not None and self._connect_due <= now:
            self._connect(now)
        if self._open:
            for event in self._protocol.expire(now):
                self._handle(event, b"", [], now)
            for subscription in self.subscriptions.values():
                if subscription.stage is Stage.SUBSCRIBING and subscription.due <= now:
                    self._port.fault("snapshot_missing", subscription.pair.symbol, now)
                    self._fail(subscription, "no snapshot came", now)
        if self.conn is not None and now >= self._dead_at():
            self._give_up(now)
            return
        while self._open and (message := self._next_message(now)) is not None:
            assert self.conn is not None  # noqa: S101 - an open link has a connection
            self._port.transmit(self.conn, message)
        self._arm(now)

    def _dead_at(self) -> Ns:
        patience = self._settings.dead_after_ms if self._open else self._settings.connect_timeout_ms
        return self._heard_at + patience * MILLISECOND

    def _give_up(self, now: Ns) -> None:
        kind = "dead_socket" if self._open else "connect_timeout"
        self._port.fault(kind, f"no frame for {(now - self._heard_at) // MILLISECOND} ms", now)
        self._drop_connection(now)

    def _next_message(self, now: Ns) -> bytes | None:
        """The most urgent request that is due, when the pace allows one."""
        if self._bucket.ready_at() > now:
            return None
        message = self._ping(now) or self._instrument(now)
        if message is None and (symbols := self._due(Stage.LEAVING, Stage.UNSUBSCRIBING, now)):
            message = self._protocol.unsubscribe(symbols, now)
        if message is None and (symbols := self._due(Stage.QUEUED, Stage.SUBSCRIBING, now)):
            message = self._protocol.subscribe(symbols, now)
        if message is not None:
            self._bucket.take(now)
        return message

    def _ping(self, now: Ns) -> bytes | None:
        if now < self._next_ping():
            return None
        self._ping_due = now + self._settings.ping_every_ms * MILLISECOND
        return self._protocol.ping(now)

    def _next_ping(self) -> Ns:
        """Regularly for the clock; and when half the time to being taken for dead went by in silence."""
        if self._protocol.ping_pending:
            return self._ping_due
        return min(self._ping_due, self._heard_at + self._settings.dead_after_ms * MILLISECOND // 2)

    def _instrument(self, now: Ns) -> bytes | None:
        if self._instrument_due is None or now < self._instrument_due:
            return None
        wait = self._settings.ack_timeout_ms + self._settings.snapshot_timeout_ms
        self._instrument_due = now + wait * MILLISECOND
        return self._protocol.subscribe_instrument(now)

    def _due(self, stage: Stage, next_stage: Stage, now: Ns) -> list[str]:
        """Symbols waiting in a stage whose time has come, moved on to the next one: as many as a message
        takes."""
        symbols: list[str] = []
        wait = self._settings.ack_timeout_ms + self._settings.snapshot_timeout_ms
        for symbol, subscription in self.subscriptions.items():
            if subscription.stage is stage and subscription.due <= now:
                subscription.stage = next_stage
                subscription.due = now + wait * MILLISECOND
                symbols.append(symbol)
                if len(symbols) == self._settings.symbols_per_message:
                    break
        return symbols

    def _arm(self, now: Ns) -> None:
        """One timer, for the earliest thing due. An earlier one that is already set does no harm."""
        due = self._next_due()
        if due is None:
            return
        due = max(due, now + MILLISECOND)
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._port.clockwork.cancel(self._timer)
        self._timer_due = due
        self._timer = self._port.clockwork.at(due, self._woken)

    def _next_due(self) -> Ns | None:
        if self.conn is None:
            return self._connect_due
        if not self._open:
            return self._dead_at()
        to_send = [self._next_ping()]
        if self._instrument_due is not None:
            to_send.append(self._instrument_due)
        to_expire = [self._dead_at()]
        for subscription in self.subscriptions.values():
            if subscription.stage in (Stage.QUEUED, Stage.LEAVING):
                to_send.append(subscription.due)
            elif subscription.stage is Stage.SUBSCRIBING:
                to_expire.append(subscription.due)
        deadline = self._protocol.next_deadline()
        if deadline is not None:
            to_expire.append(deadline)
        return min(max(min(to_send), self._bucket.ready_at()), *to_expire)

    def _woken(self, now: Ns) -> None:
        self._timer = None
        self.pump(now)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._port.clockwork.cancel(self._timer)
            self._timer = None


def _grid(pair: Pair) -> tuple[object, ...]:
    return pair.price_decimals, pair.qty_decimals, pair.tick, pair.lot


def _worth_telling(failures: int) -> bool:
    """The third in a row, the sixth, the twelfth ..."""
    rest, zero = divmod(failures, ALERT_AFTER)
    return failures >= ALERT_AFTER and zero == 0 and rest & (rest - 1) == 0
