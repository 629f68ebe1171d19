"""The state of books, asked of feeds while they trade, so that a reader may begin in the middle of a recording.

A few at a time, since it costs the trading loop something: as a video has its refresh, every book comes once in an
interval, and all of them as fast as may be after a gap.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog

from arbitrade_core.domain import Ns, PairId
from arbitrade_core.engine import Engine
from arbitrade_core.in_use import FOREIGN
from arbitrade_core.recording.entries import Entry, State
from arbitrade_core.spi import Feed, Recordable

_PAIRS_A_TICK = 8
"""Most books whose state is asked for at once: 50 us each, on the trading loop."""
_LOOK_EVERY = 10
"""ticks between two looks at what is listed and carried"""

_log = structlog.get_logger(__name__)


class States:
    """What feeds would say if they were asked now, a few books at a time: all of them once in `every_s`."""

    def __init__(self, engine: Engine, every_s: float) -> None:
        self.carried: tuple[str, ...] = ()
        """symbols, sorted"""
        self._engine = engine
        self._every_s = every_s
        self._feeds: list[tuple[Feed, Recordable]] = []
        self._pairs: list[PairId] = []
        """whose books are carried"""
        self._waiting: deque[PairId] = deque()
        """of this round"""
        self._round: Ns = 0
        self._asked: Ns = 0
        self._owed = 0.0
        self._listed: list[Any] = []
        self._list = True
        self._hurry = False
        self._ticks = 0
        self._failed: set[str] = set()

    def look(self) -> None:
        """What is there to ask for."""
        market = self._engine.market
        feeds = [port.feed for port in self._engine.in_use.feeds]
        self._feeds = [(feed, feed) for feed in feeds if isinstance(feed, Recordable) and feed.name not in self._failed]
        pairs = [pair for pair in range(len(market.pairs)) if market.carrier(pair) is not None]
        if pairs != self._pairs:  # a pair keeps its number and its symbol
            self._pairs = pairs
            self.carried = tuple(sorted(market.pairs[pair].symbol for pair in pairs))
        if self._listed != market.pairs:
            self._listed = list(market.pairs)
            self._list = True

    def start_over(self) -> None:
        """A reader knows nothing any more: everything, as fast as may be."""
        self._round = 0
        self._waiting.clear()
        self._hurry = True

    def due(self, now: Ns) -> list[Entry]:
        self._ticks += 1
        if self._ticks % _LOOK_EVERY == 0:
            self.look()
        since, self._asked = self._asked or now, now
        if not self._waiting and now >= self._round + int(self._every_s * 1e9):
            self._round = now
            self._owed = 0.0
            self._list = True
            self._waiting = deque(self._pairs)
        if self._list:
            self._list = False
            return self._of((), now) if self._listed else []
        if not self._waiting:
            self._hurry = False
            return []
        # A tenth faster than needed, so that a round is over before the next one begins.
        self._owed += 1.1 * len(self._pairs) * (now - since) / (self._every_s * 1e9)
        count = _PAIRS_A_TICK if self._hurry else min(int(self._owed), _PAIRS_A_TICK)
        self._owed -= min(self._owed, count)
        pairs = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        return self._of(pairs, now) if pairs else []

    def _of(self, pairs: Sequence[PairId], now: Ns) -> list[Entry]:
        states: list[Entry] = []
        market, feed_of = self._engine.market, self._engine.feed_of
        for feed, recordable in self._feeds:
            own = [pair for pair in pairs if (conn := market.carrier(pair)) is not None and feed_of(conn) is feed]
            if pairs and not own:
                continue
            try:
                states += [State(conn, data, now) for conn, data in recordable.state(own, now)]
            except FOREIGN:  # its frames are recorded all the same: only who begins in the middle misses something
                _log.exception("a feed cannot tell its state; recordings of it can be read from the start only")
                self._failed.add(feed.name)
        self._feeds = [(feed, one) for feed, one in self._feeds if feed.name not in self._failed]
        return states
