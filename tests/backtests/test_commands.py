"""`arbitrade backtest` as people run it: a recording of the simulated exchange, replayed, searched, reported."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from arbitrade_core.settings import CoreSettings, variables
from arbitrade_core.storage.binaries import find_all
from arbitrade_core.storage.embedded import EmbeddedServer

type Run = Callable[..., "subprocess.CompletedProcess[str]"]

WANTED = ("--balance=USD=10000", "--min-profit=5bps", "--fees=recorded", "--demo")


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """A data directory with an embedded database, and nothing else set."""
    if not find_all() and os.environ.get("CI") != "true":
        pytest.skip("no embedded PostgreSQL")
    known = {variable.name for variable in variables(CoreSettings)}
    clean = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in known and not name.upper().startswith("ARBITRADE_")
    }
    with tempfile.TemporaryDirectory(prefix="arb-bt-") as folder:
        Path(folder).chmod(0o755)
        yield clean | {"ARBITRADE_DATA_DIR": folder, "COLUMNS": "200", "TERM": "dumb"}


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Run:
    def command(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "tests.backtests.command", *arguments],
            capture_output=True,
            text=True,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    return command


@pytest.fixture(scope="module")
def demo(run: Run, environment: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """What `arbitrade backtest demo` did. Its database stays up for all tests here."""
    server = EmbeddedServer(Path(environment["ARBITRADE_DATA_DIR"]))
    server.start()
    try:
        done = run("backtest", "demo", "--seconds=6", "--no-open", "--json")
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)
    finally:
        server.stop()


def test_the_demo_records_replays_searches_and_reports(demo: list[dict[str, Any]]) -> None:
    backtest, sweep = demo
    assert (backtest["kind"], sweep["kind"]) == ("backtest", "sweep")
    assert backtest["headline"]["plans"] > 0
    assert sweep["headline"]["variants"] == 12
    for one in demo:
        page = Path(one["html"]).read_text(encoding="utf-8")
        HTMLParser().feed(page)
        assert "mispricings are planted" in page


def test_the_same_job_decides_the_same(demo: list[dict[str, Any]], run: Run, tmp_path: Path) -> None:
    html, tables = tmp_path / "report.html", tmp_path / "tables"
    done = run("backtest", "run", "--recording=1", *WANTED, "--json", f"--html={html}", f"--csv={tables}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["decisions"] == demo[0]["decisions"]
    assert told["report"]["kind"] == "backtest"
    assert html.stat().st_size > 10_000
    assert (tables / "plans.csv").read_text().count("\n") > 1
    shown = json.loads(run("backtest", "show", str(told["id"]), "--demo", "--json").stdout)
    assert shown["report"] == told["report"]
    assert "trading" in run("backtest", "show", str(told["id"]), "--demo").stdout


def test_a_sweep_is_the_same_in_more_processes(demo: list[dict[str, Any]], run: Run) -> None:
    settings = ("--sweep=trading.min_edge_bps=1,5,10,20", "--sweep=paper.latency_ms=1,20,80")
    done = run("backtest", "run", "--recording=1", *WANTED, *settings, "--processes=2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decisions"] == demo[1]["decisions"]


def test_what_there_is_is_listed(demo: list[dict[str, Any]], run: Run) -> None:
    rows = json.loads(run("backtest", "list", "--demo", "--json").stdout)
    assert {row["id"] for row in rows} >= {one["id"] for one in demo}
    assert "demo sweep" in run("backtest", "list", "--demo").stdout
    number = str(demo[1]["id"])
    assert len(json.loads(run("backtest", "variants", number, "--demo", "--json").stdout)) == 12
    assert "paper.latency_ms=80" in run("backtest", "variants", number, "--demo").stdout


def test_the_winner_is_applied_in_one_step(demo: list[dict[str, Any]], run: Run, tmp_path: Path) -> None:
    number, file = str(demo[1]["id"]), tmp_path / ".env"
    shown = run("backtest", "apply", number, "--demo", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "ARBITRADE_TRADING__MIN_EDGE_BPS=" in shown.stdout
    assert run("backtest", "apply", number, "--demo", "--variant=11", f"--env-file={file}").returncode == 0
    assert file.read_text() == "ARBITRADE_PAPER__LATENCY_MS=80\nARBITRADE_TRADING__MIN_EDGE_BPS=20\n"
    done = run("backtest", "apply", number, "--demo", "--variant=11")
    assert done.returncode == 0, done.stderr
    in_force = {row["variable"]: row["value"] for row in json.loads(run("settings", "list", "--demo", "--json").stdout)}
    assert in_force["ARBITRADE_PAPER__LATENCY_MS"] == "80"
    pinned = run("backtest", "apply", number, "--demo", "--variant=0", ARBITRADE_PAPER__LATENCY_MS="5")
    assert pinned.returncode == 2
    assert "ARBITRADE_PAPER__LATENCY_MS" in pinned.stderr
    audit = json.loads(run("backtest", "audit", number, "--demo", "--json").stdout)
    assert [one["action"] for one in audit] == ["submit", "apply", "apply"]


def test_wrong_input_is_one_error_and_nothing_is_queued(demo: list[dict[str, Any]], run: Run) -> None:
    before = run("backtest", "list", "--demo", "--json").stdout
    done = run("backtest", "run", "--demo", "--set=risk.max_open_plan=3", "--min-profit=5")
    assert done.returncode == 2
    assert done.stderr.startswith("error: the backtest has 4 problems, and nothing was queued:")
    for words in ("a time range is required", "starting balances", "write 5bps", "MAX_OPEN_PLANS"):
        assert words in done.stderr
    empty = run("backtest", "run", *WANTED, "--from=2026-01-01", "--to=2026-01-02")
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "nothing was recorded from 2026-01-01" in empty.stderr
    assert run("backtest", "show", "99", "--demo").returncode == 2
    assert run("backtest", "list", "--demo", "--json").stdout == before


def test_a_detached_job_runs_by_itself(demo: list[dict[str, Any]], run: Run) -> None:
    told = json.loads(run("backtest", "run", "--recording=1", *WANTED, "--no-curves", "--detach", "--json").stdout)
    until = time.monotonic() + 60
    while (row := json.loads(run("backtest", "show", str(told["id"]), "--demo", "--json").stdout))["state"] != "done":
        assert row["state"] in ("queued", "running"), row
        assert time.monotonic() < until
    assert run("backtest", "delete", str(told["id"]), "--demo").returncode == 0
    assert run("backtest", "delete", str(told["id"]), "--demo").returncode == 2


def test_ctrl_c_cancels_what_was_started_here(
    demo: list[dict[str, Any]], run: Run, environment: dict[str, str]
) -> None:
    command = ["backtest", "run", "--recording=1", *WANTED, "--sweep=trading.min_edge_bps=0:300:1", "--processes=1"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.backtests.command", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 60
        while not (running := json.loads(run("backtest", "list", "--demo", "--state=running", "--json").stdout)):
            assert time.monotonic() < until
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"sweep {running[0]['id']} was cancelled" in errors
    row = json.loads(run("backtest", "show", str(running[0]["id"]), "--demo", "--json").stdout)
    assert row["state"] == "cancelled"
