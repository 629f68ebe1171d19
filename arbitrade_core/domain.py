"""The words of the field: assets, pairs, legs, candidates, plans, orders, fills.

Integers on the wire grid are called *ticks* (price, in units of `10**-price_decimals`) and *lots* (quantity, in
units of `10**-qty_decimals`). What an order may use is coarser: a multiple of `tick_multiple` and `lot_multiple`.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, StrEnum

import msgspec

from arbitrade_core.money import ZERO, unit

type PairId = int
"""Index of a pair in its market; stable for the life of the process."""
type LegId = int
"""`2 * pair_id + side`: one directed trade on a pair."""
type Ns = int
"""Nanoseconds since the Unix epoch, injected; nothing in the engine reads a clock."""


class Side(IntEnum):
    SELL = 0
    """base -> quote, against the bids"""
    BUY = 1
    """quote -> base, against the asks"""


class PairStatus(StrEnum):
    ONLINE = "online"
    CANCEL_ONLY = "cancel_only"
    DELISTED = "delisted"
    LIMIT_ONLY = "limit_only"
    MAINTENANCE = "maintenance"
    POST_ONLY = "post_only"
    REDUCE_ONLY = "reduce_only"
    WORK_IN_PROGRESS = "work_in_progress"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Asset:
    symbol: str
    decimals: int
    """of the exchange's ledger"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A tradable pair as the exchange lists it now; a changed listing is a new Pair at the same PairId."""

    symbol: str
    base: str
    quote: str
    price_decimals: int
    qty_decimals: int
    tick: Decimal
    """an order's price is a multiple of this"""
    lot: Decimal
    """an order's quantity is a multiple of this"""
    qty_min: Decimal
    cost_min: Decimal
    cost_decimals: int
    """decimals in which costs and fees of fills are reported"""
    status: PairStatus = PairStatus.ONLINE

    price_unit: Decimal = field(init=False, repr=False, compare=False)
    qty_unit: Decimal = field(init=False, repr=False, compare=False)
    tick_multiple: int = field(init=False, repr=False, compare=False)
    lot_multiple: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "price_unit", unit(self.price_decimals))
        put(self, "qty_unit", unit(self.qty_decimals))
        put(self, "tick_multiple", _multiple(self, "tick", self.tick, self.price_decimals))
        put(self, "lot_multiple", _multiple(self, "lot", self.lot, self.qty_decimals))

    def price(self, ticks: int) -> Decimal:
        return Decimal(ticks).scaleb(-self.price_decimals)

    def qty(self, lots: int) -> Decimal:
        return Decimal(lots).scaleb(-self.qty_decimals)

    def ticks(self, price: Decimal) -> int:
        """The price on the wire grid; it must lie on it."""
        return _on_grid(price, self.price_decimals, f"price of {self.symbol}")

    def lots(self, qty: Decimal) -> int:
        """The quantity on the wire grid; it must lie on it."""
        return _on_grid(qty, self.qty_decimals, f"quantity of {self.symbol}")


def _on_grid(amount: Decimal, decimals: int, what: str) -> int:
    scaled = amount.scaleb(decimals)
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{what}: {amount} has more than {decimals} decimals")
    return whole


def _multiple(pair: Pair, name: str, step: Decimal, decimals: int) -> int:
    multiple = step.scaleb(decimals)
    if multiple < 1 or multiple != int(multiple):
        raise ValueError(f"{pair.symbol}: {name} {step} does not fit {decimals} decimals")
    return int(multiple)


@dataclass(frozen=True, slots=True)
class Leg:
    """One directed trade on a pair."""

    id: LegId
    pair_id: PairId
    symbol: str
    side: Side
    spends: str
    gets: str

    def __str__(self) -> str:
        return f"{'+' if self.side is Side.BUY else '-'}{self.symbol}"


def sell_leg(pair: PairId) -> LegId:
    return 2 * pair


def buy_leg(pair: PairId) -> LegId:
    return 2 * pair + 1


# --- fees ---------------------------------------------------------------------------------------------------


class FeeCurrency(StrEnum):
    QUOTE = "quote"
    BASE = "base"
    EITHER = "either"
    """not established: the certificate takes whichever is worse for us (TRADING 14)"""


class FeeRole(StrEnum):
    MAKER = "maker"
    TAKER = "taker"


@dataclass(frozen=True, slots=True)
class Fee:
    """What one leg pays: a fraction of the cost (`0.008` is 80 bps), in a currency, in a role (TRADING 2, 11)."""

    rate: Decimal
    currency: FeeCurrency = FeeCurrency.QUOTE
    role: FeeRole = FeeRole.TAKER


@dataclass(frozen=True, slots=True)
class FeeSnapshot:
    """Every pair's fees at one moment. A plan carries `id`; another id voids plans not yet sent (TRADING 7)."""

    id: str
    source: str
    """where the rates come from, in words an operator understands ("named tier 'tier-1'", "file fees.json")"""
    as_of_ns: Ns
    taker: dict[str, Fee]
    """by pair symbol; a pair that is missing here does not trade"""
    maker: dict[str, Fee] = field(default_factory=dict)


# --- detection ----------------------------------------------------------------------------------------------


class Candidate(msgspec.Struct, frozen=True):
    """A cycle whose edge passed the detector. `legs` are in trade order; any rotation is the same opportunity."""

    strategy: str
    key: str
    legs: tuple[LegId, ...]
    gross: float
    """product of the gross rates: ranks, never orders"""


class Rotation(msgspec.Struct, frozen=True):
    """What a strategy with an inventory of its own wants: some of one asset turned into another (TRADING 37).

    A wish, not an amount: whatever the desk's sub-ledger of the strategy holds of the spent asset above `keep` is
    turned, as far as the books give `min_rate`, while it holds less than `until` of what it gets. It is offered again
    until it is withdrawn: what did not fill is tried again, and a desk that holds what is wanted has nothing to do.
    """

    strategy: str
    key: str
    legs: tuple[LegId, ...]
    """a chain, each spending what the one before gets; its end is another asset than its start"""
    keep: Decimal
    """of the asset that the first leg spends"""
    until: Decimal
    """of the asset that the last leg gets: who holds that much wants no more, and what is left over stays as gain"""
    min_rate: Decimal
    """least of the last asset for each unit of the first, after fees: the price bound of the whole chain"""
    reason: str
    """in a word, for eyes: `entry`, `home` ..."""


# --- plans --------------------------------------------------------------------------------------------------


class PlanKind(StrEnum):
    CYCLE = "cycle"
    POSITION = "position"
    """legs that turn one asset of a strategy's inventory into another"""
    SWEEP = "sweep"
    """one leg that turns residue back into a start asset"""


@dataclass(frozen=True, slots=True)
class PlanLeg:
    """One leg of a plan: what is sent if everything before it fills as promised."""

    order_id: str
    leg: Leg
    qty: Decimal
    limit: Decimal
    """worst acceptable price, on the order grid"""
    fee: Fee
    top: Decimal
    """best price when decided, for attribution"""
    average: Decimal
    """expected fill price from the walk, buffers not counted"""
    spend: Decimal
    """expected amount of `leg.spends`, fee included when it is paid there"""
    get: Decimal
    """expected amount of `leg.gets`, fee taken off when it is paid there"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """If every leg fills within its limit, the plan ends with at least `end_floor` of the start asset.

    Leftovers count as zero, the fee currency is the adverse one where it is not established, and each leg may
    lose `rounding_fills` units of its pair's cost precision (TRADING 14). It says nothing about a leg that does
    not fill.
    """

    start: Decimal
    """most of the start asset that can be spent"""
    end_floor: Decimal
    margin: Decimal
    """promised: end_floor >= start + margin"""
    rounding_fills: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Priced, sized, certified. Gate, journal, ledger and venue see only this."""

    id: str
    desk_id: str
    strategy: str
    kind: PlanKind
    key: str
    start_asset: str
    start: Decimal
    """reserved of the start asset"""
    end: Decimal
    """expected, buffers not counted; of the start asset, but for a position: of what its last leg gets"""
    legs: tuple[PlanLeg, ...]
    certificate: Certificate | None
    edge_bps: Decimal
    """expected, after fees, rounding and depth; before buffers"""
    profit_valued: Decimal
    """expected profit in the valuation asset, after buffers: ranks and is compared with min_profit. Of a position: what
    turning the inventory costs by today's marks, below 0 as a rule; its gain is the strategy's to expect"""
    notional_valued: Decimal
    valuation_asset: str
    fees_id: str
    decided_ns: Ns

    @property
    def profit(self) -> Decimal:
        return self.end - self.start


# --- orders -------------------------------------------------------------------------------------------------


class TimeInForce(StrEnum):
    IOC = "ioc"
    FOK = "fok"
    GTC = "gtc"


@dataclass(frozen=True, slots=True)
class Order:
    """A limit order. `id` derives from plan and leg, is durable before the first send, and is sent once, ever."""

    id: str
    plan_id: str
    desk_id: str
    leg: Leg
    qty: Decimal
    limit: Decimal
    fee: Fee
    """what we expect to pay; the venue reports what was paid"""
    tif: TimeInForce = TimeInForce.IOC


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the exchange booked for one asset of one fill, at the asset's own precision."""

    asset: str
    amount: Decimal
    """signed, without fee"""
    fee: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Accepted:
    order_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    order_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `exec_id` makes booking idempotent."""

    order_id: str
    exec_id: str
    qty: Decimal
    price: Decimal
    cost: Decimal
    fee: Decimal
    fee_asset: str
    rows: tuple[LedgerRow, ...] = ()
    """the exchange's ledger rows, when they come with the fill"""
    top: Decimal | None = None
    """best price when the fill happened, for attribution; None: unknown"""


class DoneReason(StrEnum):
    FILLED = "filled"
    CANCELED = "canceled"
    """IOC remainder, or a cancel"""
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Done:
    """The order is over; `filled_qty` is the exchange's cumulative figure and must equal the sum of fills."""

    order_id: str
    reason: DoneReason
    filled_qty: Decimal


type OrderEvent = Accepted | Rejected | Fill | Done


# --- alerts -------------------------------------------------------------------------------------------------


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    severity: Severity
    topic: str
    """dotted, stable: `market.quarantine`, `journal.lost`, `risk.max_edge`"""
    text: str
    at_ns: Ns
