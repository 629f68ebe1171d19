"""Fee factors and break-even fees (TRADING 2, 10; PROTOCOL 4.2)."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.domain import Fee, FeeCurrency, Side
from arbitrade_core.legs import factor
from arbitrade_core.pricing import LegInput, break_even_fee
from tests.pricing.worlds import BUY, SELL, D, leg, pair

SIDES = (BUY, BUY, SELL)
PRICE_DECIMALS = 10


def cycle(gross: float, rates: Sequence[str], currency: FeeCurrency, sides: Sequence[Side] = SIDES) -> list[LegInput]:
    """The last leg's price makes the gross product; the others are 1."""
    legs = []
    for index, (side, rate) in enumerate(zip(sides, rates, strict=True)):
        assets = (f"A{index}", f"A{(index + 1) % len(sides)}")
        symbol = "/".join(reversed(assets) if side is BUY else assets)
        price = 1.0 if index < len(sides) - 1 else 1 / gross if side is BUY else gross
        ticks = round(price * 10**PRICE_DECIMALS)
        listing = pair(symbol, price_decimals=PRICE_DECIMALS)
        legs.append(leg(side, listing, [(ticks, 1)], Fee(D(rate), currency)))
    return legs


@pytest.mark.parametrize(
    ("side", "currency", "expected"),
    [
        (SELL, FeeCurrency.QUOTE, 1 - 0.008),
        (SELL, FeeCurrency.BASE, 1 / 1.008),
        (BUY, FeeCurrency.QUOTE, 1 / 1.008),
        (BUY, FeeCurrency.BASE, 1 - 0.008),
        (SELL, FeeCurrency.EITHER, 1 - 0.008),
        (BUY, FeeCurrency.EITHER, 1 - 0.008),
    ],
)
def test_trading_2_fee_factors_follow_the_currency(side: Side, currency: FeeCurrency, expected: float) -> None:
    assert factor(side, Fee(D("0.008"), currency)) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("fee_percent", "needed_percent"), [(0.40, 1.2), (0.80, 2.4)])
@pytest.mark.parametrize("buys", [0, 1, 2, 3])
def test_trading_10_three_taker_legs_break_even_as_published(
    fee_percent: float, needed_percent: float, buys: int
) -> None:
    """PROTOCOL 4.2: the product of mid rates must exceed (1+f)^k / (1-f)^(3-k)."""
    fee = fee_percent / 100
    needed = (1 + fee) ** buys / (1 - fee) ** (3 - buys)
    assert (needed - 1) * 100 == pytest.approx(needed_percent, abs=0.05)
    sides = [BUY] * buys + [SELL] * (3 - buys)
    found = break_even_fee(cycle(needed, [str(fee)] * 3, FeeCurrency.QUOTE, sides))
    assert found is not None
    assert found.taker_fee == pytest.approx(fee, abs=1e-8)  # prices have ten decimals
    assert found.fees_factor == pytest.approx(1, abs=1e-6)


@given(
    gross=st.floats(0.8, 1.6),
    rates=st.lists(st.sampled_from(["0", "0.001", "0.0026", "0.004", "0.008"]), min_size=3, max_size=3),
    currency=st.sampled_from(FeeCurrency),
    sides=st.lists(st.sampled_from([BUY, SELL]), min_size=3, max_size=3),
)
def test_trading_10_at_the_break_even_fee_nothing_is_won_or_lost(
    gross: float, rates: list[str], currency: FeeCurrency, sides: list[Side]
) -> None:
    legs = cycle(gross, rates, currency, sides)
    found = break_even_fee(legs)
    assert found is not None

    def product(fees: Sequence[float]) -> float:
        tops = [asked.levels[0][0] / 10**PRICE_DECIMALS for asked in legs]
        gross_rates = [1 / top if side is BUY else top for top, side in zip(tops, sides, strict=True)]
        net = [factor(side, Fee(D(fee), currency)) for side, fee in zip(sides, fees, strict=True)]
        return float(math.prod([*gross_rates, *net]))

    assert product([found.taker_fee] * 3) == pytest.approx(1, abs=1e-11)
    if any(float(rate) for rate in rates):
        assert found.fees_factor is not None
        scaled = [found.fees_factor * float(rate) for rate in rates]
        if max(map(abs, scaled)) < 0.9:
            assert product(scaled) == pytest.approx(1, abs=1e-11)
    else:
        assert found.fees_factor is None


def test_below_a_gross_product_of_one_the_break_even_fee_is_a_rebate() -> None:
    found = break_even_fee(cycle(0.99, ["0.004"] * 3, FeeCurrency.QUOTE))
    assert found is not None
    assert -0.0034 < found.taker_fee < -0.0033
    assert found.fees_factor is not None
    assert found.fees_factor < 0


def test_no_single_factor_moves_rebates_and_fees_together() -> None:
    found = break_even_fee(cycle(1.01, ["0.004", "-0.0002", "0.004"], FeeCurrency.QUOTE))
    assert found is not None
    assert found.fees_factor is None


def test_no_break_even_without_a_price() -> None:
    legs = cycle(1.01, ["0.004"] * 3, FeeCurrency.QUOTE)
    legs[1] = leg(BUY, legs[1].pair, [(10**PRICE_DECIMALS, 0)])
    assert break_even_fee(legs) is None
