"""The paper venue: our orders against the live book, without touching it (TRADING 29-32).

Latency is one round trip: an order meets the book that is here when it has passed, and its reports arrive
then. What this desk took stays taken: an overlay of lots per price, kept here and never written to the
market, holds until the exchange deletes the level. So our own paper fills cannot be filled twice, and the
desk prices through them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.book import Level
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
    PairStatus,
    Rejected,
    Side,
    TimeInForce,
)
from arbitrade_core.errors import InvariantError
from arbitrade_core.events import BookUpdate
from arbitrade_core.money import BPS, ONE, ZERO, ceil_to, floor_to, nearest_decimals, plain
from arbitrade_core.spi import MarketView, VenuePort

_TAKES_IOC = frozenset({PairStatus.ONLINE, PairStatus.LIMIT_ONLY})
_NS_PER_S = 1_000_000_000
_COUNT = 100 * _NS_PER_S
"""One count of the order-rate counter, in units of a hundredth of a count per second times a nanosecond."""


@dataclass(frozen=True, slots=True)
class OrderRate:
    """How many orders a pair takes: a counter of +1 per order that decays steadily (PROTOCOL 2.6)."""

    threshold: int = 60
    decay_per_s: Decimal = ONE
    """at most two decimals; the defaults are those of the lowest tier"""


class PaperVenue:
    """Implements `spi.Venue`. IOC and FOK only: orders do not rest on paper."""

    name = "paper"

    def __init__(
        self,
        desk_id: str,
        *,
        funds: Callable[[str], Decimal],
        latency_ns: int = 20_000_000,
        slippage_bps: Decimal = ZERO,
        commit_ns: int = 0,
        rate: OrderRate | None = None,
    ) -> None:
        """`funds(asset)` is the account's balance; `commit_ns` is what the journal takes where it is not waited for."""
        self.desk_id = desk_id
        self._funds = funds
        self._delay_ns = latency_ns + commit_ns
        self._slippage = slippage_bps * BPS
        self._overlay = Overlay()
        self._pace = _Pace(rate or OrderRate())
        self._seen: set[str] = set()

    def start(self, port: VenuePort, now: Ns) -> None:
        self._port = port

    def submit(self, order: Order, now: Ns) -> None:
        """Send an order on its way. Raises `InvariantError` for an id that was submitted before (RELIABILITY 1)."""
        if order.id in self._seen:
            raise InvariantError(f"order {order.id} of plan {order.plan_id} was submitted twice; an order is sent once")
        self._seen.add(order.id)
        self._port.clockwork.at(now + self._delay_ns, lambda at: self._arrive(order, at))

    def taken(self, pair: PairId, side: Side) -> Mapping[int, int]:
        self._align(pair)
        return self._overlay.taken(pair, side)

    def watches(self, pair: PairId) -> bool:
        """Whether something is taken on this pair, so that its updates matter here."""
        return self._overlay.holds(pair)

    def on_update(self, update: BookUpdate, now: Ns) -> None:
        self._align(update.pair)
        self._overlay.prune(update)

    def _align(self, pair: PairId) -> None:
        if self._overlay.holds(pair):
            self._overlay.align(pair, self._port.market.pairs[pair])

    # --- at the exchange ---

    def _arrive(self, order: Order, now: Ns) -> None:
        deliver = self._port.deliver
        refusal = self._refusal(order, now)
        if refusal is not None:
            deliver(Rejected(order.id, refusal), now)
            return
        fills = self._match(order)
        deliver(Accepted(order.id), now)
        for fill in fills:
            deliver(fill, now)
        filled = sum((fill.qty for fill in fills), ZERO)
        deliver(Done(order.id, DoneReason.FILLED if filled == order.qty else DoneReason.CANCELED, filled), now)

    def _refusal(self, order: Order, now: Ns) -> str | None:
        """What the exchange would answer instead of taking the order (TRADING 31)."""
        market = self._port.market
        leg = order.leg
        if market.pair_id(leg.symbol) != leg.pair_id:
            return f"unknown pair {leg.symbol}"
        pair = market.pairs[leg.pair_id]
        if not self._pace.admits(leg.pair_id, now):
            return f"order rate exceeded on {pair.symbol}"
        if pair.status not in _TAKES_IOC:
            return f"{pair.symbol} is {pair.status.value}"
        if order.tif not in (TimeInForce.IOC, TimeInForce.FOK):
            return f"time in force {order.tif.value}: orders do not rest on paper, use ioc or fok"
        return _off_grid(order, pair) or self._unfunded(order, pair)

    def _unfunded(self, order: Order, pair: Pair) -> str | None:
        """Funds at the limit with the fee, which is what an exchange reserves (TRADING 13)."""
        in_base = order.fee.currency is FeeCurrency.BASE
        if order.leg.side is Side.BUY:
            needed = order.qty * order.limit * (ONE if in_base else ONE + order.fee.rate)
        else:
            needed = order.qty * (ONE + order.fee.rate if in_base else ONE)
        # An exchange reserves in units of its own precision; a fraction of one it cannot hold cannot be missing.
        needed = nearest_decimals(needed, pair.cost_decimals if order.leg.side is Side.BUY else pair.qty_decimals)
        funds = self._funds(order.leg.spends)
        if needed > funds:
            return f"insufficient funds: {plain(needed)} {order.leg.spends} needed, {plain(funds)} there"
        return None

    def _match(self, order: Order) -> list[Fill]:
        market = self._port.market
        leg = order.leg
        if not market.usable(leg.pair_id):
            return []
        pair = market.pairs[leg.pair_id]
        limit, wanted = pair.ticks(order.limit), pair.lots(order.qty)
        self._overlay.align(leg.pair_id, pair)
        levels = market.books[leg.pair_id].taken_by(leg.side).levels()
        plan = _take(levels, self._overlay.taken(leg.pair_id, leg.side), leg.side, limit, wanted)
        if order.tif is TimeInForce.FOK and sum(lots for _, lots in plan) < wanted:
            return []
        for ticks, lots in plan:
            self._overlay.take(leg.pair_id, leg.side, ticks, lots)
        top = pair.price(plan[0][0]) if plan else None
        return [
            self._fill(order, pair, number, pair.price(ticks), pair.qty(lots), top)
            for number, (ticks, lots) in enumerate(plan, start=1)
        ]

    def _fill(  # noqa: PLR0917 - one execution's figures
        self, order: Order, pair: Pair, number: int, shown: Decimal, qty: Decimal, top: Decimal | None
    ) -> Fill:
        price = self._slipped(order, pair, shown)
        cost = nearest_decimals(qty * price, pair.cost_decimals)
        in_base = order.fee.currency is FeeCurrency.BASE
        if in_base:
            fee = nearest_decimals(qty * order.fee.rate, pair.qty_decimals)
        else:
            fee = nearest_decimals(cost * order.fee.rate, pair.cost_decimals)
        sign = 1 if order.leg.side is Side.BUY else -1
        market = self._port.market
        rows = (
            _row(market, pair.base, sign * qty, fee if in_base else ZERO, pair.qty_decimals),
            _row(market, pair.quote, -sign * cost, ZERO if in_base else fee, pair.cost_decimals),
        )
        fee_asset = pair.base if in_base else pair.quote
        return Fill(order.id, f"{order.id}-{number}", qty, price, cost, fee, fee_asset, rows, top)

    def _slipped(self, order: Order, pair: Pair, shown: Decimal) -> Decimal:
        if not self._slippage:
            return shown
        if order.leg.side is Side.BUY:
            return min(ceil_to(shown * (ONE + self._slippage), pair.tick), order.limit)
        return max(floor_to(shown * (ONE - self._slippage), pair.tick), order.limit)


def _off_grid(order: Order, pair: Pair) -> str | None:
    if order.limit <= 0 or floor_to(order.limit, pair.tick) != order.limit:
        return f"price {plain(order.limit)} is not a positive multiple of {plain(pair.tick)}"
    if order.qty <= 0 or floor_to(order.qty, pair.lot) != order.qty:
        return f"quantity {plain(order.qty)} is not a positive multiple of {plain(pair.lot)}"
    if order.qty < pair.qty_min:
        return f"quantity {plain(order.qty)} is below the minimum {plain(pair.qty_min)}"
    if order.qty * order.limit < pair.cost_min:
        return f"cost {plain(order.qty * order.limit)} is below the minimum {plain(pair.cost_min)}"
    return None


def _take(levels: list[Level], taken: Mapping[int, int], side: Side, limit: int, wanted: int) -> list[Level]:
    """What an order takes: (ticks, lots) best first, within its limit, less what was taken before."""
    takes: list[Level] = []
    for ticks, shown in levels:
        if wanted == 0 or (ticks > limit if side is Side.BUY else ticks < limit):
            break
        lots = min(wanted, shown - taken.get(ticks, 0))
        if lots > 0:
            takes.append((ticks, lots))
            wanted -= lots
    return takes


def _row(market: MarketView, symbol: str, amount: Decimal, fee: Decimal, decimals: int) -> LedgerRow:
    """Booked at the asset's own precision; `decimals` when the asset is not listed."""
    asset = market.asset(symbol)
    places = decimals if asset is None else asset.decimals
    return LedgerRow(symbol, nearest_decimals(amount, places), nearest_decimals(fee, places))


class Overlay:
    """Lots this desk took, by pair, side of the order and price, until the exchange deletes the level (TRADING 29).

    A snapshot deletes nothing: it repeats what was there before our fills, which the exchange never saw.
    Neither does a level's falling out of depth, nor its refresh with another quantity.
    """

    def __init__(self) -> None:
        self._lots: dict[PairId, tuple[dict[int, int], dict[int, int]]] = {}
        """by pair, then by `Side`, lots by price tick"""
        self._grid: dict[PairId, tuple[int, int]] = {}

    def taken(self, pair: PairId, side: Side) -> Mapping[int, int]:
        sides = self._lots.get(pair)
        return sides[side] if sides else {}

    def holds(self, pair: PairId) -> bool:
        return pair in self._lots

    def take(self, pair: PairId, side: Side, ticks: int, lots: int) -> None:
        levels = self._lots.setdefault(pair, ({}, {}))[side]
        levels[ticks] = levels.get(ticks, 0) + lots

    def prune(self, update: BookUpdate) -> None:
        """Forget the levels that an update deletes."""
        sides = self._lots.get(update.pair)
        if sides is None or update.snapshot:
            return
        for side, changes in ((Side.SELL, update.bids), (Side.BUY, update.asks)):
            levels = sides[side]
            for ticks, lots in changes:
                if lots == 0:
                    levels.pop(ticks, None)
        if not any(sides):
            del self._lots[update.pair]

    def align(self, pair_id: PairId, pair: Pair) -> None:
        """A relisted pair may count in other ticks and lots: say what was taken in the new ones.

        A price that the new grid cannot express cannot come back, and is forgotten; a part of a lot counts
        whole.
        """
        old = self._grid.get(pair_id)
        self._grid[pair_id] = (pair.price_decimals, pair.qty_decimals)
        if old is None or old == self._grid[pair_id] or pair_id not in self._lots:
            return
        price_shift, qty_shift = pair.price_decimals - old[0], pair.qty_decimals - old[1]
        sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, levels in enumerate(self._lots[pair_id]):
            for ticks, lots in levels.items():
                price = Decimal(ticks).scaleb(price_shift)
                if price == int(price):
                    sides[side][int(price)] = int(ceil_to(Decimal(lots).scaleb(qty_shift), ONE))
        self._lots[pair_id] = sides


class _Pace:
    """The order-rate counter of every pair, in whole units so that it is exact (PROTOCOL 2.6)."""

    def __init__(self, rate: OrderRate) -> None:
        self._threshold = rate.threshold * _COUNT
        self._per_ns = int(rate.decay_per_s * 100)
        self._counters: dict[PairId, tuple[int, Ns]] = {}

    def admits(self, pair: PairId, now: Ns) -> bool:
        """Count one order; False when the counter has no room for it, and then it is not counted."""
        count, since = self._counters.get(pair, (0, now))
        count = max(0, count - (now - since) * self._per_ns) + _COUNT
        if count > self._threshold:
            return False
        self._counters[pair] = (count, now)
        return True
