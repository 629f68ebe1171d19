"""The settings of a job: the operator's as they are, what the job says otherwise, and what plugins bring in by them."""

from collections.abc import Collection
from dataclasses import dataclass

from arbitrade_core.backtests.asked import Asked, Told
from arbitrade_core.composition import Loaded, load, own_parts
from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.stage import variables_of
from arbitrade_core.replay.sweep.space import read_space, variable_name
from arbitrade_core.settings.changeable import dotted, why_not
from arbitrade_core.settings.environment import Variable, instead_of_environment
from arbitrade_core.spi import Funded

NOT_A_BACKTESTS = ("backtest", "data_dir", "database", "isolation", "log", "recording", "shadows")
"""Sections and settings that are the process's."""
OWN_OPTIONS = {
    "trading.min_edge_bps": "--min-profit 5bps",
    "trading.min_profit_valued": "--min-profit 0.05USD",
    "trading.slippage_bps": "--slippage-bps",
    "trading.pairs": "--pairs",
    "paper.slippage_bps": "--slippage-bps",
    "paper.latency_ms": "--latency-ms",
    "paper.starting_balances": "--balance",
    "plugins": "--plugins",
}
"""Settings that a job says by itself, and how."""
ORIGIN = "the backtest"
_DESK = "backtest"
_MOST_NAMED = 10


def settings_of(loaded: Loaded, told: Told, problems: list[str]) -> dict[str, str]:
    """The operator's as they are, and what the job says otherwise. No secrets, and nothing of the process's own."""
    given = loaded.settings.given.values
    kept = {
        variable.name: given[variable.name]
        for variable in loaded.settings.variables
        if variable.name in given and variable.path[0] not in NOT_A_BACKTESTS and not _secret(variable)
    }
    for path, value in told.settings.items():
        if path in OWN_OPTIONS:
            problems.append(f"--set {path}: a backtest has its own option for that: {OWN_OPTIONS[path]}")
        elif path.partition(".")[0] in NOT_A_BACKTESTS:
            problems.append(f"--set {path}: it is the process's, and changes nothing in a backtest; leave it out")
        elif any(dotted(variable) == path and _secret(variable) for variable in loaded.settings.variables):
            problems.append(f"--set {path}: it is a secret, and a backtest has none; leave it out")
        else:
            kept[variable_name(path)] = value
    return kept


def _secret(variable: Variable) -> bool:
    """Also where it stands inside a list or a mapping."""
    return variable.secret or (len(variable.path) > 1 and why_not(variable) is not None)


@dataclass(frozen=True, slots=True)
class Brought:
    """What plugins bring in with a job's settings."""

    executors: tuple[str, ...] = ()
    """of cycles: the one in use, then, where the job names none, all others"""
    funded: tuple[str, ...] = ()
    """strategies that decide from what all desks of a replay hold and pay, so that each needs a replay of its own"""


def brought_in(asked: Asked, job: JobSpec, problems: list[str]) -> Brought:
    """Everything loaded as the worker will load it."""
    try:
        with instead_of_environment(variables_of(job), ORIGIN):
            loaded = load()
            setup = loaded.setup(_DESK)
            setup.register_all()
    except SettingsError as error:
        problems += error.problems
        return Brought()
    except PluginError as error:
        problems.append(str(error))
        return Brought()
    executors = own_parts(setup.parts, _DESK, "executors")
    takers: list[str] = [executor.name for executor in executors if "cycle" in executor.kinds]
    if asked.executor is not None and asked.executor not in takers:
        problems.append(f"--executor is {asked.executor!r}; those that carry out cycles are {', '.join(takers)}")
    unknown = [asset for asset in job.balances if not asset.isprintable() or " " in asset]
    if unknown:
        problems.append(f"--balance names {named(unknown)}, which are no assets")
    if job.sweep is not None:
        try:
            read_space(job)
        except SettingsError as error:
            problems += error.problems
        except PluginError as error:
            problems.append(str(error))
    funded = _funded(setup)
    if funded and job.sweep is not None:
        problems.append(
            f"--sweep: {named(funded)} decides from what all variants hold and pay, so that they would trade for each "
            "other; sweep without it (--plugins), or run its variants as single backtests"
        )
    if asked.executor is not None or not takers:
        return Brought(() if asked.executor is None else (asked.executor,), funded)
    usual = loaded.core.execution.executors.get("cycle", takers[0])
    return Brought((usual, *(name for name in takers if name != usual)), funded)


def _funded(setup: Setup) -> tuple[str, ...]:
    detectors = [detector for parts in setup.parts.values() for detector in parts.detectors]
    return tuple(detector.name for detector in detectors if isinstance(detector, Funded) and detector.allocation)


def named(names: Collection[str]) -> str:
    """For a sentence; the first few of many."""
    shown = list(names)[:_MOST_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
