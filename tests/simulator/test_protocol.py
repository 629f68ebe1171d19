"""The sans-I/O session, item by item of the protocol reference (PROTOCOL 1.2 - 1.8)."""

import json
import re
from typing import Any

from arbitrade_kraken.simulator.control import Control
from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange
from arbitrade_kraken.simulator.session import POLICY_VIOLATION, RequestLimit, Session

T0 = DEFAULT_START_NS
SECOND = 1_000_000_000
TIMES = r'"time_in":"2026-11-02T12:00:00\.000000Z","time_out":"2026-11-02T12:00:00\.0000\d\dZ"'


def still_exchange(pairs: int = 12, **knobs: Any) -> SimulatedExchange:
    """One whose market only moves when nudged."""
    return SimulatedExchange(7, pairs, messages_per_s=0, **knobs)


def connected(exchange: SimulatedExchange) -> Session:
    session = exchange.open_session(T0)
    exchange.advance(T0)
    return session


def request(method: str, req_id: int | None = None, **params: object) -> str:
    message: dict[str, object] = {"method": method, "params": params}
    if req_id is not None:
        message["req_id"] = req_id
    return json.dumps(message)


def texts(frames: list[tuple[Session, bytes]]) -> list[str]:
    return [frame.decode() for _, frame in frames]


def is_just(frame: bytes, pattern: str) -> bool:
    return re.fullmatch(pattern.replace("TIMES", TIMES), frame.decode()) is not None


# --- connection ---------------------------------------------------------------------------------------------


def test_status_comes_first_with_an_id_beyond_float_precision() -> None:
    exchange = still_exchange()
    session = exchange.open_session(T0)
    ((to, frame),) = exchange.advance(T0)
    assert to is session
    assert session.connection_id > 2**53
    assert (
        frame
        == (
            f'{{"channel":"status","type":"update","data":[{{"version":"2.0.10","system":"online",'
            f'"api_version":"v2","connection_id":{session.connection_id},'
            f'"upcoming_maintenance":[],"emergency":[]}}]}}'
        ).encode()
    )


def test_heartbeats_every_second_from_the_first_subscription_on_busy_or_not() -> None:
    exchange = SimulatedExchange(7, 12, messages_per_s=100)
    session = connected(exchange)
    assert texts(exchange.advance(T0 + 5 * SECOND)) == []
    session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0 + 5 * SECOND)
    frames = texts(exchange.advance(T0 + 15 * SECOND))
    assert frames.count('{"channel":"heartbeat"}') == 10
    assert len(frames) > 10


def test_a_connection_without_traffic_is_closed_after_a_minute() -> None:
    exchange = still_exchange()
    idle, pinging = connected(exchange), connected(exchange)
    pinging.receive('{"method":"ping"}', T0 + 30 * SECOND)
    exchange.advance(T0 + 61 * SECOND)
    assert idle.closed is not None
    assert pinging.closed is None
    exchange.advance(T0 + 91 * SECOND)
    assert pinging.closed is not None


def test_pong_echoes_the_request_id() -> None:
    session = connected(still_exchange())
    (pong,) = session.receive('{"method":"ping","req_id":101}', T0)
    assert is_just(pong, r'\{"method":"pong","req_id":101,TIMES\}')
    (pong,) = session.receive('{"method":"ping"}', T0)
    assert is_just(pong, r'\{"method":"pong",TIMES\}')


# --- subscribe and unsubscribe ------------------------------------------------------------------------------


def test_one_acknowledgement_per_symbol_then_the_snapshots() -> None:
    session = connected(still_exchange())
    frames = session.receive(request("subscribe", 7, channel="book", symbol=["BTC/USD", "ETH/BTC"], depth=25), T0)
    acks, snapshots = frames[:2], frames[2:]
    for ack, symbol in zip(acks, ("BTC/USD", "ETH/BTC"), strict=True):
        assert is_just(
            ack,
            rf'\{{"method":"subscribe","req_id":7,"result":\{{"channel":"book","depth":25,"snapshot":true,'
            rf'"symbol":"{symbol}"\}},"success":true,TIMES\}}',
        )
    assert [json.loads(frame)["data"][0]["symbol"] for frame in snapshots] == ["BTC/USD", "ETH/BTC"]


def test_a_book_message_looks_like_a_recorded_one() -> None:
    exchange = still_exchange()
    session = connected(exchange)
    _, snapshot = session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    level = r'\{"price":\d+\.\d,"qty":\d+\.\d{8}\}'
    levels = rf"\[{level}(,{level}){{9}}\]"
    tail = r'"checksum":\d+,"timestamp":"2026-11-02T12:00:0\d\.\d{6}Z"'
    head = r'\{"channel":"book","type":"KIND","data":\[\{"symbol":"BTC/USD",'
    whole = rf'{head}"bids":{levels},"asks":{levels},{tail}\}}\]\}}'
    assert is_just(snapshot, whole.replace("KIND", "snapshot"))
    some = rf"\[({level}(,{level})*)?\]"
    Control(exchange).nudge("BTC/USD", 20)
    updates = exchange.advance(T0)
    assert len(updates) == 20
    for _, update in updates:
        assert is_just(update, rf'{head}"bids":{some},"asks":{some},{tail}\}}\]\}}'.replace("KIND", "update"))


def test_depth_defaults_to_ten_and_snapshot_may_be_declined() -> None:
    session = connected(still_exchange())
    ack, snapshot = session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    assert json.loads(ack)["result"] == {
        "channel": "book", "depth": 10, "snapshot": True, "symbol": "BTC/USD",
    }  # fmt: skip
    assert len(json.loads(snapshot)["data"][0]["bids"]) == 10
    (ack,) = session.receive(request("subscribe", channel="book", symbol=["ETH/USD"], snapshot=False), T0)
    assert json.loads(ack)["result"]["snapshot"] is False


def test_every_depth_of_the_whitelist_is_served_in_full_on_a_liquid_pair() -> None:
    session = connected(still_exchange())
    for depth in (10, 25, 100, 500, 1000):
        _, snapshot = session.receive(request("subscribe", channel="book", symbol=["BTC/USD"], depth=depth), T0)
        (data,) = json.loads(snapshot)["data"]
        assert len(data["bids"]) == len(data["asks"]) == depth
        assert [level["price"] for level in data["bids"]] == sorted(
            (level["price"] for level in data["bids"]), reverse=True
        )


def test_observed_rejections_word_for_word() -> None:
    session = connected(still_exchange())
    (answer,) = session.receive(request("subscribe", channel="book", symbol=["XBT/USDT"]), T0)
    assert is_just(
        answer,
        r'\{"error":"Currency pair not supported XBT/USDT","method":"subscribe","success":false,'
        r'"symbol":"XBT/USDT",TIMES\}',
    )
    (answer,) = session.receive(request("subscribe", channel="book", symbol=["BTC/USD"], depth=11), T0)
    assert is_just(answer, r'\{"error":"Subscription depth not supported","method":"subscribe","success":false,TIMES\}')
    (answer,) = session.receive(request("subscribe", 3, channel="books", symbol=["BTC/USD"]), T0)
    assert is_just(
        answer, r'\{"error":"Subscription name invalid","method":"subscribe","req_id":3,"success":false,TIMES\}'
    )


def test_symbols_are_case_sensitive_and_judged_one_by_one() -> None:
    session = connected(still_exchange())
    wanted = ["btc/usd", "BTC/USD", 5]
    frames = session.receive(request("subscribe", 9, channel="book", symbol=wanted), T0)
    answers = [json.loads(frame) for frame in frames if b'"method"' in frame]
    assert [(answer["success"], answer["req_id"]) for answer in answers] == [(False, 9), (True, 9), (False, 9)]
    assert answers[0]["symbol"] == "btc/usd"


def test_unsubscribe_must_carry_the_depth() -> None:
    exchange = still_exchange()
    session = connected(exchange)
    session.receive(request("subscribe", channel="book", symbol=["BTC/USD"], depth=100), T0)
    (answer,) = session.receive(request("unsubscribe", channel="book", symbol=["BTC/USD"]), T0)
    assert json.loads(answer)["success"] is False
    (answer,) = session.receive(request("unsubscribe", channel="book", symbol=["BTC/USD"], depth=100), T0)
    assert is_just(
        answer,
        r'\{"method":"unsubscribe","result":\{"channel":"book","depth":100,"symbol":"BTC/USD"\},'
        r'"success":true,TIMES\}',
    )
    Control(exchange).nudge("BTC/USD", 5)
    assert exchange.advance(T0) == []


def test_resync_on_one_socket_gives_a_fresh_snapshot_stamped_with_the_last_change() -> None:
    exchange = still_exchange()
    session = connected(exchange)
    session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    session.receive(request("unsubscribe", channel="book", symbol=["BTC/USD"]), T0)
    exchange.advance(T0 + 7 * SECOND)
    _, snapshot = session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0 + 7 * SECOND)
    assert json.loads(snapshot)["data"][0]["timestamp"] == "2026-11-02T12:00:00.000000Z"


def test_a_second_subscription_to_the_same_book_is_refused() -> None:
    session = connected(still_exchange())
    session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    (answer,) = session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    assert json.loads(answer)["success"] is False


def test_a_delayed_snapshot_comes_before_any_update() -> None:
    exchange = SimulatedExchange(7, 12, messages_per_s=5000, snapshot_delay_ms=(40, 400))
    session = connected(exchange)
    (ack,) = session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    assert json.loads(ack)["success"] is True
    assert exchange.advance(T0 + SECOND // 25) == []
    frames = [json.loads(text) for text in texts(exchange.advance(T0 + SECOND))]
    kinds = [frame["type"] for frame in frames if frame["channel"] == "book"]
    assert kinds[0] == "snapshot"
    assert set(kinds[1:]) == {"update"}


def test_unsubscribing_before_the_delayed_snapshot_cancels_it() -> None:
    exchange = still_exchange(snapshot_delay_ms=(40, 400))
    session = connected(exchange)
    session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    session.receive(request("unsubscribe", channel="book", symbol=["BTC/USD"]), T0)
    assert set(texts(exchange.advance(T0 + 2 * SECOND))) == {'{"channel":"heartbeat"}'}


def test_garbage_is_answered_and_never_raises() -> None:
    session = connected(still_exchange())
    params: tuple[object, ...] = ({}, [], "x", {"channel": []}, {"channel": "book", "symbol": "BTC/USD"})
    more: tuple[object, ...] = (
        {"channel": "book", "symbol": []},
        {"channel": "book", "symbol": [None, {}, []]},
        {"channel": "book", "symbol": ["BTC/USD"], "depth": "10"},
        {"channel": "book", "symbol": ["BTC/USD"], "depth": True},
        {"channel": "book", "symbol": ["BTC/USD"], "snapshot": 1},
        {"channel": "trade", "symbol": [""]},
    )
    garbage: list[str | bytes] = ["", "nope", "[]", "{}", '{"method":5}', '{"method":"fly"}', b"\xff\xfe"]
    for method in ("subscribe", "unsubscribe"):
        garbage += [json.dumps({"method": method, "params": each}) for each in params + more]
    now = T0
    for message in garbage:
        now += SECOND
        answers = session.receive(message, now)
        assert answers, message
        for answer in answers:
            assert json.loads(answer)["success"] is False, message
            assert "error" in json.loads(answer)
    assert session.closed is None


# --- limits -------------------------------------------------------------------------------------------------


def test_too_many_messages_are_refused_and_a_pause_heals() -> None:
    session = connected(still_exchange(request_limit=RequestLimit(per_s=10, burst=5)))
    answers = [session.receive('{"method":"ping"}', T0)[0] for _ in range(8)]
    assert [b"pong" in answer for answer in answers] == [True] * 5 + [False] * 3
    assert is_just(answers[-1], r'\{"error":"Exceeded msg rate","method":"ping","success":false,TIMES\}')
    assert b"pong" in session.receive('{"method":"ping"}', T0 + SECOND)[0]


def test_a_flagrant_breach_is_a_policy_violation() -> None:
    exchange = still_exchange(request_limit=RequestLimit(per_s=10, burst=5))
    session = connected(exchange)
    session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    for _ in range(200):
        session.receive('{"method":"ping"}', T0)
    assert session.closed is not None
    assert session.closed.code == POLICY_VIOLATION == 1008
    assert session.receive('{"method":"ping"}', T0 + SECOND) == []
    Control(exchange).nudge("BTC/USD", 3)
    assert exchange.advance(T0 + SECOND) == []


# --- instrument and trade -----------------------------------------------------------------------------------


def test_instrument_data_is_an_object_in_snapshot_and_update() -> None:
    exchange = still_exchange()
    session = connected(exchange)
    ack, snapshot = session.receive(request("subscribe", 1, channel="instrument"), T0)
    assert json.loads(ack)["result"] == {"channel": "instrument", "snapshot": True}
    data = json.loads(snapshot)["data"]
    assert {pair["symbol"] for pair in data["pairs"]} == set(exchange.universe.pairs)
    assert {asset["id"] for asset in data["assets"]} == set(exchange.universe.assets)
    assert b'"qty_increment":1e-08' in snapshot
    Control(exchange).set_pair_status("BTC/USD", "maintenance")
    ((_, update),) = exchange.advance(T0)
    message = json.loads(update)
    assert message["type"] == "update"
    assert message["data"]["assets"] == []
    (pair,) = message["data"]["pairs"]
    assert (pair["symbol"], pair["status"]) == ("BTC/USD", "maintenance")


def test_trades_come_before_the_book_update_they_cause_with_the_same_timestamp() -> None:
    exchange = still_exchange()
    session = connected(exchange)
    session.receive(request("subscribe", channel="trade", symbol=["BTC/USD"]), T0)
    _, snapshot = session.receive(request("subscribe", channel="book", symbol=["BTC/USD"]), T0)
    best, second = json.loads(snapshot)["data"][0]["asks"][:2]
    lots = round((best["qty"] + second["qty"] / 2) * 1e8)
    fills = exchange.take("BTC/USD", "buy", lots)
    trade, update = (json.loads(text) for text in texts(exchange.advance(T0)))
    assert sum(fill.lots for fill in fills) == lots
    assert [entry["price"] for entry in trade["data"]] == [best["price"], second["price"]]
    assert {entry["side"] for entry in trade["data"]} == {"buy"}
    first_id = trade["data"][0]["trade_id"]
    assert [entry["trade_id"] for entry in trade["data"]] == [first_id, first_id + 1]
    assert list(trade["data"][0]) == ["symbol", "side", "price", "qty", "ord_type", "trade_id", "timestamp"]
    assert update["data"][0]["asks"][0] == {"price": best["price"], "qty": 0.0}
    assert update["data"][0]["timestamp"] == trade["data"][0]["timestamp"]


def test_the_trade_snapshot_holds_the_last_fifty() -> None:
    exchange = still_exchange()
    session = connected(exchange)
    for _ in range(60):
        exchange.take("BTC/USD", "sell", 1)
    _, snapshot = session.receive(request("subscribe", channel="trade", symbol=["BTC/USD"], snapshot=True), T0)
    ids = [entry["trade_id"] for entry in json.loads(snapshot)["data"]]
    assert len(ids) == 50
    assert ids == sorted(ids)


def test_a_pair_with_whole_prices_sends_integers() -> None:
    exchange = still_exchange(pairs=1228)
    session = connected(exchange)
    _, snapshot = session.receive(request("subscribe", channel="book", symbol=["BTC/JPY"]), T0)
    assert re.search(rb'\{"price":\d+,"qty":', snapshot)
    assert not re.search(rb'"price":\d+\.', snapshot)


def test_a_pair_with_five_quantity_decimals_keeps_them() -> None:
    exchange = still_exchange(pairs=1228)
    session = connected(exchange)
    symbol = next(pair.symbol for pair in exchange.universe.pairs.values() if pair.qty_precision == 5)
    _, snapshot = session.receive(request("subscribe", channel="book", symbol=[symbol]), T0)
    quantities = re.findall(rb'"qty":([0-9.]+)', snapshot)
    assert quantities
    assert all(re.fullmatch(rb"\d+\.\d{5}", qty) for qty in quantities)


def test_a_thin_book_sends_what_it_has() -> None:
    exchange = still_exchange(pairs=1228)
    session = connected(exchange)
    symbol = next(symbol for symbol, traits in exchange.universe.traits.items() if traits.levels < 10)
    _, snapshot = session.receive(request("subscribe", channel="book", symbol=[symbol]), T0)
    (data,) = json.loads(snapshot)["data"]
    assert 0 < len(data["bids"]) < 10
    assert 0 < len(data["asks"]) < 10
