"""Variables of the environment: which ones there are, and what they say.

One table, made from the settings models, serves reading, error messages and documentation, so that they
cannot disagree. A field's variable is the prefix and its path: `risk.max_open_plans` is
ARBITRADE_RISK__MAX_OPEN_PLANS; a field marked with `Named` keeps the name that other tools already use for
it (PG_HOST). `.env` in the working directory is read below the environment, and overrides that a database holds are
read below both. A variable that is set to nothing counts as not set, since compose files pass such variables on.
"""

import json
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAliasType, TypeGuard, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
)

from arbitrade_core.errors import SettingsError

PREFIX = "ARBITRADE_"
NESTED = "__"

_LISTS = (list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True)
class Named:
    """Marks a field whose variable has a name of its own: `Annotated[str, Named("PG_HOST")]`."""

    variable: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One setting, as a variable of the environment. `path` leads to it from its section's model."""

    name: str
    path: tuple[str, ...]
    field: FieldInfo

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return any(kind in (SecretStr, SecretBytes) for kind in alternatives(self.field.annotation))


@dataclass(frozen=True, slots=True)
class Given:
    """What is said of settings, names in upper case, and who says it: the environment, `.env`, an override."""

    values: Mapping[str, str]
    origins: Mapping[str, str]
    overridden: frozenset[str] = frozenset()
    """names of which neither the environment nor `.env` says anything"""

    def pins(self, variable: str) -> bool:
        """Whether the environment or `.env` decides it, so that no override can."""
        return variable in self.values and variable not in self.overridden

    def names(self, variable: str) -> tuple[str, ...]:
        """A comma-separated list, before any model has seen it."""
        return _items(self.values.get(variable, ""))


def alternatives(annotation: object) -> tuple[Any, ...]:
    """The types a field takes: members of a union but None, with `type` aliases and Annotated taken off."""
    if isinstance(annotation, TypeAliasType):
        return alternatives(annotation.__value__)
    match get_origin(annotation):
        case origin if origin is Annotated:
            return alternatives(get_args(annotation)[0])
        case origin if origin in (Union, types.UnionType):
            members = (kind for kind in get_args(annotation) if kind is not types.NoneType)
            return tuple(kind for member in members for kind in alternatives(member))
        case _:
            return (annotation,)


def is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def variables(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Variable]:
    """Every variable that sets a field of `model` or of the models in it, in the order written there."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        if is_model(field.annotation):
            yield from variables(field.annotation, here)
        else:
            own = next((mark.variable for mark in field.metadata if isinstance(mark, Named)), None)
            yield Variable(own or PREFIX + NESTED.join(here).upper(), here, field)


_instead: ContextVar[Given | None] = ContextVar("settings instead of the environment's", default=None)


@contextmanager
def instead_of_environment(values: Mapping[str, str], origin: str) -> Iterator[None]:
    """Inside, settings are read from `values`, names in upper case, and from nowhere else: a backtest's bot is told
    what its job says, whatever the process was started with. `origin` names them in messages."""
    token = _instead.set(Given(dict(values), dict.fromkeys(values, origin)))
    try:
        yield
    finally:
        _instead.reset(token)


@dataclass(slots=True)
class Below:
    """What stands between the defaults and the environment: the overrides in force. A running bot puts others in."""

    values: Mapping[str, str]
    origins: Mapping[str, str]


_below: ContextVar[Below | None] = ContextVar("settings below the environment's", default=None)


@contextmanager
def below_environment(below: Below) -> Iterator[None]:
    """Inside, and in tasks and threads that are started inside, settings that neither the environment nor `.env` names
    are read from `below`."""
    before = _below.get()
    _below.set(below)
    try:
        yield
    finally:
        # Not by token: a session may be left in another context than the one it was entered in.
        _below.set(before)


def read_environment(env_file: Path = Path(".env")) -> Given:
    """Read the process environment over `env_file`, and both over the overrides.

    Raises:
        SettingsError: `env_file` exists and cannot be read.
    """
    told = _instead.get()
    if told is not None:
        return told
    below = _below.get() or Below({}, {})
    values = dict(below.values)
    origins = dict(below.origins)
    pinned: set[str] = set()
    for origin, source in ((str(env_file), _read_file(env_file)), ("environment", _read_process())):
        for name, text in source.items():
            if text:
                values[name.upper()] = text
                origins[name.upper()] = origin
                pinned.add(name.upper())
    return Given(values, origins, frozenset(values.keys() - pinned))


def _read_process() -> Mapping[str, str | None]:
    return EnvSettingsSource(BaseSettings, case_sensitive=True).env_vars


def _read_file(path: Path) -> Mapping[str, str | None]:
    try:
        source = DotEnvSettingsSource(BaseSettings, path, env_file_encoding="utf-8", case_sensitive=True)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            [f"{path} cannot be read: {error}. Make it a readable UTF-8 text file, or move it away."]
        ) from error
    return source.env_vars


def values_for(model: type[BaseModel], given: Given, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """What was given for `model`, as the nested dict it validates. `path` is where its section starts."""
    found: dict[str, Any] = {}
    for variable in variables(model, path):
        text = given.values.get(variable.name)
        if text is None:
            continue
        into = found
        for step in variable.path[len(path) : -1]:
            into = into.setdefault(step, {})
        into[variable.path[-1]] = parse(variable.field.annotation, text)
    return found


def as_text(value: object) -> str:
    """A setting's value as its variable would say it; the way back is `parse`."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.value)
        case Decimal():
            return format(value, "f")
        case dict() | list() | tuple() | set() | frozenset():
            return msgspec.json.encode(value, order="deterministic", enc_hook=str).decode()
        case _:
            return str(value)


def parse(annotation: object, text: str) -> object:
    """Text as its field's type wants it: `A,B` for lists, `A=1,B=2` for mappings, or JSON for either.

    What cannot be understood stays text, for the model to refuse with everything else that is wrong.
    """
    for kind in alternatives(annotation):
        container = get_origin(kind) or kind
        if container is Literal:
            return next((choice for choice in get_args(kind) if str(choice) == text), text)
        if container in _LISTS:
            return _json(text, list) if text.lstrip().startswith("[") else list(_items(text))
        if container is dict or container is Mapping:
            return _json(text, dict) if text.lstrip().startswith("{") else _pairs(text)
    return text


def _items(text: str) -> tuple[str, ...]:
    return tuple(item for item in (part.strip() for part in text.split(",")) if item)


def _pairs(text: str) -> object:
    pairs = [tuple(part.strip() for part in item.split("=", 1)) for item in _items(text)]
    mapping = {pair[0]: pair[-1] for pair in pairs if len(pair) > 1 and all(pair)}
    return mapping if len(mapping) == len(pairs) else text


def _json(text: str, wanted: type) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, wanted) else text


class Environment(PydanticBaseSettingsSource):
    """The source behind `CoreSettings()`: the variables of the table, from `read_environment`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return values_for(self.settings_cls, read_environment())
