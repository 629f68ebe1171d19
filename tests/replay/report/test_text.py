"""A summary fits a screen, whatever it has to say."""

import io

import pytest
from rich.console import Console

from arbitrade_core.replay.report import text
from arbitrade_core.replay.report.figures import report, sweep_report
from arbitrade_core.replay.report.shapes import AnyReport
from tests.replay.report import samples


def shown(found: AnyReport, width: int = 80) -> str:
    out = io.StringIO()
    text.show(found, Console(file=out, width=width, color_system=None))
    return out.getvalue()


def backtest(name: str = "a day") -> AnyReport:
    return report(samples.job(name=name), samples.replay(curves=False))


@pytest.fixture(scope="module")
def searched() -> AnyReport:
    return sweep_report(samples.sweep_job(samples.SPACE, hours=8), samples.sweep())


def test_it_says_what_was_earned_how_sure_and_why() -> None:
    said = shown(backtest(), 120)
    for each in ("Earned +", "95 % interval", "promised", "decisions ", "unlimited"):
        assert each in said


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_is_no_longer_than_a_screen(searched: AnyReport, width: int) -> None:
    long = report(samples.job(name="n" * 300), samples.replay(curves=False), notes=["word " * 60] * 9)
    for found in (long, backtest(), searched):
        assert len(shown(found, width).splitlines()) <= 25


def test_names_are_not_markup() -> None:
    assert "[red]boo[/red]" in shown(backtest(name="[red]boo[/red]"))


def test_a_sweep_shows_its_verdict_and_its_first_places(searched: AnyReport) -> None:
    said = shown(searched, 100)
    assert "nothing was found" in said
    assert "trading.min_edge_bps=" in said
