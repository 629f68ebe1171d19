"""A desk and a market that say what a test tells them, and plans over three pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from arbitrade_core.book import Book, Level
from arbitrade_core.domain import (
    Asset,
    Fee,
    FeeSnapshot,
    Leg,
    LegId,
    Ns,
    Pair,
    PairId,
    Plan,
    PlanKind,
    PlanLeg,
    Side,
)

NOW: Ns = 1_790_000_000_000_000_000
MS = 1_000_000
HOUR = 3_600 * 10**9
FEE = Fee(Decimal("0.004"))
MARKS = {"USD": Decimal(1), "BTC": Decimal(50_000), "ETH": Decimal(2_500), "USDT": Decimal("1.001")}

PAIRS = ("BTC/USD", "ETH/BTC", "ETH/USD", "USDT/USD")


@dataclass
class FakeMarket:
    """Implements `spi.MarketView`; every pair is healthy until told otherwise."""

    down: set[PairId] = field(default_factory=set)
    alive_ns: dict[PairId, int | None] = field(default_factory=dict)
    lag_ns: dict[PairId, int | None] = field(default_factory=dict)
    changed_ns: dict[PairId, int | None] = field(default_factory=dict)
    marks: dict[str, Decimal] = field(default_factory=lambda: dict(MARKS))
    pairs: Sequence[Pair] = ()
    books: Sequence[Book] = ()
    rate: Sequence[float] = ()

    def leg(self, leg: LegId) -> Leg:
        raise NotImplementedError

    def pair_id(self, symbol: str) -> PairId | None:
        return PAIRS.index(symbol)

    def asset(self, symbol: str) -> Asset | None:
        return Asset(symbol, 10)

    def tradable(self, pair: PairId) -> bool:
        return pair not in self.down

    def usable(self, pair: PairId) -> bool:
        return pair not in self.down

    def mark(self, asset: str, valuation_asset: str) -> Decimal | None:
        one, other = self.marks.get(asset), self.marks.get(valuation_asset)
        return None if one is None or other is None else one / other

    def alive_age_ns(self, pair: PairId, now: Ns) -> int | None:
        return self.alive_ns.get(pair, 0)

    def feed_lag_ns(self, pair: PairId) -> int | None:
        return self.lag_ns.get(pair, 0)

    def changed_age_ns(self, pair: PairId, now: Ns) -> int | None:
        return self.changed_ns.get(pair, 0)


def snapshot(*, fees_id: str = "f1", as_of_ns: Ns = NOW, symbols: Sequence[str] = PAIRS) -> FeeSnapshot:
    return FeeSnapshot(fees_id, "a test", as_of_ns, dict.fromkeys(symbols, FEE))


@dataclass
class FakeDesk:
    """Implements `spi.DeskView` from plain fields."""

    market: FakeMarket = field(default_factory=FakeMarket)
    id: str = "paper"
    valuation_asset: str = "USD"
    fees: FeeSnapshot | None = field(default_factory=snapshot)
    halted: str | None = None
    exchange_status: str = "online"
    open_plans: list[Plan] = field(default_factory=list)
    consecutive_failures: int = 0
    balances: dict[str, Decimal] = field(default_factory=lambda: {"USD": Decimal(10_000)})
    bans: dict[LegId, Ns] = field(default_factory=dict)
    approved: list[tuple[Ns, str]] = field(default_factory=list)
    standing: dict[str, Ns] = field(default_factory=dict)
    results: list[tuple[Ns, Decimal]] = field(default_factory=list)
    unwinds: list[tuple[Ns, Decimal]] = field(default_factory=list)
    fall: Decimal | None = Decimal(0)

    def available(self, asset: str, strategy: str = "") -> Decimal:
        held = sum((plan.start for plan in self.open_plans if plan.start_asset == asset), Decimal(0))
        return self.balances.get(asset, Decimal(0)) - held

    def residue(self, asset: str) -> Decimal:
        return Decimal(0)

    def value(self, asset: str, amount: Decimal) -> Decimal | None:
        mark = self.market.marks.get(asset)
        return None if mark is None else amount * mark

    def promised(self, leg: LegId) -> Sequence[int]:
        return []

    def depth(self, leg: LegId) -> Sequence[Level]:
        return ()

    def fee(self, symbol: str) -> Fee | None:
        return None if self.fees is None else self.fees.taker.get(symbol)

    def banned_until(self, leg: LegId) -> Ns | None:
        return self.bans.get(leg)

    def plans_since(self, since: Ns, key: str | None = None) -> int:
        return sum(at >= since and key in (None, of) for at, of in self.approved)

    def last_plan(self, key: str) -> Ns | None:
        return max((at for at, of in self.approved if of == key), default=None)

    def standing_since(self, key: str) -> Ns | None:
        return self.standing.get(key)

    def trading_pnl(self, since: Ns) -> Decimal:
        return sum((value for at, value in self.results if at >= since), Decimal(0))

    def unwind_loss(self, since: Ns) -> Decimal:
        return sum((value for at, value in self.unwinds if at >= since), Decimal(0))

    def drawdown(self) -> Decimal | None:
        return self.fall

    def opens(self, plan: Plan, now: Ns) -> None:
        self.open_plans.append(plan)
        self.approved.append((now, plan.key))


def leg(symbol: str, side: Side) -> Leg:
    base, quote = symbol.split("/")
    pair = PAIRS.index(symbol)
    spends, gets = (quote, base) if side is Side.BUY else (base, quote)
    return Leg(2 * pair + side, pair, symbol, side, spends, gets)


def planned(symbol: str, side: Side, qty: Decimal, price: Decimal) -> PlanLeg:
    cost = qty * price
    spend, get = (cost * (1 + FEE.rate), qty) if side is Side.BUY else (qty, cost * (1 - FEE.rate))
    return PlanLeg("", leg(symbol, side), qty, price, FEE, price, price, spend, get)


def cycle(usd: Decimal | int = 100, **changes: Any) -> Plan:
    """USD -> BTC -> ETH -> USD, starting with about `usd`."""
    start = Decimal(usd)
    btc = start / 64_000
    legs = (
        planned("BTC/USD", Side.BUY, btc, Decimal(50_000)),
        planned("ETH/BTC", Side.BUY, btc * 16, Decimal("0.05")),
        planned("ETH/USD", Side.SELL, btc * 16, Decimal(2_600)),
    )
    plan = Plan(
        id="p1",
        desk_id="paper",
        strategy="triangular",
        kind=PlanKind.CYCLE,
        key="+BTC/USD +ETH/BTC -ETH/USD",
        start_asset="USD",
        start=start,
        end=start + 1,
        legs=legs,
        certificate=None,
        edge_bps=Decimal(100),
        profit_valued=Decimal(1),
        notional_valued=start,
        valuation_asset="USD",
        fees_id="f1",
        decided_ns=NOW,
    )
    return replace(plan, **changes)
