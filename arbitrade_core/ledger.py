"""The books of account of one desk's strategy: double entry in exact Decimals (TRADING 23-26).

Every transaction sums to zero per asset, so an asset's accounts always do:

- `cash`      what may be traded with (money in open plans included)
- `residue`   what broken or rounded plans left behind, used first by the next one through the asset (TRADING 15)
- `market`    what counterparties gave (negative) and took
- `fees`      what the exchange was paid
- `rounding`  what fills said less what the exchange booked (TRADING 25)
- `external`  opening balances, deposits, withdrawals and other flows

`cash + residue` is what the exchange must show at rest, to the last decimal (RELIABILITY 4). The ledger reads
no clock and keeps no history: the journal does. Call under `money.exact()`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from arbitrade_core.domain import Asset, Fill, LedgerRow, Leg, Order, Pair, Side
from arbitrade_core.errors import InvariantError
from arbitrade_core.money import ZERO, plain, unit


class Account(StrEnum):
    CASH = "cash"
    RESIDUE = "residue"
    MARKET = "market"
    FEES = "fees"
    ROUNDING = "rounding"
    EXTERNAL = "external"


type Entry = tuple[str, Account, Decimal]
"""(asset, account, signed amount)"""
type Cash = tuple[tuple[str, Decimal], ...]
"""(asset, amount) of everything that there is cash of, sorted"""

REMEMBERED_FILLS = 10_000
"""Fills whose ids are kept to recognise repeats; an exchange repeats its last 50 (PROTOCOL 2.2)."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What one fill did to our balances."""

    changes: dict[str, Decimal]
    """cash by asset, fees included"""
    rounding: dict[str, Decimal]
    """what the fill's figures say less what the exchange's rows booked, where they differ"""


class Ledger:
    """One strategy's sub-ledger of one desk."""

    def __init__(self, desk_id: str, strategy: str = "") -> None:
        self.desk_id = desk_id
        self.strategy = strategy
        self._accounts: dict[str, dict[Account, Decimal]] = {}
        self._fills: dict[tuple[str, str], bool] = {}
        """booked fills, oldest first; whether with the exchange's rows"""
        self._plans: dict[str, dict[str, Decimal]] = {}
        self._cash: Cash | None = None
        """None: something was booked since anybody asked"""

    # --- bookings ---

    def open(self, balances: Mapping[str, Decimal]) -> None:
        """Opening balances, once, into an empty ledger."""
        if self._accounts:
            raise InvariantError(f"the ledger of {self._name} is open already; opening balances come once, first")
        for asset, amount in balances.items():
            self.flow(asset, amount, "opening balance")

    def restore(self, accounts: Iterable[tuple[str, str, Decimal]]) -> None:
        """Take over the accounts of an earlier run, as `accounts()` gave them, into an empty ledger."""
        if self._accounts:
            raise InvariantError(f"the ledger of {self._name} is open already; it is restored first or not at all")
        self._post("restored accounts", [(asset, Account(name), amount) for asset, name, amount in accounts])

    def book_fill(self, order: Order, fill: Fill) -> Booked | None:
        """Book one execution; None when it is booked already, so repeats and order do not matter (RELIABILITY 5).

        The exchange's rows are the truth where they come with the fill. A fill that was booked by its figures
        and comes again with rows is put right.
        """
        if fill.order_id != order.id:
            raise InvariantError(f"fill {fill.exec_id} is of order {fill.order_id}, not of {order.id}")
        key = (order.id, fill.exec_id)
        known = self._fills.get(key)
        if known is not None and (known or not fill.rows):
            return None
        entries = fill_entries(order.leg, fill)
        if known is not None:
            before = fill_entries(order.leg, replace(fill, rows=()))
            entries += [(asset, account, -amount) for asset, account, amount in before]
        self._post(f"fill {fill.exec_id} of {order.id}", entries)
        self._fills[key] = bool(fill.rows)
        if len(self._fills) > REMEMBERED_FILLS:
            del self._fills[next(iter(self._fills))]
        changes = _sums(entries, Account.CASH)
        plan = self._plans.setdefault(order.plan_id, {})
        for asset, amount in changes.items():
            plan[asset] = plan.get(asset, ZERO) + amount
        return Booked(changes, _sums(entries, Account.ROUNDING))

    def to_residue(self, plan_id: str, asset: str, amount: Decimal) -> None:
        """A plan ended and left this behind."""
        self._move(f"residue of {plan_id}", asset, Account.CASH, Account.RESIDUE, amount)

    def use_residue(self, plan_id: str, asset: str, amount: Decimal) -> None:
        """A plan takes residue along."""
        self._move(f"residue used by {plan_id}", asset, Account.RESIDUE, Account.CASH, amount)

    def flow(self, asset: str, amount: Decimal, why: str) -> None:
        """A deposit (positive), withdrawal, reward or transfer: never profit (TRADING 23, 24)."""
        self._post(why, [(asset, Account.CASH, amount), (asset, Account.EXTERNAL, -amount)])

    def allocate(self, to: "Ledger", asset: str, amount: Decimal) -> None:
        """Hand part of the cash to another strategy of the desk (TRADING 26)."""
        self.flow(asset, -amount, f"allocated to {to._name}")
        to.flow(asset, amount, f"allocated by {self._name}")

    def absorb(self, other: "Ledger") -> None:
        """Take over all accounts of a strategy that has ended, as if nothing had ever been allocated to it."""
        accounts = [(asset, Account(name), amount) for asset, name, amount in other.accounts()]
        self._post(f"taken over from {other._name}", accounts)
        self._fills |= other._fills
        self._plans |= other._plans

    def _move(self, why: str, asset: str, source: Account, target: Account, amount: Decimal) -> None:
        if amount <= 0:
            raise InvariantError(f"{why}: {plain(amount)} {asset} cannot be moved to {target}; amounts are positive")
        if amount > self._amount(asset, source):
            held = plain(self._amount(asset, source))
            raise InvariantError(f"{why}: {plain(amount)} {asset} is more than the {held} in {source}")
        self._post(why, [(asset, source, -amount), (asset, target, amount)])

    def _post(self, why: str, entries: Iterable[Entry]) -> None:
        sums: dict[str, Decimal] = {}
        entries = list(entries)
        for asset, _, amount in entries:
            sums[asset] = sums.get(asset, ZERO) + amount
        for asset, total in sums.items():
            if total != 0:
                raise InvariantError(f"{why} does not balance in {asset}: {plain(total)} is left over")
        self._cash = None
        for asset, account, amount in entries:
            accounts = self._accounts.setdefault(asset, {})
            accounts[account] = accounts.get(account, ZERO) + amount

    # --- reading ---

    def assets(self) -> list[str]:
        """Every asset that was ever booked."""
        return sorted(self._accounts)

    def cash(self, asset: str) -> Decimal:
        return self._amount(asset, Account.CASH)

    def all_cash(self) -> Cash:
        """The same object until something is booked."""
        if self._cash is None:
            held = ((asset, self.cash(asset)) for asset in sorted(self._accounts))
            self._cash = tuple((asset, amount) for asset, amount in held if amount)
        return self._cash

    def residue(self, asset: str) -> Decimal:
        return self._amount(asset, Account.RESIDUE)

    def balances(self) -> dict[str, Decimal]:
        """Cash and residue together, as the exchange shows them; assets of nothing left out."""
        totals = {asset: self.cash(asset) + self.residue(asset) for asset in sorted(self._accounts)}
        return {asset: amount for asset, amount in totals.items() if amount}

    def totals(self, asset: str) -> dict[Account, Decimal]:
        """Every account of one asset; they sum to zero."""
        return {account: self._amount(asset, account) for account in Account}

    def accounts(self) -> list[tuple[str, str, Decimal]]:
        """(asset, account, amount) of every account that is not empty, sorted: for the journal and `restore`."""
        return [
            (asset, account.value, amount)
            for asset in sorted(self._accounts)
            for account, amount in sorted(self._accounts[asset].items())
            if amount
        ]

    def plan_changes(self, plan_id: str) -> dict[str, Decimal]:
        """What a plan's fills did to our balances, fees and unwinds included: its trading P&L as asset changes."""
        return {asset: amount for asset, amount in self._plans.get(plan_id, {}).items() if amount}

    def forget_plan(self, plan_id: str) -> None:
        """The plan has ended and its result is told elsewhere."""
        self._plans.pop(plan_id, None)

    def problems(self) -> list[str]:
        """What is wrong with the books, in words; nothing when they are sound."""
        found: list[str] = []
        for asset, accounts in sorted(self._accounts.items()):
            total = sum(accounts.values(), ZERO)
            if total != 0:
                found.append(f"the accounts of {asset} sum to {plain(total)}, not to 0")
            for account in (Account.CASH, Account.RESIDUE):
                amount = self._amount(asset, account)
                if amount < 0:
                    found.append(f"{account} of {asset} is {plain(amount)}, below 0")
        return found

    def consistent(self) -> bool:
        """Every asset's accounts sum to exactly zero; no cash and no residue is negative."""
        return not self.problems()

    def _amount(self, asset: str, account: Account) -> Decimal:
        return self._accounts.get(asset, {}).get(account, ZERO)

    @property
    def _name(self) -> str:
        return f"{self.desk_id}/{self.strategy}" if self.strategy else self.desk_id


def booked_rows(leg: Leg, fill: Fill) -> dict[str, LedgerRow]:
    """What the exchange booked for each asset of a fill: its rows, or where there is none the fill's own figures."""
    rows = {row.asset: row for row in figure_rows(leg, fill)}
    for row in fill.rows:
        rows[row.asset] = row
    return rows


def figure_rows(leg: Leg, fill: Fill) -> list[LedgerRow]:
    """The fill's figures as signed amounts; a fee in a third asset has a row of its own."""
    buys = leg.side is Side.BUY
    amounts = {leg.gets: fill.qty if buys else fill.cost, leg.spends: -fill.cost if buys else -fill.qty}
    amounts.setdefault(fill.fee_asset, ZERO)
    return [
        LedgerRow(asset, amount, fill.fee if asset == fill.fee_asset else ZERO) for asset, amount in amounts.items()
    ]


def fill_entries(leg: Leg, fill: Fill) -> list[Entry]:
    """The transaction of one fill: cash by the exchange's rows, market and fees by the fill, rounding between."""
    booked = booked_rows(leg, fill)
    figures = {row.asset: row for row in figure_rows(leg, fill)}
    entries: list[Entry] = []
    for asset, row in booked.items():
        figure = figures.get(asset, LedgerRow(asset, ZERO))
        cash = row.amount - row.fee
        entries += [
            (asset, Account.CASH, cash),
            (asset, Account.MARKET, -figure.amount),
            (asset, Account.FEES, figure.fee),
            (asset, Account.ROUNDING, figure.amount - figure.fee - cash),
        ]
    return [entry for entry in entries if entry[2]]


def odd_rounding(booked: Booked, pair: Pair, asset_of: Callable[[str], Asset | None]) -> list[str]:
    """Differences between a fill and its rows beyond one unit of precision: each is worth an alert (TRADING 25).

    The unit is the coarser of the asset's own and the one the pair reports in; amount and fee round each for
    itself, half a unit each.
    """
    odd: list[str] = []
    for symbol, difference in booked.rounding.items():
        reported = unit(pair.qty_decimals if symbol == pair.base else pair.cost_decimals)
        asset = asset_of(symbol)
        one = reported if asset is None else max(reported, unit(asset.decimals))
        if abs(difference) > one:
            odd.append(
                f"{pair.symbol}: the fill and the exchange's ledger differ by {plain(difference)} {symbol}, "
                f"more than {plain(one)}; compare the trade with the account's ledger"
            )
    return odd


def _sums(entries: Iterable[Entry], wanted: Account) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for asset, account, amount in entries:
        if account is wanted:
            sums[asset] = sums.get(asset, ZERO) + amount
    return {asset: amount for asset, amount in sums.items() if amount}
