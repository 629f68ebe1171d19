"""The stream as a client lives it: every checksum, every level, the shape of the load, the same bytes
again."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan
from arbitrade_kraken.simulator.session import BOOK_DEPTHS, Session
from arbitrade_kraken.simulator.shape import measure
from arbitrade_kraken.simulator.stream import frames
from tests.simulator.lexeme_client import Client, parse

T0 = DEFAULT_START_NS
SECOND = 1_000_000_000


def subscribed(exchange: SimulatedExchange, symbols: list[str], depth: int) -> tuple[Session, list[bytes]]:
    session = exchange.open_session(exchange.now_ns)
    request = {"method": "subscribe", "params": {"channel": "book", "symbol": symbols, "depth": depth}}
    return session, session.receive(json.dumps(request), exchange.now_ns)


def test_an_independent_client_verifies_every_checksum_at_every_depth() -> None:
    plan = MispricingPlan(per_s=5.0)
    exchange = SimulatedExchange(11, 60, messages_per_s=1000, mispricings=plan)
    symbols = list(exchange.universe.pairs)
    clients: dict[Session, Client] = {}
    for depth in BOOK_DEPTHS:
        session, answers = subscribed(exchange, symbols, depth)
        clients[session] = Client(depth)
        for frame in answers:
            clients[session].see(frame)
    while sum(client.messages for client in clients.values()) < 22_000:
        for session, frame in exchange.advance(exchange.now_ns + SECOND // 10):
            clients[session].see(frame)
    assert [client.wrong for client in clients.values()] == [0] * len(BOOK_DEPTHS)
    assert len(exchange.planted) > 5
    # The checksum covers ten levels; a fresh snapshot shows the others.
    for client in clients.values():
        _, answers = subscribed(exchange, symbols, client.depth)
        fresh = Client(client.depth)
        for frame in answers:
            fresh.see(frame)
        for symbol in symbols:
            assert client.books[symbol].levels() == fresh.books[symbol].levels(), (symbol, client.depth)


def test_thin_and_unusual_pairs_verify_too() -> None:
    exchange = SimulatedExchange(3, 1228, messages_per_s=0)
    universe = exchange.universe
    unusual = [symbol for symbol, traits in universe.traits.items() if traits.levels < 10]
    unusual += [
        pair.symbol for pair in universe.pairs.values() if pair.price_precision in {0, 10} or pair.tick_step > 1
    ]
    session, answers = subscribed(exchange, unusual, 10)
    client = Client(10)
    for frame in answers:
        client.see(frame)
    for symbol in unusual:
        for _ in range(40):
            exchange.event_on(symbol)
    for to, frame in exchange.advance(T0):
        assert to is session
        client.see(frame)
    assert client.wrong == 0
    assert client.messages > 30 * len(unusual)


def test_updates_hold_repeated_and_unsorted_levels_now_and_then() -> None:
    repeated = unsorted = 0
    for frame in frames(SimulatedExchange(5, 40), 4000):
        (data,) = parse(frame)["data"]
        for side, best_first in (("bids", -1), ("asks", 1)):
            prices = [best_first * float(level["price"]) for level in data[side]]
            repeated += len(set(prices)) < len(prices)
            unsorted += prices != sorted(prices)
    assert repeated > 10
    assert unsorted > 10


def test_books_never_cross_and_prices_lie_on_the_increment() -> None:
    exchange = SimulatedExchange(5, 200, mispricings=MispricingPlan(per_s=3.0))
    client = Client(10)
    for frame in frames(exchange, 6000):
        client.see(frame)
        (data,) = parse(frame)["data"]
        bid, ask = client.books[data["symbol"]].best()
        assert bid < ask
        step = exchange.universe.pairs[data["symbol"]].price_increment
        assert bid % step == 0 == ask % step
    assert client.wrong == 0


def test_shape_of_the_full_size_load() -> None:
    shape = measure(SimulatedExchange(7, messages_per_s=2000.0), 10_000)
    assert (shape.pairs, shape.assets, shape.triangles, shape.eur_usd_triangles) == (1228, 550, 1331, 432)
    assert 19 <= shape.cycles_touched_mean <= 24
    assert 60 <= shape.cycles_touched_p90 <= 90
    assert 205 <= shape.bytes_mean <= 240
    assert 1.7 <= shape.level_changes_mean <= 2.4
    assert 0.36 <= shape.best_prices_unchanged <= 0.44
    assert 0.29 <= shape.improved <= 0.35
    assert shape.crossed == 0
    assert shape.highest_gross_bps < 20, "fair prices offer no opportunity"


def test_frames_are_a_snapshot_of_every_pair_then_that_many_updates() -> None:
    kinds = Counter(
        (message["channel"], message["type"]) for message in map(parse, frames(SimulatedExchange(7, 100), 500))
    )
    assert kinds == {("book", "snapshot"): 100, ("book", "update"): 500}


def test_a_frozen_market_has_no_frames_to_wait_for() -> None:
    with pytest.raises(ValueError, match="message rate"):
        list(frames(SimulatedExchange(7, 3, messages_per_s=0), 1))


def test_sessions_see_the_same_market_whatever_others_subscribe_to() -> None:
    """One encoding per pair and depth, and no session's doings move the market."""

    def seen(others: int) -> list[bytes]:
        exchange = SimulatedExchange(9, 20)
        session, _ = subscribed(exchange, ["BTC/USD", "ETH/USD"], 25)
        for _ in range(others):
            subscribed(exchange, list(exchange.universe.pairs), 100)
        return [frame for to, frame in exchange.advance(T0 + 5 * SECOND) if to is session and b'"book"' in frame]

    alone = seen(0)
    assert len(alone) > 20
    assert alone == seen(2)


def test_the_step_of_advance_does_not_change_the_stream() -> None:
    def stream(step_ns: int) -> bytes:
        exchange = SimulatedExchange(9, 20, mispricings=MispricingPlan(per_s=2.0), snapshot_delay_ms=(5, 60))
        subscribed(exchange, ["BTC/USD", "ETH/USD", "EUR/USD"], 10)
        frames = []
        for now in range(T0, T0 + 4 * SECOND + 1, step_ns):
            frames += [frame for _, frame in exchange.advance(now)]
        return b"\n".join(frames)

    assert stream(4 * SECOND) == stream(SECOND // 100)


SCENARIO = """
import hashlib, json
from arbitrade_kraken.simulator.control import Control
from arbitrade_kraken.simulator.exchange import SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan
plan = MispricingPlan(per_s=4)
exchange = SimulatedExchange(21, 90, messages_per_s=1500, mispricings=plan, snapshot_delay_ms=(5, 60))
digest = hashlib.sha256()
sessions = [exchange.open_session(exchange.now_ns) for _ in range(3)]
for session, depth in zip(sessions, (10, 25, 100)):
    for channel in ("book", "trade", "instrument"):
        params = {"channel": channel, "symbol": list(exchange.universe.pairs), "depth": depth}
        for frame in session.receive(json.dumps({"method": "subscribe", "params": params}), exchange.now_ns):
            digest.update(frame)
for step in range(20):
    for session, frame in exchange.advance(exchange.now_ns + 50_000_000):
        digest.update(b"%d " % sessions.index(session) + frame)
    Control(exchange).change_increments("ETH/USD", price_precision=2 + step % 2)
    Control(exchange).corrupt_next_checksum("BTC/USD")
    exchange.take("BTC/EUR", "buy", 1000 * step + 1)
digest.update(repr(exchange.planted).encode())
print(digest.hexdigest())
"""


def test_the_same_seed_and_calls_give_the_same_bytes_in_any_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", SCENARIO],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "4242")
    }
    assert len(digests) == 1


def test_another_seed_is_another_market() -> None:
    def digest(seed: int) -> str:
        return hashlib.sha256(b"".join(frames(SimulatedExchange(seed, 10), 50))).hexdigest()

    assert digest(1) != digest(2)
    assert digest(1) == digest(1)
