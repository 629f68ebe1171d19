"""The typed way to call the hooks: what every plugin registers, checked, with the plugin it came from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from pluggy import PluginManager

from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.hooks import PROJECT, FeeSource, HookSpecs, PluginContext
from arbitrade_core.panels import Panel
from arbitrade_core.services import Service
from arbitrade_core.spi import Detector, Executor, Feed, Notifier, RiskCheck, VenueKind


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

    def venues(self) -> list[Registered[VenueKind]]:
        return self._named("register_venues")

    def panels(self) -> list[Registered[Panel]]:
        return self._named("register_panels")

    def services(self) -> list[Registered[Service]]:
        return self._named("register_services")

    def migrations(self, plugin: str) -> Traversable | None:
        """The folder of one plugin's migrations; None when it has none."""
        found = call_one(self._relay, "register_migrations", plugin, self._who(plugin))
        if found and not (hasattr(found[0], "iterdir") and hasattr(found[0], "is_dir")):
            raise PluginError(
                f"register_migrations of {self._who(plugin)} returned {found[0]!r}; it must return a folder"
            )
        return found[0] if found else None

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
