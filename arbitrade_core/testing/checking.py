"""Contracts of what is installed: a distribution's plugins imported, their objects made, every rule run.

No pytest is needed, and it does not matter whether the plugins are enabled. Objects are made through the hooks, anew
for each rule, with the settings in force and whatever is given on top of them.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ValidationError

from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.hooks import NoSettings, PluginContext
from arbitrade_core.plugins import CORE, EXPERIMENTAL_GROUP, GROUP, Imported, import_plugin
from arbitrade_core.registry import Registered, Registry, new_relay
from arbitrade_core.settings import CoreSettings, Given, read_environment, variables
from arbitrade_core.settings.environment import NESTED, PREFIX, values_for
from arbitrade_core.testing.contracts import (
    Contract,
    DetectorContract,
    ExecutorContract,
    FeedContract,
    NotifierContract,
    Result,
    RiskCheckContract,
    VenueContract,
    Verdict,
    examine,
)
from arbitrade_core.testing.contracts.detector import digest

_MODULE = "arbitrade_core.testing.checking"
_ELSEWHERE_S = 60
_KINDS: Mapping[type[Contract[Any]], Callable[[Registry], Sequence[Registered[Any]]]] = {
    FeedContract: Registry.feeds,
    DetectorContract: Registry.detectors,
    RiskCheckContract: Registry.risk_checks,
    ExecutorContract: Registry.executors,
    VenueContract: Registry.venues,
    NotifierContract: Registry.notifiers,
}


@dataclass(frozen=True, slots=True)
class Examined:
    """One object and what became of each rule of its kind."""

    plugin: str
    kind: str
    name: str
    results: tuple[Result, ...]

    @property
    def failed(self) -> bool:
        return any(result.verdict is Verdict.FAILED for result in self.results)


@dataclass(frozen=True, slots=True)
class Found:
    """One plugin of a distribution, imported."""

    distribution: str
    version: str
    name: str
    imported: Imported
    settings: BaseModel
    core: CoreSettings

    def registry(self) -> Registry:
        """Its hooks, on a context of their own: nothing is shared with objects made before."""
        relay = new_relay()
        relay.register(self.imported.module, self.name)
        trading = self.core.trading
        ctx = PluginContext(self.name, self.settings, trading.valuation_asset, trading.start_assets)
        return Registry(relay, {self.name: ctx}, {self.name: f"{self.distribution} {self.version}"})


def check_distribution(distribution: str, sets: Sequence[str] = (), *, judges_cost: bool = False) -> Iterator[Examined]:
    """Run the contracts of everything that the distribution's plugins register, one object after the other.

    Args:
        sets: `field=value`, `section.field=value`; for one of several plugins `plugin:field=value`.
        judges_cost: let budgets fail, not only tell.

    Raises:
        PluginError: it is not installed, has no plugin, or one cannot be imported or registered.
        SettingsError: the settings in force do not make its objects.
    """
    for found in plugins_of(distribution, sets):
        for contract, hook in _KINDS.items():
            for one in hook(found.registry()):
                name = str(one.thing.name)
                checked = _contract(contract, hook, found, name, sets, judges_cost)
                yield Examined(found.name, contract.KIND, name, tuple(examine(checked)))


def plugins_of(distribution: str, sets: Sequence[str] = (), *, only: str | None = None) -> list[Found]:
    """Import the distribution's plugins, or `only` one of them. Raises as `check_distribution` says."""
    points = [point for group in (GROUP, EXPERIMENTAL_GROUP) for point in metadata.entry_points(group=group)]
    mine = [point for point in points if point.dist and _same(point.dist.name, distribution)]
    if not mine:
        known = sorted({point.dist.name for point in points if point.dist})
        raise PluginError(
            f"no installed distribution {distribution!r} brings a plugin (entry-point group {GROUP!r}). "
            f"Those that do: {', '.join(known)}"
        )
    alone = len(mine) == 1
    wanted = sorted((point for point in mine if only in (None, point.name)), key=lambda point: point.name)
    return [_found(point, sets, alone) for point in wanted]


def _found(point: metadata.EntryPoint, sets: Sequence[str], alone: bool) -> Found:
    assert point.dist is not None
    imported = import_plugin(point, f"plugin {point.name!r} ({point.dist.name} {point.dist.version})")
    given = read_environment()
    own = [_of_plugin(text, point.name, alone) for text in sets]
    mine = [text for text in own if text is not None]
    core = _made(CoreSettings, "core", (), _with(given, mine if point.name == CORE else [], CoreSettings, ()))
    settings: BaseModel = core if point.name == CORE else NoSettings()
    if imported.model is not None:
        path = (point.name,)
        settings = _made(imported.model, point.name, path, _with(given, mine, imported.model, path))
    elif mine and point.name != CORE:
        raise SettingsError([f"plugin {point.name!r} has no settings, so {mine[0]!r} cannot be set"])
    return Found(point.dist.name, point.dist.version, point.name, imported, settings, core)


def _of_plugin(text: str, plugin: str, alone: bool) -> str | None:
    """The setting without its plugin; None: it is another plugin's."""
    field = text.partition("=")[0]
    if ":" in field:
        owner, _, rest = text.partition(":")
        return rest if owner == plugin else None
    if not alone:
        raise SettingsError([f"{text!r} does not say of which plugin; write {plugin}:{text}"])
    return text


def _with(given: Given, sets: Sequence[str], model: type[BaseModel], path: tuple[str, ...]) -> Given:
    """The environment, and `sets` above it: both are read by the same rules."""
    known = {".".join(variable.path[len(path) :]): variable.name for variable in variables(model, path)}
    values, origins = dict(given.values), dict(given.origins)
    for text in sets:
        field, equals, value = text.partition("=")
        if not equals or field not in known:
            raise SettingsError([f"--set {text!r}: write field=value. Fields: {', '.join(known) or 'none'}."])
        values[known[field]], origins[known[field]] = value, "--set"
    return replace(given, values=values, origins=origins)


def _made[M: BaseModel](model: type[M], name: str, path: tuple[str, ...], given: Given) -> M:
    try:
        return model(**values_for(model, given, path))
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False, include_input=False):
            field = ".".join(str(step) for step in detail["loc"])
            variable = PREFIX + NESTED.join([*path, *map(str, detail["loc"])]).upper()
            problems.append(
                f"plugin {name!r}: {field}: {detail['msg']}. Give it with --set {field}=VALUE or {variable}."
            )
        raise SettingsError(problems) from None  # the cause would show values, which may be secret


def _contract(  # noqa: PLR0917 - what a rule's object is made from
    contract: type[Contract[Any]],
    hook: Callable[[Registry], Sequence[Registered[Any]]],
    found: Found,
    name: str,
    sets: Sequence[str],
    judges_cost: bool,
) -> Contract[Any]:
    def make(_: Contract[Any]) -> Any:
        return next(one.thing for one in hook(found.registry()) if one.thing.name == name)

    def elsewhere(_: Contract[Any], hash_seed: int) -> str:
        return _digest_elsewhere(found, name, sets, hash_seed)

    body = {"make": make, "elsewhere": elsewhere, "judges_cost": judges_cost, "__doc__": contract.__doc__}
    checked: Contract[Any] = type(f"Checked{contract.__name__}", (contract,), body)()
    return checked


# --- a detector in a process with another PYTHONHASHSEED -------------------------------------------------------


def _digest_elsewhere(found: Found, name: str, sets: Sequence[str], hash_seed: int) -> str:
    ran = subprocess.run(  # noqa: S603 - this interpreter, this module
        [sys.executable, "-m", _MODULE, found.distribution, found.name, name, *sets],
        capture_output=True,
        text=True,
        timeout=_ELSEWHERE_S,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if ran.returncode:
        raise PluginError(f"in a process of its own it failed: {ran.stderr.strip().rpartition(chr(10))[2]}")
    return ran.stdout.strip()


def main(distribution: str, plugin: str, name: str, *sets: str) -> None:
    (found,) = plugins_of(distribution, sets, only=plugin)
    detector = next(one.thing for one in found.registry().detectors() if one.thing.name == name)
    sys.stdout.write(hashlib.sha256(digest(detector).encode()).hexdigest() + "\n")


def _same(one: str, other: str) -> bool:
    """Names of distributions as package indexes compare them."""
    return one.lower().replace("_", "-").replace(".", "-") == other.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    main(*sys.argv[1:])
