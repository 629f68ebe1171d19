"""The unwind planner: the best way home for what a broken plan holds of an asset (TRADING 18, 19).

Two routes are compared over live books, fees included: *completing* (the plan's remaining legs) and
*reversing* (back through the pairs already used). What was paid for the holding, in the start asset, less the
loss cap is the *floor*. Of all orders that begin a route - each route's best levels, down to one more each
time - the planner takes the one whose expected end exceeds the floor of what it spends by most, among those
that keep the floor even if they fill at their limit throughout: so levels that cost more than the cap are
left alone, and the rest waits for another order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.book import Level
from arbitrade_core.domain import Fee, Leg, LegId, Pair, Plan
from arbitrade_core.execution.remaining import (
    Take,
    booking_slack,
    fullest,
    rounding_fills,
    share_of,
)
from arbitrade_core.legs import largest_qty, least_got, tradable_qty, walk
from arbitrade_core.money import BPS, ONE, ZERO, plain, ratio
from arbitrade_core.spi import DeskView

COMPLETE = "complete"
REVERSE = "reverse"


@dataclass(frozen=True, slots=True)
class Step:
    """One leg of a route, with the worst price known for it when its book shows nothing."""

    leg: Leg
    fee: Fee
    planned: Decimal


@dataclass(frozen=True, slots=True)
class Route:
    purpose: str
    """`complete` or `reverse`"""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """An order that begins a route, and what it would come to."""

    route: Route
    qty: Decimal
    limit: Decimal
    paid: Decimal
    """of the start asset, for what the order spends"""
    value: Decimal
    """of the start asset, expected at the route's end by the books as they are"""
    worst: Decimal
    """likewise when the whole order fills at its limit"""

    def surplus(self, keep: Decimal) -> Decimal:
        """Above the floor; `keep` is the part of what was paid that must come home."""
        return self.value - self.paid * keep


@dataclass(frozen=True, slots=True)
class TooSmall:
    """No route carries the amount: it is residue, not failure (TRADING 19)."""


@dataclass(frozen=True, slots=True)
class NoWay:
    """A route would carry the amount, but none within the cap. `best` says what comes nearest, in words."""

    best: str


def routes(plan: Plan, asset: str, desk: DeskView) -> list[Route]:
    """Ways home from an asset that the plan passes through."""
    index = next(number for number, leg in enumerate(plan.legs) if leg.leg.spends == asset)
    onward = tuple(Step(leg.leg, leg.fee, leg.limit) for leg in plan.legs[index:])
    back = tuple(Step(desk.market.leg(leg.leg.id ^ 1), leg.fee, leg.limit) for leg in reversed(plan.legs[:index]))
    return [Route(COMPLETE, onward), Route(REVERSE, back)]


class Planner:
    """Looks for the way home from one holding. Pure: reads the desk's books, changes nothing."""

    def __init__(self, plan: Plan, desk: DeskView, loss_cap_bps: Decimal) -> None:
        self._plan = plan
        self._desk = desk
        self._keep = ONE - loss_cap_bps * BPS
        self._fills = rounding_fills(plan)

    def best(self, asset: str, amount: Decimal, paid: Decimal, avoid: frozenset[LegId]) -> Offer | TooSmall | NoWay:
        """The order to send for `amount` of `asset`, for which `paid` of the start asset was paid.

        Legs in `avoid` are used only when no other route will do: the exchange just refused them.
        """
        found = routes(self._plan, asset, self._desk)
        if not any(self._carries(route, amount) for route in found):
            return TooSmall()
        offers = [offer for route in found for offer in self._offers(route, amount, paid)]
        within = [offer for offer in offers if offer.worst >= offer.paid * self._keep]
        welcome = [offer for offer in within if not any(step.leg.id in avoid for step in offer.route.steps)]
        if within:
            return max(welcome or within, key=lambda offer: offer.surplus(self._keep))
        return NoWay(self._nearest(offers))

    def _offers(self, route: Route, amount: Decimal, paid: Decimal) -> Iterator[Offer]:
        first, later = route.steps[0], route.steps[1:]
        pair = self._pair(first)
        levels = self._desk.depth(first.leg.id)
        for take in self._takes(first, levels, amount):
            value = self._home(later, _expected(first, pair, levels, take.qty))
            sure = least_got(first.leg.side, pair, first.fee, take.qty, take.limit, self._fills)
            worst = self._home(later, sure)
            if value is not None and worst is not None:
                part = share_of(paid, take.qty, take.whole)
                yield Offer(route, take.qty, take.limit, part, value, min(worst, value))

    def _home(self, steps: Sequence[Step], amount: Decimal) -> Decimal | None:
        """What `amount` comes to over `steps` by the books as they are; what they do not hold counts as nothing.

        None when a step cannot be traded.
        """
        for step in steps:
            levels = self._desk.depth(step.leg.id)
            takes = self._takes(step, levels, amount)
            if not takes:
                return None
            amount = _expected(step, self._pair(step), levels, takes[-1].qty)
        return amount

    def _takes(self, step: Step, levels: Sequence[Level], amount: Decimal) -> list[Take]:
        pair = self._pair(step)
        funds = amount - booking_slack(self._desk.market.asset(step.leg.spends), pair, self._fills)
        takes = fullest(step.leg.side, pair, step.fee, levels, funds, self._fills)
        return [take for take in takes if tradable_qty(pair, take.qty, take.limit)]

    def _carries(self, route: Route, amount: Decimal) -> bool:
        """Whether every step could be traded in a book of any depth at its best price."""
        for step in route.steps:
            pair = self._pair(step)
            levels = self._desk.depth(step.leg.id)
            price = pair.price(levels[0][0]) if levels else step.planned
            funds = amount - booking_slack(self._desk.market.asset(step.leg.spends), pair, self._fills)
            qty = largest_qty(step.leg.side, pair, step.fee, funds, price, self._fills)
            if not tradable_qty(pair, qty, price):
                return False
            amount = least_got(step.leg.side, pair, step.fee, qty, price, self._fills)
        return True

    def _nearest(self, offers: Sequence[Offer]) -> str:
        start = self._plan.start_asset
        if not offers:
            return "no usable book on any way home"
        best = max(offers, key=lambda offer: ratio(offer.worst, offer.paid) if offer.paid else ZERO)
        return (
            f"best offer: {best.route.purpose} with {plain(best.qty)} at {plain(best.limit)} on "
            f"{best.route.steps[0].leg} for at least {plain(best.worst)} {start} of {plain(best.paid)} paid"
        )

    def _pair(self, step: Step) -> Pair:
        return self._desk.market.pairs[step.leg.pair_id]


def _expected(step: Step, pair: Pair, levels: Sequence[Level], qty: Decimal) -> Decimal:
    walked = walk(pair, step.fee, levels, qty)
    return ZERO if walked is None else walked.get(step.leg.side)
