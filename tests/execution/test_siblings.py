"""Two plans that were promised parts of the same levels, and fills that are better than planned (TRADING 6, 15, 17)."""

from collections.abc import Iterator, Sequence
from decimal import Decimal as D

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Fee, FeeCurrency, LegId, Plan
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.money import exact
from tests.execution.worlds import Running, World, listing, planned

SHARED = {
    "-BTC/USD": (("+ETH/USD", "-ETH/BTC", "-BTC/USD"), ("+LTC/USD", "-LTC/BTC", "-BTC/USD")),
    "+XRP/BTC": (
        ("+ETH/USD", "-ETH/BTC", "+XRP/BTC", "-XRP/USD"),
        ("+LTC/USD", "-LTC/BTC", "+XRP/BTC", "-XRP/USD"),
    ),
}
"""By the leg that both plans end up on: their ways there. What leg 2 brings more than planned, that leg may spend."""
PAIRS = ("ETH/USD", "LTC/USD", "ETH/BTC", "LTC/BTC", "XRP/BTC", "BTC/USD", "XRP/USD")
LATENCY_NS = 20_000_000


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def market(shared: str, levels: Sequence[int], fee: Fee) -> World:
    """ETH and LTC at 5 USD, BTC at 100, XRP at 1. `levels`: worth in USD of each level of the shared book."""
    world = World([listing(symbol, cost_decimals=6) for symbol in PAIRS], {"USD": D(10_000)}, fee)
    for coin in ("ETH", "LTC"):
        world.sees(f"{coin}/USD", bids=[("4.9", "1000")], asks=[("5", "1000")])
        world.sees(f"{coin}/BTC", bids=[("0.05", "1000")], asks=[("0.06", "1000")])
    bids = [(str(D("102") - D("0.1") * n), str(D(worth) / 100)) for n, worth in enumerate(levels)]
    asks = [(str(D("0.01") + D("0.0001") * n), str(D(worth))) for n, worth in enumerate(levels)]
    world.sees("BTC/USD", bids=bids if shared == "-BTC/USD" else [("102", "1000")], asks=[("103", "1000")])
    world.sees("XRP/BTC", bids=[("0.009", "9000")], asks=asks if shared == "+XRP/BTC" else [("0.01", "9000")])
    world.sees("XRP/USD", bids=[("1.05", "9000")], asks=[("1.1", "9000")])
    world.uses(
        PaperVenue(
            "test", funds=lambda asset: world.ledger.cash(asset) + world.ledger.residue(asset), latency_ns=LATENCY_NS
        )
    )
    return world


def two_plans(world: World, shared: str, funds: Sequence[int]) -> list[Plan]:
    """Each made on what the one before was not promised."""
    plans: list[Plan] = []
    for number, (path, amount) in enumerate(zip(SHARED[shared], funds, strict=True)):
        plan = planned(world, path, D(amount), plan_id=f"p{number}")
        if plan is not None:
            plans.append(plan)
            world.promises(plan)
    return plans


def taken(running: Running, leg: LegId) -> dict[int, int]:
    """Lots by tick that a run's orders took on a leg."""
    pair = running.world.market.pairs[leg // 2]
    total: dict[int, int] = {}
    for record in running.run.orders.values():
        if record.order.leg.id == leg:
            for fill in record.fills.values():
                ticks = pair.ticks(fill.price)
                total[ticks] = total.get(ticks, 0) + pair.lots(fill.qty)
    return total


def better(world: World, quotes: Sequence[tuple[int, int]]) -> None:
    """What comes before the shared leg pays more: for each coin, by how many ticks of 20 bps, worth in USD."""
    for coin, (ticks, worth) in zip(("ETH", "LTC"), quotes, strict=True):
        if ticks and worth:
            price = D("0.05") + D("0.0001") * ticks
            world.changes(f"{coin}/BTC", bids=[(str(price), str(D(worth) / 5))])


@given(
    st.sampled_from(list(SHARED)),
    st.lists(st.integers(1, 400), min_size=1, max_size=5),
    st.tuples(st.integers(20, 500), st.integers(20, 500)),
    st.tuples(
        st.tuples(st.integers(0, 45), st.integers(0, 600)),
        st.tuples(st.integers(0, 45), st.integers(0, 600)),
    ),
    st.sampled_from(["0", "0.001", "0.008"]),
    st.sampled_from(list(FeeCurrency)),
)
@settings(max_examples=300, deadline=None)
def test_trading_6_better_fills_take_nothing_that_a_sibling_was_promised(  # noqa: PLR0917 - a whole market
    shared: str,
    levels: list[int],
    funds: tuple[int, int],
    quotes: tuple[tuple[int, int], tuple[int, int]],
    fee: str,
    currency: FeeCurrency,
) -> None:
    with exact():
        world = market(shared, levels, Fee(D(fee), currency))
        leg = world.leg_id(shared)
        plans = two_plans(world, shared, funds)
        shown = dict(world.market.books[leg // 2].taken_by(world.market.leg(leg).side).levels())
        promised = [
            dict(world.claims._held[world.market.leg(leg).pair_id, world.market.leg(leg).side][order_id])
            for plan in plans
            for order_id in [one.order_id for one in plan.legs if one.leg.id == leg]
        ]
        better(world, quotes)
        runs = [world.begins(plan, SequentialExecutor()) for plan in plans]
        world.passes(10 * LATENCY_NS)
        event(f"{len(runs)} plans, sharing a level: {len(promised) > 1 and bool(set(promised[0]) & set(promised[1]))}")
        for running, others in zip(runs, [promised[1:], promised[:1]], strict=False):
            assert running.kind == "completed", running.outcome
            certificate = running.plan.certificate
            assert certificate is not None
            assert running.changes["USD"] >= certificate.margin, "the certificate holds (TRADING 17)"
            for ticks, lots in taken(running, leg).items():
                theirs = sum(other.get(ticks, 0) for other in others)
                assert lots <= shown[ticks] - theirs, f"at {ticks}: {lots} of {shown[ticks]}, {theirs} are not ours"
        assert world.ledger.problems() == []


def test_trading_15_what_better_fills_leave_over_is_residue() -> None:
    world = market("-BTC/USD", [200], Fee(D("0.001")))
    plans = two_plans(world, "-BTC/USD", (100, 200))
    assert len(plans) == 2
    better(world, ((15, 600), (0, 0)))
    runs = [world.begins(plan, SequentialExecutor()) for plan in plans]
    world.passes(10 * LATENCY_NS)
    assert [running.kind for running in runs] == ["completed", "completed"]
    assert runs[0].placed[2].qty == plans[0].legs[2].qty
    assert world.ledger.residue("BTC") > D("0.02")


def test_trading_17_without_siblings_better_fills_are_carried_on_as_far_as_the_book_shows() -> None:
    world = market("-BTC/USD", [400], Fee(D("0.001")))
    plan = planned(world, SHARED["-BTC/USD"][0], D(100))
    assert plan is not None
    world.promises(plan)
    better(world, ((15, 600), (0, 0)))
    running = world.begins(plan, SequentialExecutor())
    world.passes(10 * LATENCY_NS)
    assert running.kind == "completed"
    assert running.placed[2].qty > plan.legs[2].qty
    assert world.ledger.residue("BTC") < D("0.0001")


def test_trading_17_a_limit_is_loosened_only_up_to_what_a_sibling_was_promised() -> None:
    """The levels that the first was promised go; those behind them are the second's, and the first leaves them."""
    world = market("-BTC/USD", [100, 100, 100], Fee(D("0.001")))
    first, second = two_plans(world, "-BTC/USD", (97, 97))
    assert first.legs[2].limit == D(102)
    assert second.legs[2].limit <= D("101.9")
    better(world, ((45, 600), (0, 0)))
    running = world.begins(first, SequentialExecutor())
    world.passes(LATENCY_NS)
    world.changes("BTC/USD", bids=[("102", "0")])
    world.passes(LATENCY_NS)
    assert running.placed[2].limit > D("101.9")
