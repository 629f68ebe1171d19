"""Times of the day on a wall somewhere: quiet hours, and when the summary is due. Pure: `now` comes in."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from arbitrade_alerts.routing import rank
from arbitrade_core.domain import Ns, Severity

NEVER: Ns = 1 << 62
_S = 1_000_000_000
_HOURS = re.compile(r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?:\s+(?P<zone>\S+))?")


def zone_of(name: str) -> ZoneInfo:
    """Raises ValueError when there is no such zone."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # unknown, a folder, or no name at all
        raise ValueError(f"time zone {name!r} is not known: use a name such as Europe/Berlin or UTC") from error


def time_of(text: str) -> time:
    """`07:30`. Raises ValueError."""
    try:
        return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of the day has its zone beside it
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time of the day such as 07:30") from error


def local(now: Ns, zone: ZoneInfo) -> datetime:
    """To the second, as the wall clock in that zone shows it."""
    return datetime.fromtimestamp(now // _S, zone)


def next_at(at: time, zone: ZoneInfo, now: Ns) -> Ns:
    """When the wall clock next shows `at`, later than `now`. A time that a clock change skips comes right after it."""
    today = local(now, zone).date()
    for days in range(3):
        day = today + timedelta(days=days)
        for fold in (0, 1):
            due = int(datetime.combine(day, at, zone).replace(fold=fold).timestamp()) * _S
            if due > now:
                return due
    raise AssertionError(f"{at} does not come within three days of {today}")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Every day from `start` until `end`, past midnight when `end` is the earlier one."""

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, zone: str) -> "QuietHours":
        """`22:00-07:00`, or `22:00-07:00 Europe/Berlin` when not in `zone`. Raises ValueError."""
        match = _HOURS.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not of the form 22:00-07:00 or 22:00-07:00 Europe/Berlin")
        start, end = time_of(match["start"]), time_of(match["end"])
        if start == end:
            raise ValueError(f"{text!r} begins when it ends: make it some hours of the day")
        return cls(start, end, zone_of(match["zone"] or zone))

    def until(self, now: Ns) -> Ns | None:
        """When the quiet hours that `now` is in are over; None outside of them."""
        shown = local(now, self.zone).time()
        inside = self.start <= shown < self.end if self.start < self.end else shown >= self.start or shown < self.end
        return next_at(self.end, self.zone, now) if inside else None


@dataclass(frozen=True, slots=True)
class Quiet:
    """A channel's quiet hours and what is heard all the same."""

    hours: QuietHours
    breaks: Severity | None
    """the least severity that is sent at any hour; None: nothing is"""

    def until(self, severity: Severity, now: Ns) -> Ns | None:
        """How long a message of this severity has to wait; None when it may go now."""
        if self.breaks is not None and rank(severity) >= rank(self.breaks):
            return None
        return self.hours.until(now)
