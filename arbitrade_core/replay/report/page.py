"""A report as one HTML file: no script, nothing from outside, charts drawn in it. Equal reports give equal bytes."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from arbitrade_core.money import plain
from arbitrade_core.replay.report import charts, words
from arbitrade_core.replay.report.measured import places
from arbitrade_core.replay.report.shapes import AnyReport, Report
from arbitrade_core.replay.report.tables import PARTS


def render(report: AnyReport) -> str:
    """The whole page; write it as UTF-8."""
    match report:
        case Report():
            return _template("backtest.html", report=report, charts=charts.backtest(report))
        case _:
            return _template("sweep.html", report=report, charts=charts.sweep(report))


def _template(name: str, **values: object) -> str:
    return _environment().get_template(name).render(**values)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("arbitrade_core.replay.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "amount": words.amount,
        "gain": words.gain,
        "between": words.between,
        "rate": words.rate,
        "bps": words.bps,
        "share": words.share,
        "number": words.count,
        "duration": words.duration,
        "when": words.when,
        "clock": words.clock,
        "probability": words.probability,
        "places": places,
        "plain": plain,
    }
    made.globals |= {"PARTS": PARTS, "once_in": words.once_in}
    return made
