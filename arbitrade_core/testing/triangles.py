"""A detector as plain as can be: every cycle of three pairs, all of them looked at on every change.

It stands in where a test needs candidates and no detector of its own, and shows what the contract asks of one.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import permutations
from math import prod

from arbitrade_core.domain import Candidate, LegId, Ns, PairId
from arbitrade_core.spi import Detection, DetectorPort, Finding, MarketView, Standing, Vanished


class EveryTriangle:
    """Implements `spi.Detector`. Its name is the strategy of its candidates."""

    name = "every_triangle"

    def __init__(self) -> None:
        self._rate: Sequence[float] = ()
        self._cycles: dict[str, tuple[LegId, ...]] = {}
        self._break_even: dict[str, float] = {}
        self._required: dict[str, float] = {}
        self._told: set[str] = set()
        self._counts: dict[str, Detection] = {}

    def rebuild(self, market: MarketView, port: DetectorPort, now: Ns) -> Collection[PairId]:
        self._rate = market.rate
        self._cycles = dict(sorted(_cycles(market, port.start_assets())))
        self._break_even = {key: port.break_even(legs) for key, legs in self._cycles.items()}
        self._required = {key: port.required(legs) for key, legs in self._cycles.items()}
        return sorted({leg >> 1 for legs in self._cycles.values() for leg in legs})

    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        touched = [key for key, legs in self._cycles.items() if any(leg >> 1 == pair for leg in legs)]
        for key in touched:
            self._count(key)
        return self._look(touched)

    def active(self) -> Sequence[Finding]:
        gone = [Vanished(key) for key in sorted(self._told - self._cycles.keys())]
        self._told &= self._cycles.keys()
        return [*gone, *self._look(self._cycles)]

    def detections(self) -> Mapping[str, Detection]:
        return dict(self._counts)

    def ranked(self, limit: int) -> Sequence[Standing]:
        standings = [
            Standing(key, legs, (gross - 1.0) * 1e4, (gross / self._break_even[key] - 1.0) * 1e4)
            for key, legs in self._cycles.items()
            if (gross := self._gross(key)) > 0.0
        ]
        return sorted(standings, key=lambda one: (-one.net_bps, one.key))[:limit]

    def _look(self, keys: Collection[str]) -> list[Finding]:
        findings: list[Finding] = []
        for key in keys:
            gross = self._gross(key)
            if gross > self._required[key]:
                self._told.add(key)
                findings.append(Candidate(self.name, key, self._cycles[key], gross))
            elif key in self._told:
                self._told.remove(key)
                findings.append(Vanished(key))
        return findings

    def _gross(self, key: str) -> float:
        return prod(self._rate[leg] for leg in self._cycles[key])

    def _count(self, key: str) -> None:
        gross, known = self._gross(key), self._counts.get(key, Detection(0, 0, 0))
        self._counts[key] = Detection(
            known.evaluated + 1,
            known.gross_positive + (gross > 1.0),
            known.after_fees + (gross > 1.0 and gross > self._break_even[key]),
        )


def _cycles(market: MarketView, start_assets: frozenset[str]) -> list[tuple[str, tuple[LegId, ...]]]:
    """Each cycle once, beginning with its first start asset by name."""
    legs = [
        market.leg(leg)
        for pair in range(len(market.pairs))
        if market.tradable(pair)
        for leg in (2 * pair, 2 * pair + 1)
    ]
    found: list[tuple[str, tuple[LegId, ...]]] = []
    for one, two, three in permutations(legs, 3):
        closes = one.gets == two.spends and two.gets == three.spends and three.gets == one.spends
        starts = {leg.spends for leg in (one, two, three)} & start_assets
        if closes and len({one.pair_id, two.pair_id, three.pair_id}) == 3 and starts and one.spends == min(starts):  # noqa: PLR2004
            found.append((f"{one} {two} {three}", (one.id, two.id, three.id)))
    return found
