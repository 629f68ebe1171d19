"""Exact arithmetic of one leg: what a limit order may spend, what it gets at least, what a walk would get.

Everything that sizes, certifies, fills or unwinds uses these functions, so that they agree to the last digit. Fees
are `rate * cost` in the quote asset or `rate * qty` in the base asset, rounded by the exchange to the nearest unit
of its precision per fill (PROTOCOL 4.2, 4.3); a rounding allowance is a number of such units. Call under
`money.exact()`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.book import Level
from arbitrade_core.domain import Fee, FeeCurrency, Pair, Side
from arbitrade_core.money import ONE, ZERO, divide_down, nearest_decimals, unit


def quote_fee_rate(fee: Fee) -> Decimal:
    """The rate that may be charged in the quote asset; 0 when it is established that it is not."""
    return ZERO if fee.currency is FeeCurrency.BASE else fee.rate


def base_fee_rate(fee: Fee) -> Decimal:
    """The rate that may be charged in the base asset; 0 when it is established that it is not."""
    return ZERO if fee.currency is FeeCurrency.QUOTE else fee.rate


def factor(side: Side, fee: Fee) -> float:
    """What the fee leaves of a gross rate, for ranking (TRADING 2); the worse one when the currency is open."""
    rate = float(fee.rate)
    quote_factor = 1 / (1 + rate) if side is Side.BUY else 1 - rate
    base_factor = 1 - rate if side is Side.BUY else 1 / (1 + rate)
    match fee.currency:
        case FeeCurrency.QUOTE:
            return quote_factor
        case FeeCurrency.BASE:
            return base_factor
        case FeeCurrency.EITHER:
            return min(quote_factor, base_factor)


def rounding_quote(pair: Pair, fills: int) -> Decimal:
    """Most that rounding costs and fees of `fills` executions can cost in the quote asset."""
    return fills * unit(pair.cost_decimals)


def rounding_base(pair: Pair, fee: Fee, fills: int) -> Decimal:
    """Likewise in the base asset; 0 when no fee can be charged there."""
    return fills * pair.qty_unit if base_fee_rate(fee) else ZERO


def largest_qty(side: Side, pair: Pair, fee: Fee, funds: Decimal, limit: Decimal, fills: int) -> Decimal:
    """The largest quantity on the lot grid whose `most_spent` is not above `funds`; may be 0.

    A buy satisfies `qty * limit * (1 + f) <= funds`, since that is what the exchange reserves (TRADING 13).
    """
    if side is Side.BUY:
        free = funds - rounding_quote(pair, fills)
        per_unit = limit * (ONE + quote_fee_rate(fee))
    else:
        free = funds - rounding_base(pair, fee, fills)
        per_unit = ONE + base_fee_rate(fee)
    return divide_down(free, per_unit, pair.lot) if free > 0 else ZERO


def most_spent(side: Side, pair: Pair, fee: Fee, qty: Decimal, limit: Decimal, fills: int) -> Decimal:
    """The most a limit order can take of the asset it spends, in whichever currency the fee comes."""
    if side is Side.BUY:
        return qty * limit * (ONE + quote_fee_rate(fee)) + rounding_quote(pair, fills)
    return qty * (ONE + base_fee_rate(fee)) + rounding_base(pair, fee, fills)


def least_got(side: Side, pair: Pair, fee: Fee, qty: Decimal, limit: Decimal, fills: int) -> Decimal:
    """The least a completely filled limit order brings of the asset it gets; never below 0."""
    if side is Side.BUY:
        least = qty * (ONE - base_fee_rate(fee)) - rounding_base(pair, fee, fills)
    else:
        least = qty * limit * (ONE - quote_fee_rate(fee)) - rounding_quote(pair, fills)
    return max(least, ZERO)


def tradable_qty(pair: Pair, qty: Decimal, price: Decimal) -> bool:
    """Whether the exchange takes an order of that size (ordermin, costmin)."""
    return qty >= pair.qty_min and qty * price >= pair.cost_min


@dataclass(frozen=True, slots=True)
class Walked:
    """What taking `qty` from a list of levels does, fees by the model, rounded as reported."""

    qty: Decimal
    cost: Decimal
    fee: Decimal
    fee_in_base: bool
    worst_ticks: int
    """price of the last level touched"""

    def spend(self, side: Side) -> Decimal:
        if side is Side.BUY:
            return self.cost if self.fee_in_base else self.cost + self.fee
        return self.qty + self.fee if self.fee_in_base else self.qty

    def get(self, side: Side) -> Decimal:
        if side is Side.BUY:
            return self.qty - self.fee if self.fee_in_base else self.qty
        return self.cost if self.fee_in_base else self.cost - self.fee


def walk(pair: Pair, fee: Fee, levels: Sequence[Level], qty: Decimal) -> Walked | None:
    """Take `qty` from `levels` (best first); None when they do not hold that much, or `qty` is 0.

    The fee is taken in the quote asset unless it is established to be the base (PROTOCOL 4.2).
    """
    lots = pair.lots(qty)
    cost_units = 0
    worst = 0
    left = lots
    for ticks, available in levels:
        taken = min(left, available)
        cost_units += ticks * taken
        worst = ticks
        left -= taken
        if left == 0:
            break
    if left or not lots:
        return None
    cost = nearest_decimals(Decimal(cost_units).scaleb(-pair.price_decimals - pair.qty_decimals), pair.cost_decimals)
    in_base = fee.currency is FeeCurrency.BASE
    charged = (
        nearest_decimals(qty * fee.rate, pair.qty_decimals)
        if in_base
        else nearest_decimals(cost * fee.rate, pair.cost_decimals)
    )
    return Walked(qty, cost, charged, in_base, worst)
