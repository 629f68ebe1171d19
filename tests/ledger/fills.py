"""Orders and fills to book."""

from decimal import Decimal as D

from hypothesis import strategies as st

from arbitrade_core.domain import Fee, Fill, LedgerRow, Leg, Order, Pair, Side
from arbitrade_core.money import nearest_decimals
from tests.execution.worlds import listing

BTC_USD = listing("BTC/USD", cost_decimals=5)
LEGS = {
    Side.SELL: Leg(0, 0, "BTC/USD", Side.SELL, "BTC", "USD"),
    Side.BUY: Leg(1, 0, "BTC/USD", Side.BUY, "USD", "BTC"),
}


def order(side: Side, number: int = 1, plan: str = "p1") -> Order:
    return Order(f"{plan}-{number}", plan, "test", LEGS[side], D(100), D(100), Fee(D("0.001")))


def fill(
    of: Order,
    number: int = 1,
    *,
    qty: str = "1",
    price: str = "100",
    fee: str = "0.1",
    fee_asset: str = "USD",
    decimals: int | None = None,
) -> Fill:
    """With ledger rows at `decimals` when that is given."""
    cost = nearest_decimals(D(qty) * D(price), BTC_USD.cost_decimals)
    found = Fill(of.id, f"x{number}", D(qty), D(price), cost, D(fee), fee_asset)
    return found if decimals is None else with_rows(found, of.leg.side, BTC_USD, decimals)


def with_rows(of: Fill, side: Side, pair: Pair, decimals: int) -> Fill:
    sign = 1 if side is Side.BUY else -1
    rows = tuple(
        LedgerRow(
            asset,
            nearest_decimals(amount, decimals),
            nearest_decimals(of.fee if asset == of.fee_asset else D(0), decimals),
        )
        for asset, amount in ((pair.base, sign * of.qty), (pair.quote, -sign * of.cost))
    )
    return Fill(of.order_id, of.exec_id, of.qty, of.price, of.cost, of.fee, of.fee_asset, rows, of.top)


@st.composite
def executions(draw: st.DrawFn) -> list[tuple[Order, Fill]]:
    """Fills of a few orders, some with rows."""
    drawn: list[tuple[Order, Fill]] = []
    for number in range(draw(st.integers(1, 8))):
        of = order(draw(st.sampled_from(list(Side))), draw(st.integers(1, 3)), draw(st.sampled_from(["p1", "p2"])))
        qty = D(draw(st.integers(1, 10**6))).scaleb(-6)
        price = D(draw(st.integers(1, 10**7))).scaleb(-4)
        cost = nearest_decimals(qty * price, 5)
        asset = draw(st.sampled_from(["USD", "BTC"]))
        fee = nearest_decimals((cost if asset == "USD" else qty) * D("0.0026"), 5)
        found = Fill(of.id, f"x{number}", qty, price, cost, fee, asset)
        if draw(st.booleans()):
            found = with_rows(found, of.leg.side, BTC_USD, draw(st.integers(2, 10)))
        drawn.append((of, found))
    return drawn
