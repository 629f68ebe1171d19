"""Start and recovery are one path: what a desk is, by what its journal says, before it trades again.

The last `balances` record holds every account as of its place in the stream; fills after it are booked on top.
Plans that had not ended are over: on paper an order that had not filled never will. What they held of other assets
than their start is residue; their end is journalled as `interrupted`, at the value of what they paid and got, so that
loss limits look at it as at any other (RELIABILITY 9). `storage.past` reads; this module works out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from arbitrade_core.domain import Fee, FeeCurrency, Fill, LedgerRow, Leg, Ns, Order, PlanKind, Side
from arbitrade_core.journal import Fields
from arbitrade_core.ledger import Ledger
from arbitrade_core.legs import base_fee_rate, quote_fee_rate
from arbitrade_core.money import ONE, ZERO, exact, plain, ratio
from arbitrade_core.subledgers import Ledgers

INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class PastPlan:
    """A plan of an earlier run, as far as limits still look at it."""

    key: str
    decided_ns: Ns
    ended_ns: Ns
    outcome: str
    value: Decimal
    """trading P&L in the valuation asset"""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order of a plan that had not ended, and whose own end the journal does not tell either."""

    order_id: str
    plan_id: str
    filled_qty: Decimal


@dataclass(frozen=True, slots=True)
class PastOrder:
    """An order of an earlier run that is over: whatever the venue tells of it again is known."""

    order: Order
    """its id and its plan's; the rest as far as its fills tell"""
    state: str
    """`execution.lifecycle.OrderState`"""
    fills: tuple[Fill, ...]
    ended_ns: Ns


@dataclass(frozen=True, slots=True)
class Journalled:
    """What a desk's stream says. Fields are contents of records, oldest first."""

    balances: Fields
    """the last there is"""
    late_fills: Sequence[Fields]
    """after those balances"""
    late_plans: Mapping[str, str]
    """strategy of each plan of those fills: their ends may be told while the balances after them are not"""
    open_plans: Sequence[Fields]
    """`plan` records without an end"""
    fills: Sequence[Fields]
    """of those plans"""
    open_orders: Sequence[OpenOrder]
    """of those plans"""
    past: Sequence[PastPlan]
    """plans of the last two days that ended, oldest first"""
    ended_orders: Sequence[tuple[Ns, Fields]] = ()
    """`order` records of the last day that tell of an end, with their times"""
    ended_fills: Sequence[Fields] = ()
    """`fill` records of the last day"""
    high_water: Fields | None = None
    """the last record of it"""
    halted: str | None = None
    """why the desk halted, when nobody has resumed it since"""


@dataclass(frozen=True, slots=True)
class HighWater:
    """The most that the account was worth, later flows counted as if they had always been there (TRADING 23)."""

    amount: Decimal
    valuation_asset: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """A desk as the journal left it."""

    accounts: list[tuple[str, str, Decimal]] = field(default_factory=list)
    """(asset, account, amount); empty: the desk is new"""
    interrupted: list[tuple[str, Fields]] = field(default_factory=list)
    """records, by kind, that end the plans and orders that had not ended"""
    past: list[PastPlan] = field(default_factory=list)
    """the last two days', oldest first"""
    orders: list[PastOrder] = field(default_factory=list)
    """the last day's that are over, oldest first"""
    high_water: HighWater | None = None
    """what drawdown is measured from; None: not known, it is measured from the opening"""
    halted: str | None = None
    """why the desk halted, when nobody has resumed it since (RELIABILITY 10)"""


def rebuilt(journalled: Journalled, desk_id: str, now: Ns) -> Recovered:
    """The desk that the journal tells of; what was open is ended at `now`."""
    accounts = [(row["asset"], row["account"], Decimal(row["amount"])) for row in journalled.balances["accounts"]]
    with exact():
        ledgers = Ledgers(desk_id)
        ledgers.restore(accounts)
        for data in journalled.late_fills:
            order, fill = _fill(data)
            ledger = ledgers.of(journalled.late_plans[order.plan_id])
            ledger.book_fill(order, fill)
            _take_residue(ledger, order)
        records = [("order", _interrupted_order(desk_id, order)) for order in journalled.open_orders]
        past = list(journalled.past)
        for plan in journalled.open_plans:
            changes = _changes(plan, journalled.fills)
            value = value_of_interrupted(plan, changes)
            records.append(("end", _interrupt(ledgers.of(plan["strategy"]), plan, changes, value)))
            past.append(PastPlan(plan["key"], plan["decided_ns"], now, INTERRUPTED, value))
        return Recovered(
            accounts=ledgers.accounts(),
            interrupted=records,
            past=past,
            orders=_past_orders(journalled),
            high_water=_high_water(journalled.high_water),
            halted=journalled.halted,
        )


def value_of_interrupted(plan: Fields, changes: Mapping[str, Decimal]) -> Decimal:
    """Trading P&L of a plan that was cut off, in its valuation asset: asset changes at the marks of its decision,
    as of any plan (TRADING 23).

    Assets without such a mark count at what the plan's own legs would bring home for them at their limits, fees in
    the adverse currency: the least that it was approved for.
    """
    marks = {asset: Decimal(mark) for asset, mark in plan.get("marks", {}).items()}
    value = ZERO
    for asset, amount in changes.items():
        mark = marks.get(asset)
        value += amount * (_own_price(plan, asset) if mark is None else mark)
    return value


def _own_price(plan: Fields, asset: str) -> Decimal:
    """Value of one unit by the plan's figures alone; 0 for an asset that none of its legs spends."""
    start = Decimal(plan["start"])
    price = ratio(Decimal(plan["notional_valued"]), start) if start else ZERO
    if asset == plan["start_asset"]:
        return price
    legs = plan["legs"]
    first = next((number for number, leg in enumerate(legs) if leg["spends"] == asset), None)
    if first is None:
        return ZERO
    for leg in legs[first:]:
        price = ratio(price * _least_rate(leg), ONE)
    return price


def _least_rate(leg: Fields) -> Decimal:
    """Got per unit spent when everything fills at the limit."""
    fee = Fee(Decimal(leg["fee"]["rate"]), FeeCurrency(leg["fee"]["currency"]))
    limit, in_quote, in_base = Decimal(leg["limit"]), quote_fee_rate(fee), base_fee_rate(fee)
    if leg["side"] == "buy":
        return ratio(ONE - in_base, limit * (ONE + in_quote))
    return ratio(limit * (ONE - in_quote), ONE + in_base)


def _high_water(told: Fields | None) -> HighWater | None:
    if told is None:
        return None
    return HighWater(Decimal(told["high_water_valued"]), told["valuation_asset"])


def _past_orders(journalled: Journalled) -> list[PastOrder]:
    fills: dict[str, list[tuple[Order, Fill]]] = {}
    for data in journalled.ended_fills:
        fills.setdefault(data["order"], []).append(_fill(data))
    orders: list[PastOrder] = []
    for ended_ns, data in journalled.ended_orders:
        known = fills.get(data["order"], [])
        order = known[0][0] if known else _unfilled(data)
        orders.append(PastOrder(order, data["state"], tuple(fill for _, fill in known), ended_ns))
    return orders


def _unfilled(data: Fields) -> Order:
    nothing = Leg(-1, -1, "", Side.BUY, "", "")
    return Order(data["order"], data["plan"], data["desk"], nothing, ZERO, ZERO, Fee(ZERO))


def _take_residue(ledger: Ledger, order: Order) -> None:
    """What a fill took beyond cash was residue that its plan took along; that is no record of its own (TRADING 15)."""
    asset = order.leg.spends
    taken = min(-ledger.cash(asset), ledger.residue(asset))
    if taken > 0:
        ledger.use_residue(order.plan_id, asset, taken)


def _changes(plan: Fields, fills: Sequence[Fields]) -> dict[str, Decimal]:
    """What a plan's fills did to our balances."""
    own = Ledger(INTERRUPTED)
    for data in fills:
        if data["plan"] == plan["id"]:
            own.book_fill(*_fill(data))
    return own.plan_changes(plan["id"])


def _interrupt(ledger: Ledger, plan: Fields, changes: Mapping[str, Decimal], value: Decimal) -> Fields:
    """Put what an unended plan holds to residue; its `end` record."""
    passing = plan["kind"] != PlanKind.POSITION  # a position's assets are the strategy's inventory
    residue = {
        asset: amount for asset, amount in changes.items() if passing and amount > 0 and asset != plan["start_asset"]
    }
    for asset, amount in residue.items():
        left = min(amount, ledger.cash(asset))
        if left > 0:
            ledger.to_residue(plan["id"], asset, left)
    held = "; what it held is residue" if passing else ""
    note = f"the process ended while the plan was under way{held}" if changes else "nothing was sent"
    return {
        "plan": plan["id"],
        "desk": ledger.desk_id,
        "outcome": INTERRUPTED,
        "note": note,
        "realised_end": None,
        "profit": plain(changes.get(plan["start_asset"], ZERO)) if passing else None,
        "profit_valued": plain(value),
        "pnl": {asset: plain(amount) for asset, amount in sorted(changes.items())},
        "residue": {asset: plain(amount) for asset, amount in sorted(residue.items())},
        "attribution": [],
    }


def _interrupted_order(desk_id: str, order: OpenOrder) -> Fields:
    return {
        "plan": order.plan_id,
        "desk": desk_id,
        "order": order.order_id,
        "event": "done",
        "state": "canceled",
        "reason": INTERRUPTED,
        "filled_qty": plain(order.filled_qty),
    }


def _fill(data: Fields) -> tuple[Order, Fill]:
    """The order and fill that a `fill` record tells of, as far as booking needs them."""
    leg = Leg(-1, -1, data["symbol"], Side[data["side"].upper()], data["spends"], data["gets"])
    order = Order(
        data["order"],
        data["plan"],
        data["desk"],
        leg,
        Decimal(data["qty"]),
        Decimal(data["price"]),
        Fee(ZERO),
    )
    return order, Fill(
        order_id=data["order"],
        exec_id=data["exec_id"],
        qty=Decimal(data["qty"]),
        price=Decimal(data["price"]),
        cost=Decimal(data["cost"]),
        fee=Decimal(data["fee"]),
        fee_asset=data["fee_asset"],
        rows=tuple(LedgerRow(row["asset"], Decimal(row["amount"]), Decimal(row["fee"])) for row in data["rows"]),
    )
