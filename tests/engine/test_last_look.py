"""The last look before sending, fees, bans and staleness (TRADING 7, 16, 19, 28)."""

from dataclasses import replace
from decimal import Decimal

import pytest

from arbitrade_core.domain import Accepted, Done, DoneReason, Fill, Ns, Order, OrderEvent, Rejected, Severity
from arbitrade_core.execution.history import EndedOrders
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.pnl import DAY_NS
from tests.engine.harness import CHEAP, OVER_ETH, Scene
from tests.engine.watched import assert_books_add_up, assert_flat, assert_funnel_adds_up


def test_trading_7_without_fees_nothing_trades_and_the_reason_is_said() -> None:
    scene = Scene(fee=None)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=500)
    assert (scene.active, scene.planned, scene.engine.candidates) == (set(), [], 0)
    assert scene.desk.fees is None
    scene.charges("0.001")
    assert scene.planned == [OVER_ETH], "fees that become known rescore everything"
    assert scene.world.told("fees")[0].data["source"] == "a test"


def test_trading_7_new_fees_void_a_plan_that_was_not_sent() -> None:
    scene = Scene(commit_ms=50)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    scene.charges("0.0011")
    scene.passes(ms=41)
    assert scene.sent == []
    assert scene.world.told("drop")[0].data == {
        "plan": "test0001",
        "desk": "desk",
        "stage": "gone",
        "reason": "the fees changed",
    }
    assert scene.funnel["gone"] == 1
    assert scene.funnel["refused"]["cooldown"] >= 1
    assert_flat(scene.world)


def test_trading_7_the_same_fees_again_void_nothing() -> None:
    scene = Scene(commit_ms=50)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.fees_id = scene.fees_id.removesuffix("+")
    scene.world._load_fees()
    scene.passes(ms=300)
    assert scene.outcomes == ["completed"]


def test_trading_7_fees_that_are_old_stop_trading_until_they_are_read_again() -> None:
    scene = Scene(cooldown_ms=0)
    scene.passes(ms=24 * 3_600_000 + 1_000, silent=True)
    scene.sees("BTC/USD", bid="50000", ask="50001")
    scene.sees("ETH/USD", bid="1500", ask="1500.1")
    scene.sees("ETH/BTC", ask=CHEAP)
    assert scene.planned == []
    assert list(scene.funnel["refused"]) == ["fees"]
    scene.world._load_fees()
    scene.passes(ms=5_000)
    assert OVER_ETH in scene.planned


@pytest.mark.parametrize("withdrawn", ["price", "depth", "quarantine", "disconnect"])
def test_trading_16_what_is_gone_when_the_commit_returns_is_dropped_unsent(withdrawn: str) -> None:
    scene = Scene(commit_ms=50)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=20)
    match withdrawn:
        case "price":
            scene.sees("ETH/BTC", ask="0.03001")
        case "depth":
            scene.sees("ETH/BTC", ask=CHEAP, qty="0.1")
        case "quarantine":
            scene.sees("BTC/USD", bid="49999", right=False)
        case "disconnect":
            scene.disconnects()
    scene.passes(ms=31)
    assert scene.sent == []
    (drop,) = scene.world.told("drop")
    assert drop.data["stage"] == "gone"
    assert scene.funnel["gone"] == 1
    assert scene.desk.available("USD") == 10_000, "what was reserved is free again"
    assert_funnel_adds_up(scene.world)


def test_trading_16_what_another_plan_was_promised_does_not_count_as_gone() -> None:
    scene = Scene(
        ("BTC/USD", "ETH/BTC", "ETH/USD", "BTC/EUR", "ETH/EUR", "EUR/USD"),
        balances={"USD": "1000", "EUR": "1000"},
        start_assets=("USD", "EUR"),
    )
    scene.sees("ETH/BTC", ask=CHEAP, qty="10")
    scene.passes(ms=300)
    assert (scene.outcomes, scene.funnel["gone"]) == (["completed", "completed"], 0)


def test_trading_19_the_leg_that_failed_is_banned_with_its_siblings_until_the_ban_ends() -> None:
    scene = Scene(
        ("BTC/USD", "ETH/BTC", "ETH/USD", "BTC/EUR", "ETH/EUR", "EUR/USD"),
        balances={"USD": "10000", "EUR": "10000"},
        start_assets=("USD", "EUR"),
        leg_ban_s=10,
        cooldown_ms=0,
    )
    scene.sees("ETH/EUR", bid="1100", ask="1200.1")
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    scene.sees("ETH/BTC", ask="0.03001")
    scene.passes(ms=300)
    assert (scene.planned, scene.outcomes) == ([OVER_ETH], ["unwound"])
    assert scene.world.told("ban")[0].data["leg"] == "+ETH/BTC"
    assert scene.desk.banned_until(scene.leg("+ETH/BTC")) is not None
    assert scene.desk.banned_until(scene.leg("+BTC/USD")) is None
    scene.sees("ETH/EUR", bid="1200", ask="1200.1")
    scene.sees("ETH/BTC", ask=CHEAP, qty="1000")
    scene.passes(ms=1_000)
    assert scene.planned == [OVER_ETH]
    assert scene.funnel["refused"] == {"banned_legs": 2}
    sibling = "+BTC/EUR +ETH/BTC -ETH/EUR"
    assert {record.data["key"] for record in scene.world.told("refusal")} == {OVER_ETH, sibling}
    scene.passes(ms=10_000)
    assert {OVER_ETH, sibling} == set(scene.planned[1:]), "the ban ended, and the desk looked again by itself"
    assert_funnel_adds_up(scene.world)
    assert_books_add_up(scene.world, scene.opening)


def test_trading_19_a_first_leg_that_finds_nothing_is_no_failure() -> None:
    scene = Scene(cooldown_ms=60_000)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    scene.sees("BTC/USD", bid="50100", ask="50500")
    scene.passes(ms=300)
    assert scene.outcomes == ["missed"]
    assert scene.world.told("ban") == []
    assert scene.desk.consecutive_failures == 0
    assert scene.desk.ledger.balances() == scene.opening


def test_trading_28_a_quiet_pair_is_normal_and_a_silent_connection_is_stale() -> None:
    scene = Scene()
    scene.passes(ms=60_000)
    scene.sees("ETH/BTC", ask=CHEAP)
    assert scene.planned == [OVER_ETH], "the other two have not moved for a minute"

    scene = Scene(commit_ms=5_000)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=5_001, silent=True)
    assert scene.sent == []
    assert "book age" in scene.world.told("drop")[0].data["reason"]
    assert scene.funnel["stale"] >= 1, "offered again when the plan was dropped, and refused for its age"
    scene.passes(ms=6_000)
    assert len(scene.planned) == 2, "the connection speaks again, and no price has moved"


def test_trading_28_a_message_that_was_long_under_way_is_stale() -> None:
    scene = Scene()
    update = scene._update("ETH/BTC", None, [(CHEAP, "10")], right=True)
    update.sent_ns -= 1_500_000_000
    scene.hears(update)
    assert scene.planned == []
    assert scene.funnel["stale"] == 1
    assert "feed lag 1500 ms" in scene.desk.last_stop[OVER_ETH]


class Deviant:
    """A paper venue that breaks its rules in one way."""

    def __init__(self, venue: PaperVenue, event: OrderEvent) -> None:
        self._venue = venue
        self._event = event

    def __getattr__(self, name: str) -> object:
        return getattr(self._venue, name)

    def start(self, port: object, now: Ns) -> None:
        self._port = port
        self._venue.start(port, now)  # type: ignore[arg-type]

    def submit(self, order: Order, now: Ns) -> None:
        self._venue.submit(order, now)
        self._port.deliver(self._event, now)  # type: ignore[attr-defined]


def ended() -> Scene:
    """A cycle has completed, and nothing is open."""
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=300)
    assert scene.outcomes == ["completed"]
    return scene


def told_of(scene: Scene, order_id: str) -> list[OrderEvent]:
    """Everything the venue said of an order that has ended."""
    record = scene.desk.conductor.history.orders.get(order_id)
    assert record is not None
    return [Accepted(order_id), *record.fills.values(), Done(order_id, DoneReason.FILLED, record.filled_qty)]


def test_reliability_5_what_a_venue_tells_again_after_the_end_is_ignored_and_counted() -> None:
    scene = ended()
    balances, records = scene.desk.ledger.accounts(), len(scene.world.records)
    events = [event for order in scene.sent for event in told_of(scene, order)]
    for event in reversed(events):
        scene.desk.conductor.on_event(event, scene.world.now)
    assert (scene.desk.halted, scene.desk.conductor.repeats) == (None, len(events))
    assert (scene.desk.ledger.accounts(), len(scene.world.records)) == (balances, records)


def test_reliability_5_what_a_venue_tells_again_of_a_leg_that_is_over_does_not_disturb_the_next() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=22)
    assert scene.sent == ["test0001-1", "test0001-2"]
    record = scene.desk.conductor._runs["test0001"].orders["test0001-1"]
    again: list[OrderEvent] = [*record.fills.values(), Done("test0001-1", DoneReason.FILLED, record.filled_qty)]
    for event in again:
        scene.desk.conductor.on_event(event, scene.world.now)
    scene.passes(ms=300)
    assert (scene.outcomes, scene.desk.halted, scene.desk.conductor.repeats) == (["completed"], None, 2)
    assert_books_add_up(scene.world, scene.opening)


@pytest.mark.parametrize("news", ["new fill", "other figures", "other rows", "other end", "rejected"])
def test_reliability_5_news_of_an_order_that_has_ended_halts_with_evidence(news: str) -> None:
    scene = ended()
    order_id = scene.sent[1]
    _, fill, done = told_of(scene, order_id)
    assert isinstance(fill, Fill)
    assert isinstance(done, Done)
    events: dict[str, OrderEvent] = {
        "new fill": replace(fill, exec_id="late", qty=Decimal(1)),
        "other figures": replace(fill, price=fill.price * 2),
        "other rows": replace(fill, rows=fill.rows[:1]),
        "other end": replace(done, filled_qty=done.filled_qty - 1),
        "rejected": Rejected(order_id, "changed our mind"),
    }
    balances = scene.desk.ledger.accounts()
    scene.desk.conductor.on_event(events[news], scene.world.now)
    assert scene.desk.ledger.accounts() == balances
    reason = str(scene.desk.halted)
    assert f"plan test0001 has ended with order {order_id} filled, {done.filled_qty:f} filled" in reason
    evidence = {"new fill": "fill late of 1 at", "other end": "its end as filled", "rejected": "changed our mind"}
    assert evidence.get(news, f"fill {fill.exec_id} of ") in reason


def test_an_ended_order_is_forgotten_after_a_day_and_beyond_a_number() -> None:
    scene = ended()
    records = [scene.desk.conductor.history.orders.get(order) for order in scene.sent]
    orders = EndedOrders(most=2)
    orders.keep([record for record in records if record], 0)
    assert [orders.get(order) is not None for order in scene.sent] == [False, True, True]
    orders.keep([], DAY_NS)
    assert orders.get(scene.sent[1]) is not None
    orders.keep([], DAY_NS + 1)
    assert orders.get(scene.sent[1]) is None


def test_a_venue_that_speaks_of_orders_that_are_not_ours_halts_the_desk() -> None:
    scene = Scene(decorate=lambda venue: Deviant(venue, Rejected("somebody-else", "no")))
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=500)
    assert scene.desk.halted is not None
    assert "somebody-else" in scene.desk.halted
    assert scene.world.alerts[-1].severity is Severity.CRITICAL
    scene.passes(ms=2_000)
    assert len(scene.planned) == 1
