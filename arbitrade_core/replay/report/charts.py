"""Which charts a report has, and the figures of each as a table beside it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from markupsafe import Markup

from arbitrade_core.domain import Ns
from arbitrade_core.money import exact, plain
from arbitrade_core.replay.curves import Curve
from arbitrade_core.replay.report import svg, words
from arbitrade_core.replay.report.measured import places
from arbitrade_core.replay.report.shapes import Bars, ExecutorCurve, Report, SweepReport
from arbitrade_core.replay.report.svg import Mark, Series
from arbitrade_core.replay.searched import HeatMap

_S = 1_000_000_000
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    told: str
    """what it shows, in a sentence: the caption, and the text for who does not see it"""
    image: Markup | None
    """None: there is nothing to draw"""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    names: tuple[str, ...] = ()
    """of its lines, in order"""


def backtest(report: Report) -> dict[str, list[Chart]]:
    """By section of the page."""
    return {
        "course": [_worth(report), _exposure(report)],
        "latency": [_latency(report.asset, each) for each in report.latency],
        "fees": [
            *(_fees(report.asset, each) for each in report.fees.by_tier),
            *(_factor(report.asset, each) for each in report.fees.by_factor),
        ],
        "appearances": [_survival(report), _edges(report), _funnel(report)],
    }


def sweep(report: SweepReport) -> dict[str, list[Chart]]:
    return {
        "luck": [_profits(report), _folds(report)],
        "heat": [_heat(report.asset, each) for each in report.heat.rows],
    }


# --- over time ------------------------------------------------------------------------------------------------


def _seconds(at_ns: Ns) -> float:
    return at_ns / _S


def _time_axis(report: Report) -> svg.Axis:
    wanted = report.grounds.coverage.wanted
    long = wanted.end_ns - wanted.start_ns > 86_400 * _S
    pattern = "%d %b %H:%M" if long else "%H:%M:%S" if wanted.end_ns - wanted.start_ns < 300 * _S else "%H:%M"

    def label(at_s: float) -> str:
        return f"{words.moment(round(at_s) * _S):{pattern}}"

    return svg.time_axis("time, UTC", _seconds(wanted.start_ns), _seconds(wanted.end_ns), label)


def _gaps(report: Report) -> list[tuple[float, float]]:
    return [(_seconds(low), _seconds(high)) for low, high, _ in report.grounds.coverage.gaps.rows]


def _worth(report: Report) -> Chart:
    title = "P&L over time"
    points = report.worth
    with_inventory = any(point.total not in (None, point.trading) for point in points)
    told = f"Trading P&L after each change, in {report.asset}"
    told += ", and with the revaluation of what was held." if with_inventory else "."
    if report.grounds.coverage.gaps.rows:
        told += " Shaded: not recorded."
    if len(points) < 2:  # noqa: PLR2004 - one point is no line
        return Chart(title, "Nothing changed.", None)
    series = [_stepped("trading", [(_seconds(point.at_ns), point.trading) for point in points])]
    if with_inventory:
        marked = [(_seconds(point.at_ns), point.total) for point in points if point.total is not None]
        series.append(_stepped("with revaluation", marked))
    y = svg.axis(report.asset, [mark.y for each in series for mark in each.marks], zero=True)
    return Chart(
        title,
        told,
        svg.lines(title, told, _time_axis(report), y, series, shaded=_gaps(report)),
        ("time", "trading", "with revaluation"),
        tuple((words.when(point.at_ns), words.gain(point.trading), words.gain(point.total)) for point in points),
        tuple(each.name for each in series),
    )


def _stepped(name: str, points: Iterable[tuple[float, Decimal]]) -> Series:
    return Series(name, tuple(Mark(at, float(value)) for at, value in points), dots=False, steps=True)


def _exposure(report: Report) -> Chart:
    title = "Exposure over time"
    found = report.exposure
    told = (
        f"Notional of plans under way: {words.amount(found.peak_valued, report.asset)} at most, "
        f"{words.amount(found.mean_valued, report.asset)} on average, "
        f"something {words.share(found.busy_share)} of the time."
    )
    if not found.peak_valued or len(found.steps) < 2:  # noqa: PLR2004
        return Chart(title, "Nothing was under way.", None)
    end_ns = report.grounds.coverage.wanted.end_ns
    points = [*((each.at_ns, each.amount) for each in found.steps), (end_ns, found.steps[-1].amount)]
    series = _stepped("under way", ((_seconds(at_ns), amount) for at_ns, amount in points))
    y = svg.axis(report.asset, [mark.y for mark in series.marks], zero=True)
    return Chart(
        title,
        told,
        svg.lines(title, told, _time_axis(report), y, [series], shaded=_gaps(report)),
        ("from", "under way"),
        tuple((words.when(each.at_ns), words.amount(each.amount)) for each in found.steps),
    )


# --- over latency and fees ------------------------------------------------------------------------------------


def _latency(asset: str, found: ExecutorCurve) -> Chart:
    return _curve(
        f"Latency and profit ({found.executor})",
        f"What it would have earned at other latencies: {found.words}. Each point is a desk of its own.",
        ("round trip of an order, ms", "latency, ms"),
        asset,
        found.curve,
        log=True,
    )


def _fees(asset: str, found: ExecutorCurve) -> Chart:
    return _curve(
        f"Fee tiers and profit ({found.executor})",
        f"{words.sentence(found.words)} Each point is a desk of its own.",
        ("taker fee, bps", "taker fee, bps"),
        asset,
        found.curve,
    )


def _factor(asset: str, found: ExecutorCurve) -> Chart:
    return _curve(
        f"Fees scaled and profit ({found.executor})",
        f"{words.sentence(found.words)} At 1 are the fees used.",
        ("factor on all fees", "factor"),
        asset,
        found.curve,
    )


def _curve(title: str, told: str, places_: tuple[str, str], asset: str, curve: Curve, *, log: bool = False) -> Chart:
    marks = tuple(
        Mark(
            float(point.at),
            float(point.result.estimate),
            None if point.result.low is None else float(point.result.low),
            None if point.result.high is None else float(point.result.high),
            hollow=point.extrapolated,
        )
        for point in curve.points
    )
    heights = [each for mark in marks for each in (mark.y, mark.low, mark.high) if each is not None]
    sure = any(mark.low is not None for mark in marks)
    told += " Band: 95 % interval." if sure else " Too little data for intervals."
    if any(mark.hollow for mark in marks):
        told += " Open dots: extrapolated."
    x = svg.axis(places_[0], [mark.x for mark in marks], log=log)
    image = svg.lines(title, told, x, svg.axis(asset, heights, zero=True), [Series("trading P&L", marks)])
    return Chart(
        title,
        told,
        image,
        ("", places_[1], f"earned, {asset}", "95 % interval"),
        tuple(
            (
                "extrapolated" if point.extrapolated else point.name,
                places(point.at),
                words.gain(point.result.estimate),
                words.between(point.result),
            )
            for point in curve.points
        ),
    )


# --- appearances ----------------------------------------------------------------------------------------------


def _survival(report: Report) -> Chart:
    title = "How long appearances last"
    found, unknown = report.lifetimes.survival, report.lifetimes.unknown
    told = f"Share of {words.count(found.count, 'appearance')} still above the hurdle after that time"
    half = f"; half are over after {words.duration(found.median_ns)}" if found.median_ns is not None else ""
    left = f"; {words.count(unknown)} of unknown age left out" if unknown else ""
    told += f"{half}{left}. Band: 95 % interval."
    if not found.steps:
        return Chart(title, "No appearance was seen to begin.", None)
    marks = (
        Mark(0.0, 100.0, 100.0, 100.0),
        *(Mark(s.duration_ns / _MS, 100 * s.share, 100 * s.low, 100 * s.high) for s in found.steps),
    )
    # The last few are far apart, and would press all others together.
    far = next((mark.x for mark in marks if mark.y <= 1.0), marks[-1].x)
    shown = tuple(mark for mark in marks if mark.x <= far)
    x = svg.axis("age, ms", [0.0, far])
    y = svg.axis("still there, %", [0.0, 100.0])
    return Chart(
        title,
        told,
        svg.lines(title, told, x, y, [Series("still there", shown, dots=False, steps=True)]),
        ("age", "at risk", "ended", "still there", "95 % interval"),
        tuple(
            (
                words.duration(step.duration_ns),
                words.count(step.at_risk),
                words.count(step.ended),
                words.share(step.share),
                f"{words.share(step.low)} to {words.share(step.high)}",
            )
            for step in found.steps
        ),
    )


def _edges(report: Report) -> Chart:
    title = "Edge of appearances"
    found = report.edges
    told = f"Best edge after fees of {words.count(found.count, 'appearance')}"
    if found.unpriced:
        told += f"; {words.count(found.unpriced)} more were never priced that far"
    if not found.count:
        return Chart(title, "No appearance was priced.", None)
    middle = dict(found.quantiles)[Decimal("0.5")]
    told += f". Middle {words.bps(middle)}, best {words.bps(found.most)}."
    image, rows = _bars(title, told, ("edge after fees, bps", "appearances"), found.bars, [middle])
    return Chart(title, told, image, ("from, bps", "appearances"), rows)


def _bars(
    title: str, told: str, axes: tuple[str, str], found: Bars, marks: Sequence[Decimal]
) -> tuple[Markup, tuple[tuple[str, ...], ...]]:
    with exact():
        drawn = [(float(low), float(low + found.width), float(number)) for low, number in found.bars]
    x = svg.axis(axes[0], [edge for low, high, _ in drawn for edge in (low, high)] + [float(each) for each in marks])
    y = svg.axis(axes[1], [height for _, _, height in drawn], zero=True)
    rows = [(plain(low), words.count(number)) for low, number in found.bars]
    if found.below:
        rows.insert(0, ("below", words.count(found.below)))
    if found.above:
        rows.append(("above", words.count(found.above)))
    return svg.histogram(title, told, x, y, drawn, marks=[float(each) for each in marks]), tuple(rows)


def _funnel(report: Report) -> Chart:
    title = "Funnel"
    told = "How far cycles came, from every scoring to the plans; lengths are logarithmic. "
    told += words.sentence(report.funnel.why)
    rows = [(stage.words, stage.count) for stage in report.funnel.stages]
    more = [(f"refused: {check}", number) for check, number in report.funnel.refused.items()]
    return Chart(
        title,
        told,
        svg.ranks(title, told, rows + more),
        ("stage", "count"),
        tuple((label, words.count(number)) for label, number in rows + more),
    )


# --- sweeps ---------------------------------------------------------------------------------------------------


def _profits(report: SweepReport) -> Chart:
    title = "All variants"
    reality = report.reality
    told = f"What {words.count(report.variants, 'variant')} earned."
    if not report.profits.bars:
        return Chart(title, "No variant was run.", None)
    marks: list[Decimal] = []
    if reality is not None:
        marks = [reality.luck, reality.luck_high]
        told += (
            f" Upright lines: what luck alone gives to the best, {words.amount(reality.luck, report.asset)} on average "
            f"and {words.once_in(reality.level)} more than {words.amount(reality.luck_high, report.asset)}."
        )
    image, rows = _bars(title, told, (f"earned, {report.asset}", "variants"), report.profits, marks)
    return Chart(title, told, image, (f"from, {report.asset}", "variants"), rows)


def _folds(report: SweepReport) -> Chart:
    title = "Chosen on the past, judged on what followed"
    if not report.folds:
        return Chart(title, "No part of the time was kept for judging.", None)
    told = (
        "What the variant that was best before each test earned in it, beside the best of all, known only afterwards."
    )
    chosen = tuple(Mark(float(place), float(each.tested_valued)) for place, each in enumerate(report.folds, start=1))
    best = tuple(Mark(float(place), float(each.best_tested_valued)) for place, each in enumerate(report.folds, start=1))
    ticks = tuple((mark.x, f"{mark.x:.0f}") for mark in chosen)
    x = svg.Axis("test", 0.5, len(chosen) + 0.5, ticks)
    y = svg.axis(report.asset, [mark.y for mark in (*chosen, *best)], zero=True)
    rows = tuple(
        (
            str(place),
            f"{words.when(each.fold.test.start_ns)} to {words.when(each.fold.test.end_ns)}",
            "none" if each.chosen is None else str(each.chosen),
            words.gain(each.trained),
            words.gain(each.tested_valued),
            words.gain(each.best_tested_valued),
        )
        for place, each in enumerate(report.folds, start=1)
    )
    names = ("chosen on the past", "best afterwards")
    image = svg.lines(title, told, x, y, [Series(names[0], chosen), Series(names[1], best)])
    columns = ("test", "time, UTC", "chosen", f"{report.objective} in training", "earned", "best")
    return Chart(title, told, image, columns, rows, names)


def _heat(asset: str, found: HeatMap) -> Chart:
    across = " and ".join(name for name in (found.x, found.y) if name)
    title = f"Profit by {across}"
    told = f"Mean profit in {asset} of all variants with these settings. Stronger is more; an empty cell was not tried."
    rows = found.ys or ("",)
    cells = [[None if cell is None else float(cell) for cell in row] for row in found.cells]
    most = max((abs(cell) for row in cells for cell in row if cell is not None), default=0.0)
    image = svg.heat(
        title, told, names=(found.x, found.y), columns=found.xs, rows=rows, cells=cells, label=_short(most)
    )
    return Chart(
        title,
        told,
        image,
        (found.y, *found.xs),
        tuple(
            (name, *("" if cell is None else words.gain(cell) for cell in row))
            for name, row in zip(rows, found.cells, strict=True)
        ),
    )


def _short(most: float) -> Callable[[float], str]:
    """As many decimals as there is room for."""
    decimals = 2 if most < 10 else 1 if most < 100 else 0  # noqa: PLR2004
    return lambda value: f"{value:+,.{decimals}f}"
