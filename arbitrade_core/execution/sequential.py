"""One leg after the other: IOC at certificate limits, each leg sized from what the one before really brought.

A leg that falls short is not resent: what filled goes on with the next leg, what did not is settled -
completed or reversed, whatever loses less (`settle`) - by new orders, each journalled first. While there is no way
home within the loss cap - books come and go - it is looked for again and again for a while. A leg whose order was just
rejected - order rates and the like pass by themselves - is left alone for a moment, each time for twice as long. The
run ends when nothing is in flight and everything is home, residue, or stuck. State is the run's alone; the executor
keeps nothing.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import assert_never

from arbitrade_core.domain import Done, Fill, Leg, Ns, Order, PlanKind, Rejected
from arbitrade_core.execution.remaining import Remaining, divide_up, rounding_fills
from arbitrade_core.execution.settle import NoWay, Offer, Planner, TooSmall
from arbitrade_core.ledger import booked_rows
from arbitrade_core.legs import most_spent, tradable_qty
from arbitrade_core.lifecycle import (
    FollowUpDurable,
    Go,
    OrderRecord,
    OrderState,
    Run,
    RunEvent,
    Stake,
    Woken,
)
from arbitrade_core.money import ZERO, plain, unit
from arbitrade_core.spi import Action, BanLeg, DeskView, Finish, FollowUp, HaltDesk, Outcome, Place, Wait

RETRY_NS = 100_000_000
"""How often a way home is looked for while there is none; how long a leg is left alone after its first rejection."""


NOTICE_NS = 500_000_000
"""Inventory that rejections keep for longer at a time is told to people (RELIABILITY 6)."""


class SequentialExecutor:
    """Implements `spi.Executor` for plans whose legs follow one another."""

    name = "sequential"
    kinds = frozenset({PlanKind.CYCLE, PlanKind.SWEEP})

    def __init__(
        self,
        loss_cap_bps: Decimal = Decimal(300),
        max_follow_ups: int = 6,
        residue_floor_valued: Decimal = ZERO,
        stuck_after_ns: int = 5_000_000_000,
    ) -> None:
        """`loss_cap_bps`: most an unwind may lose of what was paid for what it brings home.

        `residue_floor_valued`: a remainder worth no more than this stays as residue where it would be stuck.
        `stuck_after_ns`: how long a way home is looked for before that.
        """
        self._stuck_after_ns = stuck_after_ns
        self._residue_floor_valued = residue_floor_valued
        self._loss_cap_bps = loss_cap_bps
        self._max_follow_ups = max_follow_ups

    def step(self, run: Run, event: RunEvent, desk: DeskView, now: Ns) -> Sequence[Action]:
        match event:
            case Go():
                return self._begin(run)
            case FollowUpDurable():
                return []
            case Woken():
                return self._go_home(run, desk, now)
            case Rejected() | Fill() | Done():
                record = run.orders[event.order_id]
                if event.order_id not in run.stakes or not record.over:
                    return []
                return self._after(run, record, desk, now)
            case _:
                assert_never(event)

    def _begin(self, run: Run) -> list[Action]:
        first = run.plan.legs[0]
        run.next_leg = 1
        order = Order(first.order_id, run.plan.id, run.plan.desk_id, first.leg, first.qty, first.limit, first.fee)
        run.stakes[order.id] = Stake(first.leg.spends, run.plan.start, order.qty, ZERO)
        return [Place(order)]

    # --- an order is over ---

    def _after(self, run: Run, record: OrderRecord, desk: DeskView, now: Ns) -> list[Action]:
        hand_on(run, record)
        actions: list[Action] = []
        index = _leg_index(run, record.order)
        if index is not None:
            actions += self._ban(index, record, desk)
            if record.filled_qty > 0 and index + 1 < len(run.plan.legs):
                actions += self._next(run, index + 1, desk)
        return actions + self._go_home(run, desk, now)

    def _go_home(self, run: Run, desk: DeskView, now: Ns) -> list[Action]:
        """Settle; the end when nothing is in flight and nothing waits."""
        actions = self._settle(run, desk, now)
        if not run.stakes and not run.no_way_since:
            actions.append(Finish(self._outcome(run)))
        return actions

    def _ban(self, index: int, record: OrderRecord, desk: DeskView) -> list[Action]:
        """The directed leg that failed rests (TRADING 19).

        Leg 1 falling short is no failure, since nothing is held; nor is a remainder that no order could carry.
        """
        rejected = record.state is OrderState.REJECTED
        order, missing = record.order, record.order.qty - record.filled_qty
        short = index > 0 and tradable_qty(desk.market.pairs[order.leg.pair_id], missing, order.limit)
        if not (rejected or short):
            return []
        filled, wanted = plain(record.filled_qty), plain(record.order.qty)
        words = f"rejected: {record.reason}" if rejected else f"filled {filled} of {wanted}"
        return [BanLeg(record.order.leg.id, f"leg {index + 1} of {record.order.plan_id} {words}")]

    def _next(self, run: Run, index: int, desk: DeskView) -> list[Action]:
        """Place the next leg with what has arrived; nothing when that is too small, then it is settled."""
        leg = run.plan.legs[index]
        asset = leg.leg.spends
        own, paid = free(run, asset), run.paid.get(asset, ZERO)
        remaining = Remaining(run.plan, index, desk.market)
        levels = desk.depth(leg.leg.id)
        sized = remaining.size(own, desk.residue(asset), due_for(run, paid), levels, desk.promised(leg.leg.id))
        if sized is None:
            return []
        order = Order(leg.order_id, run.plan.id, run.plan.desk_id, leg.leg, sized.qty, sized.limit, leg.fee)
        run.next_leg = index + 1
        self._stake(run, order, sized.own, paid, desk)
        return [Place(order)]

    def _settle(self, run: Run, desk: DeskView, now: Ns) -> list[Action]:
        """Send home whatever is held, paid for, and in no order (TRADING 18)."""
        home = run.plan.legs[-1].leg.gets
        waited, run.no_way_since = run.no_way_since, {}
        actions: list[Action] = []
        alerts: list[str] = []
        look_again: list[Ns] = []
        for asset in sorted(run.paid):
            amount, paid = free(run, asset), run.paid[asset]
            if asset == home or amount <= 0 or paid <= 0:
                del run.paid[asset]
                continue
            match self._way(run, asset, amount, desk):
                case TooSmall():
                    del run.paid[asset]
                case NoWay(best=best) if now - waited.get(asset, now) >= self._stuck_after_ns:
                    actions += self._stuck(run, asset, amount, best)
                case NoWay(best=best):
                    run.no_way_since[asset] = waited.get(asset, now)
                    look_again.append(min(now + RETRY_NS, run.no_way_since[asset] + self._stuck_after_ns))
                    if asset not in waited:
                        alerts.append(self._waits(run, asset, amount, best))
                case Offer() as offer if run.follow_ups >= self._max_follow_ups:
                    words = f"all {self._max_follow_ups} follow-ups are used; {offer.route.purpose} would bring "
                    actions += self._stuck(run, asset, amount, f"{words}{plain(offer.value)}")
                case Offer() as offer:
                    until = _resting_until(run, offer.route.steps[0].leg)
                    if until <= now:
                        actions.append(self._follow_up(run, offer, desk))
                        continue
                    run.no_way_since[asset] = waited.get(asset, now)
                    look_again.append(until)
                    if asset not in waited and until - now > NOTICE_NS:
                        alerts.append(self._rejected(run, asset, amount, offer.route.steps[0].leg))
                case unexpected:
                    assert_never(unexpected)
        if look_again:
            actions.append(Wait(min(look_again), "; ".join(alerts)))
        return actions

    def _way(self, run: Run, asset: str, amount: Decimal, desk: DeskView) -> Offer | TooSmall | NoWay:
        refused = frozenset(
            record.order.leg.id for record in run.orders.values() if record.state is OrderState.REJECTED
        )
        way = Planner(run.plan, desk, self._loss_cap_bps).best(asset, amount, run.paid[asset], refused)
        return TooSmall() if isinstance(way, NoWay) and self._trifling(asset, amount, desk) else way

    def _trifling(self, asset: str, amount: Decimal, desk: DeskView) -> bool:
        """Worth too little to halt the desk for; what cannot be valued is not."""
        value = desk.value(asset, amount)
        return value is not None and value <= self._residue_floor_valued

    def _follow_up(self, run: Run, offer: Offer, desk: DeskView) -> Action:
        run.follow_ups += 1
        step = offer.route.steps[0]
        plan = run.plan
        order_id = f"{plan.id}-f{run.follow_ups}"
        order = Order(order_id, plan.id, plan.desk_id, step.leg, offer.qty, offer.limit, step.fee)
        self._stake(run, order, offer.qty, offer.paid, desk)
        return FollowUp(order, offer.route.purpose)

    def _stake(self, run: Run, order: Order, own: Decimal, paid: Decimal, desk: DeskView) -> None:
        asset = order.leg.spends
        pair = desk.market.pairs[order.leg.pair_id]
        most = most_spent(order.leg.side, pair, order.fee, order.qty, order.limit, rounding_fills(run.plan))
        run.stakes[order.id] = Stake(asset, min(most, free(run, asset)), own, paid)
        run.paid[asset] -= paid

    def _waits(self, run: Run, asset: str, amount: Decimal, best: str) -> str:
        seconds = plain(Decimal(self._stuck_after_ns).scaleb(-9))
        return f"{self._homeless(run, asset, amount, best)}. A way is looked for again for {seconds} s"

    def _rejected(self, run: Run, asset: str, amount: Decimal, leg: Leg) -> str:
        reason = [record.reason for record in run.orders.values() if record.order.leg.id == leg.id][-1]
        holds = self._holds(run, asset, amount)
        return f"{holds}, and orders on {leg} are rejected: {reason}. They are tried again in growing intervals"

    def _stuck(self, run: Run, asset: str, amount: Decimal, best: str) -> list[Action]:
        run.stuck = f"{self._homeless(run, asset, amount, best)}. Trade it by hand or raise the loss cap, then resume"
        del run.paid[asset]
        return [HaltDesk(run.stuck)]

    def _homeless(self, run: Run, asset: str, amount: Decimal, best: str) -> str:
        cap = plain(self._loss_cap_bps)
        return f"{self._holds(run, asset, amount)}, and no way home loses at most {cap} bps; {best}"

    def _holds(self, run: Run, asset: str, amount: Decimal) -> str:
        paid = f"{plain(run.paid[asset])} {run.plan.start_asset}"
        return f"plan {run.plan.id} holds {plain(amount)} {asset}, paid {paid}"

    # --- the end ---

    def _outcome(self, run: Run) -> Outcome:
        records = [run.orders.get(leg.order_id) for leg in run.plan.legs]
        first = records[0]
        if first is None or first.filled_qty == 0:
            return Outcome("missed", first.reason if first is not None else "")
        if run.stuck:
            return Outcome("stuck", run.stuck)
        short = [
            f"leg {number} filled {plain(record.filled_qty)} of {plain(record.order.qty)}"
            if record
            else f"leg {number} was too small to send"
            for number, record in enumerate(records, start=1)
            if record is None or record.filled_qty < record.order.qty
        ]
        if run.follow_ups:
            return Outcome("unwound", "; ".join([*short, f"{run.follow_ups} follow-up orders"]))
        return Outcome("partial", "; ".join(short)) if short else Outcome("completed")


# --- what is held, and what was paid for it ---------------------------------------------------------------------


def spent(record: OrderRecord) -> Decimal:
    """What the order has taken so far of the asset it spends, fees in that asset included."""
    asset = record.order.leg.spends
    rows = [booked_rows(record.order.leg, fill)[asset] for fill in record.fills.values()]
    return sum((row.fee - row.amount for row in rows), ZERO)


def free(run: Run, asset: str) -> Decimal:
    """What the run holds of an asset and has put into no order."""
    staked = ZERO
    for order_id, stake in run.stakes.items():
        if stake.asset == asset:
            record = run.orders.get(order_id)
            staked += stake.amount if record is None else max(stake.amount - spent(record), ZERO)
    return run.holdings.get(asset, ZERO) - staked


def hand_on(run: Run, record: OrderRecord) -> None:
    """An order is over: what was paid for what it spent is now paid for what it got.

    Leg 1 pays what it really spent. Residue that an order took along counts at the price its own part had, so
    that it neither helps nor burdens the rest of the plan.
    """
    order = record.order
    stake = run.stakes.pop(order.id)
    if stake.asset == run.plan.start_asset:
        moved = spent(record)
    else:
        moved = divide_up(stake.paid * record.filled_qty, stake.qty, unit(18))
        left = stake.paid - moved
        if left > 0:
            run.paid[stake.asset] = run.paid.get(stake.asset, ZERO) + left
    if moved > 0 and order.leg.gets != run.plan.legs[-1].leg.gets:
        run.paid[order.leg.gets] = run.paid.get(order.leg.gets, ZERO) + moved


def due_for(run: Run, paid: Decimal) -> Decimal | None:
    """What must come home of the start asset for a holding that cost `paid`, by the plan's certificate.

    All of it and its share of the margin, in proportion to how much of leg 1 was filled: when that was all,
    unspent start asset and end together are at least `start + margin` (TRADING 17). None without a
    certificate.
    """
    certificate = run.plan.certificate
    if certificate is None:
        return None
    first = run.orders[run.plan.legs[0].order_id]
    whole = first.order.qty * spent(first)
    if not whole:
        return paid
    return paid + divide_up(certificate.margin * first.filled_qty * paid, whole, unit(18))


def _resting_until(run: Run, leg: Leg) -> Ns:
    """When an order on this leg is tried again: rejections that pass by themselves do so within seconds."""
    rejected = [
        record.done_ns or 0
        for record in run.orders.values()
        if record.state is OrderState.REJECTED and record.order.leg.id == leg.id
    ]
    return max(rejected) + RETRY_NS * 2 ** (len(rejected) - 1) if rejected else 0


def _leg_index(run: Run, order: Order) -> int | None:
    """Which leg of the plan an order is; None: a follow-up."""
    return next((index for index, leg in enumerate(run.plan.legs) if leg.order_id == order.id), None)
