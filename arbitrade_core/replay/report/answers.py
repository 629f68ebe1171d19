"""The first sentences of a report: what did it earn, how sure is that, and why not more."""

from collections.abc import Sequence
from decimal import Decimal

from arbitrade_core.money import ZERO, exact
from arbitrade_core.replay.report import certainty, words
from arbitrade_core.replay.report.grounds import cautions
from arbitrade_core.replay.report.measured import Measured
from arbitrade_core.replay.report.shapes import Answer, FeeFigures, Funnel, Grounds, Lifetimes, Shortfall
from arbitrade_core.replay.report.tables import COMPLETED

_PART_WORDS = {
    "drift": "prices that moved between decision and fill",
    "depth": "fills further from the best price than expected",
    "rounding": "rounding",
    "fee": "fees beyond the planned ones",
    "partial": "quantity that did not fill",
}
_OUTCOME_WORDS = {
    "partial": "plans that filled in part",
    "unwound": "plans that had to be unwound",
    "missed": "plans whose first order missed",
    "stuck": "plans that got stuck",
    "gone": "plans that were gone at the last look",
    "open": "plans still open at the end",
}


def backtest(
    measured: Measured,
    *,
    found: Grounds,
    funnel: Funnel,
    shortfall: Sequence[Shortfall],
    fees: FeeFigures,
    lifetimes: Lifetimes,
    notes: Sequence[str],
) -> Answer:
    desk, parts = measured.headline, measured.parts
    said = list(notes) + cautions(measured.job, found) + _consistency(measured)
    if desk.halted is not None:
        said.append(f"the desk halted and took no further part: {desk.halted}")
    return Answer(
        earned=_earned(measured),
        sure=words.sentence(certainty.in_words(measured.total(desk), len(desk.earned), parts, desk.valuation_asset)),
        why=_why(measured, funnel, shortfall, fees, lifetimes),
        cautions=tuple(words.sentence(each) for each in said),
    )


def _earned(measured: Measured) -> str:
    desk, unlimited, asset = measured.headline, measured.unlimited, measured.headline.valuation_asset
    time = words.duration(measured.parts.covered_ns)
    plans = sum(desk.outcomes.values())
    if not plans:
        return f"Nothing was traded in {time} of recorded market."
    completed = desk.outcomes.get(COMPLETED, 0)
    said = (
        f"{_verb(desk.trading_valued, asset)} by trading in {time} of recorded market: "
        f"{words.count(plans, 'plan')}, {words.count(completed)} completed."
    )
    if desk.revaluation_valued is None:
        said += " What it holds could not all be marked, so its revaluation is unknown."
    elif desk.revaluation_valued:
        said += f" Apart from that, what it held changed in value by {words.gain(desk.revaluation_valued, asset)}."
    if unlimited is not None and unlimited.trading_valued != desk.trading_valued:
        said += (
            f" Each appearance is taken once; taken as often as it was offered, it would be "
            f"{words.gain(unlimited.trading_valued, asset)}."
        )
    return said


def _verb(trading: Decimal, asset: str) -> str:
    if trading > 0:
        return f"Earned {words.gain(trading, asset)}"
    return f"Lost {words.amount(-trading, asset)}" if trading < 0 else "Earned nothing"


def _why(
    measured: Measured, funnel: Funnel, shortfall: Sequence[Shortfall], fees: FeeFigures, lifetimes: Lifetimes
) -> str:
    desk = measured.headline
    if not sum(desk.outcomes.values()):
        return " ".join([words.sentence(funnel.why), *_tier(fees)])
    said = [_promised(shortfall, desk.valuation_asset)]
    # That an appearance is taken once is what the headline means, not a limit.
    limits = {check: times for check, times in desk.refusals.items() if check != "once_per_appearance"}
    check, times = max(limits.items(), key=lambda each: each[1], default=("", 0))
    if times:
        said.append(f"the risk check {check} refused {words.count(times, 'appearance')}")
    half_ns = lifetimes.survival.median_ns
    if half_ns is not None:
        said.append(
            f"half of all appearances are over after {words.duration(half_ns)}, and an order takes "
            f"{measured.job.latency_ms} ms"
        )
    return " ".join([*(words.sentence(each) for each in said if each), *_tier(fees)])


def _tier(fees: FeeFigures) -> tuple[str, ...]:
    """At which fee tier it pays, where that was measured."""
    return fees.words[:1] if fees.by_tier else ()


def _promised(shortfall: Sequence[Shortfall], asset: str) -> str:
    """Expected against realised, and what most of the difference is."""
    with exact():
        expected = sum((each.expected_valued for each in shortfall), ZERO)
        realised = sum((each.realised_valued for each in shortfall), ZERO)
        costs = [
            (each.expected_valued - each.realised_valued, _OUTCOME_WORDS.get(each.outcome, each.outcome))
            for each in shortfall
            if each.outcome != COMPLETED
        ]
        costs += [(value, _PART_WORDS[name]) for each in shortfall for name, value in each.parts_valued.items()]
    if not shortfall:
        return ""
    said = f"its plans promised {words.gain(expected, asset)} and brought {words.gain(realised, asset)}"
    most, what = max(costs, key=lambda each: each[0], default=(ZERO, ""))
    if expected <= realised or most <= 0:
        return said
    return f"{said}; the largest cost was {what}, about {words.amount(most, asset)}"


def _consistency(measured: Measured) -> list[str]:
    """A report says when figures that must be equal are not."""
    desk, asset = measured.headline, measured.headline.valuation_asset
    with exact():
        ended = sum((profit for _, _, profit in desk.earned), ZERO)
        detailed = sum((plan.profit_valued or ZERO for plan in desk.plans), ZERO)
    wrong: list[str] = []
    if ended != desk.trading_valued:
        wrong.append(f"plans that ended sum to {ended} {asset}, trading P&L is {desk.trading_valued} {asset}")
    if desk.plans and detailed != desk.trading_valued:
        wrong.append(f"the table of plans sums to {detailed} {asset}, trading P&L is {desk.trading_valued} {asset}")
    return [f"figures disagree, do not rely on this report: {each}" for each in wrong]
