"""How fast we may talk, connect and try again (PROTOCOL 1.1). Pure arithmetic on injected times."""

from collections import deque
from collections.abc import Sequence

from arbitrade_core.domain import Ns

SECOND: Ns = 1_000_000_000
MILLISECOND: Ns = 1_000_000
SETTLED_NS: Ns = 60 * SECOND
"""A connection or book that held this long starts over with the shortest delay."""
_ALERT_AFTER = 3


class TokenBucket:
    """`rate_per_s` messages a second, `burst` at once after a rest."""

    def __init__(self, rate_per_s: float, burst: int, now: Ns) -> None:
        self._interval_ns = max(1, round(SECOND / rate_per_s))
        self._window_ns = self._interval_ns * (burst - 1)
        self._full_at = now
        """when the bucket is full again if nothing more is taken"""

    def ready_at(self) -> Ns:
        """From when on a message may leave."""
        return self._full_at - self._window_ns

    def take(self, now: Ns) -> None:
        """Take one token, at `ready_at` or later."""
        self._full_at = max(self._full_at, now) + self._interval_ns


class AttemptBudget:
    """At most `attempts` in any window of `window_ns`, over all connections of this address."""

    def __init__(self, attempts: int, window_ns: Ns) -> None:
        self._attempts = attempts
        self._window_ns = window_ns
        self._taken: deque[Ns] = deque()

    def ready_at(self, now: Ns) -> Ns:
        """When the next attempt may be made: `now`, or later."""
        while self._taken and self._taken[0] <= now - self._window_ns:
            self._taken.popleft()
        return now if len(self._taken) < self._attempts else self._taken[0] + self._window_ns

    def take(self, now: Ns) -> None:
        self._taken.append(now)


class Backoff:
    """Delays that grow with each failure in a row and stay at the last one."""

    def __init__(self, delays_ns: Sequence[Ns]) -> None:
        self._delays_ns = delays_ns
        self.failures = 0

    def next_delay_ns(self) -> Ns:
        delay = self._delays_ns[min(self.failures, len(self._delays_ns) - 1)]
        self.failures += 1
        return delay

    def reset(self) -> None:
        self.failures = 0


def worth_telling(failures: int) -> bool:
    """Whether an operator hears of that many failures in a row: the third, the sixth, the twelfth ..."""
    times, rest = divmod(failures, _ALERT_AFTER)
    return times > 0 and rest == 0 and times & (times - 1) == 0
