"""Pairs are chosen out of sample, with every test paid for."""

import re
from decimal import Decimal
from itertools import combinations
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_statarb.correction import benjamini_hochberg, holm
from arbitrade_statarb.costs import expected_reversion_bps, round_trip_bps
from arbitrade_statarb.history import Split
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.regression import Series
from arbitrade_statarb.selection import Selection, Stage, Verdict, select, selecting
from arbitrade_statarb.settings import StatarbSettings
from tests.statarb.reference import multitest
from tests.statarb.series import cointegrated, walk

CHEAP = Decimal(40)
FORMATION, VALIDATION = 500, 300


def settings(**changes: Any) -> StatarbSettings:
    return StatarbSettings(formation_bars=FORMATION, validation_bars=VALIDATION, **changes)


def split(**log_mids: Series) -> Split:
    """Symbols like `ETH_USD`, each with formation and validation in one."""
    by_symbol = {name.replace("_", "/"): values for name, values in log_mids.items()}
    return Split(
        {symbol: values[:FORMATION] for symbol, values in by_symbol.items()},
        {symbol: values[FORMATION:] for symbol, values in by_symbol.items()},
        800,
    )


def both_ways(*symbols: str) -> list[SpreadPair]:
    return [pair for y, x in combinations(symbols, 2) for pair in (SpreadPair(y, x), SpreadPair(x, y))]


def search(universe: list[SpreadPair], cut: Split, rules: StatarbSettings, cost: Decimal = CHEAP) -> Selection:
    return select(universe, cut, dict.fromkeys(universe, cost), rules)


def together(**changes: Any) -> dict[str, Series]:
    y, x = cointegrated(3, FORMATION + VALIDATION, **changes)
    return {"A_USD": y, "B_USD": x}


def verdict(universe: list[SpreadPair], cut: Split, cost: Decimal = CHEAP, **changes: Any) -> Verdict:
    return search(universe, cut, settings(**changes), cost).verdicts[0]


A_B = [SpreadPair("A/USD", "B/USD")]


def test_a_pair_that_belongs_together_is_chosen() -> None:
    found = verdict(A_B, split(**together()))
    assert (found.stage, found.reason) == (Stage.CHOSEN, "")
    assert found.fit is not None
    assert found.fit.slope == pytest.approx(0.9, abs=0.2)
    assert found.p_value < 0.01


def test_walks_are_not() -> None:
    found = verdict(A_B, split(A_USD=walk(1, 800), B_USD=walk(2, 800)))
    assert found.stage is Stage.NOT_COINTEGRATED
    assert "level 0.05" in found.reason


@pytest.mark.parametrize(
    ("changes", "cost", "says"),
    [
        ({"hedge_ratio_min": 1.5}, CHEAP, "hedge ratio 0.8.*allowed 1.5 to 2.0"),
        ({"half_life_min_bars": 50.0}, CHEAP, "half-life 8.18 bars, allowed 50.0 to 100.0"),
        ({}, Decimal(340), "needs 510.0 .1.5 round trips"),
        ({"entry_z": 1.0, "exit_z": 0.9}, CHEAP, "reverts .* bps from entry, needs 60.0"),
    ],
)
def test_a_pair_that_cannot_be_traded_is_left_out_with_the_figure(
    changes: dict[str, float], cost: Decimal, says: str
) -> None:
    found = verdict(A_B, split(**together()), cost, **changes)
    assert found.stage is Stage.UNSUITABLE
    assert re.search(says, found.reason), found.reason


def test_a_pair_without_fees_is_left_out() -> None:
    found = select(A_B, split(**together()), {}, settings()).verdicts[0]
    assert (found.stage, found.reason) == (Stage.UNSUITABLE, "fees of its two symbols are not known")


def test_what_held_in_formation_alone_is_not_confirmed() -> None:
    series = together()
    broken = series["A_USD"].copy()
    broken[FORMATION:] = broken[FORMATION] + walk(99, VALIDATION, step=0.02, start=0.0)
    found = verdict(A_B, split(A_USD=broken, B_USD=series["B_USD"]))
    assert found.stage is Stage.NOT_CONFIRMED
    assert found.fit is not None


def test_what_is_chosen_keeps_the_figures_of_formation() -> None:
    """A figure of the validation window would make it a second formation window."""
    series = together()
    other = {name: values.copy() for name, values in series.items()}
    other["A_USD"][FORMATION:] += np.sin(np.arange(VALIDATION) / 3.0) * 0.002
    one, two = verdict(A_B, split(**series)), verdict(A_B, split(**other))
    assert (one.stage, two.stage) == (Stage.CHOSEN, Stage.CHOSEN)
    assert (one.p_value, one.half_life_bars) == (two.p_value, two.half_life_bars)


def test_pairs_that_allow_no_test_are_named_and_not_counted() -> None:
    series = together()
    universe = [*A_B, SpreadPair("A/USD", "B/EUR"), SpreadPair("A/USD", "C/USD"), SpreadPair("A/USD", "D/USD")]
    cut = split(**series, B_EUR=series["B_USD"], D_USD=np.full(800, 8.0))
    verdicts = search(universe, cut, settings()).verdicts
    assert [found.stage for found in verdicts] == [Stage.CHOSEN, *[Stage.UNTESTED] * 3]
    assert verdicts[1].reason == "quoted in USD and EUR, not in one asset"
    assert verdicts[2].reason == "C/USD has fewer than 800 bars without a gap"
    assert "x is 8.0 in all 500 bars" in verdicts[3].reason
    assert verdicts[0].p_value == verdict(A_B, cut).p_value


def test_every_test_made_costs() -> None:
    series = together()
    walks = {f"W{number}_USD": walk(number + 10, 800) for number in range(4)}
    alone = verdict(A_B, split(**series))
    among = search(
        both_ways("A/USD", "B/USD", *(name.replace("_", "/") for name in walks)), split(**series, **walks), settings()
    )
    one = next(found for found in among.verdicts if found.pair == A_B[0])
    assert one.p_value > alone.p_value


def test_of_pairs_that_share_an_asset_the_surest_is_kept() -> None:
    y, x = cointegrated(3, 800)
    z, _ = cointegrated(3, 800, hedge_ratio=0.8)
    noise = np.random.default_rng(8).normal(0.0, 0.004, 800)
    found = search(both_ways("A/USD", "B/USD", "C/USD"), split(A_USD=y, B_USD=x, C_USD=z + noise), settings())
    assets = [asset for one in found.chosen for asset in one.pair.bases]
    assert assets
    assert len(assets) == len(set(assets))
    overlapping = [one for one in found.verdicts if one.stage is Stage.OVERLAPPING]
    assert overlapping
    assert all("shares an asset with" in one.reason for one in overlapping)


def test_step_by_step_is_the_same_as_at_once() -> None:
    series = together()
    universe = both_ways("A/USD", "B/USD", "C/USD")
    cut = split(**series, C_USD=walk(77, 800))
    steps = selecting(universe, cut, dict.fromkeys(universe, CHEAP), settings())
    count = 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            assert end.value == search(universe, cut, settings())
            break
    assert count >= len(universe)


# --- many tests ---------------------------------------------------------------------------------------------


P_VALUES = st.lists(st.floats(0.0, 1.0) | st.sampled_from((0.0, 0.01, 1.0)), min_size=1, max_size=40)


@given(P_VALUES)
def test_benjamini_hochberg_is_that_of_statsmodels(p_values: list[float]) -> None:
    theirs = multitest.multipletests(p_values, method="fdr_bh")[1]
    assert benjamini_hochberg(p_values) == pytest.approx(theirs, rel=1e-12)


@given(P_VALUES)
@hypothesis.settings(max_examples=15)  # theirs takes 85 ms
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1], rel=1e-12)


def test_no_tests_need_no_correction() -> None:
    assert benjamini_hochberg([]) == holm([]) == []


@pytest.mark.parametrize("correction", ["benjamini-hochberg", "holm"])
def test_independent_walks_bring_fewer_false_pairs_than_the_level(correction: str) -> None:
    """All discoveries among independent walks are false, so the rate of false ones is how often there are any."""
    rules = settings(correction=correction, alpha=0.1, max_lags=4)
    symbols = [f"W{number}/USD" for number in range(5)]
    universe = both_ways(*symbols)
    formed, chosen, runs = 0, 0, 300
    for run in range(runs):
        walks = {symbol.replace("/", "_"): walk(1_000 * run + number, 800) for number, symbol in enumerate(symbols)}
        found = search(universe, split(**walks), rules)
        formed += any(one.stage is not Stage.NOT_COINTEGRATED for one in found.verdicts)
        chosen += bool(found.chosen)
    # three standard errors of a rate of 0.1 above it
    assert formed / runs <= 0.1 + 3.0 * (0.1 * 0.9 / runs) ** 0.5
    assert chosen / runs <= 0.02


def test_pairs_that_belong_together_are_found_among_walks() -> None:
    hits, false = 0, 0
    symbols = ["A/USD", "B/USD", "W1/USD", "W2/USD", "W3/USD"]
    for seed in range(30):
        y, x = cointegrated(seed, 800)
        walks = {f"W{number}_USD": walk(50_000 + 10 * seed + number, 800) for number in (1, 2, 3)}
        for one in search(both_ways(*symbols), split(A_USD=y, B_USD=x, **walks), settings()).chosen:
            right = set(one.pair.bases) == {"A", "B"}
            hits, false = hits + right, false + (not right)
    assert hits >= 24
    assert false <= 2


# --- costs --------------------------------------------------------------------------------------------------


def test_a_round_trip_is_four_taker_fees_and_four_buffers() -> None:
    assert round_trip_bps(Decimal("0.008"), Decimal("0.004"), Decimal(4)) == 4 * 60 + 16


def test_the_expected_reversion_is_what_the_time_stop_and_the_hedge_ratio_leave() -> None:
    assert expected_reversion_bps(-2.0, 0.5, 0.01, 1.0, 10.0) == pytest.approx(150.0)
    assert expected_reversion_bps(2.0, 0.5, 0.01, 1.0, 1.0) == pytest.approx(100.0)
    assert expected_reversion_bps(2.0, 0.5, 0.01, 2.0, 10.0) == pytest.approx(75.0)
    assert expected_reversion_bps(2.0, 0.5, 0.01, 0.5, 10.0) == pytest.approx(150.0)
    assert expected_reversion_bps(0.3, 0.5, 0.01, 1.0, 10.0) == 0.0
