"""The shell around the engine: moves bytes, commits, and sleeps until the deadline it is given. It knows no rule."""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import anyio
import structlog

from arbitrade_core.clock import NEVER
from arbitrade_core.domain import Alert, FeeSnapshot, Ns, Pair, Severity
from arbitrade_core.engine import Engine
from arbitrade_core.errors import SettingsError, StorageError
from arbitrade_core.events import (
    Appearance,
    Append,
    Closed,
    Command,
    Connect,
    ConnId,
    Disconnect,
    Drain,
    Durable,
    FeesLoaded,
    Frame,
    Input,
    JournalBack,
    JournalLost,
    Notify,
    Observe,
    Opened,
    PluginFaulted,
    Quarantined,
    Send,
    Tick,
    Transmit,
    WantFees,
)
from arbitrade_core.journal import Record
from arbitrade_core.meter import Meter
from arbitrade_core.parts import Part
from arbitrade_core.spi import Notifier
from arbitrade_core.telemetry import Latency
from arbitrade_core.transport import Connection, Opener

_log = structlog.get_logger(__name__)

DRAIN_S = 5.0
"""How long open plans may take to end at a clean stop; what is open then is told and found again at the next start."""
FLUSH_S = 5.0
OFFER_AGAIN_S = 0.5
FEES_EVERY_S = 3600.0
_GC_PAUSE_S = 1.0
_FULL_GC_EVERY = 120


type Tap = Callable[[Input], None]
"""Told an input before its step, on the trading loop; returns at once."""


class JournalSink(Protocol):
    """Where `Append` goes. Answers through the callable it was made with: Durable, JournalLost, JournalBack."""

    def append(self, records: Sequence[Record]) -> None:
        """Take the records without waiting. Raises StorageError when it cannot: they are offered again later."""
        ...

    async def run(self) -> None: ...
    async def drain(self, timeout_s: float) -> bool:
        """Wait until everything taken is on disk; False when it is not by then."""
        ...


class ObservationSink(Protocol):
    """Where appearances go: lossy, never waits."""

    def offer(self, appearances: Sequence[Appearance]) -> None: ...
    async def run(self) -> None: ...
    async def drain(self, timeout_s: float) -> bool: ...


class MemoryJournal:
    """For sessions that trade nothing and keep nothing: everything is durable at once."""

    def __init__(self, emit: Callable[[Input], None], clock: Callable[[], Ns]) -> None:
        self._emit = emit
        self._clock = clock

    def append(self, records: Sequence[Record]) -> None:
        loop = asyncio.get_running_loop()
        for stream, seq in {record.stream: record.seq for record in records}.items():
            loop.call_soon(self._emit, Durable(stream, seq, self._clock()))

    async def run(self) -> None:
        await anyio.sleep_forever()

    async def drain(self, timeout_s: float) -> bool:
        return True


class NoObservations:
    def offer(self, appearances: Sequence[Appearance]) -> None:
        """Nobody keeps them."""

    async def run(self) -> None:
        await anyio.sleep_forever()

    async def drain(self, timeout_s: float) -> bool:
        return True


class Shell:
    """One engine on one event loop. `transport.Listener` for its connections."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], Ns],
        open_connection: Opener,
        fees: Callable[[Sequence[Pair], Ns], FeeSnapshot],
        *,
        notifiers: Sequence[Notifier] = (),
        meter: Meter | None = None,
    ) -> None:
        """`fees` raises SettingsError when nothing says what they are: then nothing trades, and that is said once."""
        self.engine = engine
        self.clock = clock
        self.decision = Latency()
        """bytes in -> decision out, per frame"""
        self.priced = Latency()
        """the same, of frames that had a candidate to price alone"""
        self.alerts: list[Alert] = []
        """the newest, oldest first, for the terminal"""
        self.connection_faults: dict[str, int] = {}
        self.last_connection_fault = ""
        self.fees_missing = ""
        """why there are no fees, when there are none"""
        self._open_connection = open_connection
        self._fees = fees
        self.notifiers = list(notifiers)
        self.meter = meter or Meter()
        engine.measure(self.meter)
        self.on_quarantined: Callable[[Quarantined], None] = lambda command: None
        """told what the engine took out of use"""
        self.on_notifier_failed: Callable[[Notifier, BaseException], None] = lambda notifier, error: None
        self.on_records: Callable[[Sequence[Record]], None] = lambda records: None
        """told what goes to the journal, before it does"""
        self.owner_of: Callable[[Part, str], str | None] = engine.in_use.plugin_of
        """whose object it is"""
        self._taps: tuple[Tap, ...] = ()
        self.beats = 0
        """goes up as long as the trading loop runs"""
        self._connections: dict[ConnId, Connection] = {}
        self._armed: Ns = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._journal: JournalSink = MemoryJournal(self.take, clock)
        self._observations: ObservationSink = NoObservations()
        self.stopped = anyio.Event()
        self.books_live_at_stop: int | None = None
        self._refused: list[Record] = []
        self._running = False

    async def run(
        self,
        stop: anyio.Event,
        journal: JournalSink | None,
        observations: ObservationSink | None,
        started: Callable[[], None],
    ) -> None:
        """Start the engine and run until `stop`; then drain open plans, flush, and close the connections."""
        self._journal = journal or self._journal
        self._observations = observations or self._observations
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._journal.run)
                tasks.start_soon(self._observations.run)
                tasks.start_soon(self._collect_when_idle)
                tasks.start_soon(self._refresh_fees)
                self._running = True
                self._carry_out(self.engine.start(self.clock()))
                self._arm()
                started()
                await stop.wait()
                await self._wind_down()
                tasks.cancel_scope.cancel()
        finally:
            self.stopped.set()

    def take(self, event: Input) -> None:
        """Give the engine one input and carry out what it asks."""
        for tap in self._taps:
            tap(event)
        commands = self.engine.step(event)
        if commands:
            self._carry_out(commands)
        if self.engine.deadline != self._armed:
            self._arm()

    def tap(self, tap: Tap) -> None:
        """From now on it is told every input, in the order in which the engine takes it."""
        self._taps += (tap,)

    def untap(self, tap: Tap) -> None:
        self._taps = tuple(known for known in self._taps if known != tap)

    # --- transport.Listener ---

    def on_frame(self, conn: ConnId, data: bytes) -> None:
        candidates = self.engine.candidates
        began = time.perf_counter_ns()
        frame = Frame(conn, data, self.clock())
        for tap in self._taps:
            tap(frame)
        commands = self.engine.step(frame)
        took_ns = time.perf_counter_ns() - began
        self.decision.record(took_ns)
        if self.engine.candidates != candidates:
            self.priced.record(took_ns)
        if commands:
            self._carry_out(commands)
        if self.engine.deadline != self._armed:
            self._arm()

    def on_open(self, conn: ConnId) -> None:
        self.take(Opened(conn, self.clock()))

    def on_close(self, conn: ConnId, code: int, reason: str) -> None:
        # Also called from inside `close`, so from inside carrying out: the engine hears of it afterwards.
        wanted = self._connections.pop(conn, None) is not None
        if wanted and self._running:
            self.connection_faults[reason] = self.connection_faults.get(reason, 0) + 1
            self.last_connection_fault = reason
            if self.connection_faults[reason] == 1:
                _log.warning("connection lost; it is tried again at the pace the exchange allows", reason=reason)
        asyncio.get_running_loop().call_soon(self._closed, conn, code, reason)

    def _closed(self, conn: ConnId, code: int, reason: str) -> None:
        if self._running:
            self.take(Closed(conn, code, reason, self.clock()))

    # --- commands ---

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Transmit(conn, data):
                    connection = self._connections.get(conn)
                    if connection is not None:
                        connection.send(data)
                case Append(records):
                    self.on_records(records)
                    self._append(records)
                case Send():
                    # The desk's venue has it already; one that is not inside the engine sends with Transmit.
                    pass
                case Observe(appearances):
                    self._observations.offer(appearances)
                case WantFees():
                    asyncio.get_running_loop().call_soon(self._load_fees)
                case Notify(alert):
                    self.notify(alert)
                case Quarantined():
                    # What the catalogue does about it may lead to inputs, so it comes after this step.
                    asyncio.get_running_loop().call_soon(self.on_quarantined, command)
                case Connect(conn, url):
                    self._connections[conn] = self._open_connection(conn, url, self)
                case Disconnect(conn):
                    connection = self._connections.pop(conn, None)
                    if connection is not None:
                        connection.close()

    def _append(self, records: Sequence[Record]) -> None:
        """Records that the journal cannot take are kept, since their numbers must follow, and offered again."""
        full = bool(self._refused)
        self._refused += records
        try:
            self._journal.append(self._refused)
        except StorageError as error:
            loop = asyncio.get_running_loop()
            if not full:
                loop.call_soon(self.take, JournalLost(str(error), self.clock()))
                loop.call_later(OFFER_AGAIN_S, self._offer_refused)
        else:
            self._refused.clear()
            if full:
                asyncio.get_running_loop().call_soon(self.take, JournalBack(self.clock()))

    def _offer_refused(self) -> None:
        """Nothing new may come that would offer them: what waits for the journal is among them."""
        if self._refused and self._running:
            self._append(())
        if self._refused and self._running:
            asyncio.get_running_loop().call_later(OFFER_AGAIN_S, self._offer_refused)

    def _load_fees(self) -> None:
        now = self.clock()
        try:
            fees = self._fees(self.engine.market.pairs, now)
        except SettingsError as error:
            if not self.fees_missing:
                self.notify(Alert(Severity.WARNING, "fees.missing", str(error), now))
            self.fees_missing = str(error)
            return
        self.fees_missing = ""
        for desk in self.engine.desks:
            self.take(FeesLoaded(desk.id, fees, now))

    async def _refresh_fees(self) -> None:
        """Fees grow old even when no listing changes."""
        while True:
            await anyio.sleep(FEES_EVERY_S)
            self._load_fees()

    def notify(self, alert: Alert) -> None:
        """Tell everybody who is to be told; none of them can hold up or break anything."""
        self.alerts.append(alert)
        del self.alerts[:-50]
        for notifier in list(self.notifiers):
            try:
                began = self.meter.cpu_ns()
                notifier.send(alert)
                self.meter.charge(Part.NOTIFIER, notifier.name, self.meter.cpu_ns() - began)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a notifier is somebody's code; trading goes on without it
                _log.exception("notifier failed", notifier=notifier.name)
                asyncio.get_running_loop().call_soon(self.on_notifier_failed, notifier, error)

    # --- time ---

    def _arm(self) -> None:
        self._armed = deadline = self.engine.deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline != NEVER and self._running:
            delay_s = max(0, deadline - self.clock()) / 1e9
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._due)

    def _due(self) -> None:
        self._timer = None
        self._armed = NEVER
        self.take(Tick(self.clock()))

    async def _collect_when_idle(self) -> None:
        """Garbage collection at idle points, not in the middle of a frame (DESIGN 4)."""
        gc.collect()
        gc.freeze()
        gc.disable()
        rounds = 0
        try:
            while True:
                await anyio.sleep(_GC_PAUSE_S)
                rounds += 1
                self.beats += 1
                self._judge()
                gc.collect(2 if rounds % _FULL_GC_EVERY == 0 else 1)
        finally:
            gc.enable()
            gc.unfreeze()

    def _judge(self) -> None:
        """Who was over budget is out (DESIGN 3: measured here, decided in the engine)."""
        now = self.clock()
        for over in self.meter.judge(now):
            plugin = self.owner_of(over.kind, over.name)
            if plugin is not None:
                self.take(PluginFaulted(plugin, over.kind.value, over.name, over.reason, now))

    # --- the end ---

    async def _wind_down(self) -> None:
        self.take(Drain(self.clock()))
        with anyio.move_on_after(DRAIN_S):
            while any(desk.open_plans for desk in self.engine.desks):  # noqa: ASYNC110 - many ends, none has an event
                await anyio.sleep(0.02)
        self.books_live_at_stop = len(self.engine.market.in_use())
        self._carry_out(self.engine.stop(self.clock()))
        await self._journal.drain(FLUSH_S)
        await self._observations.drain(FLUSH_S)
        self._running = False
        self._arm()
        for connection in list(self._connections.values()):
            connection.close()
        self._connections.clear()
