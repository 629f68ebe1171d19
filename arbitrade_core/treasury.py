"""One desk's money outside its plans: what it opens with, what strategies are handed, what the journal is told.

The books themselves are `subledgers`; plans move money through `execution.conductor`.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

from arbitrade_core.domain import Ns, Severity
from arbitrade_core.journal import Fields, Record, Stream
from arbitrade_core.money import ZERO, plain
from arbitrade_core.planning import PlanningDesk
from arbitrade_core.pnl import Mark, Results
from arbitrade_core.records import amounts, balances_record, high_water_record
from arbitrade_core.recovery import Recovered
from arbitrade_core.spi import Holdings
from arbitrade_core.subledgers import Ledgers


class TreasuryPort(Protocol):
    def append(self, record: Record, durable: Callable[[Ns], None] | None = None) -> None: ...
    def notify(self, severity: Severity, topic: str, text: str, now: Ns) -> None: ...


class Treasury:
    """Call under `money.exact()`."""

    def __init__(
        self, desk: PlanningDesk, ledger: Ledgers, results: Results, port: TreasuryPort, stream: Stream
    ) -> None:
        self._desk = desk
        self._ledger = ledger
        self._results = results
        self._port = port
        self._stream = stream
        self._told_accounts: set[tuple[str, str]] = set()
        self._told_high_water: Decimal | None = None
        self._told_missing: dict[str, dict[str, Decimal]] = {}
        """by strategy: what it was told to lack of its allocation"""

    def open(self, balances: Mapping[str, Decimal], recovered: Recovered, mark: Mark, now: Ns) -> None:
        """Open the books, once: with `balances`, or with those of an account that was `recovered`."""
        if recovered.accounts:
            self._ledger.restore(recovered.accounts)
        else:
            self._ledger.open(balances)
        known = recovered.high_water
        # One in another valuation asset says nothing in this one.
        earlier = None if known is None or known.valuation_asset != self._desk.valuation_asset else known.amount
        self._results.open(self._ledger.balances(), mark, earlier)
        self.tell_balances(now)

    # --- strategies ---

    def fund(self, strategy: str, allocation: Mapping[str, Decimal], now: Ns) -> None:
        """Hand a strategy what it works with, as far as it is free; the same allocation again moves nothing.

        No allocation ends its ledger: what it holds is the desk's again, once no plan of it is open.
        """
        before = self._ledger.accounts()
        missing: dict[str, Decimal] = {}
        if allocation:
            missing = self._ledger.fund(strategy, allocation, self._unbound)
        elif all(plan.strategy != strategy for plan in self._desk.open_plans):
            self._ledger.close(strategy)
        if self._ledger.accounts() != before:
            data = {
                "desk": self._desk.id,
                "strategy": strategy,
                "allocation": amounts(allocation),
                "missing": amounts(missing),
            }
            self._journal("allocate", now, data)
            self.tell_balances(now)
        if missing != self._told_missing.get(strategy, {}):
            self._told_missing[strategy] = missing
            if missing:
                lacking = ", ".join(f"{plain(amount)} {asset}" for asset, amount in missing.items())
                text = (
                    f"desk {self._desk.id} lacks {lacking} of what strategy {strategy!r} is to work with; "
                    "it works with less"
                )
                self._port.notify(Severity.WARNING, "desk.allocation", text, now)

    def _unbound(self, asset: str, strategy: str) -> Decimal:
        """Cash that no open plan holds, the reserve left alone."""
        reserve = ZERO if strategy else self._desk.terms.reserve.get(asset, ZERO)
        return self._desk.available(asset, strategy) - reserve

    def holdings(self, strategy: str) -> Holdings | None:
        """What a strategy with a ledger of its own was handed and holds; None when it has none."""
        if not self._ledger.has_own(strategy):
            return None
        return Holdings(self._desk.id, self._ledger.handed(strategy), self._ledger.of(strategy).balances())

    # --- the journal ---

    def tell_balances(self, now: Ns) -> None:
        accounts = {(asset, account): amount for asset, account, amount in self._ledger.accounts()}
        # An account that was told and is empty now is told as empty, or its last amount would stand.
        whole = {**dict.fromkeys(self._told_accounts, ZERO), **accounts}
        self._told_accounts = set(accounts)
        rows = [(*name, amount) for name, amount in whole.items()]
        self._journal("balances", now, balances_record(self._desk.id, rows))
        self.tell_high_water(now)

    def tell_high_water(self, now: Ns) -> None:
        """When it rose: drawdown is measured from there after a restart, too (RELIABILITY 9)."""
        high_water = self._results.high_water
        if high_water is not None and high_water != self._told_high_water:
            self._told_high_water = high_water
            data = high_water_record(self._desk.id, self._desk.valuation_asset, high_water)
            self._journal("high_water", now, data)

    def _journal(self, kind: str, now: Ns, data: Fields) -> None:
        self._port.append(self._stream.record(kind, now, data))
