"""Rotations of a funded baseline: exact, never short, measured against holding."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_statarb.baseline import Comparison, Holding, Lots, Prices, target
from arbitrade_statarb.signal import Position
from tests.statarb.accounting import Held, Rotation, gained, gained_bps, rotation, value

D = Decimal
BASE = Holding(y=D(10), x=D(1))
PRICES = Prices(y=D(2000), x=D(30000))
LOTS = Lots(y=D("0.001"), x=D("0.00001"))


def test_long_the_spread_turns_x_into_y_and_short_y_into_x() -> None:
    assert target(BASE, Position.FLAT, D("0.5"), PRICES, LOTS) == BASE
    assert target(BASE, Position.LONG, D("0.5"), PRICES, LOTS) == Holding(y=D("17.5"), x=D("0.5"))
    assert target(BASE, Position.SHORT, D("0.5"), PRICES, LOTS) == Holding(y=D(5), x=D("1.33333"))


def test_the_way_in_and_the_way_back() -> None:
    long = target(BASE, Position.LONG, D("0.5"), PRICES, LOTS)
    assert rotation(BASE, long, LOTS) == Rotation(Held.X, D("0.5"))
    after_fees = Holding(y=D("17.3"), x=D("0.5"))
    assert rotation(after_fees, long, LOTS) is None
    assert rotation(after_fees, BASE, LOTS) == Rotation(Held.Y, D("7.3"))


@pytest.mark.parametrize("x", ["0.9", "1.2"])
def test_what_a_round_trip_lost_or_gained_stays(x: str) -> None:
    assert rotation(Holding(y=D(10), x=D(x)), BASE, LOTS) is None


def test_an_excess_below_a_lot_stays() -> None:
    assert rotation(Holding(y=D("10.0009"), x=D("0.9")), BASE, LOTS) is None


def test_results_are_against_holding_the_baseline() -> None:
    won = Holding(y=D(10), x=D("1.01"), quote=D("2.5"))
    assert value(won, PRICES) == D("50302.5")
    assert gained(won, BASE, PRICES) == D("302.5")
    assert gained_bps(won, BASE, PRICES) == D("60.5")
    doubled = Prices(PRICES.y * 2, PRICES.x * 2)
    assert gained(BASE, BASE, doubled) == 0, "what the baseline itself does is not the strategy's"


def test_amounts_are_exact_however_long() -> None:
    long = Holding(y=D("1.000000000000000000000000000001"), x=D(0))
    assert gained(long, Holding(D(1), D(0)), Prices(D("123456789.123456789"), D(1))) == D(
        "0.000000000000000000000123456789123456789"
    )


def compared(held: Holding, baseline: Holding, at: Prices) -> Comparison:
    return Comparison(
        {"Y": held.y, "X": held.x, "USD": held.quote},
        {"Y": baseline.y, "X": baseline.x},
        {"Y": at.y, "X": at.x, "USD": D(1)},
    )


amounts = st.decimals("0.00001", "100000", places=8)
prices = st.decimals("0.0001", "100000", places=6)


@given(
    st.builds(Holding, amounts, amounts),
    st.builds(Prices, prices, prices),
    st.decimals("0.01", "1", places=2),
    st.sampled_from(Position),
)
def test_a_target_is_never_short_and_never_worth_more_than_the_baseline(
    base: Holding, at: Prices, share: Decimal, position: Position
) -> None:
    wanted = target(base, position, share, at, LOTS)
    assert min(wanted.y, wanted.x) >= 0
    assert gained(wanted, base, at) <= 0
    assert wanted.x >= base.x - base.x * share
    assert wanted.y >= base.y - base.y * share
    way = rotation(base, wanted, LOTS)
    if way is not None:
        assert 0 < way.qty <= (base.y if way.sells is Held.Y else base.x)


holdings = st.builds(Holding, amounts, amounts, amounts)


@given(holdings, st.builds(Holding, amounts, amounts), st.builds(Prices, prices, prices))
def test_what_is_shown_is_what_the_independent_accounting_says(held: Holding, base: Holding, at: Prices) -> None:
    shown = compared(held, base, at)
    assert (shown.value, shown.baseline_value) == (value(held, at), value(base, at))
    assert (shown.gained, shown.gained_bps) == (gained(held, base, at), gained_bps(held, base, at))


def test_nothing_allocated_gained_nothing() -> None:
    assert Comparison({}, {}, {}).gained_bps == 0
