"""The shadow's process and the pipes to it. Trading never waits for it: threads of ours write, read and listen.

Whatever it does - crash, hang, talk nonsense, not read - ends it alone, with a reason in words.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from arbitrade_core.errors import ArbitradeError, ProtocolError, SettingsError
from arbitrade_core.shadow.wire import Answer, Hello, Ready, Refused, Said, Unframer, framed, framed_batch, read_answer

FOLLOWER = "arbitrade_core.shadow.follower"
READY_S = 30.0
"""How long it may take to import and compose."""
FINISH_S = 5.0
"""How long it may take to catch up at the end."""
_CHUNK = 1 << 16
_GONE_S = 2.0
"""How long the end of a process that was killed, or hung up, may take to show."""
_SAID_BYTES = 4000
"""of its standard error, the newest"""


class FollowerProcess:
    """One process from `begin` to `finish`. Both block; everything else returns at once."""

    def __init__(
        self,
        python: Path,
        environment: Mapping[str, str],
        on_answer: Callable[[Answer], None],
        on_end: Callable[[], None],
    ) -> None:
        """`on_answer` is called on the reading thread; `on_end`, once, on any, when it `ended` by itself."""
        self.python = python
        self.fed = 0
        """inputs that were written"""
        self._environment = environment
        self._on_answer = on_answer
        self._on_end = on_end
        self._outbox: SimpleQueue[bytes | Sequence[Said] | None] = SimpleQueue()
        self._first: SimpleQueue[Ready | Refused | None] = SimpleQueue()
        self._said = b""
        self._ending = threading.Lock()
        self._finishing = False
        self.ended: str | None = None
        """why, when it was not told to"""
        self._process: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []

    def begin(self, hello: Hello) -> Ready:
        """Start it and wait until it is ready.

        Raises:
            SettingsError: that is no interpreter.
            ArbitradeError: why it cannot shadow us, in words.
        """
        self._spawn()
        self._outbox.put(framed(hello))
        try:
            first = self._first.get(timeout=READY_S)
        except Empty:
            self.end(f"it was not ready within {READY_S:.0f} s")
            first = None
        match first:
            case Ready():
                return first
            case Refused(reason):
                self.end(reason)
            case None:
                pass
        self._join()
        raise ArbitradeError(f"the shadow ({self.python}) did not start: {self.ended}")

    def tell(self, batch: Sequence[Said]) -> None:
        self._outbox.put(batch)

    def finish(self) -> None:
        """Nothing more comes: let it catch up for a while, then it has to go."""
        if self._process is None:
            return
        self._finishing = True
        self._first.put(None)
        self._outbox.put(None)
        self._join(FINISH_S)
        if self._process.poll() is None:
            self.end(f"it did not catch up within {FINISH_S:.0f} s of the end")
        elif self._process.returncode:
            self.end(self._why_gone())
        self._join()

    def end(self, reason: str) -> None:
        """Kill it; the first reason counts. A process that is gone already is no error."""
        with self._ending:
            first, self.ended = self.ended is None, self.ended or reason
        if first:
            self._kill()
            self._first.put(None)
            self._outbox.put(None)
            self._on_end()

    # --- the process ---

    def _spawn(self) -> None:
        # -P: a checkout that happens to be the working directory must not stand in for what is installed there.
        command = [str(self.python), "-P", "-m", FOLLOWER]
        pipe = subprocess.PIPE
        try:
            # A group of its own: Ctrl-C reaches the bot alone. Its standard input closes with the bot, however it ends.
            process = self._process = subprocess.Popen(  # noqa: S603 - the operator names the interpreter
                command, stdin=pipe, stdout=pipe, stderr=pipe, env=dict(self._environment), start_new_session=True
            )
        except OSError as error:
            raise SettingsError(
                [f"--shadow {self.python} cannot be run: {error.strerror}; name the Python of another environment"]
            ) from error
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        for name, work, stream in (
            ("writer", self._write, stdin),
            ("reader", self._read, stdout),
            ("listener", self._listen, stderr),
        ):
            self._threads.append(threading.Thread(target=work, args=(stream,), name=f"shadow {name}", daemon=True))
        # The listener first: the others ask it why the process is gone, which may be at once.
        for thread in reversed(self._threads):
            thread.start()

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()

    def _join(self, within_s: float = _GONE_S) -> None:
        """Wait for its end and our threads', so that nothing of it is left behind."""
        assert self._process is not None
        until = time.monotonic() + within_s
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    # --- threads ---

    def _write(self, stream: IO[bytes]) -> None:
        with suppress(OSError), stream:
            seq = 1
            while (item := self._outbox.get()) is not None and self.ended is None:
                data, seq = (item, seq) if isinstance(item, bytes) else framed_batch(seq, item)
                self.fed = seq - 1
                stream.write(data)
                stream.flush()

    def _read(self, stream: IO[bytes]) -> None:
        unframer = Unframer()
        reason = None
        with stream:
            try:
                while data := os.read(stream.fileno(), _CHUNK):
                    for body in unframer.feed(data):
                        self._answered(read_answer(body))
            except ProtocolError as error:
                reason = f"it spoke what we do not understand: {error}"
            except OSError as error:
                reason = f"it could not be read: {error}"
        if reason is not None or not self._finishing:
            self.end(reason or self._why_gone())

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, Ready | Refused):
            self._first.put(answer)
        else:
            self._on_answer(answer)

    def _listen(self, stream: IO[bytes]) -> None:
        """Its standard error, so that the pipe is never full; the last line says why it died."""
        with suppress(OSError), stream:
            while data := os.read(stream.fileno(), _CHUNK):
                self._said = (self._said + data)[-_SAID_BYTES:]

    def _why_gone(self) -> str:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GONE_S)
        self._threads[-1].join(_GONE_S)
        lines = [line.strip() for line in self._said.decode(errors="replace").splitlines()]
        words = next((line for line in reversed(lines) if line), "it said nothing")
        return f"its process ended with code {self._process.poll()}: {words}"
