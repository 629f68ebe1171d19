"""The catalogue of plugins: which are installed, which are enabled, and what became of them.

Plugins are found by entry point, group `arbitrade.plugins`; those of the group
`arbitrade.plugins.experimental` need their feature flag as well. Finding one does not import it, and one
that is not enabled is never imported. Whatever is wrong with a plugin is kept in its entry, naming its
distribution; `require_sound` turns that into an error at the start.
"""

import difflib
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import metadata
from typing import Any

from pluggy import PluginManager, PluginValidationError
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.hooks import (
    API_VERSION,
    HOOKS,
    PROJECT,
    NoSettings,
    PluginContext,
    Registry,
    call_one,
    new_relay,
)
from arbitrade_core.settings import CoreSettings, Given, Settings, load_settings, read_environment

GROUP = "arbitrade.plugins"
EXPERIMENTAL_GROUP = "arbitrade.plugins.experimental"

CORE = "core"
"""The built-in plugin. It cannot be disabled, and the core's settings are its own."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class State(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    """installed and not imported"""
    FAILED = "failed"
    """could not be loaded"""
    QUARANTINED = "quarantined"
    """loaded, and out of use since it misbehaved"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One plugin, as lists show it. What only an import can tell is None or empty until then."""

    name: str
    distribution: str
    version: str
    module: str
    experimental: bool
    state: State
    api_version: int | None = None
    hooks: tuple[str, ...] = ()
    last_error: str | None = None

    @property
    def origin(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(slots=True)
class Catalogue:
    """All installed plugins, the core's first, the others by name: the order in which hooks are called."""

    entries: list[Entry]
    problems: list[str] = field(default_factory=list)
    """what is wrong with the choice of plugins in the settings"""
    relay: PluginManager = field(default_factory=new_relay)
    models: dict[str, type[BaseModel]] = field(default_factory=dict)
    """settings models of enabled plugins that have settings"""

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

    def quarantine(self, name: str, reason: str) -> None:
        """Mark a plugin as out of use. Its objects are taken out by whoever calls them."""
        self._put(name, state=State.QUARANTINED, last_error=reason)

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
        return PluginContext(name, own, trading.valuation_asset, trading.start_assets)

    def registry(self, settings: Settings) -> Registry:
        """The hooks of all enabled plugins, each with its own settings."""
        enabled = self.enabled()
        return Registry(
            self.relay,
            {entry.name: self.context(entry.name, settings) for entry in enabled},
            {entry.name: entry.origin for entry in enabled},
        )

    def _put(self, name: str, **changes: Any) -> None:
        self.entries = [replace(entry, **changes) if entry.name == name else entry for entry in self.entries]


def load_catalogue() -> Catalogue:
    """Find every plugin and import those that the environment enables. What fails is in the entries."""
    given = read_environment()
    points = sorted(_found(), key=lambda found: (found[0].name != CORE, found[0].name))
    catalogue = Catalogue([_entry(point, experimental) for point, experimental in points])
    _refuse_clashes(catalogue)
    enabled = _chosen(catalogue, given)
    for point, _ in points:
        entry = next(known for known in catalogue.entries if known.name == point.name)
        if point.name in enabled and entry.state is State.DISABLED:
            _load(catalogue, entry, point)
    return catalogue


def _found() -> Iterable[tuple[metadata.EntryPoint, bool]]:
    for group, experimental in ((GROUP, False), (EXPERIMENTAL_GROUP, True)):
        for point in metadata.entry_points(group=group):
            yield point, experimental


def _entry(point: metadata.EntryPoint, experimental: bool) -> Entry:
    distribution, version = (point.dist.name, point.dist.version) if point.dist else ("unknown distribution", "")
    return Entry(point.name, distribution, version, point.value, experimental, State.DISABLED)


def _refuse_clashes(catalogue: Catalogue) -> None:
    """Names that two plugins share, or that can name no section: an error even when not enabled."""
    by_name: dict[str, list[Entry]] = {}
    for entry in catalogue.entries:
        by_name.setdefault(entry.name, []).append(entry)
    for name, entries in by_name.items():
        origins = " and ".join(entry.origin for entry in entries)
        if len(entries) > 1:
            error = f"plugin name {name!r} is taken by {origins}; uninstall all of them but one"
        elif not _NAME.fullmatch(name):
            error = f"plugin name {name!r} ({origins}) must be lower-case letters, digits and single underscores"
        elif name in CoreSettings.model_fields:
            error = f"plugin name {name!r} ({origins}) is a section of the core's settings; it needs another name"
        else:
            continue
        catalogue._put(name, state=State.FAILED, last_error=error)


def _chosen(catalogue: Catalogue, given: Given) -> frozenset[str]:
    """Names of the plugins to import, by ARBITRADE_PLUGINS and ARBITRADE_EXPERIMENTAL."""
    experimental = {entry.name: entry.experimental for entry in catalogue.entries}
    flagged = given.names("ARBITRADE_EXPERIMENTAL")
    named = given.names("ARBITRADE_PLUGINS")
    for variable, names in (("ARBITRADE_PLUGINS", named), ("ARBITRADE_EXPERIMENTAL", flagged)):
        catalogue.problems += [
            f"{variable} names {name!r}, which is not installed. {_suggestion(name, experimental)}"
            for name in names
            if name not in experimental
        ]
    catalogue.problems += [
        f"ARBITRADE_PLUGINS names {name!r}, which is experimental; add it to ARBITRADE_EXPERIMENTAL as well"
        for name in named
        if experimental.get(name) and name not in flagged
    ]
    wanted = named or tuple(experimental)
    return frozenset({CORE, *(name for name in wanted if not experimental.get(name) or name in flagged)})


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(names)}."


def _load(catalogue: Catalogue, entry: Entry, point: metadata.EntryPoint) -> None:
    """Import one plugin and register it; a failure costs that plugin alone."""
    who = f"plugin {entry.name!r} ({entry.origin})"
    try:
        module = _imported(point, who)
        hooks = _hooks(module, who)
        _check_api(module, who)
        _check_signatures(module, who)
        catalogue.relay.register(module, entry.name)
        model = _settings_model(catalogue.relay, entry.name, who)
    except (PluginError, SettingsError) as error:
        if catalogue.relay.has_plugin(entry.name):
            catalogue.relay.unregister(name=entry.name)
        catalogue._put(entry.name, state=State.FAILED, last_error=str(error))
        return
    if model is not None:
        catalogue.models[entry.name] = model
    catalogue._put(entry.name, state=State.ENABLED, api_version=API_VERSION, hooks=hooks)


def _imported(point: metadata.EntryPoint, who: str) -> Any:
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        # A plugin's module may raise anything while it is imported; then that plugin is not usable.
        reason = f"{type(error).__name__}: {error}{_place(error)}"
        raise PluginError(f"{who} cannot be imported: {reason}") from error


def _place(error: BaseException) -> str:
    """The last line of a plugin's own code that an import reached."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    own = [frame for frame in frames if frame.filename not in (__file__, metadata.__file__)]
    own = [frame for frame in own if not frame.filename.startswith(sys.base_prefix)]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _hooks(module: Any, who: str) -> tuple[str, ...]:
    """The hooks that a plugin implements, in the order of the reference."""
    names = []
    for name in dir(module):
        function = getattr(module, name)
        marked = getattr(function, f"{PROJECT}_impl", None) is not None
        if marked and name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(HOOKS)}"
            raise PluginError(f"{who} implements {name}, which is no hook: {hint}")
        own = getattr(function, "__module__", None) == getattr(module, "__name__", "")
        if name in HOOKS and own and not marked:
            raise PluginError(f"{who} defines {name} without @hookimpl, so it would never be called; add the decorator")
        if marked:
            names.append(name)
    return tuple(sorted(names, key=HOOKS.index))


def _check_api(module: Any, who: str) -> None:
    declared = getattr(module, "ARBITRADE_API", None)
    if declared != API_VERSION:
        said = "does not declare ARBITRADE_API" if declared is None else f"is written for plugin API {declared!r}"
        raise PluginError(
            f"{who} {said}, and arbitrade {metadata.version('arbitrade')} has plugin API {API_VERSION}; "
            f"install versions that fit each other"
        )


def _check_signatures(module: Any, who: str) -> None:
    """On a relay of its own, since one that fails half-way would leave half a plugin behind."""
    try:
        new_relay().register(module)
    except PluginValidationError as error:
        detail = str(error).rpartition("\n")[2] or str(error)
        raise PluginError(f"{who} implements a hook with other arguments than it has: {detail}") from error


def _settings_model(relay: PluginManager, name: str, who: str) -> type[BaseModel] | None:
    models: Sequence[Any] = call_one(relay, "register_settings", name, who)
    if not models:
        return None
    (model,) = models
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or issubclass(model, BaseSettings):
        raise PluginError(
            f"register_settings of {who} returned {model!r}; it must return a class derived from "
            f"pydantic.BaseModel (not BaseSettings: the core reads the environment for it)"
        )
    return model


__all__ = ["CORE", "EXPERIMENTAL_GROUP", "GROUP", "Catalogue", "Entry", "State", "load_catalogue"]
