"""A desk's ledgers: the main one, and one of its own for each strategy that has an allocation (TRADING 26).

Balance, inventory and residue of a strategy are its ledger's alone; the account as a whole, which is what the exchange
shows, is the sum of all. Accounts of a strategy are told as `statarb:cash`.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from arbitrade_core.ledger import Account, Ledger
from arbitrade_core.money import ZERO

_MARK = ":"

type Free = Callable[[str, str], Decimal]
"""Cash of (asset, strategy) that may be moved: in no open plan, in no reserve; strategy "" is the main ledger."""


class Ledgers:
    """Call under `money.exact()`."""

    def __init__(self, desk_id: str) -> None:
        self.desk_id = desk_id
        self.main = Ledger(desk_id)
        self._own: dict[str, Ledger] = {}

    def of(self, strategy: str) -> Ledger:
        """The strategy's own, or the main one when it has no allocation."""
        return self._own.get(strategy, self.main)

    def has_own(self, strategy: str) -> bool:
        return strategy in self._own

    # --- bookings ---

    def open(self, balances: Mapping[str, Decimal]) -> None:
        self.main.open(balances)

    def restore(self, accounts: Iterable[tuple[str, str, Decimal]]) -> None:
        """Take over the accounts of an earlier run, as `accounts()` gave them, into empty ledgers."""
        by_strategy: dict[str, list[tuple[str, str, Decimal]]] = {"": []}
        for asset, name, amount in accounts:
            strategy, _, account = name.rpartition(_MARK)
            by_strategy.setdefault(strategy, []).append((asset, account, amount))
        for strategy, own in by_strategy.items():
            self._opened(strategy).restore(own)

    def fund(self, strategy: str, allocation: Mapping[str, Decimal], free: Free) -> dict[str, Decimal]:
        """Bring what a strategy was handed in line with its allocation, as far as free cash goes.

        What it was handed so far is its ledger's `external` account, so that the same allocation again, in this run
        or after a restart, moves nothing, whatever the strategy has made of it. Of an asset that is allocated less,
        no more comes back than was handed: what it won stays its own. Returns what is still missing.
        """
        own = self._opened(strategy)
        handed = self.handed(strategy)
        missing: dict[str, Decimal] = {}
        for asset in sorted({*allocation, *handed}):
            change = allocation.get(asset, ZERO) - handed.get(asset, ZERO)
            if change > 0:
                moved = max(min(change, free(asset, "")), ZERO)
                if moved > 0:
                    self.main.allocate(own, asset, moved)
                if moved < change:
                    missing[asset] = change - moved
            elif change < 0:
                back = min(-change, free(asset, strategy))
                if back > 0:
                    own.allocate(self.main, asset, back)
        return missing

    def close(self, strategy: str) -> None:
        """Nothing is allocated to it any more: all it holds, gains and crumbs too, is the main ledger's.

        Only while no plan of it is open.
        """
        own = self._own.pop(strategy, None)
        if own is not None:
            self.main.absorb(own)

    def _opened(self, strategy: str) -> Ledger:
        if not strategy:
            return self.main
        return self._own.setdefault(strategy, Ledger(self.desk_id, strategy))

    # --- reading ---

    def handed(self, strategy: str) -> dict[str, Decimal]:
        """What a strategy was handed and has not given back, by asset; assets of nothing left out."""
        own = self._own.get(strategy)
        assets = [] if own is None else own.assets()
        handed = {asset: -own.totals(asset)[Account.EXTERNAL] for asset in assets if own is not None}
        return {asset: amount for asset, amount in handed.items() if amount}

    def balance(self, asset: str) -> Decimal:
        """Cash and residue of all, as the exchange shows it."""
        return sum((one.cash(asset) + one.residue(asset) for one in self._all()), ZERO)

    def balances(self) -> dict[str, Decimal]:
        """The same of every asset; assets of nothing left out."""
        totals: dict[str, Decimal] = {}
        for one in self._all():
            for asset, amount in one.balances().items():
                totals[asset] = totals.get(asset, ZERO) + amount
        return {asset: amount for asset, amount in sorted(totals.items()) if amount}

    def accounts(self) -> list[tuple[str, str, Decimal]]:
        """(asset, account, amount) of every account that is not empty, sorted: for the journal and `restore`."""
        rows = self.main.accounts()
        for strategy, own in self._own.items():
            rows += [(asset, f"{strategy}{_MARK}{account}", amount) for asset, account, amount in own.accounts()]
        return sorted(rows)

    def totals(self) -> list[tuple[str, Account, Decimal]]:
        """(asset, account, amount) over all ledgers, for whoever asks for the desk as a whole."""
        sums: dict[tuple[str, Account], Decimal] = {}
        for one in self._all():
            for asset, account, amount in one.accounts():
                key = (asset, Account(account))
                sums[key] = sums.get(key, ZERO) + amount
        return [(*key, amount) for key, amount in sorted(sums.items())]

    def problems(self) -> list[str]:
        """What is wrong with the books, in words; nothing when they are sound."""
        found = self.main.problems()
        for strategy, own in self._own.items():
            found += [f"{strategy}: {problem}" for problem in own.problems()]
        return found

    def consistent(self) -> bool:
        return not self.problems()

    def _all(self) -> list[Ledger]:
        return [self.main, *self._own.values()]
