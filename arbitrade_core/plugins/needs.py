"""What plugins need of each other: `NEEDS = ("feed",)` in a plugin's module, or `("plugin:kraken",)`.

A need is a kind of object that some other enabled plugin must register, or a plugin by name. They are checked when the
bot starts and whenever a plugin is to be disabled.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

KINDS = {
    "feed": "register_feeds",
    "fees": "register_fee_sources",
    "detector": "register_detectors",
    "risk_check": "register_risk_checks",
    "executor": "register_executors",
    "notifier": "register_notifiers",
    "venue": "register_venues",
    "service": "register_services",
}
"""What can be needed, and the hook that brings it."""

BY_NAME = "plugin:"


class Needing(Protocol):
    """A plugin as far as needs look at it."""

    @property
    def name(self) -> str: ...
    @property
    def hooks(self) -> tuple[str, ...]: ...
    @property
    def needs(self) -> tuple[str, ...]: ...


def is_need(text: object) -> bool:
    return isinstance(text, str) and (text in KINDS or (text.startswith(BY_NAME) and len(text) > len(BY_NAME)))


def unmet(one: Needing, enabled: Iterable[Needing]) -> list[str]:
    """What it needs and no other enabled plugin brings."""
    others = [other for other in enabled if other.name != one.name]
    return [need for need in one.needs if not any(_brings(other, need) for other in others)]


def dependents(name: str, enabled: Sequence[Needing]) -> dict[str, list[str]]:
    """Which enabled plugins would miss what, were this one gone."""
    left = [other for other in enabled if other.name != name]
    lost = {other.name: [need for need in unmet(other, left) if need not in unmet(other, enabled)] for other in left}
    return {other: needs for other, needs in lost.items() if needs}


def words(need: str) -> str:
    """`a feed`, `the plugin 'kraken'`."""
    if need.startswith(BY_NAME):
        return f"the plugin {need.removeprefix(BY_NAME)!r}"
    noun = need.replace("_", " ")
    return f"{'fees' if need == 'fees' else ('an ' if noun[0] in 'aeiou' else 'a ') + noun}"


def _brings(other: Needing, need: str) -> bool:
    return other.name == need.removeprefix(BY_NAME) if need.startswith(BY_NAME) else KINDS[need] in other.hooks
