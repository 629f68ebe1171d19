"""Faults and changes on demand, as a client notices them."""

import json
from decimal import Decimal
from typing import Any

import pytest

from arbitrade_kraken.simulator.control import Control
from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange
from arbitrade_kraken.simulator.session import Session
from tests.simulator.lexeme_client import Client

T0 = DEFAULT_START_NS
SECOND = 1_000_000_000
PAIR = "BTC/USD"


class Watcher:
    """An exchange that only moves when nudged, and one client of it."""

    def __init__(self) -> None:
        self.exchange = SimulatedExchange(7, 12, messages_per_s=0)
        self.control = Control(self.exchange)
        self.session = self.exchange.open_session(T0)
        self.client = Client(10)
        self.subscribe("instrument")
        self.subscribe("book")
        self.sees()

    def subscribe(self, channel: str) -> list[dict[str, Any]]:
        return self.asks("subscribe", channel)

    def asks(self, method: str, channel: str) -> list[dict[str, Any]]:
        params = {"channel": channel, "symbol": [PAIR]}
        answers = self.session.receive(json.dumps({"method": method, "params": params}), self.exchange.now_ns)
        for frame in answers:
            self.client.see(frame)
        return [json.loads(frame) for frame in answers]

    def sees(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """What arrives for this client until then."""
        frames = self.exchange.advance(self.exchange.now_ns + round(seconds * SECOND))
        for _, frame in frames:
            self.client.see(frame)
        return [json.loads(frame) for session, frame in frames if session is self.session]


def test_corrupt_next_checksum_spoils_one_message() -> None:
    watcher = Watcher()
    watcher.control.corrupt_next_checksum(PAIR)
    watcher.control.nudge(PAIR, 5)
    assert len(watcher.sees()) == 5
    assert watcher.client.wrong == 1


def test_a_dropped_message_shows_in_the_next_checksum() -> None:
    watcher = Watcher()
    watcher.control.drop_next(PAIR)
    watcher.control.nudge(PAIR)
    assert watcher.sees() == []
    # A single drop may be made good by what follows on the same level; several are not.
    for _ in range(5):
        watcher.control.drop_next(PAIR)
        watcher.control.nudge(PAIR, 3)
    assert len(watcher.sees()) == 10
    assert watcher.client.wrong > 3


def test_a_duplicated_message_comes_twice() -> None:
    watcher = Watcher()
    watcher.control.duplicate_next(PAIR)
    watcher.control.nudge(PAIR)
    first, second = watcher.sees()
    assert first == second


def test_a_crossed_book_has_a_valid_checksum_and_lasts_until_the_next_event() -> None:
    watcher = Watcher()
    watcher.control.cross(PAIR)
    watcher.sees()
    bid, ask = watcher.client.books[PAIR].best()
    assert bid > ask
    watcher.control.nudge(PAIR)
    watcher.sees()
    bid, ask = watcher.client.books[PAIR].best()
    assert bid < ask
    assert watcher.client.wrong == 0


def test_a_silent_session_hears_nothing_not_even_heartbeats_and_stays_open() -> None:
    watcher = Watcher()
    watcher.control.silence(watcher.session)
    watcher.control.nudge(PAIR, 3)
    assert watcher.sees(seconds=10) == []
    assert watcher.session.receive('{"method":"ping"}', watcher.exchange.now_ns) == []
    assert watcher.session.closed is None
    watcher.control.silence(watcher.session, silent=False)
    assert {frame["channel"] for frame in watcher.sees(seconds=2)} == {"heartbeat"}


def test_closing_a_session_ends_its_stream_with_the_code() -> None:
    watcher = Watcher()
    watcher.control.close(watcher.session, 1008, "policy violation")
    assert watcher.session.closed is not None
    assert (watcher.session.closed.code, watcher.session.closed.reason) == (1008, "policy violation")
    watcher.control.nudge(PAIR)
    assert watcher.sees(seconds=2) == []
    assert watcher.exchange.depths(PAIR) == ()


def test_system_status_is_pushed_and_stops_the_market() -> None:
    exchange = SimulatedExchange(7, 12, messages_per_s=500)
    session = exchange.open_session(T0)
    session.receive(json.dumps({"method": "subscribe", "params": {"channel": "book", "symbol": [PAIR]}}), T0)
    Control(exchange).set_system("maintenance")
    frames = [json.loads(frame) for _, frame in exchange.advance(T0 + 3 * SECOND)]
    (status,) = [frame for frame in frames[1:] if frame["channel"] == "status"]
    assert status["data"][0]["system"] == "maintenance"
    assert not [frame for frame in frames if frame["channel"] == "book"]
    Control(exchange).set_system("online")
    assert any(b'"book"' in frame for _, frame in exchange.advance(T0 + 6 * SECOND))


def test_a_delisted_pair_falls_silent_and_cannot_be_subscribed() -> None:
    watcher = Watcher()
    watcher.control.delist(PAIR)
    (update,) = watcher.sees()
    assert update["data"]["pairs"][0]["status"] == "delisted"
    watcher.control.nudge(PAIR)
    assert watcher.sees() == []
    (answer,) = watcher.subscribe("book")
    assert answer["error"] == f"Currency pair not supported {PAIR}"


@pytest.mark.parametrize(
    ("change", "price_decimals"),
    [
        ({"price_precision": 3}, 3),
        ({"price_precision": 0}, 0),
        ({"price_precision": 2, "price_increment": Decimal("0.05")}, 2),
        ({"qty_precision": 5}, 1),
    ],
)
def test_changed_increments_are_announced_and_valid_after_resubscribing(
    change: dict[str, Any], price_decimals: int
) -> None:
    watcher = Watcher()
    watcher.control.change_increments(PAIR, **change)
    (update,) = watcher.sees()
    (pair,) = update["data"]["pairs"]
    assert pair["price_precision"] == price_decimals
    watcher.asks("unsubscribe", "book")
    watcher.client = Client(10)
    watcher.subscribe("book")
    watcher.control.nudge(PAIR, 200)
    watcher.sees()
    assert watcher.client.wrong == 0
    assert watcher.client.messages == 201
    bids, asks = watcher.client.books[PAIR].levels()
    step = Decimal(str(pair["price_increment"]))
    for price, _ in bids + asks:
        assert Decimal(price) % step == 0
        assert len(price.partition(".")[2]) == price_decimals


def test_an_increment_off_the_grid_changes_nothing() -> None:
    watcher = Watcher()
    with pytest.raises(ValueError, match="price_increment"):
        watcher.control.change_increments(PAIR, price_precision=1, price_increment=Decimal("0.05"))
    watcher.control.nudge(PAIR, 3)
    watcher.sees()
    assert watcher.client.wrong == 0


def test_unknown_states_are_refused_with_the_list_of_known_ones() -> None:
    control = Control(SimulatedExchange(7, 3))
    with pytest.raises(ValueError, match="cancel_only"):
        control.set_system("asleep")
    with pytest.raises(ValueError, match="reduce_only"):
        control.set_pair_status(PAIR, "asleep")


def test_faults_wait_for_the_pair_they_were_planned_for() -> None:
    watcher = Watcher()
    watcher.control.corrupt_next_checksum("ETH/USD")
    watcher.control.nudge(PAIR, 3)
    watcher.sees()
    assert watcher.client.wrong == 0
    with pytest.raises(KeyError):
        watcher.control.drop_next("XBT/USD")


def test_taking_liquidity_is_published_and_limited() -> None:
    watcher = Watcher()
    _, asks = watcher.client.books[PAIR].levels()
    limit = int(asks[2][0].replace(".", ""))
    fills = watcher.exchange.take(PAIR, "buy", 10**12, limit_ticks=limit)
    watcher.sees()
    assert [fill.ticks for fill in fills] == [int(price.replace(".", "")) for price, _ in asks[:3]]
    assert watcher.client.books[PAIR].levels()[1][:7] == asks[3:10]
    assert watcher.client.wrong == 0


def test_a_late_market_is_skipped_rather_than_caught_up_with() -> None:
    exchange = SimulatedExchange(7, 12, messages_per_s=1000, drop_late_ms=500)
    session: Session = exchange.open_session(T0)
    session.receive(json.dumps({"method": "subscribe", "params": {"channel": "book", "symbol": [PAIR]}}), T0)
    exchange.advance(T0 + 3600 * SECOND)
    assert exchange.dropped_events == pytest.approx(3_600_000, rel=0.01)
    assert exchange.market.events < 10
    exchange.advance(T0 + 3600 * SECOND + SECOND // 10)
    assert exchange.market.events > 50
