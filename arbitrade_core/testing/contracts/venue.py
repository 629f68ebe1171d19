"""VENUE: what every venue that reaches no exchange must hold; one that does is proven against the exchange."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from arbitrade_core.domain import Done, Fill, Ns, Order, OrderEvent, PairStatus, Rejected, Side, TimeInForce
from arbitrade_core.errors import InvariantError
from arbitrade_core.money import ZERO, ceil_to, exact, floor_to
from arbitrade_core.spi import Venue, VenueKind
from arbitrade_core.testing.builders import QUIET, fee, leg, pair
from arbitrade_core.testing.clock import SimClock
from arbitrade_core.testing.contracts.rules import Contract, holds, holds_name, rule, skip
from arbitrade_core.testing.guard import watched
from arbitrade_core.testing.market import FakeMarket

_ORDERS = 60
_ENDS_WITHIN_S = 600
_RICH = Decimal(10**9)


class VenueContract(Contract[VenueKind]):
    KIND = "venue"

    @rule("VENUE-01", source="DESIGN 3")
    def test_venue_01_has_a_name(self) -> None:
        """It has a name, the one that `trading.venue` chooses it by, and says whether it reaches an exchange."""
        kind = self.make()
        holds_name(kind, self.KIND)
        holds(isinstance(kind.real, bool), f"`real` is {kind.real!r}; it must be True or False")

    @rule("VENUE-02", source="RELIABILITY 3")
    def test_venue_02_every_order_ends_once(self) -> None:
        """Every order comes to one end, Rejected or Done, and nothing is told of it after that."""
        floor = self._traded()
        for order in floor.orders:
            ends = [event for event in floor.of(order) if isinstance(event, Rejected | Done)]
            holds(len(ends) == 1, f"{words(order)} came to {len(ends)} ends within {_ENDS_WITHIN_S} s: {ends}")
            holds(floor.of(order)[-1] is ends[0], f"{words(order)}: something was told after its end")

    @rule("VENUE-03", source="RELIABILITY 5, TRADING 25")
    def test_venue_03_fills_sum_to_what_done_says(self) -> None:
        """Fills have ids of their own and sum to the figure of Done, which never exceeds the order."""
        floor = self._traded()
        for order in floor.orders:
            fills = floor.fills(order)
            filled = sum((fill.qty for fill in fills), ZERO)
            done = [event for event in floor.of(order) if isinstance(event, Done)]
            holds(not done or done[0].filled_qty == filled, f"{words(order)}: fills sum to {filled}, {done}")
            holds(done or not fills, f"{words(order)} was rejected and filled {filled}")
            holds(filled <= order.qty, f"{words(order)} filled {filled}")
            ids = [fill.exec_id for fill in fills]
            holds(len(set(ids)) == len(ids), f"{words(order)}: executions are numbered {ids}")

    @rule("VENUE-04", source="TRADING 14, 30")
    def test_venue_04_never_fills_beyond_the_limit(self) -> None:
        """No fill is worse than the order's limit, and each has a positive quantity: certificates rest on it."""
        floor = self._traded()
        for order in floor.orders:
            for fill in floor.fills(order):
                worse = fill.price > order.limit if order.leg.side is Side.BUY else fill.price < order.limit
                holds(not worse, f"{words(order)} filled at {fill.price}")
                holds(fill.qty > 0 and fill.price > 0, f"{words(order)} filled {fill.qty} at {fill.price}")

    @rule("VENUE-05", source="RELIABILITY 1")
    def test_venue_05_refuses_a_second_submit(self) -> None:
        """An id that was submitted before raises InvariantError, and trades nothing: an order is sent once, ever."""
        floor = self._floor()
        order = floor.order("+ETH/BTC", "1", "0.03001")
        floor.submit(order)
        floor.clock.passes(s=_ENDS_WITHIN_S)
        before = len(floor.told)
        for _ in range(2):
            try:
                floor.submit(order)
            except InvariantError:
                continue
            holds(False, f"{words(order)} was taken twice; raise InvariantError")
        floor.clock.passes(s=_ENDS_WITHIN_S)
        holds(len(floor.told) == before, f"the second submit was answered with {floor.told[before:][:1]}")

    @rule("VENUE-06", source="DESIGN 1")
    def test_venue_06_answers_by_timer(self) -> None:
        """Nothing is told inside `submit`, or before its time: the engine is in the middle of a step there."""
        floor = self._floor()
        for order in floor.some_orders():
            before = len(floor.told)
            floor.submit(order)
            holds(len(floor.told) == before, f"{words(order)}: {floor.told[before:][:1]} was told inside submit")
        floor.clock.passes(s=_ENDS_WITHIN_S)
        early = [at for at, now, _ in floor.told if at != now]
        holds(not early, "an event was delivered with another time than that of its timer")

    @rule("VENUE-07", source="TRADING 30")
    def test_venue_07_fills_nothing_on_a_broken_book(self) -> None:
        """A quarantined or empty book fills nothing: prices that are not proven are no prices."""
        for what in ("breaks", "empties"):
            floor = self._floor()
            getattr(floor.market, what)("ETH/BTC")
            order = floor.order("+ETH/BTC", "1", "0.03001")
            floor.submit(order)
            floor.clock.passes(s=_ENDS_WITHIN_S)
            holds(not floor.fills(order), f"{words(order)} filled on a book that {what}: {floor.fills(order)[:1]}")

    @rule("VENUE-08", source="TRADING 31")
    def test_venue_08_refuses_what_an_exchange_would(self) -> None:
        """Off the grid, below the minimums, of a pair that does not trade, or not funded: rejected, never filled."""
        for what, make in _WRONG.items():
            floor = self._floor(ZERO if what == "without funds" else _RICH)
            order = make(floor)
            floor.submit(order)
            floor.clock.passes(s=_ENDS_WITHIN_S)
            rejected = [event for event in floor.of(order) if isinstance(event, Rejected)]
            holds(rejected, f"{what}: {words(order)} was answered {floor.of(order)}; reject it with a reason")
            holds(rejected[0].reason.strip(), f"{what}: the rejection has no reason")

    @rule("VENUE-09", source="TRADING 29")
    def test_venue_09_takes_what_is_shown_once(self) -> None:
        """Two orders get no more at a price than the book shows: paper profits would else be counted twice."""
        floor = self._floor()
        one, other = (floor.order("+ETH/BTC", "10", "0.03001") for _ in range(2))
        for order in (one, other):
            floor.submit(order)
            floor.clock.passes(s=_ENDS_WITHIN_S)
        got = sum((fill.qty for order in (one, other) for fill in floor.fills(order)), ZERO)
        holds(got <= Decimal(10), f"10 ETH were shown at 0.03001, and two orders got {got}")
        taken = floor.venue.taken(floor.market.id("ETH/BTC"), Side.BUY)
        lots = floor.market.pairs[floor.market.id("ETH/BTC")].lots(got)
        holds(sum(taken.values()) == lots, f"{lots} lots were taken and still shown, `taken` says {dict(taken)}")
        holds(not got or floor.venue.watches(floor.market.id("ETH/BTC")), "it took, and does not watch the pair")

    @rule("VENUE-10", source="TRADING 25")
    def test_venue_10_figures_agree(self) -> None:
        """A fill's cost is its quantity times its price, and its fee is in one of the pair's two assets."""
        floor = self._traded()
        for order in floor.orders:
            listed = floor.market.pairs[order.leg.pair_id]
            for fill in floor.fills(order):
                with exact():
                    off = abs(fill.cost - fill.qty * fill.price)
                unit = Decimal(1).scaleb(-listed.cost_decimals)
                holds(off <= unit, f"{words(order)}: {fill.qty} at {fill.price} cost {fill.cost}")
                holds(fill.fee_asset in (listed.base, listed.quote), f"{words(order)}: the fee is in {fill.fee_asset}")
                holds(fill.fee >= 0, f"{words(order)}: the fee is {fill.fee}")

    @rule("VENUE-11", source="RELIABILITY 11")
    def test_venue_11_is_deterministic(self) -> None:
        """One made alike answers the same orders alike, at the same times: a replay must end the same."""
        one, other = self._traded().told, self._traded().told
        holds(one == other, "two made alike answered the same orders differently")

    @rule("VENUE-12", source="STYLE 5, 9")
    def test_venue_12_does_no_io_and_reads_no_clock(self) -> None:
        """No I/O, no clock, no chance, no threads: it is a state machine, and its time is the engine's."""
        self._traded()  # what is imported when first used is read from disk
        with watched() as seen:
            self._traded()
        holds(not seen, f"called {seen.first}")

    def _floor(self, funds: Decimal = _RICH) -> "Floor":
        kind = self.make()
        if kind.real:
            skip("it reaches an exchange: that is proven there")
        return Floor(kind, funds)

    def _traded(self) -> "Floor":
        """A floor on which orders of many kinds came to their ends."""
        floor = self._floor()
        for order in floor.some_orders():
            floor.submit(order)
            floor.clock.passes(ms=250)
        floor.clock.passes(s=_ENDS_WITHIN_S)
        return floor


def words(order: Order) -> str:
    return f"order {order.id} ({order.leg} {order.qty} at {order.limit})"


@dataclass
class Floor:
    """A desk's side of a venue (`spi.VenuePort`), on a market with depth."""

    kind: VenueKind
    funds: Decimal = _RICH
    clock: SimClock = field(default_factory=SimClock)

    def __post_init__(self) -> None:
        self.market = FakeMarket(pair("BTC/USD"), pair("ETH/BTC", tick="0.00001"), pair("ETH/USD"))
        for symbol, (bid, ask) in QUIET.items():
            self.market.sees(symbol, bid=bid, ask=ask)
        self.orders: list[Order] = []
        self.told: list[tuple[Ns, Ns, OrderEvent]] = []
        """(the time it was told with, the time it was, the event)"""
        self.venue: Venue = self.kind.open("desk", lambda asset: self.funds)
        self.venue.start(self, self.clock.now)

    @property
    def clockwork(self) -> SimClock:
        return self.clock

    def deliver(self, event: OrderEvent, now: Ns) -> None:
        self.told.append((now, self.clock.now, event))

    def submit(self, order: Order) -> None:
        if order not in self.orders:
            self.orders.append(order)
        with exact():
            self.venue.submit(order, self.clock.now)

    def of(self, order: Order) -> list[OrderEvent]:
        return [event for _, _, event in self.told if event.order_id == order.id]

    def fills(self, order: Order) -> list[Fill]:
        return [event for event in self.of(order) if isinstance(event, Fill)]

    def order(self, name: str, qty: str, limit: str, tif: TimeInForce = TimeInForce.IOC) -> Order:
        self._number = getattr(self, "_number", 0) + 1
        directed = leg(name, self.market.id(name[1:]))
        order_id = f"p{self._number}-1"
        return Order(order_id, f"p{self._number}", "desk", directed, Decimal(qty), Decimal(limit), fee(), tif)

    def some_orders(self) -> Iterator[Order]:
        """Of every size and limit, on the grid, the book changing between them."""
        rng = Random(3)  # noqa: S311 - orders that repeat
        for _ in range(_ORDERS):
            symbol = rng.choice(sorted(QUIET))
            pair_id = self.market.id(symbol)
            listed = self.market.pairs[pair_id]
            bid, ask = (Decimal(price) for price in QUIET[symbol])
            if rng.random() < 0.5:  # noqa: PLR2004
                self.market.shows(symbol, asks=[(str(ask), "3"), (str(ask + listed.tick), "4")])
            side = rng.choice(list(Side))
            factor = 1 + Decimal(rng.randint(-30, 30)) / 10_000
            top = ask if side is Side.BUY else bid
            limit = (floor_to if side is Side.SELL else ceil_to)(top * factor, listed.tick)
            qty = floor_to(Decimal(rng.choice([1, 50, 400, 900])) / 100, listed.lot)
            sign = "+" if side is Side.BUY else "-"
            yield self.order(f"{sign}{symbol}", str(qty), str(limit), rng.choice([TimeInForce.IOC, TimeInForce.FOK]))


def _offline(floor: Floor) -> Order:
    floor.market.stops("ETH/BTC", PairStatus.CANCEL_ONLY)
    return floor.order("+ETH/BTC", "1", "0.03001")


_WRONG: dict[str, Callable[[Floor], Order]] = {
    "a price off the grid": lambda floor: floor.order("+ETH/BTC", "1", "0.030015"),
    "a price of nothing": lambda floor: floor.order("-ETH/BTC", "1", "0"),
    "a quantity off the grid": lambda floor: floor.order("+ETH/BTC", "1.0000001", "0.03001"),
    "a quantity below the minimum": lambda floor: floor.order("+ETH/BTC", "0.000001", "0.03001"),
    "a pair that does not trade": _offline,
    "without funds": lambda floor: floor.order("+ETH/BTC", "1", "0.03001"),
}
