"""Which channels an alert goes to: rules of least severity, topics and channels, written as one line each."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from arbitrade_core.domain import Severity

ALL = "*"
_RULE = re.compile(r"(?P<severity>\S+)\s+(?P<topics>.+?)\s*->\s*(?P<channels>.+)")
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def rank(severity: Severity) -> int:
    """0 for the least severe."""
    return _RANK[severity]


@dataclass(frozen=True, slots=True)
class Route:
    """`warning market.* feed.* -> chat mail`: alerts of these topics, this severe or more, to these channels."""

    severity: Severity
    topics: tuple[str, ...]
    """patterns: `*` stands for any text"""
    channels: tuple[str, ...]
    """names, or `*` for every channel"""

    @classmethod
    def parse(cls, text: str) -> "Route":
        """Raises ValueError, which says how a rule is written."""
        match = _RULE.fullmatch(text.strip())
        if match is None or match["severity"] not in set(Severity):
            severities = "|".join(Severity)
            raise ValueError(f"rule {text!r} is not of the form `<{severities}> <topics> -> <channels>`")
        return cls(Severity(match["severity"]), tuple(match["topics"].split()), tuple(match["channels"].split()))

    def takes(self, severity: Severity, topic: str) -> bool:
        return rank(severity) >= rank(self.severity) and any(fnmatchcase(topic, pattern) for pattern in self.topics)


class Routes:
    """All rules together: an alert goes to the channels of every rule that takes it, once to each."""

    def __init__(self, routes: Iterable[Route], channels: Collection[str]) -> None:
        """`channels` in the order of configuration, in which the answers come."""
        self._routes: Sequence[Route] = tuple(routes)
        self._channels = tuple(channels)

    def channels(self, severity: Severity, topic: str) -> tuple[str, ...]:
        named = {name for route in self._routes if route.takes(severity, topic) for name in route.channels}
        return tuple(name for name in self._channels if name in named or ALL in named)
