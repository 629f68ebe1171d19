"""The paper venue by the rules of TRADING 29-31, and what it may never do: fill the same liquidity twice."""

from collections.abc import Iterator
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import (
    Accepted,
    Asset,
    Done,
    DoneReason,
    Fee,
    FeeCurrency,
    Fill,
    LedgerRow,
    Order,
    OrderEvent,
    Pair,
    PairStatus,
    Rejected,
    Side,
    TimeInForce,
)
from arbitrade_core.errors import InvariantError
from arbitrade_core.execution.paper import OrderRate, PaperVenue
from arbitrade_core.market import Block
from arbitrade_core.money import exact
from tests.execution.worlds import Seen, World, listing

RICH = {"USD": D(1_000_000), "BTC": D(1_000)}
LATENCY_NS = 20_000_000


class Shop(World):
    """A world whose desk only writes down what the venue tells."""

    def __init__(self, venue: PaperVenue | None = None, pair: Pair | None = None, fee: Fee | None = None) -> None:
        super().__init__([pair or listing("BTC/USD")], RICH, fee)
        self.heard: list[OrderEvent] = []
        self.paper = venue or PaperVenue("test", funds=self.ledger.cash, latency_ns=LATENCY_NS)
        self.uses(self.paper)
        self.sees("BTC/USD", bids=[("99", "1"), ("98", "2")], asks=[("100", "1"), ("101", "2"), ("102", "5")])

    def deliver(self, event: OrderEvent, now: int) -> None:
        self.heard.append(event)

    def order(self, name: str, qty: str, limit: str, number: int = 0, tif: TimeInForce = TimeInForce.IOC) -> Order:
        leg = self.market.leg(self.leg_id(name))
        order_id = f"o{number or len(self.heard) + 1}"
        return Order(order_id, "p", "test", leg, D(qty), D(limit), self.one_fee, tif)

    def asks(self, order: Order) -> list[OrderEvent]:
        """Submit and wait for the reports."""
        self.heard.clear()
        self.paper.submit(order, self.now)
        self.passes(LATENCY_NS)
        return list(self.heard)

    def fills(self, order: Order) -> list[tuple[D, D]]:
        """(price, quantity) of each fill."""
        return [(event.price, event.qty) for event in self.asks(order) if isinstance(event, Fill)]


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def rejected(events: list[OrderEvent]) -> str:
    assert len(events) == 1
    assert isinstance(events[0], Rejected)
    return events[0].reason


# --- TRADING 30: latency, fills, slippage -----------------------------------------------------------------------


def test_trading_30_an_order_meets_the_book_that_is_here_after_the_round_trip() -> None:
    shop = Shop()
    shop.paper.submit(shop.order("+BTC/USD", "1", "100"), shop.now)
    shop.passes(LATENCY_NS - 1)
    assert shop.heard == []
    shop.changes("BTC/USD", asks=[("100", "0"), ("100.5", "1")])
    shop.passes(1)
    assert shop.heard == [Accepted("o1"), Done("o1", DoneReason.CANCELED, D(0))]


def test_trading_30_commit_time_comes_on_top_of_the_round_trip() -> None:
    world = Shop()
    venue = PaperVenue("test", funds=world.ledger.cash, latency_ns=10, commit_ns=5)
    world.uses(venue)
    venue.submit(world.order("+BTC/USD", "1", "100"), world.now)
    world.passes(14)
    assert world.heard == []
    world.passes(1)
    assert isinstance(world.heard[-1], Done)


def test_trading_30_fills_level_by_level_up_to_the_limit_and_cancels_the_rest() -> None:
    events = (shop := Shop()).asks(shop.order("+BTC/USD", "4", "101"))
    assert [type(event) for event in events] == [Accepted, Fill, Fill, Done]
    first, second = (event for event in events if isinstance(event, Fill))
    assert (first.exec_id, first.price, first.qty, first.top) == ("o1-1", D(100), D(1), D(100))
    assert (second.exec_id, second.price, second.qty) == ("o1-2", D(101), D(2))
    assert second.fee_asset == "USD"
    assert second.fee == D("0.202")
    assert events[-1] == Done("o1", DoneReason.CANCELED, D(3))


def test_trading_30_a_whole_fill_is_reported_as_filled() -> None:
    events = (shop := Shop()).asks(shop.order("-BTC/USD", "3", "98"))
    assert events[-1] == Done("o1", DoneReason.FILLED, D(3))


def test_trading_30_fok_is_all_or_nothing() -> None:
    shop = Shop()
    assert shop.fills(shop.order("+BTC/USD", "4", "101", tif=TimeInForce.FOK)) == []
    assert shop.heard[-1] == Done("o1", DoneReason.CANCELED, D(0))
    assert not shop.paper.watches(0)
    assert len(shop.fills(shop.order("+BTC/USD", "3", "101", number=2, tif=TimeInForce.FOK))) == 2


def test_trading_30_a_quarantined_book_fills_nothing() -> None:
    shop = Shop()
    shop.market.quarantine(0, "test")
    assert shop.fills(shop.order("+BTC/USD", "1", "102")) == []
    assert shop.heard[-1] == Done("o1", DoneReason.CANCELED, D(0))


def test_trading_30_slippage_worsens_each_fill_never_past_the_limit() -> None:
    shop = Shop()
    shop.uses(venue := PaperVenue("test", funds=shop.ledger.cash, latency_ns=LATENCY_NS, slippage_bps=D(30)))
    shop.paper = venue
    assert shop.fills(shop.order("+BTC/USD", "3", "101.1")) == [(D("100.3"), D(1)), (D("101.1"), D(2))]
    assert shop.fills(shop.order("-BTC/USD", "3", "98", number=2)) == [(D("98.703"), D(1)), (D(98), D(2))]


def test_trading_30_slippage_is_rounded_to_the_tick_against_us() -> None:
    pair = listing("BTC/USD", price_decimals=1, tick=D("0.5"))
    shop = Shop(pair=pair)
    shop.uses(venue := PaperVenue("test", funds=shop.ledger.cash, latency_ns=LATENCY_NS, slippage_bps=D(1)))
    shop.paper = venue
    assert shop.fills(shop.order("+BTC/USD", "1", "102")) == [(D("100.5"), D(1))]
    assert shop.fills(shop.order("-BTC/USD", "1", "95", number=2)) == [(D("98.5"), D(1))]


def test_fills_are_booked_at_the_assets_own_precision() -> None:
    shop = Shop(fee=Fee(D("0.0026"), FeeCurrency.EITHER))
    shop.lists(Asset("USD", 2), Asset("BTC", 10))
    shop.changes("BTC/USD", asks=[("99.9999", "0.333333")])
    fill = shop.asks(shop.order("+BTC/USD", "0.333333", "100"))[1]
    assert isinstance(fill, Fill)
    assert fill.cost == D("33.33326667")
    assert fill.rows == (LedgerRow("BTC", D("0.333333")), LedgerRow("USD", D("-33.33"), D("0.09")))


def test_a_fee_established_in_the_base_asset_is_taken_there() -> None:
    shop = Shop(fee=Fee(D("0.0026"), FeeCurrency.BASE))
    fill = shop.asks(shop.order("+BTC/USD", "1", "100"))[1]
    assert isinstance(fill, Fill)
    assert (fill.fee, fill.fee_asset) == (D("0.0026"), "BTC")
    assert fill.rows[0] == LedgerRow("BTC", D(1), D("0.0026"))


# --- TRADING 31: refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qty", "limit", "tif", "reason"),
    [
        ("1", "100.05", TimeInForce.IOC, "price 100.05 is not a positive multiple of 0.1"),
        ("0.0015", "100", TimeInForce.IOC, "quantity 0.0015 is not a positive multiple of 0.001"),
        ("0", "100", TimeInForce.IOC, "quantity 0 is not"),
        ("0.009", "100", TimeInForce.IOC, "quantity 0.009 is below the minimum 0.01"),
        ("0.04", "100", TimeInForce.IOC, "cost 4 is below the minimum 5"),
        ("1", "100", TimeInForce.GTC, "time in force gtc"),
        ("10000", "100", TimeInForce.IOC, "insufficient funds: 1001000 USD needed, 1000000 there"),
    ],
)
def test_trading_31_refuses_what_the_exchange_would(qty: str, limit: str, tif: TimeInForce, reason: str) -> None:
    pair = listing(
        "BTC/USD", price_decimals=2, tick=D("0.1"), qty_decimals=4, lot=D("0.001"), qty_min=D("0.01"), cost_min=D(5)
    )
    shop = Shop(pair=pair)
    assert reason in rejected(shop.asks(shop.order("+BTC/USD", qty, limit, tif=tif)))


def test_trading_31_a_sell_needs_the_base_asset_and_a_base_fee() -> None:
    shop = Shop(fee=Fee(D("0.01"), FeeCurrency.BASE))
    assert "1010 BTC needed, 1000 there" in rejected(shop.asks(shop.order("-BTC/USD", "1000", "98")))


@pytest.mark.parametrize("status", [PairStatus.CANCEL_ONLY, PairStatus.MAINTENANCE, PairStatus.POST_ONLY])
def test_trading_31_refuses_a_pair_that_does_not_trade(status: PairStatus) -> None:
    shop = Shop()
    shop.market.list_pair(listing("BTC/USD", status=status))
    assert rejected(shop.asks(shop.order("+BTC/USD", "1", "100"))) == f"BTC/USD is {status.value}"


def test_trading_31_refuses_an_unknown_pair() -> None:
    shop, other = Shop(), World([listing("ADA/USD"), listing("ADA/EUR")], {})
    foreign = Order("o1", "p", "test", other.market.leg(3), D(1), D(1), shop.one_fee)
    assert rejected(shop.asks(foreign)) == "unknown pair ADA/EUR"


def test_trading_31_counts_orders_per_pair_with_decay() -> None:
    shop = Shop()
    shop.paper = PaperVenue(
        "test", funds=shop.ledger.cash, latency_ns=0, rate=OrderRate(threshold=3, decay_per_s=D("0.5"))
    )
    shop.uses(shop.paper)

    def answer(number: int) -> type[OrderEvent]:
        shop.heard.clear()
        shop.paper.submit(shop.order("+BTC/USD", "0.1", "1", number=number), shop.now)
        shop.passes(0)
        return type(shop.heard[0])

    assert [answer(number) for number in range(1, 5)] == [Accepted, Accepted, Accepted, Rejected]
    shop.passes(2_000_000_000 - 1)
    assert answer(5) is Rejected
    shop.passes(1)
    assert answer(6) is Accepted


def test_reliability_1_an_order_is_submitted_once() -> None:
    shop = Shop()
    shop.asks(shop.order("+BTC/USD", "1", "100"))
    with pytest.raises(InvariantError, match="o1 of plan p was submitted twice"):
        shop.paper.submit(shop.order("+BTC/USD", "1", "100", number=1), shop.now)


# --- TRADING 29: the overlay ------------------------------------------------------------------------------------


def taken_first(shop: Shop) -> None:
    assert shop.fills(shop.order("+BTC/USD", "1", "100", number=99)) == [(D(100), D(1))]


def test_trading_29_what_was_taken_cannot_be_taken_again() -> None:
    shop = Shop()
    taken_first(shop)
    assert shop.fills(shop.order("+BTC/USD", "1", "101")) == [(D(101), D(1))]
    assert dict(shop.paper.taken(0, Side.BUY)) == {1_000_000: 1_000_000, 1_010_000: 1_000_000}
    assert shop.market.books[0].asks.lots_at(1_000_000) == 1_000_000, "never written to the market"
    assert shop.fills(shop.order("-BTC/USD", "1", "99", number=3)) == [(D(99), D(1))], "the other side is untouched"


def test_trading_29_survives_a_refresh_which_may_show_more() -> None:
    shop = Shop()
    taken_first(shop)
    shop.changes("BTC/USD", asks=[("100", "1.5")])
    assert shop.fills(shop.order("+BTC/USD", "1", "100")) == [(D(100), D("0.5"))]


@pytest.mark.parametrize("level", [(1_000_000, 1_000_000), (1_020_000, 1), (1_000_000, 0)])
def test_trading_29_survives_a_resync_whatever_the_snapshot_says_of_the_level(level: tuple[int, int]) -> None:
    shop = Shop()
    taken_first(shop)
    snapshot = Seen(pair=0, snapshot=True, bids=[], asks=[level])
    shop.market.restore(snapshot, shop.now)
    shop.paper.on_update(snapshot, shop.now)
    shop.changes("BTC/USD", asks=[("100", "1")])
    assert shop.fills(shop.order("+BTC/USD", "1", "100")) == []


def test_trading_29_survives_truncation() -> None:
    shop = Shop()
    taken_first(shop)
    better = [(str(90 + number), "1") for number in range(10)]
    shop.sees("BTC/USD", asks=[("100", "1")])
    shop.changes("BTC/USD", asks=better)
    assert shop.market.books[0].asks.lots_at(1_000_000) == 0
    shop.changes("BTC/USD", asks=[(price, "0") for price, _ in better] + [("100", "1")])
    assert shop.fills(shop.order("+BTC/USD", "1", "100")) == []


def test_trading_29_ends_when_an_update_deletes_the_level() -> None:
    shop = Shop()
    taken_first(shop)
    assert shop.paper.watches(0)
    shop.changes("BTC/USD", bids=[("100", "0")])
    assert shop.paper.watches(0), "another side's delete is not this level's"
    shop.changes("BTC/USD", asks=[("100", "0"), ("100", "1")])
    assert not shop.paper.watches(0)
    assert shop.fills(shop.order("+BTC/USD", "1", "100")) == [(D(100), D(1))]


def test_trading_29_follows_a_pair_whose_increments_change() -> None:
    shop = Shop()
    taken_first(shop)
    shop.market.list_pair(listing("BTC/USD", price_decimals=2, qty_decimals=4))
    shop.sees("BTC/USD", asks=[("100", "3")])
    assert dict(shop.paper.taken(0, Side.BUY)) == {10_000: 10_000}
    assert shop.fills(shop.order("+BTC/USD", "3", "100")) == [(D(100), D(2))]


type Move = tuple[str, int, int]
"""("set" | "order" | "resync", ticks, lots)"""

moves = st.lists(
    st.tuples(st.sampled_from(["set", "set", "order", "order", "resync"]), st.integers(95, 105), st.integers(0, 6)),
    min_size=5,
    max_size=60,
)


@given(moves)
@settings(max_examples=150, deadline=None)
def test_trading_29_no_liquidity_is_filled_twice(script: list[Move]) -> None:
    """Against a model that knows nothing of overlays: per life of a level, taken never exceeds the most shown."""
    with exact():
        shop = Shop(pair=listing("BTC/USD", price_decimals=0, qty_decimals=0, qty_min=D(1), cost_min=D(1)))
        shop.paper = PaperVenue("test", funds=lambda asset: D(10**9), latency_ns=0, rate=OrderRate(10**6))
        shop.uses(shop.paper)
        shop.sees("BTC/USD")
        shown: dict[int, int] = {}
        taken: dict[int, int] = {}
        for number, (what, ticks, lots) in enumerate(script, start=1):
            match what:
                case "set":
                    shop.changes("BTC/USD", asks=[(str(ticks), str(lots))])
                    shown[ticks] = max(shown.get(ticks, 0), lots) if lots else 0
                    if lots == 0:
                        taken.pop(ticks, None)
                case "resync":
                    left = shop.market.books[0].asks.levels()
                    snapshot = Seen(pair=0, snapshot=True, bids=[], asks=left[: lots + 1])
                    shop.market.restore(snapshot, shop.now)
                    shop.paper.on_update(snapshot, shop.now)
                case _:
                    order = shop.order("+BTC/USD", str(lots + 1), str(ticks), number=number)
                    shop.paper.submit(order, shop.now)
                    shop.heard.clear()
                    shop.passes(0)
                    for fill in [event for event in shop.heard if isinstance(event, Fill)]:
                        assert fill.price <= order.limit
                        taken[int(fill.price)] = taken.get(int(fill.price), 0) + int(fill.qty)
            for level, amount in taken.items():
                assert amount <= shown[level]


def test_a_blocked_pair_keeps_its_overlay() -> None:
    shop = Shop()
    taken_first(shop)
    shop.market.block(0, Block.NO_BOOK)
    assert shop.paper.watches(0)
