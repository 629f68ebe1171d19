"""All directed three-leg cycles over the tradable pairs that pass through a start asset, and which legs they take."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Index:
    """Cycles by number, and by leg. Fees and thresholds have no part in it: it stays as long as pairs and start assets
    do."""

    of: Hashable
    """pairs and start assets, as `subject` tells them"""
    cycles: Sequence[Cycle]
    through: Sequence[tuple[int, ...]]
    """by leg: its cycles"""
    others: Sequence[tuple[tuple[LegId, ...], tuple[LegId, ...]]]
    """by leg: of each of its cycles one other leg, and in the same order the other one"""


NOTHING = Index(None, (), (), ())


def indexed(market: MarketView, start_assets: frozenset[str], known: Index) -> Index:
    """The index for this market; `known`, when it is that still."""
    of = subject(market, start_assets)
    if known.of == of:
        return known
    found = cycles(market, start_assets)
    through: list[list[int]] = [[] for _ in market.rate]
    others: list[tuple[list[LegId], list[LegId]]] = [([], []) for _ in market.rate]
    # One int object a leg, whatever cycle it stands in: ids made anew for every cycle lie scattered in memory, and
    # following them is most of what scoring costs.
    ids = list(range(len(market.rate)))
    for number, cycle in enumerate(found):
        a, b, c = (ids[leg] for leg in cycle.legs)
        for leg, one, other in ((a, b, c), (b, a, c), (c, a, b)):
            through[leg].append(number)
            others[leg][0].append(one)
            others[leg][1].append(other)
    return Index(of, found, [tuple(row) for row in through], [(tuple(one), tuple(other)) for one, other in others])


def subject(market: MarketView, start_assets: frozenset[str]) -> Hashable:
    """Whatever cycles depend on."""
    tradable = [
        (pair.symbol, pair.base, pair.quote) if market.tradable(pair_id) else None
        for pair_id, pair in enumerate(market.pairs)
    ]
    return start_assets, tuple(tradable)


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
