"""What one plugin hands to the engine: its objects, by what they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from arbitrade_core.spi import Detector, Executor, Feed, RiskCheck, VenueKind


class Part(StrEnum):
    """The kinds of objects that can misbehave, in words for people."""

    FEED = "feed"
    DETECTOR = "detector"
    RISK_CHECK = "risk check"
    EXECUTOR = "executor"
    VENUE = "venue"
    NOTIFIER = "notifier"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class DeskParts:
    """Of one desk: made anew for every desk, since each may have settings of its own."""

    checks: tuple[RiskCheck, ...] = ()
    executors: tuple[Executor, ...] = ()
    venues: tuple[VenueKind, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """Of the engine, and of its desks by their ids."""

    feeds: tuple[Feed, ...] = ()
    detectors: tuple[Detector, ...] = ()
    desks: Mapping[str, DeskParts] = field(default_factory=dict)

    def owns(self, kind: Part, name: str) -> bool:
        """Whether an object of that kind and name is among them."""
        every: Mapping[Part, tuple[Feed | Detector | RiskCheck | Executor | VenueKind, ...]] = {
            Part.FEED: self.feeds,
            Part.DETECTOR: self.detectors,
            Part.RISK_CHECK: tuple(check for desk in self.desks.values() for check in desk.checks),
            Part.EXECUTOR: tuple(executor for desk in self.desks.values() for executor in desk.executors),
            Part.VENUE: tuple(venue for desk in self.desks.values() for venue in desk.venues),
        }
        return any(one.name == name for one in every.get(kind, ()))
