"""Where a cycle stops, and in which words. One small market, changed one figure at a time.

Buy BTC at 100, buy ETH with BTC at 0.05, sell ETH at 5.2: gross 1.04.
"""

from dataclasses import replace

import pytest

from arbitrade_core.book import Level
from arbitrade_core.domain import Fee, FeeCurrency
from arbitrade_core.errors import InvariantError
from arbitrade_core.pricing import LegInput, Priced, Stage, Stopped, Terms, price_cycle
from tests.pricing.worlds import BUY, SELL, D, leg, pair, terms

BTC = pair("BTC/USD", qty_decimals=4)
CROSS = pair("ETH/BTC", price_decimals=4, qty_decimals=4)
ETH = pair("ETH/USD", qty_decimals=4)
ONE_BTC, ONE_ETH = 10_000, 10_000  # in lots


def market(
    fee: Fee | str = "0",
    *,
    asks: list[Level] | None = None,
    cross: list[Level] | None = None,
    bids: list[Level] | None = None,
) -> list[LegInput]:
    return [
        leg(BUY, BTC, [(10_000, 5 * ONE_BTC)] if asks is None else asks, fee),
        leg(BUY, CROSS, [(500, 200 * ONE_ETH)] if cross is None else cross, fee),
        leg(SELL, ETH, [(520, 200 * ONE_ETH)] if bids is None else bids, fee),
    ]


def with_pair(legs: list[LegInput], index: int, **figures: object) -> list[LegInput]:
    changed = replace(legs[index].pair, **figures)  # type: ignore[arg-type]
    return [*legs[:index], replace(legs[index], pair=changed), *legs[index + 1 :]]


def plan(legs: list[LegInput], asked: Terms | None = None, budget: str = "1000") -> Priced:
    result = price_cycle(legs, D(budget), asked or terms(), D(0))
    assert isinstance(result, Priced), result
    return result


def stop(legs: list[LegInput], asked: Terms | None = None, budget: str = "1000", min_profit: str = "0") -> Stopped:
    result = price_cycle(legs, D(budget), asked or terms(), D(min_profit))
    assert isinstance(result, Stopped), result
    return result


def test_what_survives_every_stage() -> None:
    priced = plan(market())
    assert [at.qty for at in priced.legs] == [D("5.0000"), D("99.9999"), D("99.9999")]  # a unit of rounding each
    assert [at.limit for at in priced.legs] == [D("100"), D("0.05"), D("5.2")]
    assert priced.start == D("500") + D("0.00000001")
    assert priced.profit == D("99.9999") * D("5.2") - 500
    assert priced.edge_bps == D("399.989600")


def test_trading_2_fees_stop_what_the_tops_do_not_return() -> None:
    stopped = stop(market("0.02"))
    assert stopped.stage is Stage.FEES
    assert stopped.edge_bps == D("-203.7678")  # 1.04 * 0.98 / 1.02**2
    assert stopped.reason == "the tops of the books return -203.7678 bps after fees"


def test_fees_stop_a_return_of_exactly_one() -> None:
    assert stop(market(bids=[(500, ONE_ETH)])).stage is Stage.FEES


def test_rounding_stops_an_order_below_qty_min_whatever_the_depth() -> None:
    legs = with_pair(market(), 0, qty_min=D("0.5"))
    stopped = stop(legs, budget="49")
    assert stopped.stage is Stage.ROUNDING
    assert stopped.edge_bps == D(400)
    assert stopped.reason == "cannot buy BTC/USD: 0.4899 BTC for 49 USD is below the minimum of 0.5 BTC"


def test_rounding_stops_an_order_below_cost_min() -> None:
    stopped = stop(with_pair(market(), 2, cost_min=D(50)), budget="40")
    assert stopped.stage is Stage.ROUNDING
    assert "cannot sell ETH/USD" in stopped.reason
    assert "below the minimum cost of 50 USD" in stopped.reason


def test_rounding_stops_what_is_less_than_a_lot() -> None:
    stopped = stop(with_pair(market(), 1, lot=D(100)), budget="400")
    assert stopped.stage is Stage.ROUNDING
    assert "0 ETH for 3.9999 BTC is less than one lot of 100 ETH" in stopped.reason


def test_rounding_stops_without_a_budget() -> None:
    assert stop(market(), budget="0").stage is Stage.ROUNDING


def test_rounding_stops_where_lots_eat_the_edge() -> None:
    coarse = with_pair(with_pair(market(), 0, lot=D(1)), 1, lot=D(15))
    stopped = stop(coarse, budget="199")  # 1 BTC buys 15 ETH of the possible 20
    assert stopped.stage is Stage.ROUNDING
    assert stopped.reason == (
        "at the tops of the books 100.00000001 USD comes back as 77.99999999 USD after fees, lots, ticks and rounding"
    )


def test_rounding_stops_where_the_tick_grid_eats_the_edge() -> None:
    stopped = stop(with_pair(market(), 2, tick=D("0.5")))
    assert stopped.stage is Stage.ROUNDING
    assert "999.99000001 USD comes back as 999.98949999 USD" in stopped.reason
    below_a_tick = stop(with_pair(market(), 2, tick=D(10)))
    assert below_a_tick.stage is Stage.ROUNDING
    assert below_a_tick.reason == "ETH/USD: the best bid is below one tick of 10 USD"


def test_trading_14_rounding_units_stop_what_is_too_small_for_them() -> None:
    coarse = with_pair(market(), 2, cost_decimals=1)
    assert isinstance(price_cycle(coarse, D(1000), terms(rounding_fills=10), D(0)), Priced)
    stopped = stop(coarse, terms(rounding_fills=10), budget="20")
    assert stopped.stage is Stage.ROUNDING  # edge 0.8 USD, rounding 1 USD


def test_depth_stops_when_a_book_is_empty_or_taken() -> None:
    stopped = stop(market(bids=[]))
    assert (stopped.stage, stopped.edge_bps) == (Stage.DEPTH, None)
    assert stopped.reason == "ETH/USD: no bids left to take"
    assert stop(market(asks=[(10_000, 0)])).reason == "BTC/USD: no asks left to take"


def test_depth_stops_when_the_profitable_part_is_below_the_minimum() -> None:
    legs = with_pair(market(bids=[(520, ONE_ETH), (480, 500 * ONE_ETH)]), 2, qty_min=D(2))
    stopped = stop(legs)
    assert stopped.stage is Stage.DEPTH
    assert stopped.edge_bps == D(400)
    assert "cannot sell ETH/USD: 1 ETH is below the minimum of 2 ETH" in stopped.reason


def test_trading_13_depth_stops_when_the_limits_do_not_return_the_margin() -> None:
    assert plan(market(), terms(margin_bps="399")).certificate.margin > 0
    stopped = stop(market(), terms(margin_bps="401"))
    assert stopped.stage is Stage.DEPTH
    assert "400 bps after fees, not above the margin of 401 bps" in stopped.reason


def test_trading_12_the_walk_stops_at_the_margin() -> None:
    bids = [(520, 10 * ONE_ETH), (510, 10 * ONE_ETH), (504, 10 * ONE_ETH), (499, 100 * ONE_ETH)]
    assert plan(market(bids=bids)).legs[2].limit == D("5.04")
    assert plan(market(bids=bids), terms(margin_bps="150")).legs[2].limit == D("5.1")
    assert plan(market(bids=bids), terms(margin_bps="250")).legs[2].limit == D("5.2")


def test_trading_12_a_plan_may_end_inside_a_level_when_money_ends() -> None:
    bids = [(520, 10 * ONE_ETH), (510, 100 * ONE_ETH)]
    priced = plan(market(bids=bids), budget="100")
    assert priced.legs[2].qty == D("19.9979")
    assert D("99.99") < priced.start <= 100


def test_walks_never_deeper_than_the_verified_levels() -> None:
    bids = [(520 - step, ONE_ETH) for step in range(10)]
    assert plan(market(bids=bids), terms(max_levels=3)).legs[2].limit == D("5.18")
    assert plan(market(bids=[(530, 0), *bids]), terms(max_levels=3)).legs[2].limit == D("5.19")


def test_a_limit_on_a_coarse_grid_still_reaches_the_level() -> None:
    legs = with_pair(with_pair(market(asks=[(10_003, 5 * ONE_BTC)]), 0, tick=D("0.1")), 2, tick=D("0.05"))
    priced = plan([legs[0], legs[1], replace(legs[2], levels=[(523, 50 * ONE_ETH)])])
    assert (priced.legs[0].limit, priced.legs[0].average) == (D("100.1"), D("100.03"))
    assert (priced.legs[2].limit, priced.legs[2].average) == (D("5.20"), D("5.23"))


def test_where_coarse_lots_do_not_fall_in_line_a_lot_less_is_tried() -> None:
    """90 of at most 100 ETH could be sold, for which 100 would be bought; 60 of 60 it is."""
    legs = with_pair(market(cross=[(500, 100 * ONE_ETH)]), 1, lot=D(20))
    priced = plan(with_pair(legs, 2, lot=D(30)), terms(rounding_fills=0))
    assert [at.qty for at in priced.legs] == [3, 60, 60]


def test_a_limit_is_no_worse_than_the_worst_level_touched() -> None:
    """The second ask is opened, but lots of 20 ETH leave it alone."""
    asks = [(10_000, ONE_BTC), (11_000, ONE_BTC // 2)]
    legs = with_pair(market(asks=asks, bids=[(600, 50 * ONE_ETH)]), 1, lot=D(20))
    priced = plan(legs, terms(rounding_fills=0))
    assert (priced.legs[0].qty, priced.legs[0].limit, priced.start) == (D(1), D(100), D(100))
    costly = plan(with_pair(legs, 0, cost_min=D(105)), terms(rounding_fills=0))
    assert (costly.legs[0].limit, costly.start) == (D(110), D(110))  # 1 BTC at 100 would be below the minimum cost
    assert costly.legs[0].spend == 100


def test_unspent_start_asset_is_at_home_and_later_leftovers_count_as_zero() -> None:
    asks = [(10_000, ONE_BTC), (10_100, ONE_BTC)]
    priced = plan(market(asks=asks))
    first, second, last = priced.legs
    assert priced.start == 2 * 101 + D("0.00000001")  # reserved at the limit
    assert first.spend == 100 + 101  # expected
    assert priced.end == priced.start - first.spend + last.get
    assert second.spend < first.get  # the rest is residue, not profit


def test_trading_14_an_open_fee_currency_costs_both_on_the_way() -> None:
    """Funded in case the fee comes on top, and passed on in case it is taken off: leftovers count as zero."""
    dearer = plan(market(Fee(D("0.001"), FeeCurrency.EITHER)))
    for currency in (FeeCurrency.QUOTE, FeeCurrency.BASE):
        settled = plan(market(Fee(D("0.001"), currency)))
        assert settled.certificate.end_floor / settled.start > dearer.certificate.end_floor / dearer.start


def test_buffers_stop_an_edge_below_the_minimum() -> None:
    asked = terms(min_edge_bps="300", slippage_bps="30", fee_buffer_bps="4")
    stopped = stop(market(), asked)
    assert stopped.stage is Stage.BUFFERS
    assert stopped.edge_bps == D("399.989600")
    assert stopped.reason == (
        "399.9896 bps expected, 293.909706 bps after buffers of 34 bps per leg, below the minimum edge of 300 bps"
    )
    assert isinstance(price_cycle(market(), D(1000), replace(asked, min_edge_bps=D(293)), D(0)), Priced)


def test_buffers_stop_a_profit_below_the_minimum() -> None:
    stopped = stop(market(), terms(slippage_bps="10"), min_profit="18.5")
    assert stopped.stage is Stage.BUFFERS
    assert stopped.reason == (
        "profit of 18.43948156 USD on 500 USD after buffers of 10 bps per leg, below the minimum of 18.5 USD"
    )
    assert isinstance(price_cycle(market(), D(1000), terms(slippage_bps="10"), D("18.4")), Priced)


def test_buffers_are_counted_in_the_buffered_profit_alone() -> None:
    plain_plan, buffered = plan(market()), plan(market(), terms(slippage_bps="10", fee_buffer_bps="5"))
    assert plain_plan.profit == buffered.profit
    assert buffered.buffered_profit == buffered.profit - buffered.legs[2].get * D("0.0045")


def test_a_minimum_edge_gets_the_smaller_size_that_has_it() -> None:
    bids = [(520, 10 * ONE_ETH), (501, 190 * ONE_ETH)]
    most = plan(market(bids=bids))
    choosy = plan(market(bids=bids), terms(min_edge_bps="300"))
    assert most.profit > choosy.profit > 0
    assert most.edge_bps < 300 < choosy.edge_bps
    assert choosy.legs[2].qty == 10


def test_buffers_beyond_everything_stop() -> None:
    assert stop(market(), terms(slippage_bps="4000")).stage is Stage.BUFFERS


def test_two_and_four_legs_are_cycles_too() -> None:
    there, back = pair("ETH/BTC", price_decimals=4, qty_decimals=4), pair("ETH2/BTC", price_decimals=4)
    two = [
        leg(BUY, replace(there, symbol="a"), [(500, ONE_ETH)], pair_id=1),
        leg(SELL, replace(back, symbol="b", base="ETH"), [(510, 10**8)], pair_id=2),
    ]
    assert plan(two).legs[0].qty == 1
    four = [
        *market()[:2],
        leg(SELL, pair("ETH/EUR", qty_decimals=4), [(520, 100 * ONE_ETH)]),
        leg(SELL, pair("EUR/USD", price_decimals=4), [(10_000, 10**12)]),
    ]
    assert len(plan(four).legs) == 4


@pytest.mark.parametrize(
    "legs",
    [
        [],
        market()[:1],
        market()[:2],
        [market()[1], market()[0], market()[2]],
        market() + market(),
    ],
    ids=["none", "one", "open", "shuffled", "twice"],
)
def test_legs_that_are_no_cycle_are_a_bug_of_the_caller(legs: list[LegInput]) -> None:
    with pytest.raises(InvariantError, match="no cycle"):
        price_cycle(legs, D(1000), terms(), D(0))
