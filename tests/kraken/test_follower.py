"""The follower reads a recording of the feed as the feed read the exchange."""

from collections.abc import Collection
from random import Random
from typing import Any

import orjson
import pytest

from arbitrade_core.events import Closed, Frame
from arbitrade_core.recording.entries import State
from arbitrade_core.recording.levels import Levels
from arbitrade_kraken.follower import KrakenFollower
from arbitrade_kraken.settings import KrakenSettings
from tests.kraken.recorded import SECOND, Recorded, seen


def eventful(seed: int, **kraken: Any) -> Recorded:
    """Faults of every kind, one after the other, in a market that moves."""
    recorded = Recorded(seed=seed, **kraken)
    run = recorded.world.run_for
    run(SECOND)
    recorded.all_assets()
    run(2 * SECOND)
    symbols = [pair.symbol for pair in recorded.engine.market.pairs if recorded.engine.market.usable(0)]
    control = recorded.control
    recorded.mark_all()
    control.corrupt_next_checksum(symbols[0])
    control.drop_next(symbols[1])
    control.duplicate_next(symbols[2])
    for symbol in symbols[:4]:
        control.nudge(symbol, 3)
    run(SECOND)
    control.cross(symbols[3])
    control.change_increments(symbols[4], price_precision=recorded.engine.market.pairs[4].price_decimals + 1)
    recorded.mark(*range(10))
    run(2 * SECOND)
    control.set_pair_status(symbols[5], "cancel_only")
    control.delist(symbols[6])
    control.set_system("maintenance")
    run(SECOND)
    recorded.mark_all()
    control.set_system("online")
    control.set_pair_status(symbols[5], "online")
    control.set_pair_status(symbols[6], "online")
    control.close(next(iter(recorded.exchange.sessions)))
    run(8 * SECOND)
    recorded.mark_all()
    control.silence(next(iter(recorded.exchange.sessions)))
    run(12 * SECOND)
    return recorded


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("per_socket", [200, 9])
def test_books_counts_and_rates_are_those_of_the_feed_after_every_frame(seed: int, per_socket: int) -> None:
    recorded = eventful(seed, symbols_per_socket=per_socket)
    following = recorded.followed()
    assert sum(isinstance(entry, Closed) for entry in recorded.entries) >= 2
    assert recorded.engine.checksums_bad >= 1
    for number, (entry, expected) in enumerate(zip(recorded.entries, recorded.seen, strict=True)):
        found = following.take(entry)
        if recorded.comparable[number] and isinstance(entry, Frame | State | Closed):
            assert found == expected, f"entry {number}: {entry}"
    assert following.engine.faults.keys() <= recorded.engine.faults.keys()


def marked_run(**kraken: Any) -> Recorded:
    recorded = Recorded(**kraken)
    recorded.world.run_for(SECOND)
    recorded.all_assets()
    recorded.world.run_for(3 * SECOND)
    return recorded


def test_a_reader_that_begins_in_the_middle_has_its_books_from_the_state() -> None:
    recorded = marked_run()
    middle = len(recorded.entries)
    recorded.mark_all()
    recorded.world.run_for(2 * SECOND)
    following = recorded.followed()
    for conn in {entry.conn for entry in recorded.entries if isinstance(entry, Frame)}:
        following.engine.attach(conn, following.feed)
    for entry in recorded.entries[middle:]:
        following.take(entry)
    books = seen(following.engine).books
    assert books == recorded.seen[-1].books
    assert sum(not blocked for blocked, *_ in books.values()) > 10
    assert following.engine.checksums_bad == 0
    assert following.engine.exchange_status == "online"
    assert following.engine.market.pairs == recorded.engine.market.pairs
    assert following.engine.market.assets == recorded.engine.market.assets


def test_the_state_tells_the_clock_offset_to_the_microsecond() -> None:
    recorded = marked_run()
    recorded.mark()
    following = recorded.followed()
    for entry in recorded.entries:
        following.take(entry)
    found = recorded.engine.market.clock_offset_ns
    assert found != 0
    assert abs(following.engine.market.clock_offset_ns - found) < 1000


def test_a_state_frame_is_what_the_exchange_would_send() -> None:
    recorded = marked_run()
    for pair in range(len(recorded.engine.market.pairs)):
        for _, frame in recorded.feed.state([pair], recorded.world.now):
            symbol = recorded.engine.market.pairs[pair].symbol
            message = orjson.loads(frame)
            subscription = next(
                one
                for session in recorded.exchange.sessions
                for one in session.subscriptions.values()
                if (one.channel, one.symbol) == ("book", symbol)
            )
            sent = orjson.loads(recorded.exchange._snapshot(subscription))
            del message["data"][0]["timestamp"], sent["data"][0]["timestamp"]
            assert message == sent


def test_the_state_of_a_book_that_is_not_live_is_left_out() -> None:
    recorded = marked_run()
    recorded.control.corrupt_next_checksum("BTC/USD")
    recorded.control.nudge("BTC/USD", 5)
    pair = recorded.engine.market.pair_id("BTC/USD")
    assert pair is not None
    assert recorded.feed.state([pair], recorded.world.now)
    recorded.world.run_for(1_000_000)
    assert not recorded.engine.market.usable(pair)
    assert recorded.feed.state([pair], recorded.world.now) == []
    assert recorded.feed.state([10_000], recorded.world.now) == []


def test_pairs_that_are_not_wanted_are_left_aside_and_the_rest_is_the_same() -> None:
    recorded = marked_run()
    recorded.mark_all()
    recorded.world.run_for(SECOND)
    levels = Levels([Wanting(recorded.feed.follower(), {0, 1})])
    for entry in recorded.entries:
        for said in levels.take(entry):
            assert said.update.pair in {0, 1}
    assert levels.wrong == 0
    follower = recorded.feed.follower()
    assert isinstance(follower, KrakenFollower)
    for pair in (0, 1):
        assert levels.market.books[pair].bids.levels() == recorded.engine.market.books[pair].bids.levels()


class Wanting(KrakenFollower):
    """Follows these pairs alone, whatever it is told."""

    def __init__(self, follower: Any, pairs: set[int]) -> None:
        super().__init__(KrakenSettings(depth=follower.depth))
        self._only = pairs

    def carry(self, pairs: Collection[int], now: int) -> None:
        super().carry(self._only & set(pairs), now)


HOSTILE = (b"", b"\xff", b"{}", b"[]", b'{"channel":7}', b'{"method":"unsubscribe","success":true}', b"[" * 5000)


def test_bytes_never_raise() -> None:
    recorded = marked_run()
    following = recorded.followed()
    for entry in recorded.entries:
        following.take(entry)
    frames = [entry.data for entry in recorded.entries if isinstance(entry, Frame)][::7]
    chance = Random(7)
    now = recorded.world.now
    for frame in [*HOSTILE, *frames]:
        cut = frame[: chance.randint(0, len(frame))]
        torn = bytearray(frame)
        if torn:
            torn[chance.randrange(len(torn))] = chance.randrange(256)
        for data in (frame, cut, bytes(torn)):
            following.feed.on_frame(chance.randint(0, 3), data, now)
    assert following.engine.faults["malformed_frame"] > 0


def test_the_market_keeps_as_many_levels_as_the_books_have() -> None:
    recorded = marked_run(depth=25, pairs=12)
    assert recorded.engine.market.depth == 25
    assert recorded.engine.checksums_bad == 0
    deepest = max(len(book.bids.keys) for book in recorded.engine.market.books)
    assert deepest > 10


def test_trades_are_recorded_when_wanted_and_nothing_reads_them() -> None:
    recorded = marked_run(trades=True, pairs=12)
    recorded.world.run_for(5 * SECOND)
    frames = [entry.data for entry in recorded.entries if isinstance(entry, Frame)]
    trades = [orjson.loads(frame) for frame in frames if frame.startswith(b'{"channel":"trade"')]
    assert len(trades) > 3
    assert recorded.feed.ignored["trade"] == len(trades)
    assert recorded.engine.faults == {}
    carried = {recorded.engine.market.pairs[pair].symbol for pair in recorded.engine.market.in_use()}
    assert {trade["data"][0]["symbol"] for trade in trades} <= carried
    # A trade stands before the change of the book that it made, with the same time.
    at = max(number for number, frame in enumerate(frames[:-1]) if frame.startswith(b'{"channel":"trade"'))
    assert orjson.loads(frames[at + 1])["data"][0]["timestamp"] == orjson.loads(frames[at])["data"][0]["timestamp"]
    following = recorded.followed()
    for entry, expected in zip(recorded.entries, recorded.seen, strict=True):
        found = following.take(entry)
        if isinstance(entry, Frame):
            assert found == expected
