"""One order book: price levels of both sides in integer ticks and lots, best first.

Sorted list plus dict with bisect: at these depths 4.4 times faster than SortedDict (docs/adr/0002). Bids are kept
under negated ticks, so that "best first" is ascending on both sides and one piece of code serves both.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from arbitrade_core.domain import Side

type Level = tuple[int, int]
"""(ticks, lots)"""


class BookSide:
    """One side. `keys` are sign * ticks, ascending, best first; `lots` by key."""

    __slots__ = ("keys", "lots", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.lots: dict[int, int] = {}

    def replace(self, levels: Iterable[Level], depth: int) -> None:
        self.keys.clear()
        self.lots.clear()
        self.change(levels, depth)

    def change(self, levels: Iterable[Level], depth: int) -> None:
        """Apply in order (a later level at the same price wins), then cut to `depth` levels."""
        keys, lots, sign = self.keys, self.lots, self.sign
        for ticks, qty in levels:
            key = sign * ticks
            if qty:
                if key not in lots:
                    insort(keys, key)
                lots[key] = qty
            elif key in lots:
                del lots[key]
                del keys[bisect_left(keys, key)]
        if len(keys) > depth:
            for key in keys[depth:]:
                del lots[key]
            del keys[depth:]

    def levels(self, limit: int | None = None) -> list[Level]:
        """Best first."""
        sign, lots = self.sign, self.lots
        return [(sign * key, lots[key]) for key in self.keys[:limit]]

    def lots_at(self, ticks: int) -> int:
        return self.lots.get(self.sign * ticks, 0)

    def best(self) -> int | None:
        """Best price in ticks, None when the side is empty."""
        return self.sign * self.keys[0] if self.keys else None


class Book:
    """Both sides of one pair, cut to `depth` levels a side after every message."""

    __slots__ = ("asks", "bids", "depth")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids = BookSide(-1)
        self.asks = BookSide(1)

    def apply(self, bids: Sequence[Level], asks: Sequence[Level], snapshot: bool) -> None:
        if snapshot:
            self.bids.replace(bids, self.depth)
            self.asks.replace(asks, self.depth)
        else:
            if bids:
                self.bids.change(bids, self.depth)
            if asks:
                self.asks.change(asks, self.depth)

    def clear(self) -> None:
        self.apply((), (), snapshot=True)

    @property
    def crossed(self) -> bool:
        """Best bid at or above best ask: not a market, whatever its checksum says."""
        return bool(self.bids.keys and self.asks.keys and -self.bids.keys[0] >= self.asks.keys[0])

    def taken_by(self, side: Side) -> BookSide:
        """The side that an order of `side` takes from: a buy takes asks."""
        return self.asks if side is Side.BUY else self.bids
