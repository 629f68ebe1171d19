"""Incremental detection: score only what a message can have lifted (DESIGN 4, TRADING 1-5).

Only a leg whose gross rate rose can lift a cycle over its hurdle, so a message scores the cycles of its risen
legs, and nothing when none rose. Cycles above their hurdle form the active set; any other change of one of their
books re-examines just those. Counting rises per leg makes the top of the funnel cost one addition a message: how
often a cycle was evaluated is the sum over its legs.
"""

import heapq
from array import array
from collections.abc import Collection, Mapping, Sequence

from arbitrade_core.domain import Candidate, LegId, Ns, PairId
from arbitrade_core.spi import (
    BUY_ROSE,
    SELL_ROSE,
    Detection,
    Finding,
    Hurdles,
    MarketView,
    Standing,
    Vanished,
)
from arbitrade_triangular.index import NOTHING, Cycle, indexed

NAME = "triangular"


class TriangularDetector:
    """Implements `spi.Detector` over `index.cycles`."""

    name = NAME

    def __init__(self) -> None:
        self._rate: Sequence[float] = ()
        self._index = NOTHING
        self._cycles: Sequence[Cycle] = ()
        self._hurdle: list[float] = []
        self._break_even: list[float] = []
        self._floor = 1.0
        """what scoring sifts with: a hair below 1 and all hurdles, because it multiplies in another order"""
        self._through: Sequence[tuple[int, ...]] = ()
        self._others: Sequence[tuple[tuple[LegId, ...], tuple[LegId, ...]]] = ()
        self._rises = array("q")
        self._active: set[int] = set()
        self._active_on: dict[PairId, set[int]] = {}
        self._gross_positive: list[int] = []
        self._after_fees: list[int] = []
        self._examined: list[int] = []
        self._vanished: list[str] = []
        self._past: dict[str, Detection] = {}
        """counters carried over rebuilds"""

    def rebuild(self, market: MarketView, port: Hurdles, now: Ns) -> Collection[PairId]:
        self._past = dict(self.detections())
        was_active = {self._cycles[cycle].key for cycle in self._active}
        self._rate = market.rate
        self._index = index = indexed(market, port.start_assets(), self._index)
        self._cycles, self._through, self._others = index.cycles, index.through, index.others
        self._hurdle = [port.required(cycle.legs) for cycle in self._cycles]
        self._break_even = [port.break_even(cycle.legs) for cycle in self._cycles]
        self._floor = min([1.0, *self._hurdle, *self._break_even]) * (1.0 - 1e-12)
        count = len(self._cycles)
        self._gross_positive, self._after_fees, self._examined = [0] * count, [0] * count, [0] * count
        self._rises = array("q", bytes(8 * len(market.rate)))
        self._active, self._active_on = set(), {}
        for number in range(count):
            if self._gross(number) > self._hurdle[number]:
                self._activate(number)
        still = {self._cycles[cycle].key for cycle in self._active}
        self._vanished += sorted(was_active - still)
        return {leg >> 1 for leg, row in enumerate(self._through) if row}

    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        if not rose:
            return self._weigh(pair, rose, set()) if pair in self._active_on else ()
        lifted = self._score(2 * pair) if rose & SELL_ROSE else ()
        if rose & BUY_ROSE:
            lifted = (*lifted, *self._score(2 * pair + 1))
        if lifted or pair in self._active_on:
            return self._weigh(pair, rose, set(lifted))
        return ()

    def _score(self, leg: LegId) -> Sequence[int]:
        """The cycles of a risen leg that may be above anything that counts."""
        self._rises[leg] += 1
        rate = self._rate
        need = self._floor / rate[leg]
        one, other = self._others[leg]
        for b, c in zip(one, other):  # noqa: B905 - equal by construction, and `strict` costs on every message
            if rate[b] * rate[c] > need:
                break
        else:
            return ()
        return [number for number, b, c in zip(self._through[leg], one, other, strict=True) if rate[b] * rate[c] > need]

    def active(self) -> Sequence[Finding]:
        findings: list[Finding] = [Vanished(key) for key in self._vanished]
        self._vanished.clear()
        findings += [self._candidate(number, self._gross(number)) for number in sorted(self._active)]
        return findings

    def detections(self) -> Mapping[str, Detection]:
        counted = dict(self._past)
        for number, cycle in enumerate(self._cycles):
            past = self._past.get(cycle.key, Detection(0, 0, 0))
            counted[cycle.key] = Detection(
                past.evaluated + sum(self._rises[leg] for leg in cycle.legs) + self._examined[number],
                past.gross_positive + self._gross_positive[number],
                past.after_fees + self._after_fees[number],
            )
        return counted

    def ranked(self, limit: int) -> Sequence[Standing]:
        standings = [
            Standing(cycle.key, cycle.legs, (gross - 1.0) * 1e4, (gross / self._break_even[number] - 1.0) * 1e4)
            for number, cycle in enumerate(self._cycles)
            if (gross := self._gross(number)) > 0.0
        ]
        return heapq.nsmallest(limit, standings, key=lambda one: (-one.net_bps, -one.gross_bps, one.key))

    def _weigh(self, pair: PairId, rose: int, lifted: set[int]) -> Sequence[Finding]:
        """Count what was scored, then tell which cycles of the pair are active now and which no longer are."""
        findings: list[Finding] = []
        fell = {2 * pair + side for side, bit in ((0, SELL_ROSE), (1, BUY_ROSE)) if not rose & bit}
        for number in sorted(lifted | self._active_on.get(pair, set())):
            if not fell.isdisjoint(self._cycles[number].legs):
                self._examined[number] += 1  # a rise counts itself
            gross = self._gross(number)
            if gross > 1.0:
                self._gross_positive[number] += 1
            if gross > self._break_even[number]:
                self._after_fees[number] += 1
            if gross > self._hurdle[number]:
                self._activate(number)
                findings.append(self._candidate(number, gross))
            elif number in self._active:
                self._deactivate(number)
                findings.append(Vanished(self._cycles[number].key))
        return findings

    def _gross(self, number: int) -> float:
        rate = self._rate
        a, b, c = self._cycles[number].legs
        return rate[a] * rate[b] * rate[c]

    def _candidate(self, number: int, gross: float) -> Candidate:
        cycle = self._cycles[number]
        return Candidate(NAME, cycle.key, cycle.legs, gross)

    def _activate(self, number: int) -> None:
        if number not in self._active:
            self._active.add(number)
            for leg in self._cycles[number].legs:
                self._active_on.setdefault(leg >> 1, set()).add(number)

    def _deactivate(self, number: int) -> None:
        self._active.discard(number)
        for leg in self._cycles[number].legs:
            on = self._active_on[leg >> 1]
            on.discard(number)
            if not on:
                del self._active_on[leg >> 1]
