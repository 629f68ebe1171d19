"""Trades beside books: asked for at the same pace, and no trouble with them is trouble with a book."""

import orjson

from tests.kraken.exchange import SECOND, Bench, Sent, symbols_of

A, B = "BTC/USD", "ETH/USD"


def live(**settings: object) -> Bench:
    bench = Bench(trades=True, **settings).start().online(A, B)
    bench.go_live()
    bench.wait(SECOND, heartbeats=[1])
    return bench


def trades(bench: Bench, method: str = "subscribe") -> list[Sent]:
    return bench.asked(method, "trade")


def answer(bench: Bench, sent: Sent, **changes: object) -> None:
    for symbol in sent.request["params"]["symbol"]:
        result = {"channel": "trade", "symbol": symbol}
        reply = {"method": sent.request["method"], "result": result, "success": True}
        bench.frame(sent.conn, orjson.dumps(reply | {"req_id": sent.request["req_id"]} | changes))


def refuse(bench: Bench, sent: Sent) -> None:
    reply = {"method": sent.request["method"], "success": False, "error": "no", "req_id": sent.request["req_id"]}
    for symbol in sent.request["params"]["symbol"]:
        bench.frame(sent.conn, orjson.dumps(reply | {"symbol": symbol}))


def test_nothing_is_asked_for_unless_wanted() -> None:
    bench = Bench().start().online(A, B)
    bench.go_live()
    bench.wait(SECOND, heartbeats=[1])
    assert trades(bench) == []


def test_trades_of_the_pairs_carried_are_asked_for_without_a_snapshot() -> None:
    bench = live()
    (request,) = trades(bench)
    assert request.request["params"] == {"channel": "trade", "symbol": [A, B], "snapshot": False}
    answer(bench, request)
    bench.wait(20 * SECOND, heartbeats=[1])
    assert len(trades(bench)) == 1


def test_a_refusal_is_told_and_tried_again_and_the_books_stay() -> None:
    bench = live()
    refuse(bench, trades(bench)[0])
    assert set(bench.fault_kinds()) == {"trade_subscribe_refused"}
    assert bench.usable(A)
    assert bench.usable(B)
    bench.wait(6 * SECOND, heartbeats=[1])
    assert len(trades(bench)) == 2
    assert bench.quarantined == []
    assert bench.asked("unsubscribe") == []


def test_without_an_answer_they_are_left_and_asked_for_anew() -> None:
    bench = live()
    bench.wait(12 * SECOND, heartbeats=[1])
    (left,) = trades(bench, "unsubscribe")
    refuse(bench, left)
    bench.wait(SECOND, heartbeats=[1])
    assert symbols_of(trades(bench)[1:]) == [A, B]
    assert bench.usable(A)


def test_a_pair_that_is_dropped_is_left() -> None:
    bench = live()
    answer(bench, trades(bench)[0])
    bench.feed.carry([bench.id(A)], bench.now)
    bench.wait(SECOND, heartbeats=[1])
    (left,) = trades(bench, "unsubscribe")
    assert left.request["params"] == {"channel": "trade", "symbol": [B]}
    answer(bench, left)
    bench.feed.carry([bench.id(A), bench.id(B)], bench.now)
    bench.wait(SECOND, heartbeats=[1])
    assert trades(bench)[-1].request["params"]["symbol"] == [B]


def test_a_new_connection_asks_for_them_again() -> None:
    bench = live()
    answer(bench, trades(bench)[0])
    bench.close(1)
    bench.wait(SECOND)
    conn = bench.connects[-1][0]
    bench.open(conn)
    bench.wait(SECOND, heartbeats=[conn])
    assert [sent.request["params"]["symbol"] for sent in trades(bench) if sent.conn == conn] == [[A, B]]


def test_a_trade_frame_is_counted_and_wakes_nothing() -> None:
    bench = live()
    sent = len(bench.sent)
    assert bench.frame(1, b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD"}]}') == ()
    assert bench.frame(1, b'{"type":"update","channel":"trade","data":[]}') == []
    assert bench.feed.ignored["trade"] == 2
    assert len(bench.sent) == sent
