"""The whole of it on seeded series: it earns where there is something, stays out where not, never looks ahead."""

import math
from decimal import Decimal
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_statarb.bars import Bars
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.regression import Series
from arbitrade_statarb.selection import Stage
from arbitrade_statarb.settings import StatarbSettings
from arbitrade_statarb.signal import Position, Reason
from arbitrade_statarb.spread import Decision
from arbitrade_statarb.strategy import Strategy
from tests.statarb.market import bars_of, decide, trade
from tests.statarb.series import cointegrated, walk

Y, X = "ETH/USD", "BTC/USD"
FEE = Decimal("0.004")
TAKER = {Y: FEE, X: FEE}
BARS = 1_600
SEED = 4
"""A market in which the pair is followed from bar 500 to 1500."""


def settings(**changes: Any) -> StatarbSettings:
    short: dict[str, Any] = {
        "allocation": {"ETH": 1, "BTC": 1},
        "bar_s": 60,
        "formation_bars": 300,
        "validation_bars": 200,
        "window_bars": 200,
        "reselect_every_bars": 200,
        "cooldown_bars": 10,
        "max_lags": 4,
    }
    return StatarbSettings(**(short | changes))


def together(seed: int, bars: int = BARS, **changes: Any) -> dict[str, Series]:
    y, x = cointegrated(seed, bars, **changes)
    return {Y: y, X: x}


def apart(seed: int, bars: int = BARS) -> dict[str, Series]:
    return {Y: walk(2 * seed + 7_000, bars), X: walk(2 * seed + 7_001, bars)}


def test_a_pair_that_belongs_together_earns_net_of_costs() -> None:
    """Costs are four times 40 bps and the spread crossed four times. Twenty seeds, none picked."""
    results = [trade(together(seed), settings(), FEE) for seed in range(20)]
    gains = np.array([float(gain) for gain, _, _ in results])
    round_trips = sum(trips for _, trips, _ in results)
    assert round_trips > 60
    assert gains.mean() > 2.0 * gains.std() / len(gains) ** 0.5, "above zero by two standard errors"


def test_walks_are_left_alone() -> None:
    results = [trade(apart(seed), settings(), FEE) for seed in range(20)]
    assert sum(trips for _, trips, _ in results) <= 5
    assert sum(bool(seen) for _, _, seen in results) <= 3, "hardly any is even followed"


def test_what_does_not_pay_for_its_round_trip_is_not_followed() -> None:
    seen, strategy = decide(together(SEED), settings(), dict.fromkeys(TAKER, Decimal("0.008")))
    assert seen == []
    assert strategy.selection is not None
    assert {one.stage for one in strategy.selection.verdicts} <= {Stage.UNSUITABLE, Stage.NOT_COINTEGRATED}


@pytest.mark.parametrize(
    ("later", "reason"), [({}, Reason.NO_FEES), (dict.fromkeys(TAKER, Decimal("0.008")), Reason.COST)]
)
def test_fees_that_go_or_rise_later_end_entries(later: dict[str, Decimal], reason: Reason) -> None:
    series, rules = together(SEED), settings(reselect_every_bars=2_000)
    strategy, before, after = Strategy(rules), set[Reason](), set[Reason]()
    for number, bars in enumerate(bars_of(series, rules)):
        early = number < 700
        decisions = strategy.on_bars(bars, TAKER if early else later)
        (before if early else after).update(decision.signal.reason for decision in decisions)
    assert Reason.ENTRY in before
    assert reason in after
    assert Reason.ENTRY not in after


# --- no look-ahead ------------------------------------------------------------------------------------------


def known(decisions: list[Decision], until_ns: int) -> list[Decision]:
    return [decision for decision in decisions if decision.end_ns <= until_ns]


FULL = {seed: decide(together(seed), settings(), TAKER)[0] for seed in (SEED, 5)}


@given(st.sampled_from(sorted(FULL)), st.integers(500, BARS), st.floats(-0.5, 0.5))
@hypothesis.settings(max_examples=25, deadline=None)
def test_another_future_changes_no_past_decision(seed: int, cut: int, jump: float) -> None:
    """Neither none at all nor a wild one."""
    series, rules = together(seed), settings()
    now = cut * rules.bar_ns
    past = known(FULL[seed], now)
    truncated, _ = decide({symbol: values[:cut] for symbol, values in series.items()}, rules, TAKER)
    assert truncated == past
    wild = {symbol: values.copy() for symbol, values in series.items()}
    wild[Y][cut:] += jump
    assert known(decide({symbol: values[: cut + 20] for symbol, values in wild.items()}, rules, TAKER)[0], now) == past


def test_there_is_something_that_could_change() -> None:
    for decisions in FULL.values():
        assert sum(decision.signal.changed for decision in decisions) >= 6
        assert len(decisions) > 500


def test_the_same_bars_give_the_same_bits() -> None:
    assert decide(together(SEED), settings(), TAKER)[0] == FULL[SEED]


# --- gaps, pairs that go --------------------------------------------------------------------------


def first_entry(decisions: list[Decision], rules: StatarbSettings) -> int:
    """Number of the bar after the one that asked for the first entry."""
    entry = next(decision for decision in decisions if decision.signal.reason is Reason.ENTRY)
    return entry.end_ns // rules.bar_ns


def test_a_gap_ends_the_position_and_the_pair() -> None:
    rules = settings()
    start = first_entry(FULL[SEED], rules)
    series = together(SEED)
    series[X][start : start + 10] = math.nan
    seen, strategy = decide({symbol: values[: start + 12] for symbol, values in series.items()}, rules, TAKER)
    reasons = [decision.signal.reason for decision in seen][-4:]
    assert reasons == [Reason.STALE] * 3 + [Reason.GAP]
    assert seen[-1].signal.position is Position.FLAT
    assert seen[-1].signal.changed
    assert seen[-1].reading is None
    assert strategy.positions == {}


def test_a_missing_bar_is_a_gap_too() -> None:
    rules, strategy, last = settings(), Strategy(settings()), list[Decision]()
    closed = list(bars_of({symbol: values[:900] for symbol, values in together(SEED).items()}, rules))
    for bars in closed:
        last = strategy.on_bars(bars, TAKER)
    assert last
    later = Bars(closed[-1].end_ns + 2 * rules.bar_ns, closed[-1].mids)
    assert [decision.signal.reason for decision in strategy.on_bars(later, TAKER)] == [Reason.GAP]


def test_a_pair_that_a_later_search_drops_ends_its_position_first() -> None:
    rules = settings(reselect_every_bars=5)
    series = together(SEED)
    broken = walk(1, BARS - 700, step=0.004, start=0.0)
    series[Y][700:] += broken
    seen, strategy = decide(series, rules, TAKER)
    assert strategy.positions == {}
    by_pair: dict[SpreadPair, list[Decision]] = {}
    for decision in seen:
        by_pair.setdefault(decision.pair, []).append(decision)
    for decisions in by_pair.values():
        assert decisions[-1].signal.position is Position.FLAT
    assert strategy.selection is not None
    assert strategy.selection.chosen == ()


def test_no_asset_is_in_two_pairs_at_once() -> None:
    y, x = cointegrated(3, 900)
    z = cointegrated(3, 900, hedge_ratio=0.8)[0] + np.random.default_rng(1).normal(0.0, 0.004, 900)
    series = {Y: y, X: x, "SOL/USD": z}
    rules = settings(allocation={"ETH": 1, "BTC": 1, "SOL": 1}, tests_per_bar=1)
    strategy, most = Strategy(rules), 0
    for bars in bars_of(series, rules):
        strategy.on_bars(bars, dict.fromkeys(series, FEE))
        assets = [asset for pair in strategy.positions for asset in pair.bases]
        assert len(assets) == len(set(assets))
        most = max(most, len(assets))
    assert most == 2
    assert strategy.symbols == set(series)
