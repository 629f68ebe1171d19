"""What is told to whom, and when: a pure state machine. No clock, no I/O, no randomness of its own.

An alert is taken once. The same alert again within a while is counted and told as "repeated N times". The routes
choose channels, each channel has its limit and its quiet hours (`channel`), critical alerts stay open until
acknowledged (`incidents`), and once a day there is a summary. Every alert that a channel took is delivered, waits in
it, or was dropped and counted: `taken == delivered + waiting + dropped`, at any time, for every channel.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import time
from itertools import count
from zoneinfo import ZoneInfo

from arbitrade_alerts.channel import Channel, Failure, Limit, Retry
from arbitrade_alerts.incidents import Acknowledged, Escalation, Incident, Incidents
from arbitrade_alerts.messages import TEXT_LIMIT, Delivery, Kind, Message, Tally, cut, span, summary_text
from arbitrade_alerts.quiet import NEVER, Quiet, next_at
from arbitrade_alerts.routing import Routes
from arbitrade_core.domain import Alert, Ns, Severity

SUMMARY = "summary."
"""Topics that belong into the daily summary."""
DAILY = "summary.daily"
UNDELIVERED = "alerts.undelivered"
_REMEMBERED = 10_000
"""Different alerts that are compared with at once; beyond that new ones are not remembered, so not merged."""
_MOST_KEPT = 100
"""Alerts kept for one summary; what is more is told like any other alert."""
_SUMMARY_TEXTS = 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What operators decided."""

    channels: Mapping[str, Quiet | None]
    """names in order, each with its quiet hours"""
    routes: Routes
    limit: Limit
    retry: Retry
    same_ns: Ns
    """the same alert within this time is a repetition; 0: never"""
    escalation: Escalation | None
    summary_at: time | None
    """None: summaries are told when they come"""
    zone: ZoneInfo


@dataclass(slots=True)
class _Same:
    """One alert and how often it came again in the window that ends at `until`."""

    alert: Alert
    channels: tuple[str, ...]
    since_ns: Ns
    until_ns: Ns
    id: str
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel in figures. Alerts, but for `messages` and `failures` (in a row)."""

    name: str
    taken: int
    delivered: int
    waiting: int
    dropped: int
    messages: int
    failures: int
    last_failure: str


@dataclass(frozen=True, slots=True)
class State:
    """The policy in figures."""

    taken: int
    repeated: int
    unrouted: int
    open: int
    acknowledged: int
    channels: tuple[ChannelState, ...]


@dataclass(slots=True)
class _Counts:
    taken: int = 0
    repeated: int = 0
    unrouted: int = 0
    by_channel: dict[str, int] = field(default_factory=dict)


class Policy:
    def __init__(self, terms: Terms, ids: Iterator[str], jitter: Callable[[], float], now: Ns) -> None:
        """`ids` names critical alerts; `jitter` returns numbers from 0 up to 1."""
        self._terms = terms
        self._channels = {
            name: Channel(name, terms.limit, terms.retry, quiet, jitter) for name, quiet in terms.channels.items()
        }
        self._incidents = Incidents(ids, terms.escalation)
        self._delivery_ids = count(1)
        self._counts = _Counts(by_channel=dict.fromkeys(terms.channels, 0))
        self._same: dict[tuple[Severity, str, str], _Same] = {}
        """in the order in which their windows end, since all are equally long"""
        self._day = Tally(since_ns=now)
        self._summaries: list[Alert] = []
        self._summary_due = self._next_summary(now)

    # --- alerts and people ---

    def take(self, alert: Alert, now: Ns, key: str | None = None) -> None:
        """Something happened. Alerts of one severity, topic and text, or topic and `key`, are the same."""
        if len(alert.text) > TEXT_LIMIT:
            alert = replace(alert, text=cut(alert.text))
        self._counts.taken += 1
        self._day.add(alert.severity, alert.topic, alert.text, 1, now)
        if self._belongs_to_summary(alert):
            if self._routed(alert):
                self._summaries.append(alert)
            else:
                self._counts.unrouted += 1
            return
        same_as = (alert.severity, alert.topic, alert.text if key is None else key)
        same = self._same.get(same_as)
        if same is not None and now < same.until_ns:
            self._repeat(same)
            return
        if same is not None:
            self._tell_repeats(same, now)
            del self._same[same_as]
        channels = self._routed(alert)
        if not channels:
            self._counts.unrouted += 1
            return
        id_ = self._incidents.add(alert, now).id if alert.severity is Severity.CRITICAL else ""
        kind = Kind.SUMMARY if alert.topic == DAILY else Kind.ALERT
        message = Message(kind, alert.severity, alert.topic, alert.text, alert.at_ns, 1, id_)
        for name in channels:
            self._channels[name].offer(message, now)
        if self._terms.same_ns and len(self._same) < _REMEMBERED:
            self._same[same_as] = _Same(alert, channels, now, now + self._terms.same_ns, id_)

    def acknowledge(self, id_: str, actor: str, now: Ns) -> Acknowledged | None:
        """Somebody takes care: no more escalation. None when nothing open has this id."""
        return self._incidents.acknowledge(id_, actor, now)

    def open(self) -> tuple[Incident, ...]:
        """Critical alerts that nobody acknowledged, oldest first."""
        return self._incidents.open()

    # --- deliveries ---

    def due(self, now: Ns) -> list[Delivery]:
        """What is to be sent now: at most one message a channel, none on a channel that is busy."""
        self._end_windows(now)
        self._escalate(now)
        if now >= self._summary_due:
            self._tell_summary(now)
        found = (channel.next(next(self._delivery_ids), now) for channel in self._channels.values())
        return [delivery for delivery in found if delivery is not None]

    def deadline(self, now: Ns) -> Ns:
        """When `overdue` or `due` may have something, unless something happens before; at or before `now`: at once."""
        window = next((same.until_ns for same in self._same.values()), NEVER)
        channels = (channel.due(now) for channel in self._channels.values())
        return min(window, self._incidents.due(), self._summary_due, *channels)

    def delivered(self, delivery: Delivery, now: Ns) -> bool:
        """It arrived. True when its channel had been failing and works again."""
        return self._channels[delivery.channel].succeeded(delivery.id, now)

    def failed(self, delivery: Delivery, reason: str, now: Ns) -> Failure | None:
        """It did not arrive; None when it was given up before. What is lost is told on another channel."""
        failure = self._channels[delivery.channel].failed(delivery.id, reason, now)
        if failure is not None:
            self._tell_loss(failure, now)
        return failure

    def overdue(self, now: Ns) -> list[Failure]:
        """Attempts that never ended, as failures."""
        failures = [failure for channel in self._channels.values() if (failure := channel.overdue(now)) is not None]
        for failure in failures:
            self._tell_loss(failure, now)
        return failures

    @property
    def under_way(self) -> int:
        """Deliveries without an outcome."""
        return sum(channel.busy for channel in self._channels.values())

    def hurry(self, now: Ns) -> None:
        """The bot stops: whatever can be told is due now."""
        for same in self._same.values():
            self._tell_repeats(same, now)
        self._same.clear()
        for channel in self._channels.values():
            channel.hurry()

    def state(self) -> State:
        counts = self._counts
        return State(
            counts.taken,
            counts.repeated,
            counts.unrouted,
            len(self._incidents.open()),
            self._incidents.acknowledged,
            tuple(self._state_of(channel) for channel in self._channels.values()),
        )

    # --- inside ---

    def _routed(self, alert: Alert) -> tuple[str, ...]:
        channels = self._terms.routes.channels(alert.severity, alert.topic)
        for name in channels:
            self._counts.by_channel[name] += 1
        return channels

    def _repeat(self, same: _Same) -> None:
        same.repeats += 1
        self._counts.repeated += 1
        self._incidents.repeated(same.id)
        for name in same.channels:
            self._counts.by_channel[name] += 1

    def _end_windows(self, now: Ns) -> None:
        """What came again is told, and its next window begins; what did not is forgotten."""
        while self._same:
            same_as, same = next(iter(self._same.items()))
            if same.until_ns > now:
                break
            del self._same[same_as]
            if same.repeats:
                self._tell_repeats(same, now)
                self._same[same_as] = _Same(same.alert, same.channels, now, now + self._terms.same_ns, same.id)

    def _tell_repeats(self, same: _Same, now: Ns) -> None:
        if not same.repeats:
            return
        alert = same.alert
        text = f"repeated {same.repeats} times in {span(now - same.since_ns)}: {alert.text}"
        message = Message(Kind.REPEATS, alert.severity, alert.topic, text, now, same.repeats, same.id)
        for name in same.channels:
            self._channels[name].offer(message, now)

    def _escalate(self, now: Ns) -> None:
        terms = self._terms.escalation
        if terms is None:
            return
        for incident in self._incidents.escalate(now):
            alert = incident.alert
            waited = span(now - incident.since_ns)
            again = f", {incident.repeats} times more since" if incident.repeats else ""
            text = f"for {waited} ({incident.escalated} of {terms.times}): {alert.text}{again}"
            message = Message(Kind.ESCALATION, alert.severity, alert.topic, text, incident.since_ns, 0, incident.id)
            for name in terms.channels:
                self._channels[name].offer(message, now)

    def _tell_loss(self, failure: Failure, now: Ns) -> None:
        """On the first other channel that works. A notice that is lost itself is not told again."""
        lost = [message for message in failure.lost if message.kind is not Kind.NOTICE]
        works = next((one for one in self._channels.values() if not one.failing), None)
        if not lost or works is None:
            return
        tally = Tally()
        for message in lost:
            tally.add(message.severity, message.topic, message.text, message.weight, now)
        text = f"given up on channel {failure.channel} ({failure.reason}):\n{tally.text()}"
        works.offer(Message(Kind.NOTICE, tally.severity, UNDELIVERED, text, now, 0), now)

    def _belongs_to_summary(self, alert: Alert) -> bool:
        kept = alert.topic.startswith(SUMMARY) and self._terms.summary_at is not None
        return kept and len(self._summaries) < _MOST_KEPT

    def _tell_summary(self, now: Ns) -> None:
        """To the channels that get daily summaries, and to those that a kept text was routed to."""
        self._summary_due = self._next_summary(now)
        day, self._day = self._day, Tally(since_ns=now)
        kept, self._summaries = self._summaries, []
        states = [
            f"channel {one.name}: {one.messages} messages sent, {one.dropped} alerts given up"
            + (f", failing: {one.last_failure}" if one.failing else "")
            for one in self._channels.values()
        ]
        for name, channel in self._channels.items():
            own = [alert for alert in kept if name in self._terms.routes.channels(alert.severity, alert.topic)]
            if own or name in self._terms.routes.channels(Severity.INFO, DAILY):
                text = summary_text(day, [alert.text for alert in own[-_SUMMARY_TEXTS:]], states)
                message = Message(Kind.SUMMARY, Severity.INFO, DAILY, text, now, len(own))
                channel.offer(message, now)

    def _next_summary(self, now: Ns) -> Ns:
        at = self._terms.summary_at
        return NEVER if at is None else next_at(at, self._terms.zone, now)

    def _state_of(self, channel: Channel) -> ChannelState:
        repeats = sum(same.repeats for same in self._same.values() if channel.name in same.channels)
        routes = self._terms.routes
        kept = sum(channel.name in routes.channels(alert.severity, alert.topic) for alert in self._summaries)
        return ChannelState(
            channel.name,
            self._counts.by_channel[channel.name],
            channel.delivered,
            channel.waiting + repeats + kept,
            channel.dropped,
            channel.messages,
            channel.failures,
            channel.last_failure,
        )


def lost_words(lost: Sequence[Message]) -> str:
    """How many alerts, and of which topics, for the log."""
    topics = sorted({message.topic for message in lost})
    return f"{sum(message.weight for message in lost)} alerts ({', '.join(topics[:10])})"
