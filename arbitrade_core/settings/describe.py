"""Settings in words: for error messages, `arbitrade settings list` and docs/settings.md."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from itertools import groupby
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from arbitrade_core.settings.environment import PREFIX, Variable, alternatives, variables

HIDDEN = "(hidden)"

_WORDS: Mapping[object, str] = MappingProxyType(
    {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        Decimal: "a decimal number",
        str: "text",
        Path: "a path",
        SecretStr: "text (secret)",
        SecretBytes: "text (secret)",
    }
)


def allowed(variable: Variable) -> str:
    """What the variable may be set to, bounds included: `a whole number, at least 1`."""
    kinds = " or ".join(dict.fromkeys(_kind(kind) for kind in alternatives(variable.field.annotation)))
    return ", ".join((kinds, *_bounds((*variable.field.metadata, *_marks(variable.field.annotation)))))


def _kind(kind: Any) -> str:
    if kind in _WORDS:
        return _WORDS[kind]
    if get_origin(kind) is Literal:
        return " or ".join(f"`{written(choice)}`" for choice in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{written(member.value)}`" for member in kind)
    container = get_origin(kind) or kind
    if container in (list, tuple, set, frozenset):
        return "a list `A,B`"
    if container in (dict, Mapping):
        return "a mapping `A=1,B=2`"
    return str(getattr(kind, "__name__", kind))


def _marks(annotation: object) -> Iterator[object]:
    """What Annotated says inside an optional type; pydantic lifts it out of all others by itself."""
    if get_origin(annotation) is Annotated:
        for mark in get_args(annotation)[1:]:
            yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _marks(member)


def _bounds(marks: Iterable[object]) -> Iterator[str]:
    for bound in marks:
        match bound:
            case Ge():
                yield f"at least {bound.ge}"
            case Gt():
                yield f"above {bound.gt}"
            case Le():
                yield f"at most {bound.le}"
            case Lt():
                yield f"below {bound.lt}"
            case MinLen(min_length=1):
                yield "not empty"
            case MinLen():
                yield f"at least {bound.min_length} long"
            case MaxLen():
                yield f"at most {bound.max_length} long"
            case _:
                pass


def written(value: object) -> str:
    """A value as it is written in the environment; nothing for None, and never a secret."""
    match value:
        case SecretStr() | SecretBytes():
            return HIDDEN
        case bool():
            return str(value).lower()
        case Enum():
            return written(value.value)
        case dict():
            return ",".join(f"{key}={written(item)}" for key, item in value.items())
        case list() | tuple() | set() | frozenset():
            items = [written(item) for item in value]
            return ",".join(sorted(items) if isinstance(value, set | frozenset) else items)
        case _:
            return "" if value is None else str(value)


def default(variable: Variable) -> str | None:
    """The default as it would be written; None when the variable must be set."""
    if variable.field.is_required():
        return None
    value = variable.field.get_default(call_default_factory=True, validated_data={})
    return HIDDEN if variable.secret and value is not None else written(value)


def markdown(models: Mapping[str, type[BaseModel]]) -> str:
    """docs/settings.md: every variable of these models by section. The core's has the name ``""``."""
    lines = [
        "# Settings",
        "",
        "Variables of the environment, or of a `.env` file in the working directory (the environment goes",
        "first). What neither of them sets can be overridden: `arbitrade settings set`",
        "([operations.md](operations.md#settings-that-are-changed-while-it-runs)). A variable that is set to",
        "nothing counts as not set. Lists are written `A,B`, mappings `A=1,B=2`. `_valued` means: in units of",
        "the valuation asset. Everything is checked at the start, and a variable that begins with",
        f"`{PREFIX}` and is none of these is an error.",
        "",
        "This page is made from the code: `arbitrade settings list --markdown > docs/settings.md`.",
    ]
    for name, model in models.items():
        table = list(variables(model, (name,) if name else ()))
        for section, group in groupby(table, lambda variable: variable.path[:-1]):
            lines += ["", f"## {'.'.join(section) or 'general'}", ""]
            lines += ["| variable | allowed | default | meaning |", "|---|---|---|---|"]
            lines += [_row(variable) for variable in group]
    return "\n".join(lines) + "\n"


def _row(variable: Variable) -> str:
    text = default(variable)
    cells = (
        f"`{variable.name}`",
        allowed(variable),
        "**must be set**" if text is None else f"`{text}`" if text else "",
        variable.field.description or "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
