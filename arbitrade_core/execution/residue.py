"""Residue that orders in flight may take along, so that no two of them count on the same (TRADING 15, 25)."""

from decimal import Decimal

from arbitrade_core.domain import Order
from arbitrade_core.errors import InvariantError
from arbitrade_core.execution.remaining import rounding_fills
from arbitrade_core.ledger import Ledger
from arbitrade_core.legs import most_spent
from arbitrade_core.lifecycle import Run
from arbitrade_core.money import ZERO, plain, unit
from arbitrade_core.spi import MarketView


class ResiduePromises:
    """By order: what it may take of an asset's residue."""

    def __init__(self, ledger: Ledger, market: MarketView) -> None:
        self._ledger = ledger
        self._market = market
        self._promised: dict[str, tuple[str, Decimal]] = {}

    def promise(self, run: Run, order: Order) -> None:
        """What the order may take beyond the run's holdings: also as the room for rounding that it was sized with."""
        leg = order.leg
        pair = self._market.pairs[leg.pair_id]
        most = most_spent(leg.side, pair, order.fee, order.qty, order.limit, rounding_fills(run.plan))
        over = min(most - run.holdings.get(leg.spends, ZERO), self.unpromised(leg.spends))
        if over > 0:
            self._promised[order.id] = (leg.spends, over)

    def release(self, order_id: str) -> None:
        self._promised.pop(order_id, None)

    def unpromised(self, asset: str) -> Decimal:
        promised = sum((amount for of, amount in self._promised.values() if of == asset), ZERO)
        return self._ledger.residue(asset) - promised

    def cover(self, run: Run, order: Order, asset: str, short: Decimal) -> None:
        """A fill took `short` more than the run held: residue that the order was sized with, and roundings.

        Raises:
            InvariantError: it took more than both.
        """
        of, promised = self._promised.get(order.id, ("", ZERO))
        taken = min(short, self._ledger.residue(asset)) if of == asset else ZERO
        if taken > 0:
            self._ledger.use_residue(run.plan.id, asset, taken)
            self._promised[order.id] = (asset, max(promised - taken, ZERO))
        known = self._market.asset(asset)
        # Amount and fee of each fill are booked at the asset's precision, half a unit each; the rest is ours.
        slack = ZERO if known is None else unit(known.decimals) * len(run.orders[order.id].fills)
        if short - taken > slack:
            raise InvariantError(f"order {order.id} took {plain(short - taken)} {asset} that its plan did not hold")

    def __len__(self) -> int:
        return len(self._promised)
