"""Toggles the plugins of a running bot (DESIGN 3).

Enabling does everything slow first, beside trading: import, settings, migrations, registration, services. Only then one
input brings the finished objects into the engine; what that step takes is the stall that trading feels. Disabling
drains: one input stops new plans, those in flight end or are waited for up to a bound, and then the objects go. A plan
always keeps its executor until it ends. Every toggle is journalled with its actor and outlives restarts.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import structlog

from arbitrade_core.errors import ArbitradeError, ControlError, PluginError
from arbitrade_core.events import PluginDisabled, PluginEnabled, PluginFaulted, Quarantined
from arbitrade_core.host.services import Services
from arbitrade_core.panels import Content, Fact, Panel, Tone
from arbitrade_core.parts import Part, Parts
from arbitrade_core.plugins import CORE, Entry, Imported, State, import_plugin
from arbitrade_core.plugins.setup import Setup, refuse_twins
from arbitrade_core.plugins.shapes import require_shapes
from arbitrade_core.risk.checks import required_checks
from arbitrade_core.shell import Shell
from arbitrade_core.spi import Notifier
from arbitrade_core.storage.connect import Database
from arbitrade_core.storage.migrations import migrate, read

_log = structlog.get_logger(__name__)

DRAIN_S = 10.0
"""How long a disabled plugin's plans are waited for."""
_POLL_S = 0.02


@dataclass(slots=True)
class _Live:
    """What of a plugin is in use outside the engine."""

    notifiers: list[Notifier] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)


class PluginHost:
    """The catalogue of the running bot. All methods are called on the trading loop, toggles one at a time."""

    def __init__(self, setup: Setup, shell: Shell, services: Services, database: Database | None) -> None:
        self._setup = setup
        self._shell = shell
        self._services = services
        self._database = database
        self._live: dict[str, _Live] = {}
        self._lock = anyio.Lock()
        self._early: list[PluginFaulted] | None = []
        """faults from before the engine was started; None once it was"""
        shell.on_quarantined = self.quarantined
        shell.on_notifier_failed = self.notifier_failed
        services.on_fault = self.service_failed
        shell.owner_of = self.owner_of

    # --- the start ---

    async def start(self) -> None:
        """Bring up what is not the engine's of every plugin that is enabled; what fails is quarantined."""
        for entry in self._setup.catalogue.enabled():
            try:
                await self._surround(entry.name)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: the bot starts without it
                self._fault(entry.name, Part.SERVICE, entry.name, _words(error))

    def started(self) -> None:
        """The engine runs: it hears now of what went wrong before."""
        early, self._early = self._early or [], None
        for fault in early:
            self._shell.take(fault)

    async def end(self) -> None:
        await self._services.end_all()

    # --- looking ---

    def checks(self) -> dict[str, tuple[str, ...]]:
        """Names of the risk checks in use, by plugin. May be called on any thread."""
        return self._setup.checks()

    def entries(self) -> list[dict[str, Any]]:
        """The catalogue as lists show it: every entry with its costs."""
        self._setup.catalogue.refresh()
        return [self._shown(entry) for entry in self._setup.catalogue.entries]

    def show(self, name: str) -> dict[str, Any]:
        """One entry, with its panels. Raises PluginError."""
        self._setup.catalogue.refresh()
        entry = self._setup.catalogue.entry(name)
        live = self._live.get(name, _Live())
        panels = [_panel(panel, self._shell.clock()) for panel in live.panels]
        return {**self._shown(entry), "panels": panels}

    def _shown(self, entry: Entry) -> dict[str, Any]:
        return {**msgspec.to_builtins(entry), "costs": self._shell.meter.costs(self._setup.parts.get(entry.name))}

    # --- toggling ---

    async def enable(self, name: str, actor: str) -> dict[str, Any]:
        """Bring a plugin into use.

        Raises:
            ArbitradeError: why it cannot be; nothing changed.
        """
        async with self._lock:
            catalogue = self._setup.catalogue
            catalogue.refresh()
            entry = catalogue.entry(name)
            if entry.state is State.ENABLED:
                return {**self._shown(entry), "changed": False}
            refused = catalogue.why_not_enable(name)
            if refused:
                raise ControlError(refused)
            began = time.perf_counter()
            held = name in self._setup.parts
            try:
                await self._release(name)
                catalogue.drop(name, entry.state, entry.last_error)
                catalogue.adopt(name, await self._imported(name, entry))
                self._setup.take_section(name)
                await self._migrate(name)
                made = self._setup.register(name)
                await self._surround(name)
            except (Exception, SystemExit) as error:  # a plugin's code may raise anything: it stays out
                await self._release(name)
                # What the engine still has of a quarantined plugin stays, and its risk checks refuse as before.
                catalogue.drop(name, State.QUARANTINED if held else State.FAILED, _words(error))
                if isinstance(error, ArbitradeError):
                    raise
                raise PluginError(f"{entry.who} cannot be enabled: {_words(error)}") from error
            prepared = time.perf_counter()
            self._setup.keep(name, made)
            stall_ms = self._bring_in(name, actor)
            return {
                **self._shown(catalogue.entry(name)),
                "changed": True,
                "prepared_ms": round((prepared - began) * 1e3, 3),
                "stall_ms": stall_ms,
                "detectors": [detector.name for detector in made.parts.detectors],
            }

    async def disable(self, name: str, actor: str) -> dict[str, Any]:
        """Take a plugin out of use, once its plans have ended.

        Raises:
            ArbitradeError: why it has to stay; nothing changed.
        """
        async with self._lock:
            catalogue = self._setup.catalogue
            entry = catalogue.entry(name)
            refused = catalogue.why_not_disable(name) or self._required(name) or self._traded_on(name)
            refused = refused or self._feeds_plans(name)
            if refused:
                raise ControlError(refused)
            if entry.state is State.DISABLED:
                return {**self._shown(entry), "changed": False}
            shell = self._shell
            began = time.perf_counter()
            shell.take(PluginDisabled(name, actor, shell.clock()))
            stall_ms = round((time.perf_counter() - began) * 1e3, 3)
            with anyio.move_on_after(DRAIN_S):
                while shell.engine.in_use.plans_of(name):  # noqa: ASYNC110 - many ends, none has an event
                    await anyio.sleep(_POLL_S)
            left = shell.engine.in_use.plans_of(name)
            await self._leave(name, State.DISABLED)
            return {**self._shown(catalogue.entry(name)), "changed": True, "stall_ms": stall_ms, "plans_left": left}

    # --- misbehaviour ---

    def quarantined(self, command: Quarantined) -> None:
        """The engine took an object out, or told of one outside; the catalogue says so."""
        if command.kind == Part.NOTIFIER and command.plugin in self._live:
            live = self._live[command.plugin]
            gone = [one for one in live.notifiers if one.name == command.name]
            live.notifiers = [one for one in live.notifiers if one not in gone]
            self._shell.notifiers = [one for one in self._shell.notifiers if one not in gone]
        self._put_quarantined(command.plugin, f"{command.kind} {command.name!r}: {command.reason}")

    def owner_of(self, kind: Part, name: str) -> str | None:
        """Whose object it is; None when it is nobody's."""
        if kind is Part.NOTIFIER:
            live = self._live.items()
            return next((plugin for plugin, own in live if any(one.name == name for one in own.notifiers)), None)
        return self._shell.engine.in_use.plugin_of(kind, name)

    def notifier_failed(self, notifier: Notifier, error: BaseException) -> None:
        plugin = next((name for name, live in self._live.items() if notifier in live.notifiers), None)
        if plugin is not None:
            self._live[plugin].notifiers.remove(notifier)
            self._shell.notifiers.remove(notifier)
            self._fault(plugin, Part.NOTIFIER, notifier.name, f"{type(error).__name__}: {error}")

    def service_failed(self, plugin: str, service: str, reason: str) -> None:
        self._fault(plugin, Part.SERVICE, service, reason)

    def _fault(self, plugin: str, kind: Part, name: str, reason: str) -> None:
        """Something outside the engine failed: it hears of it as an input, so that the journal and a replay do too."""
        fault = PluginFaulted(plugin, kind.value, name, reason, self._shell.clock())
        if self._early is None:
            self._shell.take(fault)
        else:
            self._early.append(fault)

    def _put_quarantined(self, plugin: str, reason: str) -> None:
        if plugin != CORE and any(entry.name == plugin for entry in self._setup.catalogue.entries):
            self._setup.catalogue.mark_quarantined(plugin, reason)

    # --- steps ---

    async def _imported(self, name: str, entry: Entry) -> Imported:
        catalogue = self._setup.catalogue
        known = catalogue.imported.get(name)
        if known is not None:
            return known  # another version of it needs a restart
        # It takes no longer than `importing.IMPORT_S`, so the thread need not be left behind.
        return await anyio.to_thread.run_sync(partial(import_plugin, catalogue.point(name), entry.who))

    async def _migrate(self, name: str) -> None:
        folder = self._setup.catalogue.registry(self._setup.settings, {name}).migrations(name)
        if folder is not None and self._database is not None:
            await migrate(self._database, read(name, folder))

    async def _surround(self, name: str) -> None:
        """Notifiers, panels, services: what is not the engine's."""
        catalogue = self._setup.catalogue
        registry = catalogue.registry(self._setup.settings, {name})
        notifiers = [one.thing for one in registry.notifiers()]
        panels = [one.thing for one in registry.panels()]
        services = [one.thing for one in registry.services()]
        for hook, things in (
            ("register_notifiers", notifiers),
            ("register_panels", panels),
            ("register_services", services),
        ):
            require_shapes(hook, catalogue.entry(name).who, things)
        refuse_twins(name, Part.NOTIFIER, [one.name for one in notifiers], self._shell.notifiers)
        live = self._live[name] = _Live(notifiers, panels)
        await self._services.start(name, services)
        self._shell.notifiers += live.notifiers

    def _bring_in(self, name: str, actor: str) -> float:
        """The one moment that trading feels; its length in ms."""
        shell = self._shell
        began = time.perf_counter()
        shell.take(PluginEnabled(name, self._setup.catalogue.entry(name).version, actor, shell.clock()))
        return round((time.perf_counter() - began) * 1e3, 3)

    async def _leave(self, name: str, state: State) -> None:
        await self._release(name)
        self._setup.forget(name)
        self._setup.catalogue.drop(name, state)

    async def _release(self, name: str) -> None:
        """Its notifiers, panels and services go."""
        live = self._live.pop(name, _Live())
        self._shell.notifiers[:] = [known for known in self._shell.notifiers if known not in live.notifiers]
        await self._services.end(name)

    def _required(self, name: str) -> str | None:
        """Why the plugin's checks must stay."""
        required = required_checks(self._setup.settings.core.risk)
        parts = self._setup.parts.get(name, Parts())
        own = sorted({check.name for desk in parts.desks.values() for check in desk.checks} & required)
        if own:
            return f"plugin {name!r} brings the required check {', '.join(own)}; shorten ARBITRADE_RISK__REQUIRED first"
        return None

    def _feeds_plans(self, name: str) -> str | None:
        """Why the plugin's feed must stay for now."""
        open_plans = sum(len(desk.open_plans) for desk in self._shell.engine.desks)
        if open_plans and self._setup.parts.get(name, Parts()).feeds:
            return f"{open_plans} plans in flight need the books of plugin {name!r}; try again when they have ended"
        return None

    def _traded_on(self, name: str) -> str | None:
        """Why the plugin's venue must stay."""
        venues = {venue.name for desk in self._setup.parts.get(name, Parts()).desks.values() for venue in desk.venues}
        for desk_id, settings in self._setup.desks.items():
            if settings.core.trading.venue in venues:
                venue = settings.core.trading.venue
                return (
                    f"desk {desk_id!r} trades on venue {venue!r} of plugin {name!r}; set ARBITRADE_TRADING__VENUE first"
                )
        return None


def _panel(panel: Panel, now: int) -> dict[str, Any]:
    """What it shows; a panel that fails shows its error in its place."""
    try:
        content = msgspec.convert(msgspec.to_builtins(panel.content(now)), Content)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: nothing else suffers
        content = Content((Fact("error", _words(error), Tone.BAD),))
    return {"name": panel.name, "title": panel.title, **msgspec.to_builtins(content)}


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, ArbitradeError) else f"{type(error).__name__}: {error}"
