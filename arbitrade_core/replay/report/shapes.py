"""A report as data. `msgspec.json.encode` of it is the JSON report; `msgspec.json.decode(data, type=...)` reads it.

Money is exact, and decimal text in JSON. Tables are bounded: each `Table` says how many rows it leaves out, and the CSV
files have them all. `_valued` is in the report's `asset`; times are ns since the epoch.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.replay.curves import Curve, Drawdown, Survival
from arbitrade_core.replay.results import PlanResult
from arbitrade_core.replay.searched import FoldResult, HeatMap
from arbitrade_core.replay.selection import DeflatedSharpe, RealityCheck
from arbitrade_core.replay.statistics import Interval, Window

SCHEMA = 1


class Answer(msgspec.Struct, frozen=True):
    """What a reader wants first, each in a sentence or two."""

    earned: str
    sure: str
    """how sure that is; never more than the statistics allow"""
    why: str
    """what stood between this and more"""
    cautions: tuple[str, ...] = ()
    """what a reader must know before believing the rest"""


# --- what was earned ------------------------------------------------------------------------------------------


class Earned(msgspec.Struct, frozen=True):
    """One desk's result."""

    desk: str
    trading_valued: Decimal
    revaluation_valued: Decimal | None
    total_valued: Decimal | None
    """trading and revaluation; None: something held could not be marked"""
    by_asset: dict[str, Decimal]
    """closing less opening balances, without what did not change"""
    plans: int
    """approved"""
    outcomes: dict[str, int]
    orders: int
    fills: int
    ordered_valued: Decimal
    filled_valued: Decimal
    fill_ratio: Decimal | None
    """filled over ordered; None: nothing was ordered"""
    fees_valued: Decimal
    drawdown_valued: Decimal
    exposure_valued: Decimal
    halted: str | None
    decisions: str
    total: Interval
    """of trading P&L"""
    per_hour: Interval
    """recorded hours, gaps left out"""
    per_plan: Interval | None
    """of plans that ended; None for the desks of curves"""


class Holding(msgspec.Struct, frozen=True):
    """The benchmark where other assets than the valuation asset were held: not trading at all."""

    held: dict[str, Decimal]
    gained_valued: Decimal | None
    """revaluation: what those holdings gained by prices alone, whatever was traded"""
    traded_on_top_valued: Decimal
    drifted: dict[str, Decimal]
    """by how much trading changed what was held; while it is small, the benchmark is exact but for that"""


class Shortfall(msgspec.Struct, frozen=True):
    """Expected against realised profit of the plans with one outcome. The first three are exact sums."""

    outcome: str
    plans: int
    expected_valued: Decimal
    realised_valued: Decimal
    parts_valued: dict[str, Decimal]
    """of completed plans: drift, depth, rounding, fee, partial; about, since each leg's part counts as the same
    share of the plan's notional. Empty for other outcomes, where what did not fill says nothing about prices"""


# --- tables ---------------------------------------------------------------------------------------------------


class Table[Row](msgspec.Struct, frozen=True):
    rows: tuple[Row, ...]
    left_out: int = 0
    order: str = ""
    """in words: what comes first, and so what is left out"""


class Stage(msgspec.Struct, frozen=True):
    name: str
    words: str
    count: int


class Funnel(msgspec.Struct, frozen=True):
    stages: tuple[Stage, ...]
    busy: int
    """offers not looked at since a plan on that very cycle was under way"""
    refused: dict[str, int]
    """offers, by risk check"""
    refused_appearances: dict[str, int]
    why: str


class PairRow(msgspec.Struct, frozen=True):
    symbol: str
    plans: int
    """that trade on it; a plan counts on each of its pairs"""
    completed: int
    profit_valued: Decimal
    """of those plans"""
    price_cost_bps: Decimal | None
    """mean over legs of completed plans on this pair: how much worse than decided, drift and depth together"""
    taker_bps: Decimal | None


class CycleRow(msgspec.Struct, frozen=True):
    key: str
    path: str
    strategy: str
    lives: int
    """appearances"""
    median_life_ns: Ns | None
    """of those that were seen to end"""
    best_edge_bps: Decimal | None
    candidates: int
    plans: int
    completed: int
    expected_valued: Decimal
    profit_valued: Decimal
    stopped: str
    """the risk check that refused most, or the stage that most offers did not pass"""


class WorthPoint(msgspec.Struct, frozen=True, array_like=True):
    at_ns: Ns
    trading: Decimal
    total: Decimal | None


class Amount(msgspec.Struct, frozen=True, array_like=True):
    at_ns: Ns
    amount: Decimal


class ExposureFigures(msgspec.Struct, frozen=True):
    peak_valued: Decimal
    mean_valued: Decimal
    busy_share: Decimal
    steps: tuple[Amount, ...]
    """from that time on, that much; thinned, peaks kept"""


class Lifetimes(msgspec.Struct, frozen=True):
    survival: Survival
    """steps are thinned"""
    unknown: int
    """appearances left out, since they were there when the recording or a stretch of it began"""


class Bars(msgspec.Struct, frozen=True):
    """A histogram from the first to the 99th percentile."""

    width: Decimal
    bars: tuple[tuple[Decimal, int], ...]
    """lower bound and count of what lies from there up to, not including, the next; empty ones are left out"""
    below: int
    above: int
    """values beyond the bars"""


class Edges(msgspec.Struct, frozen=True):
    """Best edge of each appearance after fees, in bps."""

    count: int
    unpriced: int
    """appearances that no pricing got far enough to say"""
    least: Decimal | None
    most: Decimal | None
    mean: Decimal | None
    quantiles: tuple[tuple[Decimal, Decimal], ...]
    bars: Bars


# --- curves ---------------------------------------------------------------------------------------------------


class ExecutorCurve(msgspec.Struct, frozen=True):
    executor: str
    curve: Curve
    words: str
    """what it says"""


class Tier(msgspec.Struct, frozen=True):
    name: str
    taker_bps: Decimal
    """the mean over the pairs that mattered"""
    uniform: bool
    """all of those pairs have this rate"""
    trading_valued: Decimal
    more_valued: Interval
    """than the headline earned, as a paired difference"""


class FeeFigures(msgspec.Struct, frozen=True):
    """Where trading stops to pay (TRADING 10). Each figure is None where it cannot be said; the words say why."""

    by_tier: tuple[ExecutorCurve, ...]
    by_factor: tuple[ExecutorCurve, ...]
    own_taker_bps: Decimal | None
    own_uniform: bool
    break_even_tier: str | None
    """the dearest tier that earned"""
    break_even_taker_bps: Decimal | None
    """as one uniform fee"""
    break_even_factor: Decimal | None
    """of the fees that were used"""
    next_tier: Tier | None
    words: tuple[str, ...]


# --- what stands behind the figures ---------------------------------------------------------------------------


class CoverageFigures(msgspec.Struct, frozen=True):
    wanted: Window
    covered_ns: Ns
    share: Decimal
    stretches: Table[Window]
    gaps: Table[tuple[Ns, Ns, str]]
    recordings: tuple[int, ...]
    pairs: Table[str]
    pairs_never_recorded: tuple[str, ...]
    """asked for by name"""


class RateRow(msgspec.Struct, frozen=True):
    symbol: str
    maker: Decimal
    taker: Decimal
    currency: str


class FeesUsed(msgspec.Struct, frozen=True):
    id: str
    source: str
    as_of_ns: Ns
    age_at_range_ns: Ns
    """how old it was when the range began; negative: from after that, a substitute (TRADING 8)"""
    age_at_run_ns: Ns | None
    """None: it was not said when the job ran"""
    rates: Table[RateRow]


class Grounds(msgspec.Struct, frozen=True):
    """All that the result depends on."""

    coverage: CoverageFigures
    frames: int
    updates: int
    checksums_ok: int
    checksums_bad: int
    faults: dict[str, int]
    jitter_ms: float
    pairs_live: int
    fees: FeesUsed
    conditions: dict[str, str]
    """of the job, in words"""
    settings: dict[str, str]
    """variables that differ from the defaults; secrets are not among them"""
    code: dict[str, str]
    """versions of what ran, by distribution"""
    seed: int
    decisions: str
    took_s: float


# --- the two reports ------------------------------------------------------------------------------------------


class Report(msgspec.Struct, frozen=True, tag_field="kind", tag="backtest"):
    name: str
    asset: str
    """in which everything `_valued` is"""
    answer: Answer
    headline: Earned
    """each appearance taken once (TRADING 32)"""
    unlimited: Earned | None
    """as often as it was offered, which a real market would not have allowed"""
    holding: Holding | None
    shortfall: tuple[Shortfall, ...]
    funnel: Funnel
    plans: Table[PlanResult]
    cycles: Table[CycleRow]
    pairs: Table[PairRow]
    worth: tuple[WorthPoint, ...]
    """thinned, highs and lows kept"""
    deepest: Drawdown | None
    longest: Drawdown | None
    exposure: ExposureFigures
    lifetimes: Lifetimes
    edges: Edges
    latency: tuple[ExecutorCurve, ...]
    fees: FeeFigures
    desks: Table[Earned]
    """all, those of the curves too"""
    grounds: Grounds
    schema: Literal[1] = 1


class Ranked(msgspec.Struct, frozen=True):
    place: int
    variant: int
    settings: dict[str, str]
    score: Decimal | None
    trading_valued: Decimal
    revaluation_valued: Decimal | None
    drawdown_valued: Decimal
    fill_ratio: Decimal | None
    plans: int
    """that ended"""
    halted: str | None
    decisions: str


class SweepReport(msgspec.Struct, frozen=True, tag_field="kind", tag="sweep"):
    name: str
    asset: str
    answer: Answer
    finding: Literal["nothing", "unproven", "found"]
    """nothing: what the best earned is no more than luck gives; unproven: more, and something else speaks against it"""
    objective: str
    method: str
    searched: dict[str, str]
    """the space, in words, by `section.setting`"""
    variants: int
    idle: int
    """variants that ended no plan"""
    ranking: Table[Ranked]
    profits: Bars
    """of all variants"""
    heat: Table[HeatMap]
    deflated: DeflatedSharpe | None
    reality: RealityCheck | None
    folds: tuple[FoldResult, ...]
    forward_valued: Decimal | None
    best_forward_valued: Decimal | None
    """what the best of each test, known only afterwards, would have earned over all tests"""
    cost: tuple[str, ...]
    """what searching cost, in sentences"""
    grounds: Grounds
    schema: Literal[1] = 1


type AnyReport = Report | SweepReport


def bounded[Row](rows: Sequence[Row], most: int, order: str) -> Table[Row]:
    return Table(tuple(rows[:most]), max(0, len(rows) - most), order)


def read(data: bytes) -> AnyReport:
    """A JSON report.

    Raises:
        msgspec.DecodeError: it is none of this schema.
    """
    return msgspec.json.decode(data, type=Report | SweepReport)


def write(report: AnyReport) -> bytes:
    return msgspec.json.encode(report)
