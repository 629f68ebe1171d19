"""Turns one asset of a strategy's inventory into another: IOC at the plan's limits, one leg after the other.

There is no way home to look for: both assets are inventory that the strategy declared, and what is left between two
legs is its cash. A leg that falls short ends the plan; the strategy's wish stands, so a later plan goes on from there.
"""

from collections.abc import Sequence
from typing import assert_never

from arbitrade_core.domain import Done, Fill, Ns, Order, PlanKind, Rejected
from arbitrade_core.execution.remaining import booking_slack, rounding_fills
from arbitrade_core.legs import largest_qty, tradable_qty
from arbitrade_core.lifecycle import FollowUpDurable, Go, OrderRecord, OrderState, Run, RunEvent, Woken
from arbitrade_core.money import ZERO, plain
from arbitrade_core.spi import Action, BanLeg, DeskView, Finish, Outcome, Place


class RotationExecutor:
    """Implements `spi.Executor` for plans that rotate inventory."""

    name = "rotation"
    kinds = frozenset({PlanKind.POSITION})

    def step(self, run: Run, event: RunEvent, desk: DeskView, now: Ns) -> Sequence[Action]:
        match event:
            case Go():
                run.next_leg = 1
                first = run.plan.legs[0]
                order = Order(
                    first.order_id, run.plan.id, run.plan.desk_id, first.leg, first.qty, first.limit, first.fee
                )
                return [Place(order)]
            case Rejected() | Fill() | Done():
                record = run.orders[event.order_id]
                return self._after(run, record, desk) if record.over else []
            case FollowUpDurable() | Woken():
                return []
            case _:
                assert_never(event)

    def _after(self, run: Run, record: OrderRecord, desk: DeskView) -> list[Action]:
        actions: list[Action] = []
        if record.state is OrderState.REJECTED:
            actions.append(BanLeg(record.order.leg.id, f"{record.purpose} of {run.plan.id} rejected: {record.reason}"))
        following = self._next(run, desk) if record.filled_qty > 0 else None
        if following is None:
            return [*actions, Finish(_outcome(run))]
        run.next_leg += 1
        return [*actions, Place(following)]

    def _next(self, run: Run, desk: DeskView) -> Order | None:
        """The next leg with what has arrived, no larger than planned; None: there is none, or it is too small."""
        if run.next_leg >= len(run.plan.legs):
            return None
        leg = run.plan.legs[run.next_leg]
        pair = desk.market.pairs[leg.leg.pair_id]
        fills = rounding_fills(run.plan)
        held = run.holdings.get(leg.leg.spends, ZERO) - booking_slack(desk.market.asset(leg.leg.spends), pair, fills)
        qty = min(largest_qty(leg.leg.side, pair, leg.fee, held, leg.limit, fills), leg.qty)
        if not tradable_qty(pair, qty, leg.limit):
            return None
        return Order(leg.order_id, run.plan.id, run.plan.desk_id, leg.leg, qty, leg.limit, leg.fee)


def _outcome(run: Run) -> Outcome:
    records = [run.orders.get(leg.order_id) for leg in run.plan.legs]
    first = records[0]
    if first is None or first.filled_qty == 0:
        return Outcome("missed", first.reason if first is not None else "")
    short = [
        f"leg {number} was too small to send"
        if record is None
        else f"leg {number} filled {plain(record.filled_qty)} of {plain(record.order.qty)}"
        for number, record in enumerate(records, start=1)
        if record is None or record.filled_qty < record.order.qty
    ]
    return Outcome("partial", "; ".join(short)) if short else Outcome("completed")
