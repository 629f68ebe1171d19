"""Where groups of variants are computed: in this process, or in local ones.

Local workers are processes of their own that are spawned for one group and gone after it. Everything that they say
comes through a pipe, so the end of either side is the end of the pipe: a worker that dies is seen at once, with its
exit code, and one whose sweep is gone stops at its next chunk.
"""

import multiprocessing
import multiprocessing.connection
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.replay.sweep.spool import Spool, read_spool
from arbitrade_core.replay.sweep.work import (
    TRIES,
    Answer,
    Failure,
    Run,
    SweepError,
    Task,
    attempt,
    decode_outcome,
    decode_task,
    encode,
    work,
)

TICK_S = 0.25
"""How often whoever waits is told how far it is, so that it can cancel."""
_SAY_EVERY_S = 0.5
_GONE_S = 2.0

type Tick = Callable[[float, Mapping[int, int]], None]
"""Seconds on some clock, and frames replayed so far, by task. What it raises ends everything that runs."""


class Crew(Protocol):
    """Workers that are ready."""

    @property
    def width(self) -> int:
        """How many groups they compute at once."""
        ...

    def run(self, tasks: Sequence[Task], tick: Tick) -> Generator[tuple[Task, Answer]]:
        """Answers as they come, in any order. Closing it ends what runs.

        Raises:
            SweepError: a task cannot be computed.
        """
        ...


class Pool(Protocol):
    def opened(self, spool: Spool, replay: Run) -> AbstractContextManager[Crew]:
        """Workers that read these chunks. Raises SweepError when there are none."""
        ...


# --- here -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inline:
    """In this process and thread, one group after the other."""

    @contextmanager
    def opened(self, spool: Spool, replay: Run) -> Iterator[Crew]:
        yield _Here(spool.path, replay)


@dataclass(frozen=True, slots=True)
class _Here:
    path: Path
    replay: Run
    width: int = 1

    def run(self, tasks: Sequence[Task], tick: Tick) -> Generator[tuple[Task, Answer]]:
        done: dict[int, int] = {}
        for task in tasks:

            def tell(_: Ns, frames: int, number: int = task.number) -> None:
                done[number] = frames
                tick(time.monotonic(), done)

            yield task, work(task, read_spool(self.path), self.replay, tell)


# --- local processes --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Processes:
    """So many processes of this machine."""

    count: int

    @contextmanager
    def opened(self, spool: Spool, replay: Run) -> Iterator[Crew]:
        yield _Processes(self.count, spool.path, replay)


@dataclass(slots=True)
class _Worker:
    task: Task
    process: BaseProcess


@dataclass(slots=True)
class _Processes:
    width: int
    path: Path
    replay: Run
    _running: dict[Connection, _Worker] = field(default_factory=dict)
    _tries: dict[int, int] = field(default_factory=dict)
    _done: dict[int, int] = field(default_factory=dict)

    def run(self, tasks: Sequence[Task], tick: Tick) -> Generator[tuple[Task, Answer]]:
        waiting = deque(tasks)
        self._tries, self._done = {}, {}
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self.width:
                    self._start(waiting.popleft())
                said = multiprocessing.connection.wait(self._running, TICK_S)
                for pipe in [pipe for pipe in self._running if pipe in said]:
                    task = self._running[pipe].task
                    match self._heard(pipe):
                        case Answer() as answer:
                            yield task, answer
                        case Failure(reason, again):
                            tries = self._tries[task.number]
                            if not again or tries >= TRIES:
                                raise failed(task, reason, tries)
                            waiting.appendleft(task)
                        case int(frames):
                            self._done[task.number] = frames
                tick(time.monotonic(), self._done)
        finally:
            for pipe in list(self._running):
                self._dismiss(pipe)

    def _start(self, task: Task) -> None:
        self._tries[task.number] = self._tries.get(task.number, 0) + 1
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=serve, args=(theirs, encode(task), self.path, self.replay), name=f"sweep: {task.words}", daemon=True
        )
        with _without_interrupts():
            process.start()
        theirs.close()
        self._running[ours] = _Worker(task, process)

    def _heard(self, pipe: Connection) -> Answer | Failure | int:
        """What its worker says: an outcome, or frames so far. A worker that is gone has failed."""
        try:
            data = pipe.recv_bytes()
        except (EOFError, OSError):
            process = self._running[pipe].process
            process.join(_GONE_S)
            outcome: Answer | Failure = Failure(_why_gone(process.exitcode), again=True)
        else:
            if len(data) == _FRAMES_BYTES:
                return int.from_bytes(data, "big")
            outcome = decode_outcome(data)
        self._dismiss(pipe)
        return outcome

    def _dismiss(self, pipe: Connection) -> None:
        """Its work is done or not wanted any more. It holds nothing but memory."""
        process = self._running.pop(pipe).process
        pipe.close()
        process.kill()
        process.join(_GONE_S)
        with suppress(ValueError):  # it does not end, as one that the system has in its hands
            process.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches every process of the terminal. A worker that is started in here never sees it: whoever started it
    decides."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Starting its own process, which the first worker brings about, this unblocks interrupts again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _why_gone(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the process ended with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    hint = "; mostly the system has run out of memory: use fewer processes" if name == "SIGKILL" else ""
    return f"the process was killed by {name}{hint}"


def failed(task: Task, reason: str, tries: int = 1) -> SweepError:
    often = f", {tries} times" if tries > 1 else ""
    return SweepError(f"{task.words} failed{often}: {reason}")


# --- in the worker ----------------------------------------------------------------------------------------------

_FRAMES_BYTES = 8
"""A message of that length is a count; outcomes are longer."""


class _Unwanted(BaseException):
    """The other end of the pipe is gone."""


def serve(pipe: Connection, data: bytes, path: Path, replay: Run) -> None:
    """What a worker's process does, from its start to its end."""
    said_s = 0.0

    def tell(_: Ns, frames: int) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s - said_s >= _SAY_EVERY_S:
            said_s = now_s
            _say(pipe, frames.to_bytes(_FRAMES_BYTES, "big"))

    with suppress(_Unwanted), pipe:
        _say(pipe, msgspec.msgpack.encode(attempt(decode_task(data), read_spool(path), replay, tell)))


def _say(pipe: Connection, data: bytes) -> None:
    try:
        pipe.send_bytes(data)
    except OSError:
        raise _Unwanted from None
