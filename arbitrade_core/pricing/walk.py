"""The walk: how deep a cycle pays into each of its books. Floats, to rank; the choice is recomputed exactly.

A plan has one limit per leg, and its quantities fund each other at these limits (leftovers count as zero), so what
it earns depends on how deep each leg goes: a vector of depths. Within one vector the largest size is the best as
long as the product of the net limit rates exceeds the marginal stop. Among vectors only one chain needs a look:
start at the tops, find the leg whose depth binds the size, open that leg's next level. A vector that is deeper
elsewhere and not there is no larger and pays worse prices: it is dominated. By induction the chain holds an
optimum; it ends when the product falls to the stop, the budget binds, or the binding book is exhausted. This is
TRADING 12's walk, made optimal for plans whose every leg has one limit.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from arbitrade_core.domain import FeeCurrency, Side
from arbitrade_core.legs import base_fee_rate, limit_ticks, quote_fee_rate
from arbitrade_core.pricing.messages import LegInput


class Ladder:
    """One leg's book, opened level by level, best first; levels without liquidity are passed over.

    By depth opened: `limits` (ticks, on the order grid) and `caps` (lots within the limit, whole order lots).
    At the present depth, fees in the adverse currency: `need` (spent per unit of base at the limit), `rate` (got
    per unit spent) and `brings` (got for all within the limit).
    """

    __slots__ = (
        "_base_rate",
        "_buys",
        "_costs",
        "_index",
        "_leg",
        "_levels",
        "_lots",
        "_price_unit",
        "_qty_unit",
        "_quote_rate",
        "brings",
        "caps",
        "give",
        "limits",
        "need",
        "rate",
    )

    def __init__(self, leg: LegInput, max_levels: int) -> None:
        self._leg = leg
        self._buys = leg.leg.side is Side.BUY
        self._levels = leg.levels[:max_levels]
        self._index = 0
        self._price_unit = float(leg.pair.price_unit)
        self._qty_unit = float(leg.pair.qty_unit)
        self._quote_rate = float(quote_fee_rate(leg.fee))
        self._base_rate = float(base_fee_rate(leg.fee))
        self._lots: list[int] = []
        self._costs: list[float] = []
        self.limits: list[int] = []
        self.caps: list[int] = []
        self.need = self.give = self.rate = self.brings = 0.0

    def deepen(self) -> bool:
        """Open the next level; False when there is none that an order can reach."""
        levels, index = self._levels, self._index
        while index < len(levels) and levels[index][1] <= 0:
            index += 1
        if index == len(levels):
            return False
        ticks, lots = levels[index]
        pair = self._leg.pair
        limit = limit_ticks(self._leg.leg.side, pair, ticks)
        if limit <= 0:
            return False
        self._index = index + 1
        cost = lots * ticks * self._price_unit * self._qty_unit
        if self._lots:
            lots += self._lots[-1]
            cost += self._costs[-1]
        cap = lots - lots % pair.lot_multiple
        self._lots.append(lots)
        self._costs.append(cost)
        self.limits.append(limit)
        self.caps.append(cap)
        price = limit * self._price_unit
        if self._buys:
            self.need = price * (1 + self._quote_rate)
            self.give = 1 - self._base_rate
        else:
            self.need = 1 + self._base_rate
            self.give = price * (1 - self._quote_rate)
        self.rate = self.give / self.need
        self.brings = cap * self._qty_unit * self.give
        return True

    def spends(self, qty: float) -> float:
        """Expected to be spent for `qty` of base, at the levels' own prices."""
        fee = self._leg.fee
        rate = float(fee.rate)
        if self._buys:
            return self._cost(qty) * (1 if fee.currency is FeeCurrency.BASE else 1 + rate)
        return qty * (1 + rate if fee.currency is FeeCurrency.BASE else 1)

    def gets(self, qty: float) -> float:
        """Expected to be got for `qty` of base, at the levels' own prices."""
        fee = self._leg.fee
        rate = float(fee.rate)
        if self._buys:
            return qty * (1 - rate if fee.currency is FeeCurrency.BASE else 1)
        return self._cost(qty) * (1 if fee.currency is FeeCurrency.BASE else 1 - rate)

    def _cost(self, qty: float) -> float:
        """In the quote asset, from the levels opened so far."""
        lots, costs = self._lots, self._costs
        wanted = qty / self._qty_unit
        at = bisect_left(lots, wanted, 0, len(lots) - 1)
        if at == 0:
            return costs[0] * wanted / lots[0]
        below = costs[at - 1]
        return below + (costs[at] - below) * (wanted - lots[at - 1]) / (lots[at] - lots[at - 1])


type Depths = list[tuple[int, int]]
"""Per leg: limit in ticks on the order grid, and the lots within it (whole order lots)."""


def rank_depths(ladders: Sequence[Ladder], budget: float, stop: float, wanted: float) -> Iterator[Depths]:
    """The depths worth trying, best first; none when the tops do not return more than `stop`.

    Best is the highest expected profit among those that return at least `wanted` on the whole, then among the
    rest: a desk that asks for an edge gets the smaller size that has it. `ladders` stand at their first levels;
    `budget` is in the asset that the first leg spends; returns are factors (1.0005 is 5 bps).
    """
    first, last = ladders[0], ladders[-1]
    backwards = list(reversed(list(enumerate(ladders))))
    found: list[tuple[bool, float, int]] = []
    opened: list[int] = []
    while True:
        end, binding = math.inf, -1
        rate = 1.0
        for index, ladder in backwards:
            brings = ladder.brings * rate
            if brings < end:
                end, binding = brings, index
            rate *= ladder.rate
        if rate <= stop:
            break
        if budget * rate < end:
            end, binding = budget * rate, -1
        spent, got = first.spends(end / rate / first.need), last.gets(end / last.give)
        found.append((got >= spent * wanted, got - spent, len(opened)))
        if binding < 0 or not ladders[binding].deepen():
            break
        opened.append(binding)
    found.sort(reverse=True)
    for _, _, steps in found:
        depths = [opened[:steps].count(index) for index in range(len(ladders))]
        yield [
            (ladder.limits[depth], ladder.caps[depth]) for ladder, depth in zip(ladders, depths, strict=True)
        ]
