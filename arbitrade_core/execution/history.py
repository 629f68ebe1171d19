"""What a desk's plans came to: results, counts, failures in a row, and the orders of plans that are over.

Limits look at plans of earlier runs as at those of this one (RELIABILITY 9). A venue may tell of an order again after
its plan has ended, as exchanges repeat what they told last when a connection is new (PROTOCOL 2.2): what repeats is
known here, what does not is news.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.attribution import attribute
from arbitrade_core.domain import Ns, Pair, Plan, PlanLeg
from arbitrade_core.journal import Fields
from arbitrade_core.lifecycle import OrderRecord, OrderState, Run
from arbitrade_core.money import ZERO, plain
from arbitrade_core.pnl import DAY_NS, HOUR_NS, Result, Results
from arbitrade_core.recovery import INTERRUPTED, PastOrder, PastPlan
from arbitrade_core.spi import Outcome

_FAILURES = frozenset({"unwound", "stuck"})
"""An unfilled first leg holds nothing and is none (TRADING 19)."""
_SUCCESSES = frozenset({"completed", "partial"})
_UNWINDS = frozenset({"unwound", "stuck", INTERRUPTED})
_RECENT = 100

REMEMBERED_ORDERS = 10_000
"""Most orders of ended plans that are remembered, and no longer than a day."""


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


class History:
    """The past of one desk, as far as its limits and its venue may ask for it."""

    def __init__(self, valuation_asset: str) -> None:
        self.results = Results(valuation_asset)
        self.ended: dict[str, int] = {}
        """outcomes counted"""
        self.recent: deque[Ended] = deque(maxlen=_RECENT)
        self.orders = EndedOrders()
        self._starts: deque[tuple[Ns, str]] = deque()
        self._failures: list[Ns] = []
        """when plans failed, since the last that went well"""

    def remember(self, past: Sequence[PastPlan], orders: Sequence[PastOrder]) -> None:
        """Plans and orders of earlier runs, in the order of their ends."""
        self.results.recover([Result(plan.ended_ns, plan.value, plan.outcome not in _UNWINDS) for plan in past])
        for plan in past:
            self._starts.append((plan.decided_ns, plan.key))
            self._count_failure(plan.outcome, plan.ended_ns)
        for one in orders:
            fills = {fill.exec_id: fill for fill in one.fills}
            self.orders.keep([OrderRecord(one.order, "", OrderState(one.state), fills)], one.ended_ns)

    def starts(self, key: str, now: Ns) -> None:
        """A plan of this cycle was approved."""
        self._starts.append((now, key))
        while self._starts[0][0] < now - DAY_NS:
            self._starts.popleft()

    def ends(self, run: Run, outcome: Outcome, changes: Mapping[str, Decimal], now: Ns) -> Result:
        """A plan ended; `changes` are its asset changes, valued at the marks of its decision."""
        result = self.results.ended(changes, run.marks, now, outcome.kind not in _UNWINDS)
        self.ended[outcome.kind] = self.ended.get(outcome.kind, 0) + 1
        self._count_failure(outcome.kind, now)
        profit = changes.get(run.plan.start_asset, ZERO)
        self.recent.append(Ended(run.plan, outcome, result.value, profit, now))
        self.orders.keep(run.orders.values(), now)
        return result

    def _count_failure(self, outcome: str, ended_ns: Ns) -> None:
        if outcome in _FAILURES:
            self._failures.append(ended_ns)
        elif outcome in _SUCCESSES:
            self._failures.clear()

    def forgive(self) -> None:
        """An operator resumed the desk."""
        self._failures.clear()

    # --- reading ---

    def failures_in_a_row(self, now: Ns) -> int:
        """Of the last hour: older ones are forgiven, or a desk that stopped for them could never start again."""
        return sum(1 for ended_ns in self._failures if ended_ns >= now - HOUR_NS)

    def last_plan(self, key: str) -> Ns | None:
        return next((at for at, of in reversed(self._starts) if of == key), None)

    def plans_since(self, since: Ns, key: str | None) -> int:
        return sum(1 for at, of in self._starts if at >= since and key in (None, of))


class EndedOrders:
    """Orders that were sent for plans that have ended since, with their fills."""

    def __init__(self, most: int = REMEMBERED_ORDERS) -> None:
        self._most = most
        self._records: dict[str, tuple[Ns, OrderRecord]] = {}
        """oldest first"""

    def keep(self, records: Iterable[OrderRecord], now: Ns) -> None:
        for record in records:
            self._records[record.order.id] = (now, record)
        while self._records:
            oldest = next(iter(self._records))
            if len(self._records) <= self._most and self._records[oldest][0] >= now - DAY_NS:
                break
            del self._records[oldest]

    def get(self, order_id: str) -> OrderRecord | None:
        """None: never sent, or forgotten."""
        found = self._records.get(order_id)
        return None if found is None else found[1]


def broken_certificate(plan: Plan, outcome: Outcome, changes: Mapping[str, Decimal]) -> str | None:
    """A plan whose legs all filled within their limits brings start and margin home, or is alarmed (TRADING 14)."""
    certificate = plan.certificate
    profit = changes.get(plan.start_asset, ZERO)
    if outcome.kind != "completed" or certificate is None or profit >= certificate.margin:
        return None
    return (
        f"plan {plan.id} completed with {plain(profit)} {plan.start_asset}, "
        f"less than the {plain(certificate.margin)} its certificate promised"
    )


def attributed(run: Run, leg: PlanLeg, pair: Pair) -> Fields:
    """Expected minus realised of one leg, for the plan's `end` record."""
    record = run.orders.get(leg.order_id)
    split = attribute(leg, pair, [] if record is None else list(record.fills.values()))
    return {
        "order": split.order_id,
        "asset": split.asset,
        "expected": plain(split.expected),
        "realised": plain(split.realised),
        **{name: plain(amount) for name, amount in split.parts.items()},
    }
