"""A verdict is never more confident than the statistics behind it."""

from random import Random

import msgspec
import pytest

from arbitrade_core.replay.report import shapes, verdicts
from arbitrade_core.replay.report.figures import sweep_report
from arbitrade_core.replay.searched import SweepResult, Variant
from arbitrade_core.replay.selection import RealityCheck, deflated_sharpe, reality_check
from tests.replay.report import samples
from tests.replay.report.samples import SPACE, dec, desk, judged, plan, sweep, sweep_job


def changed(result: SweepResult, **changes: object) -> SweepResult:
    return msgspec.structs.replace(result, **changes)


def check(total: str, luck: str, high: str, p: float) -> RealityCheck:
    """Of a search whose winner earned `total`."""
    return RealityCheck(
        winner=0,
        total=dec(total),
        luck=dec(luck),
        luck_high=dec(high),
        deflated=dec(total) - dec(luck),
        deflated_low=dec(total) - dec(high),
        white_p=p,
        hansen_p=p,
        hansen_p_lower=p,
        hansen_p_upper=p,
        level=0.95,
        variants=60,
        constant=0,
        periods=48,
        block=1.0,
    )


def winner(total: str = "4.10") -> SweepResult:
    """Of 60, whose best earned that much."""
    seen = sweep(plans=20)
    best = [msgspec.structs.replace(each, trading_valued=dec(total) - place) for place, each in enumerate(seen.desks)]
    return changed(seen, desks=tuple(best))


def test_a_best_that_is_no_more_than_luck_is_nothing() -> None:
    found = changed(winner(), reality=check("4.10", "3.60", "6.00", 0.3))
    assert verdicts.verdict(found, "USD") == (
        "the best of 60 variants earned 4.10 USD; by luck alone the best would have earned 3.60 USD, "
        "and by chance 5 times in 100 more than 6.00 USD: nothing was found"
    )
    assert verdicts.finding(found) == "nothing"


@pytest.mark.parametrize(
    ("changes", "finding", "says"),
    [
        ({}, "found", ": better than luck, and chosen on the past it earned 1.50 USD on what followed"),
        ({"forward_valued": dec("-0.10")}, "unproven", "it did not earn: nothing to rely on was found"),
        ({"forward_valued": dec(0)}, "unproven", "nothing to rely on was found"),
        ({"forward_valued": None}, "unproven", "not yet judged on time that it was not chosen on"),
        ({"deflated": None}, "unproven", "too uneven to rely on"),
        ({"reality": None}, "nothing", "nothing can be said to be found"),
        ({"reality": check("4.10", "1.00", "4.20", 0.04)}, "nothing", "nothing was found"),
        ({"reality": check("4.10", "1.00", "2.00", 0.06)}, "nothing", "nothing was found"),
    ],
)
def test_every_doubt_takes_confidence_away(changes: dict[str, object], finding: str, says: str) -> None:
    sure = deflated_sharpe([[dec(1) + dec(place % 5) / 10 for place in range(60)]])
    assert sure is not None
    good = changed(winner(), reality=check("4.10", "1.00", "2.00", 0.01), deflated=sure, forward_valued=dec("1.50"))
    seen = changed(good, **changes)
    assert verdicts.finding(seen) == finding
    assert says in verdicts.verdict(seen, "USD")


def test_searches_of_noise_find_nothing_nearly_always() -> None:
    found, seen = 0, winner("9")
    for seed in range(20):
        random = Random(seed)
        periods = [[dec(round(random.gauss(0, 1), 3)) for _ in range(60)] for _ in range(15)]
        tested = reality_check(periods, random=Random(seed), resamples=200)
        found += verdicts.finding(changed(seen, reality=tested)) != "nothing"
    assert found <= 3


def test_losers_idlers_and_nobody_are_said_to_be_that() -> None:
    variants = [Variant(number, {"a": str(number)}) for number in range(2)]
    lost = [desk(str(number), [plan(1, profit_valued=dec("-2"))]) for number in range(2)]
    covered = samples.coverage()
    assert verdicts.verdict(judged(variants, lost, covered), "USD") == (
        "the best of 2 variants lost 2.00 USD: nothing was found"
    )
    idle = [desk(str(number)) for number in range(2)]
    assert verdicts.verdict(judged(variants, idle, covered), "USD") == ("none of 2 variants traded: nothing was found")
    assert "no variant was run" in verdicts.verdict(judged([], [], covered, 0), "USD")


def test_the_ranking_is_that_of_the_search() -> None:
    seen = sweep()
    found = sweep_report(sweep_job(SPACE, hours=8), seen)
    assert [row.variant for row in found.ranking.rows] == list(seen.ranking)
    assert [row.place for row in found.ranking.rows] == list(range(1, 61))
    first = found.ranking.rows[0]
    assert first.trading_valued == max(each.trading_valued for each in seen.desks)
    assert first.settings == seen.variants[first.variant].settings
    assert found.searched["paper.latency_ms"] == "5, 10, 20, 50, 100"
    assert (found.variants, found.idle) == (60, 0)


def test_what_searching_cost_is_said() -> None:
    found = sweep_report(sweep_job(SPACE, hours=8), sweep())
    said = " ".join(found.cost)
    assert "is what the best of 60 variants without any merit would show" in said
    assert "choosing anew before each of 4 tests" in said.lower()
    assert found.best_forward_valued == sum(each.best_tested_valued for each in found.folds)
    without = sweep_report(sweep_job(SPACE, hours=8), sweep(folds=0))
    assert "so the ranking flatters its winner" in " ".join(without.cost)
    assert without.best_forward_valued is None


def test_json_says_the_same_as_the_report() -> None:
    found = sweep_report(sweep_job(SPACE, hours=8), sweep())
    assert shapes.read(shapes.write(found)) == found
