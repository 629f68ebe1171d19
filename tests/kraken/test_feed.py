"""The feed as the engine sees it, over a scripted port with simulated time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest

from arbitrade_core.domain import Severity
from tests.kraken.exchange import (
    ASKS,
    BIDS,
    MS,
    SECOND,
    START,
    STATUS,
    Bench,
    book,
    instrument,
    instruments,
    snapshot,
    symbols_of,
)

A, B = "BTC/USD", "ETH/USD"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def live(*symbols: str, **settings: Any) -> Bench:
    bench = Bench(**settings).start().online(*symbols)
    bench.go_live()
    assert all(map(bench.usable, symbols))
    return bench


def resync_cycle(bench: Bench, symbol: str, conn: int = 1) -> None:
    """Answer the unsubscribe and subscribe of a resync, and send the snapshot."""
    bench.answer(bench.asked("unsubscribe")[-1])
    bench.answer(bench.asked("subscribe")[-1])
    bench.frame(conn, snapshot(symbol))


# --- start, listing, subscribing ---


def test_start_connects_once_and_asks_for_the_instruments_first() -> None:
    bench = Bench().start()
    assert bench.connects == [(1, START)]
    assert bench.sent == []
    bench.open(1)
    assert [sent.request["method"] for sent in bench.sent] == ["ping", "subscribe"]
    assert bench.sent[1].request["params"] == {"channel": "instrument", "snapshot": True}


def test_books_are_asked_for_when_carried_and_live_when_a_snapshot_verified() -> None:
    bench = Bench().start().online(A, B)
    (request,) = bench.asked("subscribe")
    assert request.request["params"] == {"channel": "book", "symbol": [A, B], "depth": 10, "snapshot": True}
    bench.answer(request)
    assert not bench.usable(A)
    assert bench.carried == []
    bench.frame(1, snapshot(A))
    assert bench.usable(A)
    assert not bench.usable(B)
    assert bench.carried == [(A, 1)]
    assert bench.faults == []


def test_carry_decides_what_is_subscribed() -> None:
    bench = live(A, B)
    bench.feed.carry([bench.id(B)], bench.now)
    (left,) = bench.asked("unsubscribe")
    assert left.request["params"] == {"channel": "book", "symbol": [A], "depth": 10}
    assert bench.carried[-1] == (A, None)
    assert not bench.usable(A)
    bench.frame(1, book(A, [("98.0", "1.00000000")], kind="update"))
    assert bench.feed.ignored["resyncing"] == 1
    bench.answer(left)
    bench.feed.carry([bench.id(A), bench.id(B)], bench.now)
    assert symbols_of(bench.asked("subscribe"))[-1] == A


def test_a_pair_dropped_and_wanted_again_before_the_answer_comes_back() -> None:
    bench = live(A, B)
    bench.feed.carry([bench.id(B)], bench.now)
    bench.feed.carry([bench.id(A), bench.id(B)], bench.now)
    resync_cycle(bench, A)
    assert bench.usable(A)


def test_pairs_are_spread_over_sockets_and_messages() -> None:
    symbols = [f"A{number}/USD" for number in range(7)]
    bench = Bench(symbols_per_socket=3, symbols_per_message=2).start().online(*symbols)
    assert [conn for conn, _ in bench.connects] == [1, 2, 3]
    for conn in (2, 3):
        bench.open(conn)
        bench.frame(conn, STATUS)
    assert [(sent.conn, sent.request["params"]["symbol"]) for sent in bench.asked("subscribe")] == [
        (1, symbols[0:2]),
        (1, symbols[2:3]),
        (2, symbols[3:5]),
        (2, symbols[5:6]),
        (3, symbols[6:7]),
    ]
    assert len(bench.asked("subscribe", "instrument")) == 1
    bench.go_live()
    bench.feed.carry([bench.id(symbol) for symbol in symbols[:6]], bench.now)
    assert bench.disconnects == [3]


def test_requests_are_paced() -> None:
    symbols = [f"A{number}/USD" for number in range(40)]
    bench = Bench(symbols_per_message=1, messages_per_s=20, message_burst=5).start().online(*symbols)
    bench.wait(2 * SECOND, heartbeats=[1])
    times = [sent.at for sent in bench.sent]
    assert len(times) == 42
    assert times[4] == START
    assert all(later - earlier >= 50 * MS for earlier, later in pairwise(times[5:]))
    assert len([at for at in times if at < START + SECOND]) <= 25


def test_a_pair_coming_online_is_subscribed_and_a_delisted_one_dropped() -> None:
    bench = Bench().start().online()
    bench.frame(1, instruments(instrument(A, status="work_in_progress"), kind="update"))
    bench.feed.carry([0], bench.now)
    assert bench.asked("subscribe") == []
    bench.frame(1, instruments(instrument(A), kind="update"))
    bench.go_live()
    assert bench.usable(A)
    bench.frame(1, instruments(instrument(A, status="cancel_only"), kind="update"))
    assert not bench.usable(A)
    assert bench.asked("unsubscribe") == []  # its book is kept for when trading resumes
    bench.frame(1, instruments(instrument(A, status="delisted"), kind="update"))
    assert symbols_of(bench.asked("unsubscribe")) == [A]


def test_a_pair_missing_from_a_new_snapshot_is_delisted() -> None:
    bench = live(A, B)
    bench.frame(1, instruments(instrument(B)))
    assert bench.market.pairs[bench.id(A)].status == "delisted"
    assert symbols_of(bench.asked("unsubscribe")) == [A]
    assert bench.usable(B)


def test_a_malformed_entry_costs_only_that_pair() -> None:
    bench = live(A, B)
    bench.frame(1, instruments(instrument(A, price_increment="x"), instrument(B, qty_min=1), kind="update"))
    assert bench.fault_kinds() == {"malformed_instrument": 1}
    assert not bench.usable(A)
    assert bench.usable(B)
    assert bench.market.pairs[bench.id(B)].qty_min == 1


def test_an_unknown_status_is_a_fault_and_out_of_use() -> None:
    bench = live(A)
    bench.frame(1, instruments(instrument(A, status="halted_by_moon"), kind="update"))
    assert bench.fault_kinds() == {"unknown_pair_status": 1}
    assert not bench.usable(A)


def test_unreadable_instruments_are_fetched_anew() -> None:
    bench = live(A)
    bench.frame(1, b'{"channel":"instrument","type":"update","data":{"pairs":7}}')
    assert bench.fault_kinds()["malformed_instruments"] == 1
    assert bench.disconnects == [1]
    assert len(bench.connects) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"price_precision": 2, "price_increment": 0.01},
        {"qty_precision": 5, "qty_increment": 1e-05},
        {"price_increment": 0.5},
    ],
)
def test_new_precision_or_increments_fetch_the_book_anew(change: dict[str, Any]) -> None:
    bench = live(A, B)
    bench.frame(1, instruments(instrument(A, **change), kind="update"))
    assert not bench.usable(A)
    assert symbols_of(bench.asked("unsubscribe")) == [A]
    bench.answer(bench.asked("unsubscribe")[-1])
    bench.answer(bench.asked("subscribe")[-1])
    levels = {"price_precision": ("100.00", "1.00000000"), "qty_precision": ("100.0", "1.00000")}
    level = levels.get(next(iter(change)), ("100.0", "1.00000000"))
    bench.frame(1, book(A, [level]))
    assert bench.usable(A)
    assert bench.usable(B)


# --- answers ---


def test_every_rejected_symbol_is_named_with_krakens_words_and_tried_again() -> None:
    bench = Bench().start().online(A, B)
    (request,) = bench.asked("subscribe")
    refusal = {"method": "subscribe", "success": False, "symbol": A, "error": f"Currency pair not supported {A}"}
    bench.frame(1, orjson.dumps(refusal | {"req_id": request.request["req_id"]}))
    assert bench.faults == [("subscribe_refused", f"{A}: Currency pair not supported {A}")]
    assert bench.alerts[0][1] == "feed.rejected"
    assert "not supported BTC/USD" in bench.alerts[0][2]
    seen = len(bench.sent)
    bench.wait(6 * SECOND, heartbeats=[1])
    assert symbols_of(bench.asked("subscribe", since=seen)) == [A]


def test_a_rejection_naming_nobody_is_for_all_that_stay_unanswered() -> None:
    bench = Bench(ack_timeout_ms=2000).start().online(A, B)
    (request,) = bench.asked("subscribe")
    req_id = request.request["req_id"]
    refusal = {"method": "subscribe", "success": False, "error": "Subscription depth not supported", "req_id": req_id}
    bench.frame(1, orjson.dumps(refusal))
    bench.frame(
        1,
        orjson.dumps(
            {
                "method": "subscribe",
                "success": True,
                "result": {"channel": "book", "symbol": B, "depth": 10},
                "req_id": req_id,
            }
        ),
    )
    bench.frame(1, snapshot(B))
    bench.wait(3 * SECOND, heartbeats=[1])
    assert ("subscribe_refused", f"{A}: Subscription depth not supported") in bench.faults
    assert bench.usable(B)


@pytest.mark.parametrize("success", ["true", 1, None, "absent"])
def test_success_that_is_no_plain_true_is_a_failure(success: object) -> None:
    bench = Bench().start().online(A)
    (request,) = bench.asked("subscribe")
    answer = {
        "method": "subscribe",
        "result": {"channel": "book", "symbol": A, "depth": 10},
        "req_id": request.request["req_id"],
    }
    bench.frame(1, orjson.dumps(answer if success == "absent" else answer | {"success": success}))
    assert bench.fault_kinds() == {"subscribe_refused": 1}


def test_an_acknowledgement_that_never_comes_is_a_failure_and_retried_slower_and_slower() -> None:
    bench = Bench(ack_timeout_ms=2000).start().online(A)
    bench.wait(60 * SECOND, heartbeats=[1])
    times = [sent.at - START for sent in bench.asked("subscribe")]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) >= 4
    assert gaps == sorted(gaps)
    assert bench.fault_kinds()["subscribe_refused"] == len(times) - 1 or bench.fault_kinds()[
        "subscribe_refused"
    ] == len(times)
    assert all("no answer within 2 s" in detail for kind, detail in bench.faults if kind == "subscribe_refused")
    assert bench.topics()["feed.resync"] >= 1


def test_a_confirmation_of_another_depth_is_a_failure() -> None:
    bench = Bench(depth=25).start().online(A)
    (request,) = bench.asked("subscribe")
    bench.answer(request, result={"channel": "book", "symbol": A, "depth": 10})
    assert ("subscribe_refused", f"{A}: confirmed depth 10 instead of 25") in bench.faults


def test_a_snapshot_that_never_comes_is_asked_for_again() -> None:
    bench = Bench(snapshot_timeout_ms=3000).start().online(A)
    bench.answer(bench.asked("subscribe")[0])
    bench.wait(4 * SECOND, heartbeats=[1])
    assert bench.fault_kinds() == {"snapshot_missing": 1}
    assert symbols_of(bench.asked("unsubscribe")) == [A]
    resync_cycle(bench, A)
    assert bench.usable(A)


def test_a_refused_instrument_subscription_is_critical_and_asked_again() -> None:
    bench = Bench().start()
    bench.open(1)
    bench.frame(1, STATUS)
    (request,) = bench.asked("subscribe", "instrument")
    bench.frame(
        1, orjson.dumps({"method": "subscribe", "success": False, "error": "nope", "req_id": request.request["req_id"]})
    )
    assert bench.alerts[0][:2] == (Severity.CRITICAL, "feed.instrument")
    bench.wait(3 * SECOND, heartbeats=[1])
    assert len(bench.asked("subscribe", "instrument")) == 2


def test_warnings_reach_the_operator() -> None:
    bench = Bench().start().online(A)
    (request,) = bench.asked("subscribe")
    bench.answer(request, result={"channel": "book", "symbol": A, "depth": 10, "warnings": ["depth is deprecated"]})
    assert bench.alerts == [(Severity.WARNING, "feed.warning", "Kraken warns: depth is deprecated")]


# --- resync ---


def test_a_wrong_checksum_fetches_that_book_anew_and_only_that() -> None:
    bench = live(A, B)
    bench.frame(1, book(A, [("99.8", "1.00000000")], kind="update", checksum=1))
    assert bench.quarantined == [(A, "checksum mismatch")]
    assert (bench.usable(A), bench.usable(B)) == (False, True)
    (left,) = bench.asked("unsubscribe")
    assert left.request["params"] == {"channel": "book", "symbol": [A], "depth": 10}
    seen = len(bench.asked("subscribe"))
    # Neither updates nor a snapshot count until the unsubscribe is answered.
    bench.frame(1, book(A, [("99.7", "1.00000000")], kind="update"))
    bench.frame(1, snapshot(A))
    assert not bench.usable(A)
    assert bench.feed.ignored["resyncing"] == 2
    bench.answer(left)
    assert symbols_of(bench.asked("subscribe")[seen:]) == [A]
    bench.frame(1, book(A, [("99.7", "1.00000000")], kind="update"))
    assert bench.feed.ignored["before_snapshot"] == 1
    bench.frame(1, snapshot(A))
    assert bench.usable(A)


def test_asking_twice_for_a_resync_is_one_resync() -> None:
    bench = live(A)
    bench.feed.resync(bench.id(A), bench.now)
    bench.feed.resync(bench.id(A), bench.now)
    assert len(bench.asked("unsubscribe")) == 1


def test_resyncs_that_repeat_are_delayed_told_and_never_given_up() -> None:
    bench = live(A)
    times: list[int] = []
    for _ in range(12):
        bench.frame(1, book(A, [("99.8", "1.00000000")], kind="update", checksum=1))
        while len(bench.asked("unsubscribe")) == len(times):
            bench.wait(SECOND, heartbeats=[1])
        times.append(bench.asked("unsubscribe")[-1].at)
        resync_cycle(bench, A)
        assert bench.usable(A)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= 61 * SECOND
    assert len(bench.asked("unsubscribe")) == 12
    assert bench.topics()["feed.resync"] == 3  # after 3, 6, 12
    assert gaps[-1] >= 32 * SECOND


def test_a_book_that_held_for_long_is_fetched_at_once_again() -> None:
    bench = live(A)
    for _ in range(4):
        bench.frame(1, book(A, [("99.8", "1.00000000")], kind="update", checksum=1))
        assert bench.asked("unsubscribe")[-1].at == bench.now
        resync_cycle(bench, A)
        bench.wait(61 * SECOND, heartbeats=[1])


def test_an_unanswered_unsubscribe_does_not_end_the_resync() -> None:
    bench = live(A, ack_timeout_ms=2000)
    bench.feed.resync(bench.id(A), bench.now)
    seen = len(bench.asked("subscribe"))
    bench.wait(3 * SECOND, heartbeats=[1])
    assert bench.fault_kinds() == {"unsubscribe_refused": 1}
    bench.answer(bench.asked("subscribe")[seen])
    bench.frame(1, snapshot(A))
    assert bench.usable(A)


@pytest.mark.parametrize(
    "data",
    [
        book(A, [("-1.0", "1.00000000")], kind="update"),
        book(A, [("0.0", "1.00000000")], kind="update"),
        book(A, [("99.85", "1.00000000")], kind="update"),
        book(A, [("99.8", "1.000000001")], kind="update"),
        book(A, [("1e300", "1.00000000")], kind="update"),
        book(A, [("1e308", "1.00000000")], kind="update"),
        book(A, [("1e400", "1.00000000")], kind="update"),
        book(A, [('"99.8"', "1.00000000")], kind="update"),
        book(A, [(f"{n}.0", "1.00000000") for n in range(1, 12)]),
        book(A, [(f"{n}.0", "1.00000000") for n in range(1, 5002)], kind="update"),
        book(A, kind="update").replace(b'"bids":[],', b""),
        book(A, kind="update").replace(b"]}", b""),
        book(A, kind="update").replace(b'"update"', b'"upgrade"'),
        book(A, kind="update").replace(b'"channel":"book",', b""),
    ],
    ids=lambda data: data[:90].decode(),
)
def test_a_bad_update_is_a_fault_and_quarantines_its_pair_alone(data: bytes) -> None:
    bench = live(A, B)
    before = bench.market.books[bench.id(A)].bids.levels()
    updates = bench.frame(1, data)
    assert all(update.quotes is not None for update in updates), "what was handed over was never read"
    assert bench.market.books[bench.id(A)].bids.levels() == before
    assert len(bench.faults) == 1
    assert [symbol for symbol, _ in bench.quarantined] == [A]
    assert (bench.usable(A), bench.usable(B)) == (False, True)
    resync_cycle(bench, A)
    assert bench.usable(A)


@pytest.mark.parametrize("checksum", ["null", '"12"', "1.5", "true"])
def test_a_checksum_that_is_no_integer_proves_nothing(checksum: str) -> None:
    bench = live(A)
    frame = book(A, kind="update", checksum=7).replace(b'"checksum":7', f'"checksum":{checksum}'.encode())
    (update,) = bench.frame(1, frame)
    assert bench.quarantined == [(A, "checksum mismatch")]
    assert not update.verify(bench.market.books[0])


def test_a_missing_checksum_proves_nothing() -> None:
    bench = live(A)
    bench.frame(1, book(A, kind="update", checksum=7).replace(b'"checksum":7,', b""))
    assert not bench.usable(A)


def test_two_books_in_one_frame_are_both_read() -> None:
    bench = Bench().start().online(A, B)
    both = snapshot(A)[:-2] + b"," + snapshot(B).split(b'"data":[')[1]
    updates = bench.frame(1, both)
    assert len(updates) == 2
    assert bench.usable(A)
    assert bench.usable(B)


def test_a_repeated_price_and_unsorted_levels_end_in_the_last() -> None:
    bench = live(A)
    bids = [("99.5", "1.00000000"), ("99.9", "0.00000000"), ("99.5", "2.00000000"), ("99.9", "5.00000000")]
    after = book(A, [("100.0", "1.00000000"), ("99.9", "5.00000000"), ("99.5", "2.00000000")], ASKS)
    checksum = orjson.loads(after)["data"][0]["checksum"]
    bench.frame(1, book(A, bids, kind="update", checksum=checksum))
    assert bench.usable(A)
    assert bench.market.books[0].bids.levels() == [(1000, 10**8), (999, 5 * 10**8), (995, 2 * 10**8)]


def test_a_snapshot_without_request_replaces_the_book() -> None:
    bench = live(A)
    bench.frame(1, book(A, BIDS[:1], ASKS[:1]))
    assert bench.usable(A)
    assert len(bench.market.books[0].bids.keys) == 1


# --- connections ---


def test_a_lost_connection_takes_its_books_out_and_its_return_brings_them_back() -> None:
    bench = live(A, B)
    bench.close(1)
    assert bench.carried[-2:] == [(A, None), (B, None)]
    assert not bench.usable(A)
    assert bench.connects[-1] == (2, START)  # at once
    seen = len(bench.sent)
    bench.open(2)
    bench.frame(2, STATUS)
    assert len(bench.asked("subscribe", "instrument", since=seen)) == 1
    bench.go_live(since=seen)
    assert bench.usable(A)
    assert bench.carried[-2:] == [(A, 2), (B, 2)]


def test_reconnecting_is_quick_a_handful_of_times_and_then_every_five_seconds() -> None:
    bench = Bench().start()
    for _ in range(9):
        bench.close(len(bench.connects))
        bench.wait(5 * SECOND)
    times = [at for _, at in bench.connects]
    closes = [START + n * 5 * SECOND for n in range(9)]
    delays = [connected - closed for closed, connected in zip(closes, times[1:], strict=True)]
    assert delays == [0, SECOND // 4, SECOND // 2, SECOND, 2 * SECOND, *[5 * SECOND] * 4]
    assert bench.topics()["feed.connection"] == 2  # after 3 and 6


def test_a_connection_that_held_starts_over_with_a_quick_reconnect() -> None:
    bench = Bench().start()
    for _ in range(4):
        conn = len(bench.connects)
        bench.open(conn)
        bench.wait(61 * SECOND, heartbeats=[conn])
        bench.close(conn)
        assert bench.connects[-1][1] == bench.now


def test_no_hurry_after_maintenance() -> None:
    bench = live(A)
    bench.frame(1, STATUS.replace(b"online", b"maintenance"))
    assert bench.statuses[-1] == "maintenance"
    bench.close(1)
    assert len(bench.connects) == 1
    bench.wait(5 * SECOND)
    assert bench.connects[1][1] == START + 5 * SECOND


def test_a_policy_violation_is_not_retried_blindly() -> None:
    bench = live(A, policy_pause_s=300)
    bench.close(1, 1008)
    assert [alert[:2] for alert in bench.alerts] == [(Severity.CRITICAL, "feed.policy")]
    assert bench.fault_kinds() == {"policy_violation": 1}
    bench.wait(299 * SECOND)
    assert len(bench.connects) == 1
    bench.wait(2 * SECOND)
    assert len(bench.connects) == 2


def test_attempts_have_a_global_budget() -> None:
    symbols = [f"A{number}/USD" for number in range(20)]
    bench = Bench(symbols_per_socket=1, connect_attempts_per_600_s=30).start().online(*symbols)
    for _ in range(400):
        for conn, _ in bench.connects:
            bench.close(conn)
        bench.wait(3 * SECOND)
    times = [at for _, at in bench.connects]
    assert all(later - earlier >= 600 * SECOND for earlier, later in zip(times, times[30:], strict=False))
    assert len(times) >= 60
    assert bench.topics()["feed.budget"] >= 1


def test_silence_is_answered_by_a_ping_and_then_by_a_new_connection() -> None:
    bench = live(A, dead_after_ms=4000, ping_every_ms=50_000)
    bench.wait(10 * MS)
    pings = len(bench.asked("ping", None))
    pong = {"method": "pong", "req_id": bench.asked("ping", None)[-1].request["req_id"]}
    bench.frame(1, orjson.dumps(pong))
    heard = bench.now
    bench.wait(1900 * MS)
    assert len(bench.asked("ping", None)) == pings
    bench.wait(200 * MS)
    assert len(bench.asked("ping", None)) == pings + 1
    bench.wait(1800 * MS)
    assert bench.disconnects == []
    bench.wait(200 * MS)
    assert bench.disconnects == [1]
    assert bench.connects[-1] == (2, heard + 4 * SECOND)
    assert bench.carried[-1] == (A, None)
    assert bench.fault_kinds() == {"dead_socket": 1}
    bench.close(1)  # the close of a connection given up changes nothing
    assert len(bench.connects) == 2
    assert bench.frame(1, snapshot(A)) == ()
    assert bench.feed.ignored["closed_connection"] == 1


def test_quiet_books_are_normal_while_heartbeats_come() -> None:
    bench = live(A)
    bench.wait(120 * SECOND, heartbeats=[1])
    assert bench.usable(A)
    assert bench.disconnects == []
    assert 7 <= len(bench.asked("ping", None)) <= 10


def test_a_connection_that_never_opens_is_given_up() -> None:
    bench = Bench(connect_timeout_ms=3000).start()
    bench.wait(3100 * MS)
    assert bench.disconnects == [1]
    assert bench.fault_kinds() == {"connect_timeout": 1}
    assert len(bench.connects) == 2


def test_stop_closes_everything_and_nothing_comes_after() -> None:
    symbols = [f"A{number}/USD" for number in range(4)]
    bench = Bench(symbols_per_socket=2).start().online(*symbols)
    bench.feed.stop(bench.now)
    assert sorted(bench.disconnects) == [1, 2]
    seen = len(bench.sent)
    bench.wait(120 * SECOND)
    assert len(bench.sent) == seen
    assert len(bench.connects) == 2


# --- what else Kraken says ---


def test_the_clock_offset_is_that_of_the_quickest_ping() -> None:
    bench = live(A, ping_every_ms=10_000)

    def pong(round_trip_ms: int, ahead_ms: int) -> None:
        ping = bench.asked("ping", None)[-1]
        bench.now = ping.at + round_trip_ms * MS
        there = EPOCH + timedelta(microseconds=(ping.at + (round_trip_ms // 2 + ahead_ms) * MS) // 1000)
        stamp = there.isoformat().replace("+00:00", "Z")
        answer = {"method": "pong", "req_id": ping.request["req_id"], "time_in": stamp, "time_out": stamp}
        bench.frame(1, orjson.dumps(answer))

    pong(100, 7)
    assert bench.offsets == [7 * MS]
    bench.wait(11 * SECOND, heartbeats=[1])
    pong(20, 5)
    bench.wait(11 * SECOND, heartbeats=[1])
    pong(400, 90)
    assert bench.offsets == [7 * MS, 5 * MS, 5 * MS]


def test_announced_maintenance_is_told_once() -> None:
    bench = Bench().start()
    bench.open(1)
    event = {
        "title": "Order Entry System Maintenance",
        "phase": "announced",
        "expected_start_utc": "2026-10-05T09:00:00Z",
        "expected_end_utc": "2026-10-05T10:00:00Z",
    }
    frame = orjson.dumps(
        {
            "channel": "status",
            "type": "update",
            "data": [{"system": "online", "upcoming_maintenance": [event], "emergency": ["fire"]}],
        }
    )
    bench.frame(1, frame)
    bench.frame(1, frame)
    assert bench.topics() == {"feed.maintenance": 1, "feed.emergency": 1}
    assert "Order Entry System Maintenance" in bench.alerts[0][2]


def test_unknown_things_are_counted_and_change_nothing() -> None:
    bench = live(A)
    for data in (
        b'{"channel":"weather","data":[]}',
        b'{"hello":1}',
        b'{"method":"pong","req_id":999}',
        b'{"method":"pong","req_id":"a"}',
        b'{"channel":"book","type":"update","data":[' + b'{"symbol":"DOGE/USD","bids":[],"asks":[],"checksum":null}]}',
        b"not json",
        b"\xff\xfe",
        b"",
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
        STATUS.replace(b"online", b"on fire"),
        b'{"channel":"status","data":[]}',
        b'{"channel":"status","data":7}',
        b'{"error":"Currency pair not supported XBT/USDT","method":"subscribe","success":false,"symbol":"XBT/USDT"}',
        b'{"method":"subscribe","success":true,"result":{"channel":"book","symbol":"DOGE/USD"}}',
        snapshot("DOGE/USD"),
    ):
        assert bench.frame(1, data) == []
    assert bench.fault_kinds() == {
        "unknown_channel": 1,
        "unknown_message": 1,
        "unexpected_pong": 2,
        "malformed_frame": 7,
        "unknown_status": 1,
        "unmatched_rejection": 1,
        "unmatched_answer": 1,
        "unknown_symbol": 2,
    }
    assert bench.usable(A)
    bench.frame(1, b'{"channel":"trade","type":"update","data":[]}')
    assert bench.feed.ignored["trade"] == 1


def test_a_first_frame_that_is_no_status_is_a_fault() -> None:
    bench = Bench().start()
    bench.open(1)
    bench.frame(1, b'{"channel":"heartbeat"}')
    assert bench.fault_kinds() == {"status_not_first": 1}


# --- corners ---


def test_a_pair_relisted_while_it_is_not_carried_comes_back_with_its_new_grid() -> None:
    bench = live(A, B)
    bench.feed.carry([bench.id(B)], bench.now)
    bench.frame(1, instruments(instrument(A, price_precision=2, price_increment=0.01), kind="update"))
    bench.feed.carry([bench.id(A), bench.id(B)], bench.now)
    bench.answer(bench.asked("unsubscribe")[-1])
    bench.answer(bench.asked("subscribe")[-1])
    bench.frame(1, book(A, [("100.00", "1.00000000")]))
    assert bench.usable(A)


def test_a_pair_dropped_before_it_was_asked_for_is_never_asked_for() -> None:
    bench = Bench(messages_per_s=1, message_burst=2).start().online(A)
    assert bench.asked("subscribe") == []  # ping and instrument took the burst
    bench.feed.carry([], bench.now)
    bench.wait(10 * SECOND, heartbeats=[1])
    assert bench.asked("subscribe") == []
    assert bench.asked("unsubscribe") == []


def test_a_pair_dropped_during_its_resync_is_left_for_good() -> None:
    bench = live(A, B)
    bench.feed.resync(bench.id(A), bench.now)
    bench.feed.carry([bench.id(B)], bench.now)
    seen = len(bench.sent)
    bench.answer(bench.asked("unsubscribe")[-1])
    bench.wait(30 * SECOND, heartbeats=[1])
    assert bench.asked("subscribe", since=seen) == []
    bench.frame(1, snapshot(A))
    assert bench.fault_kinds()["unknown_symbol"] == 1


def test_a_pair_dropped_and_a_connection_lost_is_not_subscribed_again() -> None:
    bench = live(A, B)
    bench.feed.carry([bench.id(B)], bench.now)
    bench.close(1)
    bench.open(2)
    bench.frame(2, STATUS)
    assert symbols_of([sent for sent in bench.asked("subscribe") if sent.conn == 2]) == [B]


def test_a_refused_pair_is_tried_at_once_when_its_status_changes() -> None:
    bench = Bench().start().online(A)
    (request,) = bench.asked("subscribe")
    refusal = {"method": "subscribe", "success": False, "symbol": A, "error": "Currency pair not supported"}
    bench.frame(1, orjson.dumps(refusal | {"req_id": request.request["req_id"]}))
    assert len(bench.asked("subscribe")) == 1
    bench.frame(1, instruments(instrument(A, status="post_only"), kind="update"))
    assert len(bench.asked("subscribe")) == 2


def test_a_listing_cut_in_transit_blames_no_book() -> None:
    symbols = [f"A{number}/USD" for number in range(7)]
    bench = live(*symbols)
    bench.frame(1, instruments(*map(instrument, symbols), kind="update")[:-3])
    assert bench.fault_kinds() == {"malformed_frame": 1}
    assert bench.quarantined == []


def test_a_frame_that_cannot_be_read_while_the_pair_resyncs_changes_nothing() -> None:
    bench = live(A)
    bench.feed.resync(bench.id(A), bench.now)
    bench.frame(1, book(A, kind="update")[:-2])
    bench.frame(
        1, b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":""}]}'
    )
    assert bench.feed.ignored["resyncing"] == 1
    resync_cycle(bench, A)
    assert bench.usable(A)


def test_the_same_frame_may_hold_good_and_bad_books() -> None:
    bench = live(A, B)
    bad = b'{"symbol":"ETH/USD","bids":[{"price":0,"qty":1}],"asks":[],"checksum":1}'
    (update,) = bench.frame(1, snapshot(A)[:-2] + b"," + bad + b"]}")
    assert update.snapshot
    assert (bench.usable(A), bench.usable(B)) == (True, False)


def test_answers_without_a_number_are_matched_by_symbol_and_late_ones_are_faults() -> None:
    bench = Bench().start().online(A)
    ack = {"method": "subscribe", "result": {"channel": "book", "symbol": A, "depth": 10}, "success": True}
    bench.frame(1, orjson.dumps(ack))
    assert bench.faults == []
    bench.frame(1, orjson.dumps(ack))
    bench.frame(1, orjson.dumps(ack | {"req_id": 77}))
    bench.frame(1, orjson.dumps({"method": "subscribe", "success": True, "result": {}, "req_id": 2}))
    assert bench.fault_kinds() == {"unmatched_answer": 3}


def test_a_rejection_without_number_and_symbol_goes_to_the_oldest_request() -> None:
    bench = Bench().start().online(A)
    bench.frame(1, b'{"error":"Subscription depth not supported","method":"subscribe","success":false}')
    assert bench.faults == [("subscribe_refused", f"{A}: Subscription depth not supported")]


def test_a_confirmation_that_confirms_nothing_is_a_fault() -> None:
    bench = Bench().start().online(A)
    (request,) = bench.asked("subscribe")
    bench.frame(1, orjson.dumps({"method": "subscribe", "success": True, "req_id": request.request["req_id"]}))
    assert bench.fault_kinds() == {"unmatched_answer": 1}


def test_a_rejection_after_the_snapshot_came_is_noted_and_the_book_stays() -> None:
    bench = Bench(ack_timeout_ms=1000).start().online(A)
    bench.frame(1, snapshot(A))
    bench.wait(2 * SECOND, heartbeats=[1])
    assert bench.fault_kinds() == {"subscribe_refused": 1}
    assert bench.usable(A)


def test_connections_that_are_not_ours_and_calls_before_the_start_do_nothing() -> None:
    bench = Bench()
    bench.feed.carry([1], bench.now)
    bench.feed.resync(1, bench.now)
    bench.start()
    bench.feed.on_open(99, bench.now)
    bench.feed.on_close(99, 1000, "", bench.now)
    assert len(bench.connects) == 1
    bench.feed.stop(bench.now)
    bench.feed.stop(bench.now)
    assert bench.disconnects == [1]


def test_an_entry_without_a_name_is_a_fault_and_harms_nobody() -> None:
    bench = live(A)
    bench.frame(
        1,
        b'{"channel":"instrument","type":"update","data":{"pairs":[{"price":1}],"assets":[{"id":"X","precision":4}]}}',
    )
    assert bench.fault_kinds() == {"malformed_instrument": 1}
    assert bench.assets[-1].symbol == "X"
    assert bench.usable(A)


def test_late_and_stray_confirmations_change_nothing() -> None:
    bench = Bench(ack_timeout_ms=1000).start().online(A)
    (request,) = bench.asked("subscribe")
    bench.frame(1, snapshot(A))
    bench.answer(request)  # after its snapshot
    assert bench.faults == []
    bench.feed.resync(bench.id(A), bench.now)
    left = bench.asked("unsubscribe")[-1]
    bench.close(1)  # before the answer; the new connection knows nothing of it
    bench.open(2)
    bench.frame(2, STATUS)
    bench.frame(2, orjson.dumps({"method": "unsubscribe", "success": True, "result": {"channel": "book", "symbol": A}}))
    assert bench.fault_kinds() == {"unmatched_answer": 1}
    assert left.conn == 1


def test_answers_without_numbers_find_the_request_of_their_method() -> None:
    bench = live(A, B)
    bench.feed.resync(bench.id(A), bench.now)
    bench.feed.carry([bench.id(A)], bench.now)
    for symbol in (B, A):
        done = {"method": "unsubscribe", "success": True, "result": {"channel": "book", "symbol": symbol, "depth": 10}}
        bench.frame(1, orjson.dumps(done))
    bench.frame(1, b'{"method":"subscribe","success":true,"result":{"channel":"book","symbol":"BTC/USD","depth":10}}')
    bench.frame(1, snapshot(A))
    assert bench.faults == []
    assert bench.usable(A)


def test_a_pair_refused_again_and_again_is_told_less_and_less() -> None:
    bench = Bench().start().online(A)
    for _ in range(7):
        request = bench.asked("subscribe")[-1].request
        refusal = {"method": "subscribe", "success": False, "symbol": A, "error": "no", "req_id": request["req_id"]}
        bench.frame(1, orjson.dumps(refusal))
        seen = len(bench.asked("subscribe"))
        while len(bench.asked("subscribe")) == seen:
            bench.wait(SECOND, heartbeats=[1])
    assert bench.fault_kinds()["subscribe_refused"] == 7
    assert bench.topics() == {"feed.rejected": 3}  # the first, third and sixth


def test_a_stopped_feed_asks_for_nothing() -> None:
    bench = live(A)
    bench.feed.stop(bench.now)
    seen = len(bench.sent)
    bench.feed.carry([], bench.now)
    bench.wait(60 * SECOND)
    assert len(bench.sent) == seen
    assert len(bench.connects) == 1
