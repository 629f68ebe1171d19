"""Exact money: Decimals that are either exact or refuse.

Everything that is ordered, booked or shown is computed under `exact()`: a context so wide that products of
quantities, prices and fees fit, with the Inexact trap on. A rounding that nobody asked for raises instead of
losing a digit; the roundings that are asked for have names below.
"""

from contextlib import AbstractContextManager
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import cache

ZERO = Decimal(0)
ONE = Decimal(1)
BPS = Decimal("0.0001")

_DIGITS = 96
EXACT = Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
_WIDE = Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_RATIO = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])


def exact() -> AbstractContextManager[Context]:
    """A context in which Decimal arithmetic is exact or raises `decimal.Inexact`."""
    return localcontext(EXACT)


@cache
def unit(decimals: int) -> Decimal:
    """The smallest amount with that many decimals: `unit(2)` is `0.01`."""
    return Decimal((0, (1,), -decimals))


def floor_to(amount: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `amount` (also for negative amounts)."""
    units = _WIDE.divide_int(amount, step)
    if _WIDE.multiply(units, step) > amount:
        units = _WIDE.subtract(units, ONE)
    return _WIDE.multiply(units, step)


def ceil_to(amount: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not below `amount`."""
    return floor_to(amount.copy_negate(), step).copy_negate()


def floor_decimals(amount: Decimal, decimals: int) -> Decimal:
    return amount.quantize(unit(decimals), rounding=ROUND_FLOOR, context=_WIDE)


def ceil_decimals(amount: Decimal, decimals: int) -> Decimal:
    return amount.quantize(unit(decimals), rounding=ROUND_CEILING, context=_WIDE)


def nearest_decimals(amount: Decimal, decimals: int) -> Decimal:
    """Half to even: how Kraken's reported costs and fees round (PROTOCOL 4.3, inferred from real fills)."""
    return amount.quantize(unit(decimals), rounding=ROUND_HALF_EVEN, context=_WIDE)


def ratio(numerator: Decimal, denominator: Decimal) -> Decimal:
    """A quotient to 28 digits: for rates, averages and marks that are shown, never for what is ordered."""
    return _RATIO.divide(numerator, denominator)


def divide_down(numerator: Decimal, denominator: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` whose product with `denominator` (> 0) is not above `numerator`, exactly."""
    units = _WIDE.divide_int(numerator, _WIDE.multiply(denominator, step))
    return _WIDE.multiply(units, step)


def plain(amount: Decimal) -> str:
    """The amount without exponent and without trailing zeros: what tables and JSON show."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
