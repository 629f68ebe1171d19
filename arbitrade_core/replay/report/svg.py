"""Charts as inline SVG: lines with an interval's band, histograms, steps, heat maps. Colours are the page's classes, so
that they follow its theme; what colour says, dashes, shapes or numbers say as well. Floats place ink, nothing else.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 480, 264
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 22, 12, 44
_FEWEST_TICKS, _LETTER = 4, 6.2
"""a letter's width in the charts' type, about"""


@dataclass(frozen=True, slots=True)
class Axis:
    title: str
    """with its unit"""
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False
    """equal factors are equal lengths, from 0 on: log(1 + x)"""

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        low, high, at = (math.log1p(each) if self.log else each for each in (self.low, self.high, value))
        return (at - low) / (high - low) if high > low else 0.5


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of a line; the band goes from `low` to `high` where both are known."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    hollow: bool = False
    """drawn open: less trustworthy than the others"""


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    marks: tuple[Mark, ...]
    dots: bool = True
    steps: bool = False
    """goes on flat to the next mark"""


def axis(title: str, values: Sequence[float], *, zero: bool = False, log: bool = False) -> Axis:
    """Round numbers around the values; `zero` is among them if asked for."""
    found = [*values, *([0.0] if zero or not values else [])]
    low, high = min(found), max(found)
    if low == high:
        low, high = (low - 1.0, high + 1.0) if low else (0.0, 1.0)
    if log:
        places = sorted(set(values))
        return Axis(title, low, high, _apart([(each, _number(each, each)) for each in places], low, high), log=True)
    step = _step((high - low) / _FEWEST_TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple((place * step, _number(place * step, step)) for place in range(first, last + 1))
    return Axis(title, first * step, last * step, ticks)


def time_axis(title: str, start_s: float, end_s: float, label: Callable[[float], str]) -> Axis:
    """Seconds since the epoch, with ticks at round times."""
    span = max(end_s - start_s, 1.0)
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
    step = next((each for each in steps if span / each <= _FEWEST_TICKS + 1), 86_400 * math.ceil(span / 86_400 / 5))
    first = math.ceil(start_s / step)
    ticks = tuple((place * step, label(place * step)) for place in range(first, math.floor(end_s / step) + 1))
    return Axis(title, start_s, start_s + span, ticks)


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _number(value: float, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(abs(step)) + 1e-9)) if step else 0
    text = f"{value if round(value, decimals) else 0.0:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _apart(ticks: Sequence[tuple[float, str]], low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Those whose labels do not run into each other on a logarithmic axis."""
    scale = Axis("", low, high, (), log=True)
    kept: list[tuple[float, str]] = []
    for at, label in ticks:
        if not kept or (scale.share(at) - scale.share(kept[-1][0])) * (WIDTH - _LEFT - _RIGHT) > _LETTER * 3.5:
            kept.append((at, label))
    return tuple(kept)


# --- charts ---------------------------------------------------------------------------------------------------


def lines(
    title: str,
    told: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    *,
    shaded: Sequence[tuple[float, float]] = (),
) -> Markup:
    """Lines, at most four of them; `shaded` are stretches of x without data."""
    ink: list[Markup] = []
    for low, high in shaded:
        left = _x(x, max(low, x.low))
        ink.append(
            _f(
                '<rect class="gap" x="{}" y="{}" width="{}" height="{}"/>',
                left,
                _TOP,
                max(1.0, _x(x, min(high, x.high)) - left),
                HEIGHT - _TOP - _BOTTOM,
            )
        )
    for place, each in enumerate(series, start=1):
        ink += _band(each, x, y, place)
    ink += _axes(x, y)
    for place, each in enumerate(series, start=1):
        ink += _line(each, x, y, place)
    return _figure(title, told, ink)


def _band(series: Series, x: Axis, y: Axis, place: int) -> list[Markup]:
    found = [mark for mark in series.marks if mark.low is not None and mark.high is not None]
    if not found:
        return []
    upper = _path([(mark.x, mark.high or 0.0) for mark in found], x, y, series.steps)
    lower = _path([(mark.x, mark.low or 0.0) for mark in found], x, y, series.steps)
    return [_f('<polygon class="band s{}" points="{}"/>', place, " ".join([*upper, *reversed(lower)]))]


def _line(series: Series, x: Axis, y: Axis, place: int) -> list[Markup]:
    points = _path([(mark.x, mark.y) for mark in series.marks], x, y, series.steps)
    ink = [_f('<polyline class="line s{}" points="{}"/>', place, " ".join(points))]
    if series.dots:
        ink += [
            _f(
                '<circle class="dot s{}{}" cx="{}" cy="{}" r="3.2"/>',
                place,
                " hollow" if mark.hollow else "",
                _x(x, mark.x),
                _y(y, mark.y),
            )
            for mark in series.marks
        ]
    return ink


def _path(points: Sequence[tuple[float, float]], x: Axis, y: Axis, steps: bool) -> list[str]:
    found: list[str] = []
    for place, (at, value) in enumerate(points):
        if steps and place:
            found.append(f"{_x(x, at):g},{_y(y, points[place - 1][1]):g}")
        found.append(f"{_x(x, at):g},{_y(y, value):g}")
    return found


def histogram(
    title: str, told: str, x: Axis, y: Axis, bars: Sequence[tuple[float, float, float]], *, marks: Sequence[float] = ()
) -> Markup:
    """Bars from, to, height; `marks` are upright lines. What lies below 0 looks different."""
    ink = _axes(x, y)
    for low, high, height in bars:
        left, top = _x(x, low), _y(y, height)
        width = max(0.8, _x(x, high) - left - 0.8)
        ink.append(
            _f(
                '<rect class="bar{}" x="{}" y="{}" width="{}" height="{}"/>',
                " loss" if low < 0 else "",
                left,
                top,
                _round(width),
                _round(max(0.0, HEIGHT - _BOTTOM - top)),
            )
        )
    ink += [
        _f('<line class="mark" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>', _x(x, each), _TOP, HEIGHT - _BOTTOM)
        for each in marks
    ]
    return _figure(title, told, ink)


def ranks(title: str, told: str, rows: Sequence[tuple[str, int]]) -> Markup:
    """Counts below each other; equal factors are equal lengths, since they differ by many orders of magnitude."""
    longest_label = max((len(label) for label, _ in rows), default=0)
    left, right, height = min(260.0, max(172.0, _round(16 + longest_label * 7.2))), 84, 20
    longest = math.log1p(max((number for _, number in rows), default=1) or 1)
    ink: list[Markup] = []
    for place, (label, number) in enumerate(rows):
        top = 6 + place * height
        width = (WIDTH - left - right) * math.log1p(number) / longest
        ink += [
            _f('<text class="end" x="{}" y="{}">{}</text>', left - 8, top + 13, label),
            _f('<rect class="bar" x="{}" y="{}" width="{}" height="{}"/>', left, top + 3, _round(width), height - 7),
            _f('<text x="{}" y="{}">{}</text>', _round(left + width + 6), top + 13, f"{number:,}"),
        ]
    return _figure(title, told, ink, 12 + len(rows) * height)


def heat(
    title: str,
    told: str,
    *,
    names: tuple[str, str],
    columns: Sequence[str],
    rows: Sequence[str],
    cells: Sequence[Sequence[float | None]],
    label: Callable[[float], str],
) -> Markup:
    """Gains in one colour, losses in another, stronger when larger; with numbers while there is room for them."""
    left, top, bottom = 66, 22 if names[1] else 8, 44
    width = (WIDTH - left - 8) / max(1, len(columns))
    height = min(30.0, max(12.0, 420 / max(1, len(rows))))
    most = max((abs(cell) for row in cells for cell in row if cell is not None), default=0.0) or 1.0
    roomy = width >= _LETTER * 7 and height >= 16  # noqa: PLR2004
    ink: list[Markup] = []
    for down, row in enumerate(cells):
        for across, cell in enumerate(row):
            x, y = _round(left + across * width), _round(top + down * height)
            kind = "none" if cell is None else "gain" if cell > 0 else "loss"
            ink.append(
                _f(
                    '<rect class="cell {}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>',
                    kind,
                    x,
                    y,
                    _round(width - 1),
                    _round(height - 1),
                    _round(0.06 + 0.44 * abs(cell or 0.0) / most),
                )
            )
            if roomy and cell is not None:
                ink.append(
                    _f(
                        '<text class="middle" x="{}" y="{}">{}</text>',
                        _round(x + width / 2),
                        _round(y + height / 2 + 4),
                        label(cell),
                    )
                )
    end = top + len(cells) * height
    every = max(1, math.ceil(_LETTER * max((len(each) for each in columns), default=1) / width))
    ink += [
        _f('<text class="middle" x="{}" y="{}">{}</text>', _round(left + (place + 0.5) * width), _round(end + 14), each)
        for place, each in enumerate(columns)
        if place % every == 0
    ]
    every = max(1, math.ceil(13 / height))
    ink += [
        _f('<text class="end" x="{}" y="{}">{}</text>', left - 6, _round(top + (place + 0.5) * height + 4), each)
        for place, each in enumerate(rows)
        if place % every == 0
    ]
    ink.append(
        _f('<text class="middle title" x="{}" y="{}">{}</text>', _round((left + WIDTH) / 2), _round(end + 34), names[0])
    )
    if names[1]:
        ink.append(_f('<text class="title" x="4" y="12">{}, downwards</text>', names[1]))
    return _figure(title, told, ink, round(end + bottom))


# --- parts ----------------------------------------------------------------------------------------------------


def _axes(x: Axis, y: Axis) -> list[Markup]:
    bottom, ink = HEIGHT - _BOTTOM, []
    for value, label in y.ticks:
        at = _y(y, value)
        ink += [
            _f(
                '<line class="{0}" x1="{1}" x2="{2}" y1="{3}" y2="{3}"/>',
                "grid" if value else "zero",
                _LEFT,
                WIDTH - _RIGHT,
                at,
            ),
            _f('<text class="end" x="{}" y="{}">{}</text>', _LEFT - 6, _round(at + 4), label),
        ]
    for value, label in x.ticks:
        at = _x(x, value)
        ink += [
            _f('<line class="tick" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>', at, bottom, bottom + 4),
            _f('<text class="middle" x="{}" y="{}">{}</text>', _inside(at, label), bottom + 16, label),
        ]
    middle = _round((_TOP + bottom) / 2)
    return [
        *ink,
        _f('<text class="middle title" x="{}" y="{}">{}</text>', (_LEFT + WIDTH - _RIGHT) // 2, HEIGHT - 8, x.title),
        _f('<text class="middle title" transform="rotate(-90 12 {0})" x="12" y="{0}">{1}</text>', middle, y.title),
    ]


def _inside(at: float, label: str) -> float:
    """So that the last label does not stand out of the picture."""
    return _round(min(at, WIDTH - len(label) * _LETTER / 2 - 4))


def _figure(title: str, told: str, ink: Sequence[Markup], height: int = HEIGHT) -> Markup:
    return _f(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title><desc>{}</desc>{}</svg>',
        WIDTH,
        height,
        f"{title}. {told}",
        title,
        told,
        Markup("").join(ink),
    )


def _x(axis: Axis, value: float) -> float:
    return _round(_LEFT + axis.share(value) * (WIDTH - _LEFT - _RIGHT))


def _y(axis: Axis, value: float) -> float:
    return _round(HEIGHT - _BOTTOM - axis.share(value) * (HEIGHT - _TOP - _BOTTOM))


def _round(value: float) -> float:
    return round(value, 1)


def _f(template: str, *values: object) -> Markup:
    """Every value is escaped."""
    return Markup(template).format(*values)  # noqa: S704 - templates are this module's own
