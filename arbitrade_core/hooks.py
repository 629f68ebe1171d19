"""The hooks of a plugin: it registers objects once, at the start, and the engine calls the objects.

A plugin is a module named in the entry-point group `arbitrade.plugins`. It declares the API it was written
for and implements the hooks it needs:

    from arbitrade_core.hooks import PluginContext, hookimpl

    ARBITRADE_API = 1

    @hookimpl
    def register_detectors(ctx: PluginContext[MySettings]) -> list[Detector]:
        return [MyDetector(ctx.settings)]

Nothing on the hot path is a hook call. `HookSpecs` is the reference of all hooks, `Registry` the typed way
to call them. What the registered objects must look like stands in `arbitrade_core.spi`.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pluggy import HookimplMarker, HookspecMarker, PluginManager
from pydantic import BaseModel

from arbitrade_core.domain import FeeSnapshot, Ns, Pair
from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.spi import Detector, Executor, Feed, Notifier, RiskCheck

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


class FeeSource(Protocol):
    """Where the fees of an account come from."""

    def snapshot(self, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        """The fees in force.

        Raises:
            SettingsError: nothing says what the fees are; the message says how to configure it. There are no
                default fees: without a snapshot nothing trades (TRADING 7).
        """
        ...


class HookSpecs:
    """Every hook. Each is called once at the start, for one plugin after the other in catalogue order."""

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

        Called: once, after all settings are valid, before the engine is built.
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

        Called: once, after all settings are valid, before the engine is built.
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
        An exception: the start fails, naming the plugin's distribution. (A check that raises later refuses.)

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


# --- calling ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registered[T]:
    """An object and the plugin it came from: what to quarantine when it misbehaves."""

    plugin: str
    thing: T


def new_relay() -> PluginManager:
    """A relay that knows the hooks and no plugin."""
    relay = PluginManager(PROJECT)
    relay.add_hookspecs(HookSpecs)
    return relay


class Registry:
    """The hooks with types: each method calls one hook for every plugin and returns what came back, in order.

    Every method raises PluginError, naming plugin and distribution, when a hook raises, returns something
    else than it should, or two objects of one kind have the same name.
    """

    def __init__(
        self,
        relay: PluginManager,
        contexts: Mapping[str, PluginContext[Any]],
        distributions: Mapping[str, str],
    ) -> None:
        """Both by plugin name: `contexts` in the catalogue's order, `distributions` for messages."""
        self._relay = relay
        self._contexts = contexts
        self._distributions = distributions

    def feeds(self) -> list[Registered[Feed]]:
        return self._named("register_feeds")

    def fee_sources(self) -> list[Registered[FeeSource]]:
        return self._called("register_fee_sources", required="snapshot")

    def detectors(self) -> list[Registered[Detector]]:
        return self._named("register_detectors")

    def risk_checks(self) -> list[Registered[RiskCheck]]:
        return self._named("register_risk_checks")

    def executors(self) -> list[Registered[Executor]]:
        return self._named("register_executors")

    def notifiers(self) -> list[Registered[Notifier]]:
        return self._named("register_notifiers")

    def _named(self, hook: str) -> list[Registered[Any]]:
        registered = self._called(hook, required="name")
        owners: dict[str, str] = {}
        for one in registered:
            name = one.thing.name
            if name in owners:
                raise PluginError(
                    f"{hook}: {self._who(one.plugin)} and {self._who(owners[name])} both register {name!r}; "
                    f"disable one of them, or rename its object"
                )
            owners[name] = one.plugin
        return registered

    def _called(self, hook: str, required: str) -> list[Registered[Any]]:
        registered: list[Registered[Any]] = []
        for plugin, context in self._contexts.items():
            for result in call_one(self._relay, hook, plugin, self._who(plugin), ctx=context):
                if isinstance(result, str | bytes) or not isinstance(result, Iterable):
                    raise PluginError(
                        f"{hook} of {self._who(plugin)} returned {result!r}; it must return a list of objects"
                    )
                for thing in result:
                    if not hasattr(thing, required):
                        raise PluginError(
                            f"{hook} of {self._who(plugin)} returned {thing!r}, which has no `{required}`; "
                            f"see arbitrade_core.spi for what it must look like"
                        )
                    registered.append(Registered(plugin, thing))
        return registered

    def _who(self, plugin: str) -> str:
        return f"plugin {plugin!r} ({self._distributions[plugin]})"


def call_one(relay: PluginManager, hook: str, plugin: str, who: str, **arguments: object) -> list[Any]:
    """Call `hook` of one plugin alone.

    Raises:
        PluginError: the hook raised; a SettingsError stays one, with the plugin named in each line.
    """
    others = [module for name, module in relay.list_name_plugin() if name != plugin]
    caller = relay.subset_hook_caller(hook, others)
    try:
        return list(caller(**arguments))
    except SettingsError as error:
        raise SettingsError([f"{who}: {problem}" for problem in error.problems]) from error
    except Exception as error:
        raise PluginError(f"{hook} of {who} failed: {type(error).__name__}: {error}") from error
