"""The running bot, by mode: database, plugins, engine, services and control put up and taken down in order.

Only this module and the command line know modes. The order is that of DESIGN 3: core settings, database and its
migrations, what was last said of each plugin, import, all settings together, the plugins' migrations, registration.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import structlog
from anyio.abc import TaskStatus

from arbitrade_core.backtests.service import beside as backtests_beside
from arbitrade_core.clock import WallClock
from arbitrade_core.composition import Adjust, Loaded, Overrides, Past, compose, core_settings, load, overriding
from arbitrade_core.control import Verbs, control_file, serve
from arbitrade_core.desk import Desk
from arbitrade_core.domain import Alert, Ns, Severity
from arbitrade_core.engine import SYSTEM_STREAM, Engine
from arbitrade_core.events import Durable, JournalBack, JournalLost, PairsEnabled, PluginFaulted, Resume
from arbitrade_core.host import PluginHost, Services, offer_core_verbs
from arbitrade_core.host.halt_file import HaltFile
from arbitrade_core.host.overrides import RunningSettings, offer_settings_verbs
from arbitrade_core.host.recorded import head
from arbitrade_core.host.summary import daily
from arbitrade_core.host.watchdog import Hang, Watchdog, forget_hang, last_hang, owner_of_files
from arbitrade_core.meter import Meter
from arbitrade_core.mode import Mode
from arbitrade_core.planning import base36
from arbitrade_core.plugins import State, Toggle
from arbitrade_core.plugins.catalogue import installed, settle_needs
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.settings import CoreSettings
from arbitrade_core.shadow.leader import Shadow, environment, hello, offer_shadow_verb, versions
from arbitrade_core.shell import JournalSink, Shell
from arbitrade_core.storage.connect import DEMO_DATABASE, Database, configured, open_database
from arbitrade_core.storage.journal_store import JournalWriter
from arbitrade_core.storage.migrations import core_migrations, migrate, read
from arbitrade_core.storage.observations import ObservationWriter
from arbitrade_core.storage.overrides import Kept, newest
from arbitrade_core.storage.past import recover
from arbitrade_core.storage.recordings.recorder import Recorder
from arbitrade_core.storage.system_state import SystemState, system_state
from arbitrade_core.transport import opener

_log = structlog.get_logger(__name__)

REPEATED_S = 1.0
LISTENING = {Mode.SCAN: "a scan only looks", Mode.RECORD: "a recording only listens"}
"""Modes that trade nothing, and why; they are not reached by other processes, nor watched."""


@dataclass(frozen=True, slots=True)
class Session:
    """A running bot, for whoever shows it."""

    mode: Mode
    loaded: Loaded
    shell: Shell
    desk: Desk
    """the first; shadows stand behind it in `engine.desks`"""
    database: Database | None
    observations: ObservationWriter | None
    plugins: PluginHost
    verbs: Verbs
    shadow: Shadow | None = None
    """another version beside it"""
    recorder: Recorder | None = None

    @property
    def engine(self) -> Engine:
        return self.shell.engine


@asynccontextmanager
async def session(
    mode: Mode,
    *,
    adjust: Adjust | None = None,
    resume: bool = False,
    status: Callable[[Session], Mapping[str, Any]] | None = None,
    shadow: Path | None = None,
    record: bool | None = None,
) -> AsyncIterator[Session]:
    """A running bot: books filling, paper desk trading; leaves cleanly, plans drained and journal flushed.

    What halted stays halted over restarts; `resume` is the operator's word that it may go on. `status` is what the bot
    answers to whoever asks how it is. `shadow` is the Python of another environment, whose bot runs beside this one.
    `record`: whether everything that it is fed is recorded; None: as the settings say.

    Raises:
        ArbitradeError: whatever keeps it from starting.
    """
    clock = WallClock()
    async with AsyncExitStack() as stack:
        ready = await _prepare(stack, mode, adjust, clock)
        core = ready.loaded.core
        halted = LISTENING.get(mode, ready.state.halted)
        engine = compose(ready.setup, now=ready.now, system=ready.system, past=ready.past, halted=halted)
        meter = Meter(share=core.isolation.budget_share, window_s=core.isolation.budget_window_s)
        beside = None if shadow is None else await stack.enter_async_context(_beside(shadow, ready, halted))
        opened = opener() if beside is None else beside.opener(opener())
        shell = ready.relay.shell = Shell(engine, clock, opened, ready.setup.fees, meter=meter)
        if ready.halts is not None:
            shell.on_records = ready.halts.note
        kept = None if mode is Mode.RECORD else ready.database
        observations = None if kept is None else ObservationWriter(kept, engine.desks[0].id)
        recorder = _recorder(mode, record, ready, shell)
        await stack.enter_async_context(_backtests(mode, ready, shell))
        verbs, stop = Verbs(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            services = Services(tasks, verbs, shell.notify, clock, kept)
            host = PluginHost(ready.setup, shell, services, kept)
            running = Session(
                mode, ready.loaded, shell, engine.desks[0], ready.database, observations, host, verbs, beside, recorder
            )
            offer_core_verbs(verbs, shell, host, partial(status, running) if status else dict)
            offer_shadow_verb(verbs, beside)
            if ready.database is not None:
                offer_settings_verbs(verbs, RunningSettings(ready.setup, shell, ready.database, ready.overrides))
            await host.start()
            journal = ready.writer if beside is None else beside.attach(shell, ready.writer)
            begin = partial(_begin_recording, recorder, ready, engine, halted)
            await tasks.start(_serve, shell, stop, journal, observations, begin)
            host.started()
            _tell_start(running, ready, resume)
            if status is not None:
                tasks.start_soon(daily, shell, partial(status, running))
            try:
                async with _guarded(running):
                    yield running
            finally:
                with anyio.CancelScope(shield=True):
                    stop.set()
                    await shell.stopped.wait()
                    if recorder is not None:
                        await recorder.finish()
                    await host.end()
                tasks.cancel_scope.cancel()


def _recorder(mode: Mode, record: bool | None, ready: "_Ready", shell: Shell) -> Recorder | None:
    """It hears everything that the engine is fed, from the start."""
    settings = ready.loaded.core.recording
    wanted = settings.enabled if record is None else record
    if ready.database is None or not (wanted or mode is Mode.RECORD):
        return None
    source = "run" if mode is Mode.PAPER else mode.value
    recorder = Recorder(ready.database, shell.engine, source, settings, clock=shell.clock, tell=shell.notify)
    shell.tap(recorder.tap)
    return recorder


def _backtests(mode: Mode, ready: "_Ready", shell: Shell) -> AbstractAsyncContextManager[None]:
    """The queue of backtests is worked off beside a bot, in a process of its own."""
    database = ready.database if mode is Mode.PAPER else None
    return backtests_beside(database, ready.loaded.core.backtest, shell.notify, shell.clock)


def _begin_recording(recorder: Recorder | None, ready: "_Ready", engine: Engine, halted: str | None) -> None:
    """The engine has just started, and keeps that time until its first input."""
    if recorder is not None:
        recorder.begin(
            head(
                ready.loaded,
                started=engine.now,
                composed=ready.now,
                desk_id=next(iter(ready.setup.desks)),
                system=ready.system,
                halted=halted,
                past=ready.past,
            )
        )


@dataclass(frozen=True, slots=True)
class _Ready:
    """Everything that is there before the engine is."""

    loaded: Loaded
    setup: Setup
    now: Ns
    system: str
    relay: "_Relay"
    database: Database | None = None
    writer: JournalWriter | None = None
    state: SystemState = field(default_factory=SystemState)
    past: Past = field(default_factory=Past)
    hang: Hang | None = None
    problems: tuple[str, ...] = ()
    """plugins that are out of use before the start, and why"""
    halts: HaltFile | None = None
    overrides: Overrides = field(default_factory=Overrides)


def _beside(python: Path, ready: _Ready, halted: str | None) -> AbstractAsyncContextManager[Shadow]:
    loaded, desk_id = ready.loaded, next(iter(ready.setup.desks))
    start = hello(loaded, now=ready.now, desk_id=desk_id, system=ready.system, halted=halted, past=ready.past)
    return Shadow(python, environment(loaded)).beside(start, versions(loaded))


async def _prepare(stack: AsyncExitStack, mode: Mode, adjust: Adjust | None, clock: WallClock) -> _Ready:
    """The order of DESIGN 3, up to registration. What it opens is closed by `stack`."""
    core = core_settings()
    now = clock()
    desk_id, system = names(mode, now)
    database, state, hang, kept = None, SystemState(), None, Kept()
    if mode is not Mode.SCAN:
        database = await stack.enter_async_context(_open(core, mode))
        async with database.pool(size=1) as pool:
            state = await system_state(pool, SYSTEM_STREAM if mode is Mode.RECORD else system)
            kept = await newest(pool)
        if mode is Mode.RECORD:
            state = SystemState(state.toggles)  # the bot's plugins, and none of its halts
        else:
            hang = last_hang(core.data_path, owner_of_files(installed()), demo=mode is Mode.DEMO)
    toggles = _without_hung(state.toggles, hang)
    overrides = stack.enter_context(overriding(kept, toggles))
    loaded = load(toggles)
    if adjust is not None:
        loaded = adjust(loaded)
    problems = await _migrate_plugins(loaded, None if mode is Mode.RECORD else database)
    setup = loaded.setup(desk_id)
    setup.register_all()
    # A demo is an account of its own each time: no halt outlives it.
    halts = HaltFile(core.data_path) if mode is Mode.PAPER else None
    known = {} if halts is None else halts.reasons
    state = replace(state, halted=state.halted or known.get(system))
    ready = _Ready(loaded, setup, now, system, _Relay(), database, None, state, Past(), hang, tuple(problems), halts)
    ready = replace(ready, overrides=overrides)
    past = Past(toggles=loaded.catalogue.toggles)
    if database is None or mode is Mode.RECORD:
        return replace(ready, past=past)
    writer = JournalWriter(database, [*setup.desks, system], clock=clock, emit=ready.relay)
    stack.callback(writer.close)
    past = await _remember(past, database, writer, setup.desks, now)
    desks = {one: replace(was, halted=was.halted or known.get(one)) for one, was in past.desks.items()}
    return replace(ready, writer=writer, past=replace(past, desks=desks))


async def _remember(past: Past, database: Database, writer: JournalWriter, desk_ids: Iterable[str], now: Ns) -> Past:
    """What the journal says of the desks, once its streams are ours."""
    last_seq = {stream: tail.seq for stream, tail in (await writer.open()).items()}
    async with database.pool(size=1) as pool:
        desks = {desk_id: await recover(pool, desk_id, now) for desk_id in desk_ids}
    return replace(past, desks=desks, last_seq=last_seq)


@asynccontextmanager
async def _guarded(session: Session) -> AsyncIterator[None]:
    """Reachable for other processes, and watched. Who only listens is neither."""
    if session.mode in LISTENING:
        yield
        return
    core = session.loaded.core
    entries = session.loaded.catalogue.entries
    watchdog = Watchdog(
        # A loop that takes frames lives, however far behind it is: a transport may hand on thousands before it lets go.
        lambda: session.shell.beats + session.engine.frames,
        core.isolation.hang_s,
        core.data_path,
        owner_of_files(entries),
        checks=session.plugins.checks,
        demo=session.mode is Mode.DEMO,
    )
    watchdog.start()
    try:
        async with serve(session.verbs, control_file(core.data_path, session.mode is Mode.DEMO), session.desk.id):
            yield
    finally:
        watchdog.stop()


def _tell_start(session: Session, ready: _Ready, resume: bool) -> None:
    """What happened before there was an engine, to journal and people; then the operator's words."""
    shell, clock = session.shell, session.shell.clock
    for problem in ready.problems:
        shell.notify(Alert(Severity.CRITICAL, "plugin.failed", problem, clock()))
    if ready.overrides.wrong:
        left_out = "; ".join(ready.overrides.wrong.values())
        text = f"setting overrides are left out: {left_out}. `arbitrade settings set` or `unset` corrects them"
        shell.notify(Alert(Severity.WARNING, "settings.wrong", text, clock()))
    if ready.hang is not None:
        reason = "the trading loop hung in its code; the process ended and started again without it"
        if ready.hang.plugin is not None:
            shell.take(PluginFaulted(ready.hang.plugin, "process", session.desk.id, reason, clock()))
        forget_hang(session.loaded.core.data_path, demo=session.mode is Mode.DEMO)
    reasons = [why for why in (ready.state.halted, *(desk.halt_reason for desk in session.engine.desks)) if why]
    if resume:
        shell.take(Resume("command line", clock()))
    elif reasons:
        _log.error("halted since an earlier run; `arbitrade resume` clears it, or --resume", reason=reasons[0])
    pairs = session.loaded.core.trading.pairs
    if pairs is not None:
        shell.take(PairsEnabled(frozenset(pairs), clock()))


def _without_hung(toggles: Mapping[str, Toggle], hang: Hang | None) -> dict[str, Toggle]:
    """The plugin that the last process hung in is not even imported."""
    if hang is None or hang.plugin is None:
        return dict(toggles)
    reason = "the trading loop hung in its code"
    return {**toggles, hang.plugin: Toggle(State.QUARANTINED, "watchdog", reason, hang.checks)}


async def _migrate_plugins(loaded: Loaded, database: Database | None) -> list[str]:
    """Each plugin's own tables. One that fails is out of use, with whatever needs it; returns why, in words."""
    catalogue = loaded.catalogue
    problems: list[str] = []
    for entry in catalogue.enabled() if database is not None else ():
        try:
            folder = loaded.registry.migrations(entry.name)
            if folder is not None and database is not None:
                await migrate(database, read(entry.name, folder))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's folder is foreign code: it alone is out
            problems.append(f"{entry.who} is out of use: {error}")
            catalogue.drop(entry.name, State.FAILED, str(error))
    settle_needs(catalogue)
    return problems


def names(mode: Mode, now: Ns) -> tuple[str, str]:
    """Names of the desk and of the system stream. Each demo and recording is an account of its own; paper goes on with
    its own."""
    if mode in (Mode.DEMO, Mode.RECORD):
        desk_id = f"{mode.value}-{base36(now // 1_000_000)}"
        return desk_id, f"{desk_id}-{SYSTEM_STREAM}"
    return mode.value, SYSTEM_STREAM


@asynccontextmanager
async def _open(core: CoreSettings, mode: Mode) -> AsyncIterator[Database]:
    async with database_for(core, mode) as database:
        await migrate(database, core_migrations())
        yield database


def database_for(core: CoreSettings, mode: Mode) -> Any:
    """The database of a mode, as an async context manager; the demo never touches the one that `run` uses."""
    return open_database(core.database, core.data_path, DEMO_DATABASE if mode is Mode.DEMO else None)


def has_database(core: CoreSettings) -> bool:
    """Whether there is a database to read without making one: a configured server, or an embedded one's data."""
    return configured(core.database) is not None or any(core.data_path.glob("postgres-*"))


async def _serve(
    shell: Shell,
    stop: anyio.Event,
    journal: JournalSink | None,
    observations: ObservationWriter | None,
    begin: Callable[[], None],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    def started() -> None:
        begin()
        task_status.started()

    await shell.run(stop, journal, observations, started)


class _Relay:
    """The journal's answers, to a shell that is made after it."""

    shell: Shell | None = None

    def __call__(self, report: Durable | JournalLost | JournalBack) -> None:
        if self.shell is not None:
            self.shell.take(report)


@asynccontextmanager
async def stop_on_signals(stop: anyio.Event) -> AsyncIterator[None]:
    """Set `stop` on the first SIGINT or SIGTERM; a later second one interrupts at once."""

    async def watch() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                stop.set()
                # One Ctrl-C may come twice, from the terminal and from a wrapper that passes it on.
                await anyio.sleep(REPEATED_S)
                break

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        yield
        tasks.cancel_scope.cancel()


def demo_session(
    adjust: Adjust,
    status: Callable[[Session], Mapping[str, Any]] | None = None,
    shadow: Path | None = None,
    record: bool | None = None,
) -> AbstractAsyncContextManager[Session]:
    """A session on a simulated exchange: an account and a database of its own."""
    return session(Mode.DEMO, adjust=adjust, status=status, shadow=shadow, record=record)


def start_loop[**P, T](main: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `main` on the fastest event loop that is installed."""
    fast = find_spec("uvloop") is not None
    return anyio.run(partial(main, *args, **kwargs), backend_options={"use_uvloop": fast})
