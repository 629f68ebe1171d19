"""What an object must look like to be handed to the engine: looked over once, so that nonsense never gets in.

The protocols of `arbitrade_core.spi`, `services` and `panels` say what the methods mean; here only that they are there.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from arbitrade_core.domain import PlanKind
from arbitrade_core.errors import PluginError

METHODS: Mapping[str, tuple[str, ...]] = {
    "register_feeds": ("start", "stop", "carry", "resync", "on_open", "on_close", "on_frame"),
    "register_fee_sources": ("snapshot",),
    "register_detectors": ("rebuild", "on_change", "active", "detections", "ranked"),
    "register_risk_checks": ("check",),
    "register_executors": ("step",),
    "register_notifiers": ("send",),
    "register_venues": ("open",),
    "register_panels": ("content",),
    "register_services": ("run",),
}
"""By the hook that hands the objects over: what must be callable."""

_NAMELESS = "register_fee_sources"


def require_shapes(hook: str, who: str, things: Iterable[object]) -> None:
    """Raises PluginError, beginning with `who`, when one of them is not what the hook is for."""
    for thing in things:
        try:
            problem = _problem(hook, thing)
        except Exception as error:  # noqa: BLE001 - properties are foreign code; it is the same as not having them
            problem = f"raised {type(error).__name__} when it was looked over: {error}"
        if problem is not None:
            raise PluginError(f"{who}: what {hook} returned cannot be used: {type(thing).__name__} {problem}")


def _problem(hook: str, thing: Any) -> str | None:  # noqa: PLR0911 - one line a way to be wrong
    missing = [method for method in METHODS[hook] if not callable(getattr(thing, method, None))]
    if missing:
        return f"has no method {', '.join(missing)}"
    if isinstance(thing, type):
        return "is a class, not an object of it"
    if hook != _NAMELESS and not (isinstance(thing.name, str) and thing.name):
        return f"has the name {thing.name!r}, which must be text"
    if hook == "register_detectors" and not _is_allocation(getattr(thing, "allocation", {})):
        return f"has the allocation {thing.allocation!r}, which must be amounts (Decimal) by asset"
    if hook == "register_panels" and not isinstance(thing.title, str):
        return f"has the title {thing.title!r}, which must be text"
    if hook == "register_executors" and not all(isinstance(kind, PlanKind) for kind in thing.kinds):
        return f"has the kinds {thing.kinds!r}, which must be of PlanKind"
    if hook == "register_venues" and not isinstance(thing.real, bool):
        return f"says real={thing.real!r}, which must be True or False"
    return None


def _is_allocation(found: object) -> bool:
    """`spi.Funded.allocation`; a detector that has none works with the desk's balances."""
    return isinstance(found, Mapping) and all(
        isinstance(asset, str) and isinstance(amount, Decimal) for asset, amount in found.items()
    )
