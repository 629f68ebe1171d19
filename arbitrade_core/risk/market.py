"""Checks of what is seen: books, the exchange, stablecoins, and edges too good to be true."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from arbitrade_core.domain import Leg, Ns, Plan, PlanKind, Severity
from arbitrade_core.money import BPS, ONE, nearest_decimals, plain
from arbitrade_core.risk.gate import Alarm
from arbitrade_core.spi import DeskView, MarketView, Refused

MS = 1_000_000
"""nanoseconds"""


@dataclass(frozen=True, slots=True)
class BookHealth:
    """Every book is live and verified, young enough, and seen at about the same time (TRADING 28).

    A book's age is the time since its connection proved alive plus the feed lag. What is not known refuses.
    """

    name: str = field(default="book_health", init=False)

    max_age_ms: int
    max_lag_ms: int
    max_skew_ms: int
    max_unchanged_ms: int | None = None

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        lags_ns: list[int] = []
        for planned in plan.legs:
            lag_ns = desk.market.feed_lag_ns(planned.leg.pair_id)
            reason = self._reason(planned.leg, desk.market, lag_ns, now)
            if reason is not None or lag_ns is None:
                return Refused(self.name, reason or f"{planned.leg.symbol}: feed lag is not known")
            lags_ns.append(lag_ns)
        skew_ns = max(lags_ns) - min(lags_ns) if lags_ns else 0
        if skew_ns > self.max_skew_ms * MS:
            return Refused(self.name, f"feed lag differs by {_ms(skew_ns)} between legs, limit {self.max_skew_ms} ms")
        return None

    def _reason(self, leg: Leg, market: MarketView, lag_ns: int | None, now: Ns) -> str | None:
        pair = leg.pair_id
        if not market.usable(pair):
            return f"{leg.symbol}: no live, verified book"
        alive_ns = market.alive_age_ns(pair, now)
        if alive_ns is None:
            return f"{leg.symbol}: no connection carries it"
        if lag_ns is None:
            return f"{leg.symbol}: feed lag is not known"
        if abs(lag_ns) > self.max_lag_ms * MS:
            return f"{leg.symbol}: feed lag {_ms(lag_ns)}, limit {self.max_lag_ms} ms"
        age_ns = alive_ns + max(lag_ns, 0)
        if age_ns > self.max_age_ms * MS:
            return f"{leg.symbol}: book age {_ms(age_ns)}, limit {self.max_age_ms} ms"
        return self._unchanged(leg, market, now)

    def _unchanged(self, leg: Leg, market: MarketView, now: Ns) -> str | None:
        if self.max_unchanged_ms is None:
            return None
        changed_ns = market.changed_age_ns(leg.pair_id, now)
        if changed_ns is None:
            return f"{leg.symbol}: time of the last change is not known"
        if changed_ns > self.max_unchanged_ms * MS:
            return f"{leg.symbol}: unchanged for {_ms(changed_ns)}, limit {self.max_unchanged_ms} ms"
        return None


@dataclass(frozen=True, slots=True)
class ExchangeStatus:
    """The exchange says that it trades. Before it said anything it does not."""

    name: str = field(default="exchange_status", init=False)

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del plan, now
        status = desk.exchange_status
        return None if status == "online" else Refused(self.name, f"the exchange is {status!r}, not 'online'")


@dataclass(frozen=True, slots=True)
class Depeg:
    """Stablecoins that the plan uses trade near what they are pegged to. Without a price they do not."""

    name: str = field(default="depeg", init=False)

    pegs: Mapping[str, str]
    max_depeg_bps: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del now
        assets = dict.fromkeys(asset for planned in plan.legs for asset in (planned.leg.spends, planned.leg.gets))
        for asset in assets:
            peg = self.pegs.get(asset)
            if peg is None or peg == asset:
                continue
            mark = desk.market.mark(asset, peg)
            if mark is None:
                return Refused(self.name, f"{asset} has no price in {peg}")
            if abs(mark - ONE) > self.max_depeg_bps * BPS:
                off_bps = nearest_decimals((mark - ONE).scaleb(4), 1)
                return Alarm(
                    self.name,
                    f"{asset} is at {plain(nearest_decimals(mark, 6))} {peg}, "
                    f"{plain(off_bps)} bps off its peg, limit {plain(self.max_depeg_bps)} bps",
                )
        return None


@dataclass(frozen=True, slots=True)
class MaximumEdge:
    """An edge beyond belief is bad data or a halted market: refuse, and tell people."""

    name: str = field(default="max_edge", init=False)

    max_edge_bps: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del desk, now
        if plan.kind is not PlanKind.CYCLE or plan.edge_bps <= self.max_edge_bps:
            return None
        return Alarm(
            self.name,
            f"edge {plain(plan.edge_bps)} bps of {plan.key} is not credible, limit {plain(self.max_edge_bps)} bps",
            severity=Severity.CRITICAL,
        )


@dataclass(frozen=True, slots=True)
class MinimumProfit:
    """A cycle is worth its risk."""

    name: str = field(default="min_profit", init=False)

    min_profit_valued: Decimal

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        del now
        if plan.kind is not PlanKind.CYCLE or plan.profit_valued >= self.min_profit_valued:
            return None
        return Refused(
            self.name,
            f"expected profit {plain(plan.profit_valued)} {desk.valuation_asset}, "
            f"at least {plain(self.min_profit_valued)} {desk.valuation_asset}",
        )


def _ms(age_ns: int) -> str:
    return f"{age_ns / MS:.0f} ms"
