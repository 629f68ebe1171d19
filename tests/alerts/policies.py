"""Policies on simulated time, and what became of every message they handed out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import time
from itertools import count
from zoneinfo import ZoneInfo

from arbitrade_alerts.channel import Limit, Retry
from arbitrade_alerts.incidents import Escalation
from arbitrade_alerts.messages import Delivery, Kind, Message
from arbitrade_alerts.policy import Policy, Terms
from arbitrade_alerts.quiet import NEVER, Quiet
from arbitrade_alerts.routing import Route, Routes
from arbitrade_core.domain import Alert, Ns, Severity

S = 1_000_000_000
MINUTE = 60 * S
NOON: Ns = 1_794_312_000 * S
"""2026-11-10 12:00 UTC"""
UTC = ZoneInfo("UTC")


def terms(
    *,
    channels: Iterable[str] = ("chat",),
    rules: Iterable[str] = ("info * -> *",),
    messages: int = 4,
    window_s: int = 60,
    same_s: int = 0,
    quiet: Quiet | None = None,
    escalation: Escalation | None = None,
    summary_at: time | None = None,
) -> Terms:
    names = tuple(channels)
    return Terms(
        channels=dict.fromkeys(names, quiet),
        routes=Routes(map(Route.parse, rules), names),
        limit=Limit(messages, window_s * S),
        retry=Retry(first_ns=2 * S, max_ns=60 * S, give_up_ns=900 * S, patience_ns=30 * S),
        same_ns=same_s * S,
        escalation=escalation,
        summary_at=summary_at,
        zone=UTC,
    )


@dataclass(frozen=True)
class Handed:
    """A message that left the policy, and whether it arrived."""

    at_ns: Ns
    channel: str
    message: Message
    arrived: bool


@dataclass
class Town:
    """A policy whose channels answer at once, as `works` says; None: never."""

    terms: Terms
    now: Ns = NOON
    works: Callable[[Delivery], bool | None] = lambda _: True
    handed: list[Handed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy = Policy(self.terms, map(str, count(1)), lambda: 0.5, self.now)
        self.lost: list[Message] = []

    def alert(self, severity: Severity = Severity.WARNING, topic: str = "feed.lag", text: str = "late") -> None:
        self.policy.take(Alert(severity, topic, text, self.now), self.now)
        self.settle()

    def settle(self) -> None:
        """Everything that is due now."""
        while True:
            for failure in self.policy.overdue(self.now):
                self.lost += failure.lost
            deliveries = self.policy.due(self.now)
            for delivery in deliveries:
                arrived = self.works(delivery)
                self.handed.append(Handed(self.now, delivery.channel, delivery.message, arrived is True))
                if arrived:
                    self.policy.delivered(delivery, self.now)
                elif arrived is False:
                    refused = self.policy.failed(delivery, "refused", self.now)
                    self.lost += refused.lost if refused else ()
            if not deliveries:
                return

    def pass_(self, seconds: float) -> None:
        """Let time go by, stopping wherever the policy says it has something to do."""
        until = self.now + int(seconds * S)
        while True:
            self.settle()
            due = self.policy.deadline(self.now)
            assert due > self.now, "the policy has something to do at once, and does not do it"
            if due > until or due == NEVER:
                break
            self.now = due
        self.now = until

    def arrived(self, channel: str = "chat", kind: Kind | None = None) -> list[Message]:
        return [
            one.message
            for one in self.handed
            if one.arrived and one.channel == channel and kind in (None, one.message.kind)
        ]
