"""Rotations: as much as the price bound allows, and never a promise that fills at the limits break."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal as D
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.book import Level
from arbitrade_core.domain import Fee, FeeCurrency, Leg, Pair, Side
from arbitrade_core.errors import InvariantError
from arbitrade_core.money import ceil_to, exact, floor_to, nearest_decimals, unit
from arbitrade_core.pricing import LegInput, PricedRotation, Stage, Stopped, Terms, price_rotation
from tests.execution.worlds import listing

FILLS = 2
TERMS = Terms(D(1), D(5), D(1), D(0), D(0), FILLS, 10)


def leg_input(pair: Pair, side: Side, levels: Sequence[Level], fee: Fee, number: int = 0) -> LegInput:
    spends, gets = (pair.quote, pair.base) if side is Side.BUY else (pair.base, pair.quote)
    return LegInput(Leg(2 * number + side, number, pair.symbol, side, spends, gets), pair, levels, fee)


@st.composite
def books(draw: st.DrawFn, pair: Pair, side: Side, middle: int) -> list[Level]:
    """Up to three levels of a few lots, best first; some are taken already."""
    ticks, levels = middle, []
    for _ in range(draw(st.integers(1, 3))):
        ticks += draw(st.integers(1, 4)) * (1 if side is Side.BUY else -1)
        levels.append((ticks, draw(st.integers(0, 8))))
    return levels


@dataclass(frozen=True)
class Case:
    legs: list[LegInput]
    amount: D
    min_rate: D


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One or two legs on coarse grids, so that every lot and every tick counts."""
    fee = Fee(D(draw(st.sampled_from(["0", "0.004", "0.02"]))), draw(st.sampled_from(list(FeeCurrency))))

    def pair(symbol: str) -> Pair:
        return listing(
            symbol,
            price_decimals=1,
            qty_decimals=1,
            lot=D(draw(st.sampled_from(["0.1", "0.2"]))),
            tick=D(draw(st.sampled_from(["0.1", "0.2"]))),
            cost_decimals=draw(st.integers(2, 4)),
            qty_min=D(draw(st.sampled_from(["0.1", "0.3"]))),
            cost_min=D(draw(st.sampled_from(["0.1", "4"]))),
        )

    buys = pair("BBB/USD")
    legs = [leg_input(buys, Side.BUY, draw(books(buys, Side.BUY, 100)), fee, 1)]
    if draw(st.booleans()):
        sells = pair("AAA/USD")
        legs.insert(0, leg_input(sells, Side.SELL, draw(books(sells, Side.SELL, 200)), fee, 0))
        return Case(legs, D(draw(st.integers(1, 40))) / 10, D(draw(st.integers(120, 200))) / 100)
    return Case(legs, D(draw(st.integers(1, 400))) / 10, D(draw(st.integers(70, 100))) / 1000)


# --- what one order may do at the worst, said anew -----------------------------------------------------------


def worst(leg: LegInput, qty: D, limit: D) -> tuple[D, D]:
    """Most spent and least got: fee in whichever currency, half a unit of rounding for cost and fee of each fill."""
    fee, pair = leg.fee, leg.pair
    in_quote = D(0) if fee.currency is FeeCurrency.BASE else fee.rate
    in_base = D(0) if fee.currency is FeeCurrency.QUOTE else fee.rate
    quote_unit = FILLS * unit(pair.cost_decimals) * (1 + in_quote / 2)
    base_unit = FILLS * unit(pair.qty_decimals) if in_base else D(0)
    if leg.leg.side is Side.BUY:
        return qty * limit * (1 + in_quote) + quote_unit, max(qty * (1 - in_base) - base_unit, D(0))
    return qty * (1 + in_base) + base_unit, max(qty * limit * (1 - in_quote) - quote_unit, D(0))


def within(leg: LegInput, limit: D) -> D:
    ticks, sign = leg.pair.ticks(limit), 1 if leg.leg.side is Side.BUY else -1
    lots = sum(lots for at, lots in leg.levels if sign * at <= sign * ticks)
    return leg.pair.qty(lots - lots % leg.pair.lot_multiple)


def orders(leg: LegInput) -> list[tuple[D, D]]:
    """Every (quantity, limit) that the book holds and the exchange takes."""
    pair, found = leg.pair, []
    for ticks, _ in leg.levels:
        onto_grid = ceil_to if leg.leg.side is Side.BUY else floor_to
        limit = onto_grid(pair.price(ticks), pair.tick)
        for lots in range(1, int(within(leg, limit) / pair.lot) + 1):
            qty = lots * pair.lot
            if qty >= pair.qty_min and qty * limit >= pair.cost_min:
                found.append((qty, limit))
    return found


def most_that_any_plan_brings(case: Case, spare_lots: int) -> D | None:
    """Of all that keep the bound with so many lots more spent and fewer got: whole lots may break it by as many."""
    best: D | None = None
    more, less = (spare_lots * leg.pair.lot for leg in (case.legs[0], case.legs[-1]))
    if case.legs[0].leg.side is Side.BUY:
        more *= case.legs[0].pair.price(case.legs[0].levels[-1][0])
    for chain in product(*(orders(leg) for leg in case.legs)):
        ends = [worst(leg, *order) for leg, order in zip(case.legs, chain, strict=True)]
        start, end = ends[0][0], ends[-1][1]
        funded = all(got >= spent for (_, got), (spent, _) in pairwise(ends))
        bound = end - less >= (start + more) * case.min_rate
        if start <= case.amount and funded and bound and (best is None or end > best):
            best = end
    return best


@given(cases())
@settings(max_examples=400, deadline=None)
def test_it_is_sound_and_no_plan_brings_more(case: Case) -> None:
    with exact():
        priced = price_rotation(case.legs, case.amount, case.min_rate, TERMS)
        best = most_that_any_plan_brings(case, spare_lots=1)
        if isinstance(priced, Stopped):
            assert best is None, f"{best} could be had; {priced}"
            return
        check_sound(case, priced)
        assert best is None or priced.end_floor >= best - case.legs[-1].pair.lot, f"{best} could be had"


def check_sound(case: Case, priced: PricedRotation) -> None:
    funds = case.amount
    for leg, one in zip(case.legs, priced.legs, strict=True):
        assert one.qty % leg.pair.lot == 0
        assert one.limit % leg.pair.tick == 0
        assert one.qty >= leg.pair.qty_min
        assert one.qty * one.limit >= leg.pair.cost_min
        assert one.qty <= within(leg, one.limit), "never beyond the depth"
        spent, got = worst(leg, one.qty, one.limit)
        assert spent <= funds, "each leg is paid by the one before"
        funds = got
    start, _ = worst(case.legs[0], priced.legs[0].qty, priced.legs[0].limit)
    assert (priced.start, priced.end_floor) == (start, funds)
    assert priced.start <= case.amount
    assert priced.end_floor >= priced.start * case.min_rate


@given(cases(), st.data())
@settings(max_examples=200, deadline=None)
def test_fills_within_the_limits_keep_the_bound_whatever_the_fee_is_charged_in(case: Case, data: st.DataObject) -> None:
    """Each order fills completely, in up to as many fills as are allowed for, at its limit or better."""
    with exact():
        priced = price_rotation(case.legs, case.amount, case.min_rate, TERMS)
        if isinstance(priced, Stopped):
            return
        funds = priced.start
        spent_first = D(0)
        for number, (leg, one) in enumerate(zip(case.legs, priced.legs, strict=True)):
            spent, got = filled(leg, one.qty, one.limit, data)
            assert spent <= funds
            spent_first = spent_first if number else spent
            funds = got
        assert spent_first <= priced.start
        assert funds >= spent_first * case.min_rate


def filled(leg: LegInput, qty: D, limit: D, data: st.DataObject) -> tuple[D, D]:
    pair, fee = leg.pair, leg.fee
    sign = -1 if leg.leg.side is Side.BUY else 1
    first = data.draw(st.integers(0, int(qty / pair.lot))) * pair.lot
    spent = got = D(0)
    for part in (first, qty - first):
        if not part:
            continue
        price = limit + sign * data.draw(st.integers(0, 2)) * pair.tick
        cost = nearest_decimals(part * price, pair.cost_decimals)
        in_base = fee.currency is FeeCurrency.BASE or (fee.currency is FeeCurrency.EITHER and data.draw(st.booleans()))
        charged = nearest_decimals(part * fee.rate, pair.qty_decimals) if in_base else nearest_decimals(
            cost * fee.rate, pair.cost_decimals
        )  # fmt: skip
        base_fee, quote_fee = (charged, D(0)) if in_base else (D(0), charged)
        if leg.leg.side is Side.BUY:
            spent, got = spent + cost + quote_fee, got + part - base_fee
        else:
            spent, got = spent + part + base_fee, got + cost - quote_fee
    return spent, got


# --- examples ------------------------------------------------------------------------------------------------

ETH = listing("ETH/USD", price_decimals=2, qty_decimals=4)
BTC = listing("BTC/USD", price_decimals=2, qty_decimals=6)
NO_FEE = Fee(D(0))


def eth_to_btc(bids: list[Level], asks: list[Level], fee: Fee = NO_FEE) -> list[LegInput]:
    return [leg_input(ETH, Side.SELL, bids, fee, 0), leg_input(BTC, Side.BUY, asks, fee, 1)]


def test_the_bound_decides_how_deep_it_goes() -> None:
    """20 ETH are wanted away; the second bid of ETH is a hundredth worse."""
    legs = eth_to_btc([(200_000, 50_000), (198_000, 150_000)], [(4_000_000, 10_000_000)])
    strict = price_rotation(legs, D(20), D("0.0499"), TERMS)
    loose = price_rotation(legs, D(20), D("0.0490"), TERMS)
    assert isinstance(strict, PricedRotation)
    assert isinstance(loose, PricedRotation)
    assert strict.legs[0].qty == D(5)
    assert strict.legs[0].limit == D(2000)
    assert loose.legs[0].qty == D(20)
    assert loose.legs[0].limit == D(1980)


def test_why_there_is_none_is_told_in_figures() -> None:
    one: list[Level] = [(200_000, 50_000)]
    fees = Fee(D("0.004"))
    stopped = price_rotation(eth_to_btc(one, [(4_000_000, 10_000_000)], fees), D(5), D("0.05"), TERMS)
    assert isinstance(stopped, Stopped)
    assert stopped.stage is Stage.FEES
    assert stopped.reason == "the tops of the books give 0.049601594 BTC for 1 ETH, the strategy wants 0.05"
    empty = price_rotation(eth_to_btc([], one), D(5), D("0.05"), TERMS)
    assert isinstance(empty, Stopped)
    assert empty.reason == "ETH/USD: no bids left to take"
    crumb = price_rotation(eth_to_btc(one, one), D("0.00001"), D("0.0001"), TERMS)
    assert isinstance(crumb, Stopped)
    assert crumb.stage is Stage.ROUNDING
    assert "less than one lot" in crumb.reason


@pytest.mark.parametrize("bound", ["0", "-1"])
def test_without_a_bound_nothing_is_turned(bound: str) -> None:
    one: list[Level] = [(200_000, 50_000)]
    stopped = price_rotation(eth_to_btc(one, one), D(5), D(bound), TERMS)
    assert isinstance(stopped, Stopped)
    assert "must be above 0" in stopped.reason


def test_legs_that_are_no_chain_are_our_mistake() -> None:
    forth, back = leg_input(ETH, Side.SELL, [], NO_FEE, 0), leg_input(ETH, Side.BUY, [], NO_FEE, 0)
    other = leg_input(BTC, Side.SELL, [], NO_FEE, 1)
    for legs in ([], [forth, back], [forth, other], [other, other]):
        with pytest.raises(InvariantError, match="no rotation"):
            price_rotation(legs, D(1), D(1), TERMS)


def test_a_smaller_size_at_a_better_price_is_taken_where_the_deeper_one_is_below_the_minimum() -> None:
    """At 10.6 the money buys 3 lots, worth less than the least order of 4; at 10.1 it buys 4."""
    pair = listing("BBB/USD", price_decimals=1, qty_decimals=1, cost_decimals=4, cost_min=D(4))
    priced = price_rotation([leg_input(pair, Side.BUY, [(101, 4), (106, 4)], NO_FEE)], D("4.05"), D("0.05"), TERMS)
    assert isinstance(priced, PricedRotation)
    assert (priced.legs[0].qty, priced.legs[0].limit) == (D("0.4"), D("10.1"))
