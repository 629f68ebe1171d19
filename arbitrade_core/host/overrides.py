"""Changes overrides of settings: all of a change or nothing, checked with everything else, in force now or at a start.

A running bot does it itself, since it knows what pins its settings and takes some of them at once. Where none runs, the
change is checked and written here, to the journal stream that the bot will go on with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from arbitrade_core.clock import WallClock
from arbitrade_core.composition import Overrides, overrides
from arbitrade_core.control import NotRunning, Verbs, call
from arbitrade_core.engine import SYSTEM_STREAM
from arbitrade_core.errors import ControlError, SettingsError
from arbitrade_core.events import Input, PairsEnabled, SettingsChanged, StartAssets, Thresholds
from arbitrade_core.host.offline import taken
from arbitrade_core.plugins import Toggle, load_catalogue
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.settings import CoreSettings, Given, Settings, TradingSettings, Variable, variables
from arbitrade_core.settings.changeable import find, suggestion, variable_named, why_not
from arbitrade_core.settings.environment import below_environment
from arbitrade_core.settings.shadows import shadow_cores
from arbitrade_core.shell import Shell
from arbitrade_core.storage.connect import DEMO_DATABASE, Database, open_database
from arbitrade_core.storage.migrations import core_migrations, migrate
from arbitrade_core.storage.overrides import Change, Kept, Version, add, newest, one
from arbitrade_core.storage.system_state import system_state

AT_ONCE = ("start_assets", "pairs", "margin_bps", "min_edge_bps", "min_profit_valued")
"""Of the section `trading`: what the engine has an input for. Everything else takes effect at a start."""


class Applied(msgspec.Struct, frozen=True):
    """What became of a change. When anything of it is refused, nothing is changed."""

    version: int
    """the newest now; 0: nothing was ever overridden"""
    changed: bool = False
    now: tuple[str, ...] = ()
    """variables whose new values the running bot has"""
    later: tuple[str, ...] = ()
    """variables that change at the next start"""
    refused: dict[str, str] = {}
    """by name as it was asked for: why not, in a sentence"""


class Asked(msgspec.Struct, frozen=True):
    """A change: `changes` to make, or the version to go back to, 0 for the time before the first."""

    changes: Mapping[str, str | None] = {}
    """by variable or `section.setting`; None takes an override away"""
    revert: int | None = None
    reason: str = ""


async def apply(
    core: CoreSettings, changes: Mapping[str, str | None], actor: str, reason: str, demo: bool = False
) -> Applied:
    """Override settings, by variable or `section.setting`; None takes an override away.

    Raises:
        ArbitradeError: database or settings are in trouble, whatever is changed. What is wrong with the change itself
            is `refused`.
    """
    return await _ask(core, Asked(dict(changes), None, reason), actor, demo)


async def revert(core: CoreSettings, version: int, actor: str, reason: str, demo: bool = False) -> Applied:
    """Have exactly the overrides of that version again, as a new version. Raises as `apply`."""
    return await _ask(core, Asked({}, version, reason), actor, demo)


async def _ask(core: CoreSettings, asked: Asked, actor: str, demo: bool) -> Applied:
    try:
        answer = await call(core, "settings.change", msgspec.to_builtins(asked), demo=demo, by=actor)
    except NotRunning:
        async with open_database(core.database, core.data_path, DEMO_DATABASE if demo else None) as database:
            await migrate(database, core_migrations())
            return await change_offline(database, asked, actor)
    return msgspec.convert(answer, Applied)


async def change_offline(database: Database, asked: Asked, actor: str) -> Applied:
    """Everything takes effect at the next start. Raises StorageError while a bot writes the system stream."""
    async with taken(database, SYSTEM_STREAM) as write, database.pool(size=1) as pool:
        kept = await newest(pool)
        toggles = (await system_state(pool, SYSTEM_STREAM)).toggles
        plan = planned(kept, await _resolved(pool, asked), toggles)
        if plan.refused or not plan.changes:
            return Applied(kept.version, refused=plan.refused)
        version = plan.version(WallClock()(), actor, asked.reason)
        await add(pool, version)
        about = {"version": version.version, "actor": actor, "reason": version.reason}
        await write("settings_changed", {**about, "changes": msgspec.to_builtins(version.changes)})
    return Applied(version.version, changed=True, later=tuple(sorted(plan.changes)))


# --- what a change comes to -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    changes: Mapping[str, str | None]
    back: Kept | None = None
    """a version to go back to, instead"""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A change that was checked."""

    kept: Kept
    """as it will be"""
    changes: Mapping[str, Change]
    refused: dict[str, str]
    after: Overrides
    """what will be in force"""
    reason: str = ""

    def version(self, at_ns: int, actor: str, reason: str) -> Version:
        return Version(
            version=self.kept.version,
            at_ns=at_ns,
            actor=actor,
            reason=reason or self.reason,
            changes=dict(self.changes),
            values=self.kept.values,
        )


async def _resolved(pool: Any, asked: Asked) -> Wanted:
    """Raises ControlError when there is no such version to go back to."""
    if asked.revert is None:
        return Wanted(asked.changes)
    back = await one(pool, asked.revert)
    if back is None and asked.revert != 0:
        raise ControlError(f"there is no version {asked.revert} of settings; see `arbitrade settings history`")
    return Wanted({}, Kept() if back is None else Kept(back.version, back.values), f"back to version {asked.revert}")


def planned(kept: Kept, wanted: Wanted, toggles: Mapping[str, Toggle]) -> Plan:
    """Check it with everything else: the environment, the other overrides, the plugins in use. Takes a while.

    Raises:
        SettingsError: the settings are wrong whatever is changed.
    """
    table, given, idle = _known(toggles)
    if wanted.back is not None:
        # What the environment pins may be gone back to: it shows once the environment is silent.
        texts: dict[str, str | None] = {name: wanted.back.values.get(name) for name in kept.values}
        texts |= wanted.back.values
        asked_as = {name: name for name in texts}
        refused: dict[str, str] = {}
    else:
        texts, asked_as, refused = _named(wanted.changes, kept, table, idle, given)
    changes = {
        name: Change(kept.values.get(name), text) for name, text in texts.items() if text != kept.values.get(name)
    }
    if not changes:
        return Plan(kept, changes, refused, Overrides(kept))
    fresh = kept.after(changes)
    after = overrides(fresh, toggles)
    if after.problems:
        raise SettingsError(list(after.problems))
    before = overrides(kept, toggles).wrong if after.wrong else {}
    for name, why in after.wrong.items():
        if name in changes or name not in before:
            refused[asked_as.get(name, name)] = why
    return Plan(fresh, changes, refused, after, wanted.reason)


def _known(toggles: Mapping[str, Toggle]) -> tuple[list[Variable], Given, set[str]]:
    """Every variable there is, what the environment says, and the names of plugins whose settings are not known."""
    catalogue = load_catalogue(toggles)
    table = [*variables(CoreSettings)]
    for name, model in catalogue.models.items():
        table += variables(model, (name,))
    idle = {entry.name for entry in catalogue.entries} - {entry.name for entry in catalogue.enabled()}
    return table, catalogue.given, idle


def _named(
    asked: Mapping[str, str | None],
    kept: Kept,
    table: list[Variable],
    idle: set[str],
    given: Given,
) -> tuple[dict[str, str | None], dict[str, str], dict[str, str]]:
    """Texts by variable, what each was asked for as, and what is refused."""
    texts: dict[str, str | None] = {}
    asked_as: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, value in asked.items():
        text = None if value is None else value.strip()
        variable = find(name, table)
        # One whose setting is gone can be taken away all the same, by its variable.
        known = variable.name if variable is not None else variable_named(name)
        why = None
        if variable is None and not (text is None and known in kept.values):
            why = _unknown(name, table, idle)
        elif variable is not None and text is not None:
            why = why_not(variable)
            if why is None and not text:
                why = f"{known} is given nothing; write a value, or `arbitrade settings unset {known}`"
            if why is None and given.pins(known):
                why = f"{known} is pinned by {_place(given.origins[known])}; change it there, or unset it there first"
        if why is None and known in texts:
            why = f"{known} is named twice, as {asked_as[known]} and as {name}; name it once"
        if why is None:
            texts[known], asked_as[known] = text, name
        else:
            refused[name] = why
    return texts, asked_as, refused


def _place(origin: str) -> str:
    return "the environment" if origin == "environment" else origin


def _unknown(name: str, table: list[Variable], idle: set[str]) -> str:
    section = name.strip().lower().removeprefix("arbitrade_").replace("__", ".").partition(".")[0]
    if section in idle:
        return f"{name} belongs to plugin {section!r}, whose settings are not known while it is out of use; enable it"
    return f"{name} is not a setting: {suggestion(name, table)}"


# --- a running bot --------------------------------------------------------------------------------------------


class RunningSettings:
    """The overrides of a running bot. All methods are called on the trading loop; changes are made one at a time."""

    def __init__(self, setup: Setup, shell: Shell, database: Database, started: Overrides) -> None:
        self._setup = setup
        self._shell = shell
        self._database = database
        self._below = started.below
        self._wrong = dict(started.wrong)
        self._version = started.kept.version
        self._touched: set[str] = set()
        """variables that were changed since the start"""
        self._lock = anyio.Lock()

    async def change(self, asked: Asked, actor: str) -> Applied:
        """Make it, journal it, and take at once what can be.

        Raises:
            ArbitradeError: as `apply`; nothing changed.
        """
        async with self._lock, self._database.pool(size=1) as pool:
            kept = await newest(pool)
            wanted = await _resolved(pool, asked)
            # Plugins are registered once more to see that they take it: beside the trading loop, not on it.
            plan = await anyio.to_thread.run_sync(partial(planned, kept, wanted, self._toggles()))
            if plan.refused or not plan.changes:
                return Applied(kept.version, refused=plan.refused)
            with below_environment(plan.after.below):
                fresh = self._setup.catalogue.settings()
            clock = self._shell.clock
            version = plan.version(clock(), actor, asked.reason)
            await add(pool, version)
            self._version, self._wrong = version.version, dict(plan.after.wrong)
            self._below.values, self._below.origins = plan.after.below.values, plan.after.below.origins
            self._touched |= plan.changes.keys()
            changes = {name: (change.was, change.to) for name, change in plan.changes.items()}
            self._shell.take(SettingsChanged(version.version, actor, version.reason, changes, clock()))
            self._take(fresh)
            later = self._pending(fresh) & plan.changes.keys()
            now = plan.changes.keys() - later
            return Applied(version.version, changed=True, now=tuple(sorted(now)), later=tuple(sorted(later)))

    def view(self) -> dict[str, Any]:
        """What lists want to know of it: JSON-able."""
        pending = sorted(self._pending(self._setup.catalogue.settings())) if self._touched else []
        return {"version": self._version, "pending": pending, "wrong": self._wrong}

    def _toggles(self) -> dict[str, Toggle]:
        return {entry.name: Toggle(entry.state) for entry in self._setup.catalogue.entries}

    def _take(self, fresh: Settings) -> None:
        """The engine hears of what it has an input for; desks that differ by a shadow's settings keep differing."""
        setup, now = self._setup, self._shell.clock
        main_id = next(iter(setup.desks))
        shadows = {f"{main_id}-{name}": core for name, core in shadow_cores(fresh.core).items()}
        inputs: list[Input] = []
        main = _with_trading(setup.settings, fresh.core.trading)
        desks: dict[str, Settings] = {}
        for desk_id, was in setup.desks.items():
            core = shadows.get(desk_id, fresh.core)
            desks[desk_id] = main if was is setup.settings else _with_trading(was, core.trading)
            inputs += _inputs(desk_id, was.core.trading, desks[desk_id].core.trading, now())
        if main.core.trading.pairs != setup.settings.core.trading.pairs:
            pairs = main.core.trading.pairs
            inputs.append(PairsEnabled(None if pairs is None else frozenset(pairs), now()))
        setup.settings, setup.desks = main, desks
        for event in inputs:
            self._shell.take(event)

    def _pending(self, fresh: Settings) -> set[str]:
        """Variables that were changed and are otherwise in the running bot."""
        running = self._setup.settings
        known = set(running.variables)
        return {
            variable.name
            for variable in fresh.variables
            if variable.name in self._touched
            and (variable not in known or running.value(variable) != fresh.value(variable))
        }


def _with_trading(settings: Settings, fresh: TradingSettings) -> Settings:
    """With those settings of the section that take effect at once."""
    trading = settings.core.trading
    taken_now = trading.model_copy(update={name: getattr(fresh, name) for name in AT_ONCE})
    return replace(settings, core=settings.core.model_copy(update={"trading": taken_now}))


def _inputs(desk_id: str, was: TradingSettings, fresh: TradingSettings, now: int) -> list[Input]:
    inputs: list[Input] = []
    if fresh.start_assets != was.start_assets:
        inputs.append(StartAssets(desk_id, fresh.start_assets, now))
    thresholds = (fresh.min_edge_bps, fresh.margin_bps, fresh.min_profit_valued)
    if thresholds != (was.min_edge_bps, was.margin_bps, was.min_profit_valued):
        inputs.append(Thresholds(desk_id, *thresholds, now))
    return inputs


def offer_settings_verbs(verbs: Verbs, settings: RunningSettings) -> None:
    """`settings.change` and `settings.overrides`."""

    async def change(parameters: Mapping[str, Any], actor: str) -> Any:
        try:
            asked = msgspec.convert(dict(parameters), Asked)
        except msgspec.ValidationError as error:
            raise ControlError(f"not a change of settings: {error}") from error
        return msgspec.to_builtins(await settings.change(asked, actor))

    async def view(parameters: Mapping[str, Any], actor: str) -> Any:  # noqa: ARG001 - as `services.Verb` says
        return settings.view()

    verbs.offer("settings.change", change)
    verbs.offer("settings.overrides", view)
