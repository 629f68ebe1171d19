"""The same question answered the slow, obvious way: every cycle from scratch, for tests and benchmarks."""

from arbitrade_core.domain import LegId
from arbitrade_core.spi import Hurdles, MarketView


def active_cycles(market: MarketView, hurdles: Hurdles) -> set[str]:
    """Keys of all cycles above their hurdle now."""
    return {
        key
        for key, legs in every_cycle(market, hurdles.start_assets()).items()
        if market.rate[legs[0]] * market.rate[legs[1]] * market.rate[legs[2]] > hurdles.required(legs)
    }


def every_cycle(market: MarketView, start_assets: frozenset[str]) -> dict[str, tuple[LegId, LegId, LegId]]:
    """All directed cycles by key, found by trying every three legs that connect."""
    leaving: dict[str, list[LegId]] = {}
    for pair_id in range(len(market.pairs)):
        if market.tradable(pair_id):
            for leg in (2 * pair_id, 2 * pair_id + 1):
                leaving.setdefault(market.leg(leg).spends, []).append(leg)
    found: dict[str, tuple[LegId, LegId, LegId]] = {}
    for start, first_legs in leaving.items():
        for one in first_legs:
            for two in leaving.get(market.leg(one).gets, ()):
                for three in leaving.get(market.leg(two).gets, ()):
                    assets = {market.leg(leg).spends for leg in (one, two, three)}
                    closes = market.leg(three).gets == start and len(assets) == 3  # noqa: PLR2004
                    if closes and not assets.isdisjoint(start_assets):
                        legs = min(_rotations(one, two, three), key=lambda turn: str(market.leg(turn[0])))
                        found[" ".join(str(market.leg(leg)) for leg in legs)] = legs
    return found


def _rotations(one: LegId, two: LegId, three: LegId) -> list[tuple[LegId, LegId, LegId]]:
    return [(one, two, three), (two, three, one), (three, one, two)]
