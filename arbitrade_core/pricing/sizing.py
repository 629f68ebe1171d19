"""Quantities that fund each other: the largest plan at given limits and depths, no leg larger than needed.

Every leg spends at most what the leg before brings at least (TRADING 14). Exact; call under `money.exact()`.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from arbitrade_core.domain import Side
from arbitrade_core.legs import AtLimit, at_limit, least_tradable_qty, tradable_qty
from arbitrade_core.money import plain
from arbitrade_core.pricing.messages import LegInput


class LimitedLeg(msgspec.Struct, frozen=True):
    """A leg at a limit that is chosen."""

    leg: LegInput
    limit: Decimal
    cap: Decimal | None
    """depth within the limit, on the lot grid; None: unlimited"""
    lines: AtLimit


class Sized(msgspec.Struct, frozen=True):
    qtys: list[Decimal]
    start: Decimal
    """most that the first leg can spend"""
    end_floor: Decimal
    """least that the last leg brings"""


class TooSmall(msgspec.Struct, frozen=True):
    reason: str


def limited(leg: LegInput, limit_ticks: int, cap_lots: int | None, fills: int) -> LimitedLeg:
    """`limit_ticks` on the order grid, `cap_lots` a multiple of the order lot; rounding of `fills` executions."""
    pair = leg.pair
    limit = pair.price(limit_ticks)
    cap = None if cap_lots is None else pair.qty(cap_lots)
    return LimitedLeg(leg, limit, cap, at_limit(leg.leg.side, pair, leg.fee, limit, fills))


def size_legs(legs: Sequence[LimitedLeg], budget: Decimal) -> Sized | TooSmall:
    """The largest plan within `budget` and the caps, trimmed to what its end needs.

    TooSmall names the first leg that falls below what the exchange takes.
    """
    qtys: list[Decimal] = []
    funds = budget
    for leg in legs:
        qty = funded = leg.lines.largest_qty(funds)
        if leg.cap is not None and leg.cap < funded:
            qty = leg.cap
        if not qty or not tradable_qty(leg.leg.pair, qty, leg.limit):
            return TooSmall(_too_small(leg, qty, funds if qty == funded else None))
        qtys.append(qty)
        funds = leg.lines.least_got(qty)

    needed = legs[-1].lines.most_spent(qtys[-1])
    for index in range(len(legs) - 2, -1, -1):
        leg = legs[index]
        qty = leg.lines.smallest_qty(needed)
        if not tradable_qty(leg.leg.pair, qty, leg.limit):
            qty = max(qty, least_tradable_qty(leg.leg.pair, leg.limit))
        qtys[index] = min(qty, qtys[index])
        needed = leg.lines.most_spent(qtys[index])
    return Sized(qtys, needed, funds)


def _too_small(at: LimitedLeg, qty: Decimal, funds: Decimal | None) -> str:
    leg, pair = at.leg.leg, at.leg.pair
    have = f"{plain(qty)} {pair.base}" + ("" if funds is None else f" for {plain(funds)} {leg.spends}")
    cannot = f"cannot {'buy' if leg.side is Side.BUY else 'sell'} {pair.symbol}: {have}"
    if qty < pair.lot:
        return f"{cannot} is less than one lot of {plain(pair.lot)} {pair.base}"
    if qty < pair.qty_min:
        return f"{cannot} is below the minimum of {plain(pair.qty_min)} {pair.base}"
    return (
        f"{cannot} at {plain(at.limit)} costs {plain(qty * at.limit)} {pair.quote}, "
        f"below the minimum cost of {plain(pair.cost_min)} {pair.quote}"
    )
