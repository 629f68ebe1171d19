"""No other size or depth earns more (TRADING 12): searched exhaustively, by code that shares nothing with the walk."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Fee, FeeCurrency
from arbitrade_core.pricing import LegInput, Priced, Stopped, Terms, price_cycle
from tests.pricing.worlds import BUY, SELL, D, leg, pair, terms

SEEDS = st.integers(0, 10**9)


def small_cycle(seed: int, qty_decimals: int, qty_mins: tuple[int, ...]) -> tuple[list[LegInput], int, Terms]:
    """Three legs of up to four levels at small whole prices; costs and fees come out exact, nothing is rounded."""
    rng = random.Random(seed)
    legs: list[LegInput] = []
    worth = Fraction(1)
    target = Fraction(rng.randint(100, 180), 100)
    for index in range(3):
        side = rng.choice((BUY, SELL))
        here, there = f"A{index}", f"A{(index + 1) % 3}"
        if index == 2:
            wanted = worth / target if side is BUY else target / worth
            price = max(1, round(wanted * 8))
        else:
            price = rng.randint(4, 40)
        symbol = f"{there}/{here}" if side is BUY else f"{here}/{there}"
        listing = pair(
            symbol,
            price_decimals=3,
            qty_decimals=qty_decimals,
            cost_decimals=12,
            qty_min=str(rng.choice(qty_mins)),
        )
        levels = []
        for _ in range(rng.randint(1, 4)):
            if price < 1:
                break
            levels.append((price * 125, rng.randint(1, 9) * 10**qty_decimals))
            price += rng.randint(1, 2) if side is BUY else -rng.randint(1, 2)
        fee = Fee(D(rng.choice(("0", "0.004", "0.01"))), rng.choice((FeeCurrency.QUOTE, FeeCurrency.BASE)))
        legs.append(leg(side, listing, levels, fee, index))
        top = Fraction(levels[0][0], 1000)
        worth = worth / top if side is BUY else worth * top
    return legs, rng.randint(1, 60), terms(rounding_fills=0, margin_bps=rng.choice(("0", "0", "100")))


@dataclass(frozen=True)
class Offer:
    """What `qty` of one leg means: at most spent, at least got, and expected."""

    qty: Fraction
    most: Fraction
    least: Fraction
    spend: Fraction
    get: Fraction


def offer(asked: LegInput, qty: Fraction, limit: Fraction | None = None) -> Offer:
    """At the worst level touched, or at a worse `limit`."""
    cost, left, worst = Fraction(0), qty, Fraction(0)
    for ticks, lots in asked.levels:
        taken = min(left, Fraction(lots, 10**asked.pair.qty_decimals))
        if taken:
            worst = Fraction(ticks, 10**asked.pair.price_decimals)
            cost += taken * worst
            left -= taken
    assert left == 0
    limit = worst if limit is None else limit
    rate = Fraction(asked.fee.rate)
    in_base = asked.fee.currency is FeeCurrency.BASE
    on_top, off = (1 + rate, 1) if in_base is (asked.leg.side is SELL) else (1, 1 - rate)
    if asked.leg.side is BUY:
        return Offer(qty, qty * limit * on_top, qty * off, cost * on_top, qty * off)
    return Offer(qty, qty * on_top, qty * limit * off, qty * on_top, cost * off)


def every_plan(legs: list[LegInput], budget: int, keep: Fraction) -> Iterator[tuple[Offer, ...]]:
    """Every certified choice of whole lots."""
    tables = []
    for asked in legs:
        decimals = asked.pair.qty_decimals
        depth = sum(lots for _, lots in asked.levels)
        least = max(1, asked.pair.lots(asked.pair.qty_min))
        tables.append([offer(asked, Fraction(lots, 10**decimals)) for lots in range(least, depth + 1)])
    for first in tables[0]:
        if first.most > budget:
            continue
        for second in tables[1]:
            if second.most > first.least:
                continue
            for third in tables[2]:
                if third.most <= second.least and third.least >= first.most * keep:
                    yield first, second, third


def profit_of(plan: tuple[Offer, ...]) -> Fraction:
    return plan[-1].get - plan[0].spend


@settings(max_examples=400, deadline=None)
@given(seed=SEEDS)
def test_trading_12_no_size_in_whole_lots_earns_a_lot_per_leg_more(seed: int) -> None:
    legs, budget, asked = small_cycle(seed, qty_decimals=0, qty_mins=(0, 0, 1, 2))
    result = price_cycle(legs, D(budget), asked, D(0))
    ours = Fraction(result.profit) if isinstance(result, Priced) else Fraction(0)
    best = max(every_plan(legs, budget, 1 + Fraction(asked.margin_bps) / 10_000), key=profit_of, default=None)
    if best is None:
        assert isinstance(result, Stopped)
        return
    a_lot_per_leg = sum(best[0].spend / at.qty for at in best)
    assert profit_of(best) - ours <= a_lot_per_leg


@settings(max_examples=400, deadline=None)
@given(seed=SEEDS)
def test_trading_12_with_fine_lots_no_depths_earn_more_at_all(seed: int) -> None:
    """Every combination of depths at its largest size: the walk looks at one chain of them and must miss none."""
    legs, budget, asked = small_cycle(seed, qty_decimals=9, qty_mins=(0,))
    best = best_over_depths(legs, budget, 1 + Fraction(asked.margin_bps) / 10_000)
    result = price_cycle(legs, D(budget), asked, D(0))
    ours = Fraction(result.profit) if isinstance(result, Priced) else Fraction(0)
    assert abs(best - ours) <= Fraction(1, 10**6)


def best_over_depths(legs: list[LegInput], budget: int, keep: Fraction) -> Fraction:
    """The highest profit, sizes in fractions of a lot."""
    best = Fraction(0)
    for depths in product(*(range(len(asked_leg.levels)) for asked_leg in legs)):
        limits = [Fraction(asked_leg.levels[depth][0], 1000) for asked_leg, depth in zip(legs, depths, strict=True)]
        caps = [
            Fraction(sum(lots for _, lots in asked_leg.levels[: depth + 1]), 10**9)
            for asked_leg, depth in zip(legs, depths, strict=True)
        ]
        per_unit = [
            (one.most, one.least)
            for one in (offer(asked_leg, Fraction(1), limit) for asked_leg, limit in zip(legs, limits, strict=True))
        ]
        flow = Fraction(budget)
        sizes = []
        for (most, least), cap in zip(per_unit, caps, strict=True):
            sizes.append(min(flow / most, cap))
            flow = sizes[-1] * least
        for index in (1, 0):
            sizes[index] = sizes[index + 1] * per_unit[index + 1][0] / per_unit[index][1]
        if sizes[2] * per_unit[2][1] >= sizes[0] * per_unit[0][0] * keep:
            gain = offer(legs[2], sizes[2]).get - offer(legs[0], sizes[0]).spend
            best = max(best, gain)
    return best
