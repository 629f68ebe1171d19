"""The plugins in use and what they registered: what a running bot is made of, and what changes when one is toggled."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from arbitrade_core.domain import FeeSnapshot, Ns, Pair, Plan
from arbitrade_core.errors import ArbitradeError, PluginError, SettingsError
from arbitrade_core.hooks import FeeSource
from arbitrade_core.parts import DeskParts, Part, Parts
from arbitrade_core.plugins.catalogue import Catalogue, State
from arbitrade_core.plugins.importing import import_plugin
from arbitrade_core.plugins.shapes import require_shapes
from arbitrade_core.registry import Registered
from arbitrade_core.settings import Settings
from arbitrade_core.spi import DeskView, Refused, VenueKind


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one plugin handed over."""

    parts: Parts
    fee_sources: tuple[FeeSource, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldCheck:
    """Stands for a check of a plugin that is out of use since it misbehaved: refuses everything (RELIABILITY 14)."""

    name: str
    reason: str

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return Refused(self.name, f"the check is quarantined: {self.reason}; enable its plugin anew, or disable it")


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
        """Call the hooks of every enabled plugin. Raises PluginError, as `registry.Registry` says.

        Of quarantined plugins, which are not imported, only the names of their risk checks are known: those refuse.
        """
        for entry in self.catalogue.entries:
            if entry.state is State.ENABLED:
                self.keep(entry.name, self.register(entry.name))
            elif entry.state is State.QUARANTINED:
                toggle = self.catalogue.toggles[entry.name]
                held = DeskParts(checks=tuple(HeldCheck(check, toggle.reason) for check in toggle.checks))
                self.keep(entry.name, Contribution(Parts(desks=dict.fromkeys(self.desks, held))))

    def register(self, name: str) -> "Contribution":
        """Call the hooks of one enabled plugin; nothing of it is in use until it is kept.

        Raises:
            PluginError: a hook failed or returned what cannot be used, or a name is taken.
        """
        who = self.catalogue.entry(name).who
        try:
            made = self._made(name, who)
            self._refuse_taken(name, made.parts)
        except ArbitradeError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{who} failed to register: {type(error).__name__}: {error}") from error
        return made

    def keep(self, name: str, made: "Contribution") -> None:
        """These are the plugin's objects from now on."""
        order = [entry.name for entry in self.catalogue.entries]
        self.parts[name] = made.parts
        # The engine holds this very dict: it is put in order in place.
        for known in sorted(self.parts, key=order.index):
            self.parts[known] = self.parts.pop(known)
        self.fee_sources[name] = list(made.fee_sources)

    def _made(self, name: str, who: str) -> "Contribution":
        registry = self.catalogue.registry(self.settings, {name})

        def sound[T](hook: str, registered: Iterable[Registered[T]]) -> tuple[T, ...]:
            things = tuple(one.thing for one in registered)
            require_shapes(hook, who, things)
            return things

        desks: dict[str, DeskParts] = {}
        feeds = sound("register_feeds", registry.feeds())
        detectors = sound("register_detectors", registry.detectors())
        for desk_id, settings in self.desks.items():
            own = registry if settings is self.settings else self.catalogue.registry(settings, {name})
            desks[desk_id] = DeskParts(
                sound("register_risk_checks", own.risk_checks()),
                sound("register_executors", own.executors()),
                sound("register_venues", own.venues()),
            )
        sources = sound("register_fee_sources", registry.fee_sources())
        return Contribution(Parts(feeds, detectors, desks), sources)

    def checks(self) -> dict[str, tuple[str, ...]]:
        """Names of the risk checks in use, by plugin. May be called on any thread."""
        return {
            plugin: tuple(sorted({check.name for desk in theirs.desks.values() for check in desk.checks}))
            for plugin, theirs in dict(self.parts).items()
        }

    def bring_in(self, name: str) -> str:
        """A plugin that comes into use in a run that is only followed: its objects, registered anew; its version here.

        Raises:
            ArbitradeError: it cannot be used here.
        """
        catalogue = self.catalogue
        catalogue.refresh()
        entry = catalogue.entry(name)
        imported = catalogue.imported.get(name) or import_plugin(catalogue.point(name), entry.who)
        catalogue.drop(name, State.DISABLED)
        catalogue.adopt(name, imported)
        self.take_section(name)
        self.keep(name, self.register(name))
        return catalogue.entry(name).version

    def forget(self, name: str) -> None:
        self.parts.pop(name, None)
        self.fee_sources.pop(name, None)

    def take_section(self, name: str) -> None:
        """Read the settings of a plugin that was not in use before; all others stay as they are until a restart.

        Raises:
            SettingsError: they are wrong.
        """
        fresh = self.catalogue.settings()
        if name in fresh.sections and name not in self.settings.sections:
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
                    answer: object = source.snapshot(pairs, now)
                except SettingsError as error:
                    problems += error.problems
                except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: as if it had no answer
                    problems.append(f"the fees of {entry.who} failed: {type(error).__name__}: {error}")
                else:
                    if isinstance(answer, FeeSnapshot):
                        return answer
                    problems.append(f"the fees of {entry.who} are {answer!r}, no FeeSnapshot")
        raise SettingsError(problems or ["no plugin knows any fees; enable one (ARBITRADE_PLUGINS)"])

    def venue(self, desk_id: str) -> VenueKind:
        """The one that the desk's settings name. Raises SettingsError when nobody registers it."""
        wanted = self.desks[desk_id].core.trading.venue
        known = {venue.name: venue for parts in self.parts.values() for venue in parts.desks[desk_id].venues}
        if wanted not in known:
            raise SettingsError(
                [f"ARBITRADE_TRADING__VENUE is {wanted!r}, which no plugin brings. Allowed: {', '.join(known)}."]
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
