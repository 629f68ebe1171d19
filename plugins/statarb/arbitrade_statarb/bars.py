"""Closed bars of mid prices, made from quotes that come when they come.

A bar is the span `[k * bar_ns, (k + 1) * bar_ns)` since the epoch; its price is the last mid seen in it. It closes
when time passes its end and never before, so what is decided on closed bars knows nothing of the future. All
symbols close together: a pair's two prices are always of the same moment.

A symbol without a quote in a bar keeps its last mid for at most `max_gap_bars` bars, and the bar says how old it is.
After that the symbol is absent, and whatever was computed over its bars begins anew (`history`).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from arbitrade_core.domain import Ns
from arbitrade_core.errors import InvariantError
from arbitrade_statarb.errors import SeriesError


@dataclass(frozen=True, slots=True)
class Mid:
    """A symbol's mid at the close, in quote per base. `age_bars` 0: quoted, or known unchanged, in this very bar."""

    price: float
    age_bars: int


@dataclass(frozen=True, slots=True)
class Bars:
    """One closed bar of every symbol that has a price; an absent symbol is a gap."""

    end_ns: Ns
    """exclusive: everything in the bar was seen before"""
    mids: Mapping[str, Mid]


class BarClock:
    """Turns quotes into `Bars`. Time only goes forward."""

    def __init__(self, bar_ns: int, max_gap_bars: int) -> None:
        self._bar_ns = bar_ns
        self._max_gap_bars = max_gap_bars
        self._open: int | None = None
        """number of the bar that is open; None before the first quote"""
        self._seen: dict[str, tuple[float, int]] = {}
        """by symbol: last mid, and the bar it is of"""

    @property
    def next_close_ns(self) -> Ns | None:
        """When `advance` has something to close: what to set a timer for. None before the first quote."""
        return None if self._open is None else (self._open + 1) * self._bar_ns

    def observe(self, symbol: str, bid: float, ask: float, now: Ns) -> list[Bars]:
        """Take a quote. Returns the bars that `now` closed, oldest first; the quote is in none of them.

        Raises:
            SeriesError: the quote is no market (not finite, not positive, or crossed).
        """
        if not 0.0 < bid < ask < math.inf:
            raise SeriesError(
                f"{symbol}: bid {bid} and ask {ask} at {now} ns are no market; offer quotes of usable books only"
            )
        closed = self.advance(now)
        self._open = now // self._bar_ns
        self._seen[symbol] = (bid + (ask - bid) / 2.0, self._open)
        return closed

    def advance(self, now: Ns, unchanged: Collection[str] = ()) -> list[Bars]:
        """Close the bars that ended at or before `now`, oldest first.

        `unchanged` names symbols whose books are known good and did not change since their last quote: quiet pairs
        are normal (TRADING 28), so their mid is of today, not carried. A stretch in which nothing is known is one
        empty bar, however long.

        Raises:
            InvariantError: time went backward.
        """
        bar = now // self._bar_ns
        if self._open is None:
            return []
        if bar < self._open:
            raise InvariantError(
                f"bars: time {now} ns lies in bar {bar}, but bar {self._open} is already open; feed them in order"
            )
        for symbol in unchanged:
            if symbol in self._seen:
                self._seen[symbol] = (self._seen[symbol][0], bar)
        closed: list[Bars] = []
        while self._open < bar:
            closed.append(self._close(self._open))
            self._open = self._open + 1 if closed[-1].mids else bar
        return closed

    def _close(self, bar: int) -> Bars:
        mids: dict[str, Mid] = {}
        for symbol, (price, seen) in list(self._seen.items()):
            age_bars = max(0, bar - seen)
            if age_bars > self._max_gap_bars:
                del self._seen[symbol]
            else:
                mids[symbol] = Mid(price, age_bars)
        return Bars((bar + 1) * self._bar_ns, mids)
