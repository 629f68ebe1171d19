"""What desks share of a price is what each would have come to alone, to the last digit and word (TRADING 33)."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.pricing import CyclePricing, Terms, price_cycle
from tests.pricing.worlds import D, random_cycle, terms

MARGINS = ("0", "1", "7.5", "50", "200", "600")
EDGES = ("0", "5", "60", "300", "900")
BUFFERS = ("0", "4", "40")


def _terms(rng: random.Random, like: Terms) -> Terms:
    return terms(
        margin_bps=rng.choice(MARGINS),
        min_edge_bps=rng.choice(EDGES),
        min_profit=rng.choice(("0", "0.01", "100")),
        slippage_bps=rng.choice(BUFFERS),
        fee_buffer_bps=rng.choice(BUFFERS),
        rounding_fills=like.rounding_fills,
        max_levels=like.max_levels,
    )


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_trading_33_a_price_does_not_depend_on_who_asked_before(seed: int) -> None:
    world, rng = random_cycle(seed), random.Random(seed)
    shared = CyclePricing(world.legs, world.budget, world.terms.rounding_fills, world.terms.max_levels)
    for _ in range(12):
        asked = _terms(rng, world.terms)
        alone = price_cycle(world.legs, world.budget, asked, asked.min_profit)
        assert shared.price(asked, asked.min_profit) == alone
        assert shared.price(asked, D(0)) == price_cycle(world.legs, world.budget, asked, D(0))
