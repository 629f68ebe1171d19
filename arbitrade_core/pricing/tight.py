"""A sized chain of legs with limits no worse than the worst level each of them touches, and what is to be expected."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from arbitrade_core.book import Level
from arbitrade_core.errors import InvariantError
from arbitrade_core.legs import AtLimit, at_limit, limit_ticks, tradable_qty, walk
from arbitrade_core.pricing.messages import LegInput, PricedLeg
from arbitrade_core.pricing.sizing import LimitedLeg


class Tight(msgspec.Struct, frozen=True):
    legs: tuple[PricedLeg, ...]
    start: Decimal
    """most that the first leg can spend"""
    end_floor: Decimal
    """least that the last leg brings"""


def tightened(at: Sequence[LimitedLeg], qtys: Sequence[Decimal], max_levels: int, fills: int) -> Tight:
    """Limits only move towards us here, so what was promised at the old ones stays promised.

    Every size is within depth, so InvariantError would be a bug of ours. Call under `money.exact()`.
    """
    priced: list[PricedLeg] = []
    lines: list[AtLimit] = []
    for given, qty in zip(at, qtys, strict=True):
        leg = given.leg
        side, pair = leg.leg.side, leg.pair
        top, walked = top_level(leg, max_levels), walk(pair, leg.fee, leg.levels[:max_levels], qty)
        if top is None or walked is None:
            raise InvariantError(f"{pair.symbol}: sized {qty} {pair.base} beyond the depth of {leg.levels}")
        worst = pair.price(limit_ticks(side, pair, walked.worst_ticks))
        if worst != given.limit and tradable_qty(pair, qty, worst):  # a cheaper buy may fall below cost_min
            limit, line = worst, at_limit(side, pair, leg.fee, worst, fills)
        else:
            limit, line = given.limit, given.lines
        lines.append(line)
        spend, get = walked.spend(side), walked.get(side)
        priced.append(PricedLeg(leg.leg, qty, limit, leg.fee, pair.price(top[0]), walked.average, spend, get))
    return Tight(tuple(priced), lines[0].most_spent(qtys[0]), lines[-1].least_got(qtys[-1]))


def top_level(leg: LegInput, max_levels: int) -> Level | None:
    """The best level with something left; None when there is none."""
    return next((level for level in leg.levels[:max_levels] if level[1] > 0), None)
