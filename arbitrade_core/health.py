"""Care for books that cannot be trusted: out of use alone, until a fresh snapshot verifies.

Whether one can be trusted the market knows, from its blocks, and the feed, from its checksums.
"""

from collections.abc import Callable
from functools import partial

from arbitrade_core.clock import Timers
from arbitrade_core.domain import Ns, PairId, Severity
from arbitrade_core.events import BookUpdate
from arbitrade_core.in_use import PartsInUse
from arbitrade_core.market import IGNORED, Block, Market
from arbitrade_core.outbox import Outbox

CROSSED_LIMIT_NS = 5_000_000_000
"""A book that stays crossed this long is fetched anew: Kraken's checksum vouches for crossed books too."""


class BookHealth:
    """One engine's. `reweigh` has detectors look at a pair whose rates changed without an update, and what rose."""

    def __init__(
        self,
        market: Market,
        timers: Timers,
        out: Outbox,
        in_use: PartsInUse,
        reweigh: Callable[[PairId, Ns, int], None],
    ) -> None:
        self.mismatches = 0
        self._market = market
        self._timers = timers
        self._out = out
        self._in_use = in_use
        self._reweigh = reweigh
        self._watched: set[PairId] = set()
        """pairs with a timer that looks whether the book is still crossed"""

    def restore(self, update: BookUpdate, now: Ns) -> bool:
        """A snapshot came: the pair is back in use if it verifies, as is returned; else another is asked for."""
        rose = self._market.restore(update, now)
        if rose == IGNORED:
            self.mismatch(update.pair, now)
            return False
        self._reweigh(update.pair, now, rose)
        self.watch_crossed(update.pair, now)
        return True

    def mismatch(self, pair: PairId, now: Ns) -> None:
        """The book is not what its feed's checksum vouches for."""
        self.mismatches += 1
        self.quarantine(pair, "checksum mismatch", now)

    def quarantine(self, pair: PairId, reason: str, now: Ns) -> None:
        """Take one pair out of use, drop its cycles, and ask its feed for a fresh snapshot."""
        if self._market.quarantine(pair, reason):
            symbol = self._market.pairs[pair].symbol
            self._out.record("quarantine", now, {"symbol": symbol, "reason": reason})
            self._out.notify(Severity.WARNING, "market.quarantine", f"{symbol} is out of use: {reason}", now)
        self._reweigh(pair, now, 0)
        for port in list(self._in_use.feeds):
            if pair in port.listed:
                self._in_use.guarded(port.feed, partial(port.feed.resync, pair, now), now)

    def watch_crossed(self, pair: PairId, now: Ns) -> None:
        """A crossed book is out of use by itself; one that stays crossed is quarantined and fetched anew."""
        if not self._market.blocks[pair] & Block.CROSSED or pair in self._watched:
            return
        self._watched.add(pair)

        def look(at: Ns) -> None:
            if not self._market.blocks[pair] & Block.CROSSED:
                self._watched.discard(pair)
                return
            due = self._market.crossed_since[pair] + CROSSED_LIMIT_NS
            if due > at:  # it was uncrossed in between
                self._timers.at(due, look)
                return
            self._watched.discard(pair)
            self.quarantine(pair, f"crossed for {CROSSED_LIMIT_NS // 10**9} s", at)

        self._timers.at(now + CROSSED_LIMIT_NS, look)
