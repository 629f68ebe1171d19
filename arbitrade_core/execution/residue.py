"""Residue that orders in flight may take along, so that no two of them count on the same (TRADING 15, 25)."""

from decimal import Decimal

from arbitrade_core.domain import Order
from arbitrade_core.errors import InvariantError
from arbitrade_core.execution.remaining import booking_slack, rounding_fills
from arbitrade_core.legs import most_spent
from arbitrade_core.lifecycle import Run
from arbitrade_core.money import ZERO, plain, unit
from arbitrade_core.spi import MarketView
from arbitrade_core.subledgers import Ledgers


class ResiduePromises:
    """By order: what it may take of an asset's residue in the ledger of its strategy (TRADING 26)."""

    def __init__(self, ledgers: Ledgers, market: MarketView) -> None:
        self._ledgers = ledgers
        self._market = market
        self._promised: dict[str, tuple[str, str, Decimal]] = {}
        """strategy, asset, amount"""

    def promise(self, run: Run, order: Order) -> None:
        """What the order may take beyond the run's holdings: also as the room for rounding that it was sized with,
        at the pair's precision and where the exchange books coarser at the asset's."""
        leg, fills = order.leg, rounding_fills(run.plan)
        pair = self._market.pairs[leg.pair_id]
        most = most_spent(leg.side, pair, order.fee, order.qty, order.limit, fills)
        most += booking_slack(self._market.asset(leg.spends), pair, fills)
        over = min(most - run.holdings.get(leg.spends, ZERO), self.unpromised(leg.spends, run.plan.strategy))
        if over > 0:
            self._promised[order.id] = (run.plan.strategy, leg.spends, over)

    def release(self, order_id: str) -> None:
        self._promised.pop(order_id, None)

    def unpromised(self, asset: str, strategy: str = "") -> Decimal:
        own = self._ledgers.of(strategy)
        others = [(self._ledgers.of(one), of, amount) for one, of, amount in self._promised.values()]
        promised = sum((amount for ledger, of, amount in others if ledger is own and of == asset), ZERO)
        return own.residue(asset) - promised

    def cover(self, run: Run, order: Order, asset: str, short: Decimal) -> None:
        """A fill took `short` more than the run held: residue that the order was sized with, and roundings.

        Raises:
            InvariantError: it took more than both.
        """
        ledger = self._ledgers.of(run.plan.strategy)
        _, of, promised = self._promised.get(order.id, ("", "", ZERO))
        taken = min(short, ledger.residue(asset)) if of == asset else ZERO
        if taken > 0:
            ledger.use_residue(run.plan.id, asset, taken)
            self._promised[order.id] = (run.plan.strategy, asset, max(promised - taken, ZERO))
        known = self._market.asset(asset)
        # Amount and fee of each fill are booked at the asset's precision, half a unit each; the rest is ours.
        slack = ZERO if known is None else unit(known.decimals) * len(run.orders[order.id].fills)
        rest = short - taken
        if rest > slack:
            raise InvariantError(f"order {order.id} took {plain(rest)} {asset} that its plan did not hold")
        # The exchange knows one balance: what rounding took beyond the plan's came out of the residue beside it.
        if rest > 0 and (dust := min(rest, ledger.residue(asset))) > 0:
            ledger.use_residue(run.plan.id, asset, dust)

    def __len__(self) -> int:
        return len(self._promised)
