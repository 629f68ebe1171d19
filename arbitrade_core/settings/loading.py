"""Loading all sections together, so that one start tells everything that is wrong with the settings."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from arbitrade_core.errors import SettingsError
from arbitrade_core.settings.describe import HIDDEN, allowed
from arbitrade_core.settings.environment import (
    NESTED,
    PREFIX,
    Given,
    Variable,
    read_environment,
    values_for,
    variables,
)
from arbitrade_core.settings.model import CoreSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """Valid settings of the core and of every enabled plugin that has some, by plugin name."""

    core: CoreSettings
    sections: Mapping[str, BaseModel]
    variables: tuple[Variable, ...]
    given: Given

    def value(self, variable: Variable) -> Any:
        """The value in force."""
        section: Any = self.sections.get(variable.path[0])
        path = variable.path[1:] if section is not None else variable.path
        value = self.core if section is None else section
        for step in path:
            value = getattr(value, step)
        return value

    def origin(self, variable: Variable) -> str:
        """`environment`, the name of the file, or `default`."""
        return self.given.origins.get(variable.name, "default")


def load_settings(
    models: Mapping[str, type[BaseModel]],
    unknown_sections: Collection[str] | None = (),
    problems: Sequence[str] = (),
) -> Settings:
    """Read and validate everything that the environment says.

    Args:
        models: settings models of the enabled plugins, by plugin name.
        unknown_sections: plugins that were not imported, so that what they can be told is not known;
            None: no plugin was looked for yet, so any section may be one.
        problems: what the caller found wrong with the settings already.

    Raises:
        SettingsError: with every problem of all sections, one line each.
    """
    given = read_environment()
    table = tuple(variables(CoreSettings)) + tuple(
        variable for name, model in models.items() for variable in variables(model, (name,))
    )
    found = list(problems)
    core = _validated(CoreSettings, (), given, found)
    sections = {name: _validated(model, (name,), given, found) for name, model in models.items()}
    found += unclaimed(given, table, unknown_sections)
    if found or core is None:
        raise SettingsError(found)
    valid = {name: section for name, section in sections.items() if section is not None}
    return Settings(core, MappingProxyType(valid), table, given)


def unclaimed(given: Given, table: Iterable[Variable], unknown_sections: Collection[str] | None) -> list[str]:
    """Variables with our prefix that set nothing: mostly misspelt."""
    known = {variable.name for variable in table}
    if unknown_sections is None:
        own = {variable.path[0] for variable in table if len(variable.path) > 1}
        sections = {name.removeprefix(PREFIX).partition(NESTED)[0].lower() for name in given.values if NESTED in name}
        unknown_sections = sections - own
    exempt = tuple(f"{PREFIX}{name}{NESTED}".upper() for name in unknown_sections)
    return [
        f"{name} ({given.origins[name]}) is not a setting. {_suggestion(name, known)}"
        for name in sorted(given.values)
        if name.startswith(PREFIX) and name not in known and not name.startswith(exempt)
    ]


def _suggestion(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"Did you mean {near[0]}?" if near else "See `arbitrade settings list` for all there are, or unset it."


def _validated[M: BaseModel](model: type[M], path: tuple[str, ...], given: Given, problems: list[str]) -> M | None:
    """The model's instance; None when it could not be made, with the reasons added to `problems`."""
    try:
        return model(**values_for(model, given, path))
    except ValidationError as error:
        table = tuple(variables(model, path))
        problems += [_problem(detail, table, path, given) for detail in error.errors(include_url=False)]
    except Exception as error:  # noqa: BLE001 - a plugin's validator may raise anything; it is one more problem to tell
        problems.append(f"{_section(path)}: its settings model failed with {type(error).__name__}: {error}")
    return None


def _problem(detail: Any, table: Sequence[Variable], path: tuple[str, ...], given: Given) -> str:
    """One validation error in the words of the environment."""
    where = path + tuple(str(step) for step in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    variable = next((known for known in table if where[: len(known.path)] == known.path), None)
    if variable is None:
        # Raised for a whole section, whose values may be secret: the validator's own words must do.
        return f"{_section(where)}: {_masked(message, table, given)}."
    text = given.values.get(variable.name)
    if text is None:
        return f"{variable.name} is not set and has no default. Allowed: {allowed(variable)}."
    shown = HIDDEN if variable.secret else repr(text)
    inside = "".join(f" at {step!r}" for step in where[len(variable.path) :]) if not variable.secret else ""
    message = _masked(message[:1].lower() + message[1:], table, given)
    origin = given.origins[variable.name]
    return f"{variable.name} is {shown} ({origin}){inside}: {message}. Allowed: {allowed(variable)}."


def _section(path: Sequence[str]) -> str:
    return f"{'.'.join(path)} settings" if path else "settings"


def _masked(message: str, table: Iterable[Variable], given: Given) -> str:
    for variable in table:
        secret = given.values.get(variable.name) if variable.secret else None
        if secret:
            message = message.replace(secret, HIDDEN)
    return message
