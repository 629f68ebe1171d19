"""Has a desk's plans carried out: between executors, which decide, and venue, ledger and journal, which act.

Every order leaves through `_send`, once; every event of the venue comes in through `on_event`. A venue that breaks
its own rules, or an impossible state of ours, halts the desk: what is open stays visible, nothing new starts.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol, assert_never

from arbitrade_core.attribution import attribute
from arbitrade_core.claims import Claims
from arbitrade_core.domain import (
    Accepted,
    Done,
    Fill,
    LegId,
    Ns,
    Order,
    OrderEvent,
    PairId,
    Plan,
    PlanKind,
    Rejected,
    Severity,
)
from arbitrade_core.errors import InvariantError, ProtocolError
from arbitrade_core.execution.lifecycle import (
    FollowUpDurable,
    Go,
    OrderRecord,
    OrderState,
    Run,
    RunEvent,
    RunState,
    order_state_after,
)
from arbitrade_core.journal import Fields, Record, Stream
from arbitrade_core.ledger import Ledger
from arbitrade_core.money import ZERO
from arbitrade_core.pnl import Results
from arbitrade_core.records import end_record, fill_record, order_intent, order_record
from arbitrade_core.risk.gate import Approved
from arbitrade_core.spi import (
    Action,
    BanLeg,
    DeskView,
    Executor,
    Finish,
    FollowUp,
    HaltDesk,
    Outcome,
    Place,
    Venue,
)

_FAILURES = frozenset({"unwound", "stuck", "missed"})


class Account(DeskView, Protocol):
    """The desk as its conductor knows it: the view, and what the end of a plan does to it."""

    ledger: Ledger
    venue: Venue

    def ban(self, leg: LegId, reason: str, now: Ns) -> None: ...
    def halt(self, reason: str, now: Ns) -> None: ...
    def freed(self) -> None: ...
    def journal_balances(self, now: Ns) -> None: ...


class ConductorPort(Protocol):
    @property
    def journal_lost(self) -> bool: ...
    def append(self, record: Record, durable: Callable[[Ns], None] | None = None) -> None: ...
    def send(self, order: Order) -> None: ...
    def notify(self, severity: Severity, topic: str, text: str, now: Ns) -> None: ...
    def taken_on(self, pair: PairId) -> None: ...


class Conductor:
    """The runs of one desk."""

    def __init__(
        self,
        account: Account,
        executors: Mapping[PlanKind, Executor],
        port: ConductorPort,
        claims: Claims,
        stream: Stream,
    ) -> None:
        self.results = Results()
        self.consecutive_failures = 0
        self.ended: dict[str, int] = {}
        """outcomes counted"""
        self.own_orders: frozenset[str] = frozenset()
        """orders of the run that is being stepped: their claims are its own"""
        self._account = account
        self._executors = executors
        self._port = port
        self._claims = claims
        self._stream = stream
        self._runs: dict[str, Run] = {}
        self._run_of: dict[str, Run] = {}
        self._marks: dict[str, dict[str, Decimal]] = {}
        self._starts: list[tuple[Ns, str]] = []

    # --- admission ---

    def admit(self, approved: Approved, now: Ns) -> Run:
        """Take an approved plan in; it waits for the journal, its start reserved."""
        plan = approved.plan
        run = Run(plan, holdings={plan.start_asset: plan.start})
        self._runs[plan.id] = run
        self._marks[plan.id] = self._decision_marks(plan)
        self._starts.append((now, plan.key))
        return run

    def go(self, plan_id: str, now: Ns) -> None:
        run = self._runs[plan_id]
        run.move(RunState.RUNNING)
        self._step(run, Go(), now)

    def drop(self, plan_id: str, reason: str) -> None:
        """Nothing was sent: what was promised to it is free again."""
        run = self._runs.pop(plan_id)
        run.move(RunState.DROPPED)
        run.note = reason
        for leg in run.plan.legs:
            self._claims.release(leg.order_id)
        del self._marks[plan_id]
        self._account.freed()

    # --- the venue's events ---

    def on_event(self, event: OrderEvent, now: Ns) -> None:
        run = self._run_of.get(event.order_id)
        if run is None:
            self._account.halt(f"the venue spoke of order {event.order_id!r}, which is not ours", now)
            return
        try:
            self._take(run, run.orders[event.order_id], event, now)
        except (ProtocolError, InvariantError) as error:
            self._account.halt(f"plan {run.plan.id}: {error}", now)

    def _take(self, run: Run, record: OrderRecord, event: OrderEvent, now: Ns) -> None:
        order = record.order
        if isinstance(event, Fill) and event.exec_id in record.fills:
            return  # told twice, booked once
        record.move(order_state_after(record, event))
        match event:
            case Accepted():
                self._journal("order", now, order_record(order, "accepted", record.state, record.filled_qty))
                return
            case Fill():
                record.fills[event.exec_id] = event
                self._book(run, order, event, now)
                self._port.taken_on(order.leg.pair_id)
            case Done(filled_qty=filled):
                if filled != record.filled_qty:
                    raise ProtocolError(
                        f"order {order.id} ended with {filled} filled, its fills sum to {record.filled_qty}"
                    )
                self._over(record, "done", event.reason.value, now)
            case Rejected(reason=reason):
                self._over(record, "rejected", reason, now)
            case _:
                assert_never(event)
        self._step(run, event, now)

    def _book(self, run: Run, order: Order, fill: Fill, now: Ns) -> None:
        booked = self._account.ledger.book_fill(order, fill)
        for asset, change in booked.changes.items():
            run.holdings[asset] = run.holdings.get(asset, ZERO) + change
        self._journal("fill", now, fill_record(order, fill))
        for text in booked.alarms:
            self._port.notify(Severity.WARNING, "ledger.rounding", text, now)

    def _over(self, record: OrderRecord, event: str, reason: str, now: Ns) -> None:
        record.done_ns = now
        record.reason = reason
        self._claims.release(record.order.id)
        self._journal("order", now, order_record(record.order, event, record.state, record.filled_qty, reason))

    # --- the executor's actions ---

    def _step(self, run: Run, event: RunEvent, now: Ns) -> None:
        executor = self._executors[run.plan.kind]
        self.own_orders = frozenset({leg.order_id for leg in run.plan.legs} | set(run.orders))
        try:
            actions = executor.step(run, event, self._account, now)
        finally:
            self.own_orders = frozenset()
        for action in actions:
            self._act(run, action, now)

    def _act(self, run: Run, action: Action, now: Ns) -> None:
        match action:
            case Place(order):
                number = 1 + [leg.order_id for leg in run.plan.legs].index(order.id)
                self._intend(run, order, f"leg {number}")
                self._send(run.orders[order.id], now)
            case FollowUp(order, purpose):
                self._follow_up(run, order, purpose, now)
            case BanLeg(leg, reason):
                self._account.ban(leg, reason, now)
            case Finish(outcome):
                self._finish(run, outcome, now)
            case HaltDesk(reason):
                self._account.halt(reason, now)
            case _:
                assert_never(action)

    def _intend(self, run: Run, order: Order, purpose: str) -> None:
        if order.id in self._run_of:
            raise InvariantError(f"order {order.id} would be sent twice")
        run.orders[order.id] = OrderRecord(order, purpose)
        self._run_of[order.id] = run

    def _follow_up(self, run: Run, order: Order, purpose: str, now: Ns) -> None:
        """A follow-up is a new order with its own durable intent, never a resend (TRADING 18)."""
        if run.state is RunState.RUNNING:
            run.move(RunState.SETTLING)
        self._intend(run, order, purpose)
        record = self._stream.record("follow_up", now, order_intent(order, purpose))
        self._port.append(record, lambda at: self._follow_up_durable(run, order, at))
        if self._port.journal_lost:
            text = f"plan {run.plan.id} holds inventory and its {purpose} order waits for the journal"
            self._port.notify(Severity.CRITICAL, "execution.waits", text, now)

    def _follow_up_durable(self, run: Run, order: Order, now: Ns) -> None:
        self._send(run.orders[order.id], now)
        self._step(run, FollowUpDurable(order), now)

    def _send(self, record: OrderRecord, now: Ns) -> None:
        """The one place an order leaves from."""
        record.move(OrderState.SENT, InvariantError)
        record.sent_ns = now
        self._journal("send", now, order_intent(record.order, record.purpose))
        self._port.send(record.order)
        self._account.venue.submit(record.order, now)

    # --- the end ---

    def _finish(self, run: Run, outcome: Outcome, now: Ns) -> None:
        plan = run.plan
        run.move(RunState(outcome.kind))
        run.note = outcome.note
        run.ended_ns = now
        changes = self._changes(run)
        residue = {}
        for asset, amount in sorted(run.holdings.items()):
            if asset != plan.start_asset and amount != ZERO:
                self._account.ledger.to_residue(plan.id, asset, amount)
                residue[asset] = amount
        run.holdings.clear()
        profit_valued = self._valued(plan.id, changes)
        self._journal(
            "end",
            now,
            end_record(plan, outcome.kind, outcome.note, changes, profit_valued, residue, self._attribution(run)),
        )
        self._account.journal_balances(now)
        self._settle_results(run, outcome, profit_valued, now)
        self._forget(run)
        self._account.freed()
'''
