"""What desks do from time to time, all at the same instants: a mark that one of them asks for serves all.

Most desks of a sweep have nothing to tell then, so what a round costs each of them is what the sweep costs.
"""

from collections.abc import Sequence
from decimal import Decimal

from arbitrade_core.clock import Timers
from arbitrade_core.desk import Desk
from arbitrade_core.domain import Ns
from arbitrade_core.market import Market
from arbitrade_core.pnl import Mark

EVERY_NS = 5_000_000_000
"""How often inventory is marked, and refusals that time alone may end (loss windows, stale books) are put again."""


class Rounds:
    """Of all desks of one engine."""

    def __init__(self, market: Market, timers: Timers, desks: Sequence[Desk]) -> None:
        self._market = market
        self._timers = timers
        self._desks = desks

    def start(self, now: Ns) -> None:
        self._timers.at(now + EVERY_NS, self._round)

    def _round(self, now: Ns) -> None:
        marks: dict[str, Mark] = {}
        for desk in self._desks:
            valued_in = desk.valuation_asset
            mark = marks.get(valued_in)
            if mark is None:
                mark = marks[valued_in] = self._remembered(valued_in)
            desk.revalue(mark, now)
        self.start(now)

    def _remembered(self, valuation_asset: str) -> Mark:
        known: dict[str, Decimal | None] = {}

        def mark(asset: str) -> Decimal | None:
            if asset not in known:
                known[asset] = self._market.mark(asset, valuation_asset)
            return known[asset]

        return mark
