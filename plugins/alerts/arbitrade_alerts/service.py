"""The plugin at work: takes alerts from trading, asks the policy, and lets couriers deliver.

`send` puts an alert into a bounded queue and returns. One thread owns the policy; each channel has a courier. Turns of
that thread are short and rest in between, so that a storm of alerts leaves the interpreter to trading.
"""

import random
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import anyio
import structlog
from anyio import to_thread

from arbitrade_alerts.channel import Failure
from arbitrade_alerts.inbox import Inbox
from arbitrade_alerts.messages import Delivery
from arbitrade_alerts.policy import Policy, State, lost_words
from arbitrade_alerts.sender import Courier, Outlet
from arbitrade_alerts.settings import AlertsSettings
from arbitrade_alerts.verbs import Verbs
from arbitrade_core.domain import Alert, Ns
from arbitrade_core.services import ServiceHost, Verb

FLUSH_S = 5.0
"""How long what is queued may take to leave at a clean stop."""
_REST_S = 0.01
"""Pause between two turns, and the time in which alerts gather."""
_TURN = 64
"""Most alerts of one turn: about a millisecond of work."""
_AFTER_FAULT_S = 1.0
_LONGEST_WAIT_S = 3600.0

_log = structlog.get_logger("arbitrade.alerts")


class SteadyClock:
    """Wall time at its making, advanced by the monotonic clock: a step of the system clock mutes no channel."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> Ns:
        return self._offset + time.monotonic_ns()


class Alerts:
    """`spi.Notifier` and `services.Service` in one. Alerts that come before it runs wait in its queue."""

    name = "alerts"

    def __init__(self, settings: AlertsSettings, clock: Callable[[], Ns] | None = None) -> None:
        self.settings = settings
        self._clock = clock or SteadyClock()
        self._policy = Policy(settings.terms(), map(str, count(1)), random.random, self._clock())
        self._inbox = Inbox(settings.queue)
        self._outcomes: deque[tuple[Delivery, str | None]] = deque()
        self._asked: deque[tuple[Callable[[Policy, Ns], Any], Future[Any]]] = deque()
        self._wake = threading.Event()
        self._couriers: dict[str, Courier] = {}
        self._thread: threading.Thread | None = None
        self._stop_by_s: float | None = None
        self.faults = 0
        """turns that failed, by a bug of ours"""
        self.last_fault = ""

    # --- any thread ---

    def send(self, alert: Alert) -> None:
        self._inbox.put(alert)
        if not self._wake.is_set():
            self._wake.set()

    @property
    def queued(self) -> int:
        """Alerts that the policy has not seen."""
        return len(self._inbox)

    @property
    def overflowed(self) -> int:
        """Alerts that the full queue dropped."""
        return self._inbox.dropped

    def ask[T](self, question: Callable[[Policy, Ns], T]) -> Future[T]:
        """`question(policy, now)` on the thread that owns the policy, at once when it does not run."""
        answer: Future[T] = Future()
        if self._thread is None:
            answer.set_result(question(self._policy, self._clock()))
        else:
            self._asked.append((question, answer))
            self._wake.set()
        return answer

    def now(self) -> Ns:
        return self._clock()

    def state(self) -> Future[State]:
        return self.ask(lambda policy, _: policy.state())

    # --- the trading loop ---

    @asynccontextmanager
    async def run(self, host: ServiceHost) -> AsyncIterator[None]:
        """Deliver while inside; on leaving, flush what is queued for up to `FLUSH_S`."""
        for name, verb in self.verbs().items():
            host.offer(name, verb)
        self._start(self.settings.outlets())
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._stop)

    def verbs(self) -> Mapping[str, Verb]:
        """What operators can ask: list, ack, test, status."""
        return Verbs(self).table()

    # --- its own thread ---

    def _start(self, outlets: Sequence[Outlet]) -> None:
        self._stop_by_s = None
        self._couriers = {outlet.name: Courier(outlet, self._report) for outlet in outlets}
        for courier in self._couriers.values():
            courier.start()
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        thread = self._thread
        if thread is None:
            return
        self._stop_by_s = time.monotonic() + FLUSH_S
        self._wake.set()
        thread.join(FLUSH_S + 0.5)
        self._thread = None
        for courier in self._couriers.values():
            courier.stop()
        self._answer(self._clock())
        left = sum(channel.waiting for channel in self._policy.state().channels) + len(self._inbox)
        if left:
            _log.warning("alerts were not delivered before the stop", alerts=left)

    def _report(self, delivery: Delivery, reason: str | None) -> None:
        self._outcomes.append((delivery, reason))
        self._wake.set()

    def _work(self) -> None:
        wait_s = 0.0
        while self._stop_by_s is None:
            self._wake.wait(wait_s)
            time.sleep(_REST_S)
            self._wake.clear()
            wait_s = self._guarded_turn()
        self._flush(self._stop_by_s)

    def _flush(self, until_s: float) -> None:
        while self._inbox:
            self._guarded_turn()
        self._policy.hurry(self._clock())
        self._guarded_turn()
        while self._policy.under_way and time.monotonic() < until_s:
            self._wake.wait(max(0.0, until_s - time.monotonic()))
            self._wake.clear()
            self._guarded_turn()

    def _guarded_turn(self) -> float:
        try:
            return self._turn()
        except Exception as error:  # noqa: BLE001 - a bug must not end all telling: it is kept, shown, and the next turn comes
            self.faults += 1
            self.last_fault = f"{type(error).__name__}: {error}"
            with suppress(OSError, ValueError):  # standard error may be closed, which may be the fault itself
                _log.error("a turn of the alerts thread failed", exc_info=error)
            return _AFTER_FAULT_S

    def _turn(self) -> float:
        """Everything that is to be done now; returns how long nothing will be, in seconds."""
        policy, now = self._policy, self._clock()
        for _ in range(_TURN):
            alert = self._inbox.take()
            if alert is None:
                break
            policy.take(alert, now)
        while self._outcomes:
            self._end(*self._outcomes.popleft(), now)
        for failure in policy.overdue(now):
            self._tell(failure)
        self._answer(now)
        for delivery in policy.due(now):
            self._couriers[delivery.channel].carry(delivery)
        if self._inbox or self._outcomes:
            return 0.0
        return min(_LONGEST_WAIT_S, max(0, policy.deadline(now) - now) / 1e9)

    def _end(self, delivery: Delivery, reason: str | None, now: Ns) -> None:
        if reason is not None:
            failure = self._policy.failed(delivery, reason, now)
            if failure is not None:
                self._tell(failure)
        elif self._policy.delivered(delivery, now):
            _log.info("alert channel works again", channel=delivery.channel)

    def _tell(self, failure: Failure) -> None:
        if failure.first:
            _log.warning("alert channel fails; it is tried again", channel=failure.channel, reason=failure.reason)
        if failure.lost:
            _log.error(
                "alerts were given up",
                channel=failure.channel,
                reason=failure.reason,
                lost=lost_words(failure.lost),
            )

    def _answer(self, now: Ns) -> None:
        while self._asked:
            question, answer = self._asked.popleft()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(question(self._policy, now))
            except Exception as error:  # noqa: BLE001 - whoever asked is told; this thread goes on
                answer.set_exception(error)
