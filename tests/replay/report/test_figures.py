"""Reports of small results, computed by hand."""

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from arbitrade_core.errors import ArbitradeError
from arbitrade_core.money import ZERO, exact, nearest_decimals
from arbitrade_core.replay.job import FeeRates, FeeStep, JobSpec
from arbitrade_core.replay.report import certainty, shapes, words
from arbitrade_core.replay.report.certainty import Parts
from arbitrade_core.replay.report.figures import report
from arbitrade_core.replay.report.shapes import Report
from arbitrade_core.replay.results import Coverage, DeskResult, PlanResult, ReplayResult
from arbitrade_core.replay.statistics import Interval
from tests.replay.report import samples
from tests.replay.report.samples import MIN, MS, START_NS, H, bare, dec, desk, job, leg, life, plan, result


def three() -> list[PlanResult]:
    """+0.40 of 0.50, -1.50 of 0.60, and one that was open at the end."""
    return [
        plan(1),
        plan(2, outcome="unwound", expected_profit_valued=dec("0.60"), profit_valued=dec("-1.50")),
        plan(3, outcome="open", ended_ns=None, profit_valued=None, attribution=(), filled_valued=ZERO),
    ]


def of_three() -> Report:
    return report(job(), result([desk(plans=three(), lives=[life(MIN, MIN + 40 * MS)])]))


def test_the_headline_says_what_its_plans_say() -> None:
    head = of_three().headline
    assert head.trading_valued == dec("-1.10")
    assert head.total_valued == dec("-1.10")
    assert head.total.estimate == dec("-1.10")
    assert head.per_hour.estimate == dec("-0.275")  # over four hours
    assert head.per_plan is not None
    assert head.per_plan.estimate == dec("-0.55")  # over the two that ended
    assert head.by_asset == {"USD": dec("-1.10")}
    assert (head.plans, head.outcomes) == (3, {"completed": 1, "unwound": 1, "open": 1})
    assert head.fill_ratio == dec("0.6666666666666666666666666667")


def test_a_few_plans_are_not_given_an_interval() -> None:
    found = of_three()
    assert found.headline.total.low is None
    assert found.answer.sure == (
        "Too little data: 2 plans ended, and fewer than 10 say nothing about how sure a result is."
    )


def test_a_few_minutes_are_not_given_an_interval() -> None:
    plans = [plan(number, decided_ns=START_NS + number * MIN // 20) for number in range(1, 60)]
    found = report(job(hours=0.05), result([desk(plans=plans)], samples.coverage(0.05)))
    assert found.headline.total.low is None
    assert found.headline.per_plan is not None
    assert found.headline.per_plan.low is None
    assert words.rate(found.headline.per_hour) == "unknown"
    assert "less than 10 minutes without gaps say nothing" in found.answer.sure


def test_a_loss_that_is_sure_is_called_one() -> None:
    # 199 times -0.40 is -79.60; the remainders sum to 28 * 21 + 1 + 2 + 3 = 594
    plans = [plan(number, profit_valued=dec("-0.40") + dec(number % 7) / 100) for number in range(1, 200)]
    found = report(job(), result([desk(plans=plans)]))
    assert found.headline.total.high is not None
    assert found.headline.total.high < 0
    assert "a loss" in found.answer.sure
    assert found.answer.earned.startswith("Lost 73.66 USD by trading in 4 h of recorded market: 199 plans")


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [("1", "3", "above zero, as far as hours like these go"), ("-1", "3", "may be chance"), ("-3", "-1", "a loss")],
)
def test_words_are_never_surer_than_the_interval(low: str, high: str, says: str) -> None:
    found = Interval((dec(low) + dec(high)) / 2, dec(low), dec(high), 0.95, 50, 1.0)
    assert says in certainty.in_words(found, 50, Parts(samples.coverage()), "USD")


def test_the_expected_profit_is_accounted_for() -> None:
    completed, unwound, still_open = of_three().shortfall
    assert (completed.expected_valued, completed.realised_valued) == (dec("0.50"), dec("0.40"))
    # 0.000001 of 0.02 BTC, and 0.000025 of 0.5 ETH, are both 0.5 bps: 0.05 of 1,000 USD
    assert completed.parts_valued["drift"] == dec("0.05")
    assert completed.parts_valued["depth"] == dec("0.025") * 2
    assert (unwound.plans, unwound.realised_valued, unwound.parts_valued) == (1, dec("-1.50"), {})
    assert (still_open.outcome, still_open.realised_valued) == ("open", ZERO)


def test_the_largest_cost_is_named() -> None:
    assert "the largest cost was plans that had to be unwound, about 2.10 USD" in of_three().answer.why


def test_pairs_and_cycles_are_told_apart() -> None:
    other = plan(4, key="SOL", path="USD > SOL > BTC > USD", pairs=("SOL/USD", "SOL/BTC", "BTC/USD"))
    lives = [life(MIN, MIN + 40 * MS), life(2 * MIN, 2 * MIN + 60 * MS), life(3 * MIN, None, best_edge_bps=None)]
    found = report(job(), result([desk(plans=[*three(), other], lives=lives)]))
    pairs = {row.symbol: row for row in found.pairs.rows}
    assert (pairs["BTC/USD"].plans, pairs["BTC/USD"].profit_valued) == (4, dec("-0.70"))
    assert (pairs["SOL/USD"].plans, pairs["SOL/USD"].profit_valued) == (1, dec("0.40"))
    assert pairs["ETH/BTC"].price_cost_bps == dec("0.5")
    assert pairs["ETH/BTC"].taker_bps == 26
    first, second = found.cycles.rows
    assert (first.key, first.profit_valued) == ("SOL", dec("0.40"))
    assert (second.lives, second.median_life_ns, second.best_edge_bps) == (3, 40 * MS, dec(6))
    assert (second.plans, second.completed, second.expected_valued) == (3, 1, dec("1.60"))


def test_lives_that_began_unseen_or_ended_in_a_gap_are_censored() -> None:
    covered = samples.coverage(4, [(1, 2, "disconnected")])
    lives = [life(MIN, MIN + 10 * MS), life(H - 5 * MS, H + 5 * MS), life(H + MIN, H + 2 * MIN)]
    found = report(job(), result([desk(lives=lives)], covered)).lifetimes
    assert (found.survival.count, found.survival.censored, found.unknown) == (2, 1, 1)


def test_edges_that_were_never_priced_are_counted_apart() -> None:
    edges = [*(dec(edge) for edge in (-3, 1, 2, 2, 8)), None]
    lives = [life(MIN * place, MIN * place + MS, best_edge_bps=edge) for place, edge in enumerate(edges, start=1)]
    found = report(job(), result([desk(lives=lives)])).edges
    assert (found.count, found.unpriced, found.least, found.most, found.mean) == (5, 1, dec(-3), dec(8), dec(2))
    assert sum(count for _, count in found.bars.bars) + found.bars.below + found.bars.above == 5


def test_exposure_and_drawdown_are_those_of_the_plans() -> None:
    plans = [
        plan(1, decided_ns=START_NS, ended_ns=START_NS + H, profit_valued=dec(3)),
        plan(2, decided_ns=START_NS + H, ended_ns=START_NS + 2 * H, profit_valued=dec(-2)),
        plan(3, decided_ns=START_NS + 2 * H, ended_ns=START_NS + 2 * H, outcome="gone", profit_valued=None),
    ]
    found = report(job(), result([desk(plans=plans)]))
    assert (found.exposure.mean_valued, found.exposure.busy_share) == (dec(500), dec("0.5"))
    assert found.deepest is not None
    assert (found.deepest.depth, found.deepest.peak_ns, found.deepest.recovered_ns) == (dec(2), START_NS + H, None)
    assert found.headline.drawdown_valued == 2


def test_holding_is_the_benchmark_where_something_was_held() -> None:
    assert of_three().holding is None
    held = desk(
        plans=[plan(1)],
        opening={"USD": dec(1_000), "BTC": dec("0.5")},
        closing={"USD": dec("1000.4"), "BTC": dec("0.499")},
        revaluation_valued=dec("12.5"),
    )
    found = report(job(), result([held]))
    assert found.holding is not None
    assert (found.holding.gained_valued, found.holding.traded_on_top_valued) == (dec("12.5"), dec("0.40"))
    assert found.holding.drifted == {"BTC": dec("-0.001")}
    assert found.headline.total_valued == dec("12.9")
    assert "what it held changed in value by +12.50 USD" in found.answer.earned


def test_what_cannot_be_marked_is_unknown_and_not_zero() -> None:
    found = report(job(), result([desk(plans=[plan(1)], revaluation_valued=None)]))
    assert found.headline.total_valued is None
    assert "its revaluation is unknown" in found.answer.earned


def test_the_unlimited_figure_stands_beside_the_headline() -> None:
    found = report(job(), result([desk(plans=[plan(1)]), desk("unlimited", [plan(1), plan(2), plan(3)])]))
    assert found.unlimited is not None
    assert (found.headline.trading_valued, found.unlimited.trading_valued) == (dec("0.40"), dec("1.20"))
    assert "taken as often as it was offered, it would be +1.20 USD" in found.answer.earned


# --- curves and break-even ------------------------------------------------------------------------------------


def earning(name: str, cents: int, settings: dict[str, str] | None = None) -> DeskResult:
    """A desk that earned so many cents in each of 40 plans."""
    plans = [plan(number * 5, profit_valued=Decimal(cents + number % 3 - 1) / 100) for number in range(1, 41)]
    return bare(desk(name, plans), settings=settings or {})


def test_latencies_are_curves_by_executor_and_close_ones_are_marked() -> None:
    parallel = {"execution.executors": "cycle=parallel,position=slow"}
    desks = [
        desk(plans=[plan(number * 5, profit_valued=dec("0.05")) for number in range(1, 41)]),
        *(earning(f"latency {ms} ms", cents) for ms, cents in ((1, 20), (5, 15), (20, 5), (50, -5), (100, -10))),
        *(earning(f"latency {ms} ms with parallel", cents, parallel) for ms, cents in ((1, 9), (250, 3))),
    ]
    usual, other = report(job(), result(desks)).latency
    assert (usual.executor, other.executor) == ("as set", "parallel")
    assert [int(point.at) for point in usual.curve.points] == [1, 5, 20, 50, 100]
    assert [point.extrapolated for point in usual.curve.points] == [True, False, False, False, False]
    assert [point.result.estimate for point in usual.curve.points][:2] == [dec(8), dec(6)]
    assert usual.words.startswith("it stops to pay at about 35")
    assert "up to 1 ms the points are extrapolated" in usual.words
    assert other.words.startswith("it earned at every latency that was tried, up to 250 ms")


def test_the_headline_stands_where_no_other_desk_does() -> None:
    desks = [desk(plans=[plan(1)]), earning("latency 5 ms", 3)]
    (curve,) = report(job(latency_ms=20), result(desks)).latency
    assert [point.at for point in curve.curve.points] == [5, 20]


def test_break_even_as_tier_as_uniform_fee_and_as_factor() -> None:
    desks = [
        desk(plans=[plan(number * 5, profit_valued=dec("0.05")) for number in range(1, 41)]),
        *(earning(f"tier tier-{number}", cents) for number, cents in ((1, -50), (2, -10), (3, 5), (4, 15), (5, 30))),
        *(earning(f"fees x{factor}", cents) for factor, cents in (("0", 60), ("0.5", 30), ("1", 5), ("1.5", -5))),
    ]
    found = report(job(), result(desks)).fees
    assert (found.own_taker_bps, found.own_uniform) == (dec(26), True)
    assert found.break_even_tier == "tier-3"
    assert found.break_even_factor is not None
    assert dec("1.2") < found.break_even_factor < dec("1.3")
    with exact():
        assert found.break_even_taker_bps == nearest_decimals(26 * found.break_even_factor, 4)
    assert found.next_tier is not None
    assert (found.next_tier.name, found.next_tier.taker_bps) == ("tier-4", dec(16))
    assert found.next_tier.more_valued.estimate == found.next_tier.trading_valued - 2
    assert found.words[0].startswith("It paid at tier-3 (26 bps taker) and lost at tier-2 (40 bps taker)")


def test_no_uniform_fee_is_said_where_pairs_differ() -> None:
    rates = dict(samples.fees().rates)
    rates["BTC/USD"] = FeeRates(maker=ZERO, taker=dec("0.0020"))
    mixed = samples.fees().model_copy(update={"rates": rates})
    desks = [
        desk(plans=[plan(1)]),
        *(earning(f"fees x{factor}", cents) for factor, cents in (("0.5", 30), ("1", 5), ("1.5", -5))),
    ]
    found = report(job(fees=mixed, ladder=()), result(desks)).fees
    assert (found.own_taker_bps, found.own_uniform) == (dec(24), False)
    assert found.break_even_taker_bps is None
    assert found.break_even_factor is not None
    assert "can only come from the account" in found.words[-1]


def test_beyond_a_desk_that_did_not_trade_break_even_is_only_bounded() -> None:
    desks = [desk(plans=[plan(1)]), earning("fees x1", 5), bare(desk("fees x1.5"))]
    found = report(job(), result(desks)).fees
    assert found.break_even_factor is None
    assert "somewhere between x1 and x1.5, where nothing was traded any more" in " ".join(found.words)


def test_a_tier_is_found_by_the_longest_name() -> None:
    steps = tuple(FeeStep(name=name, fees=samples.fees(bps)) for name, bps in (("a", "40"), ("a b", "10")))
    desks = [desk(plans=[plan(1)]), earning("tier a", 1), earning("tier a b", 2)]
    (curve,) = report(job(ladder=steps), result(desks)).fees.by_tier
    assert [(point.name, point.at) for point in curve.curve.points] == [
        ("a b", dec(10)),
        ("as used", dec(26)),
        ("a", dec(40)),
    ]


# --- why, and cautions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ({"candidates": 0}, "none by the minimum edge or margin that is set"),
        ({"after_depth": 0}, "the books were too thin"),
        ({"after_buffers": 0}, "slippage and fee buffers"),
        ({"after_buffers": 4, "refused": {"cooldown": 1, "max_edge": 3}}, "the risk check max_edge refused 3 times"),
        ({"after_buffers": 4, "refused": {}}, "stale or gone at the last look"),
    ],
)
def test_nothing_traded_is_explained(counts: dict[str, object], why: str) -> None:
    idle = desk(funnel={**samples.funnel(80, 0), "executed": 0, **counts})
    found = report(job(), result([idle]))
    assert why in found.funnel.why
    assert found.answer.earned == "Nothing was traded in 4 h of recorded market."
    assert why in found.answer.why


def test_nothing_recorded_is_said_first() -> None:
    nothing = Coverage(samples.coverage().wanted, (), ((START_NS, START_NS + 4 * H, "not recorded"),), (), ())
    found = report(job(), result([desk()], nothing, samples.market(0, jitter_ms=0.0)))
    assert found.funnel.why == "nothing trades: no market data was recorded"
    assert found.answer.cautions == ("Nothing was recorded in this range.",)
    assert found.grounds.coverage.share == 0


def test_what_a_reader_must_know_is_said() -> None:
    wanted = job(pairs=("BTC/USD", "XMR/USD"), latency_ms=1)
    late = replace_fees(wanted, START_NS + 3 * H)
    covered = samples.coverage(4, [(1, 2, "disconnected")])
    found = report(
        late,
        result([desk(plans=[plan(1)], halted="drawdown")], covered, samples.market(checksums_bad=2)),
        notes=["the mispricings were planted"],
        code={"arbitrade": "0.1.0"},
        ran_ns=START_NS + 30 * H,
    )
    said = " ".join(found.answer.cautions)
    for words_ in (
        "The mispricings were planted.",
        "75 % of the range was recorded; the rest, 1 gap, counts for nothing.",
        "Never recorded: XMR/USD.",
        "2 checksums of 28,000,002 wrong.",
        "a substitute for those in force then",
        "below the recording's own jitter of 3.5 ms",
        "The desk halted and took no further part: drawdown.",
    ):
        assert words_ in said
    assert found.grounds.fees.age_at_run_ns == 27 * H
    assert found.grounds.code == {"arbitrade": "0.1.0"}


def replace_fees(wanted: JobSpec, as_of_ns: int) -> JobSpec:
    return wanted.model_copy(update={"fees": wanted.fees.model_copy(update={"as_of_ns": as_of_ns})})


def test_figures_that_disagree_are_not_hidden() -> None:
    found = report(job(), result([desk(plans=[plan(1)], trading_valued=dec("0.50"))]))
    assert "figures disagree, do not rely on this report" in " ".join(found.answer.cautions).lower()


def test_no_secret_gets_into_a_report() -> None:
    given = job(settings={"ARBITRADE_KRAKEN__API_SECRET": "canary", "DATABASE_URL": "canary", "ARBITRADE_X": "seen"})
    found = report(given, result([desk()]))
    assert found.grounds.settings == {"ARBITRADE_X": "seen"}
    assert b"canary" not in shapes.write(found)


def test_a_result_without_a_headline_is_refused() -> None:
    with pytest.raises(ArbitradeError, match="the result has unlimited"):
        report(job(), result([desk("unlimited")]))


# --- the whole ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> Report:
    return report(job(), samples.replay())


def test_json_says_the_same_as_the_report(whole: Report) -> None:
    data = shapes.write(whole)
    assert shapes.read(data) == whole
    assert msgspec.json.decode(data)["headline"]["trading_valued"] == str(whole.headline.trading_valued)


def test_the_same_job_and_result_give_the_same_bytes(whole: Report) -> None:
    assert shapes.write(report(job(), samples.replay())) == shapes.write(whole)


def test_another_desk_changes_no_interval(whole: Report) -> None:
    seen = samples.replay()
    fewer = {name: each for name, each in seen.desks.items() if name in ("headline", "unlimited")}
    alone = report(job(), ReplayResult(seen.coverage, seen.market, fewer, 1.0))
    assert alone.headline == whole.headline
    assert report(job(seed=8), ReplayResult(seen.coverage, seen.market, fewer, 1.0)).headline != whole.headline


def test_what_ends_in_a_gap_or_after_the_range_is_not_lost() -> None:
    covered = samples.coverage(4, [(1, 2, "disconnected")])
    ends = (-MIN, H + MIN, 4 * H + MIN, 3 * H)
    earned = sorted((START_NS, START_NS + at, dec(1)) for at in ends)
    sums = Parts(covered).sums(earned)
    assert sum(sums) == 4


def test_unequal_stretches_are_cut_into_parts_of_about_one_length() -> None:
    parts = Parts(samples.coverage(4, [(0.001, 0.5, "x"), (1, 2, "y")]))
    lengths = [late - early for early, late in zip(parts.starts, parts.starts[1:], strict=False)]
    inside = [length for length in lengths if length < H // 4]
    assert max(inside) < 2 * min(inside)
    assert parts.hours == dec("2.501")


def test_a_totals_interval_scales_with_the_hours(whole: Report) -> None:
    total, hourly = whole.headline.total, whole.headline.per_hour
    assert total.low is not None
    assert hourly.low is not None
    assert float(hourly.low) == pytest.approx(float(total.low) / 3.76)
    assert replace(hourly, estimate=total.estimate, low=total.low, high=total.high) == total


def test_ten_thousand_plans_stay_a_page() -> None:
    many = samples.replay(10_000, hours=48, keys=2_000, curves=False)
    found = report(job(hours=48), many)
    assert (len(found.plans.rows), found.plans.left_out) == (100, 9_900)
    assert found.cycles.left_out == 1_900
    kept = min(abs(each.profit_valued or ZERO) for each in found.plans.rows)
    assert sum(abs(each.profit_valued or ZERO) > kept for each in many.desks["headline"].plans) < 100
    assert len(found.worth) <= 401
    assert len(found.exposure.steps) <= 400
    assert len(found.lifetimes.survival.steps) <= 400
    highest = max(each.trading for each in many.desks["headline"].worth)
    assert max(each.trading for each in found.worth) == highest
    assert len(shapes.write(found)) < 1_000_000


def test_one_leg_without_an_expected_amount_does_no_harm() -> None:
    found = report(job(), result([desk(plans=[plan(1, attribution=(leg("x", "BTC", "0"),))])]))
    assert found.shortfall[0].parts_valued["drift"] == 0
