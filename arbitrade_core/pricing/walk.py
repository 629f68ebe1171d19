"""The walk: how deep a cycle pays into each of its books. Floats, to rank; the choice is recomputed exactly.

A plan has one limit per leg, and its quantities fund each other at these limits (leftovers count as zero), so
what it earns depends on how deep each leg goes: a vector of depths. Within one vector the largest size is the
best as long as the product of the net limit rates exceeds the marginal stop. Among vectors only one chain needs a
look: start at the tops, find the leg whose depth binds the size, open that leg's next level. A vector that is
deeper elsewhere and not there is no larger and pays worse prices: it is dominated. By induction the chain holds
an optimum; it ends when the product falls to the stop, the budget binds, or the binding book is exhausted. This
is TRADING 12's walk, made optimal for plans whose every leg has one limit.

Like that rule, it is about proportional fees before rounding and minimums. Where a minimum order forces a leg to
be larger than the next one needs, a shape off the chain may earn a little more; it is not looked for.
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
    At the present depth, at the limit, fees in the adverse currency: `need` and `give` (spent and got per unit of
    base), `rate` (got per unit spent) and `brings` (got for all within the limit).
    """

    __slots__ = (
        "_base_unit",
        "_buys",
        "_costs",
        "_fee_left",
        "_fee_on_top",
        "_index",
        "_keeps",
        "_levels",
        "_lots",
        "_pair",
        "_pays",
        "_price_unit",
        "_side",
        "brings",
        "caps",
        "give",
        "limits",
        "need",
        "rate",
    )

    def __init__(self, leg: LegInput, max_levels: int) -> None:
        pair, fee = leg.pair, leg.fee
        self._pair = pair
        self._side = leg.leg.side
        self._buys = self._side is Side.BUY
        self._levels = leg.levels[:max_levels]
        self._index = 0
        self._price_unit = float(pair.price_unit)
        self._base_unit = float(pair.qty_unit)
        quote_rate, base_rate = float(quote_fee_rate(fee)), float(base_fee_rate(fee))
        paid, withheld = (quote_rate, base_rate) if self._buys else (base_rate, quote_rate)
        self._pays, self._keeps = 1 + paid, 1 - withheld
        expected, in_base = float(fee.rate), fee.currency is FeeCurrency.BASE
        on_top = self._buys is not in_base
        self._fee_on_top = 1 + expected if on_top else 1.0
        self._fee_left = 1.0 if on_top else 1 - expected
        self._lots: list[int] = []
        self._costs: list[float] = []
        self.limits: list[int] = []
        self.caps: list[int] = []
        self.need = self.give = self.rate = self.brings = 0.0

    def deepen(self) -> bool:
        """Open the next level; False when there is none that an order can reach."""
        levels, index, pair = self._levels, self._index, self._pair
        while index < len(levels) and levels[index][1] <= 0:
            index += 1
        if index == len(levels):
            return False
        ticks, lots = levels[index]
        limit = limit_ticks(self._side, pair, ticks)
        if limit <= 0:
            return False
        self._index = index + 1
        cost = lots * ticks * self._price_unit
        if self._lots:
            lots += self._lots[-1]
            cost += self._costs[-1]
        cap = lots - lots % pair.lot_multiple
        self._lots.append(lots)
        self._costs.append(cost)
        self.limits.append(limit)
        self.caps.append(cap)
        price = limit * self._price_unit
        self.need, self.give = (price * self._pays, self._keeps) if self._buys else (self._pays, price * self._keeps)
        self.rate = self.give / self.need
        self.brings = cap * self._base_unit * self.give
        return True

    def spends(self, qty: float) -> float:
        """Expected to be spent for `qty` of base, at the levels' own prices."""
        return (self._cost(qty) if self._buys else qty) * self._fee_on_top

    def gets(self, qty: float) -> float:
        """Expected to be got for `qty` of base, at the levels' own prices."""
        return (qty if self._buys else self._cost(qty)) * self._fee_left

    def _cost(self, qty: float) -> float:
        """In the quote asset, from the levels opened so far."""
        lots, costs = self._lots, self._costs
        wanted = qty / self._base_unit
        at = bisect_left(lots, wanted, 0, len(lots) - 1)
        low_lots, low_cost = (lots[at - 1], costs[at - 1]) if at else (0, 0.0)
        return (low_cost + (costs[at] - low_cost) * (wanted - low_lots) / (lots[at] - low_lots)) * self._base_unit


type Depths = list[tuple[int, int]]
"""Per leg: limit in ticks on the order grid, and the lots within it (whole order lots)."""


class Chain:
    """The sizes worth a look, each a level deeper somewhere than the one before, from the tops on; as far as asked for.

    `ladders` stand at their first levels; `budget` is in the asset that the first leg spends. How far the chain goes
    depends on the stop that is asked for, what stands on it does not: whoever asks for less finds the beginning of it.
    """

    def __init__(self, ladders: Sequence[Ladder], budget: float) -> None:
        self._ladders = ladders
        self._backwards = list(enumerate(ladders))[::-1]
        self._budget = budget
        self._opened: list[int] = []
        """which leg was opened, step by step"""
        self._rates: list[float] = []
        """by step: what comes out for each unit put in, at the limits; the last one may have no size yet"""
        self._sizes: list[tuple[float, float]] = []
        self._ended = False

    def sizes(self, stop: float) -> Sequence[tuple[float, float]]:
        """By step: what is spent of the first asset, what is got of the last, at the levels' own prices.

        `stop` is the least that must come out for each unit put in, at the limits; the chain ends before that.
        """
        for step, rate in enumerate(self._rates):
            if rate <= stop:
                return self._sizes[:step]
            if step == len(self._sizes):
                self._size()
        while not self._ended:
            self._rates.append(self._rate())
            if self._rates[-1] <= stop:
                return self._sizes
            self._size()
        return self._sizes

    def _rate(self) -> float:
        rate = 1.0
        for _, ladder in self._backwards:
            rate *= ladder.rate
        return rate

    def _size(self) -> None:
        """The size of the last step, and on to the next."""
        end, binding = math.inf, -1
        rate = 1.0
        for index, ladder in self._backwards:
            brings = ladder.brings * rate
            if brings < end:
                end, binding = brings, index
            rate *= ladder.rate
        if self._budget * rate < end:
            end, binding = self._budget * rate, -1
        first, last = self._ladders[0], self._ladders[-1]
        self._sizes.append((first.spends(end / rate / first.need), last.gets(end / last.give)))
        if binding < 0 or not self._ladders[binding].deepen():
            self._ended = True
        else:
            self._opened.append(binding)

    def depths(self, step: int) -> Depths:
        """How deep each leg goes at that step."""
        depths = [self._opened[:step].count(index) for index in range(len(self._ladders))]
        return [(ladder.limits[depth], ladder.caps[depth]) for ladder, depth in zip(self._ladders, depths, strict=True)]

    def ranked(self, stop: float, wanted: float) -> Sequence[int]:
        """The steps worth trying, best first; none when the tops do not return more than `stop`.

        Best is the highest expected profit among those that return at least `wanted` on the whole, then among the
        rest: a desk that asks for an edge gets the smaller size that has it. Returns are factors (1.0005 is 5 bps).
        """
        sizes = self.sizes(stop)
        ranked = sorted(
            ((got >= spent * wanted, got - spent, step) for step, (spent, got) in enumerate(sizes)), reverse=True
        )
        return [step for _, _, step in ranked]

    def deepest_first(self, stop: float) -> Iterator[Depths]:
        """The depths from the largest size to the smallest: for who wants to turn as much as the price bound allows."""
        for step in reversed(range(len(self.sizes(stop)))):
            yield self.depths(step)
