"""What is sent: messages before they have words, the tally that becomes a digest, and the words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo

from arbitrade_alerts.quiet import local
from arbitrade_alerts.routing import rank
from arbitrade_core.domain import Ns, Severity

TEXT_LIMIT = 2_000
"""Characters of one alert's text; services cut messages at two to four thousand. The log has all of it."""
_TOPICS_SHOWN = 20
_TOPICS_COUNTED = 1_000
OTHER_TOPICS = "(other topics)"
_EXAMPLE_LIMIT = 100


class Kind(StrEnum):
    ALERT = "alert"
    REPEATS = "repeats"
    """the same alert again and again, counted"""
    DIGEST = "digest"
    """what a limit or quiet hours held back, counted by topic"""
    ESCALATION = "escalation"
    SUMMARY = "summary"
    NOTICE = "notice"
    """something about the channels themselves"""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one channel, without words yet."""

    kind: Kind
    severity: Severity
    topic: str
    text: str
    at_ns: Ns
    weight: int
    """how many of the channel's alerts it stands for; 0 for what is said on top of them"""
    id: str = ""
    """what to acknowledge, when it can be"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way through its channel. `attempt` starts at 1 and counts the channel's failures in a row."""

    id: int
    channel: str
    message: Message
    attempt: int


@dataclass(slots=True)
class _Line:
    severity: Severity
    count: int
    text: str


@dataclass(slots=True)
class Tally:
    """Alerts counted by topic. `weight` counts alerts alone, not escalations or notices among them."""

    weight: int = 0
    since_ns: Ns = 0
    lines: dict[tuple[str, Severity], _Line] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.lines)

    def add(self, severity: Severity, topic: str, text: str, weight: int, now: Ns) -> None:
        if not self.lines:
            self.since_ns = now
        self.weight += weight
        if len(self.lines) >= _TOPICS_COUNTED and (topic, severity) not in self.lines:
            topic = OTHER_TOPICS
        line = self.lines.setdefault((topic, severity), _Line(severity, 0, ""))
        line.count += max(weight, 1)
        line.text = text

    @property
    def severity(self) -> Severity:
        """The highest in it."""
        return max((line.severity for line in self.lines.values()), key=rank)

    def text(self) -> str:
        """`12 x warning market.quarantine, last: ...`, most severe and most frequent first."""
        ordered = sorted(self.lines.items(), key=lambda item: (-rank(item[1].severity), -item[1].count, item[0]))
        shown = [
            f"{line.count} x {line.severity} {topic}, last: {cut(line.text, _EXAMPLE_LIMIT)}"
            for (topic, _), line in ordered[:_TOPICS_SHOWN]
        ]
        rest = ordered[_TOPICS_SHOWN:]
        if rest:
            shown.append(f"{sum(line.count for _, line in rest)} more of {len(rest)} other topics")
        return "\n".join(shown)

    def counts(self) -> str:
        """`2 critical, 12 warning`."""
        by_severity = dict.fromkeys(reversed(Severity), 0)
        for line in self.lines.values():
            by_severity[line.severity] += line.count
        return ", ".join(f"{count} {severity}" for severity, count in by_severity.items() if count) or "none"


def cut(text: str, limit: int = TEXT_LIMIT) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def span(ns: int) -> str:
    """`45 s`, `10 min`, `2 h`: rounded to what people say."""
    seconds = round(ns / 1e9)
    if seconds < 120:  # noqa: PLR2004 - up to two minutes people count seconds
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"  # noqa: PLR2004 - likewise


def summary_text(day: Tally, texts: Iterable[str], states: Sequence[str]) -> str:
    """The daily summary: what was told to be in it, the day's alerts by topic, and how the channels did."""
    parts = [*texts, f"Alerts: {day.counts()}"]
    if day:
        parts.append(day.text())
    return "\n".join((*parts, *states))


def worded(message: Message, zone: ZoneInfo) -> tuple[str, str]:
    """Title and body, plain text."""
    severity = message.severity.upper()
    at = f"{local(message.at_ns, zone):%Y-%m-%d %H:%M:%S %Z}"
    match message.kind:
        case Kind.ALERT | Kind.REPEATS | Kind.NOTICE:
            title = f"{severity}: {message.topic}"
        case Kind.ESCALATION:
            title = f"NOT ACKNOWLEDGED, {severity}: {message.topic}"
        case Kind.DIGEST:
            title = f"Digest: {message.topic}"
        case Kind.SUMMARY:
            title = "Daily summary"
    lines = [message.text, at]
    if message.id:
        lines.append(f"acknowledge: arbitrade alerts ack {message.id}")
    return title, "\n".join(lines)
