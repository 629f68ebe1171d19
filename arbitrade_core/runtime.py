"""The composition root: what a process is made of, by mode. Only this module and `cli` know modes."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import anyio
import structlog
from anyio.abc import TaskStatus

from arbitrade_core.clock import WallClock
from arbitrade_core.desk import Desk
from arbitrade_core.domain import FeeSnapshot, Ns, Pair
from arbitrade_core.engine import SYSTEM_STREAM, Engine
from arbitrade_core.errors import SettingsError
from arbitrade_core.events import Durable, JournalBack, JournalLost, PairsEnabled, Resume
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.hooks import Registry
from arbitrade_core.journal import Stream
from arbitrade_core.ledger import Ledger
from arbitrade_core.market import Market
from arbitrade_core.mode import Mode
from arbitrade_core.planning import DeskTerms, base36
from arbitrade_core.plugins import Catalogue, load_catalogue
from arbitrade_core.pricing import Terms
from arbitrade_core.recovery import Recovered, recover
from arbitrade_core.risk.checks import required_checks
from arbitrade_core.risk.gate import Gate
from arbitrade_core.settings import CoreSettings, Settings
from arbitrade_core.shell import Shell
from arbitrade_core.storage.connect import Database, open_database
from arbitrade_core.storage.journal_store import JournalWriter
from arbitrade_core.storage.migrations import core_migrations, migrate
from arbitrade_core.storage.observations import ObservationWriter
from arbitrade_core.transport import opener

_log = structlog.get_logger(__name__)

DEMO_DATABASE = "arbitrade_demo"
REPEATED_S = 1.0
VERIFIED_LEVELS = 10
"""What a book's checksum covers: pricing walks no deeper."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Plugins imported, settings valid."""

    catalogue: Catalogue
    settings: Settings

    @property
    def core(self) -> CoreSettings:
        return self.settings.core

    @property
    def registry(self) -> Registry:
        return self.catalogue.registry(self.settings)

    def adjusted(self, plugin: str, **values: Any) -> "Loaded":
        """The same with other values in one plugin's section, as the demo needs them."""
        sections = dict(self.settings.sections)
        section = sections[plugin]
        sections[plugin] = type(section).model_validate({**section.model_dump(), **values})
        return replace(self, settings=replace(self.settings, sections=sections))


def load() -> Loaded:
    """Find and import plugins, validate all settings. Raises PluginError or SettingsError with every problem."""
    catalogue = load_catalogue()
    settings = catalogue.settings()
    catalogue.require_sound()
    return Loaded(catalogue, settings)


@dataclass(frozen=True, slots=True)
class Session:
    """A running bot, for whoever shows it."""

    mode: Mode
    loaded: Loaded
    shell: Shell
    desk: Desk
    database: Database | None
    observations: ObservationWriter | None

    @property
    def engine(self) -> Engine:
        return self.shell.engine


def compose(
    loaded: Loaded,
    *,
    desk_id: str,
    now: Ns,
    recovered: Recovered,
    last_seq: Mapping[str, int],
    system: str,
    halted: str | None = None,
) -> Engine:
    """The engine with everything the enabled plugins registered, and one paper desk."""
    registry = loaded.registry
    core = loaded.core
    checks = [one.thing for one in registry.risk_checks()]
    feeds = [one.thing for one in registry.feeds()]
    if not feeds:
        raise SettingsError(["no plugin registers a feed, so there is no market data; enable one (ARBITRADE_PLUGINS)"])
    ledger = Ledger(desk_id)
    venue = PaperVenue(
        desk_id,
        funds=lambda asset: ledger.cash(asset) + ledger.residue(asset),
        latency_ns=core.paper.latency_ms * 1_000_000,
        slippage_bps=core.paper.slippage_bps,
    )
    desk = Desk(
        desk_id=desk_id,
        terms=desk_terms(core),
        balances=core.paper.starting_balances,
        recovered=recovered,
        gate=Gate(checks, required_checks(core.risk), _report_fault),
        executors=[one.thing for one in registry.executors()],
        venue=venue,
        ledger=ledger,
        stream=Stream(desk_id, last_seq.get(desk_id, 0)),
        epoch=base36(now // 1_000_000),
    )
    return Engine(
        market=Market(_deepest(feeds)),
        feeds=feeds,
        detectors=[one.thing for one in registry.detectors()],
        desks=[desk],
        system=Stream(system, last_seq.get(system, 0)),
        halted=halted,
    )


def _report_fault(check: str, error: BaseException) -> None:
    """A check that raises refuses; why it raised is for its author."""
    _log.error("risk check failed; the plan was refused", check=check, exc_info=error)


def desk_terms(core: CoreSettings) -> DeskTerms:
    trading = core.trading
    return DeskTerms(
        start_assets=trading.start_assets,
        valuation_asset=trading.valuation_asset,
        pricing=Terms(
            margin_bps=trading.margin_bps,
            min_edge_bps=trading.min_edge_bps,
            min_profit=trading.min_profit_valued,
            slippage_bps=trading.slippage_bps,
            fee_buffer_bps=trading.fee_buffer_bps,
            rounding_fills=trading.rounding_fills,
            max_levels=VERIFIED_LEVELS,
        ),
        max_notional_valued=core.risk.max_cycle_notional_valued,
        reserve=core.risk.reserve,
        leg_ban_ns=core.execution.leg_ban_s * 1_000_000_000,
    )


@asynccontextmanager
async def session(loaded: Loaded, mode: Mode, *, resume: bool = False) -> AsyncIterator[Session]:
    """A running bot: books filling, paper desk trading; leaves cleanly, plans drained and journal flushed.

    A desk that halted stays halted over restarts; `resume` is the operator's word that it may go on.

    Raises:
        ArbitradeError: whatever keeps it from starting.
    """
    clock = WallClock()
    now = clock()
    desk_id, system = names(mode, now)
    async with AsyncExitStack() as stack:
        database, last_seq, recovered, writer = None, dict[str, int](), Recovered(), None
        relay = _Relay()
        if mode is not Mode.SCAN:
            database = await stack.enter_async_context(_open(loaded.core, mode))
            writer = JournalWriter(database, [desk_id, system], clock=clock, emit=relay)
            stack.callback(writer.close)
            last_seq = {stream: tail.seq for stream, tail in (await writer.open()).items()}
            async with database.pool(size=1) as pool:
                recovered = await recover(pool, desk_id, now)
        engine = compose(
            loaded,
            desk_id=desk_id,
            now=now,
            recovered=recovered,
            last_seq=last_seq,
            system=system,
            halted="a scan only looks" if mode is Mode.SCAN else None,
        )
        notifiers = [one.thing for one in loaded.registry.notifiers()]
        shell = Shell(engine, clock, opener(), fees_of(loaded), notifiers)
        relay.shell = shell
        observations = None if database is None else ObservationWriter(database, desk_id)
        stop = anyio.Event()
        async with anyio.create_task_group() as tasks:
            await tasks.start(_serve, shell, stop, writer, observations)
            if loaded.core.trading.pairs is not None:
                shell.take(PairsEnabled(frozenset(loaded.core.trading.pairs), clock()))
            if resume:
                shell.take(Resume("command line", clock()))
            elif recovered.halted is not None:
                _log.error(
                    "the desk is halted since an earlier run; start with --resume to clear it", reason=recovered.halted
                )
            try:
                yield Session(mode, loaded, shell, engine.desks[0], database, observations)
            finally:
                with anyio.CancelScope(shield=True):
                    stop.set()
                    await shell.stopped.wait()


def names(mode: Mode, now: Ns) -> tuple[str, str]:
    """Names of the desk and of the system stream. Each demo is an account of its own; paper goes on with its own."""
    if mode is Mode.DEMO:
        desk_id = f"demo-{base36(now // 1_000_000)}"
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


async def _serve(
    shell: Shell,
    stop: anyio.Event,
    writer: JournalWriter | None,
    observations: ObservationWriter | None,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    await shell.run(stop, writer, observations, task_status.started)


class _Relay:
    """The journal's answers, to a shell that is made after it."""

    shell: Shell | None = None

    def __call__(self, report: Durable | JournalLost | JournalBack) -> None:
        if self.shell is not None:
            self.shell.take(report)


def fees_of(loaded: Loaded) -> Callable[[Sequence[Pair], Ns], FeeSnapshot]:
    """The first source in the catalogue's order that has an answer."""
    sources = [one.thing for one in loaded.registry.fee_sources()]

    def snapshot(pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        problems: list[str] = []
        for source in sources:
            try:
                return source.snapshot(pairs, now)
            except SettingsError as error:
                problems += error.problems
        raise SettingsError(problems or ["no plugin knows any fees; enable one (ARBITRADE_PLUGINS)"])

    return snapshot


def _deepest(feeds: Sequence[Any]) -> int:
    return max(getattr(feed, "depth", VERIFIED_LEVELS) for feed in feeds)


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


def demo_session(loaded: Loaded) -> AbstractAsyncContextManager[Session]:
    """A session on a simulated exchange: an account and a database of its own."""
    return session(loaded, Mode.DEMO)


def start_loop[**P, T](main: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `main` on the fastest event loop that is installed."""
    fast = find_spec("uvloop") is not None
    return anyio.run(partial(main, *args, **kwargs), backend_options={"use_uvloop": fast})
