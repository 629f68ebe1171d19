"""A worker's process, for whoever starts one: beside a bot, or for a command that waits for its job."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from arbitrade_core.errors import ArbitradeError

MODULE = "arbitrade_core.backtests.worker"
END_S = 4.0
"""How long it may take to put its job back."""
_SAID_BYTES = 4_000


class WorkerProcess:
    """At most one worker at a time. Its standard input closes with us, however we end, and so it ends too."""

    def __init__(self, database: str, *, words: Sequence[str] = ("-P", "-m", MODULE)) -> None:
        """`words`: what Python is told to run."""
        self._command = [sys.executable, *words, "--database", database, "--until-stdin-closes"]
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def failed(self) -> str | None:
        """Why the last one ended, when it did not end well."""
        if self._process is None or not self._process.poll():
            return None
        lines = [line.strip() for line in self._said().splitlines() if line.strip()]
        words = lines[-1] if lines else "it said nothing"
        return f"the worker ended with code {self._process.returncode}: {words}"

    def start(self) -> None:
        """Raises ArbitradeError when no process can be had."""
        self.end(0.0)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        try:
            # A group of its own: Ctrl-C is for whoever started it.
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            raise ArbitradeError(
                f"no process for backtests can be started: {error}; see what the system lacks"
            ) from error

    def end(self, within_s: float = END_S) -> None:
        """It puts its job back into the queue and ends; it is killed when it takes too long. Blocks."""
        process = self._process
        if process is not None:
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(within_s)
            if process.poll() is None:
                kill(process)
            process.wait()
        if self._errors is not None:
            self._errors.close()
        self._process = self._errors = None

    def _said(self) -> str:
        if self._errors is None:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _SAID_BYTES))
        return self._errors.read().decode(errors="replace")


def kill(process: "subprocess.Popen[bytes]") -> None:
    """With whatever it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def detached(database: str, log: Path) -> int:
    """A worker that outlives us and ends when the queue is empty; its process id. What it says goes to `log`.

    Raises:
        ArbitradeError: it cannot be started.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as said:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", MODULE, "--database", database],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
    except OSError as error:
        raise ArbitradeError(f"no process for backtests can be started: {error}; see what the system lacks") from error
    # Those that have ended are taken note of, or the system would keep them in its books.
    _detached[:] = [process, *(one for one in _detached if one.poll() is None)]
    return process.pid


_detached: "list[subprocess.Popen[bytes]]" = []
