"""From a candidate to a plan: the best rotation at a desk's fees, balance and limits; or why there is none."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol
from weakref import WeakValueDictionary

from arbitrade_core.domain import Candidate, Fee, Leg, LegId, Ns, Plan, PlanKind, PlanLeg, Rotation
from arbitrade_core.execution.remaining import booking_slack
from arbitrade_core.funnel import Reached
from arbitrade_core.ledger import Cash
from arbitrade_core.money import BPS, ZERO, floor_decimals, floor_to, ratio, unit
from arbitrade_core.pricing import CyclePricing, LegInput, Priced, PricedLeg, Stage, Stopped, Terms, price_rotation
from arbitrade_core.spi import DeskView


@dataclass(frozen=True, slots=True)
class DeskTerms:
    """What an operator sets for one desk. Amounts `_valued` are in `valuation_asset`."""

    start_assets: tuple[str, ...]
    valuation_asset: str
    pricing: Terms
    max_notional_valued: Decimal | None
    """size plans below this; None: by balance and depth alone"""
    reserve: Mapping[str, Decimal]
    """never spent, by asset"""
    leg_ban_ns: int
    executors: Mapping[str, str] = field(default_factory=dict)
    """by kind of plan: the name of the executor that is to have it; the first that takes it, where there is none"""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Purse:
    """What a strategy of a desk may spend. Looked up by identity, because it is on the way of every candidate of every
    desk."""

    free: Mapping[str, Decimal]
    """by asset, what is none left out"""


class Purses:
    """Of desks that would spend the same money in the same way: one purse for all that have as much, for as long as one
    of them has it."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[Cash, Purse] = WeakValueDictionary()

    def of(self, free: Cash) -> Purse:
        return self._known.setdefault(free, Purse(dict(free)))


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Desks that share one price a cycle the same way, given the same purse and the same books: they have this one
    object. Looked up by identity, as `Purse` is."""

    rates: Mapping[str, Fee] | None
    """taker fees by symbol, one object for all desks of equal fees"""
    purses: Purses
    """those of desks with other fees or thresholds, too: both have no say in what may be spent"""


class PlanningDesk(DeskView, Protocol):
    """A desk as far as planning looks at it."""

    terms: DeskTerms
    alike: Alike

    def purse(self, strategy: str) -> Purse:
        """What is in no open plan."""
        ...

    def differs_on(self, legs: Sequence[LegId]) -> Hashable:
        """What this desk took and was promised on the books of these legs, None for nothing: desks for which that is
        equal see equal books."""
        ...


STOPPED_AT = {
    Stage.FEES: Reached.CANDIDATE,
    Stage.ROUNDING: Reached.AFTER_FEES,
    Stage.DEPTH: Reached.AFTER_ROUNDING,
    Stage.BUFFERS: Reached.AFTER_DEPTH,
}
"""How far a candidate got that pricing stopped."""


class Prices:
    """What pricing has come to on the books as they are, for every desk that asks the same (TRADING 33).

    It is good for one look of all desks: as soon as a book changes, another one is begun.
    """

    def __init__(self) -> None:
        self._starts: dict[Hashable, Sequence[_Start | Stopped]] = {}
        self._plans: dict[Hashable, Plan | Stopped] = {}
        self._cycles: dict[Hashable, CyclePricing] = {}
        self._inputs: dict[Hashable, list[LegInput] | Stopped] = {}
        self._marks: dict[tuple[str, str], Decimal | None] = {}
        self._budgets: dict[Hashable, Decimal] = {}

    def plan_for(self, candidate: Candidate, desk: PlanningDesk, now: Ns) -> Plan | Stopped:
        """The best turn of the cycle that starts in an asset we start in; else the stop that came furthest.

        A plan has no ids yet, of no desk and no fees: it is that of every desk which is alike, has as much to spend,
        and took and was promised the same of these books.
        """
        legs, purse = candidate.legs, desk.purse(candidate.strategy)
        starts = self._starts.get((legs, purse))
        if starts is None:
            starts = self._starts[legs, purse] = self._turns(legs, purse, desk)
        if len(starts) == 1 and isinstance(starts[0], Stopped):
            return starts[0]
        # Books are looked at once somebody can pay for it.
        view = (legs, id(desk.alike.rates), desk.differs_on(legs))
        asked = (view, candidate.strategy, candidate.key, desk.alike, purse)
        found = self._plans.get(asked)
        if found is None:
            found = self._plans[asked] = self._worked_out(candidate, desk, view, starts, now)
        return found

    def _turns(self, legs: Sequence[LegId], purse: Purse, desk: PlanningDesk) -> Sequence["_Start | Stopped"]:
        """Every turn that begins in a start asset: with what, or why not. Where nobody can pay for any, the one stop
        that came furthest."""
        start_assets, market = desk.terms.start_assets, desk.market
        spent = [(turn, market.leg(leg).spends) for turn, leg in enumerate(legs)]
        turns = [self._start(turn, asset, purse, desk) for turn, asset in spent if asset in start_assets]
        stops = [turn for turn in turns if isinstance(turn, Stopped)]
        if len(stops) < len(turns):
            return turns
        nowhere = Stopped(Stage.FEES, "it passes through no start asset of this desk", None)
        return [_best(stops) or nowhere]

    def _worked_out(
        self,
        candidate: Candidate,
        desk: PlanningDesk,
        view: Hashable,
        starts: Sequence["_Start | Stopped"],
        now: Ns,
    ) -> Plan | Stopped:
        inputs = self._inputs.get(view)
        if inputs is None:
            inputs = self._inputs[view] = _inputs([desk.market.leg(leg) for leg in candidate.legs], desk)
        if isinstance(inputs, Stopped):
            return inputs
        results = [
            start if isinstance(start, Stopped) else self._from(candidate, inputs, view, start, desk, now)
            for start in starts
        ]
        best = _best(results)
        assert best is not None
        return best

    def _start(self, turn: int, asset: str, purse: Purse, desk: PlanningDesk) -> "_Start | Stopped":
        terms, free = desk.terms, purse.free.get(asset, ZERO)
        pair = (asset, terms.valuation_asset)
        if pair in self._marks:
            mark = self._marks[pair]
        else:
            mark = self._marks[pair] = desk.market.mark(*pair)
        if mark is None:
            return Stopped(Stage.FEES, f"{asset} has no mark in {desk.valuation_asset}", None)
        if terms.reserve:
            free -= terms.reserve.get(asset, ZERO)
        budget = free
        if free > 0:
            asked = (free, terms.max_notional_valued, mark)
            known = self._budgets.get(asked)
            budget = self._budgets[asked] = _budget(free, terms.max_notional_valued, mark) if known is None else known
        if budget <= 0:
            return Stopped(Stage.ROUNDING, f"no {asset} is free to start with", None)
        return _Start(turn, mark, budget)

    def _from(  # noqa: PLR0917 - one turn, its books, and who asks
        self,
        candidate: Candidate,
        inputs: list[LegInput],
        view: Hashable,
        start: "_Start",
        desk: PlanningDesk,
        now: Ns,
    ) -> Plan | Stopped:
        terms = desk.terms.pricing
        asked = (view, start.turn, start.budget, terms.rounding_fills, terms.max_levels)
        cycle = self._cycles.get(asked)
        if cycle is None:
            turned = inputs[start.turn :] + inputs[: start.turn]
            cycle = CyclePricing(turned, start.budget, terms.rounding_fills, terms.max_levels)
            self._cycles[asked] = cycle
        priced = cycle.price(terms, ratio(terms.min_profit, start.mark))
        return priced if isinstance(priced, Stopped) else _plan(candidate, priced, start.mark, desk, now)


def _inputs(legs: Sequence[Leg], desk: PlanningDesk) -> list[LegInput] | Stopped:
    """The legs as the desk sees them now."""
    inputs: list[LegInput] = []
    for leg in legs:
        fee = desk.fee(leg.symbol)
        if fee is None:
            return Stopped(Stage.FEES, f"no fee is known for {leg.symbol}", None)
        inputs.append(LegInput(leg, desk.market.pairs[leg.pair_id], desk.depth(leg.id), fee))
    return inputs


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a rotation begins, and with what."""

    turn: int
    mark: Decimal
    budget: Decimal


def _budget(free: Decimal, max_notional_valued: Decimal | None, mark: Decimal) -> Decimal:
    """Most of the start asset one plan may spend."""
    budget = free
    if max_notional_valued is not None:
        budget = min(budget, ratio(max_notional_valued, mark))
    return max(floor_to(budget, unit(12)), ZERO)


def _plan(candidate: Candidate, priced: Priced, mark: Decimal, desk: PlanningDesk, now: Ns) -> Plan:
    """Not numbered yet: only what is shown to the gate takes ids."""
    return Plan(
        id="",
        desk_id="",
        strategy=candidate.strategy,
        kind=PlanKind.CYCLE,
        key=candidate.key,
        start_asset=priced.legs[0].leg.spends,
        start=priced.start,
        end=priced.end,
        legs=_plan_legs(priced.legs),
        certificate=priced.certificate,
        edge_bps=priced.edge_bps,
        profit_valued=priced.buffered_profit * mark,
        notional_valued=priced.start * mark,
        valuation_asset=desk.valuation_asset,
        fees_id="",
        decided_ns=now,
    )


def plan_rotation(rotation: Rotation, desk: PlanningDesk, now: Ns) -> Plan | Stopped | None:
    """As much of the wish as the strategy's allocation, the desk's limits and the books allow; or why nothing.

    No more than brings what is wanted at the price bound: what is held beyond that is gain and stays (TRADING 37).
    None: there is nothing to do, the strategy holds what it wants.
    """
    legs = [desk.market.leg(leg) for leg in rotation.legs]
    start_asset, end_asset = legs[0].spends, legs[-1].gets
    marks = {asset: desk.market.mark(asset, desk.valuation_asset) for asset in (start_asset, end_asset)}
    mark, end_mark = marks[start_asset], marks[end_asset]
    if mark is None or end_mark is None:
        missing = next(asset for asset, known in marks.items() if known is None)
        return Stopped(Stage.FEES, f"{missing} has no mark in {desk.valuation_asset}", None)
    wanted = rotation.until - desk.available(end_asset, rotation.strategy)
    spare = desk.available(start_asset, rotation.strategy) - max(rotation.keep, ZERO)
    if wanted <= 0 or spare <= 0:
        return None
    amount = min(spare, ratio(wanted, rotation.min_rate)) if rotation.min_rate > 0 else spare
    if desk.terms.max_notional_valued is not None:
        amount = min(amount, ratio(desk.terms.max_notional_valued, mark))
    inputs = _inputs(legs, desk)
    if isinstance(inputs, Stopped):
        return inputs
    terms = desk.terms.pricing
    # All of an asset may go, so what coarse booking may take on top must be there.
    amount = min(amount, spare - booking_slack(desk.market.asset(start_asset), inputs[0].pair, terms.rounding_fills))
    priced = price_rotation(inputs, max(floor_to(amount, unit(12)), ZERO), rotation.min_rate, terms)
    if isinstance(priced, Stopped):
        return priced
    spent, got = priced.legs[0].spend, priced.legs[-1].get
    before, change = spent * mark, got * end_mark - spent * mark
    return Plan(
        id="",
        desk_id="",
        strategy=rotation.strategy,
        kind=PlanKind.POSITION,
        key=rotation.key,
        start_asset=start_asset,
        start=priced.start,
        end=got,
        legs=_plan_legs(priced.legs),
        certificate=None,
        edge_bps=floor_decimals(ratio(change, before) / BPS, 6) if before else ZERO,
        profit_valued=change,
        notional_valued=priced.start * mark,
        valuation_asset=desk.valuation_asset,
        fees_id="",
        decided_ns=now,
    )


def _plan_legs(legs: Sequence[PricedLeg]) -> tuple[PlanLeg, ...]:
    """Without order ids yet."""
    return tuple(
        PlanLeg(
            order_id="",
            leg=leg.leg,
            qty=leg.qty,
            limit=leg.limit,
            fee=leg.fee,
            top=leg.top,
            average=leg.average,
            spend=leg.spend,
            get=leg.get,
        )
        for leg in legs
    )


def numbered(plan: Plan, desk: PlanningDesk, epoch: str, number: int) -> Plan:
    """The plan as this desk's, with its ids: of one desk unique by the epoch of its run and its number in it, and short
    enough for any exchange."""
    assert desk.fees is not None
    plan_id = f"{epoch}{base36(number)}"
    legs = tuple(replace(leg, order_id=f"{plan_id}-{at}") for at, leg in enumerate(plan.legs, start=1))
    return replace(plan, id=plan_id, desk_id=desk.id, fees_id=desk.fees.id, legs=legs)


def _best[T: Plan | Stopped](results: Sequence[T]) -> T | None:
    """The first of those that nothing beats; None of none."""
    best: T | None = None
    for result in results:
        if best is None or _better(result, best):
            best = result
    return best


def _better(one: Plan | Stopped, other: Plan | Stopped) -> bool:
    """A plan beats a stop; of plans the more profitable; of stops the one that came further."""
    match one, other:
        case Plan(), Plan():
            return one.profit_valued > other.profit_valued
        case Plan(), Stopped():
            return True
        case Stopped(), Stopped():
            return STOPPED_AT[one.stage] > STOPPED_AT[other.stage]
        case _:
            return False


def base36(number: int) -> str:
    """At least four digits, so that ids made one after the other sort as they were made."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text.rjust(4, "0")
