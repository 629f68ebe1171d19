"""One connection to Kraken: connecting, pacing, liveness, the clock, and what it is to ask for.

Everything due by time is found by one timer per link; frames only note when they came. The books that the
connection carries are in `subscriptions.py`.
"""

from collections.abc import Callable, Sequence
from typing import assert_never, override

from arbitrade_core.domain import Ns, Pair, PairId, Severity
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.spi import FeedPort
from arbitrade_kraken import protocol as wire_events
from arbitrade_kraken.hearing import Hearing
from arbitrade_kraken.pacing import (
    MILLISECOND,
    SECOND,
    SETTLED_NS,
    AttemptBudget,
    Backoff,
    TokenBucket,
    worth_telling,
)
from arbitrade_kraken.protocol import Answer, Event, Protocol
from arbitrade_kraken.settings import KrakenSettings
from arbitrade_kraken.subscriptions import RESYNC_DELAYS_NS, Stage, Subscription, Subscriptions
from arbitrade_kraken.trades import TradeSubscriptions

RECONNECT_DELAYS_NS: Sequence[Ns] = (0, SECOND // 4, SECOND // 2, SECOND, 2 * SECOND, 5 * SECOND)
"""At once a handful of times with growing delay, then at most once per 5 s (PROTOCOL 1.1)."""
CALM_DELAY_NS: Ns = 5 * SECOND
"""Least delay after maintenance: nothing is gained sooner."""
POLICY_VIOLATION = 1008
"""The close code after which Kraken is not to be asked again blindly."""
_TO_SEND = (Stage.QUEUED, Stage.LEAVING)


class LinkPolicy:
    """What all links of a feed share: the budget of attempts, and whether the exchange is in maintenance."""

    def __init__(self, settings: KrakenSettings) -> None:
        self.settings = settings
        self.budget = AttemptBudget(settings.connect_attempts_per_600_s, 600 * SECOND)
        self.calm = False
        """the exchange said it is not online"""
        self.told_until: Ns = 0
        """operators know that the budget is used up until then"""


class Link(Hearing[Subscription]):
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
        self.books = Subscriptions(port, policy.settings, self.read_slowly)
        super().__init__(port, self.books, on_event)
        self._trades = TradeSubscriptions(policy.settings)
        self._policy = policy
        self._settings = policy.settings
        self._on_connect = on_connect
        self._control = control
        self._instrument_due: Ns | None = 0 if control else None
        self._instrument_backoff = Backoff(RESYNC_DELAYS_NS[1:])
        self._protocol = self._new_protocol()
        self._bucket = TokenBucket(self._settings.messages_per_s, self._settings.message_burst, 0)
        self._backoff = Backoff(RECONNECT_DELAYS_NS)
        self._open = False
        self._opened_at: Ns = 0
        self._ping_due: Ns = 0
        self._connect_due: Ns | None = 0
        """when to connect, while there is no connection; None: never again"""
        self._timer: int | None = None
        self._timer_due: Ns = 0

    def _new_protocol(self) -> Protocol:
        return Protocol(self._settings.depth, self._settings.ack_timeout_ms * MILLISECOND)

    # --- what the feed asks for ---

    def add(self, pair_id: PairId, pair: Pair, now: Ns) -> None:
        """Carry this pair, from the next `pump` on."""
        self.books.add(pair_id, pair, now)
        self._trades.add(pair.symbol, now)

    def drop(self, symbol: str, now: Ns) -> None:
        """Carry it no longer."""
        self.books.drop(symbol, now)
        self._trades.drop(symbol, now)

    def restart(self, now: Ns) -> None:
        """Give up the connection and make a new one."""
        self._drop_connection(now)

    def close(self, now: Ns) -> None:
        """End for good."""
        self._connect_due = None
        self._drop_connection(now)
        self._cancel_timer()

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
        self.books.lost(now)
        self._trades.lost(now)
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
        elif worth_telling(self._backoff.failures):
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

    @override
    def _events(self, data: bytes, now: Ns) -> Sequence[Event]:
        return self._protocol.receive(data, now)

    @override
    def _after(self, now: Ns) -> None:
        self.pump(now)

    @override
    def _handle(self, event: Event, data: bytes, updates: list[BookUpdate], now: Ns) -> None:
        if isinstance(event, wire_events.Instruments) and event.snapshot:
            self._instrument_due = None
            self._instrument_backoff.reset()
        super()._handle(event, data, updates, now)

    @override
    def _answered(self, answer: Answer, now: Ns) -> None:
        if not isinstance(answer, wire_events.Warned) and answer.channel == "trade":
            self._answered_about_trades(answer, now)
            return
        match answer:
            case wire_events.Subscribed():
                if answer.symbol is not None:
                    self.books.subscribed(answer.symbol, now)
            case wire_events.Unsubscribed():
                self.books.unsubscribed(answer.symbol, now)
            case wire_events.Refused():
                self._refused(answer, now)
            case wire_events.Warned():
                self._port.alert(Severity.WARNING, "feed.warning", f"Kraken warns: {answer.text}", now)
            case _:
                assert_never(answer)

    def _answered_about_trades(
        self, answer: wire_events.Subscribed | wire_events.Unsubscribed | wire_events.Refused, now: Ns
    ) -> None:
        if answer.symbol is None:
            return  # requests for trades name symbols, and what is refused without one is refused for each of them
        match answer:
            case wire_events.Subscribed():
                self._trades.subscribed(answer.symbol, now)
            case wire_events.Unsubscribed():
                self._trades.unsubscribed(answer.symbol, now)
            case wire_events.Refused():
                self._port.fault(f"trade_{answer.method}_refused", f"{answer.symbol}: {answer.error}", now)
                self._trades.refused(answer.symbol, answered=answer.answered, now=now)

    def _refused(self, event: wire_events.Refused, now: Ns) -> None:
        symbol, error = event.symbol, event.error
        self._port.fault(f"{event.method}_refused", f"{symbol or 'instrument'}: {error}", now)
        if symbol is None:
            self._instrument_due = now + self._instrument_backoff.next_delay_ns()
            text = f"Kraken refused the list of pairs: {error}. Nothing trades until it comes; it is asked again."
            self._port.alert(Severity.CRITICAL, "feed.instrument", text, now)
        elif event.method == "unsubscribe":
            # Nothing to leave, or no answer: either way the next step is to subscribe anew.
            self.books.unsubscribed(symbol, now)
        else:
            self.books.refused(symbol, error, answered=event.answered, now=now)

    # --- time ---

    def pump(self, now: Ns) -> None:
        """Do what is due, and ask to be woken for the next."""
        if self.conn is None and self._connect_due is not None and self._connect_due <= now:
            self._connect(now)
        if self._open:
            for event in self._protocol.expire(now):
                self._handle(event, b"", [], now)
            self.books.expire(now)
        if self.conn is not None and now >= self._dead_at():
            self._give_up(now)
            return
        while self._open and (message := self._next_message(now)) is not None:
            assert self.conn is not None
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
        if message is None and (symbols := self.books.due(Stage.LEAVING, Stage.UNSUBSCRIBING, now)):
            message = self._protocol.unsubscribe(symbols, now)
        if message is None and (symbols := self.books.due(Stage.QUEUED, Stage.SUBSCRIBING, now)):
            message = self._protocol.subscribe(symbols, now)
        if message is None and (trades := self._trades.due(now)):
            message = self._protocol.trades(*trades, now)
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
        send_at = _first(
            self._next_ping(), self._instrument_due, self.books.next_due(_TO_SEND), self._trades.next_due()
        )
        return _first(
            max(send_at, self._bucket.ready_at()),
            self._dead_at(),
            self._protocol.next_deadline(),
            self.books.next_due((Stage.SUBSCRIBING,)),
        )

    def _woken(self, now: Ns) -> None:
        self._timer = None
        self.pump(now)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._port.clockwork.cancel(self._timer)
            self._timer = None


def _first(due: Ns, *others: Ns | None) -> Ns:
    return min([due, *(other for other in others if other is not None)])
