"""The catalogue of plugins: which are installed, which are enabled, and what became of them.

Plugins are found by entry point, group `arbitrade.plugins`; those of the group `arbitrade.plugins.experimental` need
their feature flag as well. Finding one does not import it, and one that is not enabled is never imported. Whatever is
wrong with a plugin is kept in its entry, naming its distribution; `require_sound` turns that into an error at the
start.
"""

import difflib
import importlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import metadata
from typing import Any

from pluggy import PluginManager
from pydantic import BaseModel

from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.hooks import API_VERSION, NoSettings, PluginContext
from arbitrade_core.plugins.importing import Imported, import_plugin
from arbitrade_core.plugins.needs import dependents, unmet, words
from arbitrade_core.registry import Registry, new_relay
from arbitrade_core.settings import CoreSettings, Given, Settings, load_settings, read_environment

GROUP = "arbitrade.plugins"
EXPERIMENTAL_GROUP = "arbitrade.plugins.experimental"

CORE = "core"
"""The built-in plugin. It cannot be disabled, and the core's settings are its own."""

PLUGINS_VARIABLE = "ARBITRADE_PLUGINS"
EXPERIMENTAL_VARIABLE = "ARBITRADE_EXPERIMENTAL"

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class State(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    """installed and not in use"""
    FAILED = "failed"
    """could not be loaded"""
    QUARANTINED = "quarantined"
    """out of use since it misbehaved; enabling it anew gives it another chance"""


@dataclass(frozen=True, slots=True)
class Toggle:
    """What was last said about a plugin while the bot ran; it outlives restarts."""

    state: State
    """enabled, disabled or quarantined"""
    actor: str = ""
    reason: str = ""
    checks: tuple[str, ...] = ()
    """of a quarantined plugin: its risk checks, which stay required until it is enabled or disabled"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One plugin, as lists show it. What only an import can tell is None or empty until then."""

    name: str
    distribution: str
    version: str
    """what is installed; of an imported plugin: what was installed when it was imported"""
    module: str
    experimental: bool
    state: State
    api_version: int | None = None
    hooks: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    last_error: str | None = None
    pinned: bool = False
    """ARBITRADE_PLUGINS decides whether it is enabled"""
    restart_for: str | None = None
    """the version that is installed now, when another one is imported: only a restart brings it into use"""

    @property
    def origin(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def who(self) -> str:
        return f"plugin {self.name!r} ({self.origin})"


@dataclass(slots=True)
class Catalogue:
    """All installed plugins, the core's first, the others by name: the order in which hooks are called."""

    entries: list[Entry]
    given: Given
    toggles: Mapping[str, Toggle] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """what is wrong with the choice of plugins in the settings"""
    relay: PluginManager = field(default_factory=new_relay)
    models: dict[str, type[BaseModel]] = field(default_factory=dict)
    """settings models of enabled plugins that have settings"""
    imported: dict[str, Imported] = field(default_factory=dict)
    """everything imported since the process began, in use or not"""
    shared: dict[str, dict[str, Any]] = field(default_factory=dict)

    # --- looking ---

    def entry(self, name: str) -> Entry:
        """Raises PluginError when no such plugin is installed."""
        found = next((entry for entry in self.entries if entry.name == name), None)
        if found is None:
            raise PluginError(
                f"plugin {name!r} is not installed. {_suggestion(name, (entry.name for entry in self.entries))}"
            )
        return found

    def enabled(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.state is State.ENABLED]

    def module(self, name: str) -> Any:
        """What an enabled plugin's entry point stands for."""
        return self.relay.get_plugin(name)

    def require_sound(self) -> None:
        """Raises:
        PluginError: at least one plugin could not be loaded; every one of them is named, one line each.
        """
        failed = [entry.last_error or entry.name for entry in self.entries if entry.state is State.FAILED]
        if failed:
            raise PluginError("\n".join(failed))

    def settings(self) -> Settings:
        """Read and validate the settings of the core and of every enabled plugin.

        Raises:
            SettingsError: with everything that is wrong with any of them, and with the choice of plugins.
        """
        unknown = [entry.name for entry in self.entries if entry.state is not State.ENABLED]
        return load_settings(self.models, unknown, self.problems)

    def context(self, name: str, settings: Settings) -> PluginContext[Any]:
        own = settings.core if name == CORE else settings.sections.get(name, NoSettings())
        trading = settings.core.trading
        shared = self.shared.setdefault(name, {})
        return PluginContext(name, own, trading.valuation_asset, trading.start_assets, shared)

    def registry(self, settings: Settings, only: Collection[str] | None = None) -> Registry:
        """The hooks of all enabled plugins, or of `only` some of them, each with its own settings."""
        enabled = [entry for entry in self.enabled() if only is None or entry.name in only]
        return Registry(
            self.relay,
            {entry.name: self.context(entry.name, settings) for entry in enabled},
            {entry.name: entry.origin for entry in enabled},
        )

    # --- changing ---

    def why_not_enable(self, name: str) -> str | None:
        """Why the plugin must not be enabled, in words; None when it may."""
        entry = self.entry(name)
        installed_now = [one for one in _found_entries(self.given) if one.name == name]
        if not installed_now:
            return f"plugin {name!r} is not installed any more; install it again, or disable it"
        clash = _clash(name, installed_now)
        if clash is not None:
            return clash
        if entry.experimental and name not in self.given.names(EXPERIMENTAL_VARIABLE):
            return f"{entry.who} is experimental; name it in {EXPERIMENTAL_VARIABLE} first, and start anew"
        if entry.pinned and name not in self.given.names(PLUGINS_VARIABLE):
            return f"{PLUGINS_VARIABLE} decides which plugins are enabled; add {name!r} there, or unset it"
        return None

    def why_not_disable(self, name: str) -> str | None:
        """Why the plugin must stay enabled, in words; None when it may go."""
        entry = self.entry(name)
        if name == CORE:
            return "the core cannot be disabled"
        if entry.pinned:
            return f"{PLUGINS_VARIABLE} decides which plugins are enabled; take {name!r} out of it, or unset it"
        missed = dependents(name, self.enabled())
        if missed:
            return f"{entry.who} is needed: " + "; ".join(
                f"{other!r} needs {' and '.join(map(words, needs))}; disable {other!r} first"
                for other, needs in missed.items()
            )
        return None

    def adopt(self, name: str, imported: Imported) -> None:
        """Take an examined plugin into use: its hooks can be called from now on.

        Raises:
            PluginError: it needs what no enabled plugin brings; nothing changed.
        """
        entry = self.entry(name)
        ready = replace(
            entry,
            state=State.ENABLED,
            api_version=API_VERSION,
            hooks=imported.hooks,
            needs=imported.needs,
            last_error=None,
        )
        missing = unmet(ready, self.enabled())
        if missing:
            raise PluginError(_unmet_words(ready, missing))
        self._register(name, imported)
        self._put(name, ready)

    def mark_quarantined(self, name: str, reason: str) -> None:
        """One of its objects is out of use; what else it registered stays until it is disabled or enabled anew."""
        self._put(name, replace(self.entry(name), state=State.QUARANTINED, last_error=reason))

    def drop(self, name: str, state: State, reason: str | None = None) -> None:
        """Out of use, imported or not. Its objects are taken out by whoever calls them."""
        if self.relay.has_plugin(name):
            self.relay.unregister(name=name)
        self.models.pop(name, None)
        self.shared.pop(name, None)
        self._put(name, replace(self.entry(name), state=state, last_error=reason))

    def refresh(self) -> None:
        """Look again at what is installed: new plugins appear, new versions of imported ones are told."""
        importlib.invalidate_caches()
        fresh = {entry.name: entry for entry in _found_entries(self.given)}
        known = {entry.name for entry in self.entries}
        for entry in self.entries:
            now = fresh.get(entry.name)
            if now is None:
                continue
            if entry.name in self.imported:
                self._put(entry.name, replace(entry, restart_for=None if now.version == entry.version else now.version))
            else:
                self._put(entry.name, replace(now, state=entry.state, last_error=entry.last_error))
        self.entries = sorted([*self.entries, *(fresh[name] for name in fresh.keys() - known)], key=_order)

    def point(self, name: str) -> metadata.EntryPoint:
        """Where an installed plugin's module is."""
        return next(point for point, _ in _found() if point.name == name)

    def _register(self, name: str, imported: Imported) -> None:
        """Raises PluginError when the same module is another plugin's already."""
        twin = next((other for other, module in self.relay.list_name_plugin() if module is imported.module), None)
        if twin is not None:
            raise PluginError(
                f"{self.entry(name).who} is the same module as plugin {twin!r}; give each a module of its own"
            )
        self.imported[name] = imported
        self.relay.register(imported.module, name)
        if imported.model is not None:
            self.models[name] = imported.model

    def _put(self, name: str, entry: Entry) -> None:
        self.entries = [entry if known.name == name else known for known in self.entries]


def load_catalogue(toggles: Mapping[str, Toggle] | None = None) -> Catalogue:
    """Find every plugin and import those that are to be enabled. What fails is in the entries.

    ARBITRADE_PLUGINS decides when it is set; else the last toggle of each plugin; else all are enabled but the
    experimental ones. A quarantined plugin stays out whoever names it, until it is enabled anew.
    """
    given = read_environment()
    catalogue = Catalogue(_with_held(_found_entries(given), toggles or {}), given, toggles or {})
    _refuse_clashes(catalogue)
    for name in _chosen(catalogue):
        entry = catalogue.entry(name)
        if entry.state is not State.DISABLED:
            continue
        try:
            imported = import_plugin(catalogue.point(name), entry.who)
            catalogue._register(name, imported)
        except (PluginError, SettingsError) as error:
            catalogue._put(name, replace(entry, state=State.FAILED, last_error=str(error)))
            continue
        catalogue._put(
            name,
            replace(entry, state=State.ENABLED, api_version=API_VERSION, hooks=imported.hooks, needs=imported.needs),
        )
    settle_needs(catalogue)
    return catalogue


def installed() -> list[Entry]:
    """Every installed plugin, as far as it can be told without importing any."""
    return _found_entries(read_environment())


def settle_needs(catalogue: Catalogue) -> None:
    """Take out what misses something, and what misses that in turn."""
    while True:
        enabled = catalogue.enabled()
        lacking = [(entry, missing) for entry in enabled if (missing := unmet(entry, enabled))]
        if not lacking:
            return
        for entry, missing in lacking:
            catalogue.drop(entry.name, State.FAILED, _unmet_words(entry, missing))


def _unmet_words(entry: Entry, missing: list[str]) -> str:
    return f"{entry.who} needs {' and '.join(map(words, missing))}, and no enabled plugin brings that; enable one"


def _found() -> Iterable[tuple[metadata.EntryPoint, bool]]:
    for group, experimental in ((GROUP, False), (EXPERIMENTAL_GROUP, True)):
        for point in metadata.entry_points(group=group):
            yield point, experimental


def _found_entries(given: Given) -> list[Entry]:
    pinned = bool(given.names(PLUGINS_VARIABLE))
    entries = []
    for point, experimental in _found():
        distribution, version = (point.dist.name, point.dist.version) if point.dist else ("unknown distribution", "")
        entries.append(
            Entry(point.name, distribution, version, point.value, experimental, State.DISABLED, pinned=pinned)
        )
    return sorted(entries, key=_order)


def _with_held(entries: list[Entry], toggles: Mapping[str, Toggle]) -> list[Entry]:
    """Plugins that were uninstalled while their risk checks were held: they must be there to be disabled."""
    known = {entry.name for entry in entries}
    held = [
        Entry(name, "not installed", "", "", experimental=False, state=State.DISABLED)
        for name, toggle in toggles.items()
        if toggle.state is State.QUARANTINED and toggle.checks and name not in known
    ]
    return sorted([*entries, *held], key=_order)


def _order(entry: Entry) -> tuple[bool, str]:
    return entry.name != CORE, entry.name


def _refuse_clashes(catalogue: Catalogue) -> None:
    """Names that two plugins share, or that can name no section: an error even when not enabled."""
    by_name: dict[str, list[Entry]] = {}
    for entry in catalogue.entries:
        by_name.setdefault(entry.name, []).append(entry)
    for name, entries in by_name.items():
        error = _clash(name, entries)
        if error is not None:
            catalogue.entries = [
                replace(entry, state=State.FAILED, last_error=error) if entry.name == name else entry
                for entry in catalogue.entries
            ]


def _clash(name: str, entries: Sequence[Entry]) -> str | None:
    """Why plugins of that name cannot be used; None when there is one, and its name is good."""
    origins = " and ".join(entry.origin for entry in entries)
    if len(entries) > 1:
        return f"plugin name {name!r} is taken by {origins}; uninstall all of them but one"
    if not _NAME.fullmatch(name):
        return f"plugin name {name!r} ({origins}) must be lower-case letters, digits and single underscores"
    if name in CoreSettings.model_fields:
        return f"plugin name {name!r} ({origins}) is a section of the core's settings; it needs another name"
    return None


def _chosen(catalogue: Catalogue) -> list[str]:
    """Names of the plugins to import, in the catalogue's order. Quarantined ones are marked on the way."""
    given = catalogue.given
    experimental = {entry.name: entry.experimental for entry in catalogue.entries}
    flagged = given.names(EXPERIMENTAL_VARIABLE)
    named = given.names(PLUGINS_VARIABLE)
    for variable, names in ((PLUGINS_VARIABLE, named), (EXPERIMENTAL_VARIABLE, flagged)):
        catalogue.problems += [
            f"{variable} names {name!r}, which is not installed. {_suggestion(name, experimental)}"
            for name in names
            if name not in experimental
        ]
    catalogue.problems += [
        f"{PLUGINS_VARIABLE} names {name!r}, which is experimental; add it to {EXPERIMENTAL_VARIABLE} as well"
        for name in named
        if experimental.get(name) and name not in flagged
    ]
    chosen = []
    for entry in catalogue.entries:
        toggle = catalogue.toggles.get(entry.name)
        wanted = entry.name in named if named else _wanted(entry, toggle)
        if entry.name == CORE:
            chosen.append(entry.name)
        elif toggle is not None and toggle.state is State.QUARANTINED:
            catalogue._put(entry.name, replace(entry, state=State.QUARANTINED, last_error=toggle.reason))
        elif wanted and (not entry.experimental or entry.name in flagged):
            chosen.append(entry.name)
    return chosen


def _wanted(entry: Entry, toggle: Toggle | None) -> bool:
    return not entry.experimental if toggle is None else toggle.state is State.ENABLED


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(names)}."
