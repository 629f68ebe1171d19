"""Groups of variants on a Dask cluster: `--dask ADDRESS`.

The workers are ours by code alone: they get tasks and chunks, and give results, as bytes. They must run the same code
on the same Python, or results would depend on who computed them; that is looked at first.
"""

import hashlib
import importlib.util
import platform
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

from arbitrade_core.domain import Ns
from arbitrade_core.plugins.catalogue import EXPERIMENTAL_GROUP, GROUP
from arbitrade_core.replay.sweep.pool import TICK_S, Crew, Tick, failed
from arbitrade_core.replay.sweep.spool import Spool, read_blocks
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
)

REACH_S = 10.0
"""How long a scheduler may take to answer, and workers to come."""
_SAY_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Cluster:
    """A scheduler's address, such as `tcp://10.0.0.5:8786`. Its workers come and go as they like."""

    address: str
    reach_s: float = REACH_S
    alone_s: float = 60.0
    """How long to wait for workers to come back when all are gone."""

    @contextmanager
    def opened(self, spool: Spool, replay: Run) -> Iterator[Crew]:
        with self._client() as client:
            self._look_at_workers(client)
            topic = f"arbitrade-sweep-{uuid4().hex}"
            crew = _Crew(client, replay, spool, topic, self)
            client.subscribe_topic(topic, crew.heard)
            try:
                yield crew
            finally:
                with suppress(Exception):  # the connection may be what broke
                    client.unsubscribe_topic(topic)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        distributed = _distributed()
        try:
            client = distributed.Client(self.address, timeout=self.reach_s, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise SweepError(
                f"no Dask scheduler answers at {self.address} within {self.reach_s:.0f} s ({_line(error)}); start one "
                f"with `dask scheduler` and workers with `dask worker {self.address}`, or leave --dask out"
            ) from error
        try:
            yield client
        finally:
            client.close()

    def _look_at_workers(self, client: Any) -> None:
        try:
            client.wait_for_workers(1, timeout=self.reach_s)
        except TimeoutError as error:
            raise SweepError(
                f"the Dask scheduler at {self.address} has no worker; start some with `dask worker {self.address}`"
            ) from error
        try:
            theirs: dict[str, dict[str, str]] = client.run(identity)
        except Exception as error:
            raise SweepError(
                f"the workers of {self.address} cannot run this program ({_line(error)}); install the same version of "
                f"arbitrade and its plugins where they run"
            ) from error
        refuse_others(identity(), theirs)


def refuse_others(ours: Mapping[str, str], theirs: Mapping[str, Mapping[str, str]]) -> None:
    """Raises SweepError when a worker, by its address, runs other code."""
    for worker, found in sorted(theirs.items()):
        differs = [
            f"{what} {found.get(what, 'missing')} instead of {ours.get(what, 'none')}"
            for what in sorted({*ours, *found})
            if found.get(what) != ours.get(what)
        ]
        if differs:
            raise SweepError(
                f"the Dask worker {worker} runs other code: {', '.join(differs)}; install the same there, or its "
                f"results would not be ours"
            )


def identity() -> dict[str, str]:
    """What decides: the Python, and the sources of the core and of every installed plugin."""
    plugins = [point for group in (GROUP, EXPERIMENTAL_GROUP) for point in metadata.entry_points(group=group)]
    packages = {"arbitrade_core"} | {point.module.partition(".")[0] for point in plugins}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python} | {f"code of {package}": _code_of(package) for package in sorted(packages)}


def _code_of(package: str) -> str:
    spec = importlib.util.find_spec(package)
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    told = hashlib.sha256()
    for place in places:
        for path in sorted(place.rglob("*.py")):
            told.update(f"{path.relative_to(place).as_posix()}\0".encode() + path.read_bytes())
    return told.hexdigest()[:12]


@dataclass(slots=True)
class _Crew:
    client: Any
    replay: Run
    spool: Spool
    topic: str
    cluster: Cluster
    _blocks: list[Any] = field(default_factory=list)
    """futures of the chunks, which every worker has"""
    _done: dict[int, int] = field(default_factory=dict)

    @property
    def width(self) -> int:
        # Not threads: replays that share a process take turns.
        return max(1, self._workers())

    def _workers(self) -> int:
        try:
            return len(self.client.nthreads())
        except (OSError, TimeoutError, CancelledError):
            return 0  # the scheduler is gone, and they with it

    def heard(self, event: tuple[float, Any]) -> None:
        """Of a worker, on the client's thread: frames so far."""
        number, frames = event[1]
        if number in self._done:
            self._done[number] = max(self._done[number], frames)

    def run(self, tasks: Sequence[Task], tick: Tick) -> Generator[tuple[Task, Answer]]:
        executor = self.client.get_executor(pure=False)
        self._done = {task.number: 0 for task in tasks}
        tries: dict[int, int] = {}
        waiting = list(tasks)
        running: dict[Future[bytes], Task] = {}
        seen_s = time.monotonic()
        try:
            while waiting or running:
                now_s = time.monotonic()
                tick(now_s, dict(self._done))
                if self._workers():
                    seen_s = now_s
                    if waiting:
                        self._ship()
                        running |= {self._submit(executor, task, tries): task for task in waiting}
                        waiting.clear()
                elif now_s - seen_s > self.cluster.alone_s:
                    raise SweepError(
                        f"all Dask workers of {self.cluster.address} have been gone for {self.cluster.alone_s:.0f} s; "
                        f"start some, and the sweep again: what is computed is kept"
                    )
                done = wait(running, TICK_S, return_when=FIRST_COMPLETED).done if running else set()
                for future in done:
                    task = running.pop(future)
                    match self._outcome(future):
                        case Answer() as answer:
                            yield task, answer
                        case Failure(reason, again):
                            if not again or tries[task.number] >= TRIES:
                                raise failed(task, reason, tries[task.number])
                            # Those that had its chunks may be gone.
                            self._blocks = []
                            waiting.append(task)
                if not running:
                    time.sleep(TICK_S if waiting else 0.0)
        finally:
            executor.shutdown(wait=False)

    def _ship(self) -> None:
        """The chunks to every worker, unless they have them."""
        if not self._blocks:
            try:
                self._blocks = [self.client.scatter(block, broadcast=True, hash=False) for block in self.spool.blocks()]
            except (OSError, TimeoutError, CancelledError) as error:
                raise SweepError(f"the recording cannot be shipped to the Dask workers: {_line(error)}") from error

    def _submit(self, executor: Any, task: Task, tries: dict[int, int]) -> "Future[bytes]":
        tries[task.number] = tries.get(task.number, 0) + 1
        future: Future[bytes] = executor.submit(serve, encode(task), self.topic, self.replay, *self._blocks)
        return future

    def _outcome(self, future: "Future[bytes]") -> Answer | Failure:
        try:
            return decode_outcome(future.result())
        except CancelledError:
            # Its chunks, or the scheduler, are gone.
            return Failure("the Dask workers lost the recording or the scheduler", again=True)
        except Exception as error:  # noqa: BLE001 - whatever Dask has to say: above all, that workers died of it
            # Dask itself has tried a task whose worker died again, as often as its scheduler is set to.
            return Failure(f"{type(error).__name__}: {_line(error)}", again=False)


# --- in the worker ----------------------------------------------------------------------------------------------


class _Unwanted(BaseException):
    """Nobody waits for this task any more."""


def serve(data: bytes, topic: str, replay: Run, *blocks: bytes) -> bytes:
    """One task, on a Dask worker's thread."""
    worker = _distributed().get_worker()
    key = worker.get_current_task()
    task = decode_task(data)
    said_s = time.monotonic()

    def tell(_: Ns, frames: int) -> None:
        nonlocal said_s
        # A thread cannot be stopped from outside. The worker knows when its scheduler has let go of the task, because
        # somebody cancelled it or whoever asked for it is gone.
        state = worker.state.tasks.get(key)
        if state is None or state.state not in _WANTED:
            raise _Unwanted
        now_s = time.monotonic()
        if now_s - said_s >= _SAY_EVERY_S:
            said_s = now_s
            worker.log_event(topic, (task.number, frames))

    try:
        return encode(attempt(task, read_blocks(blocks), replay, tell))
    except _Unwanted:
        return b""


_WANTED = frozenset({"executing", "long-running"})


def _line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _distributed() -> Any:
    try:
        import distributed  # noqa: PLC0415 - optional
    except ImportError as error:
        raise SweepError(
            "a Dask cluster needs the package distributed, which is not installed: pip install 'arbitrade[dask]'"
        ) from error
    return distributed
