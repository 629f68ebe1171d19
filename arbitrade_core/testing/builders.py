"""The words of the field in one line each: pairs, legs, fees, orders, plans. Amounts are text, and exact."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from arbitrade_core.domain import (
    Alert,
    Certificate,
    Fee,
    FeeCurrency,
    FeeSnapshot,
    Leg,
    Ns,
    Order,
    Pair,
    PairId,
    PairStatus,
    Plan,
    PlanKind,
    PlanLeg,
    Severity,
    Side,
)
from arbitrade_core.money import ONE, ZERO, floor_to, nearest_decimals, ratio
from arbitrade_core.spi import MarketView

START_NS: Ns = 1_790_000_000_000_000_000
"""When simulated time begins, unless a test says otherwise."""
MS: Ns = 1_000_000
S: Ns = 1_000_000_000

TRIANGLE = ("BTC/USD", "ETH/BTC", "ETH/USD")
OVER_ETH = "+BTC/USD +ETH/BTC -ETH/USD"
"""The cycle through `TRIANGLE` that a cheap ask of ETH/BTC makes profitable."""
QUIET: Mapping[str, tuple[str, str]] = {
    "BTC/USD": ("50000", "50001"),
    "ETH/BTC": ("0.02950", "0.03001"),
    "ETH/USD": ("1500.0", "1500.1"),
}
"""(bid, ask) among which no cycle pays. ETH/BTC has room for a cheap ask that does not cross."""
CHEAP = "0.02970"
"""An ask of ETH/BTC that makes `OVER_ETH` return a hundredth before fees."""


def pair(
    symbol: str,
    *,
    tick: str = "0.00000001",
    lot: str = "0.000001",
    qty_min: str = "0.0002",
    cost_min: str = "0.000002",
    cost_decimals: int = 8,
    status: PairStatus = PairStatus.ONLINE,
) -> Pair:
    """A listing; precisions follow `tick` and `lot`. The default minimums are a few dollars on dear assets.

    Raises:
        ValueError: `symbol` is not BASE/QUOTE.
    """
    base, slash, quote = symbol.partition("/")
    if not (base and slash and quote):
        raise ValueError(f"{symbol!r} is no pair; write BASE/QUOTE, such as ETH/BTC")
    return Pair(
        symbol=symbol,
        base=base,
        quote=quote,
        price_decimals=_decimals(tick),
        qty_decimals=_decimals(lot),
        tick=Decimal(tick),
        lot=Decimal(lot),
        qty_min=Decimal(qty_min),
        cost_min=Decimal(cost_min),
        cost_decimals=cost_decimals,
        status=status,
    )


def _decimals(step: str) -> int:
    exponent = Decimal(step).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def leg(name: str, pair_id: PairId = 0) -> Leg:
    """`+ETH/BTC` buys, `-ETH/BTC` sells.

    Raises:
        ValueError: the name has no sign.
    """
    if name[:1] not in ("+", "-"):
        raise ValueError(f"{name!r} is no leg; write +ETH/BTC for a buy, -ETH/BTC for a sell")
    symbol = name[1:]
    base, _, quote = symbol.partition("/")
    side = Side.BUY if name[0] == "+" else Side.SELL
    spends, gets = (quote, base) if side is Side.BUY else (base, quote)
    return Leg(2 * pair_id + side, pair_id, symbol, side, spends, gets)


def fee(rate: str = "0.001", currency: FeeCurrency = FeeCurrency.QUOTE) -> Fee:
    """A fraction of the cost: `0.001` is 10 bps."""
    return Fee(Decimal(rate), currency)


def fees(symbols: Sequence[str], rate: str = "0.001", *, id: str = "fees-1", as_of_ns: Ns = START_NS) -> FeeSnapshot:
    """One fee for every symbol."""
    return FeeSnapshot(id, "the author's kit", as_of_ns, dict.fromkeys(symbols, fee(rate)))


def order(name: str, qty: str, limit: str, *, id: str = "p1-1", pair_id: PairId = 0, rate: str = "0.001") -> Order:
    """`order("+ETH/BTC", "2", "0.03")` buys two at 0.03 or better."""
    return Order(id, id.rpartition("-")[0] or "p1", "desk", leg(name, pair_id), Decimal(qty), Decimal(limit), fee(rate))


def alert(text: str = "something happened", *, severity: Severity = Severity.WARNING, topic: str = "test") -> Alert:
    return Alert(severity, topic, text, START_NS)


def cycle_plan(
    market: MarketView,
    path: str = OVER_ETH,
    *,
    start: str = "100",
    rate: str = "0.001",
    margin: str = "-1000000",
    desk_id: str = "desk",
    fees_id: str = "fees-1",
    decided_ns: Ns = START_NS,
    **changes: Any,
) -> Plan:
    """A cycle at the best prices that the market shows, whether it pays or not; `changes` replace fields of the plan.

    Sizes are chained leg by leg, floored to lots, and not cut by depth. `margin` is what the certificate claims: by
    default so little that it holds. A market that values the start asset in USD gives the valued figures.

    Raises:
        ValueError: the path names a pair that is not listed, or one whose book has nothing on the side it takes.
    """
    charged = fee(rate)
    funds = Decimal(start)
    legs: list[PlanLeg] = []
    for number, name in enumerate(path.split(), start=1):
        known = market.pair_id(name[1:])
        if known is None:
            raise ValueError(f"{name[1:]} is not listed; let the market see it first")
        listed, directed = market.pairs[known], leg(name, known)
        ticks = market.books[known].taken_by(directed.side).best()
        if ticks is None:
            raise ValueError(f"{name}: the book shows nothing to take; let the market see a price first")
        price = listed.price(ticks)
        buys = directed.side is Side.BUY
        wanted = ratio(funds, price * (ONE + charged.rate)) if buys else funds
        qty = floor_to(wanted, listed.lot)
        cost = nearest_decimals(qty * price, listed.cost_decimals)
        paid = nearest_decimals(cost * charged.rate, listed.cost_decimals)
        spend, get = (cost + paid, qty) if buys else (qty, cost - paid)
        legs.append(PlanLeg(f"p1-{number}", directed, qty, price, charged, price, price, spend, get))
        funds = get
    begin = Decimal(start)
    start_asset = legs[0].leg.spends
    mark = market.mark(start_asset, "USD") or ONE
    profit = funds - begin
    plan = Plan(
        id="p1",
        desk_id=desk_id,
        strategy="kit",
        kind=PlanKind.CYCLE,
        key=path,
        start_asset=start_asset,
        start=begin,
        end=funds,
        legs=tuple(legs),
        certificate=Certificate(begin, begin + Decimal(margin), Decimal(margin), 10),
        edge_bps=nearest_decimals(ratio(profit, begin).scaleb(4), 4) if begin else ZERO,
        profit_valued=profit * mark,
        notional_valued=begin * mark,
        valuation_asset="USD",
        fees_id=fees_id,
        decided_ns=decided_ns,
    )
    return replace(plan, **changes)
