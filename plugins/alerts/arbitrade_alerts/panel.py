"""What the plugin shows of itself: its channels, and the critical alerts that nobody acknowledged."""

from concurrent.futures import TimeoutError as NoAnswer
from typing import TYPE_CHECKING

from arbitrade_alerts.messages import cut, span
from arbitrade_core.domain import Ns
from arbitrade_core.panels import Content, Fact, Table, Tone

if TYPE_CHECKING:
    from arbitrade_alerts.service import Alerts

_ANSWER_S = 0.2
_TEXT_LIMIT = 200


class AlertsPanel:
    name = "alerts"
    title = "Alerts"

    def __init__(self, alerts: "Alerts") -> None:
        self._alerts = alerts

    def content(self, now: Ns) -> Content:
        """A snapshot from the thread that owns the state; it answers within its next turn."""
        try:
            state, incidents = self._alerts.ask(lambda policy, _: (policy.state(), policy.open())).result(_ANSWER_S)
        except NoAnswer:
            return Content(note="the alerts thread is busy; look again")
        failing = [channel.name for channel in state.channels if channel.failures]
        facts = (
            Fact("unacknowledged", str(state.open), Tone.BAD if state.open else Tone.GOOD),
            Fact("failing channels", ", ".join(failing) or "none", Tone.WARNING if failing else Tone.GOOD),
            Fact("alerts taken", f"{state.taken:,}"),
            Fact("repetitions", f"{state.repeated:,}"),
            Fact("without a route", f"{state.unrouted:,}"),
            Fact("dropped by the full queue", f"{self._alerts.overflowed:,}"),
        )
        channels = Table(
            ("channel", "messages sent", "alerts delivered", "waiting", "given up", "last failure"),
            [
                (
                    channel.name,
                    f"{channel.messages:,}",
                    f"{channel.delivered:,}",
                    f"{channel.waiting:,}",
                    f"{channel.dropped:,}",
                    channel.last_failure,
                )
                for channel in state.channels
            ],
            "Channels",
        )
        opened = Table(
            ("id", "age", "topic", "text", "repeated", "escalated"),
            [
                (
                    incident.id,
                    span(max(0, now - incident.since_ns)),
                    incident.alert.topic,
                    cut(incident.alert.text, _TEXT_LIMIT),
                    str(incident.repeats),
                    str(incident.escalated),
                )
                for incident in incidents
            ],
            "Not acknowledged",
        )
        return Content(facts, (channels, opened))
