"""What plugins' objects cost: CPU time of the trading thread, sampled, judged by the window (DESIGN 3).

On the hot path one message in `every` is measured and counts for all of them, since reading the thread's clock twice
costs as much as scoring a quiet message. Rare calls, a risk check or an executor, are measured each. The figures are
the shell's: an overrun comes back into the engine as an input, and a replay, which has no meter, sees the same input.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from arbitrade_core.domain import Ns
from arbitrade_core.parts import Part, Parts


@dataclass(slots=True)
class Cost:
    """Of one object since it came into use."""

    calls: int = 0
    """measured ones"""
    cpu_ns: int = 0
    """of the measured calls"""
    worst_ns: int = 0
    window_ns: int = 0
    """all calls of the window, the unmeasured ones estimated"""


@dataclass(frozen=True, slots=True)
class Overrun:
    kind: Part
    name: str
    reason: str


class Meter:
    def __init__(
        self,
        *,
        every: int = 32,
        share: float = 0.5,
        window_s: float = 10.0,
        cpu_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        """`share` of one core is what an object may use over a window of `window_s`."""
        self.every = every
        self.left = every
        """messages until the next measured one"""
        self.cpu_ns = cpu_ns
        self._share = share
        self._window_ns = int(window_s * 1e9)
        self._began: Ns | None = None
        self._costs: dict[tuple[Part, str], Cost] = {}

    def turn(self) -> bool:
        """Whether this message is the one to measure."""
        self.left -= 1
        if self.left:
            return False
        self.left = self.every
        return True

    def charge(self, kind: Part, name: str, cpu_ns: int, times: int = 1) -> None:
        """One measured call that stands for `times` of them."""
        cost = self._costs.get((kind, name))
        if cost is None:
            cost = self._costs[kind, name] = Cost()
        cost.calls += 1
        cost.cpu_ns += cpu_ns
        cost.worst_ns = max(cost.worst_ns, cpu_ns)
        cost.window_ns += cpu_ns * times

    def judge(self, now: Ns) -> list[Overrun]:
        """Who used more than the budget in the window that ends now; nobody before it is over."""
        if self._began is None:
            self._began = now
        elapsed_ns = now - self._began
        if elapsed_ns < self._window_ns:
            return []
        self._began = now
        found: list[Overrun] = []
        for (kind, name), cost in self._costs.items():
            used = cost.window_ns / elapsed_ns
            cost.window_ns = 0
            if used > self._share:
                seconds = elapsed_ns / 1e9
                found.append(
                    Overrun(
                        kind,
                        name,
                        f"used {used:.0%} of a core over {seconds:.0f} s, the budget is {self._share:.0%}"
                        f" (ARBITRADE_ISOLATION__BUDGET_SHARE)",
                    )
                )
        return found

    def costs(self, parts: Parts | None) -> Sequence[dict[str, Any]]:
        """What a plugin's objects cost a call, in microseconds of CPU."""
        return [
            {
                "kind": kind.value,
                "name": name,
                "measured": cost.calls,
                "mean_us": round(cost.cpu_ns / cost.calls / 1e3, 2),
                "worst_us": round(cost.worst_ns / 1e3, 1),
            }
            for (kind, name), cost in sorted(self._costs.items())
            if parts is not None and parts.owns(kind, name)
        ]

    def forget(self, parts: Parts) -> None:
        """The objects are out of use; those of a later life begin anew."""
        for kind, name in [key for key in self._costs if parts.owns(*key)]:
            del self._costs[kind, name]
