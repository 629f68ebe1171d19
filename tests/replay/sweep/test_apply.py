"""A variant as the bot's settings: what to write, what it changes, and what it does not bring along."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from arbitrade_core.composition import load
from arbitrade_core.errors import SettingsError
from arbitrade_core.replay.searched import Variant
from arbitrade_core.replay.sweep import Application, application
from arbitrade_core.settings import Settings
from arbitrade_core.settings.environment import instead_of_environment, read_environment
from tests.replay.sweep import fakes

VARIANT = Variant(
    7,
    {
        "trading.min_edge_bps": "8",
        "trading.min_profit_valued": "0.010",
        "risk.reserve": "USD=500,BTC=0.1",
        "execution.executors": "cycle=two words",
        "kraken.depth": "25",
    },
)


def present(**told: str) -> Settings:
    with instead_of_environment({**fakes.SETTINGS, **told}, "environment"):
        return load().settings


def applied(variant: Variant = VARIANT, told: Mapping[str, str] | None = None, **job: Any) -> Application:
    return application(fakes.job({"trading.min_edge_bps": ("8",)}, **job), variant, present(**(told or {})))


def test_what_changes_is_told_as_variables_and_in_words() -> None:
    found = applied()
    changes = {change.setting: change for change in found.changes}
    assert {path for path, change in changes.items() if change.changes} == {
        "trading.min_edge_bps",
        "risk.reserve",
        "execution.executors",
        "kraken.depth",
    }, "0.010 is 0.01"
    assert (changes["trading.min_edge_bps"].present, changes["trading.min_edge_bps"].origin) == ("5", "default")
    assert found.environment.splitlines() == [
        'ARBITRADE_EXECUTION__EXECUTORS="cycle=two words"',
        "ARBITRADE_KRAKEN__DEPTH=25",
        "ARBITRADE_RISK__RESERVE=USD=500,BTC=0.1",
        "ARBITRADE_TRADING__MIN_EDGE_BPS=8",
        "ARBITRADE_TRADING__MIN_PROFIT_VALUED=0.010",
    ]
    assert "trading.min_edge_bps: 5 (default) becomes 8" in found.text
    assert "trading.min_profit_valued stays 0.01" in found.text
    assert found.beside == ()


def test_what_the_job_had_otherwise_is_told_and_not_applied() -> None:
    found = applied(
        settings={**fakes.SETTINGS, "ARBITRADE_RISK__MAX_OPEN_PLANS": "2"},
        min_profit_bps=None,
        min_profit_valued="3",
        told={"ARBITRADE_TRADING__MIN_EDGE_BPS": "4"},
    )
    assert {(each.setting, each.value) for each in found.beside} == {("risk.max_open_plans", "2")}
    assert "RISK__MAX_OPEN_PLANS" not in found.environment
    assert "these are not applied" in found.text
    assert next(each for each in found.changes if each.setting == "trading.min_edge_bps").origin == "environment"


def test_the_lines_mean_what_the_variant_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ARBITRADE_")]:
        monkeypatch.delenv(name)
    variant = Variant(0, {**VARIANT.settings, "execution.executors": 'a="b\\c" #x'})
    lines = applied(variant).environment
    (tmp_path / ".env").write_text(lines)
    monkeypatch.chdir(tmp_path)
    read = read_environment()
    assert read.values["ARBITRADE_EXECUTION__EXECUTORS"] == 'a="b\\c" #x'
    assert read.values["ARBITRADE_RISK__RESERVE"] == "USD=500,BTC=0.1"


def test_a_setting_that_is_gone_is_said() -> None:
    with pytest.raises(SettingsError, match="MIN_EDGES"):
        applied(Variant(0, {"trading.min_edges": "5"}))


def test_plugins_that_the_variant_had_come_along() -> None:
    found = applied(Variant(0, {"plugins": "kraken,triangular"}))
    assert found.environment == "ARBITRADE_PLUGINS=kraken,triangular\n"
    assert found.changes[0].changes
