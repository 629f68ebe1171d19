"""From a job to an engine: the bot of the job's settings, its feeds listening to a recording, one desk for each wish.

Nothing is read from the environment: a job says all of it. Desks differ in their own sections of the settings and in
their fees; plugins, pairs and detectors are the market's side and the same for all of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import msgspec

from arbitrade_core.composition import Loaded, Past, compose, load
from arbitrade_core.domain import FeeSnapshot, Ns
from arbitrade_core.engine import Engine
from arbitrade_core.errors import SettingsError
from arbitrade_core.money import plain
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.replay.fees import scaled, snapshot_of
from arbitrade_core.replay.job import Fees, JobSpec
from arbitrade_core.replay.results import HEADLINE, UNLIMITED
from arbitrade_core.settings import Settings
from arbitrade_core.settings.environment import as_text, instead_of_environment, parse
from arbitrade_core.settings.overrides import overridden
from arbitrade_core.spi import Feed, Recordable

LATENCIES_MS = (1, 5, 20, 50, 100, 250)
FEE_FACTORS = (Decimal("0"), Decimal("0.25"), Decimal("0.5"), Decimal("0.75"), Decimal("1"))

ORIGIN = "the job"
SYSTEM = "system"


class DeskWish(msgspec.Struct, frozen=True):
    """One desk of a replay."""

    name: str
    settings: dict[str, str] = {}
    """what it has otherwise than the job, by `section.setting`"""
    fees: Fees | None = None
    """None: the job's"""
    detail: bool = True
    """whether its plans, lives and worth are kept one by one"""


def headline_wishes(job: JobSpec) -> list[DeskWish]:
    """The job's own desk, and those of its curves. All take each appearance once, but for `unlimited`."""
    once = {"risk.once_per_appearance": "true"}
    if job.alone:
        return [DeskWish(HEADLINE, once)]
    wishes = [DeskWish(HEADLINE, once), DeskWish(UNLIMITED, {"risk.once_per_appearance": "false"})]
    if job.curves:
        wishes += _points(job, once, "")
        for name in job.executors[1:]:
            wishes += _points(job, {**once, "execution.executors": _executors(job, name)}, f", {name}")
    return wishes


def _points(job: JobSpec, settings: dict[str, str], whose: str) -> list[DeskWish]:
    """Of the curves of one executor; `whose` is what their names end with."""
    scaled_fees = {factor: scaled(job.fees, factor) for factor in FEE_FACTORS}
    return [
        *(
            DeskWish(f"latency {ms} ms{whose}", {**settings, "paper.latency_ms": str(ms)}, detail=False)
            for ms in LATENCIES_MS
        ),
        *(DeskWish(f"tier {step.name}{whose}", settings, step.fees, detail=False) for step in job.ladder),
        *(DeskWish(f"fees x{plain(by)}{whose}", settings, fees, detail=False) for by, fees in scaled_fees.items()),
    ]


def _executors(job: JobSpec, of_cycles: str) -> str:
    """What the job's settings say of executors, but for cycles."""
    told = parse(dict[str, str], job.settings.get("ARBITRADE_EXECUTION__EXECUTORS", ""))
    return as_text({**(told if isinstance(told, dict) else {}), "cycle": of_cycles})


def variables_of(job: JobSpec) -> dict[str, str]:
    """The job's settings as variables: what it says by itself stands above the settings it was submitted with."""
    own: dict[str, str | None] = {
        "ARBITRADE_PAPER__STARTING_BALANCES": json.dumps({asset: str(held) for asset, held in job.balances.items()}),
        "ARBITRADE_PAPER__LATENCY_MS": str(job.latency_ms),
        "ARBITRADE_PAPER__SLIPPAGE_BPS": plain(job.slippage_bps),
        "ARBITRADE_TRADING__SLIPPAGE_BPS": plain(job.slippage_bps),
        "ARBITRADE_TRADING__VENUE": "paper",
        "ARBITRADE_TRADING__MIN_EDGE_BPS": None if job.min_profit_bps is None else plain(job.min_profit_bps),
        "ARBITRADE_TRADING__MIN_PROFIT_VALUED": None if job.min_profit_valued is None else plain(job.min_profit_valued),
        "ARBITRADE_TRADING__PAIRS": None if job.pairs is None else json.dumps(job.pairs),
        "ARBITRADE_EXECUTION__EXECUTORS": None if job.executor is None else f"cycle={job.executor}",
        "ARBITRADE_PLUGINS": None if job.plugins is None else ",".join(job.plugins),
    }
    left = {name: value for name, value in job.settings.items() if name != "ARBITRADE_SHADOWS"}
    return {**left, **{name: value for name, value in own.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class Stage:
    """An engine that has not started."""

    engine: Engine
    feeds: Mapping[str, Feed]
    """by name; they listen"""
    fees: Mapping[str, FeeSnapshot]
    """by desk"""
    settings: Mapping[str, Settings]
    """by desk"""
    symbols: frozenset[str] | None
    """of the pairs that may trade; None: all"""


def stage(job: JobSpec, wishes: Sequence[DeskWish], now: Ns) -> Stage:
    """The desks' ids are the wishes' names.

    Raises:
        SettingsError: everything that is wrong with the job's settings or a wish's.
        PluginError: a plugin that the job names cannot be used.
    """
    with instead_of_environment(variables_of(job), ORIGIN):
        loaded = load()
        setup = Setup(loaded.catalogue, loaded.settings, _desks(loaded, wishes))
        setup.register_all()
        feeds = _listening(setup)
        # Their records are compared with those of other replays, so the ids in them are the same everywhere.
        engine = compose(setup, now=now, system=SYSTEM, past=Past(), epochs=lambda number: "r", carry_all=True)
    symbols = loaded.core.trading.pairs
    # Desks of equal fees have the very same schedule: then they are seen to be equal without a look at every pair.
    schedules = {fees.id: snapshot_of(fees) for fees in {id(one): one for one in _fees(job, wishes)}.values()}
    return Stage(
        engine=engine,
        feeds=feeds,
        fees={wish.name: schedules[fees.id] for wish, fees in zip(wishes, _fees(job, wishes), strict=True)},
        settings=setup.desks,
        symbols=None if symbols is None else frozenset(symbols),
    )


def _fees(job: JobSpec, wishes: Sequence[DeskWish]) -> list[Fees]:
    return [wish.fees or job.fees for wish in wishes]


def _desks(loaded: Loaded, wishes: Sequence[DeskWish]) -> dict[str, Settings]:
    problems: list[str] = []
    desks = {
        wish.name: replace(
            loaded.settings, core=overridden(loaded.core, wish.settings, f"desk {wish.name!r}", problems)
        )
        for wish in wishes
    }
    if len(desks) < len(wishes):
        problems.append("two desks of the replay have the same name; give each its own")
    if problems:
        raise SettingsError(problems)
    return desks


def _listening(setup: Setup) -> dict[str, Feed]:
    """Followers in place of the feeds. One that cannot follow has no recording to follow either, and is left out."""
    feeds: dict[str, Feed] = {}
    for plugin, parts in setup.parts.items():
        followers = tuple(feed.follower() for feed in parts.feeds if isinstance(feed, Recordable))
        feeds |= {feed.name: feed for feed in followers}
        setup.parts[plugin] = replace(parts, feeds=followers)
    if not feeds:
        raise SettingsError(
            [f"{ORIGIN} has no plugin in use whose feed can follow a recording; add kraken to its plugins"]
        )
    return feeds
