"""The command line as a user meets it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from arbitrade_core.cli import main

Install = Callable[..., Path]

MAIN = "import sys; from arbitrade_core.cli import main; sys.argv[0] = 'arbitrade'; main()"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


type Command = Callable[..., Ran]


@pytest.fixture
def arbitrade(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run `arbitrade` in this process, with these variables set."""

    def run(*arguments: str, **env: str) -> Ran:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["arbitrade", *arguments])
            patch.setenv("COLUMNS", "80")
            for name, value in ({"ARBITRADE_DATA_DIR": str(tmp_path / "data")} | env).items():
                patch.setenv(name, value)
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        printed = capfd.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """Run `arbitrade` in a process of its own."""

    def run(*arguments: str, **env: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", MAIN, *arguments],
            capture_output=True,
            text=True,
            env=dict(os.environ)
            | {"PYTHONPATH": str(tmp_path / "site"), "ARBITRADE_DATA_DIR": str(tmp_path / "data")}
            | env,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def assert_one_clear_error(ran: Ran, *says: str) -> None:
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("error: ") == 1
    assert "Traceback" not in ran.err
    for text in says:
        assert text in ran.err


def test_help_and_version(arbitrade: Command) -> None:
    helped = arbitrade("--help")
    assert helped.code == 0
    for command in ("plugins", "settings", "db", "cycles", "doctor", "version"):
        assert command in helped.out
    assert "\x1b" not in helped.out
    assert max(len(line) for line in helped.out.splitlines()) <= 80
    version = arbitrade("version", "--json")
    assert json.loads(version.out)["plugin_api"] == 1
    assert arbitrade("nonsense").code == 2


def test_plugins_list(arbitrade: Command) -> None:
    listed = arbitrade("plugins", "list", "--json", ARBITRADE_PLUGINS="kraken")
    states = {entry["name"]: entry["state"] for entry in json.loads(listed.out)}
    assert (states["core"], states["kraken"], states["triangular"]) == ("enabled", "enabled", "disabled")
    table = arbitrade("plugins", "list")
    assert max(len(line) for line in table.out.splitlines()) <= 80
    assert "detectors, risk_checks, executors" in table.out


def test_plugins_list_shows_a_broken_plugin_and_goes_on(arbitrade: Command, install: Install) -> None:
    install("broken-dist", {"arbitrade.plugins": {"broken": "broken_mod"}}, {"broken_mod": "import nowhere"})
    listed = arbitrade("plugins", "list")
    assert listed.code == 0
    assert "'broken' (broken-dist 1.0) cannot be imported: ModuleNotFoundError" in listed.out
    assert "triangular" in listed.out


def test_settings_list_hides_secrets(arbitrade: Command) -> None:
    listed = arbitrade("settings", "list", "--json", PG_HOST="db", PG_PASSWORD="swordfish")
    rows = {row["variable"]: row for row in json.loads(listed.out)}
    assert rows["PG_PASSWORD"]["value"] == "(hidden)"
    assert rows["PG_HOST"] | {"description": ""} == {
        "variable": "PG_HOST",
        "value": "db",
        "origin": "environment",
        "pinned": True,
        "override": None,
        "override_version": None,
        "wrong": None,
        "at_next_start": False,
        "default": "",
        "allowed": "text",
        "secret": False,
        "description": "",
    }
    assert "swordfish" not in listed.out + arbitrade("settings", "list", PG_HOST="db", PG_PASSWORD="swordfish").out


@pytest.mark.parametrize("command", [("plugins", "list"), ("cycles", "list")])
def test_wrong_settings_are_one_clear_error_everywhere(process: Command, command: tuple[str, ...]) -> None:
    ran = process(*command, ARBITRADE_RISK__MAX_OPEN_PLAN="3", ARBITRADE_KRAKEN__DEPTH="11")
    assert_one_clear_error(
        ran,
        "2 settings are wrong",
        "ARBITRADE_KRAKEN__DEPTH is '11'",
        "Did you mean ARBITRADE_RISK__MAX_OPEN_PLANS?",
    )


def test_an_unreachable_database_is_one_clear_error_without_its_password(process: Command) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://bot:swordfish@127.0.0.1:{unused.getsockname()[1]}/x"
        ran = process("cycles", "list", DATABASE_URL=url)
    assert_one_clear_error(ran, "cannot be reached", "DATABASE_URL")
    assert "swordfish" not in ran.err


def test_a_data_directory_that_cannot_be_used_is_one_clear_error(process: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_one_clear_error(process("db", "status", ARBITRADE_DATA_DIR=str(tmp_path / "file" / "data")))


COMMANDS = {
    "typed": "typed_mod:app",
    "clicked": "clicked_mod:command",
    "halfway": "halfway_mod:app",
    "number": "typed_mod:NUMBER",
    "fails": "typed_mod:fails",
}
TYPED = """
import typer
from arbitrade_core.errors import StorageError
NUMBER = 5
app = typer.Typer()
@app.command()
def typed(size: int = 1, stop: bool = False) -> None:
    "Typed help."
    if stop:
        raise KeyboardInterrupt
    print(f"typed {size}")
fails = typer.Typer()
@fails.command()
def fail() -> None:
    raise ExceptionGroup("tasks", [StorageError("first"), ExceptionGroup("inner", [StorageError("second")])])
"""
CLICKED = """
import click
@click.command(help="Clicked help.")
@click.option("--size", type=int)
def command(size): print(f"clicked {size}")
"""


@pytest.fixture
def commands(install: Install) -> None:
    modules = {"typed_mod": TYPED, "clicked_mod": CLICKED, "halfway_mod": "import nowhere"}
    install("commands-dist", {"arbitrade.commands": COMMANDS}, modules)


@pytest.mark.usefixtures("commands")
def test_commands_of_plugins_are_found_and_broken_ones_leave_the_others_alone(arbitrade: Command) -> None:
    helped = arbitrade("--help")
    assert helped.code == 0
    assert "Typed help." in helped.out
    assert "Clicked help." in helped.out
    assert "Unavailable" in helped.out
    assert arbitrade("typed", "--size", "3") == Ran(0, "typed 3\n", "")
    assert arbitrade("clicked", "--size", "4") == Ran(0, "clicked 4\n", "")
    assert "--size" in arbitrade("clicked", "--help").out
    assert_one_clear_error(arbitrade("halfway", "--any", "x"), "commands-dist 1.0", "No module named 'nowhere'")
    assert_one_clear_error(arbitrade("number"), "commands-dist 1.0", "no typer app or click command")


@pytest.mark.usefixtures("commands")
def test_ctrl_c_is_quiet_and_errors_of_several_tasks_are_told_without_traceback(
    process: Command,
) -> None:
    assert process("typed", "--stop") == Ran(130, "", "")
    assert process("fails") == Ran(2, "", "error: first\nerror: second\n")


def test_a_command_brought_twice_names_both_and_the_cores_own_cannot_be_taken(
    arbitrade: Command, install: Install
) -> None:
    install(
        "one-dist", {"arbitrade.commands": {"twin": "typed_mod:app", "version": "typed_mod:app"}}, {"typed_mod": TYPED}
    )
    install("two-dist", {"arbitrade.commands": {"twin": "typed_mod:app"}}, {})
    assert_one_clear_error(arbitrade("twin"), "one-dist 1.0", "two-dist 1.0")
    assert "plugin API" in arbitrade("version").out


def test_doctor_tells_every_wrong_setting_and_exits_with_1(arbitrade: Command) -> None:
    ran = arbitrade("doctor", "--json", ARBITRADE_LOG__LEVEL="loud", ARBITRADE_NO="1")
    assert (ran.code, ran.err) == (1, "")
    findings = json.loads(ran.out)
    assert [finding["detail"][:20] for finding in findings if finding["grade"] == "failed"] == [
        "ARBITRADE_LOG__LEVEL",
        "ARBITRADE_NO (enviro",
    ]


DOCTOR = """
from arbitrade_core.hooks import Finding, Grade
ARBITRADE_API = 1
async def doctor(ctx):
    yield Finding(Grade.OK, "lab: link", "fine", round_trip_ms=35.2)
    raise OSError("cut off")
"""


def test_doctor_asks_the_plugins_and_survives_theirs(arbitrade: Command, install: Install) -> None:
    install("lab-dist", {"arbitrade.plugins": {"lab": "lab_mod"}}, {"lab_mod": DOCTOR})
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://bot@127.0.0.1:{unused.getsockname()[1]}/x"
        ran = arbitrade("doctor", ARBITRADE_PLUGINS="lab", ARBITRADE_RISK__REQUIRED="halted,mine", DATABASE_URL=url)
    assert ran.code == 1
    assert "ok       lab: link: fine" in ran.out
    assert "warning  latency: round trip 35 ms, paper venue 20 ms" in ran.out
    assert "set ARBITRADE_PAPER__LATENCY_MS to 36 or more" in ran.out
    assert "failed   plugin lab: its checks failed: OSError: cut off" in ran.out
    assert "failed   risk: required checks are missing: mine" in ran.out
    assert "warning  hooks: no plugin brings a feed" in ran.out
    assert "failed   database:" in ran.out
    assert ran.err == ""
