"""The sequential executor by TRADING 14-19: what each kind of fill leads to, in the real paper venue."""

from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import pytest

from arbitrade_core.domain import Done, DoneReason, Fee, Fill, PairStatus, PlanKind, Rejected
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.money import exact
from tests.execution.worlds import Running, World, listing, planned

PATH = ("+BTC/USD", "+ETH/BTC", "-ETH/USD")
LATENCY_NS = 20_000_000


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def triangle(fee: str = "0.001", **figures: object) -> World:
    """USD > BTC > ETH > USD at about 2 % profit, with room behind the best levels."""
    pairs = [listing(symbol, **figures) for symbol in ("BTC/USD", "ETH/BTC", "ETH/USD")]
    world = World(pairs, {"USD": D(100_000)}, Fee(D(fee)))
    world.sees("BTC/USD", bids=[("99.9", "50"), ("99", "50")], asks=[("100", "10"), ("100.2", "50")])
    world.sees("ETH/BTC", bids=[("0.0499", "900")], asks=[("0.05", "200"), ("0.0502", "900")])
    world.sees("ETH/USD", bids=[("5.12", "200"), ("5.08", "900")], asks=[("5.13", "900")])
    world.uses(
        PaperVenue(
            "test",
            funds=lambda asset: world.ledger.cash(asset) + world.ledger.residue(asset),
            latency_ns=LATENCY_NS,
        )
    )
    return world


def begin(world: World, funds: str = "900", cap_bps: str = "300", follow_ups: int = 6) -> Running:
    plan = planned(world, PATH, D(funds), margin=D(1))
    assert plan is not None
    return world.begins(plan, SequentialExecutor(D(cap_bps), follow_ups))


def cheaper(world: World) -> None:
    """BTC can be bought 2 % below plan."""
    world.changes("BTC/USD", bids=[("99.9", "0"), ("99", "0")], asks=[("98", "10")])


def leg_done(world: World) -> None:
    world.passes(LATENCY_NS)


def sound(running: Running) -> None:
    """What must hold at every end."""
    ledger, plan = running.world.ledger, running.plan
    assert ledger.problems() == []
    assert not running.run.stakes
    home = plan.legs[-1].leg.gets
    for asset, change in running.changes.items():
        started = plan.start if asset == plan.start_asset else D(0)
        assert running.left.get(asset, D(0)) == started + change + running.residue_used.get(asset, D(0)), asset
    if home == plan.start_asset:
        assert ledger.balances()[home] == D(100_000) + running.changes.get(home, D(0))


# --- straight through -------------------------------------------------------------------------------------------


def test_trading_17_three_legs_one_round_trip_each() -> None:
    world = triangle()
    running = begin(world)
    for placed in (1, 2, 3):
        assert [order.id for order in running.placed] == [leg.order_id for leg in running.plan.legs[:placed]]
        assert running.outcome is None
        leg_done(world)
    assert running.kind == "completed"
    assert running.changes["USD"] > running.plan.certificate.margin  # type: ignore[union-attr]
    assert running.bans == running.halts == []
    sound(running)


def test_trading_17_the_next_leg_is_sized_from_what_really_came() -> None:
    world = triangle()
    running = begin(world)
    world.changes("BTC/USD", asks=[("100", "5"), ("100.2", "0")])
    leg_done(world)
    got = running.run.holdings["BTC"]
    assert got == D(5)
    assert D("4.9") < running.placed[1].qty * running.placed[1].limit <= got
    leg_done(world)
    leg_done(world)
    assert (running.kind, running.outcome.note) == ("partial", "leg 1 filled 5 of 8.991008")  # type: ignore[union-attr]
    assert running.bans == [], "a partial leg 1 is a smaller cycle, not a failure"
    assert running.left["USD"] > running.plan.start
    sound(running)


def test_trading_17_price_improvement_loosens_what_is_left_and_the_floor_still_holds() -> None:
    world = triangle()
    running = begin(world)
    cheaper(world)
    leg_done(world)
    leg_done(world)
    # What leg 1 saved may be given up in leg 3: its limit is below what the plan's own figures would bear.
    other = begin(triangle())
    leg_done(other.world)
    leg_done(other.world)
    assert running.placed[2].limit < other.placed[2].limit
    world.changes("ETH/USD", bids=[("5.12", "0"), ("5.08", "0"), (str(running.placed[2].limit), "900")])
    leg_done(world)
    assert running.kind == "completed"
    assert running.changes["USD"] >= D(1)


def test_trading_17_a_buy_limit_is_loosened_only_as_far_as_the_book_asks() -> None:
    world = triangle()
    running = begin(world)
    cheaper(world)
    world.changes("ETH/BTC", asks=[("0.05", "0")])
    leg_done(world)
    assert running.placed[1].limit == D("0.0502")
    leg_done(world)
    leg_done(world)
    assert running.kind == "completed"
    assert running.changes["USD"] >= D(1)


def test_trading_17_a_sell_limit_goes_down_to_the_plans_floor() -> None:
    world = triangle()
    running = begin(world)
    leg_done(world)
    leg_done(world)
    last = running.placed[2]
    assert last.limit < running.plan.legs[2].limit
    spent = running.plan.start - running.run.holdings["USD"]
    least = last.qty * last.limit * (1 - last.fee.rate)
    assert spent + 1 <= least < spent + 1 + last.qty * D("0.0002"), "to the tick"


def test_trading_17_a_book_beyond_the_floor_is_not_followed() -> None:
    world = triangle()
    running = begin(world)
    world.changes("ETH/BTC", asks=[("0.05", "0"), ("0.0502", "0"), ("0.052", "900")])
    leg_done(world)
    assert running.placed[1].limit < D("0.052")
    leg_done(world)
    assert running.bans == ["+ETH/BTC"]


# --- leg 1 ------------------------------------------------------------------------------------------------------


def test_trading_19_leg_1_unfilled_is_missed_and_no_failure() -> None:
    world = triangle()
    running = begin(world)
    world.changes("BTC/USD", asks=[("100", "0"), ("100.2", "0")])
    leg_done(world)
    assert running.kind == "missed"
    assert running.bans == []
    assert running.left == {"USD": running.plan.start}
    sound(running)


def test_leg_1_rejected_is_missed_with_the_reason() -> None:
    world = triangle()
    running = begin(world)
    world.market.list_pair(listing("BTC/USD", status=PairStatus.CANCEL_ONLY))
    leg_done(world)
    assert running.outcome is not None
    assert (running.kind, running.outcome.note) == ("missed", "BTC/USD is cancel_only")
    assert running.bans == ["+BTC/USD"]
    sound(running)


# --- short legs -------------------------------------------------------------------------------------------------


def test_trading_18_a_short_leg_goes_on_with_what_filled_and_settles_the_rest() -> None:
    world = triangle()
    running = begin(world)
    leg_done(world)
    world.changes("ETH/BTC", asks=[("0.05", "100"), ("0.0502", "0"), ("0.0503", "900")])
    leg_done(world)
    assert running.bans == ["+ETH/BTC"]
    assert [order.id for order in running.placed] == ["p1-1", "p1-2", "p1-3"]
    assert running.placed[2].qty == D(100)
    assert [(ask.purpose, ask.order.id) for ask in running.follow_ups] == [("complete", "p1-f1")]
    assert running.follow_ups[0].order.limit == D("0.0503")
    world.passes(10**9)
    assert running.kind == "unwound"
    assert [ask.purpose for ask in running.follow_ups] == ["complete", "complete"]
    sound(running)


def test_trading_18_a_rejected_leg_is_reversed_when_that_is_what_is_left() -> None:
    world = triangle()
    running = begin(world)
    leg_done(world)
    world.market.list_pair(listing("ETH/BTC", status=PairStatus.MAINTENANCE))
    world.passes(10**9)
    assert running.bans == ["+ETH/BTC"]
    assert [ask.purpose for ask in running.follow_ups] == ["reverse"]
    assert running.kind == "unwound"
    assert running.changes.get("BTC", D(0)) < D("0.000002")
    loss = -running.changes["USD"]
    assert D(0) < loss < running.plan.start * D("0.03")
    sound(running)


def test_trading_18_a_follow_up_that_misses_is_followed_by_another() -> None:
    world = triangle()
    running = begin(world)
    leg_done(world)
    world.market.list_pair(listing("ETH/BTC", status=PairStatus.MAINTENANCE))
    leg_done(world)
    world.changes("BTC/USD", bids=[("99.9", "0"), ("99", "2"), ("98.9", "50")])
    world.passes(10**9)
    # The first met a level that was gone; the second takes what the cap allows at the next prices.
    assert [ask.order.limit for ask in running.follow_ups] == [D("99.9"), D("98.9")]
    assert running.kind == "unwound"
    sound(running)


@pytest.mark.parametrize(
    ("refused_ms", "follow_ups", "kind"), [(10, 1, "unwound"), (1_200, 4, "unwound"), (9_999, 6, "stuck")]
)
def test_trading_18_what_is_rejected_for_a_while_is_tried_again_in_growing_intervals(
    refused_ms: int, follow_ups: int, kind: str
) -> None:
    world = triangle()
    until = world.now + 3 * LATENCY_NS + refused_ms * 1_000_000

    def funds(asset: str) -> D:
        refuses = asset == "ETH" and world.now < until
        return D(0) if refuses else world.ledger.cash(asset) + world.ledger.residue(asset)

    world.uses(PaperVenue("test", funds=funds, latency_ns=LATENCY_NS))
    running = begin(world, cap_bps="10")
    world.passes(10 * 10**9)
    assert [ask.purpose for ask in running.follow_ups] == ["complete"] * follow_ups
    assert (running.kind, bool(running.halts)) == (kind, kind == "stuck")
    assert len(running.alerts) == (0 if refused_ms < 500 else 1 if kind == "unwound" else 3)
    assert all("orders on -ETH/USD are rejected: insufficient funds" in alert for alert in running.alerts)
    if kind == "unwound":
        assert running.changes["USD"] > 0, "it came home as planned, later"
    sound(running)


def test_trading_18_beyond_the_cap_is_stuck_and_halts() -> None:
    world = triangle()
    running = begin(world)
    leg_done(world)
    world.market.list_pair(listing("ETH/BTC", status=PairStatus.MAINTENANCE))
    world.changes("BTC/USD", bids=[("99.9", "0"), ("99", "0"), ("90", "50")])
    world.passes(5 * 10**9 + LATENCY_NS)
    assert running.kind == "stuck"
    (reason,) = running.halts
    assert "plan p1 holds 8.991008 BTC" in reason
    assert "loses at most 300 bps" in reason
    assert "best offer: reverse with 8.991008 at 90 on -BTC/USD" in reason
    assert world.ledger.residue("BTC") == D("8.991008")
    sound(running)


def without_a_way_home(**terms: Any) -> tuple[World, Running]:
    """Leg 2 and the way back are out of use when leg 1 has filled."""
    world = triangle()
    plan = planned(world, PATH, D("900"), margin=D(1))
    assert plan is not None
    running = world.begins(plan, SequentialExecutor(**terms))
    world.market.quarantine(world.pair_id("ETH/BTC"), "test")
    leg_done(world)
    world.market.quarantine(world.pair_id("BTC/USD"), "test")
    leg_done(world)
    return world, running


def test_reliability_6_a_way_home_that_is_gone_for_a_moment_is_waited_for_and_people_hear_of_it() -> None:
    world, running = without_a_way_home()
    assert (running.kind, running.halts, running.follow_ups) == ("open", [], [])
    (alert,) = running.alerts
    assert "plan p1 holds 8.991008 BTC" in alert
    assert "no usable book on any way home. A way is looked for again for 5 s" in alert
    world.passes(3 * 10**9)
    assert len(running.alerts) == 1, "once"
    world.sees("BTC/USD", bids=[("99.9", "50")], asks=[("100", "50")])
    world.passes(10**9)
    assert running.kind == "unwound"
    assert [ask.purpose for ask in running.follow_ups] == ["reverse"]
    assert running.halts == []
    sound(running)


@pytest.mark.parametrize(("stuck_after_ns", "kind"), [(0, "stuck"), (10**9, "stuck"), (10**9 + 1, "open")])
def test_reliability_6_it_is_stuck_when_the_time_is_up_and_not_before(stuck_after_ns: int, kind: str) -> None:
    world, running = without_a_way_home(stuck_after_ns=stuck_after_ns)
    world.passes(10**9)
    assert running.kind == kind
    assert bool(running.halts) == (kind == "stuck")
    assert bool(running.alerts) == bool(stuck_after_ns)


def test_reliability_6_a_way_home_that_comes_and_goes_gets_its_time_anew() -> None:
    world, running = without_a_way_home(stuck_after_ns=10**9)
    world.passes(900_000_000)
    world.sees("BTC/USD", bids=[("99.9", "1")], asks=[("100", "50")])
    world.passes(200_000_000)
    assert len(running.follow_ups) == 1
    assert len(running.alerts) == 2, "what the book did not hold waits again"
    world.passes(700_000_000)
    assert running.kind == "open"
    world.passes(300_000_000)
    assert running.kind == "stuck"
    sound(running)


def test_trading_18_after_the_last_follow_up_it_is_stuck() -> None:
    world = triangle()
    running = begin(world, follow_ups=2)
    leg_done(world)
    world.market.list_pair(listing("ETH/BTC", status=PairStatus.MAINTENANCE))
    for step in range(200):
        # The bid steps away whenever an order is about to reach it.
        world.changes("BTC/USD", bids=[("99.9", "0"), ("99", "0"), ("98.5", "50" if step % 2 else "0")])
        world.changes("BTC/USD", bids=[("98.4", "0" if step % 2 else "50")])
        world.passes(LATENCY_NS // 2)
        if running.outcome is not None:
            break
    assert running.kind in ("stuck", "unwound")
    assert len(running.follow_ups) <= 2


def test_trading_19_what_no_leg_can_carry_is_residue_not_failure() -> None:
    world = triangle(qty_min=D("0.5"))
    running = begin(world)
    world.changes("BTC/USD", asks=[("100", "0.02"), ("100.2", "0")])
    leg_done(world)
    assert running.kind == "partial"
    assert running.halts == []
    assert running.follow_ups == []
    assert world.ledger.residue("BTC") == D("0.02")
    assert running.outcome.note == (  # type: ignore[union-attr]
        "leg 1 filled 0.02 of 8.991008; leg 2 was too small to send; leg 3 was too small to send"
    )
    sound(running)


# --- residue ----------------------------------------------------------------------------------------------------


def with_residue(world: World, asset: str, amount: str) -> None:
    world.ledger.flow(asset, D(amount), "deposit")
    world.ledger.to_residue("earlier", asset, D(amount))


def test_trading_15_residue_is_used_by_the_next_cycle_through_the_asset() -> None:
    world = triangle()
    with_residue(world, "BTC", "0.1")
    running = begin(world)
    world.passes(10**9)
    assert running.kind == "completed"
    assert running.residue_used["BTC"] == D("0.1") - world.ledger.residue("BTC")
    assert world.ledger.residue("BTC") < D("0.000001")
    sound(running)


def test_trading_15_residue_takes_no_more_than_the_depth_within_the_limit() -> None:
    world = triangle()
    with_residue(world, "BTC", "50")
    running = begin(world)
    leg_done(world)
    # At the limit of 0.05 the book shows 200 ETH; the plan's own money buys 179.6 of them.
    assert running.placed[1].qty == D(200)
    world.passes(10**9)
    assert running.kind == "completed"
    assert D("48.9") < world.ledger.residue("BTC") < D(49)
    sound(running)


def test_trading_15_residue_may_make_a_small_fill_tradable() -> None:
    world = triangle(qty_min=D(1))
    with_residue(world, "BTC", "0.04")
    running = begin(world)
    world.changes("BTC/USD", asks=[("100", "0.02"), ("100.2", "0")])
    leg_done(world)
    assert running.placed[1].qty > D(1)
    world.passes(10**9)
    assert running.kind == "partial"
    sound(running)


# --- sweeps -----------------------------------------------------------------------------------------------------


def test_trading_15_a_sweep_is_one_leg_back_to_a_start_asset() -> None:
    world = triangle()
    with_residue(world, "BTC", "2")
    plan = planned(world, ["-BTC/USD"], D(2), kind=PlanKind.SWEEP)
    assert plan is not None
    running = world.begins(plan, SequentialExecutor())
    world.passes(10**9)
    assert running.kind == "completed"
    assert world.ledger.cash("USD") == D("100199.6002")
    assert world.ledger.residue("BTC") == 0
    sound(running)


@pytest.mark.parametrize(("bid", "kind"), [("0", "missed"), ("1", "partial")])
def test_a_sweep_that_falls_short_is_not_settled(bid: str, kind: str) -> None:
    world = triangle()
    with_residue(world, "BTC", "2")
    plan = planned(world, ["-BTC/USD"], D(2), kind=PlanKind.SWEEP)
    assert plan is not None
    running = world.begins(plan, SequentialExecutor())
    world.changes("BTC/USD", bids=[("99.9", bid), ("99", "0")])
    world.passes(10**9)
    assert (running.kind, running.follow_ups, running.bans) == (kind, [], [])


# --- repeats ----------------------------------------------------------------------------------------------------


def test_an_end_that_is_told_again_changes_nothing() -> None:
    world = triangle()
    running = begin(world)
    leg_done(world)
    executor, run = running.executor, running.run
    fill = next(iter(run.orders["p1-1"].fills.values()))
    assert isinstance(fill, Fill)
    again = (fill, Done("p1-1", DoneReason.FILLED, D("8.991008")), Rejected("p1-1", "late"))
    assert [executor.step(run, event, world, world.now) for event in again] == [[], [], []]
