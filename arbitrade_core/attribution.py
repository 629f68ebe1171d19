"""Where a leg's result went: expected minus realised, split into five parts that sum to it exactly.

All parts are in the asset the leg gets, positive when they cost us. `q` is the planned quantity, `f` what
filled, `c` the leg's decision rate (expected get per expected spend), `r` the planned fee rate; an amount of
the asset that the leg spends counts `c` times.

- *expected*  what the plan says the leg gets
- *realised*  what it got, and what `f` cost less than expected, times `c`. For a sell with a fee in the quote asset
              that is just what it got; for a buy a better price shows as money left over
- *partial*   expected net result of the quantity that did not fill, `q - f`; negative when more was traded than planned
- *drift*     the best price moved between decision and fill: `top` at fill against `top` when decided
- *depth*     fills were further from the best price than the walk expected; all of it where a fill's `top` is unknown
- *fee*       charged less what the planned rate makes of the fill, rounded as the exchange rounds
- *rounding*  of the expected figure, of costs and fees, and of the exchange's own ledger rows
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.domain import FeeCurrency, Fill, Pair, PlanLeg, Side
from arbitrade_core.ledger import booked_rows
from arbitrade_core.money import ONE, ZERO, nearest_decimals, ratio


@dataclass(frozen=True, slots=True)
class LegAttribution:
    """Expected minus realised of one leg, in `asset`."""

    order_id: str
    asset: str
    expected: Decimal
    realised: Decimal
    drift: Decimal
    depth: Decimal
    rounding: Decimal
    fee: Decimal
    partial: Decimal

    @property
    def parts(self) -> dict[str, Decimal]:
        """By name; they sum to `expected - realised`."""
        return {
            "drift": self.drift,
            "depth": self.depth,
            "rounding": self.rounding,
            "fee": self.fee,
            "partial": self.partial,
        }

    def valued(self, mark: Decimal) -> dict[str, Decimal]:
        """The parts at the decision's mark of `asset`."""
        return {name: amount * mark for name, amount in self.parts.items()}


def attribute(leg: PlanLeg, pair: Pair, fills: Sequence[Fill]) -> LegAttribution:
    """Split one leg. `fills` are those of its order, none when it was never sent. Call under `money.exact()`."""
    terms = _Terms(leg, pair)
    got = spent = drift = depth = fee = rounding = filled = ZERO
    for fill in fills:
        rows = booked_rows(leg.leg, fill)
        fill_got = rows[leg.leg.gets].amount - rows[leg.leg.gets].fee
        fill_spent = rows[leg.leg.spends].fee - rows[leg.leg.spends].amount
        fill_fee = terms.fee_excess(fill)
        top = leg.top if fill.top is None else fill.top
        drift += terms.price_cost(fill.qty, top - leg.top)
        depth += terms.price_cost(fill.qty, (fill.price - top) - (leg.average - leg.top))
        fee += fill_fee
        rounding += terms.net_get(fill.qty, fill.price) - fill_got - fill_fee
        rounding += terms.rate * (fill_spent - terms.net_spend(fill.qty, fill.price))
        filled, got, spent = filled + fill.qty, got + fill_got, spent + fill_spent
    rounding += leg.get - terms.net_get(leg.qty, leg.average)
    return LegAttribution(
        order_id=leg.order_id,
        asset=leg.leg.gets,
        expected=leg.get,
        realised=got + terms.rate * (terms.net_spend(filled, leg.average) - spent),
        drift=drift,
        depth=depth,
        rounding=rounding,
        fee=fee,
        partial=terms.net_get(leg.qty - filled, leg.average),
    )


class _Terms:
    """The leg's planned rates: what a quantity at a price gets, spends and costs, before rounding."""

    def __init__(self, leg: PlanLeg, pair: Pair) -> None:
        self.rate = ratio(leg.get, leg.spend) if leg.spend else ZERO
        self._buys = leg.leg.side is Side.BUY
        self._gets = leg.leg.gets
        self._pair = pair
        self._fee = leg.fee.rate
        self._in_base = leg.fee.currency is FeeCurrency.BASE

    def net_get(self, qty: Decimal, price: Decimal) -> Decimal:
        if self._buys:
            return qty * (ONE - self._fee) if self._in_base else qty
        return qty * price if self._in_base else qty * price * (ONE - self._fee)

    def net_spend(self, qty: Decimal, price: Decimal) -> Decimal:
        if self._buys:
            return qty * price if self._in_base else qty * price * (ONE + self._fee)
        return qty * (ONE + self._fee) if self._in_base else qty

    def price_cost(self, qty: Decimal, rise: Decimal) -> Decimal:
        """What a price that is `rise` higher costs."""
        return self.rate * self.net_spend(qty, rise) if self._buys else -self.net_get(qty, rise)

    def fee_excess(self, fill: Fill) -> Decimal:
        """What was charged beyond the planned fee, each rounded as reported."""
        pair = self._pair
        if self._in_base:
            planned_asset, planned = pair.base, nearest_decimals(fill.qty * self._fee, pair.qty_decimals)
        else:
            planned_asset, planned = pair.quote, nearest_decimals(fill.cost * self._fee, pair.cost_decimals)
        return self._worth(fill.fee_asset, fill.fee) - self._worth(planned_asset, planned)

    def _worth(self, asset: str, amount: Decimal) -> Decimal:
        """In the asset the leg gets; a fee in a third asset is outside the leg."""
        if asset == self._gets:
            return amount
        return self.rate * amount if asset in (self._pair.base, self._pair.quote) else ZERO
