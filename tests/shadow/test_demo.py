"""A whole bot on the simulated exchange with a whole shadow beside it, as people run them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arbitrade_core.commands.shadow import app
from arbitrade_core.settings import CoreSettings, variables
from tests.shadow.processes import other_triangular, with_path

ROOT = Path(__file__).parents[2]
ARBITRADE = ("-c", "from arbitrade_core.cli import main; main()")
NO_NETWORK = {"ARBITRADE_KRAKEN__WS_URL": "ws://127.0.0.1:9/v2"}

type Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """One embedded database for all; its path is short, for its socket."""
    with tempfile.TemporaryDirectory(prefix="arb-shadow-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def start(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    known = {variable.name for variable in variables(CoreSettings)}
    for name in [name for name in os.environ if name.upper() in known or name.upper().startswith("ARBITRADE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ARBITRADE_DATA_DIR", str(data_dir))
    monkeypatch.setenv("ARBITRADE_LOG__LEVEL", "error")
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **settings: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env={**os.environ, **settings}
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What it printed last."""
    out, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    found = json.loads(out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def status() -> dict[str, Any]:
    """What `arbitrade shadow status --demo --json` says; nothing as long as there is no bot to ask."""
    result = CliRunner().invoke(app, ["status", "--demo", "--json"])
    return dict(json.loads(result.stdout)) if result.exit_code == 0 else {}


def wait_until(happened: Callable[[], Any], within_s: float = 60.0) -> Any:
    until = time.monotonic() + within_s
    while not (found := happened()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.2)
    return found


def test_the_same_version_decides_everything_the_same(start: Start) -> None:
    demo = start("-m", "tests.shadow.demo", sys.executable, "10")
    report = wait_until(lambda: (found := status()) and found["through_seq"] > 200 and found)
    assert report["ended"] is None
    assert report["python"] == sys.executable
    told = ended(demo)
    shadow = told["shadow"]
    assert shadow["compared"] == shadow["same"] > 20, shadow["examples"]
    assert shadow["by_kind"]["approved"]["same"] == told["approved"] > 0
    assert shadow["candidates"] == {"bot": told["candidates"], "shadow": told["candidates"]}
    assert shadow["faults"] == told["faults"]
    assert (shadow["behind"], shadow["ended"], shadow["unknown_settings"]) == (0, None, [])
    assert shadow["astray"] == {
        "connections_asked": 0,
        "connections_unasked": 0,
        "messages_asked": 0,
        "messages_unasked": 0,
        "inputs_left_out": 0,
        "example": "",
    }
    assert shadow["inputs"] == shadow["through_seq"] > told["frames"] > 1_000
    assert [alert for alert in told["alerts"] if alert.startswith("shadow")] == []


PICKIER = """
from arbitrade_core.spi import Vanished

print("plugins may print")


class Other(TriangularDetector):
    def on_change(self, pair, rose, now):
        return [one for one in super().on_change(pair, rose, now) if isinstance(one, Vanished) or one.gross > 1.025]

    def active(self):
        return [one for one in super().active() if isinstance(one, Vanished) or one.gross > 1.025]
"""


def test_another_version_differs_and_its_sudden_death_is_nothing_to_the_bot(start: Start, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    interpreter = with_path(tmp_path, "python", other_triangular(tmp_path / "site", PICKIER))
    demo = start("-m", "tests.shadow.demo", str(interpreter), "300", "11")
    report = wait_until(
        lambda: (found := status()) and found["compared"] > 25 and found["only_bot"] > 2 and found["same"] and found
    )
    assert report["candidates"]["shadow"] < report["candidates"]["bot"]
    assert report["astray"]["messages_asked"] == 0
    shown = CliRunner().invoke(app, ["status", "--demo"]).stdout
    assert "of the bot alone" in shown
    assert status()["ended"] is None
    (follower,) = followers(demo.pid)
    os.kill(follower, signal.SIGKILL)
    dead = wait_until(lambda: (found := status()) and found["ended"] and found)
    demo.send_signal(signal.SIGINT)
    told = ended(demo)
    assert "ended with code -9" in told["shadow"]["ended"]
    assert told["frames"] > dead["candidates"]["bot"]
    topics = [alert.partition(":")[0] for alert in told["alerts"] if alert.startswith("shadow.")]
    assert topics == ["shadow.diverged", "shadow.ended"]


def followers(parent: int) -> list[int]:
    rows = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    words = [row.split(maxsplit=2) for row in rows.splitlines()]
    return [int(pid) for pid, ppid, args in words if int(ppid) == parent and "shadow.follower" in args]


def test_a_wrong_path_is_one_clear_error_before_anything_trades(start: Start) -> None:
    process = start(*ARBITRADE, "run", "--seconds=2", "--shadow=/nowhere/python", **NO_NETWORK)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith("error: --shadow /nowhere/python cannot be run: No such file or directory")
    assert errors.lower().count("error") == 1
    assert out == ""


def test_run_tells_of_its_shadow(start: Start) -> None:
    told = ended(start(*ARBITRADE, "run", "--seconds=2", f"--shadow={sys.executable}", "--json", **NO_NETWORK))
    shadow = told["shadow"]
    assert shadow["ended"] is None
    assert shadow["behind"] == 0
    assert shadow["astray"]["connections_asked"] == shadow["astray"]["connections_unasked"] == 0
    assert shadow["shadow_versions"] == shadow["bot_versions"]
