"""`arbitrade backtest` as people run it: a recording of the simulated exchange, replayed, searched, reported."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from arbitrade_core.backtests import processes
from arbitrade_core.cli import main
from arbitrade_core.settings import CoreSettings, variables
from arbitrade_core.storage.binaries import find_all
from arbitrade_core.storage.embedded import EmbeddedServer

type Run = Callable[..., Ran]

WANTED = ("--balance=USD=10000", "--min-profit=5bps", "--fees=recorded", "--demo")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    errors: str

    def answer(self) -> Any:
        """What it printed with --json."""
        assert self.code == 0, self.errors
        return json.loads(self.out)


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """A data directory for an embedded database, and nothing else set."""
    if not find_all() and os.environ.get("CI") != "true":
        pytest.skip("no embedded PostgreSQL")
    with tempfile.TemporaryDirectory(prefix="arb-bt-") as folder:
        Path(folder).chmod(0o755)
        yield {"ARBITRADE_DATA_DIR": folder, "COLUMNS": "200", "TERM": "dumb"}


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Run:
    """A command in this process, which saves starting one; what it starts are processes all the same."""
    known = {variable.name for variable in variables(CoreSettings)}
    ours = [name for name in os.environ if name.upper() in known or name.upper().startswith("ARBITRADE_")]

    def command(*arguments: str, **more: str) -> Ran:
        out, errors = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name in ours:
                patch.delenv(name)
            for name, value in (environment | more).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["arbitrade", *arguments])
            with redirect_stdout(out), redirect_stderr(errors):
                try:
                    main()
                    code: Any = 0
                except SystemExit as ended:
                    code = ended.code or 0
        return Ran(int(code), out.getvalue(), errors.getvalue())

    return command


@pytest.fixture(scope="module")
def demo(run: Run, environment: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """What `arbitrade backtest demo` did. Its database stays up for all tests here."""
    server = EmbeddedServer(Path(environment["ARBITRADE_DATA_DIR"]))
    server.start()
    try:
        yield run("backtest", "demo", "--seconds=5", "--no-open", "--json").answer()
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
    told = run("backtest", "run", "--recording=1", *WANTED, "--json", f"--html={html}", f"--csv={tables}").answer()
    assert told["decisions"] == demo[0]["decisions"]
    assert told["report"]["kind"] == "backtest"
    assert html.stat().st_size > 10_000
    assert (tables / "plans.csv").read_text().count("\n") > 1
    number = str(told["id"])
    assert run("backtest", "show", number, "--demo", "--json").answer()["report"] == told["report"]
    assert "trading" in run("backtest", "show", number, "--demo").out
    assert run("backtest", "delete", number, "--demo").code == 0
    assert run("backtest", "delete", number, "--demo").code == 2


def test_a_sweep_is_the_same_in_more_processes(demo: list[dict[str, Any]], run: Run) -> None:
    settings = ("--sweep=trading.min_edge_bps=1,5,10,20", "--sweep=paper.latency_ms=1,20,80")
    told = run("backtest", "run", "--recording=1", *WANTED, *settings, "--processes=2", "--json").answer()
    assert told["decisions"] == demo[1]["decisions"]


def test_what_there_is_is_listed(demo: list[dict[str, Any]], run: Run) -> None:
    rows = run("backtest", "list", "--demo", "--json").answer()
    assert {row["id"] for row in rows} >= {one["id"] for one in demo}
    assert "demo sweep" in run("backtest", "list", "--demo").out
    number = str(demo[1]["id"])
    assert len(run("backtest", "variants", number, "--demo", "--json").answer()) == 12
    assert "paper.latency_ms=80" in run("backtest", "variants", number, "--demo").out


def test_the_winner_is_applied_in_one_step(demo: list[dict[str, Any]], run: Run, tmp_path: Path) -> None:
    number, file = str(demo[1]["id"]), tmp_path / ".env"
    apply = ("backtest", "apply", number, "--demo")
    assert "ARBITRADE_TRADING__MIN_EDGE_BPS=" in run(*apply, "--dry-run").out
    assert run(*apply, "--variant=11", f"--env-file={file}").code == 0
    assert file.read_text() == "ARBITRADE_PAPER__LATENCY_MS=80\nARBITRADE_TRADING__MIN_EDGE_BPS=20\n"
    assert run(*apply, "--variant=11").code == 0
    in_force = {row["variable"]: row["value"] for row in run("settings", "list", "--demo", "--json").answer()}
    assert in_force["ARBITRADE_PAPER__LATENCY_MS"] == "80"
    pinned = run(*apply, "--variant=0", ARBITRADE_PAPER__LATENCY_MS="5")
    assert pinned.code == 2
    assert "ARBITRADE_PAPER__LATENCY_MS" in pinned.errors
    assert run("backtest", "apply", number, "--demo", "--variant=99").code == 2
    audit = run("backtest", "audit", number, "--demo", "--json").answer()
    assert [one["action"] for one in audit] == ["submit", "apply", "apply"]


def test_wrong_input_is_one_error_and_nothing_is_queued(demo: list[dict[str, Any]], run: Run) -> None:
    before = run("backtest", "list", "--demo", "--json").out
    done = run("backtest", "run", "--demo", "--set=risk.max_open_plan=3", "--min-profit=5")
    assert done.code == 2
    assert done.errors.startswith("error: the backtest has 4 problems, and nothing was queued:")
    for words in ("a time range is required", "starting balances", "write 5bps", "MAX_OPEN_PLANS"):
        assert words in done.errors
    empty = run("backtest", "run", *WANTED, "--from=2026-01-01", "--to=2026-01-02")
    assert (empty.code, empty.out) == (2, "")
    assert "nothing was recorded from 2026-01-01" in empty.errors
    assert run("backtest", "show", "99", "--demo").code == 2
    assert run("backtest", "list", "--demo", "--json").out == before


def test_a_detached_job_runs_by_itself(demo: list[dict[str, Any]], run: Run) -> None:
    told = run("backtest", "run", "--recording=1", *WANTED, "--no-curves", "--detach", "--json").answer()
    until = time.monotonic() + 60
    while (row := run("backtest", "show", str(told["id"]), "--demo", "--json").answer())["state"] != "done":
        assert row["state"] in ("queued", "running"), row
        assert time.monotonic() < until
        time.sleep(0.2)
    for worker in processes._detached:
        assert worker.wait(20) == 0


def test_ctrl_c_cancels_what_was_started_here(
    demo: list[dict[str, Any]], run: Run, environment: dict[str, str]
) -> None:
    command = ["backtest", "run", "--recording=1", *WANTED, "--sweep=trading.min_edge_bps=0:300:1", "--processes=1"]
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ARBITRADE_", "PG_", "DATABASE_"))
    }
    with subprocess.Popen(
        [sys.executable, "-c", "from arbitrade_core.cli import main; main()", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean | environment,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 60
        while not (running := run("backtest", "list", "--demo", "--state=running", "--json").answer()):
            assert time.monotonic() < until
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"sweep {running[0]['id']} was cancelled" in errors
    assert run("backtest", "show", str(running[0]["id"]), "--demo", "--json").answer()["state"] == "cancelled"
