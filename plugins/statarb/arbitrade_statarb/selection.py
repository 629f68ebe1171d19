"""Which pairs are traded: found in one window, confirmed in a later one, corrected for every test made.

Formation: an Engle-Granger test of each pair of the universe; p-values corrected over all of them; then hedge ratio,
half-life and costs. Validation: those that are left are tested in the later window with the coefficients of the
first, where nothing is fitted any more; corrected again; half-life once more. Of pairs that share an asset only the
surest is kept, since one allocation cannot follow two spreads. Each pair's verdict says how far it came and why.
"""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from arbitrade_core.domain import Ns
from arbitrade_statarb.cointegration import engle_granger, half_life_bars, unit_root
from arbitrade_statarb.correction import CORRECTIONS
from arbitrade_statarb.costs import expected_reversion_bps
from arbitrade_statarb.errors import SeriesError
from arbitrade_statarb.history import Split
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.regression import Line
from arbitrade_statarb.settings import StatarbSettings


class Stage(StrEnum):
    """How far a pair came."""

    UNTESTED = "untested"
    NOT_COINTEGRATED = "not cointegrated"
    UNSUITABLE = "unsuitable"
    NOT_CONFIRMED = "not confirmed"
    OVERLAPPING = "overlapping"
    CHOSEN = "chosen"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one pair. `reason` names the figure and its bound."""

    pair: SpreadPair
    stage: Stage
    reason: str
    fit: Line | None = None
    """of the formation window"""
    p_value: float = 1.0
    """of the formation window, corrected"""
    half_life_bars: float = 0.0
    """of the formation window"""


@dataclass(frozen=True, slots=True)
class Selection:
    """The verdicts in the order of the universe."""

    verdicts: tuple[Verdict, ...]
    end_ns: Ns
    """close of the last bar that was used"""

    @property
    def chosen(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.stage is Stage.CHOSEN)


def select(
    universe: Sequence[SpreadPair],
    split: Split,
    round_trips_bps: Mapping[SpreadPair, Decimal],
    settings: StatarbSettings,
) -> Selection:
    """The whole search at once. `round_trips_bps`: cost of a round trip; pairs without one have unknown fees."""
    steps = selecting(universe, split, round_trips_bps, settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Selection = end.value
            return found


def selecting(
    universe: Sequence[SpreadPair],
    split: Split,
    round_trips_bps: Mapping[SpreadPair, Decimal],
    settings: StatarbSettings,
) -> Generator[None, None, Selection]:
    """The same in steps of one test each, for a caller who has only milliseconds at a time."""
    verdicts: dict[SpreadPair, Verdict] = {}
    for pair in universe:
        verdicts[pair] = _formed(pair, split, settings)
        yield
    _correct(verdicts, Stage.UNTESTED, Stage.NOT_COINTEGRATED, settings)
    for pair, verdict in verdicts.items():
        if verdict.stage is Stage.CHOSEN:
            verdicts[pair] = _suited(verdict, round_trips_bps.get(pair), settings)
    confirmed: dict[SpreadPair, Verdict] = {}
    for pair, verdict in verdicts.items():
        if verdict.stage is Stage.CHOSEN:
            confirmed[pair] = _validated(verdict, split, settings)
            yield
    _correct(confirmed, Stage.NOT_CONFIRMED, Stage.NOT_CONFIRMED, settings)
    for pair, verdict in confirmed.items():
        # What is kept of a confirmed pair is what formation found: a figure of the later window is no longer apart.
        verdicts[pair] = replace(verdicts[pair], stage=verdict.stage, reason=verdict.reason)
    _keep_apart(verdicts)
    return Selection(tuple(verdicts[pair] for pair in universe), split.end_ns)


def _formed(pair: SpreadPair, split: Split, settings: StatarbSettings) -> Verdict:
    if pair.quote_y != pair.quote_x:
        return Verdict(pair, Stage.UNTESTED, f"quoted in {pair.quote_y} and {pair.quote_x}, not in one asset")
    for symbol in (pair.y, pair.x):
        if symbol not in split.formation:
            needed = settings.formation_bars + settings.validation_bars
            return Verdict(pair, Stage.UNTESTED, f"{symbol} has fewer than {needed} bars without a gap")
    try:
        found = engle_granger(split.formation[pair.y], split.formation[pair.x], max_lags=settings.max_lags)
        half_life = half_life_bars(found.fit.residuals)
    except SeriesError as error:
        return Verdict(pair, Stage.UNTESTED, str(error))
    return Verdict(pair, Stage.CHOSEN, "", found.fit, found.p_value, half_life)


def _correct(verdicts: dict[SpreadPair, Verdict], untested: Stage, failed: Stage, settings: StatarbSettings) -> None:
    """Put corrected p-values over all that were tested, and fail those above the level."""
    tested = [pair for pair, verdict in verdicts.items() if verdict.stage is not untested]
    adjusted = CORRECTIONS[settings.correction]([verdicts[pair].p_value for pair in tested])
    for pair, p_value in zip(tested, adjusted, strict=True):
        verdicts[pair] = replace(verdicts[pair], p_value=p_value)
        if p_value > settings.alpha:
            reason = (
                verdicts[pair].reason
                or f"p {p_value:.3g} after {settings.correction} over {len(tested)} tests, level {settings.alpha}"
            )
            verdicts[pair] = replace(verdicts[pair], stage=failed, reason=reason)


def _suited(verdict: Verdict, round_trip_bps: Decimal | None, settings: StatarbSettings) -> Verdict:
    reason = _unsuitable(verdict, round_trip_bps, settings)
    return replace(verdict, stage=Stage.UNSUITABLE, reason=reason) if reason else verdict


def _unsuitable(verdict: Verdict, round_trip_bps: Decimal | None, settings: StatarbSettings) -> str:
    fit = verdict.fit
    assert fit is not None
    if not settings.hedge_ratio_min <= fit.slope <= settings.hedge_ratio_max:
        return f"hedge ratio {fit.slope:.3g}, allowed {settings.hedge_ratio_min} to {settings.hedge_ratio_max}"
    if reason := _half_life_problem(verdict.half_life_bars, settings):
        return reason
    if round_trip_bps is None:
        return "fees of its two symbols are not known"
    sigma = math.sqrt(fit.noise)
    expected = expected_reversion_bps(
        settings.entry_z, settings.exit_z, sigma, fit.slope, settings.time_stop_half_lives
    )
    needed = float(round_trip_bps) * settings.cost_margin
    if expected < needed:
        return f"reverts {expected:.1f} bps from entry, needs {needed:.1f} ({settings.cost_margin} round trips)"
    return ""


def _half_life_problem(half_life: float, settings: StatarbSettings) -> str:
    if settings.half_life_min_bars <= half_life <= settings.half_life_max_bars:
        return ""
    bounds = f"{settings.half_life_min_bars} to {settings.half_life_max_bars}"
    return f"half-life {half_life:.3g} bars, allowed {bounds}"


def _validated(verdict: Verdict, split: Split, settings: StatarbSettings) -> Verdict:
    pair, fit = verdict.pair, verdict.fit
    assert fit is not None
    spread = split.validation[pair.y] - fit.slope * split.validation[pair.x] - fit.intercept
    try:
        found = unit_root(spread, max_lags=settings.max_lags)
        reason = _half_life_problem(half_life_bars(spread), settings)
    except SeriesError as error:
        return replace(verdict, stage=Stage.NOT_CONFIRMED, reason=str(error))
    # A half-life out of bounds fails the pair, but its test was made: it stays in the count.
    p_value = 1.0 if reason else found.p_value
    return replace(verdict, p_value=p_value, reason=reason)


def _keep_apart(verdicts: dict[SpreadPair, Verdict]) -> None:
    """Of chosen pairs that share an asset keep the surest."""
    taken: dict[str, SpreadPair] = {}
    surest = sorted(verdicts.values(), key=lambda verdict: (verdict.p_value, verdict.pair))
    for verdict in surest:
        if verdict.stage is Stage.CHOSEN:
            pair = verdict.pair
            rivals = [taken[asset] for asset in pair.bases if asset in taken]
            if rivals:
                reason = f"shares an asset with {rivals[0]}, which is surer"
                verdicts[pair] = replace(verdict, stage=Stage.OVERLAPPING, reason=reason)
            else:
                taken |= dict.fromkeys(pair.bases, pair)
