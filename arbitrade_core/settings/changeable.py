"""Which settings can be overridden while nobody touches the environment, and how they are named."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from pydantic import SecretBytes, SecretStr

from arbitrade_core.settings.environment import NESTED, PREFIX, Variable

READ_FIRST = ("database", "log")
"""Sections that are read before there is a database to read overrides from."""


def why_not(variable: Variable) -> str | None:
    """Why the setting cannot be overridden, in words; None when it can."""
    if len(variable.path) == 1 or variable.path[0] in READ_FIRST:
        return f"{variable.name} is read before the database that keeps overrides is; set it in the environment"
    if _holds_secret(variable.field.annotation):
        return f"{variable.name} is a secret, and the database never holds one; set it in the environment"
    return None


def find(name: str, table: Iterable[Variable]) -> Variable | None:
    """The setting of that name: its variable, or `section.setting`."""
    wanted = name.strip()
    return next((one for one in table if wanted.upper() == one.name or wanted.lower() == dotted(one)), None)


def variable_named(name: str) -> str:
    """The variable that a name means, also when there is no such setting any more."""
    wanted = name.strip().upper()
    return wanted if "." not in wanted else PREFIX + wanted.replace(".", NESTED)


def dotted(variable: Variable) -> str:
    return ".".join(variable.path)


def suggestion(name: str, table: Iterable[Variable]) -> str:
    """Words for a name that nothing has."""
    by_name = {shown: shown for one in table for shown in (one.name, dotted(one))}
    near = difflib.get_close_matches(name, by_name, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else "see `arbitrade settings list` for all there are"


def sift(
    values: Mapping[str, str], problems: Callable[[Mapping[str, str]], list[str]]
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Which of these overrides can be in force together: (those that can, why others cannot, what is wrong besides).

    Args:
        values: overrides by variable.
        problems: everything that is wrong with the settings when these overrides are in force, in words. A message
            about one variable begins with its name, as all of ours do.
    """
    left, wrong = dict(values), dict[str, str]()
    while left and (found := problems(left)):
        blamed = _named(found, left) or _only_without(found, left, problems)
        if not blamed:
            alone = problems({})
            if alone:
                return left, wrong, found
            # Together they are wrong, no one of them by itself: nothing tells which was meant.
            return {}, wrong | dict.fromkeys(left, found[0]), []
        wrong |= blamed
        left = {name: text for name, text in left.items() if name not in blamed}
    return left, wrong, [] if left else problems({})


def _named(found: Iterable[str], left: Mapping[str, str]) -> dict[str, str]:
    return {name: problem for problem in found if (name := problem.partition(" ")[0]) in left}


def _only_without(
    found: list[str], left: Mapping[str, str], problems: Callable[[Mapping[str, str]], list[str]]
) -> dict[str, str]:
    """A section's own check, or a plugin, names no variable: the override without which it is content.

    Without it something else may be told that was not looked at before, so what is left is not always less.
    """
    best: dict[str, str] = {}
    fewest = math.inf
    for name in left:
        without = problems({other: text for other, text in left.items() if other != name})
        gone = [problem for problem in found if problem not in without]
        if gone and len(without) < fewest:
            best, fewest = {name: gone[0]}, len(without)
    return best


def _holds_secret(annotation: object) -> bool:
    """Also inside a list or a mapping, where a type's alternatives do not show it."""
    if annotation in (SecretStr, SecretBytes):
        return True
    return any(_holds_secret(inner) for inner in get_args(getattr(annotation, "__value__", annotation)))
