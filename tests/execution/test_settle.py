"""The unwind planner by TRADING 18 and 19, and against an independent search."""

from collections.abc import Iterator
from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Asset, Fee, FeeCurrency, Plan
from arbitrade_core.execution.settle import COMPLETE, REVERSE, NoWay, Offer, Planner, TooSmall
from arbitrade_core.money import exact
from tests.execution.worlds import World, listing, planned

PATH = ("+BTC/USD", "+ETH/BTC", "-ETH/USD")


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def triangle(fee: str = "0.001", **figures: object) -> World:
    """USD > BTC > ETH > USD, worth about 2 %."""
    pairs = [listing("BTC/USD", **figures), listing("ETH/BTC", **figures), listing("ETH/USD", **figures)]
    world = World(pairs, {"USD": D(10_000)}, Fee(D(fee)))
    world.sees("BTC/USD", bids=[("99.9", "50")], asks=[("100", "50")])
    world.sees("ETH/BTC", bids=[("0.0499", "500")], asks=[("0.05", "500")])
    world.sees("ETH/USD", bids=[("5.1", "500")], asks=[("5.11", "500")])
    return world


def plan_of(world: World, funds: str = "1000") -> Plan:
    plan = planned(world, PATH, D(funds))
    assert plan is not None
    return plan


def best(
    world: World, asset: str, amount: str, paid: str, *, cap_bps: str = "300", avoid: tuple[str, ...] = ()
) -> Offer | TooSmall | NoWay:
    plan = plan_of(triangle(str(world.one_fee.rate)))
    legs = frozenset(world.leg_id(name) for name in avoid)
    return Planner(plan, world, D(cap_bps)).best(asset, D(amount), D(paid), legs)


def offer(found: Offer | TooSmall | NoWay) -> Offer:
    assert isinstance(found, Offer), found
    return found


def test_trading_18_completes_when_that_brings_more() -> None:
    found = offer(best(triangle(), "BTC", "10", "1000"))
    assert found.route.purpose == COMPLETE
    assert found.route.steps[0].leg.symbol == "ETH/BTC"
    assert D(1015) < found.worst <= found.value < D(1020)


def test_trading_18_reverses_when_that_loses_less() -> None:
    world = triangle()
    world.sees("ETH/BTC", asks=[("0.06", "500")])
    found = offer(best(world, "BTC", "10", "1000"))
    assert found.route.purpose == REVERSE
    assert str(found.route.steps[0].leg) == "-BTC/USD"
    assert found.limit == D("99.9")
    assert found.value == D("998.001")


def test_trading_18_from_the_last_asset_completing_is_one_leg_and_reversing_two() -> None:
    world = triangle()
    world.sees("ETH/USD", bids=[("4.5", "500")])
    found = offer(best(world, "ETH", "200", "1000"))
    assert [str(step.leg) for step in found.route.steps] == ["-ETH/BTC", "-BTC/USD"]


def test_trading_18_nothing_within_the_cap_is_no_way_and_names_the_best_offer() -> None:
    world = triangle()
    world.sees("ETH/BTC", asks=[("0.06", "500")])
    world.sees("BTC/USD", bids=[("96", "500")])
    found = best(world, "BTC", "10", "1000")
    assert isinstance(found, NoWay)
    assert "best offer: reverse with 10 at 96 on -BTC/USD for at least 959.0" in found.best
    assert "of 1000 paid" in found.best


def test_trading_18_without_any_book_there_is_no_way() -> None:
    world = triangle()
    for pair in range(3):
        world.market.quarantine(pair, "test")
    assert best(world, "BTC", "10", "1000") == NoWay("no usable book on any way home")


def test_trading_18_levels_that_cost_more_than_the_cap_are_left_alone() -> None:
    world = triangle()
    world.market.quarantine(world.pair_id("ETH/BTC"), "test")
    world.sees("BTC/USD", bids=[("99", "4"), ("98.5", "3"), ("90", "100")])
    found = offer(best(world, "BTC", "10", "1000"))
    assert (found.qty, found.limit) == (D(7), D("98.5"))
    assert found.paid == D(700)


def test_trading_18_the_limit_keeps_the_cap_even_when_everything_fills_there() -> None:
    world = triangle()
    world.market.quarantine(world.pair_id("ETH/BTC"), "test")
    # The average over both levels is within 3 %, the second alone is not.
    world.sees("BTC/USD", bids=[("100", "9"), ("90", "1")])
    assert offer(best(world, "BTC", "10", "1000")).limit == D(100)


def test_trading_18_the_cap_holds_in_whichever_currency_the_fee_comes() -> None:
    """Expected within the cap, but not if the buy's fee is taken in the base asset: left alone."""
    world = triangle("0.01")
    world.one_fee = Fee(D("0.01"), FeeCurrency.EITHER)
    world.market.quarantine(world.pair_id("BTC/USD"), "test")
    plan = planned(triangle_like(world), PATH, D(1000))
    assert plan is not None
    found = Planner(plan, world, D(200)).best("BTC", D(10), D(1005), frozenset())
    assert isinstance(found, NoWay)
    sure = offer(Planner(plan, world, D(300)).best("BTC", D(10), D(1005), frozenset()))
    assert sure.worst < D("984.9") < sure.value, "the floor of 200 bps lies between"


def triangle_like(world: World) -> World:
    other = triangle()
    other.one_fee = world.one_fee
    return other


def test_a_leg_that_was_just_refused_is_used_only_when_nothing_else_will_do() -> None:
    world = triangle()
    assert offer(best(world, "BTC", "10", "1000", avoid=("+ETH/BTC",))).route.purpose == REVERSE
    world.market.quarantine(world.pair_id("BTC/USD"), "test")
    assert offer(best(world, "BTC", "10", "1000", avoid=("+ETH/BTC",))).route.purpose == COMPLETE


def test_trading_19_what_no_route_can_carry_is_residue() -> None:
    world = triangle(qty_min=D(1))
    assert best(world, "BTC", "0.02", "2") == TooSmall()
    assert offer(best(world, "BTC", "0.3", "30")).route.purpose == COMPLETE, "too small to sell back, not to go on"
    for pair in range(3):
        world.market.quarantine(pair, "test")
    assert best(world, "BTC", "0.02", "2") == TooSmall(), "by the planned prices when no book shows any"
    assert isinstance(best(world, "BTC", "0.3", "30"), NoWay)


def test_a_balance_booked_in_coarse_units_is_not_spent_to_the_last() -> None:
    """The exchange's ledger may round each fill against us; what is not there cannot be sold."""
    world = triangle()
    fine = offer(best(world, "BTC", "10", "1000"))
    world.lists(Asset("BTC", 4))
    coarse = offer(best(world, "BTC", "10", "1000"))
    assert coarse.qty < fine.qty


levels = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 40)), min_size=0, max_size=5)


@given(levels, levels, levels, st.integers(1, 90), st.integers(0, 600), st.sampled_from(["0", "0.002", "0.008"]))
@settings(max_examples=250, deadline=None)
def test_trading_18_agrees_with_an_independent_search(  # noqa: PLR0917 - a whole market
    btc_bids: list[tuple[int, int]],
    eth_asks: list[tuple[int, int]],
    usd_bids: list[tuple[int, int]],
    amount: int,
    cap_bps: int,
    fee: str,
) -> None:
    """Fractions, no rounding: every prefix of every route's first book, the rest greedily, best surplus kept."""
    with exact():
        world = triangle(fee, price_decimals=6, cost_decimals=12, qty_decimals=10, lot=D("0.0000000001"))
        books = {
            "-BTC/USD": _side(btc_bids, 100, -1),
            "+ETH/BTC": _side(eth_asks, Fraction(5, 100), 1),
            "-ETH/USD": _side(usd_bids, 5, -1),
        }
        for name, side in books.items():
            quotes = [(format(D(price.numerator) / D(price.denominator), "f"), str(qty)) for price, qty in side]
            bids, asks = (quotes, []) if name[0] == "-" else ([], quotes)
            world.sees(name[1:], bids=bids, asks=asks)
        paid, keep = Fraction(amount * 100), 1 - Fraction(cap_bps, 10_000)
        found = best(world, "BTC", str(amount), str(paid), cap_bps=str(cap_bps))
        searched = [
            surplus
            for route in (["+ETH/BTC", "-ETH/USD"], ["-BTC/USD"])
            for surplus in _search(route, books, Fraction(amount), paid, keep, Fraction(fee))
        ]
        tolerance = Fraction(1, 10_000)
        if isinstance(found, Offer):
            assert searched
            mine = Fraction(found.value) - keep * Fraction(found.paid)
            assert mine >= max(searched) - tolerance
            assert Fraction(found.worst) >= keep * Fraction(found.paid) - tolerance
        else:
            assert all(surplus < tolerance for surplus in searched)


type Side = list[tuple[Fraction, Fraction]]


def _side(drawn: list[tuple[int, int]], fair: Fraction | int, away: int) -> Side:
    """Levels up to a few per cent from fair, best first; odd steps may be better than fair."""
    prices = sorted({fair * (1 + Fraction(away * (step - 3), 200)) for step, _ in drawn}, reverse=away < 0)
    qty = Fraction(sum(lots for _, lots in drawn), max(1, len(prices)))
    scale = 1 if fair == 100 else 20
    return [(price, Fraction(round(qty)) * scale) for price in prices]


def _search(  # noqa: PLR0917 - one route's figures
    route: list[str], books: dict[str, Side], amount: Fraction, paid: Fraction, keep: Fraction, fee: Fraction
) -> Iterator[Fraction]:
    first = books[route[0]]
    for depth in range(1, len(first) + 1):
        limit = first[depth - 1][0]
        per_unit = limit * (1 + fee) if route[0][0] == "+" else Fraction(1)
        whole = amount / per_unit
        qty = min(whole, sum((shown for _, shown in first[:depth]), Fraction(0)))
        value = _home(route[1:], books, _fill(route[0], first, qty, fee)[1], fee)
        worst = _home(route[1:], books, _fill(route[0], [(limit, qty)], qty, fee)[1], fee)
        share = paid * qty / whole
        if value is not None and worst is not None and min(worst, value) >= share * keep + Fraction(1, 10_000):
            yield value - share * keep


def _fill(name: str, side: Side, qty: Fraction, fee: Fraction) -> tuple[Fraction, Fraction]:
    """(quantity, what comes in)."""
    left, got = qty, Fraction(0)
    for price, shown in side:
        take = min(left, shown)
        got += take if name[0] == "+" else take * price * (1 - fee)
        left -= take
    return qty - left, got


def _home(route: list[str], books: dict[str, Side], amount: Fraction, fee: Fraction) -> Fraction | None:
    for name in route:
        side = books[name]
        if not side:
            return None
        assert name[0] == "-", "the searched routes only sell after their first leg"
        amount = _fill(name, side, amount, fee)[1]
    return amount
