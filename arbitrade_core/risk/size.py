"""Checks of how much: notional of a plan, a pair, an asset and in all, reserve, number and pace of plans.

Sums are over the desk's open plans and the one under review. Amounts are taken at their worst: fee
included, at the dearer of limit price and expected price; what cannot be valued refuses (TRADING 22).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from arbitrade_core.domain import Ns, Plan, PlanKind, PlanLeg, Side
from arbitrade_core.money import ONE, ZERO, ceil_decimals, plain
from arbitrade_core.risk.market import MS
from arbitrade_core.spi import DeskView, Refused

HOUR_NS = 3_600 * 10**9


@dataclass(frozen=True, slots=True)
class CycleNotional:
    """One plan is not larger than this."""

    name: str = field(default="cycle_notional", init=False)

    max_notional_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del now
        notional = plan_notional(plan, desk)
        if notional is None:
            return _no_mark(self.name, plan.start_asset, desk)
        return _above(self.name, "the plan's notional", notional, self.max_notional_valued, desk)


@dataclass(frozen=True, slots=True)
class TotalNotional:
    """All open plans together are not larger than this."""

    name: str = field(default="total_notional", init=False)

    max_notional_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del now
        notional = plan_notional(plan, desk)
        if notional is None:
            return _no_mark(self.name, plan.start_asset, desk)
        total = sum((one.notional_valued for one in desk.open_plans), notional)
        return _above(self.name, "notional of all open plans", total, self.max_notional_valued, desk)


@dataclass(frozen=True, slots=True)
class PairNotional:
    """Open plans together do not trade more than this on one pair."""

    name: str = field(default="pair_notional", init=False)

    max_notional_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del now
        for symbol in dict.fromkeys(planned.leg.symbol for planned in plan.legs):
            legs = [leg for one in (*desk.open_plans, plan) for leg in one.legs if leg.leg.symbol == symbol]
            base = _base(legs[0])
            value = desk.value(base, sum((leg.qty for leg in legs), ZERO))
            if value is None:
                return _no_mark(self.name, base, desk)
            refused = _above(self.name, f"notional on {symbol}", value, self.max_notional_valued, desk)
            if refused is not None:
                return refused
        return None


@dataclass(frozen=True, slots=True)
class AssetNotional:
    """Open plans together do not come to hold more than this of one asset."""

    name: str = field(default="asset_notional", init=False)

    max_notional_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del now
        held = [exposures(one) for one in desk.open_plans]
        for asset, amount in exposures(plan).items():
            value = desk.value(asset, sum((other.get(asset, ZERO) for other in held), amount))
            if value is None:
                return _no_mark(self.name, asset, desk)
            refused = _above(self.name, f"exposure to {asset}", value, self.max_notional_valued, desk)
            if refused is not None:
                return refused
        return None


@dataclass(frozen=True, slots=True)
class Reserve:
    """A plan starts with what is free, and leaves the reserve alone."""

    name: str = field(default="reserve", init=False)

    reserve: Mapping[str, Decimal]
    """by asset, in units of it"""

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del now
        asset = plan.start_asset
        # A position works with its strategy's allocation, which the reserve is not part of.
        keep = ZERO if plan.kind is PlanKind.POSITION else self.reserve.get(asset, ZERO)
        left = desk.available(asset, plan.strategy) - plan.start
        if left >= keep:
            return None
        return Refused(
            self.name,
            f"{plain(plan.start)} {asset} would leave {plain(left)} {asset}, reserve {plain(keep)} {asset}",
        )


@dataclass(frozen=True, slots=True)
class OpenPlans:
    """Not more plans than this are under way at once."""

    name: str = field(default="open_plans", init=False)

    max_plans: int

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan, now
        count = len(desk.open_plans)
        return None if count < self.max_plans else Refused(self.name, f"{count} plans open, limit {self.max_plans}")


@dataclass(frozen=True, slots=True)
class Cooldown:
    """A cycle rests between two plans."""

    name: str = field(default="cooldown", init=False)

    cooldown_ms: int

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        last = desk.last_plan(plan.key)
        if last is None or last + self.cooldown_ms * MS <= now:
            return None
        reason = f"{plan.key} had a plan less than {self.cooldown_ms} ms ago"
        return Refused(self.name, reason, last + self.cooldown_ms * MS)


@dataclass(frozen=True, slots=True)
class OncePerAppearance:
    """A mispricing is taken once. A recorded one survives our fills, so taking it again earns what nobody could have
    earned (TRADING 32)."""

    name: str = field(default="once_per_appearance", init=False)

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del now
        since, last = desk.standing_since(plan.key), desk.last_plan(plan.key)
        if since is None or last is None or last < since:
            return None
        return Refused(self.name, f"{plan.key} had a plan already since it appeared", until_gone=True)


@dataclass(frozen=True, slots=True)
class PlanRate:
    """Not more plans than this start within any hour."""

    name: str = field(default="plan_rate", init=False)

    max_plans_per_hour: int

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan
        count = desk.plans_since(now - HOUR_NS + 1)
        if count < self.max_plans_per_hour:
            return None
        return Refused(self.name, f"{count} plans within the hour, limit {self.max_plans_per_hour}")


def plan_notional(plan: Plan, desk: DeskView) -> Decimal | None:
    """What the plan starts with, in the valuation asset: the larger of its own figure and today's mark."""
    value = desk.value(plan.start_asset, plan.start)
    return None if value is None else max(plan.notional_valued, value)


def exposures(plan: Plan) -> dict[str, Decimal]:
    """The most that the plan may come to hold of each asset, in units of it."""
    most: dict[str, Decimal] = {plan.start_asset: plan.start}
    for planned in plan.legs:
        for asset, amount in _amounts(planned):
            most[asset] = max(most.get(asset, ZERO), amount)
    return most


def _amounts(planned: PlanLeg) -> Iterator[tuple[str, Decimal]]:
    price = max(planned.limit, planned.top, planned.average)
    factor = ONE + planned.fee.rate
    base, quote = planned.qty * factor, planned.qty * price * factor
    spent, got = (quote, base) if planned.leg.side is Side.BUY else (base, quote)
    yield planned.leg.spends, max(spent, planned.spend)
    yield planned.leg.gets, max(got, planned.get)


def _base(planned: PlanLeg) -> str:
    return planned.leg.gets if planned.leg.side is Side.BUY else planned.leg.spends


def _above(check: str, what: str, value: Decimal, limit: Decimal, desk: DeskView) -> Refused | None:
    if value <= limit:
        return None
    asset = desk.valuation_asset
    return Refused(check, f"{what} would be {plain(ceil_decimals(value, 4))} {asset}, limit {plain(limit)} {asset}")


def _no_mark(check: str, asset: str, desk: DeskView) -> Refused:
    return Refused(check, f"{asset} has no price in {desk.valuation_asset}")
