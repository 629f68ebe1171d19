"""From what was asked to a job that is complete in itself: settings as they are now, fees resolved, data looked for.

Whatever is wrong is told at once, and nothing is queued then. What is merely missing of the range is told as well, and
kept with the job.
"""

import asyncio
import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.to_thread
import msgspec
from pydantic import ValidationError

from arbitrade_core.backtests import fees as profiles
from arbitrade_core.backtests.asked import Asked, JobRefused, Told, understood
from arbitrade_core.backtests.bridge import Chunks
from arbitrade_core.backtests.job_settings import brought_in, named, settings_of
from arbitrade_core.backtests.running import window_of
from arbitrade_core.backtests.tools import Tools
from arbitrade_core.composition import Loaded, load, overriding
from arbitrade_core.domain import Ns, Pair
from arbitrade_core.engine import SYSTEM_STREAM
from arbitrade_core.errors import ArbitradeError, PluginError, SettingsError
from arbitrade_core.plugins import State, Toggle
from arbitrade_core.plugins.catalogue import CORE
from arbitrade_core.replay.job import Fees, JobSpec
from arbitrade_core.replay.results import Coverage
from arbitrade_core.replay.statistics import Window
from arbitrade_core.replay.sweep.space import variable_name
from arbitrade_core.storage.connect import Pool
from arbitrade_core.storage.overrides import newest
from arbitrade_core.storage.system_state import system_state

PLANTED = "The recorded market is simulated and its mispricings are planted: its profit says nothing about an exchange."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_FEES = Fees(id="none", source="none yet", as_of_ns=0, rates={})
_EDGE_NS = 1_000_000_000
VALUATION_ASSET = variable_name("trading.valuation_asset")
NOT_RECORDED = "not recorded: "
IN_REPORT = (NOT_RECORDED, "fees: ")
"""Notes that begin so say what every report says by itself."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A job that may be queued."""

    job: JobSpec
    coverage: Coverage
    notes: tuple[str, ...]
    """what is missing of the data, and where the fees come from, for people"""
    resources: dict[str, Any]
    """how it is computed, which its result does not depend on"""


async def resolve(asked: Asked, pool: Pool, tools: Tools, now: datetime) -> Resolved:
    """Look up everything that the job depends on.

    Raises:
        JobRefused: with every problem.
        SettingsError, PluginError: the settings of the environment are wrong by themselves.
        StorageError: the database does not answer.
    """
    with await present(pool) as toggles:
        return await _resolve(asked, pool, tools, now, toggles)


async def present(pool: Pool) -> AbstractContextManager[Mapping[str, Toggle]]:
    """The settings in force, overrides of this database included; gives what was last said of plugins."""
    kept, toggles = await newest(pool), (await system_state(pool, SYSTEM_STREAM)).toggles

    @contextmanager
    def inside() -> Iterator[Mapping[str, Toggle]]:
        with overriding(kept, toggles):
            yield toggles

    return inside()


async def _resolve(asked: Asked, pool: Pool, tools: Tools, now: datetime, toggles: Mapping[str, Toggle]) -> Resolved:
    loaded = _loaded(asked, toggles)
    if asked.plugins is None and toggles:
        enabled = tuple(entry.name for entry in loaded.catalogue.enabled() if entry.name != CORE)
        asked = msgspec.structs.replace(asked, plugins=enabled)
    if asked.pairs is None and loaded.core.trading.pairs is not None:
        asked = msgspec.structs.replace(asked, pairs=tuple(loaded.core.trading.pairs))
    problems: list[str] = []
    told = understood(asked, loaded.core.trading.valuation_asset, now, problems)
    profiles.known(asked.fees, problems)
    found = await _range(asked, told, pool, tools, problems)
    job = _draft(asked, told, found, settings_of(loaded, told, problems), problems)
    brought = brought_in(asked, job, problems)
    if found is None:
        raise JobRefused(problems)
    coverage = await tools.coverage(pool, window_of(job), job.recording, job.pairs)
    notes = _missing(asked, job, coverage, problems)
    if not coverage.covered_ns:
        raise JobRefused(problems)
    pairs = await _listed(job, pool, tools, problems)
    recorded = [one for number in coverage.recordings if (one := await tools.recorded(pool, number)) is not None]
    if any(one.source == "demo" for one in recorded):
        notes.append(PLANTED)
    _check_pairs(asked, pairs, coverage, problems)
    valuation = job.settings.get(VALUATION_ASSET, loaded.core.trading.valuation_asset)
    notes += _unvalued(job, valuation, pairs)
    try:
        profile = await profiles.resolve(asked.fees, loaded, pairs, pool, _ns(now), recorded)
    except (SettingsError, PluginError) as error:
        problems += error.problems if isinstance(error, SettingsError) else [str(error)]
        raise JobRefused(problems) from error
    notes += profile.notes
    without = [symbol for symbol in asked.pairs or coverage.pairs if symbol not in profile.fees.rates]
    if without:
        notes.append(f"no fee is known for {named(without)}: not traded")
    if brought.funded:
        notes.append(
            f"no curves and no unlimited figure: {named(brought.funded)} decides from what all accounts of a replay "
            "hold and pay, so the backtest has one account alone"
        )
    if problems:
        raise JobRefused(problems)
    resolved = {"fees": profile.fees, "ladder": profile.ladder, "executors": brought.executors}
    job = job.model_copy(update=resolved | {"alone": bool(brought.funded)})
    processes = asked.processes or loaded.core.backtest.processes
    resources = {"processes": processes, "dask": asked.dask} if job.sweep is not None else {}
    return Resolved(job, coverage, tuple(notes), resources)


def _loaded(asked: Asked, toggles: Mapping[str, Toggle]) -> Loaded:
    """As the bot is set, with plugins that only the backtest uses: they have settings, too."""
    loaded = load(toggles)
    off = {entry.name for entry in loaded.catalogue.entries if entry.state is State.DISABLED}
    more = {name: Toggle(State.ENABLED, "a backtest") for name in asked.plugins or () if name in off}
    return load({**toggles, **more}) if more else loaded


def about(job: JobSpec) -> dict[str, Any]:
    """The spec without what is long."""
    told: dict[str, Any] = job.model_dump(mode="json", exclude={"fees", "ladder"})
    told["fees"] = {"id": job.fees.id, "source": job.fees.source, "pairs": len(job.fees.rates)}
    told["ladder"] = [step.name for step in job.ladder]
    return told


# --- the range ------------------------------------------------------------------------------------------------------


async def _range(
    asked: Asked, told: Told, pool: Pool, tools: Tools, problems: list[str]
) -> tuple[datetime, datetime] | None:
    """What is replayed; None when that could not be told."""
    start, end = told.start, told.end
    if asked.recording is not None:
        recorded = await tools.recorded(pool, asked.recording)
        if recorded is None:
            problems.append(
                f"there is no recording {asked.recording}; `arbitrade recordings list` shows those there are"
            )
            return None
        extent = Window(recorded.start_ns, recorded.end_ns)
        stretches = (await tools.coverage(pool, extent, asked.recording, asked.pairs)).stretches
        if stretches and stretches[0].start_ns - extent.start_ns < _EDGE_NS > extent.end_ns - stretches[-1].end_ns:
            # Its first and last entries: between them and the moments it was opened and closed nothing is missing.
            extent = Window(stretches[0].start_ns, stretches[-1].end_ns)
        first, last = _at(extent.start_ns + 999), _at(extent.end_ns)
        start, end = max(start or first, first), min(end or last, last)
        if end <= start:
            problems.append(
                f"recording {asked.recording} holds {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC, and "
                "nothing of the range"
            )
            return None
    if start is None or end is None or end <= start:
        return None
    return start, end


def _ns(at: datetime) -> Ns:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _at(at_ns: Ns) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1_000)


def _draft(
    asked: Asked,
    told: Told,
    found: tuple[datetime, datetime] | None,
    settings: dict[str, str],
    problems: list[str],
) -> JobSpec:
    """The job but for its fees; with something harmless where something is wrong."""
    start, end = found or (_EPOCH, _EPOCH + timedelta(seconds=1))
    raw: dict[str, Any] = {
        "name": asked.name,
        "recording": asked.recording,
        "start": start,
        "end": end,
        "pairs": asked.pairs,
        "balances": told.balances,
        "min_profit_bps": told.min_profit_bps,
        "min_profit_valued": told.min_profit_valued,
        "fees": _NO_FEES,
        "slippage_bps": told.slippage_bps,
        "latency_ms": told.latency_ms,
        "executor": asked.executor,
        "plugins": asked.plugins,
        "seed": asked.seed,
        "settings": settings,
        "curves": asked.curves and told.sweep is None,
        "sweep": told.sweep,
    }
    try:
        return JobSpec.model_validate(raw)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        problems += [f"{'.'.join(map(str, one['loc']))} is {one['input']!r}: {one['msg'].lower()}" for one in wrong]
        raise JobRefused(problems) from error


# --- data -----------------------------------------------------------------------------------------------------------


def _missing(asked: Asked, job: JobSpec, coverage: Coverage, problems: list[str]) -> list[str]:
    """What of the range was not recorded, in words. `strict` makes it a problem."""
    whole_ns = coverage.wanted.end_ns - coverage.wanted.start_ns
    told = f"{job.start:%Y-%m-%d %H:%M:%S} to {job.end:%Y-%m-%d %H:%M:%S} UTC"
    if not coverage.covered_ns:
        of = "" if job.pairs is None else f" of {named(job.pairs)}"
        problems.append(f"nothing{of} was recorded from {told}; `arbitrade recordings list` shows what there is")
        return []
    notes = []
    missing_ns = whole_ns - coverage.covered_ns
    if coverage.gaps and missing_ns > 0:
        notes.append(
            f"{NOT_RECORDED}{missing_ns / whole_ns:.1%} of the range: {_gaps(coverage)}; no book lives across a gap"
        )
    never = [symbol for symbol in job.pairs or () if symbol not in coverage.pairs]
    if never:
        near = {match for symbol in never for match in difflib.get_close_matches(symbol.upper(), coverage.pairs, n=1)}
        hint = f"; recorded are {named(sorted(near))}" if near else ""
        notes.append(f"never recorded in the range: {named(never)}{hint}")
    if asked.strict and notes:
        problems += [f"--strict: {note}" for note in notes]
    if coverage.overlapped:
        notes.append(
            f"recording {named([str(number) for number in coverage.overlapped])} of the range is not read, since one "
            "that covers more of it was made at the same time; --recording reads a certain one"
        )
    return notes


def _gaps(coverage: Coverage) -> str:
    told = [
        f"{_at(start):%m-%d %H:%M:%S} to {_at(end):%m-%d %H:%M:%S} ({reason})"
        for start, end, reason in coverage.gaps[:3]
    ]
    more = len(coverage.gaps) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


async def _listed(job: JobSpec, pool: Pool, tools: Tools, problems: list[str]) -> list[Pair]:
    """The pairs as they were listed when the range began."""
    window = window_of(job)
    stopped = False
    chunks = Chunks(
        asyncio.get_running_loop(), lambda: tools.chunks(pool, window, job.recording, job.pairs), lambda: stopped
    )
    # Settings that are wrong have been told: the listing does not depend on them.
    plain = job.model_copy(update={"settings": {}, "plugins": None, "executor": None, "sweep": None, "pairs": None})
    try:
        found = await anyio.to_thread.run_sync(tools.listing, plain, chunks)
    except ArbitradeError as error:
        problems.append(f"the recording cannot be read: {error}")
        return []
    finally:
        stopped = True
    if not found:
        problems.append("the recording tells of no listed pairs, so there is nothing to trade; use another range")
    return found


def _check_pairs(asked: Asked, pairs: Sequence[Pair], coverage: Coverage, problems: list[str]) -> None:
    listed = {pair.symbol for pair in pairs}
    wrong = [symbol for symbol in asked.pairs or () if listed and symbol not in listed and symbol not in coverage.pairs]
    if wrong:
        near = {match for symbol in wrong for match in difflib.get_close_matches(symbol.upper(), listed, n=1)}
        hint = f"; did you mean {named(sorted(near))}?" if near else ""
        problems.append(f"--pairs names {named(wrong)}, which the exchange did not list then{hint}")


def _unvalued(job: JobSpec, valuation_asset: str, pairs: Sequence[Pair]) -> list[str]:
    """Balances that no pair of the job values, directly or over two hops (TRADING 22), in words."""
    traded = [pair for pair in pairs if job.pairs is None or pair.symbol in job.pairs]
    beside: dict[str, set[str]] = {}
    for pair in traded:
        beside.setdefault(pair.base, set()).add(pair.quote)
        beside.setdefault(pair.quote, set()).add(pair.base)
    near = {valuation_asset} | beside.get(valuation_asset, set())
    lost = [
        asset
        for asset, held in job.balances.items()
        if held and asset not in near and not beside.get(asset, set()) & near
    ]
    if not traded or not lost:
        return []
    return [
        f"no pair of the backtest values {named(lost)} in {valuation_asset}, so risk checks refuse every plan; add "
        f"pairs such as {lost[0]}/{valuation_asset}"
    ]
