"""Has a desk's plans carried out: between executors, which decide, and venue, ledger and journal, which act.

Every order leaves through `_send`, once; every event of the venue comes in through `on_event`. A venue that breaks
its own rules, or an impossible state of ours, halts the desk: what is open stays visible, nothing new starts.
What plans came to when they have ended is `history`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol, assert_never

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
from arbitrade_core.events import Clockwork
from arbitrade_core.execution.history import Ended, History, attributed, broken_certificate
from arbitrade_core.execution.residue import ResiduePromises
from arbitrade_core.journal import Fields, Record, Stream
from arbitrade_core.ledger import odd_rounding
from arbitrade_core.lifecycle import (
    FollowUpDurable,
    Go,
    OrderRecord,
    OrderState,
    Run,
    RunEvent,
    RunState,
    Woken,
    event_in_words,
    is_repeat,
    order_state_after,
)
from arbitrade_core.meter import Meter
from arbitrade_core.money import ZERO, plain
from arbitrade_core.parts import Part
from arbitrade_core.pnl import Results
from arbitrade_core.records import end_record, fill_record, order_intent, order_record, wait_record
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
    Wait,
)
from arbitrade_core.subledgers import Ledgers

NOTICE_NS = 1_000_000_000
"""Inventory that waits longer is told to people (RELIABILITY 6)."""


class Account(DeskView, Protocol):
    """The desk as its conductor knows it: the view, and what the end of a plan does to it."""

    ledger: Ledgers
    venue: Venue

    def ban(self, leg: LegId, reason: str, now: Ns) -> None: ...
    def halt(self, reason: str, now: Ns) -> None: ...
    def freed(self) -> None: ...
    def journal_balances(self, now: Ns) -> None: ...


class ConductorPort(Protocol):
    @property
    def clockwork(self) -> Clockwork: ...
    @property
    def journal_lost(self) -> bool: ...
    def append(self, record: Record, durable: Callable[[Ns], None] | None = None) -> None: ...
    def send(self, order: Order) -> None: ...
    def notify(self, severity: Severity, topic: str, text: str, now: Ns) -> None: ...
    def taken_on(self, pair: PairId) -> None: ...
    @property
    def meter(self) -> Meter | None: ...
    def executor_failed(self, name: str, error: BaseException, now: Ns) -> None: ...


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
        self.history = History(account.valuation_asset)
        self.approved = 0
        self.repeats = 0
        """what the venue told again of orders that were over, ignored"""
        self.moves = 0
        """how often what open plans hold has changed"""
        self.own_orders: frozenset[str] = frozenset()
        """orders of the run that is being stepped: their claims are its own"""
        self.stepping = ""
        """strategy of that run: its residue is the one to count on"""
        self._account = account
        self._executors = executors
        self._port = port
        self._claims = claims
        self._stream = stream
        self._runs: dict[str, Run] = {}
        self._run_of: dict[str, Run] = {}
        self._carried_by: dict[str, Executor] = {}
        """by plan: the one that began it ends it, whoever takes new plans by then"""
        self._waits: dict[str, int] = {}
        """by plan: the timer after which its executor is asked again"""
        self.residue = ResiduePromises(account.ledger, account.market)

    # --- admission ---

    def admit(self, approved: Approved, now: Ns) -> Run:
        """Take an approved plan in; it waits for the journal, its start reserved."""
        plan = approved.plan
        run = Run(plan, holdings={plan.start_asset: plan.start}, marks=self._decision_marks(plan))
        self._runs[plan.id] = run
        self.moves += 1
        self._carried_by[plan.id] = self._executors[plan.kind]
        self.approved += 1
        self.history.starts(plan.key, now)
        return run

    def go(self, plan_id: str, now: Ns) -> None:
        run = self._runs[plan_id]
        run.move(RunState.RUNNING)
        self._step(run, Go(), now)

    def drop(self, plan_id: str, reason: str) -> None:
        """Nothing was sent: what was promised to it is free again."""
        run = self._runs.pop(plan_id)
        self.moves += 1
        del self._carried_by[plan_id]
        run.move(RunState.DROPPED)
        run.note = reason
        for leg in run.plan.legs:
            self._claims.release(leg.order_id)
        self._account.freed()

    # --- the venue's events ---

    def on_event(self, event: OrderEvent, now: Ns) -> None:
        run = self._run_of.get(event.order_id)
        if run is None:
            self._of_no_run(event, now)
            return
        try:
            self._take(run, run.orders[event.order_id], event, now)
        except (ProtocolError, InvariantError) as error:
            self._account.halt(f"plan {run.plan.id}: {error}", now)

    def _of_no_run(self, event: OrderEvent, now: Ns) -> None:
        """Of an order whose plan has ended, or of one that never was."""
        record = self.history.orders.get(event.order_id)
        if record is None:
            self._account.halt(f"the venue spoke of order {event.order_id!r}, which is not ours", now)
        elif is_repeat(record, event):
            self.repeats += 1
        else:
            self._account.halt(
                f"plan {record.order.plan_id} has ended with order {event.order_id} {record.state}, "
                f"{plain(record.filled_qty)} filled, and now the venue tells {event_in_words(event)}, which is not "
                "booked. Compare the account's trades with the journal, then resume",
                now,
            )

    def _take(self, run: Run, record: OrderRecord, event: OrderEvent, now: Ns) -> None:
        order = record.order
        if is_repeat(record, event):  # told twice, booked once
            self.repeats += 1
            return
        if isinstance(event, Fill) and event.exec_id in record.fills:
            raise ProtocolError(f"order {order.id} has another fill of that id: {event_in_words(event)}")
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
        ledger, market = self._account.ledger.of(run.plan.strategy), self._account.market
        booked = ledger.book_fill(order, fill)
        self._journal("fill", now, fill_record(order, fill))
        if booked is None:
            return
        self.moves += 1
        for asset, change in booked.changes.items():
            held = run.holdings.get(asset, ZERO) + change
            if held < 0:
                self.residue.cover(run, order, asset, -held)
            run.holdings[asset] = max(held, ZERO)
        for text in odd_rounding(booked, market.pairs[order.leg.pair_id], market.asset):
            self._port.notify(Severity.WARNING, "ledger.rounding", text, now)

    def _over(self, record: OrderRecord, event: str, reason: str, now: Ns) -> None:
        record.done_ns = now
        record.reason = reason
        self._claims.release(record.order.id)
        self.residue.release(record.order.id)
        self._journal("order", now, order_record(record.order, event, record.state, record.filled_qty, reason))

    # --- the executor's actions ---

    def _step(self, run: Run, event: RunEvent, now: Ns) -> None:
        executor = self._carried_by[run.plan.id]
        self.own_orders = frozenset({leg.order_id for leg in run.plan.legs} | set(run.orders))
        self.stepping = run.plan.strategy
        meter = self._port.meter
        began = 0 if meter is None else meter.cpu_ns()
        try:
            actions = executor.step(run, event, self._account, now)
        except (ProtocolError, InvariantError):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; what it left open is for people
            self._port.executor_failed(executor.name, error, now)
            reason = f"executor {executor.name!r} failed on plan {run.plan.id}, which stays open: "
            self._account.halt(f"{reason}{type(error).__name__}: {error}", now)
            return
        finally:
            self.own_orders = frozenset()
            self.stepping = ""
        if meter is not None:
            meter.charge(Part.EXECUTOR, executor.name, meter.cpu_ns() - began)
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
            case Wait(until_ns, alert):
                self._wait(run, until_ns, alert, now)
            case _:
                assert_never(action)

    def _wait(self, run: Run, until_ns: Ns, alert: str, now: Ns) -> None:
        self._wait_no_more(run)
        if alert:
            self._journal("wait", now, wait_record(run.plan, alert))
            self._port.notify(Severity.CRITICAL, "execution.waits", alert, now)
        self._waits[run.plan.id] = self._port.clockwork.at(until_ns, lambda at: self._wake(run, at))

    def _wake(self, run: Run, now: Ns) -> None:
        del self._waits[run.plan.id]
        try:
            self._step(run, Woken(), now)
        except (ProtocolError, InvariantError) as error:
            self._account.halt(f"plan {run.plan.id}: {error}", now)

    def _wait_no_more(self, run: Run) -> None:
        timer = self._waits.pop(run.plan.id, None)
        if timer is not None:
            self._port.clockwork.cancel(timer)

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

        def look(at: Ns) -> None:
            if run.orders[order.id].state is OrderState.INTENDED:
                text = f"plan {run.plan.id} holds inventory and its {purpose} order waits for the journal"
                self._port.notify(Severity.CRITICAL, "execution.waits", text, at)

        if self._port.journal_lost:
            look(now)
        else:
            self._port.clockwork.at(now + NOTICE_NS, look)

    def _follow_up_durable(self, run: Run, order: Order, now: Ns) -> None:
        self._send(run.orders[order.id], now)
        self._step(run, FollowUpDurable(order), now)

    def _send(self, record: OrderRecord, now: Ns) -> None:
        """The one place an order leaves from."""
        order = record.order
        record.move(OrderState.SENT, InvariantError)
        record.sent_ns = now
        self._promise_levels(order)
        self.residue.promise(self._run_of[order.id], order)
        self._journal("send", now, order_intent(order, record.purpose))
        self._port.send(order)
        self._account.venue.submit(order, now)

    def _promise_levels(self, order: Order) -> None:
        """What really goes may be more or less than the plan said, and a follow-up was in no plan (TRADING 6)."""
        leg = order.leg
        self._claims.release(order.id)
        lots = self._account.market.pairs[leg.pair_id].lots(order.qty)
        self._claims.promise(order.id, leg.pair_id, leg.side, self._account.depth(leg.id), lots)

    # --- the end ---

    def _finish(self, run: Run, outcome: Outcome, now: Ns) -> None:
        plan = run.plan
        run.move(RunState(outcome.kind))
        run.note = outcome.note
        run.ended_ns = now
        ledger = self._account.ledger.of(plan.strategy)
        changes = ledger.plan_changes(plan.id)
        residue = _left_behind(run)
        for asset, amount in residue.items():
            ledger.to_residue(plan.id, asset, amount)
        run.holdings.clear()
        self.moves += 1
        result = self.history.ends(run, outcome, changes, now)
        ledger.forget_plan(plan.id)
        self.results.revalue(self._account.ledger.balances(), self._mark)
        pairs = self._account.market.pairs
        attribution = [attributed(run, leg, pairs[leg.leg.pair_id]) for leg in plan.legs]
        data = end_record(
            plan,
            outcome,
            pnl=changes,
            profit_valued=result.value,
            residue=residue,
            attribution=attribution,
        )
        self._journal("end", now, data)
        self._account.journal_balances(now)
        broken = broken_certificate(plan, outcome, changes)
        if broken is not None:
            self._port.notify(Severity.CRITICAL, "execution.certificate", broken, now)
        self._forget(run)
        self._account.freed()

    def _forget(self, run: Run) -> None:
        del self._runs[run.plan.id]
        self.moves += 1
        del self._carried_by[run.plan.id]
        self._wait_no_more(run)
        for order_id in [leg.order_id for leg in run.plan.legs] + list(run.orders):
            self._claims.release(order_id)
            self._run_of.pop(order_id, None)

    # --- reading ---

    @property
    def results(self) -> Results:
        return self.history.results

    @property
    def ended(self) -> Mapping[str, int]:
        """Outcomes counted."""
        return self.history.ended

    @property
    def recent(self) -> deque[Ended]:
        """The newest ended plans, oldest first."""
        return self.history.recent

    @property
    def open_plans(self) -> list[Plan]:
        return [run.plan for run in self._runs.values()]

    def executor_of(self, plan_id: str) -> str:
        """Name of the executor that carries an open plan out."""
        return self._carried_by[plan_id].name

    def carries(self, key: str) -> bool:
        """Whether a plan on this cycle is open: the same opportunity is not taken twice at once."""
        return bool(self._runs) and any(run.plan.key == key for run in self._runs.values())

    def held(self, asset: str, strategy: str) -> Decimal:
        """What open plans hold of an asset in that strategy's ledger; nobody else may spend it."""
        if not self._runs:
            return ZERO
        ledgers = self._account.ledger
        own = ledgers.of(strategy)
        runs = (run for run in self._runs.values() if ledgers.of(run.plan.strategy) is own)
        return sum((run.holdings.get(asset, ZERO) for run in runs), ZERO)

    def _mark(self, asset: str) -> Decimal | None:
        return self._account.market.mark(asset, self._account.valuation_asset)

    def _decision_marks(self, plan: Plan) -> dict[str, Decimal]:
        marks = {}
        for asset in sorted({asset for leg in plan.legs for asset in (leg.leg.spends, leg.leg.gets)}):
            mark = self._mark(asset)
            if mark is not None:
                marks[asset] = mark
        return marks

    def _journal(self, kind: str, now: Ns, data: Fields) -> None:
        self._port.append(self._stream.record(kind, now, data))


def _left_behind(run: Run) -> dict[str, Decimal]:
    """What an ended plan holds of assets that it only passes through. A position's are the strategy's inventory."""
    if run.plan.kind is PlanKind.POSITION:
        return {}
    start = run.plan.start_asset
    return {asset: amount for asset, amount in sorted(run.holdings.items()) if asset != start and amount > 0}
