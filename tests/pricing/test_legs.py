"""One leg's exact arithmetic: sizes are the largest and smallest there are, allowances cover what rounding can do."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arbitrade_core.domain import Fee, FeeCurrency, Pair, Side
from arbitrade_core.legs import (
    at_limit,
    base_fee_rate,
    factor,
    largest_qty,
    least_got,
    least_tradable_qty,
    limit_ticks,
    most_spent,
    quote_fee_rate,
    rounding_base,
    rounding_quote,
    smallest_qty,
    tradable_qty,
    walk,
)
from arbitrade_core.money import exact
from tests.pricing.worlds import BUY, SELL, D, pair

SIDES = st.sampled_from([BUY, SELL])
FEES = st.builds(
    Fee,
    st.decimals(D("-0.001"), D("0.02"), places=5),
    st.sampled_from(FeeCurrency),
)
PAIRS = st.builds(
    lambda price, qty, cost, tick, lot: pair(
        "B/Q", price_decimals=price, qty_decimals=qty, cost_decimals=cost, tick_multiple=tick, lot_multiple=lot
    ),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(0, 10),
    st.sampled_from([1, 5, 25]),
    st.sampled_from([1, 3, 10]),
)
FILLS = st.integers(0, 12)
AMOUNTS = st.decimals(D(0), D(10**7), places=8)
TICKS = st.integers(1, 10**7)


@given(side=SIDES, listing=PAIRS, fee=FEES, funds=AMOUNTS, ticks=TICKS, fills=FILLS)
def test_trading_13_the_largest_quantity_is_funded_and_a_lot_more_is_not(
    *, side: Side, listing: Pair, fee: Fee, funds: Decimal, ticks: int, fills: int
) -> None:
    limit = listing.price(ticks)
    with exact():
        qty = largest_qty(side, listing, fee, funds, limit, fills)
        assert qty % listing.lot == 0
        assert qty == 0 or most_spent(side, listing, fee, qty, limit, fills) <= funds
        assert most_spent(side, listing, fee, qty + listing.lot, limit, fills) > funds


@given(side=SIDES, listing=PAIRS, fee=FEES, wanted=AMOUNTS, ticks=TICKS, fills=FILLS)
def test_the_smallest_quantity_brings_what_is_wanted_and_a_lot_less_does_not(
    *, side: Side, listing: Pair, fee: Fee, wanted: Decimal, ticks: int, fills: int
) -> None:
    limit = listing.price(ticks)
    with exact():
        qty = smallest_qty(side, listing, fee, wanted, limit, fills)
        assert qty % listing.lot == 0
        assert least_got(side, listing, fee, qty, limit, fills) >= wanted
        assume(qty > 0)
        assert least_got(side, listing, fee, qty - listing.lot, limit, fills) < wanted


@given(side=SIDES, listing=PAIRS, fee=FEES, ticks=TICKS, fills=FILLS, lots=st.integers(0, 10**9))
def test_trading_14_an_order_spends_and_brings_fees_and_rounding_against_us(
    *, side: Side, listing: Pair, fee: Fee, ticks: int, fills: int, lots: int
) -> None:
    limit, qty = listing.price(ticks), listing.lot * lots
    with exact():
        lines = at_limit(side, listing, fee, limit, fills)
        in_quote = rounding_quote(listing, fills, quote_fee_rate(fee))
        in_base = rounding_base(listing, fee, fills)
        cost_with_fee, qty_with_fee = qty * limit * (1 + quote_fee_rate(fee)), qty * (1 + base_fee_rate(fee))
        cost_left, qty_left = qty * limit * (1 - quote_fee_rate(fee)), qty * (1 - base_fee_rate(fee))
        if side is BUY:
            assert lines.most_spent(qty) == cost_with_fee + in_quote
            assert lines.least_got(qty) == max(qty_left - in_base, D(0))
        else:
            assert lines.most_spent(qty) == qty_with_fee + in_base
            assert lines.least_got(qty) == max(cost_left - in_quote, D(0))


@given(cost_lots=st.integers(0, 10**6), rate=st.integers(0, 2000), ties_up=st.booleans(), fee_of_rounded=st.booleans())
def test_trading_14_the_allowance_covers_any_rounding_to_nearest(
    cost_lots: int, rate: int, ties_up: bool, fee_of_rounded: bool
) -> None:
    listing = pair("B/Q", price_decimals=0, qty_decimals=3, cost_decimals=1)
    fee_rate = Fraction(rate, 100_000)

    def nearest(amount: Fraction) -> Fraction:
        whole, rest = divmod(amount * 10, 1)
        return Fraction(whole + (rest > Fraction(1, 2) or (ties_up and rest == Fraction(1, 2))), 10)

    raw = Fraction(cost_lots, 1000)
    cost = nearest(raw)
    fee = nearest((cost if fee_of_rounded else raw) * fee_rate)
    allowance = Fraction(rounding_quote(listing, 1, D(rate) / 100_000))
    assert cost + fee - raw * (1 + fee_rate) <= allowance
    assert raw * (1 - fee_rate) - (cost - fee) <= allowance


def test_trading_14_the_fee_on_a_rounded_cost_needs_more_than_one_unit() -> None:
    """199.5 -> 200, 0.75 % of 200 = 1.5 -> 2: 202 for 200.99625."""
    listing = pair("B/Q", cost_decimals=0)
    assert rounding_quote(listing, 1, D("0.0075")) == D("1.00375")
    assert D(202) - D("199.5") * D("1.0075") == D("1.00375")


@pytest.mark.parametrize(
    ("currency", "in_quote", "in_base"),
    [(FeeCurrency.QUOTE, "0.004", "0"), (FeeCurrency.BASE, "0", "0.004"), (FeeCurrency.EITHER, "0.004", "0.004")],
)
def test_trading_14_an_open_currency_is_reckoned_with_in_both(
    currency: FeeCurrency, in_quote: str, in_base: str
) -> None:
    fee = Fee(D("0.004"), currency)
    assert (quote_fee_rate(fee), base_fee_rate(fee)) == (D(in_quote), D(in_base))


def test_a_rebate_of_open_currency_is_not_counted_on() -> None:
    rebate = Fee(D("-0.0002"), FeeCurrency.EITHER)
    assert quote_fee_rate(rebate) == base_fee_rate(rebate) == 0
    assert quote_fee_rate(Fee(D("-0.0002"))) == D("-0.0002")


@given(listing=PAIRS, ticks=st.integers(1, 10**6))
def test_trading_12_a_limit_lies_on_the_order_grid_and_reaches_the_level(listing: Pair, ticks: int) -> None:
    buy, sell = limit_ticks(BUY, listing, ticks), limit_ticks(SELL, listing, ticks)
    assert sell <= ticks <= buy
    assert buy - sell in (0, listing.tick_multiple)
    assert listing.price(buy) % listing.tick == listing.price(sell) % listing.tick == 0


@given(
    listing=PAIRS,
    ticks=TICKS,
    qty_min=st.decimals(D(0), D(1000), places=10),
    cost_min=st.decimals(D(0), D(1000), places=10),
)
def test_the_least_tradable_quantity_is_tradable_and_a_lot_less_is_not(
    listing: Pair, ticks: int, qty_min: Decimal, cost_min: Decimal
) -> None:
    listing = pair(
        "B/Q",
        price_decimals=listing.price_decimals,
        qty_decimals=listing.qty_decimals,
        lot_multiple=listing.lot_multiple,
        qty_min=str(qty_min),
        cost_min=str(cost_min),
    )
    price = listing.price(ticks)
    with exact():
        qty = least_tradable_qty(listing, price)
        assert qty % listing.lot == 0
        assert tradable_qty(listing, qty, price)
        assert qty == listing.lot or not tradable_qty(listing, qty - listing.lot, price)


@given(
    levels=st.lists(st.tuples(st.integers(1, 10**5), st.integers(0, 50)), min_size=1, max_size=10),
    lots=st.integers(0, 300),
    fee=FEES,
)
def test_a_walk_takes_the_best_levels_first(levels: list[tuple[int, int]], lots: int, fee: Fee) -> None:
    listing = pair("B/Q", price_decimals=3, qty_decimals=2, cost_decimals=4)
    with exact():
        walked = walk(listing, fee, levels, listing.qty(lots))
    one_by_one = [ticks for ticks, available in levels for _ in range(available)][:lots]
    if not lots or len(one_by_one) < lots:
        assert walked is None
        return
    assert walked is not None
    cost = Fraction(sum(one_by_one), 10**5)
    assert walked.worst_ticks == one_by_one[-1]
    assert abs(Fraction(walked.cost) - cost) <= Fraction(1, 2 * 10**4)
    assert abs(Fraction(walked.average) * lots / 100 - cost) <= cost / 10**25
    charged_on = Fraction(lots, 100) if fee.currency is FeeCurrency.BASE else Fraction(walked.cost)
    decimals = 2 if fee.currency is FeeCurrency.BASE else 4
    assert abs(Fraction(walked.fee) - charged_on * Fraction(fee.rate)) <= Fraction(1, 2 * 10**decimals)


@pytest.mark.parametrize(
    ("side", "currency", "spend", "get"),
    [
        (BUY, FeeCurrency.QUOTE, "20.08", "2"),
        (BUY, FeeCurrency.EITHER, "20.08", "2"),
        (BUY, FeeCurrency.BASE, "20", "1.992"),
        (SELL, FeeCurrency.QUOTE, "2", "19.92"),
        (SELL, FeeCurrency.EITHER, "2", "19.92"),
        (SELL, FeeCurrency.BASE, "2.008", "20"),
    ],
)
def test_trading_2_the_fee_is_paid_on_top_or_taken_off(side: Side, currency: FeeCurrency, spend: str, get: str) -> None:
    listing = pair("B/Q", price_decimals=0, qty_decimals=3, cost_decimals=2)
    with exact():
        walked = walk(listing, Fee(D("0.004"), currency), [(10, 5000)], D(2))
    assert walked is not None
    assert (walked.spend(side), walked.get(side)) == (D(spend), D(get))
    net = float(walked.get(side) / walked.spend(side)) * (10 if side is BUY else 0.1)
    if currency is not FeeCurrency.EITHER:
        assert net == pytest.approx(factor(side, Fee(D("0.004"), currency)), rel=1e-3)
