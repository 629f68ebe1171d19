"""The lifecycles of orders and runs, as tables; and the run: the state of one plan being carried out.

A venue that breaks the order table is a remote error; us breaking one is a bug and halts (STYLE 6).
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from arbitrade_core.domain import Accepted, Done, DoneReason, Fill, Ns, Order, OrderEvent, Plan, Rejected
from arbitrade_core.errors import InvariantError, ProtocolError
from arbitrade_core.money import ZERO, plain


class OrderState(StrEnum):
    INTENDED = "intended"
    """in the journal, not sent"""
    SENT = "sent"
    OPEN = "open"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """sent, and what became of it must be settled by evidence"""


ORDER_TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    OrderState.INTENDED: frozenset({OrderState.SENT, OrderState.CANCELED}),
    OrderState.SENT: frozenset(
        {
            OrderState.OPEN,
            OrderState.PARTIAL,
            OrderState.FILLED,
            OrderState.CANCELED,
            OrderState.EXPIRED,
            OrderState.REJECTED,
            OrderState.UNKNOWN,
        }
    ),
    OrderState.OPEN: frozenset(
        {OrderState.PARTIAL, OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.UNKNOWN}
    ),
    OrderState.PARTIAL: frozenset(
        {OrderState.PARTIAL, OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.UNKNOWN}
    ),
    OrderState.UNKNOWN: frozenset(
        {
            OrderState.OPEN,
            OrderState.PARTIAL,
            OrderState.FILLED,
            OrderState.CANCELED,
            OrderState.EXPIRED,
            OrderState.REJECTED,
        }
    ),
    OrderState.FILLED: frozenset(),
    OrderState.CANCELED: frozenset(),
    OrderState.EXPIRED: frozenset(),
    OrderState.REJECTED: frozenset(),
}


class RunState(StrEnum):
    APPROVED = "approved"
    """its plan is on the way to the journal"""
    DROPPED = "dropped"
    """gone at the last look, or halted: nothing was sent"""
    RUNNING = "running"
    SETTLING = "settling"
    """a leg fell short; follow-ups are on the way"""
    COMPLETED = "completed"
    PARTIAL = "partial"
    """ended in the start asset, smaller than planned"""
    UNWOUND = "unwound"
    MISSED = "missed"
    """leg 1 filled nothing"""
    STUCK = "stuck"
    """holds inventory that no route brings home within the loss cap; the desk halted"""


RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.APPROVED: frozenset({RunState.DROPPED, RunState.RUNNING}),
    RunState.RUNNING: frozenset(
        {
            RunState.SETTLING,
            RunState.COMPLETED,
            RunState.PARTIAL,
            RunState.UNWOUND,
            RunState.MISSED,
            RunState.STUCK,
        }
    ),
    RunState.SETTLING: frozenset({RunState.COMPLETED, RunState.PARTIAL, RunState.UNWOUND, RunState.STUCK}),
    RunState.DROPPED: frozenset(),
    RunState.COMPLETED: frozenset(),
    RunState.PARTIAL: frozenset(),
    RunState.UNWOUND: frozenset(),
    RunState.MISSED: frozenset(),
    RunState.STUCK: frozenset(),
}


@dataclass(slots=True)
class OrderRecord:
    """One order's life as its events told it."""

    order: Order
    purpose: str
    """`leg 1`, `leg 2` ..., or a follow-up's `complete` / `reverse`"""
    state: OrderState = OrderState.INTENDED
    fills: dict[str, Fill] = field(default_factory=dict)
    """by exec_id: booking is idempotent"""
    sent_ns: int | None = None
    done_ns: int | None = None
    reason: str = ""

    @property
    def filled_qty(self) -> Decimal:
        return sum((fill.qty for fill in self.fills.values()), ZERO)

    @property
    def over(self) -> bool:
        return not ORDER_TRANSITIONS[self.state]

    def move(self, state: OrderState, error: type[Exception] = ProtocolError) -> None:
        if state not in ORDER_TRANSITIONS[self.state]:
            raise error(f"order {self.order.id} cannot go from {self.state} to {state}")
        self.state = state


@dataclass(frozen=True, slots=True)
class Go:
    """The plan is durable and the last look found it still good."""


@dataclass(frozen=True, slots=True)
class FollowUpDurable:
    """The follow-up order asked for is in the journal and may go."""

    order: Order


@dataclass(frozen=True, slots=True)
class Woken:
    """The time that the executor asked to wait for has come."""


type RunEvent = Go | FollowUpDurable | Woken | Rejected | Fill | Done


@dataclass(frozen=True, slots=True)
class Stake:
    """What an order in flight takes of the run's own holdings; nothing else may use it until the order is over."""

    asset: str
    amount: Decimal
    qty: Decimal
    """the order's quantity without the residue it takes along: `amount` is used up when that much is filled"""
    paid: Decimal
    """of the start asset, for `amount`"""


@dataclass(slots=True)
class Run:
    """One plan being carried out. Changed by its executor and its desk, inside a step, by nobody else."""

    plan: Plan
    state: RunState = RunState.APPROVED
    orders: dict[str, OrderRecord] = field(default_factory=dict)
    holdings: dict[str, Decimal] = field(default_factory=dict)
    """what the run holds of each asset, reserved from everybody else; starts as {start_asset: start}"""
    next_leg: int = 0
    follow_ups: int = 0
    note: str = ""
    ended_ns: int | None = None
    stakes: dict[str, Stake] = field(default_factory=dict)
    """by order id, while the executor waits for the order's end"""
    paid: dict[str, Decimal] = field(default_factory=dict)
    """of the start asset, for what is held of each other asset and is in no order: what an unwind must bring home"""
    no_way_since: dict[str, Ns] = field(default_factory=dict)
    """by asset that is held and has no way home for the moment, or one that the exchange just refused: since when"""
    stuck: str = ""
    """why some of the holdings cannot be brought home"""
    marks: dict[str, Decimal] = field(default_factory=dict)
    """value of one unit in the valuation asset when the plan was decided; an asset without a mark is left out"""

    def move(self, state: RunState) -> None:
        if state not in RUN_TRANSITIONS[self.state]:
            raise InvariantError(f"plan {self.plan.id} cannot go from {self.state} to {state}")
        self.state = state

    @property
    def over(self) -> bool:
        return not RUN_TRANSITIONS[self.state]

    @property
    def pending(self) -> list[OrderRecord]:
        """Orders sent or about to be, whose end is not known."""
        return [record for record in self.orders.values() if not record.over]


def order_state_after(record: OrderRecord, event: OrderEvent) -> OrderState:
    """The state an event of the venue leads to."""
    match event:
        case Rejected():
            return OrderState.REJECTED
        case Fill():
            return OrderState.PARTIAL
        case Done(reason=DoneReason.FILLED):
            return OrderState.FILLED
        case Done(reason=DoneReason.EXPIRED):
            return OrderState.EXPIRED
        case Done():
            return OrderState.CANCELED
        case _:
            return OrderState.OPEN if record.state in (OrderState.SENT, OrderState.UNKNOWN) else record.state


def is_repeat(record: OrderRecord, event: OrderEvent) -> bool:
    """Whether an event tells only what is known of the order. A fill that brings other figures, or ledger rows that
    were not booked, is news."""
    match event:
        case Fill(exec_id=exec_id):
            known = record.fills.get(exec_id)
            if known is None:
                return False
            return replace(event, rows=event.rows or known.rows, top=known.top) == known
        case Accepted():
            return record.over and record.state is not OrderState.REJECTED
        case Done(filled_qty=filled):
            return record.over and order_state_after(record, event) is record.state and filled == record.filled_qty
        case Rejected():
            return record.state is OrderState.REJECTED


def event_in_words(event: OrderEvent) -> str:
    """What the venue says: evidence, where it should not have."""
    match event:
        case Accepted():
            return "that it accepted it"
        case Rejected(reason=reason):
            return f"that it rejected it: {reason}"
        case Fill():
            fee = f"{plain(event.fee)} {event.fee_asset}"
            return f"fill {event.exec_id} of {plain(event.qty)} at {plain(event.price)}, fee {fee}"
        case Done(reason=reason, filled_qty=filled):
            return f"its end as {reason}, {plain(filled)} filled"
