"""Windows of the week, by clocks that are changed twice a year."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from arbitrade_calm.hours import Hours, windows

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return int(local.timestamp()) * 10**9


def hours(text: str, zone: ZoneInfo = BERLIN) -> Hours:
    return Hours(windows(text), zone)


def is_open(text: str, at: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> bool:
    now = ns(at, zone, fold)
    return hours(text, zone).opens_ns(now) == now


# 2026-11-23 is a Monday.
@pytest.mark.parametrize(
    ("text", "at", "open_"),
    [
        ("mon-fri 08:00-22:00", "2026-11-23 07:59:59", False),
        ("mon-fri 08:00-22:00", "2026-11-23 08:00:00", True),
        ("mon-fri 08:00-22:00", "2026-11-27 21:59:59", True),
        ("mon-fri 08:00-22:00", "2026-11-27 22:00:00", False),
        ("mon-fri 08:00-22:00", "2026-11-28 12:00:00", False),
        ("MON 08:00-22:00,  sat 10:00-14:00", "2026-11-28 12:00:00", True),
        ("fri 22:00-06:00", "2026-11-28 05:59:59", True),
        ("fri 22:00-06:00", "2026-11-27 05:00:00", False),
        ("sun 22:00-06:00", "2026-11-23 05:00:00", True),
        ("sat-mon 10:00-11:00", "2026-11-29 10:30:00", True),
        ("sat-mon 10:00-11:00", "2026-11-24 10:30:00", False),
        ("mon-sun 00:00-24:00", "2026-11-29 23:59:59", True),
    ],
)
def test_a_window_is_open_by_the_clock_on_the_wall(text: str, at: str, open_: bool) -> None:
    assert is_open(text, at) is open_


def test_the_same_moment_is_open_in_one_zone_and_closed_in_another() -> None:
    assert is_open("mon-fri 08:00-22:00", "2026-11-23 08:00", BERLIN)
    assert not is_open("mon-fri 08:00-22:00", "2026-11-23 02:00", NEW_YORK)  # the same moment


@pytest.mark.parametrize(
    ("text", "at", "opens"),
    [
        ("mon-fri 08:00-22:00", "2026-11-23 03:00", "2026-11-23 08:00"),
        ("mon-fri 08:00-22:00", "2026-11-27 22:00", "2026-11-30 08:00"),
        ("mon 08:00-09:00", "2026-11-23 09:00", "2026-11-30 08:00"),
        ("wed 10:00-11:00, tue 12:00-13:00", "2026-11-23 09:00", "2026-11-24 12:00"),
        # Clocks go back on 2026-10-25 and forward on 2027-03-28: by the clock it is 8 whatever happened on the way.
        ("mon 08:00-09:00", "2026-10-24 12:00", "2026-10-26 08:00"),
        ("mon 08:00-09:00", "2027-03-27 12:00", "2027-03-29 08:00"),
        # 02:30 is skipped that night, so the window begins at 03:00, when the skipped hour is over.
        ("sun 02:30-06:00", "2027-03-28 01:00", "2027-03-28 03:00"),
        # 02:00 to 02:45 is skipped altogether.
        ("sun 02:00-02:45", "2027-03-28 01:00", "2027-04-04 02:00"),
    ],
)
def test_it_says_when_it_opens(text: str, at: str, opens: str) -> None:
    assert hours(text).opens_ns(ns(at)) == ns(opens)


def test_the_hour_that_comes_twice_is_open_twice() -> None:
    for fold in (0, 1):
        assert is_open("sun 02:00-03:00", "2026-10-25 02:30", fold=fold)
    short = hours("sun 02:00-02:30")
    assert short.opens_ns(ns("2026-10-25 02:30", fold=0)) == ns("2026-10-25 02:00", fold=1)


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")], ids=str)
@pytest.mark.parametrize("text", ["mon-fri 08:00-22:00", "sat-sun 01:45-02:20", "sun 22:00-03:10, wed 00:00-24:00"])
@pytest.mark.parametrize("begins", ["2026-10-01", "2027-03-10", "2027-03-26"])
def test_it_opens_at_the_first_minute_that_is_open_and_no_later(zone: ZoneInfo, text: str, begins: str) -> None:
    """Against the obvious way: look at every five minutes of nine days."""
    minutes = [datetime.fromisoformat(begins).replace(tzinfo=UTC) + timedelta(minutes=5 * i) for i in range(2592)]
    moments = [int(minute.timestamp()) * 10**9 for minute in minutes]
    subject = hours(text, zone)
    following: int | None = None
    for now in reversed(moments):
        opens = subject.opens_ns(now)
        if opens == now:
            following = now
        if following is not None:
            assert opens == following


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no window; write it as 'mon-fri 08:00-22:00'"),
        ("mon-fri", "'mon-fri' is no window"),
        ("mon 8:00-22:00", "is no window"),
        ("mon-fry 08:00-22:00", "'fry' in 'mon-fry 08:00-22:00' is no day; the days are mon, tue"),
        ("mon 08:00-24:30", "24:30 in 'mon 08:00-24:30' is no time of day"),
        ("mon 08:61-09:00", "08:61"),
        ("mon 24:00-09:00", "begins at 24:00"),
        ("mon 08:00-08:00", "a whole day is 00:00-24:00"),
        ("mon 08:00-09:00; tue 08:00-09:00", "several separated by commas"),
    ],
)
def test_what_is_wrong_with_a_window_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        windows(text)
