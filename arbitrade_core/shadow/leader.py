"""The bot's side: taps what its engine is fed, notes what it decides, and compares that with what the shadow says.

On the trading loop an input costs a list append; encoding, pipes and comparing are threads' work. The bot never waits:
when the shadow is too far behind it is ended, since a gap would make every later comparison meaningless.
"""

import asyncio
import os
import platform
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from arbitrade_core.composition import Loaded, Past
from arbitrade_core.control import Verbs
from arbitrade_core.domain import Alert, Ns, Severity
from arbitrade_core.errors import ControlError
from arbitrade_core.events import ConnId, Input
from arbitrade_core.inputs_codec import SCHEMA as INPUTS_SCHEMA
from arbitrade_core.journal import Record
from arbitrade_core.plugins import State
from arbitrade_core.settings.environment import as_text
from arbitrade_core.shadow.compare import Comparison, Reader
from arbitrade_core.shadow.process import FollowerProcess
from arbitrade_core.shadow.wire import (
    SCHEMA,
    Answer,
    Connected,
    Decided,
    Failed,
    Hello,
    Progress,
    Ready,
    Said,
    Started,
    Transmitted,
    Wrote,
)
from arbitrade_core.shell import JournalSink, Shell
from arbitrade_core.transport import Connection, Listener, Opener

BATCH = 128
"""Inputs that are handed to the writing thread together ..."""
BATCH_S = 0.01
"""... or as many as came in that time"""
FURTHEST_BEHIND = 50_000
"""Inputs that may wait for the shadow: 25 s of 2,000 messages a second, some 20 MB."""


class Shadow:
    """One shadow, from the start of the session to its end. All methods are called on the trading loop."""

    def __init__(self, python: Path, environment: Mapping[str, str], *, furthest_behind: int = FURTHEST_BEHIND) -> None:
        self.comparison = Comparison()
        self._furthest_behind = furthest_behind
        self._process = FollowerProcess(python, environment, self._answered, self._ended)
        self._lock = threading.Lock()
        """held by whoever reads or moves the comparison"""
        self._ready = Ready({})
        self._versions: dict[str, str] = {}
        self._progress: Progress | None = None
        self._reader = Reader()
        self._batch: list[Said] = []
        self._flushing: asyncio.TimerHandle | None = None
        self._seq = 0
        """the input whose step runs, or ran last"""
        self._handed = 0
        """inputs that the writing thread was given"""
        self._candidates: deque[tuple[int, int]] = deque()
        """(input, how many we had found after it) of each batch that is under way"""
        self._compared_candidates = 0
        self._wrote: dict[str, int] = {}
        self._shell: Shell | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told_divergence = False
        self._told_end = False

    @asynccontextmanager
    async def beside(self, hello: Hello, versions: dict[str, str]) -> AsyncIterator["Shadow"]:
        """Runs it for as long as the context lasts; waits at the start until it is ready, at the end for what it says.

        Raises:
            ArbitradeError: why it did not start.
        """
        self._versions = versions
        try:
            self._ready = await anyio.to_thread.run_sync(self._process.begin, hello, abandon_on_cancel=True)
            yield self
            self.flush()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._process.finish)

    # --- around the session ---

    def opener(self, open_connection: Opener) -> Opener:
        """Opens connections, and tells the shadow which, and what is sent on them."""

        def opened(conn: ConnId, url: str, listener: Listener) -> Connection:
            self._tell(Connected(conn, url))
            return _Overheard(open_connection(conn, url, listener), self._tell)

        return opened

    def attach(self, shell: Shell, journal: JournalSink | None) -> JournalSink | None:
        """From now on it is fed what the engine is. Called before the engine starts, which is to use this journal."""
        self._shell = shell
        self._loop = asyncio.get_running_loop()
        shell.tap(self.tap)
        if self._process.ended is not None:
            self._loop.call_soon(self._over)
        return None if journal is None else _Noted(journal, self._note)

    # --- what happens ---

    def tap(self, event: Input) -> None:
        """Before the step of `event`; every step before it is over."""
        if len(self._batch) >= BATCH:
            self.flush()
        if self._seq == 0:
            self._say_started()
        self._seq += 1
        self._tell(event)

    def flush(self) -> None:
        """Hand over what has come; must not be called while a step runs."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._shell is None or self._seq == 0:
            return  # the engine has not started, and that is what the shadow must hear first
        if not self._batch:
            return
        self._candidates.append((self._seq, self._shell.engine.candidates))
        self._handed = self._seq
        batch, self._batch = self._batch, []
        self._process.tell(batch)
        if self._handed - self._process.fed > self._furthest_behind:
            self._process.end(f"it fell behind by more than {self._furthest_behind} inputs")

    def _tell(self, told: Said) -> None:
        if self._process.ended is not None:
            return
        self._batch.append(told)
        if self._flushing is None and self._loop is not None:
            self._flushing = self._loop.call_later(BATCH_S, self.flush)

    def _say_started(self) -> None:
        """The engine has started when its first input comes, and keeps that time until then.

        What it asked for in the start is in the batch already; it comes after.
        """
        assert self._shell is not None
        self._batch.insert(0, Started(self._shell.engine.now))

    def _note(self, records: Sequence[Record]) -> None:
        """Our engine journals these in the step that runs."""
        if self._process.ended is not None:
            return
        self.comparison.bot(self._reader.read(records, self._seq))
        for stream, last in {record.stream: record.seq for record in records}.items():
            if last > self._wrote.get(stream, 0):
                self._wrote[stream] = last
                self._tell(Wrote(stream, last))

    # --- what the shadow says; on its reading thread ---

    def _answered(self, answer: Answer) -> None:
        match answer:
            case Decided(decisions):
                self.comparison.shadow(decisions)
            case Progress(seq):
                with self._lock:
                    self._progress = answer
                    self.comparison.settle(seq)
                    while self._candidates and self._candidates[0][0] <= seq:
                        self._compared_candidates = self._candidates.popleft()[1]
                if self.comparison.diverged and not self._told_divergence:
                    self._told_divergence = True
                    self._alert("shadow.diverged", self._words())
            case Failed(seq, reason):
                self._process.end(f"it failed at input {seq}: {reason}")
            case _:
                pass

    def _ended(self) -> None:
        """On any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over)

    def _over(self) -> None:
        """On the trading loop: nothing more is told to the shadow, and people hear of it once."""
        if self._told_end or self._shell is None:
            return
        self._told_end = True
        self._shell.untap(self.tap)
        self._batch.clear()
        text = f"the shadow ({self._process.python}) is no more: {self._process.ended}; the bot goes on"
        self._alert("shadow.ended", text)

    def _words(self) -> str:
        comparison = self.comparison
        share = comparison.same_share or 0.0
        return (
            f"the shadow ({self._process.python}) decides otherwise: {share:.1%} of {comparison.compared} decisions are"
            " the same; `arbitrade shadow status` shows which are not"
        )

    def _alert(self, topic: str, text: str) -> None:
        if self._loop is not None and self._shell is not None and not self._loop.is_closed():
            shell = self._shell
            alert = Alert(Severity.WARNING, topic, text, shell.clock())
            self._loop.call_soon_threadsafe(shell.notify, alert)

    # --- the report ---

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        with self._lock:
            progress, compared = self._progress, self.comparison.view()
        return {
            "python": str(self._process.python),
            "ended": self._process.ended,
            "bot_versions": self._versions,
            "shadow_versions": self._ready.versions,
            "plugins_missing": list(self._ready.missing),
            "plugins_extra": list(self._ready.extra),
            "unknown_settings": list(self._ready.unknown_settings),
            "inputs": self._seq,
            "behind": self._seq - compared["through_seq"],
            "candidates": {
                "bot": self._compared_candidates,
                "shadow": 0 if progress is None else progress.candidates,
            },
            "faults": {} if progress is None else dict(sorted(progress.faults.items())),
            "quarantined": {} if progress is None else progress.quarantined,
            "astray": {} if progress is None else msgspec.to_builtins(progress.astray),
            **compared,
        }


class _Overheard:
    """A connection whose messages the shadow hears of."""

    def __init__(self, connection: Connection, tell: Callable[[Said], None]) -> None:
        self._connection = connection
        self._tell = tell
        self.close = connection.close

    def send(self, data: bytes) -> None:
        self._tell(Transmitted(data))
        self._connection.send(data)


class _Noted:
    """A journal whose records are looked at on their way."""

    def __init__(self, sink: JournalSink, note: Callable[[Sequence[Record]], None]) -> None:
        self._sink = sink
        self._note = note
        self.run = sink.run
        self.drain = sink.drain

    def append(self, records: Sequence[Record]) -> None:
        self._note(records)
        self._sink.append(records)


def hello(loaded: Loaded, *, now: Ns, desk_id: str, system: str, halted: str | None, past: Past) -> Hello:
    plugins = {entry.name: entry.state is State.ENABLED for entry in loaded.catalogue.entries}
    return Hello(SCHEMA, INPUTS_SCHEMA, now, desk_id, system, halted, past, plugins)


def versions(loaded: Loaded) -> dict[str, str]:
    """Of everything that decides."""
    plugins = {f"plugin {entry.name}": entry.version for entry in loaded.catalogue.enabled()}
    return {"arbitrade": metadata.version("arbitrade"), "python": platform.python_version(), **plugins}


def environment(loaded: Loaded) -> dict[str, str]:
    """Ours, and as variables the overrides in force and what the session has changed, as the demo does."""
    given = loaded.settings.given
    overridden = {name: given.values[name] for name in given.overridden}
    plain = loaded.catalogue.settings()
    changed = {
        variable.name: as_text(loaded.settings.value(variable))
        for variable in plain.variables
        if variable in loaded.settings.variables and loaded.settings.value(variable) != plain.value(variable)
    }
    return {**os.environ, **overridden, **changed}


def offer_shadow_verb(verbs: Verbs, shadow: Shadow | None) -> None:
    """`shadow.status`: the report."""

    async def status(parameters: Mapping[str, Any], actor: str) -> Any:  # noqa: ARG001
        if shadow is None:
            raise ControlError("this bot has no shadow; start it with --shadow and the Python of another environment")
        return shadow.report()

    verbs.offer("shadow.status", status)
