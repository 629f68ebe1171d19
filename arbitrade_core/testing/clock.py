"""Time that passes when a test says so, with the timers that are due on the way."""

from arbitrade_core.clock import NEVER, Timers
from arbitrade_core.domain import Ns
from arbitrade_core.events import TimerAction
from arbitrade_core.testing.builders import MS, START_NS, S


class SimClock:
    """Implements `events.Clockwork`; calling it tells the time.

    clock.at(clock.now + 5 * S, ring)
    clock.passes(s=10)          # ring(due) was called, at its own time
    """

    def __init__(self, start_ns: Ns = START_NS) -> None:
        self.now = start_ns
        self._timers = Timers()

    def __call__(self) -> Ns:
        return self.now

    def at(self, due: Ns, action: TimerAction) -> int:
        return self._timers.at(due, action)

    def cancel(self, handle: int) -> None:
        self._timers.cancel(handle)

    @property
    def next_due(self) -> Ns | None:
        """When the next timer runs; None: none is set."""
        return None if self._timers.next_due == NEVER else self._timers.next_due

    def passes(self, *, ms: float = 0, s: float = 0, at_most: int = 100_000) -> int:
        """Let time go by; due timers run in order, at their own time. Returns how many ran.

        Raises:
            RuntimeError: more than `at_most` ran, so somebody sets timers that are due at once, for ever.
        """
        until = self.now + round(ms * MS) + round(s * S)
        ran = 0
        while (due := self._timers.pop(until)) is not None:
            ran += 1
            if ran > at_most:
                raise RuntimeError(
                    f"more than {at_most} timers within {(until - self.now) / S:g} s; is one due at once?"
                )
            self.now = max(self.now, due[0])
            due[1](self.now)
        self.now = until
        return ran
