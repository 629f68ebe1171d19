"""When a spread is entered, left, given up, and left alone."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_statarb.settings import StatarbSettings
from arbitrade_statarb.signal import Position, Reading, Reason, Signal, State, gap, step

SETTINGS = StatarbSettings(
    entry_z=2.0, exit_z=0.5, stop_z=4.0, time_stop_half_lives=3.0, cooldown_bars=3, cost_margin=1.5
)
GOOD = Reading(z=0.0, sigma=0.02, hedge_ratio=1.0, half_life_bars=4.0, stable=True, round_trip_bps=100.0)
LONG, FLAT, SHORT = Position.LONG, Position.FLAT, Position.SHORT


def run(*zs: float, state: State | None = None, **changes: Any) -> list[tuple[Position, Reason]]:
    state, seen = state or State(), []
    for z in zs:
        state, asked = step(state, replace(GOOD, z=z, **changes), SETTINGS)
        seen.append((asked.position, asked.reason))
        assert asked.position is state.position
    return seen


def test_cheap_is_bought_and_left_at_the_exit() -> None:
    assert run(-1.9, -2.1, -1.0, -0.5) == [
        (FLAT, Reason.WAIT),
        (LONG, Reason.ENTRY),
        (LONG, Reason.HOLD),
        (FLAT, Reason.EXIT),
    ]


def test_dear_is_sold_and_left_beyond_the_mean() -> None:
    assert run(2.0, 0.6, -3.0) == [(SHORT, Reason.ENTRY), (SHORT, Reason.HOLD), (FLAT, Reason.EXIT)]


def test_after_an_exit_the_next_entry_is_free() -> None:
    assert run(2.0, -3.0, -3.0)[-1] == (LONG, Reason.ENTRY)


def test_a_stop_rests_and_waits_until_the_spread_came_back() -> None:
    assert run(-2.0, -4.0, -3.0, -3.0, -3.0, -3.0, -3.0, -1.9, -2.0) == [
        (LONG, Reason.ENTRY),
        (FLAT, Reason.STOP),
        *[(FLAT, Reason.COOLDOWN)] * 5,
        (FLAT, Reason.WAIT),
        (LONG, Reason.ENTRY),
    ]


def test_coming_back_early_does_not_end_the_rest() -> None:
    assert run(-2.0, -4.0, 0.0, -3.0, -3.0, -3.0)[2:] == [*[(FLAT, Reason.COOLDOWN)] * 3, (LONG, Reason.ENTRY)]


def test_a_position_is_given_up_after_so_many_half_lives() -> None:
    seen = run(*[-2.0] * 14)
    assert seen[11:13] == [(LONG, Reason.HOLD), (FLAT, Reason.TIME_STOP)]
    assert seen[13] == (FLAT, Reason.COOLDOWN)


def test_the_time_stop_is_that_of_the_entry() -> None:
    state, _ = step(State(), replace(GOOD, z=-2.0), SETTINGS)
    slow = replace(GOOD, z=-2.0, half_life_bars=90.0)
    for _ in range(11):
        state, asked = step(state, slow, SETTINGS)
        assert asked.reason is Reason.HOLD
    assert step(state, slow, SETTINGS)[1].reason is Reason.TIME_STOP


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stable": False}, Reason.UNSTABLE),
        ({"half_life_bars": 101.0}, Reason.UNSTABLE),
        ({"half_life_bars": float("inf")}, Reason.UNSTABLE),
        ({"hedge_ratio": -1.0}, Reason.UNSTABLE),
        ({"hedge_ratio": 2.1}, Reason.UNSTABLE),
        ({"round_trip_bps": None}, Reason.NO_FEES),
        ({"round_trip_bps": 201.0}, Reason.COST),
        ({"sigma": 0.001}, Reason.COST),
        ({"fresh": False}, Reason.STALE),
    ],
)
def test_an_entry_needs_every_reason_for_it(changes: dict[str, Any], reason: Reason) -> None:
    assert run(-2.0, **changes) == [(FLAT, reason)]


def test_costs_are_weighed_with_the_margin() -> None:
    """At z 2 with sigma 2 % the exit is 300 bps away: 1.5 round trips of 200."""
    _, enough = step(State(), replace(GOOD, z=-2.0, round_trip_bps=199.0), SETTINGS)
    assert (enough.position, enough.reason) == (LONG, Reason.ENTRY)
    assert enough.expected_bps == pytest.approx(300.0)


def test_a_spread_beyond_the_stop_is_not_entered() -> None:
    assert run(-4.0, 5.0) == [(FLAT, Reason.BEYOND_STOP)] * 2


def test_what_would_forbid_an_entry_does_not_end_a_position() -> None:
    state, _ = step(State(), replace(GOOD, z=-2.0), SETTINGS)
    held = run(-1.0, -0.4, state=state, stable=False, round_trip_bps=None, half_life_bars=float("inf"))
    assert held == [(LONG, Reason.HOLD), (FLAT, Reason.EXIT)]


def test_nothing_is_decided_on_a_carried_price_but_time_passes() -> None:
    state, _ = step(State(), replace(GOOD, z=-2.0), SETTINGS)
    for z in (-9.0, 0.0, *[-1.0] * 12):
        state, asked = step(state, replace(GOOD, z=z, fresh=False), SETTINGS)
        assert (asked.position, asked.reason, asked.changed) == (LONG, Reason.STALE, False)
    assert step(state, replace(GOOD, z=-1.0), SETTINGS)[1].reason is Reason.TIME_STOP


def test_a_gap_ends_a_position() -> None:
    state, _ = step(State(), replace(GOOD, z=-2.0), SETTINGS)
    assert gap(state) == (State(), Signal(FLAT, Reason.GAP, changed=True))
    assert gap(State()) == (State(), Signal(FLAT, Reason.GAP, changed=False))


readings = st.builds(
    Reading,
    z=st.floats(-6.0, 6.0),
    sigma=st.floats(0.0, 0.1),
    hedge_ratio=st.floats(-1.0, 3.0),
    half_life_bars=st.floats(0.0, 200.0),
    stable=st.booleans(),
    round_trip_bps=st.none() | st.floats(0.0, 400.0),
    fresh=st.booleans(),
)


@given(st.lists(readings, max_size=80))
def test_what_holds_of_every_run(stream: list[Reading]) -> None:
    state, rested = State(), 10
    for reading in stream:
        before = state
        state, asked = step(before, reading, SETTINGS)
        assert asked.changed == (state.position is not before.position)
        assert state.position is asked.position
        rested += 1
        if asked.reason is Reason.ENTRY:
            assert before.position is FLAT
            assert rested > SETTINGS.cooldown_bars
            assert reading.fresh
            assert reading.stable
            assert SETTINGS.entry_z <= abs(reading.z) < SETTINGS.stop_z
            assert state.position * reading.z < 0.0
            assert reading.round_trip_bps is not None
            assert asked.expected_bps >= SETTINGS.cost_margin * reading.round_trip_bps
        elif asked.changed:
            assert state.position is FLAT, "never from one side to the other"
        if asked.reason in (Reason.STOP, Reason.TIME_STOP):
            rested = 0
