"""P&L by TRADING 22 and 23: trading, revaluation and flows, apart."""

from collections.abc import Iterator
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.money import exact
from arbitrade_core.pnl import DAY_NS, HOUR_NS, Results, day_start, value_of

MIDNIGHT = 1_700_006_400_000_000_000
MARKS = {"USD": D(1), "BTC": D(100)}


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def opened() -> Results:
    results = Results("USD")
    results.open({"USD": D(1_000), "BTC": D(2)}, MARKS.get)
    return results


def test_trading_23_plans_count_at_the_marks_of_their_decision() -> None:
    results = opened()
    result = results.ended({"USD": D(-50), "BTC": D("0.6")}, MARKS, MIDNIGHT, completed=True)
    assert result.value == results.trading == D(10)
    dearer = {"USD": D(1), "BTC": D(120)}
    assert results.revalue({"USD": D(950), "BTC": D("2.6")}, dearer.get) == D(52)
    assert results.trading == D(10)


def test_trading_23_flows_are_neither_profit_nor_revaluation() -> None:
    results = opened()
    results.flowed("BTC", D(1), MARKS.get)
    assert results.revalue({"USD": D(1_000), "BTC": D(3)}, MARKS.get) == 0
    assert (results.trading, results.flows, results.drawdown()) == (D(0), D(100), D(0))


def test_trading_23_drawdown_is_from_the_peak_of_trading_and_revaluation() -> None:
    results = opened()
    results.ended({"USD": D(30)}, MARKS, MIDNIGHT, completed=True)
    balances = {"USD": D(1_030), "BTC": D(2)}
    for price, revaluation, drawdown in (("110", 20, 0), ("90", -20, 40), ("105", 10, 10), ("111", 22, 0)):
        assert results.revalue(balances, {"USD": D(1), "BTC": D(price)}.get) == revaluation
        assert results.drawdown() == drawdown


def test_reliability_9_drawdown_goes_on_from_the_high_water_of_earlier_runs() -> None:
    before = opened()
    before.flowed("USD", D(500), MARKS.get)
    before.revalue({"USD": D(1_600), "BTC": D(2)}, MARKS.get)
    before.revalue({"USD": D(1_570), "BTC": D(2)}, MARKS.get)
    assert (before.high_water, before.drawdown()) == (D(1_800), D(30))
    after = Results("USD")
    after.open({"USD": D(1_570), "BTC": D(2)}, lambda asset: None, before.high_water)
    assert after.high_water == D(1_800), "kept until the opening can be marked"
    assert after.revalue({"USD": D(1_570), "BTC": D(2)}, MARKS.get) == 0
    assert (after.high_water, after.drawdown()) == (D(1_800), D(30))
    after.flowed("USD", D(-100), MARKS.get)
    after.revalue({"USD": D(1_470), "BTC": D(2)}, MARKS.get)
    assert (after.high_water, after.drawdown()) == (D(1_700), D(30)), "a withdrawal is no loss"
    after.revalue({"USD": D(1_470), "BTC": D(4)}, MARKS.get)
    assert after.drawdown() == 0


def test_trading_23_hours_and_days_are_utc() -> None:
    results = opened()
    assert day_start(MIDNIGHT + 5) == MIDNIGHT
    for ended, value in ((MIDNIGHT - 1, 1), (MIDNIGHT, 10), (MIDNIGHT + HOUR_NS - 1, 100), (MIDNIGHT + HOUR_NS, 1000)):
        results.ended({"USD": D(value)}, MARKS, ended, completed=True)
    now = MIDNIGHT + HOUR_NS + 5
    assert results.day(now) == D(1110)
    assert results.hour(now) == D(1000)
    assert results.trading_pnl(MIDNIGHT - 1) == results.trading == D(1111)


def test_old_results_leave_the_windows_but_not_the_total() -> None:
    results = opened()
    results.ended({"USD": D(1)}, MARKS, MIDNIGHT, completed=True)
    results.ended({"USD": D(2)}, MARKS, MIDNIGHT + 3 * DAY_NS, completed=True)
    assert results.trading == D(3)
    assert results.trading_pnl(0) == D(2)


def test_reliability_9_loss_windows_hold_across_a_restart() -> None:
    before = opened()
    lost = [before.ended({"USD": D(-4)}, MARKS, MIDNIGHT + hour, completed=False) for hour in (1, 2)]
    after = opened()
    after.recover(lost)
    after.ended({"USD": D(1)}, MARKS, MIDNIGHT + 3, completed=True)
    assert after.day(MIDNIGHT + 4) == D(-7)
    assert after.trading_pnl(MIDNIGHT + 2) == D(-3)
    assert after.unwind_loss(MIDNIGHT) == D(8)
    assert after.trading == D(1)


def test_unwind_loss_counts_losses_of_plans_that_did_not_complete() -> None:
    results = opened()
    for value, completed in ((-5, False), (3, False), (-7, True), (-2, False)):
        results.ended({"USD": D(value)}, MARKS, MIDNIGHT, completed=completed)
    assert results.unwind_loss(MIDNIGHT) == D(7)
    assert results.unwind_loss(MIDNIGHT + 1) == 0


def test_trading_22_what_cannot_be_marked_is_shown_and_stops_the_figures() -> None:
    results = opened()
    result = results.ended({"USD": D(4), "XYZ": D("0.5")}, MARKS, MIDNIGHT, completed=False)
    assert (result.value, result.unmarked) == (D(4), ("XYZ",))
    results.flowed("XYZ", D(1), MARKS.get)
    assert results.unmarked == {"XYZ": D("1.5")}
    assert results.revalue({"USD": D(1_004), "XYZ": D("1.5")}, MARKS.get) is None
    assert results.drawdown() is None
    assert results.revaluation is None


def test_trading_22_an_opening_that_could_not_be_marked_is_marked_as_soon_as_it_can() -> None:
    results = Results("USD")
    results.open({"BTC": D(2)}, {"USD": D(1)}.get)
    assert results.revalue({"BTC": D(2)}, {"USD": D(1)}.get) is None
    assert results.revalue({"BTC": D(2)}, MARKS.get) == 0
    assert results.revalue({"BTC": D(2)}, {"BTC": D(90)}.get) == D(-20)
    assert results.revaluation == D(-20)


amounts = st.decimals(-1_000, 1_000, places=6)


@given(st.lists(st.tuples(amounts, amounts, st.sampled_from(["plan", "flow"]))), st.decimals(1, 500, places=4))
def test_trading_23_the_three_parts_sum_to_the_change_of_worth(events: list[tuple[D, D, str]], last_price: D) -> None:
    with exact():
        results = opened()
        balances = {"USD": D(1_000), "BTC": D(2)}
        for usd, btc, what in events:
            for asset, amount in (("USD", usd), ("BTC", btc)):
                balances[asset] += amount
                if what == "flow":
                    results.flowed(asset, amount, MARKS.get)
            if what == "plan":
                results.ended({"USD": usd, "BTC": btc}, MARKS, MIDNIGHT, completed=True)
        marks = {"USD": D(1), "BTC": last_price}
        revaluation = results.revalue(balances, marks.get)
        worth = value_of(balances, marks.get)
        assert revaluation is not None
        assert worth is not None
        assert worth - D(1_200) == results.trading + revaluation + results.flows
