"""Times of the day, through changes of the clock."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_alerts.quiet import QuietHours, next_at, time_of, zone_of
from arbitrade_core.domain import Ns

S = 1_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> Ns:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()) * S


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("22:00-07:00", "2026-11-10 21:59:59", None),
        ("22:00-07:00", "2026-11-10 22:00:00", "2026-11-11 07:00:00"),
        ("22:00-07:00", "2026-11-11 06:59:59", "2026-11-11 07:00:00"),
        ("22:00-07:00", "2026-11-11 07:00:00", None),
        ("12:00-13:30", "2026-11-11 12:10:00", "2026-11-11 13:30:00"),
        # the night in which 02:00 becomes 03:00: no 02:30 that day, so it ends an hour later on the wall
        ("22:00-02:30", "2026-03-29 01:30:00", "2026-03-29 03:30:00"),
    ],
)
def test_quiet_hours_on_the_wall(hours: str, now: str, until: str | None) -> None:
    quiet = QuietHours.parse(hours, "Europe/Berlin")
    assert quiet.until(at(now)) == (None if until is None else at(until))


def test_an_hour_that_comes_twice_is_quiet_twice() -> None:
    quiet = QuietHours.parse("22:00-02:30", "Europe/Berlin")
    first, second = at("2026-10-25 02:30", fold=0), at("2026-10-25 02:30", fold=1)
    assert second - first == 3600 * S
    assert quiet.until(first - S) == first
    assert quiet.until(first) is None
    assert quiet.until(second - S) == second
    assert quiet.until(second) is None


def test_a_channel_may_have_a_zone_of_its_own() -> None:
    assert QuietHours.parse("22:00-07:00 America/New_York", "UTC").zone == ZoneInfo("America/New_York")


@pytest.mark.parametrize("text", ["", "22-7", "22:00", "25:00-07:00", "22:00-22:00", "22:00-07:00 Mars/Olympus"])
def test_what_is_no_quiet_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|is no|begins|not known"):
        QuietHours.parse(text, "UTC")


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "Europe"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not known"):
        zone_of(name)


def test_what_is_no_time_is_refused() -> None:
    assert time_of("07:30") == time(7, 30)
    with pytest.raises(ValueError, match="time of the day"):
        time_of("7.30")


@given(
    now_s=st.integers(1_700_000_000, 1_900_000_000),
    minutes=st.integers(0, 24 * 60 - 1),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_the_next_time_is_ahead_and_within_a_day(now_s: int, minutes: int, zone: str) -> None:
    due = next_at(time(minutes // 60, minutes % 60), ZoneInfo(zone), now_s * S)
    assert now_s * S < due <= (now_s + 25 * 3600) * S
