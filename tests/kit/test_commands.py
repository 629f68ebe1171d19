"""`plugins new` and `plugins check` as people and programs use them."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from arbitrade_core.commands.plugins_check import check_plugin
from arbitrade_core.commands.plugins_new import new_plugin
from arbitrade_core.errors import PluginError, SettingsError
from tests.kit.conftest import Install

CHECK = """
from arbitrade_core.hooks import hookimpl
from arbitrade_core.spi import Refused
from pydantic import BaseModel

ARBITRADE_API = 1

class Settings(BaseModel):
    reason: str
    key: str = "k"

@hookimpl
def register_settings():
    return Settings

class Check:
    name = "lax"
    def __init__(self, reason):
        self.reason = reason
    def check(self, plan, desk, now):
        return Refused(self.name, self.reason)

@hookimpl
def register_risk_checks(ctx):
    return [Check(ctx.settings.reason)]
"""
UNORDERED = """
from arbitrade_core.hooks import hookimpl
from arbitrade_core.testing.triangles import EveryTriangle

ARBITRADE_API = 1

class Unordered(EveryTriangle):
    name = "unordered"
    def on_change(self, pair, rose, now):
        found = {one.key: one for one in super().on_change(pair, rose, now)}
        return [found[key] for key in set(found)]

@hookimpl
def register_detectors():
    return [Unordered()]
"""

app = typer.Typer()
app.command("new")(new_plugin)
app.command("check")(check_plugin)


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def lax(tmp_path: Path, install: Install) -> str:
    (tmp_path / "lax_plugin.py").write_text(CHECK)
    install("lax-dist", "lax = lax_plugin", tmp_path)
    return "lax-dist"


def test_new_tells_what_comes_next(tmp_path: Path) -> None:
    done = run("new", "mine", "--kind", "risk", "--dir", str(tmp_path))
    assert done.exit_code == 0
    assert "arbitrade plugins check arbitrade-mine" in done.stdout
    told = json.loads(run("new", "other", "--kind", "feed", "--dir", str(tmp_path), "--json").stdout)
    assert told["distribution"] == "arbitrade-other"
    assert all((tmp_path / "arbitrade-other" / file).is_file() for file in told["files"])


def test_a_sound_plugin_passes(lax: str) -> None:
    done = run("check", lax, "--set", "reason=1 USD, limit 0 USD")
    assert done.exit_code == 0, done.output
    assert "RISK-04" in done.stdout
    assert "rules passed 8, failed 0, skipped 1" in done.stdout


def test_a_broken_rule_is_told_and_ends_in_1(lax: str) -> None:
    done = run("check", "Lax_Dist", "--set", "reason=", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["ok"] is False
    (checked,) = told["objects"]
    failed = [rule for rule in checked["rules"] if rule["verdict"] == "failed"]
    assert [rule["number"] for rule in failed] == ["RISK-04"]
    assert "the reason is ''" in failed[0]["reason"]


def test_settings_in_force_are_used(lax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_LAX__REASON", "no")
    assert run("check", lax).exit_code == 0
    assert run("check", lax, "--set", "reason=").exit_code == 1, "what is given stands above"


def test_budgets_are_judged_when_asked(lax: str) -> None:
    done = run("check", lax, "--set", "reason=no", "--budget", "--json")
    assert {rule["verdict"] for rule in json.loads(done.stdout)["objects"][0]["rules"]} == {"passed"}


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nowhere"], PluginError, "no installed distribution 'nowhere' brings a plugin"),
        (
            ["lax-dist"],
            SettingsError,
            "reason: Field required. Give it with --set reason=VALUE or ARBITRADE_LAX__REASON",
        ),
        (["lax-dist", "--set", "reasn=no"], SettingsError, "Fields: reason, key"),
        (["lax-dist", "--set", "reason"], SettingsError, "write field=value"),
        (["arbitrade", "--set", "fee_tier=tier-1"], SettingsError, "does not say of which plugin"),
    ],
)
@pytest.mark.usefixtures("lax")
def test_what_is_wrong_is_told(words: list[str], error: type[Exception], message: str) -> None:
    done = run("check", *words)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)


def test_an_order_that_depends_on_hashing_is_seen(tmp_path: Path, install: Install) -> None:
    (tmp_path / "unordered_plugin.py").write_text(UNORDERED)
    install("unordered-dist", "unordered = unordered_plugin", tmp_path)
    told = json.loads(run("check", "unordered-dist", "--json").stdout)
    failed = [rule["number"] for rule in told["objects"][0]["rules"] if rule["verdict"] == "failed"]
    assert failed == ["DETECTOR-10"]
