"""Planted mispricings: what the log says is what a client sees on the wire, and nothing else pays."""

import json
from decimal import Decimal

import pytest

from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan, Planted
from tests.simulator.lexeme_client import Client

T0 = DEFAULT_START_NS
SECOND = 1_000_000_000


def watched(plan: MispricingPlan, messages_per_s: float = 500) -> tuple[SimulatedExchange, Client]:
    exchange = SimulatedExchange(13, 60, messages_per_s=messages_per_s, mispricings=plan)
    session = exchange.open_session(T0)
    params = {"channel": "book", "symbol": list(exchange.universe.pairs), "depth": 10}
    client = Client(10)
    for frame in session.receive(json.dumps({"method": "subscribe", "params": params}), T0):
        client.see(frame)
    return exchange, client


def gross_bps(client: Client, planted: Planted) -> float:
    """The cycle's product of best prices minus one, from the client's own books."""
    product = Decimal(1)
    for symbol, side in planted.legs:
        bid, ask = client.books[symbol].best()
        product = product * bid if side == "sell" else product / ask
    return float((product - 1) * 10_000)


def test_the_logged_size_is_on_the_wire_from_start_to_end() -> None:
    exchange, client = watched(MispricingPlan(per_s=2.0))
    seen: set[Planted] = set()
    healed = 0
    while len(seen) < 40:
        due_ns = exchange.next_due_ns
        assert due_ns is not None
        for _, frame in exchange.advance(due_ns):
            client.see(frame)
        for planted in exchange.planted[len(seen) :]:
            assert planted.from_ns == exchange.now_ns
            assert gross_bps(client, planted) == pytest.approx(planted.size_bps, abs=0.01)
            assert 15 < planted.size_bps < 700
            assert 30e6 <= planted.to_ns - planted.from_ns <= 5000e6
            seen.add(planted)
        for planted in exchange.planted:
            if planted.to_ns == exchange.now_ns:
                assert gross_bps(client, planted) <= 0
                healed += 1
    assert healed > 10
    assert client.wrong == 0
    assert any(planted.size_bps > 200 for planted in seen)


def test_the_log_names_triangle_direction_and_moved_pair() -> None:
    exchange, _ = watched(MispricingPlan(per_s=5.0))
    exchange.advance(T0 + 4 * SECOND)
    triangles = {"-".join(triangle.assets): triangle for triangle in exchange.universe.triangles()}
    assert exchange.planted
    for planted in exchange.planted:
        symbols = {symbol for symbol, _ in planted.legs}
        assert symbols == set(triangles[planted.key].pairs)
        assert planted.pair in symbols
        assets = planted.direction.split(">")
        assert assets[0] == assets[-1]
        assert sorted(assets[:3]) == planted.key.split("-")
        for (symbol, side), spends, gets in zip(planted.legs, assets, assets[1:], strict=False):
            assert symbol == (f"{spends}/{gets}" if side == "sell" else f"{gets}/{spends}")


def test_without_a_plan_nothing_is_planted() -> None:
    exchange = SimulatedExchange(13, 30)
    exchange.advance(T0 + 10 * SECOND)
    assert exchange.planted == []


def test_mispriced_triangles_share_no_pair_at_the_same_time() -> None:
    exchange, _ = watched(MispricingPlan(per_s=20.0, lifetime_ms=(500, 5000)))
    exchange.advance(T0 + 5 * SECOND)
    for number, one in enumerate(exchange.planted):
        for other in exchange.planted[:number]:
            if other.to_ns > one.from_ns:
                assert not {symbol for symbol, _ in one.legs} & {symbol for symbol, _ in other.legs}


@pytest.mark.parametrize("plan", [{"size_bps": (50, 20)}, {"lifetime_ms": (0, 5)}, {"per_s": -1}])
def test_impossible_plans_are_refused(plan: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"mispricing"):
        MispricingPlan(**plan)  # type: ignore[arg-type]
