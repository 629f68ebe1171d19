"""`price_cycle`: fees, rounding, depth, buffers; the plan's figures recomputed exactly, and its certificate.

The stages are reported in this order, but a plan that certifies at real depth has passed rounding, so the case
of unlimited depth is only worked out to say which of the two stopped a cycle that does not.
"""

import math
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from arbitrade_core.book import Level
from arbitrade_core.domain import Certificate, Side
from arbitrade_core.errors import InvariantError
from arbitrade_core.legs import factor, limit_ticks
from arbitrade_core.money import BPS, ONE, exact, floor_decimals, plain, ratio
from arbitrade_core.pricing.messages import LegInput, Priced, Stage, Stopped, Terms
from arbitrade_core.pricing.sizing import LimitedLeg, Sized, TooSmall, limited, size_legs
from arbitrade_core.pricing.tight import Tight, tightened, top_level
from arbitrade_core.pricing.walk import Chain, Ladder
from arbitrade_core.pricing.whole_lots import every_size

_EDGE_DECIMALS = 6
_LOT_TRIES = 4
"""sizes tried at one depth, each a lot smaller than the one before: few are enough for coarse lots to fall in line"""


def price_cycle(legs: Sequence[LegInput], budget: Decimal, terms: Terms, min_profit_start: Decimal) -> Priced | Stopped:
    """Price one rotation of a cycle of two or more legs: the best certified plan, or where it stopped and why.

    `budget` is the most of the start asset that may be spent, `min_profit_start` is `terms.min_profit` in that
    asset. InvariantError when the legs are no cycle. What is returned as Priced satisfies TRADING 13 and 14;
    `end` and `profit` are expected: books as they are, fees by the model, leftovers counted as zero.
    """
    return CyclePricing(legs, budget, terms.rounding_fills, terms.max_levels).price(terms, min_profit_start)


class CyclePricing:
    """One rotation, on its books as they are and with one budget, for whatever thresholds: desks that differ in nothing
    else share what does not depend on them, which is nearly everything (TRADING 33)."""

    def __init__(self, legs: Sequence[LegInput], budget: Decimal, rounding_fills: int, max_levels: int) -> None:
        self._legs = legs
        self._budget = budget
        self._fills = rounding_fills
        self._max_levels = max_levels
        self._start_asset = _check_cycle(legs)
        self._tops: list[Level] = []
        self._attempts: dict[int, list[_Attempt]] = {}
        """by step of the chain: sizes tried, each a lot smaller than the one before"""
        self._few: list[_Attempt] | None = None
        """every size, where there are few; None: nobody asked yet"""
        self._best: dict[tuple[Decimal, ...], Priced | Stopped] = {}
        """by margin, edge and buffers"""
        self._at_the_fees = self._look_at_tops()
        self._rounding: str | None = ""
        """why rounding leaves nothing; empty: nobody asked yet"""
        self._chain: Chain | None = None
        """None: some leg has no level that an order can reach"""
        if self._at_the_fees is None:
            with exact():
                ladders = [Ladder(leg, max_levels) for leg in legs]
                if all(ladder.deepen() for ladder in ladders):
                    self._chain = Chain(ladders, float(budget))

    def price(self, terms: Terms, min_profit_start: Decimal) -> Priced | Stopped:
        """As `price_cycle`; `terms` are of the same rounding and levels."""
        if self._at_the_fees is not None:
            return self._at_the_fees
        asked = (terms.margin_bps, terms.min_edge_bps, terms.slippage_bps, terms.fee_buffer_bps)
        best = self._best.get(asked)
        if best is None:
            best = self._best[asked] = self._look_for(terms)
        if isinstance(best, Stopped):
            return best
        with exact():
            return _check_buffers(best, self._start_asset, terms, min_profit_start) or best

    def _look_for(self, terms: Terms) -> Priced | Stopped:
        """The best plan, whether or not it is worth as much as is asked for."""
        legs = self._legs
        with exact():
            kept = ONE - len(legs) * (terms.slippage_bps + terms.fee_buffer_bps) * BPS
            stop = 1 + float(terms.margin_bps) / 1e4
            wanted = (1 + float(terms.min_edge_bps) / 1e4) / float(kept) if kept > 0 else math.inf
            counted = self._in_whole_lots(stop, wanted, terms, kept)
            if counted is not None:
                return counted
            failure = ""
            chain = self._chain
            for step in () if chain is None else chain.ranked(stop, wanted):
                plan = self._plan_at(step, terms, kept)
                if isinstance(plan, Priced):
                    return plan
                failure = failure or f"profitable depth is too small: {plan}"
            if self._rounding == "":
                self._rounding = _rounding_stop(legs, self._tops, self._budget, self._fills)
            if self._rounding is not None:
                return Stopped(Stage.ROUNDING, self._rounding, self._top_edge_bps)
            at_the_tops = (
                f"the tops of the books return {plain(self._top_edge_bps)} bps after fees, not above the margin of "
                f"{plain(terms.margin_bps)} bps with whole ticks and fees in the adverse currency"
            )
            return Stopped(Stage.DEPTH, failure or at_the_tops, self._top_edge_bps)

    def _in_whole_lots(self, stop: float, wanted: float, terms: Terms, kept: Decimal) -> Priced | None:
        """The best of all sizes where there are few; None where there are many, or none that certifies."""
        if self._chain is None or not self._chain.sizes(stop):
            return None
        if self._few is None:
            sizes = every_size(self._legs, self._budget, self._max_levels, self._fills)
            self._few = [_Attempt(at, sized) for at, sized in sizes]
        promised = ONE + terms.margin_bps * BPS
        certified = [one for one in self._few if one.keeps(promised)]
        plans = [_certified(one.tight(self._max_levels, self._fills), terms, kept) for one in certified]
        better = ((float(plan.legs[-1].get) >= float(plan.legs[0].spend) * wanted, plan.profit) for plan in plans)
        ranked = sorted(zip(better, plans, strict=True), key=lambda entry: entry[0], reverse=True)
        return next((plan for _, plan in ranked if plan.profit > 0), None)

    def _look_at_tops(self) -> Stopped | None:
        rate = 1.0
        for leg in self._legs:
            top = top_level(leg, self._max_levels)
            if top is None:
                side = "asks" if leg.leg.side is Side.BUY else "bids"
                return Stopped(Stage.DEPTH, f"{leg.pair.symbol}: no {side} left to take", None)
            self._tops.append(top)
            price = top[0] * float(leg.pair.price_unit)
            rate *= max(factor(leg.leg.side, leg.fee), 0.0) * (1 / price if leg.leg.side is Side.BUY else price)
        self._top_edge_bps = Decimal(f"{(rate - 1) * 1e4:.4f}")
        if rate > 1:
            return None
        reason = f"the tops of the books return {plain(self._top_edge_bps)} bps after fees"
        return Stopped(Stage.FEES, reason, self._top_edge_bps)

    def _plan_at(self, step: int, terms: Terms, kept: Decimal) -> Priced | str:
        """The largest plan at these depths that certifies, or what kept it from it."""
        promised = ONE + terms.margin_bps * BPS
        failure = ""
        for number in range(_LOT_TRIES):
            tried = self._tried(step, number)
            sized = tried.sized
            if isinstance(sized, TooSmall):
                return failure or sized.reason
            missing = sized.start * promised - sized.end_floor
            if missing <= 0:
                plan = _certified(tried.tight(self._max_levels, self._fills), terms, kept)
                if plan.profit > 0:
                    return plan
            failure = failure or f"at its limits {_comes_back(sized, self._legs)}"
            if missing * min(tried.lots) > sized.start * len(self._legs):
                return failure  # a lot per leg does not explain it
        return failure

    def _tried(self, step: int, number: int) -> "_Attempt":
        """The largest size at these depths, or that less a lot of its coarsest leg, `number` times."""
        attempts = self._attempts.setdefault(step, [])
        if number == len(attempts):
            legs = self._legs
            if attempts:
                at = attempts[-1].a_lot_less()
            else:
                assert self._chain is not None
                depths = zip(legs, self._chain.depths(step), strict=True)
                at = [limited(leg, limit, lots, self._fills) for leg, (limit, lots) in depths]
            attempts.append(_Attempt(at, size_legs(at, self._budget)))
        return attempts[number]


class _Attempt:
    """A size at some depths, whatever margin it is to keep."""

    def __init__(self, at: list[LimitedLeg], sized: Sized | TooSmall) -> None:
        self.sized = sized
        self._at = at
        self.lots = [] if isinstance(sized, TooSmall) else _lots(at, sized)
        self._tight: Tight | None = None

    def keeps(self, promised: Decimal) -> bool:
        """Whether as much comes back at the limits, for each unit that goes."""
        return isinstance(self.sized, Sized) and self.sized.start * promised <= self.sized.end_floor

    def tight(self, max_levels: int, fills: int) -> Tight:
        assert isinstance(self.sized, Sized)
        if self._tight is None:
            self._tight = tightened(self._at, self.sized.qtys, max_levels, fills)
        return self._tight

    def a_lot_less(self) -> list[LimitedLeg]:
        assert isinstance(self.sized, Sized)
        at, coarsest = list(self._at), self.lots.index(min(self.lots))
        less = self.sized.qtys[coarsest] - at[coarsest].leg.pair.lot
        at[coarsest] = msgspec.structs.replace(at[coarsest], cap=less)
        return at


def _lots(at: Sequence[LimitedLeg], sized: Sized) -> list[Decimal]:
    return [qty / limit.leg.pair.lot for limit, qty in zip(at, sized.qtys, strict=True)]


def _check_cycle(legs: Sequence[LegInput]) -> str:
    """The start asset."""
    ends = [leg.leg.gets for leg in legs]
    starts = [leg.leg.spends for leg in legs]
    if len(legs) < 2 or ends != starts[1:] + starts[:1] or len({leg.leg.id for leg in legs}) < len(legs):  # noqa: PLR2004
        path = " ".join(str(leg.leg) for leg in legs)
        raise InvariantError(f"legs [{path}] are no cycle: each must spend what the one before gets, none twice")
    return starts[0]


# --- rounding -----------------------------------------------------------------------------------------------


def _rounding_stop(legs: Sequence[LegInput], tops: Sequence[Level], budget: Decimal, fills: int) -> str | None:
    """Why nothing would be left even if the tops had any depth; None when something would."""
    at_tops: list[LimitedLeg] = []
    for leg, (ticks, _) in zip(legs, tops, strict=True):
        limit = limit_ticks(leg.leg.side, leg.pair, ticks)
        if limit <= 0:
            quote = leg.pair.quote
            return f"{leg.pair.symbol}: the best bid is below one tick of {plain(leg.pair.tick)} {quote}"
        at_tops.append(limited(leg, limit, None, fills))
    sized = size_legs(at_tops, budget)
    if isinstance(sized, TooSmall):
        return sized.reason
    if sized.end_floor <= sized.start:
        return f"at the tops of the books {_comes_back(sized, legs)}"
    return None


def _comes_back(sized: Sized, legs: Sequence[LegInput]) -> str:
    asset = legs[0].leg.spends
    there, back = f"{plain(sized.start)} {asset}", f"{plain(sized.end_floor)} {asset}"
    return f"{there} comes back as {back} after fees, lots, ticks and rounding"


# --- depth --------------------------------------------------------------------------------------------------


def _certified(tight: Tight, terms: Terms, kept: Decimal) -> Priced:
    """The plan at these sizes, with expectations from the walks."""
    spent, got = tight.legs[0].spend, tight.legs[-1].get
    profit = got - spent
    return Priced(
        legs=tight.legs,
        start=tight.start,
        end=tight.start + profit,
        certificate=Certificate(
            tight.start, tight.end_floor, tight.start * terms.margin_bps * BPS, terms.rounding_fills
        ),
        edge_bps=_edge_bps(profit, spent),
        profit=profit,
        buffered_profit=got * kept - spent,
    )


def _edge_bps(profit: Decimal, spent: Decimal) -> Decimal:
    """Rounded down, so that a shown edge is never more than the true one."""
    return floor_decimals(ratio(profit, spent) / BPS, _EDGE_DECIMALS)


# --- buffers ------------------------------------------------------------------------------------------------


def _check_buffers(plan: Priced, start_asset: str, terms: Terms, min_profit_start: Decimal) -> Stopped | None:
    """Buffers of all legs add up: a little more than their product takes, and exact."""
    spent = plan.legs[0].spend
    edge_missed = plan.buffered_profit < spent * terms.min_edge_bps * BPS
    if not edge_missed and plan.buffered_profit >= min_profit_start:
        return None
    buffers = f"after buffers of {plain(terms.slippage_bps + terms.fee_buffer_bps)} bps per leg"
    if edge_missed:
        buffered_bps = plain(_edge_bps(plan.buffered_profit, spent))
        reason = (
            f"{plain(plan.edge_bps)} bps expected, {buffered_bps} bps {buffers}, "
            f"below the minimum edge of {plain(terms.min_edge_bps)} bps"
        )
    else:
        reason = (
            f"profit of {plain(plan.buffered_profit)} {start_asset} on {plain(spent)} {start_asset} {buffers}, "
            f"below the minimum of {plain(min_profit_start)} {start_asset}"
        )
    return Stopped(Stage.BUFFERS, reason, plan.edge_bps)
