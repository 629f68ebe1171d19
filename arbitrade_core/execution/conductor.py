"""Has a desk's plans carried out: between executors, which decide, and venue, ledger and journal, which act.

Every order leaves through `_send`, once; every event of the venue comes in through `on_event`. A venue that breaks
its own rules, or an impossible state of ours, halts the desk: what is open stays visible, nothing new starts.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    PlanLeg,
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
from arbitrade_core.execution.remaining import rounding_fills
from arbitrade_core.journal import Fields, Record, Stream
from arbitrade_core.ledger import Ledger, odd_rounding
from arbitrade_core.legs import most_spent
from arbitrade_core.money import ZERO, plain, unit
from arbitrade_core.pnl import DAY_NS, HOUR_NS, Result, Results
from arbitrade_core.records import end_record, fill_record, order_intent, order_record
from arbitrade_core.recovery import PastPlan
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

_FAILURES = frozenset({"unwound", "stuck"})
"""An unfilled first leg holds nothing and is none (TRADING 19)."""
_SUCCESSES = frozenset({"completed", "partial"})
_UNWINDS = frozenset({"unwound", "stuck"})
_RECENT = 100


@dataclass(frozen=True, slots=True)
class Ended:
    """One ended plan, for eyes."""

    plan: Plan
    outcome: Outcome
    value: Decimal
    """trading P&L in the valuation asset"""
    profit: Decimal
    """in the start asset"""
    ended_ns: Ns


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
        self.results = Results(account.valuation_asset)
        self.approved = 0
        self.ended: dict[str, int] = {}
        """outcomes counted"""
        self.recent: deque[Ended] = deque(maxlen=_RECENT)
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
        self._starts: deque[tuple[Ns, str]] = deque()
        self._failures: list[Ns] = []
        """when plans failed, since the last that went well"""
        self._residue_promised: dict[str, tuple[str, Decimal]] = {}
        """by order: what it may take of an asset's residue"""

    def remember(self, past: Sequence[PastPlan]) -> None:
        """Limits look at plans of earlier runs as at those of this one (RELIABILITY 9)."""
        self.results.recover([Result(plan.ended_ns, plan.value, plan.outcome not in _UNWINDS) for plan in past])
        for plan in past:
            self._starts.append((plan.decided_ns, plan.key))
            self._count_failure(plan.outcome, plan.ended_ns)

    # --- admission ---

    def admit(self, approved: Approved, now: Ns) -> Run:
        """Take an approved plan in; it waits for the journal, its start reserved."""
        plan = approved.plan
        run = Run(plan, holdings={plan.start_asset: plan.start})
        self._runs[plan.id] = run
        self.approved += 1
        self._marks[plan.id] = self._decision_marks(plan)
        self._starts.append((now, plan.key))
        while self._starts[0][0] < now - DAY_NS:
            self._starts.popleft()
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
        ledger, market = self._account.ledger, self._account.market
        booked = ledger.book_fill(order, fill)
        self._journal("fill", now, fill_record(order, fill))
        if booked is None:
            return
        for asset, change in booked.changes.items():
            held = run.holdings.get(asset, ZERO) + change
            run.holdings[asset] = held if held >= 0 else self._cover(run, order, asset, -held)
        for text in odd_rounding(booked, market.pairs[order.leg.pair_id], market.asset):
            self._port.notify(Severity.WARNING, "ledger.rounding", text, now)

    def _cover(self, run: Run, order: Order, asset: str, short: Decimal) -> Decimal:
        """A fill took more than the run held: residue that the order was sized with, and roundings (TRADING 15, 25)."""
        ledger = self._account.ledger
        of, promised = self._residue_promised.get(order.id, ("", ZERO))
        from_residue = min(short, ledger.residue(asset)) if of == asset else ZERO
        if from_residue > 0:
            ledger.use_residue(run.plan.id, asset, from_residue)
            self._residue_promised[order.id] = (asset, max(promised - from_residue, ZERO))
        known = self._account.market.asset(asset)
        # Amount and fee of each fill are booked at the asset's precision, half a unit each; the rest is ours.
        slack = ZERO if known is None else unit(known.decimals) * len(run.orders[order.id].fills)
        if short - from_residue > slack:
            raise InvariantError(
                f"order {order.id} took {plain(short - from_residue)} {asset} that its plan did not hold"
            )
        return ZERO

    def _over(self, record: OrderRecord, event: str, reason: str, now: Ns) -> None:
        record.done_ns = now
        record.reason = reason
        self._claims.release(record.order.id)
        self._residue_promised.pop(record.order.id, None)
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
        order = record.order
        record.move(OrderState.SENT, InvariantError)
        record.sent_ns = now
        self._promise_residue(order)
        self._journal("send", now, order_intent(order, record.purpose))
        self._port.send(order)
        self._account.venue.submit(order, now)

    def _promise_residue(self, order: Order) -> None:
        """Residue that the order may take along: also as the room for rounding that it was sized with (TRADING 15)."""
        run, leg = self._run_of[order.id], order.leg
        pair = self._account.market.pairs[leg.pair_id]
        most = most_spent(leg.side, pair, order.fee, order.qty, order.limit, rounding_fills(run.plan))
        over = min(most - run.holdings.get(leg.spends, ZERO), self._account.residue(leg.spends))
        if over > 0:
            self._residue_promised[order.id] = (leg.spends, over)

    # --- the end ---

    def _finish(self, run: Run, outcome: Outcome, now: Ns) -> None:
        plan = run.plan
        run.move(RunState(outcome.kind))
        run.note = outcome.note
        run.ended_ns = now
        ledger = self._account.ledger
        changes = ledger.plan_changes(plan.id)
        residue = {
            asset: amount for asset, amount in sorted(run.holdings.items()) if asset != plan.start_asset and amount > 0
        }
        for asset, amount in residue.items():
            ledger.to_residue(plan.id, asset, amount)
        run.holdings.clear()
        straight = outcome.kind not in _UNWINDS
        result = self.results.ended(changes, self._marks.pop(plan.id), now, straight)
        ledger.forget_plan(plan.id)
        self.results.revalue(ledger.balances(), self._mark)
        attribution = [self._attribution(run, leg) for leg in plan.legs]
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
        self.ended[outcome.kind] = self.ended.get(outcome.kind, 0) + 1
        self._count_failure(outcome.kind, now)
        self.recent.append(Ended(plan, outcome, result.value, changes.get(plan.start_asset, ZERO), now))
        self._check_certificate(run, outcome, changes, now)
        self._forget(run)
        self._account.freed()

    def _attribution(self, run: Run, leg: PlanLeg) -> Fields:
        record = run.orders.get(leg.order_id)
        fills = [] if record is None else list(record.fills.values())
        split = attribute(leg, self._account.market.pairs[leg.leg.pair_id], fills)
        return {
            "order": split.order_id,
            "asset": split.asset,
            "expected": plain(split.expected),
            "realised": plain(split.realised),
            **{name: plain(amount) for name, amount in split.parts.items()},
        }

    def _count_failure(self, outcome: str, ended_ns: Ns) -> None:
        if outcome in _FAILURES:
            self._failures.append(ended_ns)
        elif outcome in _SUCCESSES:
            self._failures.clear()

    def failures_in_a_row(self, now: Ns) -> int:
        """Of the last hour: older ones are forgiven, or a desk that stopped for them could never start again."""
        return sum(1 for ended_ns in self._failures if ended_ns >= now - HOUR_NS)

    def forgive(self) -> None:
        """An operator resumed the desk."""
        self._failures.clear()

    def _check_certificate(self, run: Run, outcome: Outcome, changes: Mapping[str, Decimal], now: Ns) -> None:
        """A plan whose legs all filled within their limits brings start and margin home, or is alarmed (TRADING 14)."""
        certificate = run.plan.certificate
        if outcome.kind != "completed" or certificate is None:
            return
        profit = changes.get(run.plan.start_asset, ZERO)
        if profit < certificate.margin:
            text = (
                f"plan {run.plan.id} completed with {plain(profit)} {run.plan.start_asset}, "
                f"less than the {plain(certificate.margin)} its certificate promised"
            )
            self._port.notify(Severity.CRITICAL, "execution.certificate", text, now)

    def _forget(self, run: Run) -> None:
        del self._runs[run.plan.id]
        for order_id in [leg.order_id for leg in run.plan.legs] + list(run.orders):
            self._claims.release(order_id)
            self._run_of.pop(order_id, None)

    # --- reading ---

    @property
    def open_plans(self) -> list[Plan]:
        return [run.plan for run in self._runs.values()]

    def carries(self, key: str) -> bool:
        """Whether a plan on this cycle is open: the same opportunity is not taken twice at once."""
        return any(run.plan.key == key for run in self._runs.values())

    def held(self, asset: str) -> Decimal:
        """What open plans hold of an asset; nobody else may spend it."""
        return sum((run.holdings.get(asset, ZERO) for run in self._runs.values()), ZERO)

    def promised_residue(self, asset: str) -> Decimal:
        return sum((amount for of, amount in self._residue_promised.values() if of == asset), ZERO)

    def last_plan(self, key: str) -> Ns | None:
        return next((at for at, of in reversed(self._starts) if of == key), None)

    def plans_since(self, since: Ns, key: str | None) -> int:
        return sum(1 for at, of in self._starts if at >= since and key in (None, of))

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
