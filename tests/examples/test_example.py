"""examples/arbitrade-calm as its users meet it: built, installed, listed, configured, and toggled in a running demo."""

import ast
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.demo.conftest import Command, wait_until
from tests.examples.conftest import EXAMPLE, Installed
from tests.house.repository import project

type Start = Callable[..., Command]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def closed_today() -> str:
    """Hours that do not begin for days."""
    return f"{DAYS[(datetime.now(UTC).weekday() + 3) % 7]} 10:00-11:00"


def test_it_imports_public_modules_alone() -> None:
    public = {f"arbitrade_core.{name}" for name in project()["tool"]["arbitrade"]["public-modules"]}
    imported = set()
    for path in EXAMPLE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
            elif isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
    core = {".".join(name.split(".")[:2]) for name in imported if name.split(".")[0] == "arbitrade_core"}
    assert core - public == set()


def test_it_is_listed_beside_the_plugins_that_arbitrade_brings(installed: Installed) -> None:
    listed = {entry["name"]: entry for entry in installed.told("plugins", "list", "--json")}
    calm = listed["calm"]
    assert (calm["state"], calm["distribution"], calm["api_version"]) == ("enabled", "arbitrade-calm", 1)
    assert calm["hooks"] == ["register_settings", "register_detectors", "register_risk_checks", "register_panels"]
    assert {listed[name]["state"] for name in ("core", "kraken", "triangular")} == {"enabled"}


def test_its_own_tests_pass_where_it_is_installed(installed: Installed, tmp_path: Path) -> None:
    for name in ("tests", "pyproject.toml"):  # without src: what is tested is what is installed
        copy = shutil.copytree if (EXAMPLE / name).is_dir() else shutil.copy
        copy(EXAMPLE / name, tmp_path / name)
    tests = installed.runs(["python", "-m", "pytest", "-p", "no:cacheprovider"], tmp_path, {})
    assert tests.ended() == 0, tests.out + tests.errors
    assert " passed" in tests.out


def test_its_readme_names_every_setting_and_its_default(installed: Installed) -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    rows = [row for row in installed.told("settings", "list", "--json") if "_CALM__" in row["variable"]]
    assert len(rows) > 5
    for row in rows:
        default = f"`{row['default'].removesuffix('.0')}` " if row["default"] else ""
        assert f"| `{row['variable']}` | {default}|" in readme


def test_wrong_settings_are_one_clear_error(installed: Installed) -> None:
    wrong = {"ARBITRADE_CALM__HOURS": "mon-fry 08:00-22:00", "ARBITRADE_CALM__TIME_ZONE": "Europe/Berln"}
    listing = installed.arbitrade("plugins", "list", **wrong)
    assert listing.ended() == 2
    assert "2 settings are wrong" in listing.errors
    assert "ARBITRADE_CALM__HOURS is 'mon-fry 08:00-22:00' (environment): 'fry' in" in listing.errors
    assert "did you mean 'Europe/Berlin'?" in listing.errors


def test_it_refuses_in_a_running_demo_while_it_is_enabled_and_only_then(installed: Installed, start: Start) -> None:
    demo = start("demo", "--json", "--mispricings-per-s=5", ARBITRADE_CALM__HOURS=closed_today())

    def until(happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status of which that is true. Before the bot can be asked there is none."""

        def look() -> dict[str, Any] | None:
            assert demo.process.poll() is None, demo.process.communicate()
            status = installed.arbitrade("status", "--demo")
            told = status.answer() if status.ended() == 0 else None
            return told if told is not None and happened(told) else None

        found: dict[str, Any] = wait_until(look)
        return found

    def toggled(word: str) -> bool:
        return bool(installed.told("plugins", word, "calm", "--demo", "--json")["changed"])

    closed = until(lambda told: refusals(told) > 0)
    assert closed["approved"] == 0, "outside hours nothing is approved"

    assert toggled("disable")
    until(lambda told: told["funnel"]["executed"] > 0)

    assert toggled("enable")
    enabled = until(lambda told: True)
    later = until(lambda told: refusals(told) > refusals(enabled))
    assert later["approved"] == enabled["approved"], "nothing is approved while it is enabled"
    assert_shown(installed.told("plugins", "show", "calm", "--demo", "--json"))

    assert toggled("disable")
    assert not toggled("disable")
    until(
        lambda told: told["approved"] > later["approved"] and told["funnel"]["executed"] > later["funnel"]["executed"]
    )

    demo.interrupt()
    assert demo.ended() == 0, demo.errors
    told = demo.answer()
    assert refusals(told) > 1
    assert told["cycles_completed"] > 0
    assert told["ledger_consistent"] is True


def refusals(told: dict[str, Any]) -> int:
    """By the example's check, as a summary counts them."""
    return int(told["refused"].get("calm_hours", 0))


def assert_shown(shown: dict[str, Any]) -> None:
    """The plugin's panel, as the running bot shows it."""
    (panel,) = shown["panels"]
    facts = {fact["label"]: fact["value"] for fact in panel["facts"]}
    refusals, volatility = panel["tables"]
    assert facts["hours"].startswith("closed until ")
    assert dict(refusals["rows"])["outside trading hours"] != "0"
    assert len(volatility["rows"]) > 10


@pytest.mark.parametrize(
    ("hours", "grade"), [("mon-sun 00:00-24:00", "ok"), (closed_today(), "warning")], ids=["open", "closed"]
)
def test_doctor_says_whether_it_would_refuse_now(installed: Installed, hours: str, grade: str) -> None:
    nowhere = {"ARBITRADE_KRAKEN__REST_URL": "http://127.0.0.1:9/0", "DATABASE_URL": "postgresql://a@127.0.0.1:9/none"}
    doctor = installed.arbitrade("doctor", "--json", ARBITRADE_CALM__HOURS=hours, **nowhere)
    doctor.ended()
    findings = {finding["what"]: finding for finding in json.loads(doctor.out)}
    assert findings["calm: hours"]["grade"] == grade
