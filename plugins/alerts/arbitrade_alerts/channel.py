"""One channel as a pure state machine: its limit, its quiet hours, its digest, and trying again.

At most one message is under way at a time. A channel that fails is tried again with growing pauses, whatever waits in
it; a message is given up when it could not be delivered for long enough. What the limit or quiet hours hold back is
counted and leaves as one digest.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from arbitrade_alerts.messages import Delivery, Kind, Message, Tally, span
from arbitrade_alerts.quiet import NEVER, Quiet
from arbitrade_alerts.routing import rank
from arbitrade_core.domain import Ns, Severity


@dataclass(frozen=True, slots=True)
class Limit:
    """Messages that a channel delivers within any `window_ns`. One digest comes on top, and so do summaries."""

    messages: int
    window_ns: Ns

    def of(self, severity: Severity) -> int:
        """A quarter is kept for critical alerts, so that a flood of warnings cannot hide one."""
        return self.messages if severity is Severity.CRITICAL else self.messages - self.messages // 4


@dataclass(frozen=True, slots=True)
class Retry:
    """After the n-th failure in a row: `first_ns * 2**(n-1)`, at most `max_ns`, a random half of it taken off."""

    first_ns: Ns
    max_ns: Ns
    give_up_ns: Ns
    """how long a message may wait in a failing channel"""
    patience_ns: Ns
    """an attempt that has not ended by then has failed"""

    def pause_ns(self, failures: int, jitter: float) -> Ns:
        whole = min(self.max_ns, self.first_ns << min(failures - 1, 40))
        return max(1, int(whole * (1.0 - jitter / 2)))


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed attempt means."""

    channel: str
    reason: str
    first: bool
    """whether the channel worked before"""
    lost: tuple[Message, ...]
    """given up"""


@dataclass(slots=True, eq=False)
class _Waiting:
    message: Message
    since_ns: Ns


@dataclass(slots=True)
class _UnderWay:
    delivery: Delivery
    waiting: _Waiting
    expires_ns: Ns


class Channel:
    def __init__(self, name: str, limit: Limit, retry: Retry, quiet: Quiet | None, jitter: Callable[[], float]) -> None:
        """`jitter` returns a number from 0 up to 1."""
        self.name = name
        self.messages = 0
        """messages delivered"""
        self.delivered = 0
        """alerts in them"""
        self.dropped = 0
        """alerts in messages that were given up"""
        self.failures = 0
        """in a row"""
        self.last_failure = ""
        self._limit = limit
        self._retry = retry
        self._quiet = quiet
        self._jitter = jitter
        self._queue: deque[_Waiting] = deque()
        self._under_way: _UnderWay | None = None
        self._recent: deque[Ns] = deque()
        """when messages that count were delivered, within the last window"""
        self._tally = Tally()
        self._window_ends: Ns | None = None
        """when the limit that was hit gives way, and the digest of what it held back may go"""
        self._no_digest_until: Ns = 0
        """one digest a window"""
        self._failing_since: Ns | None = None
        self._try_again: Ns = 0

    @property
    def failing(self) -> bool:
        return self._failing_since is not None

    @property
    def busy(self) -> bool:
        return self._under_way is not None

    @property
    def waiting(self) -> int:
        """Alerts that are neither delivered nor dropped."""
        under_way = self._under_way.waiting.message.weight if self._under_way else 0
        return sum(one.message.weight for one in self._queue) + under_way + self._tally.weight

    def offer(self, message: Message, now: Ns) -> None:
        """Queue the message, or count it in the digest."""
        if message.kind is Kind.SUMMARY and not self._queued(Kind.SUMMARY):
            self._queue.append(_Waiting(message, now))
        elif self._quiet_until(message.severity, now) is not None:
            self._hold(message, now)
        elif message.kind is Kind.SUMMARY or self._taken(now) >= self._limit.of(message.severity):
            self._hold(message, now)
            self._overflows(now)
        else:
            self._queue.append(_Waiting(message, now))

    def next(self, id_: int, now: Ns) -> Delivery | None:
        """The message that may leave now, under this id; None when there is none."""
        if self._under_way is not None or now < self._try_again:
            return None
        self._hold_what_became_quiet(now)
        waiting = self._best(now)
        if waiting is not None:
            self._queue.remove(waiting)
        elif self._digest_at(now) <= now:
            waiting = self._digest(now)
        else:
            return None
        delivery = Delivery(id_, self.name, waiting.message, self.failures + 1)
        self._under_way = _UnderWay(delivery, waiting, now + self._retry.patience_ns)
        return delivery

    def due(self, now: Ns) -> Ns:
        """When `next` or `overdue` may have something; NEVER when only an offer or an outcome can change that."""
        if self._under_way is not None:
            return self._under_way.expires_ns
        times = [self._quiet_until(one.message.severity, now) or now for one in self._queue]
        return max(self._try_again, min((*times, self._digest_at(now))))

    def succeeded(self, id_: int, now: Ns) -> bool:
        """The message arrived. True when the channel had been failing."""
        under_way = self._end(id_)
        if under_way is None:
            return False
        message = under_way.delivery.message
        self.messages += 1
        self.delivered += message.weight
        if message.kind is Kind.DIGEST:
            self._no_digest_until = now + self._limit.window_ns
        elif message.kind is not Kind.SUMMARY:
            self._recent.append(now)
        recovered = self.failing
        self.failures, self._failing_since, self._try_again = 0, None, 0
        return recovered

    def failed(self, id_: int, reason: str, now: Ns) -> Failure | None:
        """The attempt failed; None when it is not the one under way any more."""
        under_way = self._end(id_)
        if under_way is None:
            return None
        first = not self.failing
        if self._failing_since is None:
            self._failing_since = now
        self.failures += 1
        self.last_failure = reason
        self._try_again = now + self._retry.pause_ns(self.failures, self._jitter())
        self._queue.appendleft(under_way.waiting)
        lost = [one for one in self._queue if max(one.since_ns, self._failing_since) + self._retry.give_up_ns <= now]
        for one in lost:
            self._queue.remove(one)
            self.dropped += one.message.weight
        return Failure(self.name, reason, first, tuple(one.message for one in lost))

    def overdue(self, now: Ns) -> Failure | None:
        """Gives up waiting for the attempt under way when its time is over; its late outcome will not count."""
        if self._under_way is None or now < self._under_way.expires_ns:
            return None
        return self.failed(self._under_way.delivery.id, f"no end within {span(self._retry.patience_ns)}", now)

    def hurry(self) -> None:
        """The bot stops: what waits for the limit or for another try does so no longer. Quiet hours still hold."""
        self._window_ends = None
        self._try_again = 0

    # --- inside ---

    def _end(self, id_: int) -> _UnderWay | None:
        under_way = self._under_way
        if under_way is None or under_way.delivery.id != id_:
            return None
        self._under_way = None
        return under_way

    def _queued(self, kind: Kind) -> bool:
        return any(one.message.kind is kind for one in self._queue)

    def _quiet_until(self, severity: Severity, now: Ns) -> Ns | None:
        return self._quiet.until(severity, now) if self._quiet else None

    def _taken(self, now: Ns) -> int:
        """Of the limit: what was delivered within the window, and what is on its way."""
        while self._recent and self._recent[0] + self._limit.window_ns <= now:
            self._recent.popleft()
        queued = sum(_counts(one.message) for one in self._queue)
        under_way = self._under_way is not None and _counts(self._under_way.delivery.message)
        return len(self._recent) + queued + under_way

    def _hold(self, message: Message, now: Ns) -> None:
        self._tally.add(message.severity, message.topic, message.text, message.weight, now)

    def _overflows(self, now: Ns) -> None:
        if self._window_ends is None:
            self._window_ends = (self._recent[0] if self._recent else now) + self._limit.window_ns

    def _hold_what_became_quiet(self, now: Ns) -> None:
        for one in [one for one in self._queue if _counts(one.message)]:
            if self._quiet_until(one.message.severity, now) is not None:
                self._queue.remove(one)
                self._hold(one.message, now)

    def _best(self, now: Ns) -> _Waiting | None:
        """The most severe that may be heard now, the oldest of those."""
        heard = [one for one in self._queue if self._quiet_until(one.message.severity, now) is None]
        return max(heard, key=lambda one: rank(one.message.severity), default=None)

    def _digest_at(self, now: Ns) -> Ns:
        if not self._tally or self._queued(Kind.DIGEST):
            return NEVER
        at = max(now, self._window_ends or now, self._no_digest_until)
        return self._quiet_until(self._tally.severity, at) or at

    def _digest(self, now: Ns) -> _Waiting:
        tally, self._tally, self._window_ends = self._tally, Tally(), None
        topic = f"{sum(line.count for line in tally.lines.values())} alerts in {span(now - tally.since_ns)}"
        return _Waiting(Message(Kind.DIGEST, tally.severity, topic, tally.text(), now, tally.weight), now)


def _counts(message: Message) -> bool:
    """Against the limit."""
    return message.kind not in (Kind.DIGEST, Kind.SUMMARY)
