"""The pytest plugin in an author's project: fixtures, budgets, and nothing for those who use none of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.repository import ROOT

TESTS = """
import pytest
from arbitrade_core.testing.contracts import RiskCheckContract

class Slow:
    name = "slow"
    def check(self, plan, desk, now):
        sum(range(20_000))

class TestTold(RiskCheckContract):
    def make(self):
        return Slow()

@pytest.mark.arbitrade_budget
class TestJudged(RiskCheckContract):
    def make(self):
        return Slow()

def test_fixtures(arbitrade_desk, arbitrade_market, arbitrade_clock, arbitrade_player):
    assert arbitrade_desk.market is arbitrade_market
    assert arbitrade_clock() == arbitrade_clock.now
    assert arbitrade_player().engine.market.pairs
"""


def pytest_ran(folder: Path, *words: str) -> str:
    """What pytest says in a folder of an author."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-W", "error", "-rfs", "-p", "no:cacheprovider",
         "-p", "arbitrade_core.testing.pytest_plugin", *words],
        capture_output=True, text=True, check=False, cwd=folder,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_mine.py").write_text(TESTS)
    return tmp_path


def test_a_budget_is_told_and_where_it_is_marked_judged(folder: Path) -> None:
    out = pytest_ran(folder)
    assert "1 failed, 17 passed, 1 skipped" in out, out
    assert "FAILED test_mine.py::TestJudged::test_risk_09_is_quick" in out
    assert "reference us a call, budget 100 us" in out


def test_an_option_judges_all(folder: Path) -> None:
    assert "2 failed, 17 passed" in pytest_ran(folder, "--arbitrade-budget")


def test_it_costs_nothing_where_nothing_is_used() -> None:
    code = (
        "import sys, arbitrade_core.testing.pytest_plugin\n"
        "heavy = {'pydantic', 'msgspec', 'arbitrade_core.domain', 'arbitrade_core.engine'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
