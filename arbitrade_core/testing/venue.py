"""A venue that answers each order as it was told to: the exchange's good days and its bad ones."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from arbitrade_core.domain import (
    Accepted,
    Done,
    DoneReason,
    FeeCurrency,
    Fill,
    LedgerRow,
    Ns,
    Order,
    Pair,
    PairId,
    Rejected,
    Side,
)
from arbitrade_core.errors import InvariantError
from arbitrade_core.events import BookUpdate
from arbitrade_core.money import ZERO, nearest_decimals
from arbitrade_core.spi import Venue, VenuePort
from arbitrade_core.testing.builders import MS


@dataclass(frozen=True, slots=True)
class Fills:
    """The order fills at its limit: whole, or a share of its lots, in so many pieces."""

    share: str = "1"
    pieces: int = 1
    after_ms: float = 20
    better_bps: int = 0
    """how much better than the limit, in basis points of it"""
    twice: bool = False
    """each fill is told twice, as after a reconnection"""


@dataclass(frozen=True, slots=True)
class Rejects:
    reason: str = "not today"
    after_ms: float = 20


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing is ever heard of the order: what became of it is unknown."""


type Answer = Fills | Rejects | Silent


class FakeVenue:
    """Implements `spi.Venue`. Orders are answered from the script; when that has run out, by `usually`.

    FakeVenue([Fills(), Fills(share="0.4"), Rejects("min size")])     # leg 1, leg 2, leg 3; then everything fills
    """

    name = "fake"

    def __init__(self, script: Iterable[Answer] = (), *, usually: Answer | Callable[[Order], Answer] = Fills()) -> None:
        self._script = deque(script)
        self._usually = usually
        self.orders: list[Order] = []
        """in the order in which they came"""

    def start(self, port: VenuePort, now: Ns) -> None:
        self._port = port

    def submit(self, order: Order, now: Ns) -> None:
        """Raises InvariantError for an id that was submitted before (RELIABILITY 1)."""
        if order.id in {known.id for known in self.orders}:
            raise InvariantError(f"order {order.id} of plan {order.plan_id} was submitted twice; an order is sent once")
        self.orders.append(order)
        match self._answer(order):
            case Fills() as fills:
                self._later(fills.after_ms, now, lambda at: self._fill(order, fills, at))
            case Rejects(reason, after_ms):
                self._later(after_ms, now, lambda at: self._port.deliver(Rejected(order.id, reason), at))
            case Silent():
                pass
            case unexpected:
                assert_never(unexpected)

    def taken(self, pair: PairId, side: Side) -> Mapping[int, int]:
        return {}

    def watches(self, pair: PairId) -> bool:
        return False

    def on_update(self, update: BookUpdate, now: Ns) -> None: ...

    def _answer(self, order: Order) -> Answer:
        if self._script:
            return self._script.popleft()
        return self._usually(order) if callable(self._usually) else self._usually

    def _later(self, ms: float, now: Ns, action: Callable[[Ns], None]) -> None:
        self._port.clockwork.at(now + round(ms * MS), action)

    def _fill(self, order: Order, answer: Fills, now: Ns) -> None:
        pair = self._port.market.pairs[order.leg.pair_id]
        whole = pair.lots(order.qty)
        left = filled = int(whole * Decimal(answer.share))
        self._port.deliver(Accepted(order.id), now)
        for piece in range(answer.pieces, 0, -1):
            lots = left // piece
            left -= lots
            if lots:
                fill = self._execution(order, pair, answer.pieces - piece + 1, pair.qty(lots), answer.better_bps)
                for _ in range(2 if answer.twice else 1):
                    self._port.deliver(fill, now)
        reason = DoneReason.FILLED if filled == whole else DoneReason.CANCELED
        self._port.deliver(Done(order.id, reason, pair.qty(filled)), now)

    def _execution(self, order: Order, pair: Pair, number: int, qty: Decimal, better_bps: int) -> Fill:
        limit = pair.ticks(order.limit)
        better = limit * better_bps // 10_000
        price = pair.price(limit - better if order.leg.side is Side.BUY else limit + better)
        cost = nearest_decimals(qty * price, pair.cost_decimals)
        in_base = order.fee.currency is FeeCurrency.BASE
        charged, decimals = (qty, pair.qty_decimals) if in_base else (cost, pair.cost_decimals)
        fee = nearest_decimals(charged * order.fee.rate, decimals)
        sign = 1 if order.leg.side is Side.BUY else -1
        rows = (
            LedgerRow(pair.base, sign * qty, fee if in_base else ZERO),
            LedgerRow(pair.quote, -sign * cost, ZERO if in_base else fee),
        )
        fee_asset = pair.base if in_base else pair.quote
        return Fill(order.id, f"{order.id}-{number}", qty, price, cost, fee, fee_asset, rows)


@dataclass(frozen=True, slots=True)
class FakeVenues:
    """Implements `spi.VenueKind`: every desk opens the venue that `make` makes."""

    make: Callable[[], Venue] = FakeVenue
    name: str = "fake"
    real: bool = False

    def open(self, desk_id: str, funds: Callable[[str], Decimal]) -> Venue:
        return self.make()
