"""Time: the engine's timers, and the wall clock that the shell reads for it."""

import heapq
import time

from arbitrade_core.domain import Ns
from arbitrade_core.events import TimerAction

NEVER: Ns = 1 << 62


class Timers:
    """What is due when. Equal due times run in the order they were asked for, so a run repeats exactly."""

    def __init__(self) -> None:
        self._heap: list[tuple[Ns, int]] = []
        self._actions: dict[int, TimerAction] = {}
        self._asked = 0
        self.next_due: Ns = NEVER

    def at(self, due: Ns, action: TimerAction) -> int:
        """Run `action(due)` at `due`; returns a handle for `cancel`."""
        self._asked += 1
        self._actions[self._asked] = action
        heapq.heappush(self._heap, (due, self._asked))
        self.next_due = self._heap[0][0]
        return self._asked

    def cancel(self, handle: int) -> None:
        """Forget a timer; one that already ran is no error."""
        self._actions.pop(handle, None)
        self._drop_cancelled()

    def pop(self, now: Ns) -> tuple[Ns, TimerAction] | None:
        """The next action due at or before `now`, with its own due time."""
        self._drop_cancelled()
        if self.next_due > now:
            return None
        due, handle = heapq.heappop(self._heap)
        action = self._actions.pop(handle)
        self._drop_cancelled()
        return due, action

    def _drop_cancelled(self) -> None:
        heap = self._heap
        while heap and heap[0][1] not in self._actions:
            heapq.heappop(heap)
        self.next_due = heap[0][0] if heap else NEVER


class WallClock:
    """Nanoseconds since the epoch that never jump: wall time at start, advanced by the monotonic clock.

    A step of the system clock while the bot runs would otherwise make timers fire early or never, and books look
    stale or young. The offset to the exchange's clock is estimated by the feed, from pings.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> Ns:
        return self._offset + time.monotonic_ns()
