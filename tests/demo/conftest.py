"""Commands as people run them: processes with a clean environment and a data directory of their own."""

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

from arbitrade_core.settings import CoreSettings, variables

WAIT_S = 60.0


class Command:
    """One `arbitrade` command under way."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.out = ""
        self.errors = ""

    def ended(self, within_s: float = WAIT_S) -> int:
        """Its exit code; no traceback was shown, whatever it is."""
        self.out, self.errors = self.process.communicate(timeout=within_s)
        assert "Traceback" not in self.out + self.errors, self.errors
        return self.process.returncode

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def answer(self) -> dict[str, Any]:
        """The one JSON object that stands last on standard output."""
        start = self.out.index("{")
        found, end = json.JSONDecoder().raw_decode(self.out[start:])
        assert self.out[start + end :].strip() == ""
        assert self.out[:start].strip() == "", "nothing else is on standard output"
        assert isinstance(found, dict)
        return found

    def children(self) -> list[int]:
        """Processes of its own that run `arbitrade_kraken.simulator`."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    words = (entry / "cmdline").read_text().split("\0")
                except (OSError, ValueError, IndexError):
                    continue
                if parent == self.process.pid and "arbitrade_kraken.simulator" in words:
                    found.append(int(entry.name))
        return found


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """One embedded database for all commands here: making one takes seconds. Its path is short, for its socket."""
    with tempfile.TemporaryDirectory(prefix="arb-demo-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def start(data_dir: Path) -> Iterator[Callable[..., Command]]:
    """Start a command: `start("demo", "--seconds=6", LOG__LEVEL="error")`, settings by their last name."""
    known = {variable.name for variable in variables(CoreSettings)}
    clean = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in known and not name.upper().startswith("ARBITRADE_")
    }
    running: list[Command] = []

    def begin(*arguments: str, **settings: str) -> Command:
        environment = {**clean, "ARBITRADE_DATA_DIR": str(data_dir), "COLUMNS": "200", **settings}
        command = Command(
            subprocess.Popen(
                [sys.executable, "-c", "from arbitrade_core.cli import main; main()", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
                env=environment,
                cwd=data_dir,
            )
        )
        running.append(command)
        return command

    yield begin
    for command in running:
        if command.process.poll() is None:
            command.process.kill()
        command.process.communicate()


def wait_until(happened: Callable[[], Any], within_s: float = WAIT_S) -> Any:
    until = time.monotonic() + within_s
    while not (found := happened()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
    return found
