"""One order book: resting quantity by price level, and what a change of it looks like at each depth.

Both sides are sorted by *key*, best first: a bid's key is minus its price in ticks, an ask's key is the
price. A change is bracketed by `begin` and `finish`: the book is changed at once, and the resulting `Change`
says what subscribers at a given depth must be told, the levels that move up into view included. Nobody is
told of levels that fall out of view: truncating is the subscriber's part (PROTOCOL 1.7, rules 2 and 4).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from .checksum import LEVELS, checksum

BID, ASK = 0, 1
_BEYOND = 1 << 80
"""A key behind every level: the edge of a view that shows the whole side."""

type Levels = list[tuple[int, int]]
"""(ticks, lots), in the order in which they are sent; lots 0 deletes"""


class Fill(NamedTuple):
    ticks: int
    lots: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a taker's order did."""

    side: str
    """of the taker: buy or sell"""
    ord_type: str
    """market or limit"""
    fills: list[Fill]


@dataclass(slots=True)
class Change:
    """What happened to a book between `begin` and `finish`."""

    at_depth: dict[int, tuple[Levels, Levels]]
    """(bids, asks) to send to subscribers of each depth that sees anything of it"""
    checksum: int
    """of the book afterwards"""


class OrderBook:
    __slots__ = ("_before", "_edges", "_log", "sides")

    def __init__(self) -> None:
        self.sides: tuple[Any, Any] = (SortedDict(), SortedDict())
        """lots by key; SortedDict carries no types"""
        self._log: tuple[Levels, Levels] = ([], [])
        self._before: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._edges: dict[int, tuple[int, int]] = {}

    def best(self, side: int) -> int | None:
        """Best price in ticks."""
        if not self.sides[side]:
            return None
        key: int = self.sides[side].peekitem(0)[0]
        return -key if side == BID else key

    def top(self, side: int, depth: int) -> Levels:
        """The `depth` best levels, best first."""
        levels, sign = self.sides[side], -1 if side == BID else 1
        return [(sign * key, levels[key]) for key in islice(levels, depth)]

    def crossed(self) -> bool:
        bids, asks = self.sides
        return bool(bids) and bool(asks) and -bids.peekitem(0)[0] >= asks.peekitem(0)[0]

    def checksum(self) -> int:
        return checksum(self.top(ASK, LEVELS), self.top(BID, LEVELS))

    def begin(self, depths: Iterable[int]) -> None:
        """Start a change that subscribers of these depths will see."""
        self._log = ([], [])
        self._before = ({}, {})
        self._edges = {depth: (self._edge(BID, depth), self._edge(ASK, depth)) for depth in depths}

    def put(self, side: int, key: int, lots: int) -> None:
        """Set a level; lots 0 deletes it."""
        levels = self.sides[side]
        self._before[side].setdefault(key, levels.get(key, 0))
        self._log[side].append((key, lots))
        if lots:
            levels[key] = lots
        else:
            levels.pop(key, None)

    def take(self, side: int, lots: int, limit_key: int | None = None) -> list[Fill]:
        """A taker's order eats the side, best first, up to its limit; returns its fills."""
        sign = -1 if side == BID else 1
        fills: list[Fill] = []
        while lots and self.sides[side]:
            key, resting = self.sides[side].peekitem(0)
            if limit_key is not None and key > limit_key:
                break
            eaten = min(lots, resting)
            self.put(side, key, resting - eaten)
            fills.append(Fill(sign * key, eaten))
            lots -= eaten
        return fills

    def finish(self, *, scrambled: bool = False) -> Change:
        """End the change. Levels go best first, or worst first when scrambled: both occur on the wire."""
        at_depth: dict[int, tuple[Levels, Levels]] = {}
        for depth, edges in self._edges.items():
            bids, asks = (
                self._visible(side, depth, edges[side], scrambled) if self._log[side] else [] for side in (BID, ASK)
            )
            if bids or asks:
                at_depth[depth] = (bids, asks)
        return Change(at_depth, self.checksum() if at_depth else 0)

    def _visible(self, side: int, depth: int, old_edge: int, scrambled: bool) -> Levels:
        levels, before, log = self.sides[side], self._before[side], self._log[side]
        new_edge = self._edge(side, depth)
        seen: Levels = []
        for key, lots in log:
            if key in levels:
                if key <= new_edge:
                    seen.append((key, lots))
            elif key <= old_edge and before[key]:
                seen.append((key, lots))
        if new_edge > old_edge:
            entering = levels.irange(old_edge, new_edge, inclusive=(False, True))
            seen += [(key, levels[key]) for key in entering if key not in before]
        if len(seen) > 1:
            # A stable sort keeps repeated sets of one level in their order: the last one wins.
            repeated = len({key for key, _ in seen}) < len(seen)
            seen.sort(key=_key, reverse=scrambled and not repeated)
        return [(-key, lots) for key, lots in seen] if side == BID else seen

    def _edge(self, side: int, depth: int) -> int:
        levels = self.sides[side]
        edge: int = levels.peekitem(depth - 1)[0] if len(levels) >= depth else _BEYOND
        return edge


def _key(level: tuple[int, int]) -> int:
    return level[0]
