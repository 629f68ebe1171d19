"""Critical alerts until somebody acknowledges them, and when to tell somebody else. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from arbitrade_alerts.quiet import NEVER
from arbitrade_core.domain import Alert, Ns

MOST_OPEN = 1_000
"""Beyond that the oldest is closed unacknowledged, and counted: who reads none of a thousand reads none of two."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """Who is told when a critical alert was not acknowledged for `after_ns`, and again, `times` in all."""

    channels: tuple[str, ...]
    after_ns: Ns
    times: int


@dataclass(slots=True)
class Incident:
    id: str
    alert: Alert
    since_ns: Ns
    repeats: int = 0
    """how often the same came again"""
    escalated: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    incident: Incident
    actor: str
    at_ns: Ns


class Incidents:
    """The open ones by id. `ids` gives a new id each time."""

    def __init__(self, ids: Iterator[str], escalation: Escalation | None) -> None:
        self.acknowledged = 0
        self.forgotten = 0
        """closed unacknowledged, since too many were open"""
        self._ids = ids
        self._escalation = escalation
        self._open: dict[str, Incident] = {}

    def open(self) -> tuple[Incident, ...]:
        """Oldest first."""
        return tuple(self._open.values())

    def add(self, alert: Alert, now: Ns) -> Incident:
        incident = Incident(next(self._ids), alert, now)
        self._open[incident.id] = incident
        if len(self._open) > MOST_OPEN:
            del self._open[next(iter(self._open))]
            self.forgotten += 1
        return incident

    def repeated(self, id_: str) -> None:
        incident = self._open.get(id_)
        if incident is not None:
            incident.repeats += 1

    def acknowledge(self, id_: str, actor: str, now: Ns) -> Acknowledged | None:
        """None when no such incident is open."""
        incident = self._open.pop(id_, None)
        if incident is None:
            return None
        self.acknowledged += 1
        return Acknowledged(incident, actor, now)

    def escalate(self, now: Ns) -> list[Incident]:
        """Those whose time has come, each counted as escalated once more."""
        due = [incident for incident in self._open.values() if self._due(incident) <= now]
        for incident in due:
            incident.escalated += 1
        return due

    def due(self) -> Ns:
        """When `escalate` has something next."""
        return min(map(self._due, self._open.values()), default=NEVER)

    def _due(self, incident: Incident) -> Ns:
        terms = self._escalation
        if terms is None or incident.escalated >= terms.times:
            return NEVER
        return incident.since_ns + terms.after_ns * (incident.escalated + 1)
