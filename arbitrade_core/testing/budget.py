"""What a call costs, measured against a fixed piece of work in the same run.

Microseconds of one machine say nothing about another, and on a busy one they say nothing at all. A *reference
microsecond* is a unit of work, not of time: a fixed loop, counted in CPU time of this thread. It takes between half a
microsecond and a whole one on the machines it was tried on. The two are measured alternately and the best of each
counts, so that a neighbour's load falls on both.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

_ROUNDS = 5
_UNITS = 2_000
"""reference microseconds of one round"""


@dataclass(frozen=True, slots=True)
class Cost:
    per_call_us: float
    """in reference microseconds"""
    budget_us: float
    calls: int
    """of one round"""

    @property
    def within(self) -> bool:
        return self.per_call_us <= self.budget_us

    def __str__(self) -> str:
        return f"{self.per_call_us:.1f} reference us a call, budget {self.budget_us:g} us, {self.calls} calls a round"


def budget(
    call: Callable[[], object],
    *,
    per_call_us: float,
    calls: int = 1_000,
    cpu_ns: Callable[[], int] = time.thread_time_ns,
) -> Cost:
    """Call it again and again; what one call costs beside `per_call_us` reference microseconds."""
    best_call = best_unit = float("inf")
    for _ in range(_ROUNDS):
        began = cpu_ns()
        for _ in range(_UNITS):
            reference_microsecond()
        between = cpu_ns()
        for _ in range(calls):
            call()
        best_unit = min(best_unit, (between - began) / _UNITS)
        best_call = min(best_call, (cpu_ns() - between) / calls)
    return Cost(best_call / max(best_unit, 1e-3), per_call_us, calls)


def reference_microsecond() -> int:
    """The fixed piece of work: what interpreted code mostly does, and the same on every day."""
    total = 0
    for number in _NUMBERS:
        total += number & 7
    return total


_NUMBERS = tuple(range(35))
