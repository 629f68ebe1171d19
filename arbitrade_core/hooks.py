"""The hooks of a plugin: it registers objects once, at the start, and the engine calls the objects.

A plugin is a module named in the entry-point group `arbitrade.plugins`. It declares the API it was written
for and implements the hooks it needs:

    from arbitrade_core.hooks import PluginContext, hookimpl

    ARBITRADE_API = 1

    @hookimpl
    def register_detectors(ctx: PluginContext[MySettings]) -> list[Detector]:
        return [MyDetector(ctx.settings)]

Nothing on the hot path is a hook call. `HookSpecs` is the reference of all hooks, `registry.Registry` the typed way
to call them. What the registered objects must look like stands in `arbitrade_core.spi`, `arbitrade_core.services`
and `arbitrade_core.panels`.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources.abc import Traversable
from typing import Any, Protocol, runtime_checkable

from pluggy import HookimplMarker, HookspecMarker
from pydantic import BaseModel

from arbitrade_core.domain import FeeSnapshot, Ns, Pair
from arbitrade_core.panels import Panel
from arbitrade_core.services import Service
from arbitrade_core.spi import Detector, Executor, Feed, Notifier, RiskCheck, VenueKind

API_VERSION = 1
"""Goes up when an existing plugin would have to change; new hooks alone do not raise it."""

PROJECT = "arbitrade"

hookspec = HookspecMarker(PROJECT)
hookimpl = HookimplMarker(PROJECT)


class NoSettings(BaseModel):
    """The settings of a plugin that has none."""


@dataclass(frozen=True, slots=True)
class PluginContext[S: BaseModel]:
    """What a plugin is told when it registers."""

    name: str
    """the plugin's name: its entry point, its settings section, its line in the catalogue"""
    settings: S
    """an instance of the model that the plugin's `register_settings` returned"""
    valuation_asset: str
    start_assets: tuple[str, ...]
    shared: dict[str, Any] = field(default_factory=dict, compare=False)
    """the plugin's own, alive as long as it is enabled: for an object that several hooks hand over, such as a
    notifier that is also a service"""


class FeeSource(Protocol):
    """Where the fees of an account come from."""

    def snapshot(self, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        """The fees in force.

        Raises:
            SettingsError: nothing says what the fees are; the message says how to configure it. There are no
                default fees: without a snapshot nothing trades (TRADING 7).
        """
        ...


@runtime_checkable
class FeeLadder(Protocol):
    """A fee source that knows the steps of its schedule: what other accounts, or this one later, would pay."""

    def ladder(self, pairs: Sequence[Pair], now: Ns) -> Sequence[tuple[str, FeeSnapshot]]:
        """Every step with its name (`50,000 USD`), dearest first; the one in force among them. Empty: no step is
        known, as of rates that somebody stated.

        Raises:
            SettingsError: as `FeeSource.snapshot` says.
        """
        ...


class HookSpecs:
    """Every hook. Each is called once when a plugin comes into use, at the start or when it is enabled, for one plugin
    after the other in catalogue order. A desk of its own settings (a shadow) has its own risk checks and executors, so
    those two are called once a desk."""

    @hookspec
    def register_settings(self) -> type[BaseModel] | None:
        """The model of the plugin's own settings, one section: ARBITRADE_<PLUGIN>__<FIELD>.

        Called: first of all hooks, before any setting is validated, so that all sections are validated
        together. Order: does not matter; each section is the plugin's own. An exception: the plugin is not
        used and the start fails, naming its distribution.

        Example:
            class DepthSettings(BaseModel):
                min_depth_levels: int = Field(3, ge=1, description="Fewest levels a leg's book must hold.")

            @hookimpl
            def register_settings() -> type[BaseModel]:
                return DepthSettings
        """
        raise NotImplementedError

    @hookspec
    def register_feeds(self, ctx: PluginContext[Any]) -> Iterable[Feed]:
        """Market data. Each feed is a sans-I/O state machine (`spi.Feed`).

        Called: once, after all settings are valid, before the engine sees it.
        Order: the catalogue's; feeds start in it.
        An exception: the start fails, naming the plugin's distribution.

        Example:
            @hookimpl
            def register_feeds(ctx: PluginContext[KrakenSettings]) -> list[Feed]:
                return [KrakenFeed(ctx.settings)]
        """
        raise NotImplementedError

    @hookspec
    def register_fee_sources(self, ctx: PluginContext[Any]) -> Iterable[FeeSource]:
        """Where a desk's fees come from. The first in the catalogue's order that has an answer is used.

        Called: once, after all settings are valid. Order: the catalogue's. An exception: the start fails,
        naming the plugin's distribution. A source that is not configured does not raise here but in
        `snapshot`.

        Example:
            @hookimpl
            def register_fee_sources(ctx: PluginContext[KrakenSettings]) -> list[FeeSource]:
                return [KrakenFees(ctx.settings)]
        """
        raise NotImplementedError

    @hookspec
    def register_detectors(self, ctx: PluginContext[Any]) -> Iterable[Detector]:
        """What finds candidates. Called on every message: it counts in microseconds (`spi.Detector`).

        Called: once, after all settings are valid, before the engine sees it.
        Order: the catalogue's; on one message detectors are called in it.
        An exception: the start fails, naming the plugin's distribution.

        Example:
            @hookimpl
            def register_detectors(ctx: PluginContext[NoSettings]) -> list[Detector]:
                return [TriangularDetector()]
        """
        raise NotImplementedError

    @hookspec
    def register_risk_checks(self, ctx: PluginContext[Any]) -> Iterable[RiskCheck]:
        """What may refuse a plan. A check never makes a plan larger and never approves on its own.

        Called: once, after all settings are valid.
        Order: the catalogue's, the core's first; the gate stops at the first refusal.
        An exception: the plugin is not used, and the start fails when the check is required. (A check that
        raises later refuses, everything, until its plugin is disabled or enabled anew.)

        Example:
            @hookimpl
            def register_risk_checks(ctx: PluginContext[DepthSettings]) -> list[RiskCheck]:
                return [MinimumDepth(ctx.settings.min_depth_levels)]
        """
        raise NotImplementedError

    @hookspec
    def register_executors(self, ctx: PluginContext[Any]) -> Iterable[Executor]:
        """What carries plans out. The first in the catalogue's order that takes a plan's kind gets it.

        Called: once, after all settings are valid.
        Order: the catalogue's.
        An exception: the start fails, naming the plugin's distribution.

        Example:
            @hookimpl
            def register_executors(ctx: PluginContext[NoSettings]) -> list[Executor]:
                return [MyExecutor()]
        """
        raise NotImplementedError

    @hookspec
    def register_notifiers(self, ctx: PluginContext[Any]) -> Iterable[Notifier]:
        """What tells people. Every notifier gets every alert, outside the engine; none can hold up trading.

        Called: once, after all settings are valid.
        Order: the catalogue's.
        An exception: the start fails, naming the plugin's distribution.

        Example:
            @hookimpl
            def register_notifiers(ctx: PluginContext[NoSettings]) -> list[Notifier]:
                return [Doorbell()]
        """
        raise NotImplementedError

    @hookspec
    def register_venues(self, ctx: PluginContext[Any]) -> Iterable[VenueKind]:
        """Where orders can go. `trading.venue` names the one that is used; each desk opens one of its own.

        Called: once, before the engine is built. Order: the catalogue's. An exception: the plugin is not used,
        and the error names its distribution.

        Example:
            @hookimpl
            def register_venues(ctx: PluginContext[NoSettings]) -> list[VenueKind]:
                return [InstantVenue()]
        """
        raise NotImplementedError

    @hookspec
    def register_panels(self, ctx: PluginContext[Any]) -> Iterable[Panel]:
        """What the plugin shows of itself: facts and tables, which every surface draws in its own way.

        Called: once, after the objects of the other hooks were made. Order: the catalogue's. An exception: the
        plugin is not used. A panel that raises later shows its error in its place, and nothing else suffers.

        Example:
            @hookimpl
            def register_panels(ctx: PluginContext[DepthSettings]) -> list[Panel]:
                return [DepthPanel(ctx.shared["check"])]
        """
        raise NotImplementedError

    @hookspec
    def register_services(self, ctx: PluginContext[Any]) -> Iterable[Service]:
        """What runs beside trading: a web page, a sender of messages. `Service.run` is an async context manager.

        Called: once, after the objects of the other hooks were made. Order: the catalogue's; services start in it,
        before the feeds connect, and end in reverse, after the last plan. An exception: the plugin is not used. A
        service that cannot start is quarantined with an alert; trading starts without it.

        Example:
            @hookimpl
            def register_services(ctx: PluginContext[NoSettings]) -> list[Service]:
                return [Heartbeat()]
        """
        raise NotImplementedError

    @hookspec
    def register_migrations(self) -> Traversable | None:
        """The folder of the plugin's own SQL files, `0001_words.sql` and so on, run in its schema `plugin_<name>`.

        Called: once, after all settings are valid and before anything is registered. Order: the catalogue's, the
        core's tables being there already. An exception: as when a file fails, that plugin alone is out of use, with an
        alert, and nothing of the file was applied.

        Example:
            @hookimpl
            def register_migrations() -> Traversable:
                return files("arbitrade_depth") / "migrations"
        """
        raise NotImplementedError


HOOKS: tuple[str, ...] = tuple(name for name in vars(HookSpecs) if name.startswith("register_"))
"""Names of all hooks, in the order of `HookSpecs`."""


# --- doctor -------------------------------------------------------------------------------------------------


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `arbitrade doctor`."""

    grade: Grade
    what: str
    """what was looked at: `kraken: REST`"""
    detail: str
    """what was seen, with figures"""
    remedy: str = ""
    """what to do, when something is wrong"""
    round_trip_ms: float | None = None
    """measured to the exchange; the core compares it with the configured latency"""


type Doctor = Callable[[PluginContext[Any]], AsyncIterable[Finding]]
"""A plugin module may offer `doctor(ctx)`, an async generator; it is no hook, since nothing is registered."""
