"""A small world to trade in: the real market, timers, paper venue and ledger, and a desk that does what it is told.

The desk keeps every promise that the engine's desk makes to an executor, and checks the executor's: one order per
id, nothing after the end, follow-ups journalled before they leave.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from arbitrade_core.book import Level
from arbitrade_core.claims import Claims, net_of
from arbitrade_core.clock import Timers
from arbitrade_core.domain import (
    Accepted,
    Asset,
    Certificate,
    Done,
    Fee,
    FeeSnapshot,
    Fill,
    Leg,
    LegId,
    Ns,
    Order,
    OrderEvent,
    Pair,
    PairId,
    Plan,
    PlanKind,
    PlanLeg,
    Rejected,
)
from arbitrade_core.events import BookUpdate
from arbitrade_core.execution.remaining import fullest
from arbitrade_core.ledger import Ledger
from arbitrade_core.legs import least_got, most_spent, tradable_qty, walk
from arbitrade_core.lifecycle import (
    FollowUpDurable,
    Go,
    OrderRecord,
    OrderState,
    Run,
    RunEvent,
    RunState,
    Woken,
    order_state_after,
)
from arbitrade_core.market import Market
from arbitrade_core.money import ZERO
from arbitrade_core.spi import Action, BanLeg, Executor, Finish, FollowUp, HaltDesk, Outcome, Place, Venue, Wait

START_NS = 1_700_000_000_000_000_000
COMMIT_NS = 2_000_000
D = Decimal


class Seen(BookUpdate, kw_only=True):
    """An update that proves itself."""

    def verify(self, book: object) -> bool:
        return True


def listing(symbol: str, **figures: object) -> Pair:
    """A pair with fine grids and no minimums worth mentioning, unless told otherwise."""
    base, quote = symbol.split("/")
    terms: dict[str, object] = {
        "price_decimals": 4,
        "qty_decimals": 6,
        "qty_min": D("0.000001"),
        "cost_min": D("0.000001"),
        "cost_decimals": 8,
        **figures,
    }
    terms.setdefault("tick", D(1).scaleb(-int(str(terms["price_decimals"]))))
    terms.setdefault("lot", D(1).scaleb(-int(str(terms["qty_decimals"]))))
    return Pair(symbol=symbol, base=base, quote=quote, **terms)  # type: ignore[arg-type]


type Quotes = Sequence[tuple[str, str]]
"""(price, quantity), best first"""


class World:
    """One desk on one market. Implements `spi.DeskView` and `spi.VenuePort`."""

    def __init__(self, pairs: Sequence[Pair], balances: Mapping[str, Decimal], fee: Fee | None = None) -> None:
        self.id = "test"
        self.valuation_asset = "USD"
        self.market = Market()
        self.timers = Timers()
        self.clockwork = self.timers
        self.ledger = Ledger("test")
        self.ledger.open(balances)
        self.now: Ns = START_NS
        self.one_fee = fee or Fee(D("0.001"))
        self.fees: FeeSnapshot | None = None
        self.venue: Venue | None = None
        self.runs: dict[str, Running] = {}
        self.claims = Claims()
        self.stepping: frozenset[str] = frozenset()
        """orders of the run that is asked"""
        for pair in pairs:
            self.market.list_pair(pair)

    # --- the market moves ---

    def lists(self, *assets: Asset) -> None:
        self.market.assets.update((asset.symbol, asset) for asset in assets)

    def sees(self, symbol: str, bids: Quotes = (), asks: Quotes = ()) -> None:
        """A fresh book."""
        self.market.restore(self._update(symbol, bids, asks, snapshot=True), self.now)

    def changes(self, symbol: str, bids: Quotes = (), asks: Quotes = ()) -> None:
        """An update of the book; quantity 0 deletes."""
        self.applies(self._update(symbol, bids, asks, snapshot=False))

    def applies(self, update: BookUpdate) -> None:
        self.market.apply(update, self.now)
        if self.venue is not None:
            self.venue.on_update(update, self.now)

    def _update(self, symbol: str, bids: Quotes, asks: Quotes, *, snapshot: bool) -> Seen:
        pair_id = self.pair_id(symbol)
        pair = self.market.pairs[pair_id]
        grid = [[(pair.ticks(D(price)), pair.lots(D(qty))) for price, qty in side] for side in (bids, asks)]
        return Seen(pair=pair_id, snapshot=snapshot, bids=grid[0], asks=grid[1])

    def pair_id(self, symbol: str) -> PairId:
        found = self.market.pair_id(symbol)
        assert found is not None
        return found

    def leg_id(self, name: str) -> LegId:
        """`+BTC/USD` buys, `-BTC/USD` sells."""
        return 2 * self.pair_id(name[1:]) + (name[0] == "+")

    def passes(self, duration_ns: int) -> None:
        """Time goes by; what is due happens."""
        until = self.now + duration_ns
        while (due := self.timers.pop(until)) is not None:
            self.now, action = due
            action(self.now)
        self.now = until

    # --- trading ---

    def uses(self, venue: Venue) -> None:
        self.venue = venue
        venue.start(self, self.now)

    def promises(self, plan: Plan) -> None:
        """What the plan takes is its own from here on (TRADING 6)."""
        for leg in plan.legs:
            self.promise(leg.order_id, leg.leg, leg.qty)

    def promise(self, order_id: str, leg: Leg, qty: Decimal) -> None:
        self.claims.release(order_id)
        lots = self.market.pairs[leg.pair_id].lots(qty)
        self.claims.promise(order_id, leg.pair_id, leg.side, self.depth(leg.id), lots)

    def begins(self, plan: Plan, executor: Executor) -> "Running":
        running = Running(self, plan, executor)
        self.runs[plan.id] = running
        running.run.move(RunState.RUNNING)
        running.step(Go())
        return running

    def deliver(self, event: OrderEvent, now: Ns) -> None:
        self.now = now
        running = next(r for r in self.runs.values() if event.order_id in r.run.orders)
        running.on_event(event)

    # --- spi.DeskView, as far as executors look ---

    halted: str | None = None
    exchange_status = "online"
    open_plans: Sequence[Plan] = ()
    consecutive_failures = 0

    def available(self, asset: str, strategy: str = "") -> Decimal:
        return self.ledger.cash(asset)

    def residue(self, asset: str) -> Decimal:
        return self.ledger.residue(asset)

    def value(self, asset: str, amount: Decimal) -> Decimal | None:
        mark = self.market.mark(asset, self.valuation_asset)
        return None if mark is None else mark * amount

    def depth(self, leg: LegId) -> Sequence[Level]:
        found = self.market.leg(leg)
        if not self.market.usable(found.pair_id):
            return []
        levels = self.market.books[found.pair_id].taken_by(found.side).levels()
        taken = {} if self.venue is None else self.venue.taken(found.pair_id, found.side)
        return net_of(levels, taken, self.claims.on(found.pair_id, found.side, self.stepping))

    def promised(self, leg: LegId) -> Collection[int]:
        found = self.market.leg(leg)
        shown = self.market.books[found.pair_id].taken_by(found.side)
        claimed = self.claims.on(found.pair_id, found.side, self.stepping)
        return [ticks for ticks in claimed if shown.lots_at(ticks)]

    def fee(self, symbol: str) -> Fee | None:
        return self.one_fee

    def banned_until(self, leg: LegId) -> Ns | None:
        return None

    def plans_since(self, since: Ns, key: str | None = None) -> int:
        return 0

    def last_plan(self, key: str) -> Ns | None:
        return None

    def standing_since(self, key: str) -> Ns | None:
        return None

    def trading_pnl(self, since: Ns) -> Decimal:
        return ZERO

    def unwind_loss(self, since: Ns) -> Decimal:
        return ZERO

    def drawdown(self) -> Decimal | None:
        return ZERO


@dataclass
class Running:
    """One run, and everything its executor asked for."""

    world: World
    plan: Plan
    executor: Executor
    actions: list[Action] = field(default_factory=list)
    residue_used: dict[str, Decimal] = field(default_factory=dict)
    left: dict[str, Decimal] = field(default_factory=dict)
    """holdings when it ended"""
    wake: int | None = None

    def __post_init__(self) -> None:
        self.run = Run(self.plan, holdings={self.plan.start_asset: self.plan.start})
        if self.plan.kind is PlanKind.SWEEP:
            self.world.ledger.use_residue(self.plan.id, self.plan.start_asset, self.plan.start)

    @property
    def outcome(self) -> Outcome | None:
        return next((action.outcome for action in self.actions if isinstance(action, Finish)), None)

    @property
    def kind(self) -> str:
        return "open" if self.outcome is None else self.outcome.kind

    @property
    def placed(self) -> list[Order]:
        return [action.order for action in self.actions if isinstance(action, Place)]

    @property
    def follow_ups(self) -> list[FollowUp]:
        return [action for action in self.actions if isinstance(action, FollowUp)]

    @property
    def bans(self) -> list[str]:
        market = self.world.market
        return [str(market.leg(action.leg)) for action in self.actions if isinstance(action, BanLeg)]

    @property
    def alerts(self) -> list[str]:
        """What people hear when it begins to wait."""
        return [action.alert for action in self.actions if isinstance(action, Wait) and action.alert]

    @property
    def halts(self) -> list[str]:
        return [action.reason for action in self.actions if isinstance(action, HaltDesk)]

    @property
    def changes(self) -> dict[str, Decimal]:
        return self.world.ledger.plan_changes(self.plan.id)

    def on_event(self, event: OrderEvent) -> None:
        record = self.run.orders[event.order_id]
        if isinstance(event, Fill) and event.exec_id in record.fills:
            return
        record.move(order_state_after(record, event))
        match event:
            case Accepted():
                return
            case Fill():
                record.fills[event.exec_id] = event
                self._book(record.order, event)
            case Done(filled_qty=filled):
                assert filled == record.filled_qty
                record.done_ns = self.world.now
                self.world.claims.release(event.order_id)
            case Rejected(reason=reason):
                record.reason = reason
                record.done_ns = self.world.now
                self.world.claims.release(event.order_id)
        self.step(event)

    def _book(self, order: Order, fill: Fill) -> None:
        booked = self.world.ledger.book_fill(order, fill)
        assert booked is not None
        for asset, change in booked.changes.items():
            held = self.run.holdings.get(asset, ZERO) + change
            if held < 0 and asset != self.plan.start_asset:
                self.world.ledger.use_residue(self.plan.id, asset, -held)
                self.residue_used[asset] = self.residue_used.get(asset, ZERO) - held
                held = ZERO
            self.run.holdings[asset] = held

    def step(self, event: RunEvent) -> None:
        assert self.outcome is None, "the executor is not asked after the end"
        self.world.stepping = frozenset({leg.order_id for leg in self.plan.legs} | set(self.run.orders))
        actions = self.executor.step(self.run, event, self.world, self.world.now)
        self.world.stepping = frozenset()
        self.actions += actions
        for action in actions:
            match action:
                case Place(order):
                    number = 1 + [leg.order_id for leg in self.plan.legs].index(order.id)
                    self._intend(order, f"leg {number}")
                    self._send(order)
                case FollowUp(order, purpose):
                    if self.run.state is RunState.RUNNING:
                        self.run.move(RunState.SETTLING)
                    self._intend(order, purpose)
                    self._journal(order)
                case Finish(outcome):
                    assert action is self.actions[-1], "nothing follows the end"
                    self.run.move(RunState(outcome.kind))
                    self._end()
                case Wait(until_ns):
                    self._wake_at(until_ns)
                case BanLeg() | HaltDesk():
                    pass

    def _intend(self, order: Order, purpose: str) -> None:
        assert order.id not in self.run.orders, "one order per id, ever"
        self.run.orders[order.id] = OrderRecord(order, purpose)

    def _journal(self, order: Order) -> None:
        def durable(now: Ns) -> None:
            self.world.now = now
            self._send(order)
            self.step(FollowUpDurable(order))

        self.world.timers.at(self.world.now + COMMIT_NS, durable)

    def _wake_at(self, until_ns: Ns) -> None:
        assert until_ns > self.world.now, "it waits for something to come"
        self._cancel_wake()

        def wake(now: Ns) -> None:
            self.world.now = now
            self.wake = None
            self.step(Woken())

        self.wake = self.world.timers.at(until_ns, wake)

    def _cancel_wake(self) -> None:
        if self.wake is not None:
            self.world.timers.cancel(self.wake)
            self.wake = None

    def _send(self, order: Order) -> None:
        self.run.orders[order.id].move(OrderState.SENT)
        assert self.world.venue is not None
        self.world.promise(order.id, order.leg, order.qty)
        self.world.venue.submit(order, self.world.now)

    def _end(self) -> None:
        self._cancel_wake()
        for leg in self.plan.legs:
            self.world.claims.release(leg.order_id)
        self.left = {asset: amount for asset, amount in self.run.holdings.items() if amount}
        for asset, amount in self.left.items():
            if asset != self.plan.legs[-1].leg.gets and asset != self.plan.start_asset:
                self.world.ledger.to_residue(self.plan.id, asset, amount)


def planned(
    world: World,
    path: Sequence[str],
    funds: Decimal,
    *,
    plan_id: str = "p1",
    rounding_fills: int = 10,
    kind: PlanKind = PlanKind.CYCLE,
    margin: Decimal | None = None,
) -> Plan | None:
    """A plan that walks the books as they are: sizes chained by what each leg brings at least, worst levels as limits.

    The margin is whatever the certificate then proves, or `margin` when that is less.
    """
    legs: list[PlanLeg] = []
    start = ZERO
    for number, name in enumerate(path, start=1):
        leg = world.market.leg(world.leg_id(name))
        pair = world.market.pairs[leg.pair_id]
        levels = world.depth(leg.id)
        takes = fullest(leg.side, pair, world.one_fee, levels, funds, rounding_fills)
        if not takes or not tradable_qty(pair, takes[-1].qty, takes[-1].limit):
            return None
        qty, limit = takes[-1].qty, takes[-1].limit
        walked = walk(pair, world.one_fee, levels, qty)
        assert walked is not None
        if number == 1:
            start = most_spent(leg.side, pair, world.one_fee, qty, limit, rounding_fills)
        top = pair.price(levels[0][0])
        legs.append(
            PlanLeg(
                f"{plan_id}-{number}", leg, qty, limit, world.one_fee, top, walked.average,
                walked.spend(leg.side), walked.get(leg.side),
            )
        )  # fmt: skip
        funds = least_got(leg.side, pair, world.one_fee, qty, limit, rounding_fills)
    certificate = None
    if kind is PlanKind.CYCLE:
        gain = funds - start if margin is None else min(margin, funds - start)
        certificate = Certificate(start, funds, gain, rounding_fills)
    return Plan(
        id=plan_id,
        desk_id=world.id,
        strategy="triangular",
        kind=kind,
        key=" ".join(path),
        start_asset=legs[0].leg.spends,
        start=start,
        end=legs[-1].get,
        legs=tuple(legs),
        certificate=certificate,
        edge_bps=ZERO,
        profit_valued=ZERO,
        notional_valued=ZERO,
        valuation_asset="USD",
        fees_id="fees",
        decided_ns=world.now,
    )
