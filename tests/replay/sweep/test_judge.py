"""Who won, and what is left of it: figures by hand, noise that must not win, and too little that must not be judged."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Ns
from arbitrade_core.replay.results import Coverage, DeskResult
from arbitrade_core.replay.searched import Variant
from arbitrade_core.replay.statistics import Window
from arbitrade_core.replay.sweep.heat import MOST_PAIRS, MOST_STEPS, heat_maps
from arbitrade_core.replay.sweep.judge import Judgement, RecordedTime, judge, periods, ranked, score
from tests.replay.sweep import fakes
from tests.replay.sweep.fakes import START_NS, S, coverage, desk

EDGE, LATENCY = "trading.min_edge_bps", "paper.latency_ms"
D = Decimal


def plan(at_s: float, profit: str | int, lasts_s: float = 0.1) -> tuple[Ns, Ns, Decimal]:
    at = START_NS + round(at_s * S)
    return at, at + round(lasts_s * S), D(profit)


def made(
    plans: list[list[tuple[Ns, Ns, Decimal]]], settings: list[dict[str, str]] | None = None, **told: Any
) -> tuple[list[Variant], list[DeskResult]]:
    each = settings or [{EDGE: str(number)} for number in range(len(plans))]
    variants = [Variant(number, own) for number, own in enumerate(each)]
    return variants, [desk(str(number), each[number], own, **told) for number, own in enumerate(plans)]


def judged(plans: list[list[tuple[Ns, Ns, Decimal]]], covered: Coverage | None = None, **spec: Any) -> Judgement:
    variants, desks = made(plans)
    values = tuple(str(number) for number in range(len(plans)))
    return judge(fakes.job({EDGE: values}, spec=spec), covered or coverage(), variants, desks)


def steady(seed: int, mean: float, spread: float = 1.0, count: int = 110) -> list[tuple[Ns, Ns, Decimal]]:
    random = Random(seed)
    return [plan(1 + number, str(round(random.gauss(mean, spread), 2))) for number in range(count)]


# --- scores ------------------------------------------------------------------------------------------------------


def test_scores_by_each_objective() -> None:
    time = RecordedTime(coverage())
    earned = [plan(10, "4"), plan(20, "-1"), plan(30, "3")]
    found = desk("0", {}, earned, drawdown="1.5")
    idle = desk("1", {}, [])
    calm = desk("2", {}, earned, drawdown="0")
    assert score(found, "profit", time) == D(6)
    assert score(found, "profit_per_drawdown", time) == D(4)
    assert score(calm, "profit_per_drawdown", time) == D(60), "a basis point of 1,000 under way stands for no fall"
    ratio = score(found, "sharpe", time)
    assert ratio is not None
    mean = D(6) / 120
    spread = ((D(16) + 1 + 9 - 120 * mean**2) / 119).sqrt()
    assert abs(ratio - mean / spread) < D("1e-7")
    assert [score(idle, each, time) for each in ("profit", "profit_per_drawdown", "sharpe")] == [D(0), None, None]


def test_the_ranking_puts_first_what_is_best_and_last_what_has_no_value() -> None:
    assert ranked([D(1), None, D(3), D(-2), D(3)]) == (2, 4, 0, 3, 1)


# --- recorded time -----------------------------------------------------------------------------------------------


def test_gaps_are_cut_out_of_time() -> None:
    time = RecordedTime(coverage((10, 20), (50, 60), (100, 120)))
    assert (time.whole.end_ns - time.whole.start_ns) / S == 40

    def seconds(at_s: float) -> float:
        return (time.at(START_NS + round(at_s * S)) - START_NS) / S

    assert [seconds(each) for each in (10, 15, 50, 55, 110)] == [10, 15, 20, 25, 40]
    for outside in (0, 5, 20, 35, 60, 99.5, 120, 125):
        assert time.whole.start_ns <= time.at(START_NS + round(outside * S)) < time.whole.end_ns


@given(st.lists(st.tuples(st.integers(0, 119), st.integers(-500, 500)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_periods_add_up_to_what_was_earned_whenever_it_was(told: list[tuple[int, int]]) -> None:
    earned = [plan(at, str(cents / 100), lasts_s=3) for at, cents in told]
    time = RecordedTime(coverage((10, 55), (70, 100)))
    found = periods(time.earned(desk("0", {}, earned)), time.whole)
    assert sum(found, D(0)) == sum((profit for *_, profit in earned), D(0))
    assert len(found) == 75


# --- having searched ---------------------------------------------------------------------------------------------


def test_luck_alone_wins_nothing() -> None:
    found = judged([steady(seed, 0.0) for seed in range(24)])
    assert found.deflated is not None
    assert found.reality is not None
    assert found.deflated.probability < 0.95
    assert not found.reality.significant
    assert found.reality.deflated < (found.scores[found.ranking[0]] or 0)


def test_merit_is_found_and_what_luck_is_worth_is_taken_off() -> None:
    found = judged([steady(seed, 1.0 if seed == 5 else 0.0) for seed in range(12)])
    assert found.ranking[0] == 5
    assert found.deflated is not None
    assert found.reality is not None
    assert (found.deflated.winner, found.reality.winner) == (5, 5)
    assert found.deflated.probability > 0.95
    assert found.reality.significant
    assert 0 < found.reality.deflated < found.reality.total


def test_variants_that_are_one_and_the_same_change_nothing_but_their_number() -> None:
    plans = [steady(seed, 0.2) for seed in range(6)]
    once, twice = judged(plans).reality, judged(plans + plans + [[]]).reality
    assert once is not None
    assert twice is not None
    assert (twice.variants, twice.constant) == (13, 1)
    assert replace(twice, variants=6, constant=0, hansen_p=0, hansen_p_lower=0, hansen_p_upper=0, block=0) == replace(
        once, hansen_p=0, hansen_p_lower=0, hansen_p_upper=0, block=0
    )


def test_chance_comes_from_the_seed_alone() -> None:
    variants, desks = made([steady(seed, 0.3) for seed in range(5)])

    def found(seed: int) -> Judgement:
        return judge(fakes.job({EDGE: ("1",)}, seed=seed), coverage(), variants, desks)

    assert found(1) == found(1)
    assert found(1).reality != found(2).reality


@pytest.mark.parametrize(
    ("plans", "covered"),
    [
        ([[], []], coverage()),
        ([[plan(5, 3)], [plan(9, 1), plan(20, 2)]], coverage()),
        ([[plan(at, 1) for at in range(1, 4)], []], coverage((0, 5))),
        ([[], []], Coverage(Window(START_NS, START_NS + S), (), (), (), ())),
    ],
    ids=["nothing traded", "three plans", "five seconds", "nothing recorded"],
)
def test_too_little_is_not_judged(plans: list[list[tuple[Ns, Ns, Decimal]]], covered: Coverage) -> None:
    found = judged(plans, covered)
    assert found.deflated is None
    assert found.reality is None
    assert len(found.ranking) == len(plans)


# --- walk forward --------------------------------------------------------------------------------------------------


def test_a_winner_of_the_training_is_judged_on_the_test_alone() -> None:
    """120 s in 3 + 3 parts of 20 s: the first is good before the first test, the second in it and after."""
    early = [plan(at, 5) for at in range(1, 59, 3)] + [plan(at, -1) for at in range(61, 119, 3)]
    late = [plan(at, 1) for at in range(1, 59, 3)] + [plan(at, 4) for at in range(61, 119, 3)]
    found = judged([early, late], folds=3)
    assert [fold.chosen for fold in found.folds] == [0, 0, 1]
    assert [fold.tested_valued for fold in found.folds] == [D(-7), D(-6), D(28)]
    assert [fold.best_tested_valued for fold in found.folds] == [D(28), D(24), D(28)]
    assert found.forward_valued == D(15)
    assert found.ranking[0] == 1
    for fold in found.folds:
        gap_ns = fold.fold.test.start_ns - fold.fold.train.end_ns
        assert gap_ns == round(0.1 * S) + 20_000_000, "the longest cycle and an order's way lie between"


def test_no_folds_when_none_are_wanted_or_nothing_fits() -> None:
    plans = [[plan(at, 1) for at in range(1, 110, 4)]]
    assert judged(plans, folds=0).folds == ()
    assert judged(plans, folds=0).forward_valued is None
    assert judged([[]], folds=3).folds == ()
    assert judged([[plan(2, 1, lasts_s=100)]], folds=5).folds == (), "a cycle as long as the range leaves no training"


def test_a_fold_in_whose_training_nobody_traded_chooses_nobody() -> None:
    found = judged([[plan(70, 3)], [plan(71, 4)]], folds=3)
    assert [fold.chosen for fold in found.folds] == [None, 1, 1]
    assert found.folds[0].tested_valued == 0
    assert found.folds[0].best_tested_valued == 4


# --- heat maps ---------------------------------------------------------------------------------------------------


def cells(tried: Iterable[tuple[dict[str, str], str]]) -> tuple[list[Variant], list[DeskResult]]:
    told = list(tried)
    return made([[plan(5, profit)] for _, profit in told], [own for own, _ in told])


def test_heat_maps_are_means_over_all_variants_there() -> None:
    variants, desks = cells(
        ({EDGE: edge, LATENCY: latency, "kraken.depth": depth}, str(int(edge) * 10 + int(depth == "25")))
        for edge in ("2", "10")
        for latency in ("5", "50")
        for depth in ("10", "25")
        if (edge, latency) != ("10", "50")
    )
    found = heat_maps(variants, desks)
    by = {(each.x, each.y): each for each in found}
    assert next((each.x, each.y) for each in found if each.y) == (EDGE, LATENCY)
    two = by[EDGE, LATENCY]
    assert (two.xs, two.ys) == (("2", "10"), ("5", "50"))
    assert two.cells == ((D("20.5"), D("100.5")), (D("20.5"), None))
    one = by[EDGE, ""]
    assert (one.ys, one.cells) == (("",), ((D("20.5"), D("100.5")),))
    assert next(each.x for each in found if not each.y) == EDGE, "the one that matters most comes first"


def test_many_values_are_put_into_classes_and_many_pairs_are_left_out() -> None:
    random = Random(1)
    variants, desks = cells(
        ({f"trading.s{place}": str(random.randrange(1000)) for place in range(6)}, str(number)) for number in range(200)
    )
    found = heat_maps(variants, desks)
    assert len([each for each in found if each.y]) == MOST_PAIRS
    assert len([each for each in found if not each.y]) == 6
    for each in found:
        assert len(each.xs) == MOST_STEPS
        assert len(each.cells) == len(each.ys)
        assert all(len(row) == len(each.xs) for row in each.cells)
        assert " to " in each.xs[0]
