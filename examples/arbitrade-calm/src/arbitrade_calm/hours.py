"""Trading hours: windows of the week by the clocks of one time zone.

A window is open by what a clock on the wall there shows. So the night when clocks go forward has an hour less of it,
the night when they go back an hour more, and a window that begins within the skipped hour begins when clocks skip.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from arbitrade_core.domain import Ns

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_S = 86_400
WEEK_S = 7 * DAY_S
SECOND_NS = 1_000_000_000

_WINDOW = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? +(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds since Monday 00:00 by the clock; one that passes the end of the week goes on at its beginning."""

    start_s: int
    length_s: int

    def holds(self, clock_s: int) -> bool:
        return (clock_s - self.start_s) % WEEK_S < self.length_s


@dataclass(frozen=True, slots=True)
class Hours:
    windows: tuple[Window, ...]
    zone: ZoneInfo

    def opens_ns(self, now: Ns) -> Ns:
        """When it is open next: `now` itself while it is open."""
        at_s = now // SECOND_NS
        if self._open(at_s):
            return now
        while not self._open(at_s):
            at_s = self._next_change_s(at_s)
        return at_s * SECOND_NS

    def written(self, at_ns: Ns) -> str:
        """By the clocks there: `Mon 2026-11-23 08:00 CET`."""
        return datetime.fromtimestamp(at_ns // SECOND_NS, self.zone).strftime("%a %Y-%m-%d %H:%M %Z")

    def _open(self, at_s: int) -> bool:
        clock_s = self._clock_s(at_s)
        return any(window.holds(clock_s) for window in self.windows)

    def _next_change_s(self, at_s: int) -> int:
        """When a window begins next by clocks as they run now, or when clocks are changed before that."""
        clock_s = self._clock_s(at_s)
        begins_s = at_s + min((window.start_s - clock_s) % WEEK_S or WEEK_S for window in self.windows)
        offset = self._offset(at_s)
        if self._offset(begins_s) == offset:
            return begins_s
        before_s, after_s = at_s, begins_s
        while after_s - before_s > 1:
            middle_s = (before_s + after_s) // 2
            if self._offset(middle_s) == offset:
                before_s = middle_s
            else:
                after_s = middle_s
        return after_s

    def _clock_s(self, at_s: int) -> int:
        local = datetime.fromtimestamp(at_s, self.zone)
        return local.weekday() * DAY_S + local.hour * 3_600 + local.minute * 60 + local.second

    def _offset(self, at_s: int) -> object:
        return datetime.fromtimestamp(at_s, self.zone).utcoffset()


def windows(text: str) -> tuple[Window, ...]:
    """Read `mon-fri 08:00-22:00, sat 22:00-02:00`. A window that ends before it begins ends on the next day.

    Raises:
        ValueError: it cannot be read; the message says which window, and what one looks like.
    """
    return tuple(window for part in text.split(",") for window in _windows(part.strip().lower()))


def _windows(text: str) -> list[Window]:
    """One window for each of its days."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no window; write it as 'mon-fri 08:00-22:00', several separated by commas")
    first, last, *clock = found.groups()
    for day in (first, last or first):
        if day not in DAYS:
            raise ValueError(f"{day!r} in {text!r} is no day; the days are {', '.join(DAYS)}")
    start_s, end_s = _clock(clock[0], clock[1], text), _clock(clock[2], clock[3], text)
    if start_s == DAY_S:
        raise ValueError(f"{text!r} begins at 24:00; begin it at 00:00 of the next day")
    if start_s == end_s:
        raise ValueError(f"{text!r} ends where it begins; a whole day is 00:00-24:00")
    length_s = (end_s - start_s) % DAY_S or DAY_S
    count = (DAYS.index(last or first) - DAYS.index(first)) % len(DAYS) + 1
    days = [(DAYS.index(first) + ahead) % len(DAYS) for ahead in range(count)]
    return [Window(day * DAY_S + start_s, length_s) for day in days]


def _clock(hour: str, minute: str, text: str) -> int:
    """Seconds since midnight."""
    clock_s = int(hour) * 3_600 + int(minute) * 60
    if int(minute) > 59 or clock_s > DAY_S:  # noqa: PLR2004 - minutes of an hour
        raise ValueError(f"{hour}:{minute} in {text!r} is no time of day; they go from 00:00 to 24:00")
    return clock_s
