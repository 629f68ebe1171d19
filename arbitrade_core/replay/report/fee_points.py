"""Where trading stops to pay: by fee tier, as one uniform taker fee, as a factor on the fees used (TRADING 10)."""

import re
from collections.abc import Sequence
from decimal import Decimal

from arbitrade_core.money import BPS, ONE, ZERO, exact, nearest_decimals, ratio
from arbitrade_core.replay.curves import Answer, Curve, fee_curve
from arbitrade_core.replay.job import Fees
from arbitrade_core.replay.report import words
from arbitrade_core.replay.report.measured import Measured, first_crossing, meeting, places, surely
from arbitrade_core.replay.report.shapes import ExecutorCurve, FeeFigures, Tier
from arbitrade_core.replay.results import DeskResult

_TIER = "tier "
_FACTOR = re.compile(r"fees x(\d+(?:\.\d+)?)(?![\d.])")
_USED = "as used"
_SHOWN_DECIMALS = 4


def taker_bps(fees: Fees, symbols: Sequence[str]) -> tuple[Decimal | None, bool]:
    """The mean taker fee over those of the pairs that the schedule has, and whether it is the same for all."""
    rates = [fees.rates[symbol].taker for symbol in symbols if symbol in fees.rates]
    rates = rates or [rate.taker for rate in fees.rates.values()]
    if not rates:
        return None, False
    with exact():
        mean = ratio(sum(rates, ZERO), len(rates) * BPS)
    return nearest_decimals(mean, _SHOWN_DECIMALS), len(set(rates)) == 1


def figures(measured: Measured) -> FeeFigures:
    job, main = measured.job, measured.executor(measured.headline)
    own_bps, own_uniform = taker_bps(job.fees, measured.symbols)
    steps = {step.name: taker_bps(step.fees, measured.symbols) for step in job.ladder}
    by_tier, by_factor = _by_tier(measured, steps, own_bps), _by_factor(measured)
    tier = next((each.curve for each in by_tier if each.executor == main), None)
    factor = next((each.curve for each in by_factor if each.executor == main), None)
    uniform_bps = _uniform(tier, factor, steps, own_bps if own_uniform else None)
    following = _next_tier(measured, steps, own_bps)
    crossing = None if factor is None else first_crossing(factor.break_even.estimate)
    said = [
        None if tier is None else _tier_words(tier),
        None
        if uniform_bps is None
        else f"as one taker fee for every leg it breaks even at about {places(uniform_bps)} bps",
        None if factor is None else _factor_words(factor),
        _next_words(measured, following),
    ]
    return FeeFigures(
        by_tier=by_tier,
        by_factor=by_factor,
        own_taker_bps=own_bps,
        own_uniform=own_uniform,
        break_even_tier=None if tier is None else _dearest_that_earned(tier),
        break_even_taker_bps=uniform_bps,
        break_even_factor=None if crossing is None else crossing.at,
        next_tier=following,
        words=tuple(words.sentence(each) for each in said if each),
    )


# --- curves ---------------------------------------------------------------------------------------------------


def _step_of(desk: DeskResult, steps: dict[str, tuple[Decimal | None, bool]]) -> str | None:
    """The step of the ladder that a desk's name begins with, the longest that fits."""
    if not desk.name.startswith(_TIER):
        return None
    rest = desk.name.removeprefix(_TIER)
    return max((name for name in steps if rest.startswith(name)), key=len, default=None)


def _by_tier(
    measured: Measured, steps: dict[str, tuple[Decimal | None, bool]], own_bps: Decimal | None
) -> tuple[ExecutorCurve, ...]:
    def place(desk: DeskResult) -> Decimal | None:
        if desk is measured.headline:
            return own_bps
        name = _step_of(desk, steps)
        return None if name is None else steps[name][0]

    found: list[ExecutorCurve] = []
    for executor, desks in measured.by_executor(place).items():
        curve = fee_curve((_step_of(desk, steps) or _USED, at, measured.total(desk)) for at, desk in desks.items())
        found.append(ExecutorCurve(executor, curve, _tier_words(curve)))
    return tuple(found)


def _by_factor(measured: Measured) -> tuple[ExecutorCurve, ...]:
    def place(desk: DeskResult) -> Decimal | None:
        if desk is measured.headline:
            return ONE
        found = _FACTOR.match(desk.name)
        return None if found is None else Decimal(found[1])

    found: list[ExecutorCurve] = []
    for executor, desks in measured.by_executor(place).items():
        curve = fee_curve((f"x{places(at)}", at, measured.total(desk)) for at, desk in desks.items())
        found.append(ExecutorCurve(executor, curve, _factor_words(curve)))
    return tuple(found)


# --- break-even -----------------------------------------------------------------------------------------------


def _dearest_that_earned(curve: Curve) -> str | None:
    return next((point.name for point in reversed(curve.points) if point.result.estimate > 0), None)


def _uniform(
    tier: Curve | None, factor: Curve | None, steps: dict[str, tuple[Decimal | None, bool]], own_bps: Decimal | None
) -> Decimal | None:
    """Only where the fees around break-even are the same on every pair that mattered."""
    crossing = None if factor is None else first_crossing(factor.break_even.estimate)
    if crossing is not None and own_bps is not None:
        with exact():
            return nearest_decimals(own_bps * crossing.at, _SHOWN_DECIMALS)
    crossing = None if tier is None else first_crossing(tier.break_even.estimate)
    if tier is None or crossing is None:
        return None
    around = [point.name for point in tier.points if point.at in (crossing.earned_at, crossing.failed_at)]
    uniform = all(steps[name][1] if name in steps else own_bps is not None for name in around)
    return crossing.at if uniform else None


def _next_tier(
    measured: Measured, steps: dict[str, tuple[Decimal | None, bool]], own_bps: Decimal | None
) -> Tier | None:
    """The dearest step below the fees used, by the headline's executor."""
    executor = measured.executor(measured.headline)
    cheaper: list[tuple[Decimal, str, DeskResult]] = []
    for desk in measured.result.desks.values():
        name = _step_of(desk, steps)
        at = None if name is None else steps[name][0]
        if name is None or at is None or own_bps is None or at >= own_bps or measured.executor(desk) != executor:
            continue
        cheaper.append((at, name, desk))
    if not cheaper:
        return None
    at, name, desk = max(cheaper, key=lambda each: each[0])
    return Tier(name, at, steps[name][1], desk.trading_valued, measured.more(desk))


# --- in words -------------------------------------------------------------------------------------------------


def _tier_words(curve: Curve) -> str:
    names = {point.at: f"{point.name} ({places(point.at)} bps taker)" for point in curve.points}
    found = curve.break_even.estimate
    match found.answer:
        case Answer.WITHIN:
            crossing = found.crossings[0]
            nothing = "traded nothing" if crossing.idle else "lost"
            pays = f"it paid at {names[crossing.earned_at]} and {nothing} at {names[crossing.failed_at]}"
        case Answer.BEYOND_LAST:
            pays = f"it paid at every fee tier that was tried, up to {names[curve.points[-1].at]}"
        case Answer.BEFORE_FIRST:
            pays = f"it paid at no fee tier that was tried, down to {names[curve.points[0].at]}"
        case Answer.UNKNOWN:
            return "at which fee tier it pays cannot be said"
    return pays + surely(curve, lambda point: point.name)


def _factor_words(curve: Curve) -> str:
    found = curve.break_even.estimate
    match found.answer:
        case Answer.WITHIN:
            pays = f"multiplying all fees by one factor, it breaks even {meeting(found, lambda at: f'x{places(at)}')}"
        case Answer.BEYOND_LAST:
            pays = f"it earned even with all fees multiplied by {places(curve.points[-1].at)}"
        case Answer.BEFORE_FIRST:
            pays = f"it did not earn even with all fees multiplied by {places(curve.points[0].at)}"
        case Answer.UNKNOWN:
            return "the factor on fees at which it breaks even cannot be said"
    return pays + surely(curve, lambda point: point.name)


def _next_words(measured: Measured, tier: Tier | None) -> str:
    if tier is None:
        ladder = measured.job.ladder
        if not ladder:
            return "the schedule has no known ladder: what the next tier is worth can only come from the account"
        cheaper = min(taker_bps(step.fees, measured.symbols)[0] or ZERO for step in ladder)
        own_bps, _ = taker_bps(measured.job.fees, measured.symbols)
        known = own_bps is not None and cheaper < own_bps
        return "cheaper tiers are known, and none was measured" if known else "no cheaper tier is known"
    asset = measured.headline.valuation_asset
    sure = words.between(tier.more_valued, asset)
    return (
        f"the next tier, {tier.name} ({places(tier.taker_bps)} bps taker), would have earned "
        f"{words.gain(tier.trading_valued, asset)}: {words.gain(tier.more_valued.estimate, asset)} by the tier "
        f"(95 % interval {sure})"
    )
