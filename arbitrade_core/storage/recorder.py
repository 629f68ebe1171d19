"""Records what an engine is fed while it runs. Trading never waits: an input costs a list append.

On the trading loop, `Recorder` gathers inputs and asks feeds for the state of their books, a few at a time. Every 10 ms
what came goes to a thread, where `_Writer` encodes, compresses, and writes chunks to the database on an event loop of
its own. When that cannot follow, or the database takes nothing, whole stretches are dropped and said: a `Gap` in the
recording, a row, a counter, one alert. When it can again, the state of all books follows.
"""

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import anyio.to_thread
import asyncpg
import msgspec
import structlog

from arbitrade_core.domain import Alert, Ns, PairId, Severity
from arbitrade_core.engine import Engine
from arbitrade_core.errors import StorageError
from arbitrade_core.events import ConnId, Input, Opened
from arbitrade_core.in_use import FOREIGN
from arbitrade_core.recording.chunks import Encoder
from arbitrade_core.recording.entries import Chunk, Entry, Gap, Head, State, Via
from arbitrade_core.settings import RecordingSettings
from arbitrade_core.spi import Feed, Recordable
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database
from arbitrade_core.storage.recordings import days, writing
from arbitrade_core.storage.recordings.days import next_midnight
from arbitrade_core.storage.recordings.writing import Totals, plus

BATCH = 512
"""Inputs that are handed to the thread together ..."""
BATCH_S = 0.01
"""... or as many as came in that time"""
FURTHEST_BEHIND = 50_000
"""Inputs that may wait for the thread: 25 s of 2,000 messages a second, some 20 MB."""
WAITING_BYTES = 32 << 20
"""Chunks that may wait for the database: some 8 minutes of such load."""
_TICK_S = 0.1
_PAIRS_A_TICK = 8
"""Most books whose state is asked for at once: 50 us each, on the trading loop."""
_LOOK_EVERY = 10
"""ticks between two looks at what is listed and carried"""
_PIECE = 64
"""Entries that are encoded in one go: the other threads get their turn after it."""
_BREATH_S = 0.000_2
_COMMAND_S = 30.0
_FLUSH_S = 5.0
_BACKOFF_FIRST_S = 0.5
_BACKOFF_LAST_S = 10.0
_PRUNE_EVERY_S = 3_600.0
_SLOW = "the recorder's thread is too far behind"

_log = structlog.get_logger(__name__)


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
        self._writer = _Writer(database, source, settings, clock, waiting_bytes)
        self._states = _States(engine, settings.state_every_s)
        self._batch: list[Entry] = []
        self._flushing: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._since: Ns = 0
        """of the last entry that was handed over"""
        self._missing = 0
        """inputs dropped since then; 0: none is missing"""
        self._told = False
        self.dropped = 0
        """inputs that were not recorded, since the start"""

    # --- from start to end ---

    def begin(self, head: Head) -> None:
        """Right after the engine started; inputs may have been tapped before."""
        self._loop = asyncio.get_running_loop()
        self._since = head.started
        self._writer.begin(head)
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
        await anyio.to_thread.run_sync(self._writer.finish, self._missing)

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
        writer = self._writer
        full = writer.full or (_SLOW if writer.behind > self._furthest_behind else "")
        if full:
            self._drop(batch, full)
            return
        if self._missing:
            batch = self._resume(batch)
        self._since = batch[-1].now
        if not writer.hand(batch, self._states.carried):
            self._drop(batch, writer.full)

    def _drop(self, batch: Sequence[Entry], reason: str) -> None:
        missing = sum(type(entry) is not State and type(entry) is not Via for entry in batch)
        self._missing += missing
        self.dropped += missing
        self._reason = reason
        if self._writer.trouble:
            self._alert("recording.stopped", self._writer.trouble)
        elif missing:
            text = f"inputs are not recorded any more, trading goes on: {reason}; the recording has a gap from here on"
            self._alert("recording.dropped", text)

    def _resume(self, batch: list[Entry]) -> list[Entry]:
        now = batch[0].now
        gap = Gap(self._since, now, self._missing, self._reason)
        text = f"inputs are recorded again; {self._missing} in {(now - self._since) / 1e9:.1f} s are missing"
        self._missing = 0
        self._told = False
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
        writer = self._writer
        if writer.trouble:
            self._alert("recording.stopped", writer.trouble)
        elif self._told and not self._missing and not writer.failing:
            self._told = False
        if not (self._missing or writer.full):
            states = self._states.due(self._clock())
            if states:
                self._batch += states
        if self._batch and self._flushing is None:
            self.flush()

    def _alert(self, topic: str, text: str) -> None:
        """One of an episode."""
        if not self._told:
            self._told = True
            self._tell(Alert(Severity.WARNING, topic, text, self._clock()))

    def view(self) -> dict[str, Any]:
        """For status: JSON-able."""
        writer = self._writer
        return {
            "id": writer.recording,
            "frames": writer.totals.frames,
            "entries": writer.totals.entries,
            "chunks": writer.totals.chunks,
            "bytes": writer.totals.bytes,
            "bytes_a_frame": round(writer.totals.bytes / writer.totals.frames, 1) if writer.totals.frames else None,
            "dropped": self.dropped,
            "behind": writer.behind,
            "waiting_bytes": writer.waiting_bytes,
            "failing": writer.failing,
        }


class _States:
    """What feeds would say if they were asked now, a few books at a time: all of them once in `every_s`."""

    def __init__(self, engine: Engine, every_s: float) -> None:
        self.carried: tuple[str, ...] = ()
        """symbols, sorted"""
        self._engine = engine
        self._every_s = every_s
        self._feeds: list[tuple[Feed, Recordable]] = []
        self._pairs: list[PairId] = []
        """whose books are carried"""
        self._waiting: deque[PairId] = deque()
        """of this round"""
        self._round: Ns = 0
        self._asked: Ns = 0
        self._owed = 0.0
        self._listed: list[Any] = []
        self._list = True
        self._hurry = False
        self._ticks = 0
        self._failed: set[str] = set()

    def look(self) -> None:
        """What is there to ask for."""
        market = self._engine.market
        feeds = [port.feed for port in self._engine.in_use.feeds]
        self._feeds = [(feed, feed) for feed in feeds if isinstance(feed, Recordable) and feed.name not in self._failed]
        pairs = [pair for pair in range(len(market.pairs)) if market.carrier(pair) is not None]
        if pairs != self._pairs:  # a pair keeps its number and its symbol
            self._pairs = pairs
            self.carried = tuple(sorted(market.pairs[pair].symbol for pair in pairs))
        if self._listed != market.pairs:
            self._listed = list(market.pairs)
            self._list = True

    def start_over(self) -> None:
        """A reader knows nothing any more: everything, as fast as may be."""
        self._round = 0
        self._waiting.clear()
        self._hurry = True

    def due(self, now: Ns) -> list[Entry]:
        self._ticks += 1
        if self._ticks % _LOOK_EVERY == 0:
            self.look()
        since, self._asked = self._asked or now, now
        if not self._waiting and now >= self._round + int(self._every_s * 1e9):
            self._round = now
            self._owed = 0.0
            self._list = True
            self._waiting = deque(self._pairs)
        if self._list:
            self._list = False
            return self._of((), now) if self._listed else []
        if not self._waiting:
            self._hurry = False
            return []
        # A tenth faster than needed, so that a round is over before the next one begins.
        self._owed += 1.1 * len(self._pairs) * (now - since) / (self._every_s * 1e9)
        count = _PAIRS_A_TICK if self._hurry else min(int(self._owed), _PAIRS_A_TICK)
        self._owed -= min(self._owed, count)
        pairs = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        return self._of(pairs, now) if pairs else []

    def _of(self, pairs: Sequence[PairId], now: Ns) -> list[Entry]:
        states: list[Entry] = []
        market, feed_of = self._engine.market, self._engine.feed_of
        for feed, recordable in self._feeds:
            own = [pair for pair in pairs if (conn := market.carrier(pair)) is not None and feed_of(conn) is feed]
            if pairs and not own:
                continue
            try:
                states += [State(conn, data, now) for conn, data in recordable.state(own, now)]
            except FOREIGN:  # its frames are recorded all the same: only who begins in the middle misses something
                _log.exception("a feed cannot tell its state; recordings of it can be read from the start only")
                self._failed.add(feed.name)
        self._feeds = [(feed, one) for feed, one in self._feeds if feed.name not in self._failed]
        return states


class _Writer:
    """The thread: entries in, chunks in the database. What others read are single values."""

    def __init__(
        self,
        database: Database,
        source: str,
        settings: RecordingSettings,
        clock: Callable[[], Ns],
        most_waiting_bytes: int,
    ) -> None:
        self.full = ""
        """why nothing more is taken; empty: it is"""
        self.failing = ""
        """why nothing is being written; empty while it is"""
        self.trouble = ""
        """what people should hear at once"""
        self.totals = Totals()
        """of the chunks that are made"""
        self.recording: int | None = None
        """its id, once the database knows it"""
        self.waiting_bytes = 0
        self._database = database
        self._source = source
        self._settings = settings
        self._clock = clock
        self._most_waiting_bytes = most_waiting_bytes
        self._handed = 0
        self._taken = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._ready = threading.Event()
        self._head: Head | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._missing_at_end = 0
        self._given_up = False
        self._encoder = Encoder()
        self._start_ns: Ns = 0
        self._end_ns: Ns = 0
        self._midnight: Ns = 0
        self._gaps: list[Gap] = []
        self._pairs: dict[tuple[str, ...], None] = {}
        self._cutting: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[Chunk, Totals, list[Gap]]] = deque()
        self._connection: Connection | None = None
        self._held = False
        self._stored = Totals()

    @property
    def behind(self) -> int:
        """Entries that wait for the thread."""
        return self._handed - self._taken

    # --- on the trading loop ---

    def begin(self, head: Head) -> None:
        self._head = head
        self._thread.start()
        self._ready.wait()

    def hand(self, batch: list[Entry], carried: tuple[str, ...]) -> bool:
        """Whether it is taken; it is not when the thread is no more."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._take, batch, carried)
        except RuntimeError as error:
            self._give_up(error)
            return False
        self._handed += len(batch)
        return True

    def finish(self, missing: int) -> None:
        """On any thread but ours; returns when it is over. `missing`: inputs dropped at the very end."""
        self._missing_at_end = missing
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself, and said so
                self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(4 * _FLUSH_S)

    # --- on the thread ---

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception as error:  # noqa: BLE001 - whatever it is, trading goes on and people hear that nothing is recorded
            _log.exception("the recorder ended")
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self._given_up = True
        self.full = self.failing = f"{type(error).__name__}: {error}"
        self.trouble = f"nothing is recorded any more, until a restart: {self.full}"

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        writing = asyncio.create_task(self._write_on())
        over = asyncio.create_task(self._over.wait())
        await asyncio.wait({writing, over}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            over.cancel()
            writing.result()
        self._cut()
        ending = time.monotonic() + _FLUSH_S
        while self._waiting and time.monotonic() < ending:  # noqa: ASYNC110 - either ends it
            await asyncio.sleep(0.01)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self._close()
        except (*UNAVAILABLE, StorageError) as error:
            _log.warning("the recording could not be closed; the next one closes it", reason=str(error))
        finally:
            self._disconnect()

    def _take(self, batch: list[Entry], carried: tuple[str, ...]) -> None:
        if self._given_up:
            return
        try:
            self._pairs[carried] = None
            entries = iter(batch)
            while piece := list(islice(entries, _PIECE)):
                if piece[-1].now >= self._midnight or not self._encoder.entries:
                    self._add_by_day(piece)
                else:
                    self._add(piece)
                if self.behind > BATCH:
                    time.sleep(_BREATH_S)  # lets go of the interpreter, which yields to a waiting trading loop at once
        except Exception as error:  # noqa: BLE001 - an input that cannot be written is a bug; trading goes on
            self._spoil(error)
        self._taken += len(batch)

    def _spoil(self, error: Exception) -> None:
        """The encoder may hold half an entry; what was stored before is sound."""
        _log.error("an entry cannot be recorded", exc_info=error)
        self._encoder = Encoder()
        self._give_up(error)

    def _add_by_day(self, piece: Iterable[Entry]) -> None:
        """A chunk never spans midnight."""
        for entry in piece:
            if self._encoder.entries and entry.now >= self._midnight:
                self._cut()
            if not self._encoder.entries:
                self._start_ns = entry.now
                self._midnight = next_midnight(entry.now)
                assert self._loop is not None
                self._cutting = self._loop.call_later(self._settings.chunk_s, self._cut)
            self._add([entry])

    def _add(self, piece: Sequence[Entry]) -> None:
        self._encoder.add(piece)
        self._end_ns = max(self._start_ns, piece[-1].now)
        self._gaps += [entry for entry in piece if type(entry) is Gap]
        if self._encoder.size >= self._settings.chunk_mb * 1_000_000:
            self._cut()

    def _cut(self) -> None:
        """What came so far is a chunk."""
        if self._cutting is not None:
            self._cutting.cancel()
            self._cutting = None
        encoder = self._encoder
        if not encoder.entries:
            return
        self._encoder = Encoder()
        try:
            data = encoder.finish(lambda: time.sleep(_BREATH_S))
        except Exception as error:  # noqa: BLE001 - likewise
            self._spoil(error)
            return
        symbols = sorted({symbol for carried in self._pairs for symbol in carried})
        last = next(reversed(self._pairs), ())
        self._pairs = {last: None}
        chunk = Chunk(
            recording=0,
            number=self.totals.chunks,
            start_ns=self._start_ns,
            end_ns=self._end_ns,
            entries=encoder.entries,
            frames=encoder.frames,
            pairs=tuple(symbols),
            sha256=hashlib.sha256(data).digest(),
            data=data,
        )
        gaps, self._gaps = self._gaps, []
        self.totals = plus(self.totals, chunk, gaps)
        self._waiting.append((chunk, self.totals, gaps))
        self.waiting_bytes += len(data)
        self._measure()
        self._wake.set()

    def _measure(self) -> None:
        if self.waiting_bytes > self._most_waiting_bytes:
            self.full = self.failing or "the database takes chunks too slowly"
        elif self.full and not self._given_up and self.waiting_bytes <= self._most_waiting_bytes / 2:
            self.full = ""

    # --- to the database ---

    async def _write_on(self) -> None:
        backoff_s = _BACKOFF_FIRST_S
        prune_at = 0.0
        while True:
            try:
                if self._connection is None:
                    await self._connect()
                if time.monotonic() >= prune_at:
                    prune_at = time.monotonic() + _PRUNE_EVERY_S
                    await self._prune()
                while self._waiting:
                    await self._write(*self._waiting[0])
                    self._waiting.popleft()
                    self.waiting_bytes = sum(len(chunk.data) for chunk, _, _ in self._waiting)
                    self._succeeded()
            except (*UNAVAILABLE, StorageError) as error:
                self._failed(error)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _BACKOFF_LAST_S)
            else:
                backoff_s = _BACKOFF_FIRST_S
                self._succeeded()
                self._wake.clear()
                if not self._waiting:
                    await self._wake.wait()

    async def _connect(self) -> None:
        connecting = asyncio.ensure_future(
            self._database.connect(application="arbitrade recorder", command_timeout_s=_COMMAND_S)
        )
        try:
            connection = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # Given up half way it would stay open: it comes to its end first, as its own timeouts want it.
            with suppress(*UNAVAILABLE, StorageError):
                (await connecting).terminate()
            raise
        try:
            assert self._head is not None
            if self.recording is None:
                every_s = self._settings.state_every_s
                self.recording = await writing.begin(connection, self._source, self._head, every_s)
                self._held = True
            else:
                self._held = await writing.hold(connection, self.recording)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    async def _write(self, chunk: Chunk, totals: Totals, gaps: Sequence[Gap]) -> None:
        assert self._connection is not None
        assert self.recording is not None
        if not self._held:  # the server may not have known yet that our last session was dead
            self._held = await writing.hold(self._connection, self.recording)
        async with asyncio.timeout(2 * _COMMAND_S):
            whole = msgspec.structs.replace(chunk, recording=self.recording)
            await writing.append(self._connection, whole, totals, gaps)
        self._stored = totals

    async def _close(self) -> None:
        if self._connection is None:
            await self._connect()
        assert self._connection is not None
        assert self.recording is not None
        missing = self._missing_at_end + self._handed - self._stored.entries
        note = f"{missing} inputs at its end are missing: {self.failing or self.full or _SLOW}" if missing else ""
        totals = msgspec.structs.replace(self._stored, dropped=self._stored.dropped + missing)
        await writing.end(self._connection, self.recording, totals, note)

    async def _prune(self) -> None:
        assert self._connection is not None
        pruned = await days.prune(
            self._connection,
            now_ns=self._clock(),
            keep_days=self._settings.keep_days,
            max_gb=float(self._settings.max_gb),
        )
        if pruned.dropped or pruned.held:
            _log.info(
                "old recordings pruned",
                days=[str(day) for day, _ in pruned.dropped],
                kept=[f"{day}: {why}" for day, why in pruned.held],
                freed_mb=pruned.freed_bytes // 1_000_000,
            )

    def _failed(self, error: BaseException) -> None:
        self._disconnect()
        reason = str(error) or type(error).__name__
        if not self.failing:
            _log.warning("the recording is not written", reason=reason, waiting=len(self._waiting))
        self.failing = reason
        causes = (error, error.__cause__)
        if any(isinstance(cause, asyncpg.DiskFullError) for cause in causes):
            self.trouble = (
                f"the disk of the database is full ({reason}): recording stops when {self._most_waiting_bytes >> 20} MB"
                " wait, and goes on when there is room; trading goes on"
            )

    def _succeeded(self) -> None:
        if self.failing and not self._given_up:
            _log.info("the recording is written again")
            self.failing = self.trouble = ""
        self._measure()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
