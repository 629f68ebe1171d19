"""Curves and distributions of a report, against brute force and scipy."""

import math
import warnings
from decimal import Decimal
from itertools import accumulate, pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.replay.curves import (
    Answer,
    Crossing,
    Curve,
    EdgeDistribution,
    Exposure,
    Lifetime,
    Survival,
    drawdowns,
    edge_distribution,
    exposure,
    fee_curve,
    latency_curve,
    lifetimes,
    survival,
)
from arbitrade_core.replay.statistics import Interval, SampleError, Window
from tests.replay.samples import stats

amounts = st.decimals(min_value=0, max_value=100, places=2)


def result(estimate: str, low: str | None = None, high: str | None = None) -> Interval:
    low_bound, high_bound = (None if bound is None else Decimal(bound) for bound in (low, high))
    return Interval(Decimal(estimate), low_bound, high_bound, 0.95, 100, 1.0)


def fees(*results: tuple[str, Interval]) -> Curve:
    return fee_curve((f"tier {fee}", Decimal(fee), each) for fee, each in results)


# --- results over latency and fees ----------------------------------------------------------------------------


def test_break_even_lies_between_the_tiers_where_earning_ends() -> None:
    curve = fees(("40", result("-3", "-5", "-1")), ("10", result("9", "6", "12")), ("20", result("1", "-2", "4")))
    even = curve.break_even
    assert even.estimate.crossings == (Crossing(Decimal(20), Decimal(40), Decimal(25), idle=False),)
    assert even.low.crossings[0].at == Decimal("17.5")
    assert even.high.crossings[0].at == Decimal(36)
    assert [point.name for point in curve.points] == ["tier 10", "tier 20", "tier 40"]


def test_beyond_the_measured_tiers_nothing_is_invented() -> None:
    always = fees(("10", result("9", "-1", "12")), ("80", result("1", "-2", "4"))).break_even
    assert (always.estimate.answer, always.low.answer) == (Answer.BEYOND_LAST, Answer.BEFORE_FIRST)
    assert always.estimate.crossings == ()
    never = fees(("10", result("0")), ("80", result("0"))).break_even
    assert (never.estimate.answer, never.low.answer) == (Answer.BEFORE_FIRST, Answer.UNKNOWN)
    assert fees().break_even.estimate.answer is Answer.UNKNOWN


def test_a_desk_that_stops_trading_leaves_break_even_open_between_the_tiers() -> None:
    (found,) = fees(("10", result("5")), ("20", result("0"))).break_even.estimate.crossings
    assert found == Crossing(earned_at=Decimal(10), failed_at=Decimal(20), at=Decimal(20), idle=True)


def test_a_curve_that_rises_is_shown_rising_with_every_crossing() -> None:
    curve = latency_curve(
        ((Decimal(at), result(earned)) for at, earned in (("1", "4"), ("5", "-4"), ("20", "4"), ("50", "-4"))),
        Decimal(3),
    )
    assert curve.rises == ((Decimal(5), Decimal(20)),)
    assert [crossing.at for crossing in curve.break_even.estimate.crossings] == [3, Decimal("12.5"), 35]
    assert [(int(crossing.earned_at), int(crossing.failed_at)) for crossing in curve.break_even.estimate.crossings] == [
        (1, 5),
        (20, 5),
        (20, 50),
    ]
    assert [point.extrapolated for point in curve.points] == [True, False, False, False]
    assert msgspec.json.decode(msgspec.json.encode(curve), type=Curve) == curve


def test_ambiguous_points_are_refused() -> None:
    with pytest.raises(SampleError, match="two results at 10"):
        fees(("10", result("1")), ("10.0", result("2")))
    with pytest.raises(SampleError, match="nothing comes before 0"):
        latency_curve([(Decimal(-1), result("1"))], Decimal(0))
    assert fees(("-1", result("1"))).break_even.estimate.answer is Answer.BEYOND_LAST


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=8))
def test_break_even_is_where_the_straight_line_is_zero(earned: list[int]) -> None:
    curve = fees(*((str(10 * place), result(str(each))) for place, each in enumerate(earned)))
    found = curve.break_even.estimate
    assert (found.answer is Answer.WITHIN) == (len({each > 0 for each in earned}) == 2)
    for crossing in found.crossings:
        left, right = sorted((crossing.earned_at, crossing.failed_at))
        assert right - left == 10
        line = np.interp(float(crossing.at), np.arange(len(earned)) * 10.0, [float(each) for each in earned])
        assert line == pytest.approx(0.0, abs=1e-4)


# --- edges ----------------------------------------------------------------------------------------------------


@given(st.lists(st.decimals(-300, 300, places=3), min_size=1, max_size=60), st.integers(1, 10))
def test_edges_are_counted_and_quantiles_occurred(edges: list[Decimal], bin_bps: int) -> None:
    found = edge_distribution(edges, bin_bps=bin_bps)
    for share, value in found.quantiles:
        assert value == np.quantile(np.array(edges, dtype=object), float(share), method="inverted_cdf")
    assert sum(count for _, count in found.histogram) == found.count == len(edges)
    for lower, count in found.histogram:
        assert lower % bin_bps == 0
        assert count == sum(lower <= edge < lower + bin_bps for edge in edges)
    assert (found.least, found.most) == (min(edges), max(edges))
    assert found.mean is not None
    assert float(found.mean) == pytest.approx(float(sum(edges)) / len(edges), abs=1e-9)


def test_no_edge_is_no_distribution_and_no_error() -> None:
    empty = edge_distribution([])
    assert (empty.count, empty.mean, empty.quantiles, empty.histogram) == (0, None, (), ())
    assert edge_distribution([Decimal("-0.5")]).histogram == ((-1, 1),)
    assert msgspec.json.decode(msgspec.json.encode(empty), type=EdgeDistribution) == empty
    with pytest.raises(SampleError, match="bins of 0"):
        edge_distribution([], bin_bps=0)
    with pytest.raises(SampleError, match="no share"):
        edge_distribution([], quantiles=[Decimal(2)])
    with pytest.raises(SampleError, match="never priced"):
        edge_distribution([Decimal("nan")])


# --- lifetimes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_survival_is_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    durations = rng.integers(1, 40, 80)
    ended = rng.random(80) < 0.6
    ours = survival(Lifetime(int(at), bool(end)) for at, end in zip(durations, ended, strict=True))
    theirs = stats.ecdf(stats.CensoredData.right_censored(durations, ~ended)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # there is no interval where nothing is left alive
        bounds = theirs.confidence_interval(0.95, method="log-log")
    for step in ours.steps:
        assert step.at_risk == np.sum(durations >= step.duration_ns)
        assert step.ended == np.sum(durations[ended] == step.duration_ns)
        assert step.share == pytest.approx(theirs.evaluate(step.duration_ns))
        if 0 < step.share < 1:
            assert step.low == pytest.approx(bounds.low.evaluate(step.duration_ns))
            assert step.high == pytest.approx(bounds.high.evaluate(step.duration_ns))
    assert {step.duration_ns for step in ours.steps} >= set(durations[ended])
    assert ours.censored == 80 - ended.sum()
    assert ours.median_ns == min(at for at in theirs.quantiles if theirs.evaluate(at) <= 0.5)
    assert msgspec.json.decode(msgspec.json.encode(ours), type=Survival) == ours


def test_survival_says_nothing_of_ages_that_were_never_seen() -> None:
    found = survival([Lifetime(10, True), Lifetime(20, False), Lifetime(30, False)])
    assert found.median_ns is None
    assert [found.share_after(at) for at in (5, 10, 30, 31)] == [1.0, pytest.approx(2 / 3), pytest.approx(2 / 3), None]
    gone = survival([Lifetime(10, True)])
    assert (gone.median_ns, gone.share_after(99)) == (10, 0.0)
    assert survival([]).share_after(1) is None
    with pytest.raises(SampleError, match="level"):
        survival([], level=1.0)
    with pytest.raises(SampleError, match="ended before it began"):
        survival([Lifetime(-1, True)])


def test_a_life_is_cut_at_the_gap_and_unknown_ages_are_left_out() -> None:
    stretches = [Window(0, 100), Window(200, 300)]
    spans = [(10, 30), (50, 250), (90, None), (0, 40), (150, 260), (200, 210), (250, 300), (220, 299)]
    found, unknown = lifetimes(spans, stretches)
    assert found == [
        Lifetime(20, True),
        Lifetime(50, False),
        Lifetime(10, False),
        Lifetime(50, False),
        Lifetime(79, True),
    ]
    assert unknown == 3
    with pytest.raises(SampleError, match="sort them"):
        lifetimes([], stretches[::-1])
    with pytest.raises(SampleError, match="cannot end before"):
        lifetimes([(5, 4)], stretches)


def test_gaps_do_not_make_lives_look_short() -> None:
    rng = np.random.default_rng(1)
    born = np.sort(rng.integers(1, 1_000_000, 3000))
    spans = [(int(at), int(at + span)) for at, span in zip(born, rng.exponential(400.0, 3000).astype(int), strict=True)]
    found, _ = lifetimes(spans, [Window(start, start + 300) for start in range(0, 1_000_000, 500)])
    median = survival(found).median_ns
    assert median == pytest.approx(400 * math.log(2), rel=0.12)
    assert np.median([life.duration_ns for life in found]) < 0.6 * 400 * math.log(2)


# --- equity and exposure --------------------------------------------------------------------------------------


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40))
def test_the_deepest_drawdown_is_that_of_all_pairs(moves: list[int]) -> None:
    equity = [(10 * at, Decimal(value)) for at, value in enumerate(accumulate(moves))]
    found = drawdowns(equity)
    worst = max(one - two for place, (_, one) in enumerate(equity) for _, two in equity[place:])
    assert max((each.depth for each in found), default=Decimal(0)) == worst
    value = dict(equity)
    for each in found:
        until = equity[-1][0] if each.recovered_ns is None else each.recovered_ns
        inside = [amount for at, amount in equity if each.peak_ns < at < until]
        assert each.depth == value[each.peak_ns] - value[each.trough_ns] > 0
        assert all(amount < value[each.peak_ns] for amount in inside)
        assert each.recovered_ns is None or value[each.recovered_ns] >= value[each.peak_ns]
        assert each.length_ns == until - each.peak_ns
    assert [each.recovered_ns is None for each in found[:-1]] == [False] * (len(found) - 1 if found else 0)
    assert all(one.recovered_ns is not None and one.recovered_ns <= two.peak_ns for one, two in pairwise(found))


def test_a_drawdown_that_never_recovered_says_so() -> None:
    equity = [(at, Decimal(value)) for at, value in ((0, "100"), (5, "104"), (7, "101"), (9, "98.5"), (12, "103"))]
    (found,) = drawdowns(equity)
    assert (found.depth, found.peak_ns, found.trough_ns) == (Decimal("5.5"), 5, 9)
    assert (found.recovered_ns, found.length_ns) == (None, 7)
    assert drawdowns([]) == drawdowns(equity[:2]) == ()
    with pytest.raises(SampleError, match="sort it by time"):
        drawdowns(equity[::-1])


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30), st.booleans(), amounts), max_size=12))
def test_exposure_is_that_of_every_instant(drawn: list[tuple[int, int, bool, Decimal]]) -> None:
    positions = [(at, None if still else at + span, amount) for at, span, still, amount in drawn]
    window = Window(10, 50)
    found = exposure(positions, window)
    instants = [
        sum((amount for start, end, amount in positions if start <= at and (end is None or at < end)), Decimal(0))
        for at in range(10, 50)
    ]
    assert found.peak == max(instants)
    assert found.peak == 0 or found.peak_ns == 10 + instants.index(found.peak)
    assert float(found.mean) == pytest.approx(float(sum(instants)) / 40)
    assert found.busy_share == Decimal(sum(instant > 0 for instant in instants)) / 40
    assert found.steps[0][0] == 10
    for at, instant in enumerate(instants, start=10):
        assert [value for start, value in found.steps if start <= at][-1] == instant
    assert msgspec.json.decode(msgspec.json.encode(found), type=Exposure) == found


def test_positions_that_cannot_be_are_refused() -> None:
    with pytest.raises(SampleError, match="cannot be"):
        exposure([(5, 4, Decimal(1))], Window(0, 10))
    with pytest.raises(SampleError, match="cannot be"):
        exposure([(4, 5, Decimal(-1))], Window(0, 10))
    with pytest.raises(SampleError, match="no length"):
        exposure([], Window(0, 0))
