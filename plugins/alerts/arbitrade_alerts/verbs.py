"""What operators can ask of the running plugin, over the control socket and the API."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from arbitrade_alerts.messages import Kind, Message
from arbitrade_alerts.sender import DeliveryError, Outlet
from arbitrade_core.domain import Ns, Severity
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.services import Verb

if TYPE_CHECKING:
    from arbitrade_alerts.incidents import Incident
    from arbitrade_alerts.service import Alerts


class UnknownAlert(ArbitradeError):
    """There is no such alert or channel; the message names those that there are."""


class Verbs:
    """`list`, `ack` (parameter `id`), `test` (parameter `channel`; not given: all), `status`."""

    def __init__(self, alerts: "Alerts") -> None:
        self._alerts = alerts

    def table(self) -> Mapping[str, Verb]:
        return {"list": self.list, "ack": self.ack, "test": self.test, "status": self.status}

    async def list(self, parameters: Mapping[str, Any], actor: str) -> Any:
        incidents, now = await asyncio.wrap_future(self._alerts.ask(lambda policy, now: (policy.open(), now)))
        return {"open": [_shown(incident, now) for incident in incidents]}

    async def ack(self, parameters: Mapping[str, Any], actor: str) -> Any:
        """Raises UnknownAlert."""
        id_ = str(parameters.get("id", ""))
        done = await asyncio.wrap_future(self._alerts.ask(lambda policy, now: policy.acknowledge(id_, actor, now)))
        if done is None:
            raise UnknownAlert(f"no open alert has the id {id_!r}; `arbitrade alerts list` shows those that do")
        return {"id": id_, "topic": done.incident.alert.topic, "text": done.incident.alert.text, "actor": done.actor}

    async def test(self, parameters: Mapping[str, Any], actor: str) -> Any:
        """Raises UnknownAlert for a channel that is not there."""
        chosen = choose(self._alerts.settings.outlets(), parameters.get("channel"))
        now = self._alerts.now()
        return {"channels": await asyncio.gather(*(to_thread.run_sync(probe, outlet, now) for outlet in chosen))}

    async def status(self, parameters: Mapping[str, Any], actor: str) -> Any:
        state = await asyncio.wrap_future(self._alerts.state())
        alerts = self._alerts
        return {
            "queued": alerts.queued,
            "overflowed": alerts.overflowed,
            "faults": alerts.faults,
            "last_fault": alerts.last_fault,
            **asdict(state),
        }


def choose(outlets: Sequence[Outlet], channel: str | None) -> list[Outlet]:
    """All of them, or the one with that name. Raises UnknownAlert."""
    chosen = [outlet for outlet in outlets if channel in (None, outlet.name)]
    if not chosen:
        names = ", ".join(outlet.name for outlet in outlets)
        lacking = "there is no channel" if channel is None else f"there is no channel {channel!r}"
        raise UnknownAlert(f"{lacking}; " + (f"there are: {names}" if names else "set ARBITRADE_ALERTS__CHANNELS"))
    return chosen


def probe(outlet: Outlet, now: Ns) -> dict[str, Any]:
    """Send one test message and wait. `{"channel": "phone", "ok": false, "reason": "..."}`, redacted."""
    text = f"This is a test of channel {outlet.name}. Nothing is wrong."
    try:
        outlet.send(Message(Kind.NOTICE, Severity.INFO, "alerts.test", text, now, 0))
    except DeliveryError as error:
        return {"channel": outlet.name, "ok": False, "reason": str(error)}
    return {"channel": outlet.name, "ok": True, "reason": ""}


def _shown(incident: "Incident", now: Ns) -> dict[str, Any]:
    return {
        "id": incident.id,
        "topic": incident.alert.topic,
        "text": incident.alert.text,
        "age_s": (now - incident.since_ns) // 1_000_000_000,
        "repeats": incident.repeats,
        "escalated": incident.escalated,
    }
