"""What a process is made of: plugins and settings loaded, the engine put together from them. No mode is known here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Ns
from arbitrade_core.engine import Engine
from arbitrade_core.errors import ArbitradeError, SettingsError
from arbitrade_core.journal import Stream
from arbitrade_core.market import Market
from arbitrade_core.parts import Parts
from arbitrade_core.planning import DeskTerms, base36
from arbitrade_core.plugins import Catalogue, Entry, State, Toggle, load_catalogue
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.pricing import Terms
from arbitrade_core.recovery import Recovered
from arbitrade_core.registry import Registry
from arbitrade_core.risk.checks import required_checks
from arbitrade_core.risk.gate import Gate
from arbitrade_core.settings import CoreSettings, Settings, load_settings
from arbitrade_core.settings.changeable import sift
from arbitrade_core.settings.environment import Below, below_environment
from arbitrade_core.settings.shadows import shadow_cores
from arbitrade_core.spi import Executor, Feed
from arbitrade_core.storage.overrides import Kept
from arbitrade_core.subledgers import Ledgers

_log = structlog.get_logger(__name__)

VERIFIED_LEVELS = 10
"""What a book's checksum covers: pricing walks no deeper."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Plugins imported, settings valid."""

    catalogue: Catalogue
    settings: Settings

    @property
    def core(self) -> CoreSettings:
        return self.settings.core

    @property
    def registry(self) -> Registry:
        return self.catalogue.registry(self.settings)

    def adjusted(self, plugin: str, **values: Any) -> "Loaded":
        """The same with other values in one plugin's section, as the demo needs them."""
        sections = dict(self.settings.sections)
        section = sections[plugin]
        sections[plugin] = type(section).model_validate({**section.model_dump(), **values})
        return replace(self, settings=replace(self.settings, sections=sections))

    def setup(self, desk_id: str) -> Setup:
        """The main desk and its shadows, nothing registered yet. Raises SettingsError for a wrong shadow."""
        cores = shadow_cores(self.core)
        desks = {desk_id: self.settings} | {
            f"{desk_id}-{name}": replace(self.settings, core=core) for name, core in cores.items()
        }
        return Setup(self.catalogue, self.settings, desks)


def load(toggles: Mapping[str, Toggle] | None = None) -> Loaded:
    """Find and import plugins, validate all settings. Raises PluginError or SettingsError with every problem."""
    catalogue = load_catalogue(toggles)
    settings = catalogue.settings()
    shadow_cores(settings.core)
    catalogue.require_sound()
    return Loaded(catalogue, settings)


def core_settings() -> CoreSettings:
    """The core's own settings, before any plugin is imported.

    Raises:
        SettingsError: they are wrong; what is wrong with the plugins' is told along with it.
    """
    try:
        return load_settings({}, None).core
    except SettingsError:
        load_catalogue().settings()
        raise


# --- setting overrides ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Overrides:
    """Setting overrides of a database, as far as they can be in force here."""

    kept: Kept = field(default_factory=Kept)
    below: Below = field(default_factory=lambda: Below({}, {}))
    """those in force; a running bot puts others in"""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """by variable: why one is left out"""
    problems: Sequence[str] = ()
    """what is wrong with the settings whatever is overridden"""


def overrides(kept: Kept, toggles: Mapping[str, Toggle] | None = None) -> Overrides:
    """Left out is what would keep a bot from being put together: a setting that is gone, a value that is wrong."""

    def problems(values: Mapping[str, str]) -> list[str]:
        with below_environment(_below(kept, values)):
            return unsound(toggles)

    sound, wrong, besides = sift(kept.values, problems) if kept.values else ({}, {}, [])
    return Overrides(kept, _below(kept, sound), wrong, besides)


@contextmanager
def overriding(kept: Kept, toggles: Mapping[str, Toggle] | None = None) -> Iterator[Overrides]:
    """Inside, settings are read with these overrides below the environment, those that are wrong left out."""
    found = overrides(kept, toggles)
    with below_environment(found.below):
        yield found


def unsound(toggles: Mapping[str, Toggle] | None = None) -> list[str]:
    """What keeps a bot from being put together of plugins and settings as they are read now, in words."""
    try:
        setup = load(toggles).setup(_TRIAL)
        setup.register_all()
        compose(setup, now=0, system=_TRIAL, past=Past())
    except SettingsError as error:
        return error.problems
    except ArbitradeError as error:
        return [str(error)]
    return []


def _below(kept: Kept, values: Mapping[str, str]) -> Below:
    return Below(values, {name: f"override v{kept.since[name]}" for name in values})


_TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of earlier runs."""

    desks: Mapping[str, Recovered] = field(default_factory=dict)
    last_seq: Mapping[str, int] = field(default_factory=dict)
    toggles: Mapping[str, Toggle] = field(default_factory=dict)


def compose(
    setup: Setup,
    *,
    now: Ns,
    system: str,
    past: Past,
    halted: str | None = None,
    epochs: Callable[[int], str] | None = None,
    carry_all: bool = False,
) -> Engine:
    """The engine with everything the enabled plugins registered, and a desk for each settings there are.

    `epochs` gives what the plan ids of a desk begin with, by its number; not given: something new every time.
    `carry_all` is `Engine`'s.
    """
    feeds = [feed for parts in setup.parts.values() for feed in parts.feeds]
    if not feeds and not _in_trouble(setup.catalogue.entries):
        raise SettingsError(["no plugin registers a feed, so there is no market data; enable one (ARBITRADE_PLUGINS)"])
    epoch = epochs or (lambda number: base36(now // 1_000_000 + number))
    desks = [
        _desk(setup, desk_id, settings, epoch(number), past)
        for number, (desk_id, settings) in enumerate(setup.desks.items())
    ]
    return Engine(
        market=Market(_deepest(feeds)),
        parts=setup.parts,
        desks=desks,
        system=Stream(system, past.last_seq.get(system, 0)),
        halted=halted,
        carry_all=carry_all,
    )


def _desk(setup: Setup, desk_id: str, settings: Settings, epoch: str, past: Past) -> Desk:
    core = settings.core
    kind = setup.venue(desk_id)
    if kind.real:
        raise SettingsError([f"ARBITRADE_TRADING__VENUE is {kind.name!r}, which reaches an exchange. Allowed: paper."])
    executors = own_parts(setup.parts, desk_id, "executors")
    _refuse_unknown(core.execution.executors, executors)
    ledger = Ledgers(desk_id)
    return Desk(
        desk_id=desk_id,
        terms=desk_terms(core),
        balances=core.paper.starting_balances,
        recovered=past.desks.get(desk_id, Recovered()),
        gate=Gate(own_parts(setup.parts, desk_id, "checks"), required_checks(core.risk)),
        executors=executors,
        venue=kind.open(desk_id, ledger.balance),
        ledger=ledger,
        stream=Stream(desk_id, past.last_seq.get(desk_id, 0)),
        epoch=epoch,
    )


def _refuse_unknown(wanted: Mapping[str, str], executors: Sequence[Executor]) -> None:
    problems = []
    for kind, name in wanted.items():
        takers = [executor.name for executor in executors if kind in executor.kinds]
        if name not in takers:
            known = ", ".join(takers) if takers else "nothing: no executor takes that kind"
            problems.append(f"ARBITRADE_EXECUTION__EXECUTORS gives {kind!r} to {name!r}. Allowed: {known}.")
    if problems:
        raise SettingsError(problems)


def own_parts(parts: Mapping[str, Parts], desk_id: str, kind: str) -> list[Any]:
    return [one for theirs in parts.values() for one in getattr(theirs.desks[desk_id], kind)]


def desk_terms(core: CoreSettings) -> DeskTerms:
    trading = core.trading
    return DeskTerms(
        start_assets=trading.start_assets,
        valuation_asset=trading.valuation_asset,
        pricing=Terms(
            margin_bps=trading.margin_bps,
            min_edge_bps=trading.min_edge_bps,
            min_profit=trading.min_profit_valued,
            slippage_bps=trading.slippage_bps,
            fee_buffer_bps=trading.fee_buffer_bps,
            rounding_fills=trading.rounding_fills,
            max_levels=VERIFIED_LEVELS,
        ),
        max_notional_valued=core.risk.max_cycle_notional_valued,
        reserve=core.risk.reserve,
        leg_ban_ns=core.execution.leg_ban_s * 1_000_000_000,
        executors=core.execution.executors,
    )


def _in_trouble(entries: Iterable[Entry]) -> bool:
    """Some plugin is out of use for its own fault: then the bot starts without it, so that it can be enabled anew."""
    return any(entry.state in (State.QUARANTINED, State.FAILED) for entry in entries)


def _deepest(feeds: Sequence[Feed]) -> int:
    return max((getattr(feed, "depth", VERIFIED_LEVELS) for feed in feeds), default=VERIFIED_LEVELS)


type Adjust = Callable[[Loaded], Loaded]
"""Other settings than the operator's, before anything registers: the demo's market is not Kraken."""
