"""What a sweep searches: settings and their values, checked against the settings' own types before anything runs.

A setting of a desk's own sections makes another desk on the same replay. Any other - of a plugin, which plugins are
on, which pairs there are - changes the market's side, and with it the replay: variants that differ there share none.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import product
from math import prod
from typing import Any, Literal, get_args, get_origin

from arbitrade_core.composition import Loaded, load
from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.money import exact, plain, ratio
from arbitrade_core.replay.job import JobSpec, Range
from arbitrade_core.replay.stage import DeskWish, stage, variables_of
from arbitrade_core.settings.environment import (
    NESTED,
    PREFIX,
    Variable,
    alternatives,
    instead_of_environment,
)
from arbitrade_core.settings.model import CoreSettings
from arbitrade_core.settings.overrides import SECTIONS, overridden

PLUGINS = "plugins"
PAIRS = "trading.pairs"
MARKET_SIDE = (PLUGINS, PAIRS, "trading.start_assets")
"""settings of the core that are the market's side, since they say which books are read; all of plugins are"""
_SENSELESS: Mapping[str, str] = {
    "trading.venue": "a replay's venue is paper",
    "trading.valuation_asset": "results in different assets cannot be compared",
}
ORIGIN = "the sweep"

MOST_VALUES = 100_000
"""of one setting, and of a grid"""
_MOST_SIDES = 10_000
"""so many combinations of the market's side are checked one by one"""
_MOST_TOLD = 30
_POINTS = 1_000
"""of a range by equal factors that has no step"""
_DIGITS = 4
"""of such a point, and two more where the factor is given"""


@dataclass(frozen=True, slots=True)
class Searched:
    """One setting and the values to try, as the environment would have them."""

    path: str
    values: tuple[str, ...]
    """as told; a range's ascend"""
    numeric: bool

    @property
    def ascending(self) -> tuple[str, ...]:
        """Numbers by size, anything else as told."""
        return tuple(sorted(self.values, key=Decimal)) if self.numeric else self.values


@dataclass(frozen=True, slots=True)
class Space:
    """All of them, by name: a job that has been stored and read back searches in the same order."""

    settings: tuple[Searched, ...]

    @property
    def size(self) -> int:
        return prod(len(each.values) for each in self.settings)

    def at(self, place: int) -> dict[str, str]:
        """The variant at that place of the grid, where the last setting changes first."""
        found: dict[str, str] = {}
        for each in reversed(self.settings):
            place, which = divmod(place, len(each.values))
            found[each.path] = each.values[which]
        return dict(sorted(found.items()))


def market_side(settings: Mapping[str, str]) -> dict[str, str]:
    """Those of a variant's settings that make another replay."""
    return {path: text for path, text in sorted(settings.items()) if not _is_desks(path)}


def desk_side(settings: Mapping[str, str]) -> dict[str, str]:
    """Those that make another desk."""
    return {path: text for path, text in settings.items() if _is_desks(path)}


def _is_desks(path: str) -> bool:
    return path not in MARKET_SIDE and path.partition(".")[0] in SECTIONS


def decides(path: str) -> bool:
    """Whether it can change what a bot does on the same market. What is left belongs to the process."""
    head = path.partition(".")[0]
    return path in MARKET_SIDE or head in SECTIONS or head not in CoreSettings.model_fields


def variable_name(path: str) -> str:
    """The variable of the environment that sets it."""
    return PREFIX + path.replace(".", NESTED).upper()


def with_market(job: JobSpec, side: Mapping[str, str]) -> JobSpec:
    """The job of a replay whose market's side is otherwise."""
    update: dict[str, Any] = {
        "settings": {**job.settings, **{variable_name(path): text for path, text in side.items()}},
        "sweep": None,
    }
    # What a job says by itself stands above its variables.
    update |= {field: None for path, field in ((PLUGINS, "plugins"), (PAIRS, "pairs")) if path in side}
    return job.model_copy(update=update)


# --- reading and checking ---------------------------------------------------------------------------------------


def read_space(job: JobSpec) -> Space:
    """The values that the job's sweep searches; what a combination of plugin settings is refused for is told too.

    Raises:
        SettingsError: with everything that is wrong with it, or with the job's own settings.
        PluginError: a plugin of the job cannot be used.
    """
    assert job.sweep is not None
    if not job.sweep.space:
        raise SettingsError([f"{ORIGIN} searches no setting; name at least one, such as trading.min_edge_bps=2,5,10"])
    grid = job.sweep.method == "grid"
    problems: list[str] = []
    told = sorted(job.sweep.space.items())
    base = _loaded(with_market(job, {}))
    known = _variables(job, base, dict(told).get(PLUGINS))
    settings: list[Searched] = []
    for path, wanted in told:
        variable = known.get(path)
        problem = _why_not(path, variable, known)
        if problem is not None or variable is None:
            problems.append(problem or path)
            continue
        found = _searched(variable, path, wanted, grid=grid, problems=problems)
        if found is not None:
            settings.append(found)
    space = Space(tuple(settings))
    _check_desks(job, base, space, problems)
    _check_market(job, base, space, problems)
    if grid and not problems and space.size > MOST_VALUES:
        problems.append(
            f"{ORIGIN}'s grid has {space.size} variants; at most {MOST_VALUES} can be tried: give fewer values, or "
            f"search with the method random or adaptive"
        )
    if problems:
        raise SettingsError(_bounded(problems))
    return space


def _loaded(job: JobSpec) -> Loaded:
    with instead_of_environment(variables_of(job), ORIGIN):
        return load()


def _variables(job: JobSpec, base: Loaded, plugins: "tuple[str, ...] | Range | None") -> dict[str, Variable]:
    """By path: every setting there is with the job's plugins, or with those that the sweep tries."""
    known = {".".join(variable.path): variable for variable in base.settings.variables}
    for text in plugins if isinstance(plugins, tuple) else ():
        try:
            tried = _loaded(with_market(job, {PLUGINS: text}))
        except (SettingsError, PluginError):
            continue  # told when the market's side is checked
        known |= {".".join(variable.path): variable for variable in tried.settings.variables}
    return known


def _why_not(path: str, variable: Variable | None, known: Collection[str]) -> str | None:
    """What forbids searching it, in words."""
    if variable is None:
        near = difflib.get_close_matches(path, known, n=1, cutoff=0.6)
        hint = f"Did you mean {near[0]}?" if near else "See `arbitrade settings list` for all there are."
        return f"{ORIGIN} searches {path!r}, which is no setting. {hint}"
    if variable.secret:
        return f"{ORIGIN} searches {path}, which is a secret; leave it out"
    if path in _SENSELESS:
        return f"{ORIGIN} searches {path}, but {_SENSELESS[path]}; leave it out"
    if not decides(path):
        return f"{ORIGIN} searches {path}, which belongs to the process and changes nothing in a replay; leave it out"
    return None


def _searched(
    variable: Variable, path: str, wanted: tuple[str, ...] | Range, *, grid: bool, problems: list[str]
) -> Searched | None:
    kinds = _numbers(variable)
    if isinstance(wanted, Range):
        if not kinds:
            problems.append(f"{ORIGIN} gives {path} a range, but it is not a number; list its values")
            return None
        values = range_values(wanted, path, whole=kinds == {int}, grid=grid, problems=problems)
        return None if values is None else Searched(path, values, numeric=True)
    values = tuple(text.strip() for text in wanted)
    numeric = bool(kinds) and all(_decimal(text) is not None for text in values)
    seen: dict[object, str] = {}
    for text in values:
        same = _decimal(text) if numeric else text
        if same in seen:
            problems.append(f"{ORIGIN} tries {path} at {seen[same]} and at {text}, which are the same; leave one out")
        seen[same] = text
    if not values:
        problems.append(f"{ORIGIN} gives {path} no value to try; list at least one")
        return None
    return Searched(path, values, numeric)


def _numbers(variable: Variable) -> set[type]:
    """The kinds of number that a setting takes; empty when it takes anything else."""
    found: set[type] = set()
    for kind in alternatives(variable.field.annotation):
        of = {type(choice) for choice in get_args(kind)} if get_origin(kind) is Literal else {kind}
        if not of <= {int, float, Decimal}:
            return set()
        found |= of
    return found


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


# --- ranges -----------------------------------------------------------------------------------------------------


def range_values(wanted: Range, path: str, *, whole: bool, grid: bool, problems: list[str]) -> tuple[str, ...] | None:
    """All values of a range, ascending and exact."""
    step = wanted.step
    if step is None and grid:
        problems.append(f"{ORIGIN}'s grid gives {path} a range without a step; write low:high:step")
    elif wanted.log and step is not None and step <= 1:
        problems.append(f"{ORIGIN} gives {path} a range by equal factors of {step}; the factor must be above 1")
    elif wanted.log:
        found = _by_factors(wanted, whole=whole)
        return tuple(dict.fromkeys(map(plain, found)))
    else:
        step = step or _usual_step(wanted, whole=whole)
        with exact():
            count = int((wanted.high - wanted.low) // step) + 1
            if count <= MOST_VALUES:
                return tuple(plain(wanted.low + step * place) for place in range(count))
        problems.append(f"{ORIGIN} gives {path} {count} values, at most {MOST_VALUES} can be tried; widen the step")
    return None


def _usual_step(wanted: Range, *, whole: bool) -> Decimal:
    """Of a range that has none: a power of ten that cuts it into 1,000 to 10,000 parts, or whole numbers."""
    with exact():
        step = Decimal(1).scaleb((wanted.high - wanted.low).adjusted() - 3)
    return max(step, Decimal(1)) if whole else step


def _by_factors(wanted: Range, *, whole: bool) -> list[Decimal]:
    """Rounded to so many digits that values stay readable; the ends are exact."""
    low, high = wanted.low, wanted.high
    found = [low]
    if wanted.step is None:
        whole_way = ratio(high, low).ln()
        found += [_digits(low * (whole_way * place / _POINTS).exp(), _DIGITS) for place in range(1, _POINTS)] + [high]
    else:
        at = low
        while (at := at * wanted.step) <= high and len(found) < MOST_VALUES:
            found.append(_digits(at, _DIGITS + 2))
    return [value.to_integral_value() if whole else value for value in found if low <= value <= high]


def _digits(value: Decimal, digits: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1))


# --- checking values --------------------------------------------------------------------------------------------


def _check_desks(job: JobSpec, base: Loaded, space: Space, problems: list[str]) -> None:
    """Each value by itself: a desk's sections have no rules between their settings."""
    ours = [each for each in space.settings if _is_desks(each.path)]
    for each in ours:
        for text in each.values:
            overridden(base.core, {each.path: text}, ORIGIN, problems)
    # Names, such as those of executors, are only known to what is composed.
    named = [{each.path: text} for each in ours if not each.numeric for text in each.values]
    if named and not problems:
        wishes = [DeskWish(", ".join(each.values()), each, detail=False) for each in named[:_MOST_TOLD]]
        try:
            stage(with_market(job, {}), wishes, 0)
        except SettingsError as error:
            problems += error.problems


def _check_market(job: JobSpec, base: Loaded, space: Space, problems: list[str]) -> None:
    """All combinations of the market's side, since plugins may have rules between their settings; when there are too
    many, each value by itself."""
    ours = [each for each in space.settings if not _is_desks(each.path)]
    if not ours:
        return
    if prod(len(each.values) for each in ours) <= _MOST_SIDES:
        sides: Iterable[Mapping[str, str]] = (
            dict(zip((each.path for each in ours), texts, strict=True))
            for texts in product(*(each.values for each in ours))
        )
    else:
        sides = ({each.path: text} for each in ours for text in each.values)
    for side in sides:
        other = with_market(job, side)
        try:
            if PLUGINS in side:
                _loaded(other)
            else:
                with instead_of_environment(variables_of(other), ORIGIN):
                    base.catalogue.settings()
        except SettingsError as error:
            problems += error.problems
        except PluginError as error:
            problems.append(str(error))
        if len(set(problems)) > _MOST_TOLD:
            return


def _bounded(problems: Sequence[str]) -> list[str]:
    once = list(dict.fromkeys(problems))
    more = len(once) - _MOST_TOLD
    return once if more <= 0 else [*once[:_MOST_TOLD], f"and {more} more of the kind"]
