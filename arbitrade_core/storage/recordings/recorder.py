"""Records what an engine is fed while it runs. Trading never waits: an input costs a list append.

On the trading loop, `Recorder` gathers inputs and asks feeds for the state of their books (`states`). Every 10 ms what
came goes to a thread, which encodes, compresses, and writes chunks to the database (`thread`). When that cannot follow,
or the database takes nothing, whole stretches are dropped and said: a `Gap` in the recording, a row, a counter, one
alert. When it can again, the state of all books follows.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import anyio.to_thread

from arbitrade_core.domain import Alert, Ns, Severity
from arbitrade_core.engine import Engine
from arbitrade_core.events import ConnId, Input, Opened
from arbitrade_core.recording.entries import Entry, Gap, Head, State, Via
from arbitrade_core.settings import RecordingSettings
from arbitrade_core.storage.connect import Database
from arbitrade_core.storage.recordings.delivery import SLOW, Delivery
from arbitrade_core.storage.recordings.states import States
from arbitrade_core.storage.recordings.thread import BATCH, RecorderThread

BATCH_S = 0.01
"""How long inputs wait to be handed to the thread together."""
FURTHEST_BEHIND = 50_000
"""Inputs that may wait for the thread: 25 s of 2,000 messages a second, some 20 MB."""
WAITING_BYTES = 32 << 20
"""Chunks that may wait for the database: some 8 minutes of such load."""
_TICK_S = 0.1


class Recorder:
    """One recording, from the start of an engine to its end. All methods are called on the trading loop."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        source: str,
        settings: RecordingSettings,
        *,
        clock: Callable[[], Ns],
        tell: Callable[[Alert], None],
        furthest_behind: int = FURTHEST_BEHIND,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._tell = tell
        self._furthest_behind = furthest_behind
        self._delivery = Delivery(database, source, settings, clock, waiting_bytes)
        self._thread = RecorderThread(settings, self._delivery)
        self._states = States(engine, settings.state_every_s)
        self._batch: list[Entry] = []
        self._flushing: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._since: Ns = 0
        """of the last entry that was handed over"""
        self._missing = 0
        """inputs dropped since then; 0: none is missing"""
        self._reason = ""
        """of the last inputs that were dropped"""
        self._told: set[str] = set()
        """topics of alerts in this episode"""
        self.dropped = 0
        """inputs that were not recorded, since the start"""

    # --- from start to end ---

    def begin(self, head: Head) -> None:
        """Right after the engine started; inputs may have been tapped before."""
        self._loop = asyncio.get_running_loop()
        self._since = head.started
        self._delivery.begin(head)
        self._thread.start()
        self._batch[:0] = self._vias(head.started)
        self._states.look()
        self._tick()

    async def finish(self) -> None:
        """Everything tapped is stored, if the database takes it within some seconds, and the recording is closed."""
        if self._loop is None:
            return
        for timer in (self._ticking, self._flushing):
            if timer is not None:
                timer.cancel()
        self.flush()
        await anyio.to_thread.run_sync(self._thread.finish, self._missing)

    # --- what happens ---

    def tap(self, event: Input) -> None:
        """Before the step of `event` (`shell.Tap`)."""
        batch = self._batch
        if type(event) is Opened:
            self._open(event.conn, event.now)
        batch.append(event)
        if self._flushing is None and self._loop is not None:
            self._flushing = self._loop.call_later(BATCH_S, self.flush)
        elif len(batch) >= BATCH:
            self.flush()

    def _open(self, conn: ConnId, now: Ns) -> None:
        feed = self._engine.feed_of(conn)
        if feed is not None:
            self._batch.append(Via(conn, feed.name, now))

    def flush(self) -> None:
        """Hand over what came, or drop it."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        batch = self._batch
        if not batch or self._loop is None:
            return
        self._batch = []
        full = self._delivery.full or (SLOW if self._thread.behind > self._furthest_behind else "")
        if full:
            self._drop(batch, full)
            return
        if self._missing:
            batch = self._resume(batch)
        self._since = batch[-1].now
        if not self._thread.hand(batch, self._states.carried):
            self._drop(batch, self._delivery.full)

    def _drop(self, batch: Sequence[Entry], reason: str) -> None:
        missing = sum(type(entry) is not State and type(entry) is not Via for entry in batch)
        self._missing += missing
        self.dropped += missing
        self._reason = reason
        if self._delivery.trouble:
            self._alert("recording.stopped", self._delivery.trouble)
        elif missing:
            text = f"inputs are not recorded any more, trading goes on: {reason}; the recording has a gap from here on"
            self._alert("recording.dropped", text)

    def _resume(self, batch: list[Entry]) -> list[Entry]:
        now = batch[0].now
        gap = Gap(self._since, now, self._missing, self._reason)
        text = f"inputs are recorded again; {self._missing} in {(now - self._since) / 1e9:.1f} s are missing"
        self._missing = 0
        self._told.clear()
        self._tell(Alert(Severity.INFO, "recording.back", text, self._clock()))
        self._states.start_over()
        return [gap, *self._vias(now), *batch]

    def _vias(self, now: Ns) -> list[Entry]:
        engine = self._engine
        return [
            Via(conn, port.feed.name, now) for port in engine.in_use.feeds for conn in engine.connections_of(port.feed)
        ]

    def _tick(self) -> None:
        """Now and then, between two steps."""
        assert self._loop is not None
        self._ticking = self._loop.call_later(_TICK_S, self._tick)
        delivery = self._delivery
        if delivery.trouble:
            self._alert("recording.stopped", delivery.trouble)
        elif self._told and not self._missing and not delivery.failing:
            self._told.clear()
        if not (self._missing or delivery.full):
            states = self._states.due(self._clock())
            if states:
                self._batch += states
        if self._batch and self._flushing is None:
            self.flush()

    def _alert(self, topic: str, text: str) -> None:
        """Once an episode; after the worse of the two the other one is no news."""
        if topic not in self._told and "recording.stopped" not in self._told:
            self._told.add(topic)
            self._tell(Alert(Severity.WARNING, topic, text, self._clock()))

    def view(self) -> dict[str, Any]:
        """For status: JSON-able."""
        totals, delivery = self._thread.totals, self._delivery
        return {
            "id": delivery.recording,
            "frames": totals.frames,
            "entries": totals.entries,
            "chunks": totals.chunks,
            "bytes": totals.bytes,
            "bytes_a_frame": round(totals.bytes / totals.frames, 1) if totals.frames else None,
            "dropped": self.dropped,
            "behind": self._thread.behind,
            "waiting_bytes": delivery.waiting_bytes,
            "failing": delivery.failing,
        }
