"""The plugin's settings: section `alerts`, environment prefix `ARBITRADE_ALERTS__`."""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from arbitrade_alerts.channel import Limit, Retry
from arbitrade_alerts.incidents import Escalation
from arbitrade_alerts.policy import Terms
from arbitrade_alerts.quiet import Quiet, QuietHours, time_of, zone_of
from arbitrade_alerts.routing import ALL, Route, Routes
from arbitrade_alerts.sender import DeliveryError, Outlet
from arbitrade_core.domain import Severity

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1, le=86_400)]
Names = tuple[str, ...]

_NOT_AT_ALL = "never"
_NEXT_CHANNEL = re.compile(r"(?:^|[\s,]+)([a-z][a-z0-9_-]*)=(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_S = 1_000_000_000
_PATIENCE = 6
"""Timeouts that one attempt may take: name, connection, greeting, login, message, farewell."""


class AlertsSettings(BaseModel):
    """Who is told what, when, and by which service. Without channels the plugin does nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    channels: SecretStr | None = None
    """Channels by name with their apprise URLs: `phone=tgram://... mail=mailtos://...`, separated by spaces or
    commas. A name may be anything of `a-z0-9_-`."""
    routes: Annotated[Names, Field(min_length=1)] = ("warning * -> *", "info summary.* -> *")
    """Rules `<least severity> <topics> -> <channels>`, such as `critical * -> phone, warning market.* feed.* ->
    chat mail`. An alert goes to the channels of all rules that take it; `*` is any text in topics and all channels."""
    max_messages: Count = 10
    """Most messages that a channel delivers within `window_s`. The rest is counted by topic and comes as one digest."""
    window_s: Seconds = 300
    """The time that `max_messages` is about."""
    same_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    """The same alert within that time is counted and told as `repeated N times`. 0: each one is told."""
    quiet_hours: dict[str, str] = {}
    """Quiet hours by channel: `phone=22:00-07:00,chat=20:00-08:00 Europe/Berlin`; `*` is every other channel."""
    quiet_breaks: Literal["info", "warning", "critical", "never"] = "critical"
    """The least severity that is sent in quiet hours. The rest comes as one digest when they end."""
    time_zone: str = "UTC"
    """Zone of quiet hours that name none, of the summary and of the times in messages, such as `Europe/Berlin`."""
    escalate_to: Names = ()
    """Channels that are told when nobody acknowledged a critical alert (`arbitrade alerts ack`)."""
    escalate_after_s: Seconds = 600
    """How long to wait for somebody to acknowledge, and between one escalation and the next."""
    escalate_times: Annotated[int, Field(ge=1, le=100)] = 3
    """Most escalations of one alert."""
    summary_at: str = "08:00"
    """When the daily summary is sent, in `time_zone`: alerts by topic and what came with topic `summary.*`.
    `never`: no summary, and `summary.*` is told when it comes."""
    retry_first_s: Seconds = 2
    """Pause after a channel's first failure; it doubles with each one, and up to half of it is taken off at random."""
    retry_max_s: Seconds = 60
    """Longest pause."""
    give_up_s: Seconds = 900
    """How long a message may wait in a failing channel. What is given up is told on another channel."""
    timeout_s: Annotated[int, Field(ge=1, le=120)] = 10
    """Longest wait for a connection, and for each answer."""
    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Most alerts between trading and this plugin. When it is full the least severe go first, and are counted."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Everything that no field can tell alone, all of it at once, never with a URL."""
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        urls: dict[str, str] = {}
        try:
            urls = self.urls()
        except ValueError as error:
            yield str(error)
        yield from _told("time_zone", zone_of, self.time_zone)
        for outlet in (Outlet(name, url, self.timeout_s, ZoneInfo("UTC")) for name, url in urls.items()):
            try:
                _ = outlet.service
            except DeliveryError as error:
                yield f"channels: the URL of {outlet.name!r} is of no use: {error}; see docs/alerts.md"
        for text in self.routes:
            yield from _told("routes", Route.parse, text)
        for name, hours in self.quiet_hours.items():
            yield from _told(f"quiet_hours of {name!r}", QuietHours.parse, hours, "UTC")
        if self.summary_at != _NOT_AT_ALL:
            yield from _told("summary_at", time_of, self.summary_at)
        if urls:
            yield from self._unknown(urls)

    def _unknown(self, urls: Collection[str]) -> Iterator[str]:
        named = [("quiet_hours", name) for name in self.quiet_hours]
        named += [("escalate_to", name) for name in self.escalate_to]
        for text in self.routes:
            if not list(_told("", Route.parse, text)):
                named += [(f"routes, rule {text!r}", name) for name in Route.parse(text).channels]
        for where, name in named:
            if name != ALL and name not in urls:
                yield f"{where}: there is no channel {name!r}; there are: {', '.join(urls)}"

    def urls(self) -> dict[str, str]:
        """URLs by channel name, in order. Raises ValueError, which holds no URL."""
        text = self.channels.get_secret_value().strip() if self.channels is not None else ""
        if not text:
            return {}
        before, *pieces = _NEXT_CHANNEL.split(text)
        if before or not pieces:
            raise ValueError("channels must be written `name=service://...`, one after the other")
        names, urls = pieces[::2], [url.strip(" ,\t\r\n") for url in pieces[1::2]]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"channels: {', '.join(twice)} is named twice; give each URL a name of its own")
        spaced = [name for name, url in zip(names, urls, strict=True) if re.search(r"\s", url)]
        if spaced:
            raise ValueError(f"channels: the URL of {', '.join(spaced)} holds a space; write %20, or a name before it")
        return dict(zip(names, urls, strict=True))

    def outlets(self) -> list[Outlet]:
        zone = zone_of(self.time_zone)
        return [Outlet(name, url, self.timeout_s, zone) for name, url in self.urls().items()]

    def terms(self) -> Terms:
        """The same as the policy wants it."""
        names = tuple(self.urls())
        hours = {name: QuietHours.parse(text, self.time_zone) for name, text in self.quiet_hours.items()}
        breaks = None if self.quiet_breaks == _NOT_AT_ALL else Severity(self.quiet_breaks)
        every = hours.get(ALL)
        quiet = {name: hours.get(name, every) for name in names}
        return Terms(
            channels={name: None if mine is None else Quiet(mine, breaks) for name, mine in quiet.items()},
            routes=Routes(map(Route.parse, self.routes), names),
            limit=Limit(self.max_messages, self.window_s * _S),
            retry=Retry(
                first_ns=self.retry_first_s * _S,
                max_ns=self.retry_max_s * _S,
                give_up_ns=self.give_up_s * _S,
                patience_ns=_PATIENCE * self.timeout_s * _S,
            ),
            same_ns=self.same_s * _S,
            escalation=self._escalation(names),
            summary_at=None if self.summary_at == _NOT_AT_ALL else time_of(self.summary_at),
            zone=zone_of(self.time_zone),
        )

    def _escalation(self, names: Names) -> Escalation | None:
        channels = tuple(name for name in names if name in self.escalate_to or ALL in self.escalate_to)
        return Escalation(channels, self.escalate_after_s * _S, self.escalate_times) if channels else None


def _told(field: str, parse: Callable[..., object], *texts: str) -> Iterator[str]:
    """What is wrong with a text, if anything."""
    try:
        parse(*texts)
    except ValueError as error:
        yield f"{field}: {error}"
