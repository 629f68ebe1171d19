"""Exact arithmetic of one leg: what a limit order may spend, what it gets at least, what a walk would get.

Everything that sizes, certifies, fills or unwinds uses these functions, so that they agree to the last digit.
Fees are `rate * cost` in the quote asset or `rate * qty` in the base asset, rounded by the exchange to the
nearest unit of its precision per fill (PROTOCOL 4.2, 4.3); a rounding allowance is a number of such units. Call
under `money.exact()`. Fee rates are below 1; a rebate is a rate below 0.
"""

# ruff: noqa: PLR0917 - side, pair, fee, amount, limit, fills: what one leg is; a class for them would be
# made and thrown away on every call

from collections.abc import Sequence
from decimal import Decimal
from math import prod

import msgspec

from arbitrade_core.book import Level
from arbitrade_core.domain import Fee, FeeCurrency, LegId, Pair, Side
from arbitrade_core.money import ONE, ZERO, ceil_to, divide_down, nearest_decimals, ratio, unit

_HALF = Decimal("0.5")


def quote_fee_rate(fee: Fee) -> Decimal:
    """The rate to reckon with in the quote asset; 0 when it is established that it is not charged there."""
    return _rate_in(fee, FeeCurrency.QUOTE)


def base_fee_rate(fee: Fee) -> Decimal:
    """The rate to reckon with in the base asset; 0 when it is established that it is not charged there."""
    return _rate_in(fee, FeeCurrency.BASE)


def _rate_in(fee: Fee, currency: FeeCurrency) -> Decimal:
    if fee.currency is currency:
        return fee.rate
    if fee.currency is FeeCurrency.EITHER:
        return max(fee.rate, ZERO)  # a rebate whose currency is open is not counted on in either
    return ZERO


def factor(side: Side, fee: Fee) -> float:
    """What the fee leaves of a gross rate, to rank (TRADING 2); the worse one when the currency is open."""
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


def break_even(factors: Sequence[float], starts: frozenset[LegId], legs: Sequence[LegId]) -> float:
    """Gross return at which a cycle breaks even, fees by `factors` of every leg; inf when one is not known (0), or when
    none of the cycle's legs is among `starts`: nobody can begin there."""
    count = len(factors)
    left = prod(factors[leg] if leg < count else 0.0 for leg in legs)
    return 1.0 / left if left > 0.0 and not starts.isdisjoint(legs) else float("inf")


def rounding_quote(pair: Pair, fills: int, fee_rate: Decimal = ZERO) -> Decimal:
    """Most that rounding costs and fees of `fills` executions can cost in the quote asset.

    Per fill: half a unit of the cost, the fee on that half (it is not established whether fees are reckoned
    from the rounded cost or the raw one), and half a unit of the fee itself.
    """
    units = ONE + fee_rate * _HALF if fee_rate > 0 else ONE
    return fills * units * unit(pair.cost_decimals)


def rounding_base(pair: Pair, fee: Fee, fills: int) -> Decimal:
    """Likewise in the base asset, where only a fee is rounded; 0 when none can be charged there."""
    return fills * pair.qty_unit if base_fee_rate(fee) else ZERO


class AtLimit(msgspec.Struct, frozen=True, gc=False):
    """A limit order as two straight lines in its quantity, both against us: what it spends, what it brings."""

    lot: Decimal
    spend_per_unit: Decimal
    spend_extra: Decimal
    """rounding, in the asset spent"""
    get_per_unit: Decimal
    get_less: Decimal
    """rounding, in the asset got"""

    def most_spent(self, qty: Decimal) -> Decimal:
        return qty * self.spend_per_unit + self.spend_extra

    def least_got(self, qty: Decimal) -> Decimal:
        least = qty * self.get_per_unit - self.get_less
        return least if least > 0 else ZERO

    def largest_qty(self, funds: Decimal) -> Decimal:
        free = funds - self.spend_extra
        return divide_down(free, self.spend_per_unit, self.lot) if free > 0 else ZERO

    def smallest_qty(self, wanted: Decimal) -> Decimal:
        return _divide_up(wanted + self.get_less, self.get_per_unit, self.lot) if wanted > 0 else ZERO


def at_limit(side: Side, pair: Pair, fee: Fee, limit: Decimal, fills: int) -> AtLimit:
    """The order's lines at `limit`, with the rounding of `fills` executions and the fee in the adverse currency."""
    quote_rate, base_rate = quote_fee_rate(fee), base_fee_rate(fee)
    in_quote, in_base = rounding_quote(pair, fills, quote_rate), rounding_base(pair, fee, fills)
    if side is Side.BUY:
        return AtLimit(pair.lot, limit * (ONE + quote_rate), in_quote, ONE - base_rate, in_base)
    return AtLimit(pair.lot, ONE + base_rate, in_base, limit * (ONE - quote_rate), in_quote)


def largest_qty(side: Side, pair: Pair, fee: Fee, funds: Decimal, limit: Decimal, fills: int) -> Decimal:
    """The largest quantity on the lot grid whose `most_spent` is not above `funds`; may be 0.

    A buy satisfies `qty * limit * (1 + f) <= funds`, since that is what the exchange reserves (TRADING 13).
    """
    return at_limit(side, pair, fee, limit, fills).largest_qty(funds)


def smallest_qty(side: Side, pair: Pair, fee: Fee, wanted: Decimal, limit: Decimal, fills: int) -> Decimal:
    """The smallest quantity on the lot grid whose `least_got` is not below `wanted`; may be 0."""
    return at_limit(side, pair, fee, limit, fills).smallest_qty(wanted)


def most_spent(side: Side, pair: Pair, fee: Fee, qty: Decimal, limit: Decimal, fills: int) -> Decimal:
    """The most a limit order can take of the asset it spends, in whichever currency the fee comes."""
    return at_limit(side, pair, fee, limit, fills).most_spent(qty)


def least_got(side: Side, pair: Pair, fee: Fee, qty: Decimal, limit: Decimal, fills: int) -> Decimal:
    """The least a completely filled limit order brings of the asset it gets; never below 0."""
    return at_limit(side, pair, fee, limit, fills).least_got(qty)


def limit_ticks(side: Side, pair: Pair, ticks: int) -> int:
    """The best limit on the order grid that still reaches a level at `ticks`.

    Books may be finer than orders: a buy is rounded up and a sell down, against us. A sell's may be 0: no price.
    """
    multiple = pair.tick_multiple
    return -(-ticks // multiple) * multiple if side is Side.BUY else ticks // multiple * multiple


def tradable_qty(pair: Pair, qty: Decimal, price: Decimal) -> bool:
    """Whether the exchange takes an order of that size (ordermin, costmin); `price` is the order's limit."""
    return qty >= pair.qty_min and qty * price >= pair.cost_min


def least_tradable_qty(pair: Pair, price: Decimal) -> Decimal:
    """The smallest quantity on the lot grid that the exchange takes at that price."""
    return max(ceil_to(pair.qty_min, pair.lot), _divide_up(pair.cost_min, price, pair.lot), pair.lot)


def _divide_up(numerator: Decimal, denominator: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` whose product with `denominator` (> 0) is not below `numerator`."""
    down = divide_down(numerator, denominator, step)
    return down if down * denominator >= numerator else down + step


class Walked(msgspec.Struct, frozen=True, gc=False):
    """What taking `qty` from a list of levels does, fees by the model, rounded as reported."""

    qty: Decimal
    cost: Decimal
    fee: Decimal
    fee_in_base: bool
    worst_ticks: int
    """price of the last level touched"""
    average: Decimal
    """price per unit before rounding, to 28 digits"""

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
    raw_cost = Decimal(cost_units).scaleb(-pair.price_decimals - pair.qty_decimals)
    cost = nearest_decimals(raw_cost, pair.cost_decimals)
    in_base = fee.currency is FeeCurrency.BASE
    charged = (
        nearest_decimals(qty * fee.rate, pair.qty_decimals)
        if in_base
        else nearest_decimals(cost * fee.rate, pair.cost_decimals)
    )
    return Walked(qty, cost, charged, in_base, worst, ratio(raw_cost, qty))
