"""Cycles to price: by hand with `pair`, `leg`, `terms`; by the thousand with `random_cycle`."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.book import Level
from arbitrade_core.domain import Fee, FeeCurrency, Leg, Pair, Side
from arbitrade_core.pricing import LegInput, Terms

D = Decimal
BUY, SELL = Side.BUY, Side.SELL


def pair(
    symbol: str,
    *,
    price_decimals: int = 2,
    qty_decimals: int = 8,
    cost_decimals: int = 8,
    tick_multiple: int = 1,
    lot_multiple: int = 1,
    qty_min: str = "0",
    cost_min: str = "0",
) -> Pair:
    base, quote = symbol.split("/")
    return Pair(
        symbol,
        base,
        quote,
        price_decimals,
        qty_decimals,
        tick=D(tick_multiple).scaleb(-price_decimals),
        lot=D(lot_multiple).scaleb(-qty_decimals),
        qty_min=D(qty_min),
        cost_min=D(cost_min),
        cost_decimals=cost_decimals,
    )


def leg(side: Side, pair: Pair, levels: Sequence[Level], fee: Fee | str = "0", pair_id: int | None = None) -> LegInput:
    """`levels` in ticks and lots. Without `pair_id` one is made from the symbol, so that no two pairs share it."""
    pair_id = int.from_bytes(pair.symbol.encode()) if pair_id is None else pair_id
    spends, gets = (pair.quote, pair.base) if side is BUY else (pair.base, pair.quote)
    asked = fee if isinstance(fee, Fee) else Fee(D(fee))
    return LegInput(Leg(2 * pair_id + side, pair_id, pair.symbol, side, spends, gets), pair, levels, asked)


def terms(
    *,
    margin_bps: str = "0",
    min_edge_bps: str = "0",
    min_profit: str = "0",
    slippage_bps: str = "0",
    fee_buffer_bps: str = "0",
    rounding_fills: int = 1,
    max_levels: int = 10,
) -> Terms:
    return Terms(
        D(margin_bps),
        D(min_edge_bps),
        D(min_profit),
        D(slippage_bps),
        D(fee_buffer_bps),
        rounding_fills,
        max_levels,
    )


@dataclass(frozen=True)
class World:
    legs: list[LegInput]
    budget: Decimal
    terms: Terms


def random_cycle(seed: int) -> World:
    """A cycle of 2 to 4 legs whose tops return from -2 % to +15 % gross, on all kinds of grids and fees."""
    rng = random.Random(seed)
    count = rng.choice((2, 3, 3, 3, 4))
    value = 10 ** rng.uniform(-2, 5)  # of the start asset
    legs: list[LegInput] = []
    target = rng.uniform(0.98, 1.15)
    worth = 1.0  # units of the asset at hand per unit of the start asset
    budget = D(value * rng.uniform(0.05, 5)).quantize(D("0.000001"))
    for index in range(count):
        side = rng.choice((BUY, SELL))
        here, there = f"A{index}", f"A{(index + 1) % count}"
        if index < count - 1:
            price_decimals = rng.randint(0, 10)
            ticks = int(10 ** rng.uniform(0.7, 6))
        else:
            price = target / worth if side is SELL else worth / target
            price_decimals = min(max(0, rng.randint(2, 5) - math.floor(math.log10(price))), 10)
            ticks = max(1, round(price * 10**price_decimals))
        price = ticks / 10**price_decimals
        base_worth = worth / price if side is BUY else worth
        size = base_worth * value  # of the base asset
        listing = pair(
            f"{there}/{here}" if side is BUY else f"{here}/{there}",
            price_decimals=price_decimals,
            qty_decimals=min(max(0, rng.randint(1, 8) - math.floor(math.log10(size))), 10),
            cost_decimals=min(max(0, rng.randint(2, 8) - math.floor(math.log10(size * price))), 10),
            tick_multiple=rng.choice((1, 1, 1, 2, 5, 10, 25)),
            lot_multiple=rng.choice((1, 1, 1, 5, 10)),
            qty_min=f"{rng.choice((0, 0, 0.001, 0.1)) * size:.10f}",
            cost_min=f"{rng.choice((0, 0, 0.001, 0.1)) * size * price:.10f}",
        )
        legs.append(leg(side, listing, _levels(rng, side, listing, ticks, size), _fee(rng), index))
        worth = base_worth if side is BUY else worth * price
    return World(
        legs,
        budget,
        terms(
            margin_bps=rng.choice(("0", "0", "1", "7.5", "50")),
            rounding_fills=rng.choice((1, 2, 10)),
            max_levels=rng.choice((1, 3, 10)),
        ),
    )


def _levels(rng: random.Random, side: Side, listing: Pair, ticks: int, size: float) -> list[Level]:
    levels: list[Level] = []
    spread = max(1, ticks // rng.choice((50, 500, 5000)))
    for _ in range(rng.randint(1, 12)):
        if ticks < 1:
            break
        lots = int(size * rng.uniform(0.01, 1.5) / float(listing.qty_unit))
        levels.append((ticks, lots if rng.random() < 0.95 else 0))
        ticks += rng.randint(1, spread) * (1 if side is BUY else -1)
    return levels


def _fee(rng: random.Random) -> Fee:
    rate = rng.choice((D(0), D("0.0001"), D("0.0025"), D("0.004"), D("0.008"), D("0.02"), D("-0.0002")))
    return Fee(rate, rng.choice(list(FeeCurrency)))
