"""What the exchange lists: the entries of its `instrument` channel, and how they print.

Prices and quantities are integers on the wire grid: *ticks* of `10**-price_precision`, *lots* of
`10**-qty_precision`. Increments may be coarser than the grid (a `price_increment` of 0.05 with two decimals).
"""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class AssetListing:
    id: str
    precision: int
    """decimals of the ledger"""
    precision_display: int
    borrowable: bool
    collateral_value: Decimal
    margin_rate: Decimal | None = None
    status: str = "enabled"

    def json(self) -> str:
        margin = "" if self.margin_rate is None else f',"margin_rate":{number(self.margin_rate)}'
        return (
            f'{{"id":"{self.id}","status":"{self.status}","precision":{self.precision},'
            f'"precision_display":{self.precision_display},"borrowable":{_bool(self.borrowable)},'
            f'"collateral_value":{number(self.collateral_value)}{margin}}}'
        )


@dataclass(frozen=True, slots=True)
class PairListing:
    """One tradable pair. A change of listing is a new value with the same symbol.

    Raises ValueError when an increment or the minimum does not lie on the grid of its precision.
    """

    symbol: str
    base: str
    quote: str
    price_precision: int
    price_increment: Decimal
    qty_precision: int
    qty_increment: Decimal
    qty_min: Decimal
    cost_min: Decimal
    cost_precision: int
    position_limit: int | None = None
    """largest margin position; None when the pair is not marginable"""
    status: str = "online"

    tick_step: int = field(init=False)
    """ticks between two prices that orders may use"""
    lot_step: int = field(init=False)
    """lots between two quantities that orders may use"""
    min_lots: int = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(
            self,
            "tick_step",
            _on_grid(self.price_increment, self.price_precision, f"{self.symbol} price_increment"),
        )
        put(self, "lot_step", _on_grid(self.qty_increment, self.qty_precision, f"{self.symbol} qty_increment"))
        put(self, "min_lots", _on_grid(self.qty_min, self.qty_precision, f"{self.symbol} qty_min"))

    def json(self) -> str:
        """Key order and number style of the recorded `instrument` frames (PROTOCOL 1.6)."""
        margin = ""
        if self.position_limit is not None:
            margin = (
                f'"margin_initial":0.2,"position_limit_long":{self.position_limit},'
                f'"position_limit_short":{self.position_limit * 4 // 5},'
            )
        marginable = _bool(self.position_limit is not None)
        increment = number(self.price_increment)
        return (
            f'{{"symbol":"{self.symbol}","base":"{self.base}","quote":"{self.quote}",'
            f'"status":"{self.status}",'
            f'"qty_precision":{self.qty_precision},"qty_increment":{number(self.qty_increment)},'
            f'"price_precision":{self.price_precision},"cost_precision":{self.cost_precision},'
            f'"marginable":{marginable},"has_index":{marginable},"cost_min":{number(self.cost_min)},{margin}'
            f'"tick_size":{increment},"price_increment":{increment},"qty_min":{number(self.qty_min)}}}'
        )


def number(value: Decimal) -> str:
    """A number as `instrument` prints it: shortest form, with an exponent below 0.0001 (`1e-08`)."""
    value = value.normalize()
    exponent = value.adjusted()
    if value == 0 or exponent >= -4:  # noqa: PLR2004 - where the recorded frames switch to exponents
        return format(value, "f")
    digits = "".join(map(str, value.as_tuple().digits))
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{'-' if value < 0 else ''}{mantissa}e-{-exponent:02d}"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _on_grid(value: Decimal, precision: int, what: str) -> int:
    scaled = value.scaleb(precision)
    if scaled < 1 or scaled != int(scaled):
        raise ValueError(f"{what} {value} is not a positive multiple of 10**-{precision}: list it with more decimals")
    return int(scaled)
