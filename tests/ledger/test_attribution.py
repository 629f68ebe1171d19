"""Attribution: each part where it belongs, and all five together exactly what is missing."""

from collections.abc import Iterator
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.attribution import LegAttribution, attribute
from arbitrade_core.domain import Fee, FeeCurrency, Fill, PlanLeg, Side
from arbitrade_core.legs import walk
from arbitrade_core.money import exact, nearest_decimals, ratio
from tests.ledger.fills import BTC_USD, LEGS, with_rows

LEVELS = {Side.BUY: [(1_000_000, 600_000), (1_010_000, 600_000)], Side.SELL: [(1_000_000, 600_000), (990_000, 600_000)]}


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def leg(side: Side, currency: FeeCurrency = FeeCurrency.QUOTE, qty: str = "1", rate: str = "0.01") -> PlanLeg:
    """One BTC: 0.6 at 100 and 0.4 one dollar further."""
    fee = Fee(D(rate), currency)
    walked = walk(BTC_USD, fee, LEVELS[side], D(qty))
    assert walked is not None
    limit = BTC_USD.price(walked.worst_ticks)
    return PlanLeg("p1-1", LEGS[side], D(qty), limit, fee, D(100), walked.average, walked.spend(side), walked.get(side))


def filled(number: int, qty: str, price: str, top: str | None = "100", rate: str = "0.01") -> Fill:
    cost = nearest_decimals(D(qty) * D(price), BTC_USD.cost_decimals)
    fee = nearest_decimals(cost * D(rate), BTC_USD.cost_decimals)
    return Fill("p1-1", f"x{number}", D(qty), D(price), cost, fee, "USD", (), None if top is None else D(top))


def parts(found: LegAttribution) -> dict[str, D]:
    assert sum(found.parts.values()) == found.expected - found.realised
    return {name: amount for name, amount in found.parts.items() if amount}


def test_as_planned_leaves_nothing_to_explain() -> None:
    fills = [filled(1, "0.6", "100"), filled(2, "0.4", "99")]
    found = attribute(leg(Side.SELL), BTC_USD, fills)
    assert (found.asset, found.expected, found.realised) == ("USD", D("98.604"), D("98.604"))
    assert parts(found) == {}


def test_drift_is_the_best_price_moving_before_the_fill() -> None:
    fills = [filled(1, "0.6", "98", top="98"), filled(2, "0.4", "97", top="98")]
    assert parts(attribute(leg(Side.SELL), BTC_USD, fills)) == {"drift": D("1.98")}


def test_depth_is_filling_further_from_the_best_than_expected() -> None:
    fills = [filled(1, "0.1", "100"), filled(2, "0.9", "99")]
    assert parts(attribute(leg(Side.SELL), BTC_USD, fills)) == {"depth": D("0.495")}


def test_an_unknown_top_leaves_all_of_the_price_to_depth() -> None:
    assert parts(attribute(leg(Side.SELL), BTC_USD, [filled(1, "1", "98", top=None)])) == {"depth": D("1.584")}


def test_fee_is_what_was_charged_beyond_the_plan() -> None:
    fills = [filled(1, "0.6", "100", rate="0.02"), filled(2, "0.4", "99", rate="0.02")]
    assert parts(attribute(leg(Side.SELL), BTC_USD, fills)) == {"fee": D("0.996")}


def test_partial_is_what_did_not_fill() -> None:
    fills = [filled(1, "0.6", "100")]
    found = attribute(leg(Side.SELL), BTC_USD, fills)
    assert found.partial == D("0.4") * D("99.6") * D("0.99")
    # What did fill was the better part.
    assert found.depth == -D("0.6") * D("0.4") * D("0.99")
    assert parts(attribute(leg(Side.SELL), BTC_USD, [])) == {"partial": found.expected}


def test_rounding_is_what_the_exchange_booked_coarser() -> None:
    fills = [with_rows(fill, Side.SELL, BTC_USD, 2) for fill in (filled(1, "0.6", "100"), filled(2, "0.4", "99"))]
    found = attribute(leg(Side.SELL), BTC_USD, fills)
    assert found.realised == D("98.6")
    assert parts(found) == {"rounding": D("0.004")}


def test_a_buy_tells_price_in_the_base_asset_at_the_legs_own_rate() -> None:
    bought = leg(Side.BUY)
    fills = [filled(1, "1", "101", top="101")]
    found = attribute(bought, BTC_USD, fills)
    assert found.asset == "BTC"
    # The best price was 1 USD higher than decided, and the fill was on it where 0.4 USD more was expected.
    rate = ratio(bought.get, bought.spend)
    assert parts(found) == {
        "drift": D("1.01") * rate,
        "depth": -D("0.4") * D("1.01") * rate,
    }


def test_a_fee_in_the_other_currency_than_planned_is_a_fee_difference() -> None:
    planned = leg(Side.BUY, FeeCurrency.EITHER)
    in_base = Fill("p1-1", "x1", D(1), D("100.4"), D("100.4"), D("0.01"), "BTC", (), D(100))
    found = attribute(planned, BTC_USD, [in_base])
    assert parts(found) == {"fee": D("0.01") - D("1.004") * ratio(planned.get, planned.spend)}


def test_parts_are_valued_at_the_decisions_mark() -> None:
    found = attribute(leg(Side.SELL), BTC_USD, [filled(1, "0.6", "100")])
    assert found.valued(D(2))["partial"] == 2 * found.partial


@st.composite
def anything(draw: st.DrawFn) -> tuple[PlanLeg, list[Fill]]:
    side = draw(st.sampled_from(list(Side)))
    planned = leg(
        side,
        draw(st.sampled_from(list(FeeCurrency))),
        str(D(draw(st.integers(1, 1_200_000))).scaleb(-6)),
        str(D(draw(st.integers(0, 200))).scaleb(-4)),
    )
    fills: list[Fill] = []
    for number in range(draw(st.integers(0, 5))):
        qty = D(draw(st.integers(1, 10**6))).scaleb(-6)
        price = D(draw(st.integers(9 * 10**5, 11 * 10**5))).scaleb(-4)
        cost = nearest_decimals(qty * price, 5)
        asset = draw(st.sampled_from(["USD", "BTC"]))
        fee = nearest_decimals((cost if asset == "USD" else qty) * D(draw(st.integers(0, 200))).scaleb(-4), 5)
        top = draw(st.one_of(st.none(), st.integers(9 * 10**5, 11 * 10**5)))
        fill = Fill("p1-1", f"x{number}", qty, price, cost, fee, asset, (), None if top is None else BTC_USD.price(top))
        fills.append(with_rows(fill, side, BTC_USD, draw(st.integers(2, 8))) if draw(st.booleans()) else fill)
    return planned, fills


@given(anything())
@settings(max_examples=200, deadline=None)
def test_the_five_parts_sum_to_what_is_missing_and_rounding_is_no_more_than_that(
    drawn: tuple[PlanLeg, list[Fill]],
) -> None:
    with exact():
        planned, fills = drawn
        found = attribute(planned, BTC_USD, fills)
        parts(found)
        booked = [row.amount.as_tuple().exponent for fill in fills for row in fill.rows]
        coarsest = max([-5, *(int(exponent) for exponent in booked)])
        units = 2 * (len(fills) + 1) * D(1).scaleb(coarsest)
        # An amount of the other asset is worth at most this much of the one the leg gets.
        in_gets = units * (1 + D("0.0125")) if planned.leg.side is Side.BUY else units * 130
        assert abs(found.rounding) <= in_gets
