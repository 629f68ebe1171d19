"""The plugins' objects that one engine has in use: how they come, go, and are taken out when they misbehave.

An object that raises is quarantined alone (RELIABILITY 14). A detector or feed is not asked any more; an executor gets
no new plans; a risk check stays, and refuses everything, because what cannot be asked must not be taken for a yes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Ns, Severity
from arbitrade_core.events import Disconnect, PluginDisabled, PluginEnabled, Quarantined
from arbitrade_core.parts import DeskParts, Part, Parts
from arbitrade_core.ports import EngineDetectorPort, EngineFeedPort
from arbitrade_core.spi import Detector, Feed, Vanished

if TYPE_CHECKING:
    from arbitrade_core.engine import Engine


FOREIGN = (Exception, SystemExit)
"""What a plugin's code may raise: `sys.exit()` in it takes it out, not the bot. Ctrl-C stays the operator's."""


class PartsInUse:
    """`parts` is what each plugin brings, in the order in which they are asked; read again when one is enabled."""

    def __init__(self, engine: "Engine", parts: Mapping[str, Parts]) -> None:
        self._engine = engine
        self._parts = parts
        self._mine = dict(parts)
        """by plugin: what is in use here, of a quarantined one as well"""
        self.detectors: list[Detector] = [one for theirs in parts.values() for one in theirs.detectors]
        self.feeds = [EngineFeedPort(engine, feed) for theirs in parts.values() for feed in theirs.feeds]
        self._detector_ports: dict[str, EngineDetectorPort] = {}

    # --- whose they are ---

    def plugin_of(self, kind: str, name: str) -> str | None:
        """Whose object it is."""
        known = Part(kind) if kind in set(Part) else None
        owners = (plugin for plugin, theirs in self._parts.items() if known is not None and theirs.owns(known, name))
        return next(owners, None)

    def plans_of(self, plugin: str) -> int:
        """Plans in flight that this plugin's detectors found or its executors carry out."""
        theirs = self._parts.get(plugin, Parts())
        strategies = {detector.name for detector in theirs.detectors}
        return sum(
            plan.strategy in strategies or theirs.owns(Part.EXECUTOR, desk.conductor.executor_of(plan.id))
            for desk in self._engine.desks
            for plan in desk.open_plans
        )

    def port_of(self, detector: Detector) -> EngineDetectorPort:
        """The detector's way into the engine; another one once it is out of use and comes anew."""
        port = self._detector_ports.get(detector.name)
        if port is None or port.detector is not detector:
            port = self._detector_ports[detector.name] = EngineDetectorPort(self._engine, detector)
        return port

    # --- coming and going ---

    def enable(self, event: PluginEnabled) -> None:
        now = event.now
        theirs = self._parts[event.plugin]
        self._let_go(event.plugin, now)  # what a quarantined one still has here goes in the same step
        self._mine[event.plugin] = theirs
        wanted = [*self.detectors, *theirs.detectors]
        order = [detector for parts in self._parts.values() for detector in parts.detectors]
        self.detectors = [detector for detector in order if detector in wanted]
        for desk in self._engine.desks:
            desk.take_parts(theirs.desks.get(desk.id, DeskParts()))
        for feed in theirs.feeds:
            port = EngineFeedPort(self._engine, feed)
            self.feeds.append(port)
            self.guarded(feed, partial(feed.start, port, now), now)
        self._engine.index_again()
        self._record(event.plugin, "enabled", event.actor, f"version {event.version}", now)

    def disable(self, event: PluginDisabled) -> None:
        self._let_go(event.plugin, event.now)
        self._record(event.plugin, "disabled", event.actor, "", event.now)

    def _let_go(self, plugin: str, now: Ns) -> None:
        theirs = self._mine.pop(plugin, Parts())
        for detector in theirs.detectors:
            self._forget_detector(detector.name, now)
        for feed in theirs.feeds:
            self._stop_feed(feed.name, now)
        for desk in self._engine.desks:
            desk.drop_parts(theirs.desks.get(desk.id, DeskParts()))

    # --- misbehaving ---

    def guarded(self, feed: Feed, call: Callable[[], None], now: Ns) -> None:
        """Call a feed; one that raises is out."""
        try:
            call()
        except FOREIGN as error:
            self.failed(Part.FEED, feed.name, error, now)

    def failed(self, kind: Part, name: str, error: BaseException, now: Ns, desk: Desk | None = None) -> None:
        """One of them raised: that of `desk`, which has objects of its own, or one that serves all."""
        self.quarantine(kind, name, f"{type(error).__name__}: {error}", now, desk=desk)

    def quarantine(  # noqa: PLR0917 - what, whose, why, when
        self, kind: str, name: str, reason: str, now: Ns, plugin: str | None = None, desk: Desk | None = None
    ) -> None:
        """Take one object out of use, alone, and say so. What is outside the engine is taken out there."""
        engine = self._engine
        desks = engine.desks if desk is None else [desk]
        match kind:
            case Part.DETECTOR:
                if all(detector.name != name for detector in self.detectors):
                    return  # it is out already
                self._forget_detector(name, now)
            case Part.FEED:
                if all(port.feed.name != name for port in self.feeds):
                    return
                self._stop_feed(name, now)
            case Part.RISK_CHECK:
                for one in desks:
                    one.gate.hold(name, reason)
            case Part.EXECUTOR:
                for one in desks:
                    one.drop_executor(name)
            case _:
                pass
        owner = plugin or self.plugin_of(kind, name) or name
        self._record(owner, "quarantined", "engine", f"{kind} {name!r}: {reason}", now)
        text = f"plugin {owner!r}: {kind} {name!r} failed and is out of use until it is enabled anew: {reason}"
        engine.out.notify(Severity.CRITICAL, "plugin.quarantined", text, now)
        engine.out.command(Quarantined(owner, kind, name, reason))

    def _forget_detector(self, name: str, now: Ns) -> None:
        self.detectors = [detector for detector in self.detectors if detector.name != name]
        engine = self._engine
        engine.offer([Vanished(key) for key in engine.appearances.of(name)], now)
        engine.index_again()

    def _stop_feed(self, name: str, now: Ns) -> None:
        """Its connections go, and its books are out of use; pairs stay listed."""
        engine = self._engine
        for port in [port for port in self.feeds if port.feed.name == name]:
            self.feeds.remove(port)
            try:
                port.feed.stop(now)
            except FOREIGN as error:  # it is on its way out anyway
                engine.out.notify(Severity.WARNING, "plugin.failed", f"feed {name!r} did not stop: {error}", now)
            for conn in engine.connections_of(port.feed):
                engine.cut(conn)
                engine.out.command(Disconnect(conn))
            for pair in port.listed:
                engine.carried_by(pair, None, now)

    def _record(self, plugin: str, state: str, actor: str, reason: str, now: Ns) -> None:
        theirs = self._parts.get(plugin, Parts())
        checks = sorted({check.name for desk in theirs.desks.values() for check in desk.checks})
        out = self._engine.out
        data = {
            "stream": out.system,
            "plugin": plugin,
            "state": state,
            "actor": actor,
            "reason": reason,
            "checks": checks if state == "quarantined" else [],
        }
        out.record("plugin", now, data)
