"""The plugins in use and what they registered: what a running bot is made of, and what changes when one is toggled."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from arbitrade_core.domain import FeeSnapshot, Ns, Pair
from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.hooks import FeeSource
from arbitrade_core.parts import DeskParts, Part, Parts
from arbitrade_core.plugins.catalogue import Catalogue
from arbitrade_core.settings import Settings
from arbitrade_core.spi import VenueKind


@dataclass(slots=True)
class Setup:
    """`desks`: the settings of each desk, by its id. They differ in the core's sections only."""

    catalogue: Catalogue
    settings: Settings
    desks: Mapping[str, Settings]
    parts: dict[str, Parts] = field(default_factory=dict)
    """by plugin, in the catalogue's order; the engine reads them when it is told that a plugin is enabled"""
    fee_sources: dict[str, list[FeeSource]] = field(default_factory=dict)

    def register_all(self) -> None:
        """Call the hooks of every enabled plugin. Raises PluginError, as `registry.Registry` says."""
        for entry in self.catalogue.enabled():
            self.register(entry.name)

    def register(self, name: str) -> Parts:
        """Call the hooks of one enabled plugin and keep what it hands over.

        Raises:
            PluginError: a hook failed, or a name is taken; nothing is kept.
        """
        registry = self.catalogue.registry(self.settings, {name})
        feeds = tuple(one.thing for one in registry.feeds())
        detectors = tuple(one.thing for one in registry.detectors())
        desks: dict[str, DeskParts] = {}
        for desk_id, settings in self.desks.items():
            own = registry if settings is self.settings else self.catalogue.registry(settings, {name})
            checks = tuple(one.thing for one in own.risk_checks())
            executors = tuple(one.thing for one in own.executors())
            desks[desk_id] = DeskParts(checks, executors, tuple(one.thing for one in own.venues()))
        sources = [one.thing for one in registry.fee_sources()]
        parts = Parts(feeds, detectors, desks)
        self._refuse_taken(name, parts)
        order = [entry.name for entry in self.catalogue.entries]
        self.parts[name] = parts
        self.parts = dict(sorted(self.parts.items(), key=lambda item: order.index(item[0])))
        self.fee_sources[name] = sources
        return parts

    def forget(self, name: str) -> None:
        self.parts.pop(name, None)
        self.fee_sources.pop(name, None)

    def take_section(self, name: str) -> None:
        """Read the settings of a plugin that was enabled after the start; the others stay as they are.

        Raises:
            SettingsError: they are wrong.
        """
        fresh = self.catalogue.settings()
        if name in fresh.sections:
            self.settings = _with_section(self.settings, name, fresh)
            self.desks = {
                desk_id: self.settings if settings.core is self.settings.core else _with_section(settings, name, fresh)
                for desk_id, settings in self.desks.items()
            }

    def fees(self, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        """Of the first source that has an answer, in the catalogue's order. Raises SettingsError."""
        problems: list[str] = []
        for entry in self.catalogue.entries:
            for source in self.fee_sources.get(entry.name, ()):
                try:
                    return source.snapshot(pairs, now)
                except SettingsError as error:
                    problems += error.problems
        raise SettingsError(problems or ["no plugin knows any fees; enable one (ARBITRADE_PLUGINS)"])

    def venue(self, desk_id: str) -> VenueKind:
        """The one that the desk's settings name. Raises SettingsError when nobody registers it."""
        wanted = self.desks[desk_id].core.trading.venue
        known = {venue.name: venue for parts in self.parts.values() for venue in parts.desks[desk_id].venues}
        if wanted not in known:
            raise SettingsError(
                [
                    f"ARBITRADE_TRADING__VENUE is {wanted!r}, which no plugin brings. Allowed: {', '.join(known)}."
                ]
            )
        return known[wanted]

    def _refuse_taken(self, name: str, parts: Parts) -> None:
        for other, theirs in self.parts.items():
            if other == name:
                continue
            for kind, mine in _names(parts):
                taken = [one for one in mine if theirs.owns(kind, one)]
                if taken:
                    raise _twin(kind.value, taken[0], name, other)


def refuse_twins(plugin: str, kind: Part, names: Iterable[str], taken: Collection[Any]) -> None:
    """Raises PluginError when an object in use has one of the names."""
    for name in names:
        if any(one.name == name for one in taken):
            raise _twin(kind.value, name, plugin, "another plugin")


def _names(parts: Parts) -> list[tuple[Part, list[str]]]:
    desk = next(iter(parts.desks.values()), DeskParts())
    return [
        (Part.FEED, [feed.name for feed in parts.feeds]),
        (Part.DETECTOR, [detector.name for detector in parts.detectors]),
        (Part.RISK_CHECK, [check.name for check in desk.checks]),
        (Part.EXECUTOR, [executor.name for executor in desk.executors]),
        (Part.VENUE, [venue.name for venue in desk.venues]),
    ]


def _twin(kind: str, name: str, plugin: str, other: str) -> PluginError:
    return PluginError(
        f"plugins {plugin!r} and {other!r} both register the {kind} {name!r}; disable one of them, or rename its object"
    )


def _with_section(settings: Settings, name: str, fresh: Settings) -> Settings:
    return replace(
        settings,
        sections={**settings.sections, name: fresh.sections[name]},
        variables=fresh.variables,
        given=fresh.given,
    )
