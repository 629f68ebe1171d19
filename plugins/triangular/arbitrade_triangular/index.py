"""All directed three-leg cycles over the tradable pairs that pass through a start asset."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from arbitrade_core.domain import LegId, PairId
from arbitrade_core.spi import MarketView


@dataclass(frozen=True, slots=True)
class Cycle:
    """One directed cycle. `legs` in trade order, rotated so that equal cycles are equal tuples."""

    key: str
    """`+BTC/USD +ETH/BTC -ETH/USD`: buy, buy, sell; the same for every rotation"""
    legs: tuple[LegId, LegId, LegId]
    assets: tuple[str, str, str]
    """what each leg spends"""


def cycles(market: MarketView, start_assets: frozenset[str]) -> list[Cycle]:
    """Every directed cycle, in the order of their keys; rotations of one cycle are one (TRADING 6)."""
    found = [
        cycle
        for triangle in _triangles(market)
        for cycle in _directions(market, triangle)
        if not start_assets.isdisjoint(cycle.assets)
    ]
    return sorted(found, key=lambda cycle: cycle.key)


def _triangles(market: MarketView) -> Iterator[tuple[PairId, PairId, PairId]]:
    """Three pairs over three assets, each once; two pairs over the same two assets make two triangles."""
    between: dict[frozenset[str], list[PairId]] = {}
    neighbours: dict[str, set[str]] = {}
    for pair_id, pair in enumerate(market.pairs):
        if market.tradable(pair_id) and pair.base != pair.quote:
            between.setdefault(frozenset((pair.base, pair.quote)), []).append(pair_id)
            neighbours.setdefault(pair.base, set()).add(pair.quote)
            neighbours.setdefault(pair.quote, set()).add(pair.base)
    for first, around in sorted(neighbours.items()):
        for second, third in combinations(sorted(asset for asset in around if asset > first), 2):
            for one in between.get(frozenset((second, third)), ()):
                for two in between[frozenset((first, second))]:
                    for three in between[frozenset((first, third))]:
                        yield one, two, three


def _directions(market: MarketView, triangle: Iterable[PairId]) -> Iterator[Cycle]:
    """The two ways round."""
    pairs = [market.pairs[pair_id] for pair_id in triangle]
    ids = list(triangle)
    first, second, third = sorted({asset for pair in pairs for asset in (pair.base, pair.quote)})
    for route in ((first, second, third), (first, third, second)):
        legs: list[LegId] = []
        for spends, gets in zip(route, (*route[1:], route[0]), strict=True):
            at = next(i for i, pair in enumerate(pairs) if {pair.base, pair.quote} == {spends, gets})
            legs.append(2 * ids[at] + (pairs[at].quote == spends))
        names = [str(market.leg(leg)) for leg in legs]
        turn = names.index(min(names))
        yield Cycle(
            key=" ".join(names[turn:] + names[:turn]),
            legs=(legs[turn], legs[(turn + 1) % 3], legs[(turn + 2) % 3]),
            assets=(route[turn], route[(turn + 1) % 3], route[(turn + 2) % 3]),
        )
