"""Results from what a replay's engine writes: journal records, one desk at a time.

Nothing here asks the engine what happened: what the journal does not say, a report does not claim.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson

from arbitrade_core.domain import Ns
from arbitrade_core.journal import Record
from arbitrade_core.money import ZERO
from arbitrade_core.replay.results import PlanResult

OPEN = "open"
GONE = "gone"


class DeskRecords:
    """Reads one desk's stream as it is written."""

    def __init__(self, *, detail: bool) -> None:
        """`detail`: keep every plan; else only their times and profits."""
        self.plans: dict[str, PlanResult] = {}
        self.outcomes: Counter[str] = Counter()
        self.earned: list[tuple[Ns, Ns, Decimal]] = []
        self.refusals: Counter[str] = Counter()
        self.orders = 0
        self.fills = 0
        self.ordered_valued = ZERO
        self.filled_valued = ZERO
        self.fees_valued = ZERO
        self.exposure_valued = ZERO
        self._detail = detail
        self._open: dict[str, _Plan] = {}
        self._exposed = ZERO
        self._hash = hashlib.sha256()

    @property
    def decisions(self) -> str:
        """SHA-256 over everything that was read, but for the desk's name: hex."""
        return self._hash.hexdigest()

    def read(self, record: Record) -> bool:
        """Whether a plan ended with it."""
        data = record.data
        told = {**data, "desk": ""} if "desk" in data else data
        self._hash.update(
            orjson.dumps([record.seq, record.time_ns, record.kind, told], default=str, option=orjson.OPT_SORT_KEYS)
        )
        match record.kind:
            case "plan":
                self._open[data["id"]] = plan = _Plan(data)
                self._exposed += plan.notional_valued
                self.exposure_valued = max(self.exposure_valued, self._exposed)
            case "send":
                self._sent(self._open[data["plan"]], data)
            case "fill":
                self._filled(self._open[data["plan"]], data)
            case "end":
                self._ended(data["plan"], data["outcome"], record.time_ns, data)
                return True
            case "drop":
                self._ended(data["plan"], data["stage"], record.time_ns, {})
                return True
            case "refusal":
                self.refusals[data["check"]] += 1
            case _:
                pass
        return False

    def finish(self) -> None:
        """The replay is over: what is open stays so."""
        for plan_id, plan in list(self._open.items()):
            self.outcomes[OPEN] += 1
            if self._detail:
                self.plans[plan_id] = plan.result(OPEN, None, {})

    def _sent(self, plan: "_Plan", data: Mapping[str, Any]) -> None:
        limit = plan.limits[data["order"]] = Decimal(data["limit"])
        valued = plan.value_of_order(data["symbol"], Decimal(data["qty"]), limit)
        plan.orders += 1
        plan.ordered_valued += valued
        self.orders += 1
        self.ordered_valued += valued

    def _filled(self, plan: "_Plan", data: Mapping[str, Any]) -> None:
        # At the order's limit, as what was ordered: a better price is no larger fill.
        filled = plan.value_of_order(data["symbol"], Decimal(data["qty"]), plan.limits[data["order"]])
        fee = Decimal(data["fee"]) * plan.mark(data["fee_asset"])
        plan.filled_valued += filled
        plan.fees_valued += fee
        self.fills += 1
        self.filled_valued += filled
        self.fees_valued += fee

    def _ended(self, plan_id: str, outcome: str, now: Ns, data: Mapping[str, Any]) -> None:
        plan = self._open.pop(plan_id)
        self._exposed -= plan.notional_valued
        self.outcomes[outcome] += 1
        result = plan.result(outcome, now, data)
        if outcome != GONE:
            self.earned.append((plan.decided_ns, now, result.profit_valued or ZERO))
        if self._detail:
            self.plans[plan_id] = result


class _Plan:
    """What its records have said of a plan so far."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._marks = {asset: Decimal(mark) for asset, mark in data["marks"].items()}
        self._quotes = {leg["symbol"]: _quote(leg) for leg in data["legs"]}
        self.notional_valued = Decimal(data["notional_valued"])
        self.decided_ns: Ns = data["decided_ns"]
        self.limits: dict[str, Decimal] = {}
        """of its orders, by id"""
        self.orders = 0
        self.ordered_valued = self.filled_valued = self.fees_valued = ZERO

    def mark(self, asset: str) -> Decimal:
        """At the decision; 0 for what had none."""
        return self._marks.get(asset, ZERO)

    def value_of_order(self, symbol: str, qty: Decimal, price: Decimal) -> Decimal:
        # A way home may lead over a pair that is in no leg of the plan: its quote asset is in the symbol.
        quote = self._quotes.get(symbol) or symbol.partition("/")[2]
        return qty * price * self.mark(quote)

    def result(self, outcome: str, ended_ns: Ns | None, end: Mapping[str, Any]) -> PlanResult:
        data = self._data
        profit = end.get("profit_valued")
        return PlanResult(
            id=data["id"],
            strategy=data["strategy"],
            kind=data["kind"],
            key=data["key"],
            path=data["path"],
            pairs=tuple(leg["symbol"] for leg in data["legs"]),
            decided_ns=self.decided_ns,
            ended_ns=ended_ns,
            outcome=outcome,
            start_asset=data["start_asset"],
            start=Decimal(data["start"]),
            notional_valued=self.notional_valued,
            expected_edge_bps=Decimal(data["edge_bps"]),
            expected_profit_valued=Decimal(data["profit_valued"]),
            profit_valued=None if profit is None else Decimal(profit),
            pnl=_decimals(end.get("pnl", {}).items()),
            residue=_decimals(end.get("residue", {}).items()),
            attribution=tuple(end.get("attribution", ())),
            orders=self.orders,
            ordered_valued=self.ordered_valued,
            filled_valued=self.filled_valued,
            fees_valued=self.fees_valued,
        )


def _quote(leg: Mapping[str, Any]) -> str:
    """A buy spends the quote asset, a sell gets it."""
    return str(leg["spends"] if leg["side"] == "buy" else leg["gets"])


def _decimals(amounts: Iterable[tuple[str, str]]) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in amounts}
