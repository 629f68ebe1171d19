"""Liquidity promised to plans that are approved and not done with it yet.

Each approval takes its levels out of what the next candidate is priced on (TRADING 6), until the leg's order is
over: from then on what was really taken shows in the book itself, or on paper in the venue's overlay.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from arbitrade_core.book import Level
from arbitrade_core.domain import PairId, Side

NOTHING: Mapping[int, int] = MappingProxyType({})


class Claims:
    """Lots per price, by pair and side an order takes from, by the order that may take them."""

    def __init__(self) -> None:
        self._held: dict[tuple[PairId, Side], dict[str, dict[int, int]]] = {}
        self._where: dict[str, tuple[PairId, Side]] = {}

    def promise(self, order_id: str, pair: PairId, side: Side, levels: Sequence[Level], lots: int) -> None:
        """Claim `lots` from `levels`, best first."""
        taken: dict[int, int] = {}
        for ticks, available in levels:
            if lots <= 0:
                break
            taken[ticks] = min(lots, available)
            lots -= taken[ticks]
        self._held.setdefault((pair, side), {})[order_id] = taken
        self._where[order_id] = (pair, side)

    def release(self, order_id: str) -> None:
        where = self._where.pop(order_id, None)
        if where is not None:
            held = self._held[where]
            del held[order_id]
            if not held:
                del self._held[where]

    def __len__(self) -> int:
        return len(self._where)

    def on(self, pair: PairId, side: Side, but_of: frozenset[str] = frozenset()) -> Mapping[int, int]:
        """Lots per price tick claimed by others than the orders `but_of`."""
        held = self._held.get((pair, side))
        if not held:
            return NOTHING
        total: dict[int, int] = {}
        for order_id, taken in held.items():
            if order_id not in but_of:
                for ticks, lots in taken.items():
                    total[ticks] = total.get(ticks, 0) + lots
        return total


def net_of(levels: Sequence[Level], *taken: Mapping[int, int]) -> list[Level]:
    """The levels less what was taken or promised; a level with nothing left is gone."""
    left: list[Level] = []
    for ticks, lots in levels:
        for gone in taken:
            if gone:
                lots -= gone.get(ticks, 0)  # noqa: PLW2901
        if lots > 0:
            left.append((ticks, lots))
    return left
