"""The plugin's settings: ARBITRADE_CALM__HOURS and so on."""

import difflib
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from arbitrade_core.domain import Ns
from pydantic import BaseModel, ConfigDict, Field, field_validator

from arbitrade_calm.hours import SECOND_NS, Hours, windows

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class CalmSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    hours: str = "mon-sun 00:00-24:00"
    """When plans may be made, such as `mon-fri 08:00-22:00, sat 22:00-02:00`, by the clocks of the time zone."""
    time_zone: str = "UTC"
    """Whose clocks these are, such as `Europe/Berlin`; summer time is taken care of."""
    max_volatility_bps: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    """Most volatile that a pair of a plan may be, in bps per square root of a minute."""
    half_life_s: Seconds = 300.0
    """After so long a movement counts half in the volatility."""
    sample_s: Seconds = 5.0
    """Least time between two samples of a pair's mid price, and how old a movement must be to count."""
    min_seen_s: Seconds = 60.0
    """How long a pair must have been watched before a plan may use it; after an outage of that length, anew."""

    @field_validator("hours")
    @classmethod
    def _can_be_read(cls, hours: str) -> str:
        windows(hours)
        return hours

    @field_validator("time_zone")
    @classmethod
    def _exists(cls, time_zone: str) -> str:
        known = available_timezones()
        if time_zone not in known:
            near = difflib.get_close_matches(time_zone, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "names are such as 'Europe/Berlin' or 'UTC'"
            raise ValueError(f"no time zone has this name; {hint}")
        return time_zone

    def opening(self) -> Hours:
        return Hours(windows(self.hours), ZoneInfo(self.time_zone))

    @property
    def half_life_ns(self) -> Ns:
        return int(self.half_life_s * SECOND_NS)

    @property
    def sample_ns(self) -> Ns:
        return int(self.sample_s * SECOND_NS)

    @property
    def min_seen_ns(self) -> Ns:
        return int(self.min_seen_s * SECOND_NS)
