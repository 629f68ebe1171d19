"""Rules with numbers, written once and used two ways: as tests of a pytest class, and one by one by `examine`."""

import inspect
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from io import StringIO
from typing import Any, ClassVar
from unittest import SkipTest

from arbitrade_core.testing.budget import Cost, budget


class Broken(AssertionError):
    """What was tried breaks a rule; the message says which value, and what was expected."""


def holds(condition: object, words: str) -> None:
    """Raises Broken when the condition does not hold. `words` say what was seen, with the value."""
    if not condition:
        raise Broken(words)


def skip(reason: str) -> None:
    """The rule says nothing of this object. Raises `unittest.SkipTest`, which pytest takes for a skip."""
    raise SkipTest(reason)


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Rule:
    number: str
    """`RISK-03`"""
    what: str
    """the first line of its docstring"""
    source: str
    """where it comes from: `DESIGN 3`, `TRADING 29`, `RELIABILITY 14`, `STYLE 9`"""
    method: str


@dataclass(frozen=True, slots=True)
class Result:
    number: str
    what: str
    verdict: Verdict
    reason: str = ""


def rule[F: Callable[..., None]](number: str, *, source: str) -> Callable[[F], F]:
    """Marks a method of a contract as a rule: named `test_...`, with a docstring that says what must hold and why."""

    def mark(function: F) -> F:
        what = inspect.cleandoc(function.__doc__ or "").partition("\n")[0]
        setattr(function, _MARK, Rule(number, what, source, function.__name__))
        return function

    return mark


_MARK = "__arbitrade_rule__"


class Contract[T]:
    """What every object of a kind must hold. Subclass one, give `make`, and pytest runs its rules:

        class TestMyCheck(RiskCheckContract):
            def make(self) -> RiskCheck:
                return MyCheck(min_levels=3)

    `make` returns a new object each time it is called.
    """

    KIND: ClassVar[str] = ""
    judges_cost: bool = False
    """whether the budget rule fails who is over it, or only tells the figure"""

    def make(self) -> T:
        raise NotImplementedError(f"{type(self).__name__} does not say how to make the object: give it a `make`")

    @classmethod
    def rules(cls) -> list[Rule]:
        """In the order of their numbers."""
        marked = (getattr(getattr(cls, name), _MARK, None) for name in dir(cls) if name.startswith("test_"))
        return sorted((one for one in marked if isinstance(one, Rule)), key=lambda one: one.number)

    def judge_cost(self, call: Callable[[], object], per_call_us: float, calls: int = 200) -> None:
        """Measure, and tell or judge."""
        cost: Cost = budget(call, per_call_us=per_call_us, calls=calls)
        if not self.judges_cost:
            skip(f"not judged (--budget): {cost}")
        holds(cost.within, str(cost))


def examine(contract: Contract[Any], only: Collection[str] | None = None) -> Iterator[Result]:
    """Run every rule, or `only` those of some numbers.

    Nothing of the object's own output gets out, and whatever it raises fails that rule alone.
    """
    for one in contract.rules():
        if only is not None and one.number not in only:
            continue
        verdict, reason = Verdict.PASSED, ""
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                getattr(contract, one.method)()
        except SkipTest as error:
            verdict, reason = Verdict.SKIPPED, str(error)
        except Broken as error:
            verdict, reason = Verdict.FAILED, str(error)
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything; that rule failed, and says how
            verdict, reason = Verdict.FAILED, f"{type(error).__name__}: {error} ({_place(error)})"
        yield Result(one.number, one.what, verdict, reason)


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}, line {last.lineno}"


def holds_name(thing: Any, kind: str) -> None:
    """Every registered object has a name that messages, settings and the catalogue can use."""
    name = getattr(thing, "name", None)
    holds(
        isinstance(name, str)
        and name.isascii()
        and name.replace("_", "").replace("-", "").isalnum()
        and name.islower(),
        f"the {kind}'s name is {name!r}; it must be lower-case letters, digits, - and _",
    )
    holds(thing.name == name, f"the {kind}'s name was {name!r} and is {thing.name!r}; it must not change")
