"""Rotations carried out: whatever the venue does, no order goes twice, nothing is spent that is not held, it ends."""

import random
from collections import Counter
from decimal import Decimal as D

import pytest

from arbitrade_core.domain import Asset, PlanKind
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.rotation import RotationExecutor
from arbitrade_core.lifecycle import OrderState
from arbitrade_core.money import ZERO, exact, plain, unit
from tests.execution.test_any_fills import RUNS, WORTH, Moody, disturb, random_world
from tests.execution.worlds import Running, World, listing, planned

PATHS = [
    ("-ETH/USD", "+BTC/USD"),
    ("-BTC/USD", "+ETH/USD"),
    ("+ETH/BTC", "-ETH/USD"),
    ("+BTC/USD",),
    ("-ETH/USD",),
]


def carry_out(seed: int, venue_name: str) -> Running | None:
    """One random plan from start to end; None when the books allow none."""
    rng = random.Random(seed)
    world = random_world(rng)
    world.ledger.flow("ETH", D(20_000), "deposit")
    paper = PaperVenue("test", funds=world.ledger.cash, slippage_bps=D(rng.choice([0, 4])))
    world.uses(paper if venue_name == "paper" else Moody(rng))
    path = rng.choice(PATHS)
    start_asset = world.market.leg(world.leg_id(path[0])).spends
    funds = D(rng.choice([20, 300, 5_000])) / WORTH[start_asset]
    plan = planned(world, path, funds, kind=PlanKind.POSITION)
    if plan is None:
        return None
    running = world.begins(plan, RotationExecutor())
    restless = rng.random()
    for _ in range(40):
        if running.outcome is not None:
            break
        world.passes(5_000_000)
        if rng.random() < restless:
            disturb(world, rng)
    return running


@pytest.mark.parametrize("venue", ["paper", "moody"])
def test_every_rotation_ends_and_spends_only_what_it_holds(venue: str) -> None:
    seen: Counter[str] = Counter()
    with exact():
        for seed in range(RUNS):
            running = carry_out(seed, venue)
            if running is not None:
                seen[running.kind] += 1
                try:
                    check(running)
                except AssertionError as error:
                    raise AssertionError(f"{venue}, seed {seed}, {running.kind}: {error}") from error
    assert set(seen) == {"completed", "partial", "missed"}, f"every outcome is met: {dict(seen)}"


def check(running: Running) -> None:
    run, plan = running.run, running.plan
    assert run.over, "two legs and their answers are all it takes"
    assert not run.pending
    assert not running.follow_ups, "no way home is looked for: what is held is inventory"
    assert not running.halts
    ids = [order.id for order in running.placed]
    assert len(ids) == len(set(ids))
    for order in running.placed:
        leg = next(leg for leg in plan.legs if leg.order_id == order.id)
        assert (order.leg, order.limit) == (leg.leg, leg.limit), "every order at its plan's limit: the bound holds"
        assert order.qty <= leg.qty, "price improvement stays cash"
    assert running.residue_used == {}, "what others left behind is not its own"
    assert running.world.ledger.problems() == []
    for asset in WORTH:
        # The exchange books each fill in units of its own: planning leaves as much unplanned.
        known = running.world.market.asset(asset)
        assert known is not None
        coarse = len(run.orders[ids[0]].fills) * unit(known.decimals) if asset == plan.start_asset else ZERO
        assert running.left.get(asset, ZERO) >= -coarse
        started = plan.start if asset == plan.start_asset else ZERO
        assert running.left.get(asset, ZERO) == started + running.changes.get(asset, ZERO)
    assert_outcome(running)


def assert_outcome(running: Running) -> None:
    records = [running.run.orders.get(leg.order_id) for leg in running.plan.legs]
    first = records[0]
    assert first is not None
    if running.kind == "missed":
        assert first.filled_qty == 0
        assert len(running.placed) == 1
    if running.kind == "completed":
        assert all(record is not None and record.state is OrderState.FILLED for record in records)
    rejected = {str(record.order.leg) for record in running.run.orders.values() if record.state is OrderState.REJECTED}
    assert set(running.bans) == rejected, "a leg that was refused rests"


# --- examples ------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    world = World([listing("ETH/USD"), listing("BTC/USD")], {"ETH": D(10), "BTC": D(1)})
    world.lists(Asset("USD", 8), Asset("ETH", 10), Asset("BTC", 10))
    world.sees("ETH/USD", bids=[("2000", "4")], asks=[("2001", "4")])
    world.sees("BTC/USD", bids=[("40000", "1")], asks=[("40010", "1")])
    world.uses(PaperVenue("test", funds=world.ledger.cash))
    return world


def begun(world: World) -> Running:
    with exact():
        plan = planned(world, ("-ETH/USD", "+BTC/USD"), D(4), kind=PlanKind.POSITION)
        assert plan is not None
        return world.begins(plan, RotationExecutor())


def test_both_legs_fill(world: World) -> None:
    running = begun(world)
    with exact():
        world.passes(100_000_000)
    assert running.kind == "completed"
    assert running.changes["ETH"] == D(-4)
    assert D("0.199") < running.changes["BTC"] < D("0.2")
    assert ZERO <= running.left["USD"] < D("0.1"), "less than a lot, and the room for rounding"


def test_a_second_leg_that_is_gone_leaves_cash_to_the_strategy(world: World) -> None:
    running = begun(world)
    with exact():
        world.passes(25_000_000)
        world.sees("BTC/USD", bids=[("40000", "1")], asks=[("40020", "1")])
        world.passes(100_000_000)
    assert running.outcome is not None
    assert (running.kind, running.outcome.note) == ("partial", f"leg 2 filled 0 of {plain(running.plan.legs[1].qty)}")
    assert running.changes["USD"] == D("7992.0")
    assert "BTC" not in running.changes


def test_a_first_leg_that_fills_in_part_makes_the_second_smaller(world: World) -> None:
    running = begun(world)
    with exact():
        world.passes(5_000_000)
        world.sees("ETH/USD", bids=[("2000", "1")], asks=[("2001", "4")])
        world.passes(100_000_000)
    assert running.outcome is not None
    assert running.outcome.note == "leg 1 filled 1 of 4"
    assert running.placed[1].qty < running.plan.legs[1].qty / 3
    assert running.changes["ETH"] == D(-1)
