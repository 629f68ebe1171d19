"""Faults and exchange-side changes on demand, for tests, demos and the simulation.

Frames that a call causes are delivered by the next `advance`.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from .exchange import SimulatedExchange
from .listing import PairListing
from .market import Event
from .session import Session

SYSTEM_STATES = ("online", "maintenance", "cancel_only", "post_only", "limit_only")
PAIR_STATES = (
    "online", "cancel_only", "delisted", "limit_only",
    "maintenance", "post_only", "reduce_only", "work_in_progress",
)  # fmt: skip


class Control:
    """Everything that can be done to a running simulated exchange. Unknown symbols raise KeyError."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self._exchange = exchange

    # --- the exchange's own doings ----------------------------------------------------------------------

    def set_system(self, system: str) -> None:
        if system not in SYSTEM_STATES:
            raise ValueError(f"unknown system state {system!r}: one of {', '.join(SYSTEM_STATES)}")
        self._exchange.change_system(system)

    def set_pair_status(self, symbol: str, status: str) -> None:
        if status not in PAIR_STATES:
            raise ValueError(f"unknown status {status!r} for {symbol}: one of {', '.join(PAIR_STATES)}")
        self._relist(symbol, lambda pair: replace(pair, status=status))

    def delist(self, symbol: str) -> None:
        self.set_pair_status(symbol, "delisted")

    def change_increments(
        self,
        symbol: str,
        *,
        price_precision: int | None = None,
        price_increment: Decimal | None = None,
        qty_precision: int | None = None,
        qty_increment: Decimal | None = None,
    ) -> None:
        """Change a pair's grid; an increment that is not given becomes one unit of its (new) precision.

        Raises ValueError when an increment is off its own grid.
        Resting levels move to the new grid, but book subscribers are not told: they must subscribe again.
        """

        def change(pair: PairListing) -> PairListing:
            price = pair.price_precision if price_precision is None else price_precision
            qty = pair.qty_precision if qty_precision is None else qty_precision
            return replace(
                pair,
                price_precision=price,
                price_increment=Decimal(1).scaleb(-price) if price_increment is None else price_increment,
                qty_precision=qty,
                qty_increment=Decimal(1).scaleb(-qty) if qty_increment is None else qty_increment,
                qty_min=max(round(pair.qty_min, qty), Decimal(1).scaleb(-qty)),
            )

        self._relist(symbol, change)

    def nudge(self, symbol: str, events: int = 1) -> None:
        """Ordinary market events on one pair, now."""
        for _ in range(events):
            self._exchange.event_on(symbol)

    def _relist(self, symbol: str, change: Callable[[PairListing], PairListing]) -> None:
        self._exchange.change_listing(change(self._exchange.market.pairs[symbol].listing))

    # --- faults -----------------------------------------------------------------------------------------

    def corrupt_next_checksum(self, symbol: str) -> None:
        """The pair's next book message is right but for its checksum."""
        self._exchange.plan_fault(self._known(symbol), "corrupt")

    def drop_next(self, symbol: str) -> None:
        """The pair's next book message is never sent."""
        self._exchange.plan_fault(self._known(symbol), "drop")

    def duplicate_next(self, symbol: str) -> None:
        """The pair's next book message is sent twice."""
        self._exchange.plan_fault(self._known(symbol), "duplicate")

    def cross(self, symbol: str) -> None:
        """Cross a book (best bid above best ask) with a valid checksum, until the pair's next event."""
        change = self._exchange.market.cross(symbol, self._exchange.depths(symbol))
        self._exchange.publish(symbol, Event(change))

    def silence(self, session: Session, *, silent: bool = True) -> None:
        """A silent stall: the connection stays open, but says nothing; what it should have said is lost."""
        session.silent = silent

    def close(self, session: Session, code: int = 1006, reason: str = "") -> None:
        """End a connection: with a close code, or abruptly (1006: the server cuts the transport)."""
        session.close(code, reason)

    def _known(self, symbol: str) -> str:
        self._exchange.market.pairs[symbol]
        return symbol
