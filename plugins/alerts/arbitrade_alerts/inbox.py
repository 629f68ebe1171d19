"""The queue between trading and telling: putting never waits and never fails, and its length is bounded."""

from collections import deque

from arbitrade_core.domain import Alert, Severity


class Inbox:
    """Most severe first, then oldest first. When it is full the oldest of the least severe goes, and is counted.

    Any thread may put; one thread takes. No lock: each step is one operation of a deque, and several threads that put
    at once may go over the bound by one each.
    """

    def __init__(self, capacity: int) -> None:
        self.dropped = 0
        self._capacity = capacity
        self._info: deque[Alert] = deque()
        self._warning: deque[Alert] = deque()
        self._critical: deque[Alert] = deque()

    def __len__(self) -> int:
        return len(self._info) + len(self._warning) + len(self._critical)

    def put(self, alert: Alert) -> None:
        if len(self) >= self._capacity and not self._make_room(alert.severity):
            self.dropped += 1
            return
        self._line(alert.severity).append(alert)

    def take(self) -> Alert | None:
        for line in (self._critical, self._warning, self._info):
            try:
                return line.popleft()
            except IndexError:  # empty, perhaps only since whoever put has just made room
                continue
        return None

    def _make_room(self, severity: Severity) -> bool:
        """False when everything in it is more severe."""
        for line in (self._info, self._warning, self._critical):
            try:
                line.popleft()
            except IndexError:
                pass
            else:
                self.dropped += 1
                return True
            if line is self._line(severity):
                return False
        return False

    def _line(self, severity: Severity) -> deque[Alert]:
        if severity is Severity.INFO:
            return self._info
        return self._warning if severity is Severity.WARNING else self._critical
