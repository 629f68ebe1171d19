"""Checks of how the account stands: halted, fees, banned legs, losses, drawdown, failures.

A loss limit stops new plans once the loss has reached it, since any further loss would go beyond. A day is
a UTC day; losses are trading P&L, drawdown adds revaluation, neither uses flows (TRADING 23).
"""

from dataclasses import dataclass, field
from decimal import Decimal

from arbitrade_core.domain import Ns, Plan, Severity
from arbitrade_core.money import ceil_decimals, plain
from arbitrade_core.risk.gate import Alarm
from arbitrade_core.risk.size import HOUR_NS
from arbitrade_core.spi import DeskView, Refused

DAY_NS = 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class NotHalted:
    """The desk may send."""

    name: str = field(default="halted", init=False)

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan, now
        return None if desk.halted is None else Refused(self.name, f"halted: {desk.halted}")


@dataclass(frozen=True, slots=True)
class Fees:
    """The fees of every leg are known, the plan was made with them, and they are not old (TRADING 7)."""

    name: str = field(default="fees", init=False)

    max_age_h: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        fees = desk.fees
        if fees is None:
            return Refused(self.name, "no fees are known")
        if plan.fees_id != fees.id:
            return Refused(self.name, f"priced with fees {plan.fees_id}, in force are {fees.id}")
        for planned in plan.legs:
            if desk.fee(planned.leg.symbol) is None:
                return Refused(self.name, f"no fee is known for {planned.leg.symbol}")
        age_ns = now - fees.as_of_ns
        if age_ns > self.max_age_h * HOUR_NS:
            return Refused(
                self.name,
                f"fees from {fees.source} are {age_ns / HOUR_NS:.1f} h old, limit {plain(self.max_age_h)} h",
            )
        return None


@dataclass(frozen=True, slots=True)
class BannedLegs:
    """No leg rests after a failure (TRADING 19)."""

    name: str = field(default="banned_legs", init=False)

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        for planned in plan.legs:
            until = desk.banned_until(planned.leg.id)
            if until is not None and until > now:
                return Refused(self.name, f"{planned.leg} rests for another {(until - now) / 10**9:.1f} s", until)
        return None


@dataclass(frozen=True, slots=True)
class HourlyLoss:
    """Trading lost less than this within the last 60 minutes."""

    name: str = field(default="hourly_loss", init=False)

    max_loss_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan
        loss = -desk.trading_pnl(now - HOUR_NS + 1)
        return _reached(self.name, "trading loss within the hour", loss, self.max_loss_valued, desk)


@dataclass(frozen=True, slots=True)
class DailyLoss:
    """Trading lost less than this in the UTC day."""

    name: str = field(default="daily_loss", init=False)

    max_loss_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan
        loss = -desk.trading_pnl(day_start(now))
        return _reached(self.name, "trading loss of the UTC day", loss, self.max_loss_valued, desk)


@dataclass(frozen=True, slots=True)
class UnwindLoss:
    """Broken plans cost less than this in the UTC day."""

    name: str = field(default="unwind_loss", init=False)

    max_loss_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan
        loss = desk.unwind_loss(day_start(now))
        return _reached(self.name, "loss of broken plans in the UTC day", loss, self.max_loss_valued, desk)


@dataclass(frozen=True, slots=True)
class Drawdown:
    """Trading plus revaluation is less than this below its peak. Unknown refuses (TRADING 22)."""

    name: str = field(default="drawdown", init=False)

    max_drawdown_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan, now
        fall = desk.drawdown()
        if fall is None:
            return Refused(self.name, f"drawdown is not known: a balance has no price in {desk.valuation_asset}")
        return _reached(self.name, "drawdown", fall, self.max_drawdown_valued, desk)


@dataclass(frozen=True, slots=True)
class ConsecutiveFailures:
    """Not this many plans failed in a row."""

    name: str = field(default="consecutive_failures", init=False)

    max_failures: int

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan, now
        failures = desk.consecutive_failures
        if failures < self.max_failures:
            return None
        return Alarm(
            self.name, f"{failures} plans failed in a row, limit {self.max_failures}", severity=Severity.CRITICAL
        )


def day_start(now: Ns) -> Ns:
    """Midnight UTC of that moment's day."""
    return now - now % DAY_NS


def _reached(check: str, what: str, loss: Decimal, limit: Decimal, desk: DeskView) -> Refused | None:
    if loss < limit:
        return None
    asset = desk.valuation_asset
    return Alarm(
        check,
        f"{what} is {plain(ceil_decimals(loss, 4))} {asset}, limit {plain(limit)} {asset}",
        severity=Severity.CRITICAL,
    )
