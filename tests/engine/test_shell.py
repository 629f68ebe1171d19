"""The shell on a real event loop: an engine against the simulated exchange over sockets, and a journal that refuses."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import anyio
import pytest

from arbitrade_core.clock import WallClock
from arbitrade_core.composition import Past, compose, load
from arbitrade_core.domain import Alert, FeeSnapshot, Pair
from arbitrade_core.errors import SettingsError, StorageError
from arbitrade_core.events import Appearance, Halt
from arbitrade_core.journal import Record
from arbitrade_core.money import exact
from arbitrade_core.shell import MemoryJournal, Shell
from arbitrade_core.transport import Opener, picows_io, sans_io
from arbitrade_kraken.simulator.control import Control
from arbitrade_kraken.simulator.exchange import SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan
from arbitrade_kraken.simulator.server import ExchangeServer

pytestmark = pytest.mark.anyio

WAIT_S = 40.0
OPENERS = {"websockets": sans_io.open_connection, "picows": picows_io.open_connection}


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


@pytest.fixture(autouse=True)
def complaints() -> Iterator[list[str]]:
    heard: list[str] = []
    yield heard
    gc.collect()
    assert heard == []


class Keeper:
    """Keeps what it is told, and nobody waits for it: appearances, alerts."""

    name = "keeper"

    def __init__(self) -> None:
        self.appearances: list[Appearance] = []
        self.alerts: list[Alert] = []

    def offer(self, appearances: Sequence[Appearance]) -> None:
        self.appearances += appearances

    def send(self, alert: Alert) -> None:
        self.alerts.append(alert)

    async def run(self) -> None:
        await anyio.sleep_forever()

    async def drain(self, timeout_s: float) -> bool:
        return True


class FullJournal(MemoryJournal):
    """Refuses everything while `full`; checks that records come in order, each once."""

    full = False
    last: dict[str, int]

    def append(self, records: Sequence[Record]) -> None:
        if self.full:
            raise StorageError("the queue is full")
        self.last = getattr(self, "last", {})
        for record in records:
            assert record.seq == self.last.get(record.stream, 0) + 1
            self.last[record.stream] = record.seq
        super().append(records)


class Bot:
    """A shell and what surrounds it."""

    def __init__(
        self,
        url: str,
        opener: Opener,
        fees: Callable[[Sequence[Pair], int], FeeSnapshot] | None = None,
    ) -> None:
        self.keeper = Keeper()
        self.stop = anyio.Event()
        loaded = load().adjusted("kraken", fee_tier="tier-1", ws_url=url)
        core = loaded.core.model_copy(
            update={"paper": loaded.core.paper.model_copy(update={"starting_balances": {"USD": Decimal(10_000)}})}
        )
        loaded = replace(loaded, settings=replace(loaded.settings, core=core))
        clock = WallClock()
        setup = loaded.setup("desk")
        setup.register_all()
        self.engine = compose(setup, now=clock(), system="system", past=Past())
        self.shell = Shell(self.engine, clock, opener, fees or setup.fees, notifiers=[self.keeper])
        self.journal = FullJournal(self.shell.take, clock)
        self.desk = self.engine.desks[0]

    @asynccontextmanager
    async def running(self, complaints: list[str]) -> AsyncIterator["Bot"]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(str(context)))
        before = asyncio.all_tasks()
        started = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.shell.run, self.stop, self.journal, self.keeper, started.set)
            with anyio.fail_after(WAIT_S):
                await started.wait()
                yield self
            self.stop.set()
            with anyio.fail_after(WAIT_S):
                await self.shell.stopped.wait()
        await anyio.sleep(0.05)
        left = [task for task in asyncio.all_tasks() - before if "_open" in repr(task)]
        assert left == [], "a connection was left behind"

    async def until(self, happened: Callable[[], object]) -> None:
        while not happened():  # noqa: ASYNC110 - what is awaited is anything
            await anyio.sleep(0.01)

    @property
    def completed(self) -> int:
        return self.desk.conductor.ended.get("completed", 0)


def server(seed: int = 7) -> ExchangeServer:
    exchange = SimulatedExchange(
        seed,
        14,
        start_ns=time.time_ns(),
        messages_per_s=150.0,
        mispricings=MispricingPlan(per_s=8.0, size_bps=(250.0, 480.0), lifetime_ms=(300.0, 2000.0)),
        drop_late_ms=500.0,
    )
    return ExchangeServer(exchange)


async def test_a_session_over_sockets_trades_and_ends_cleanly(opener: Opener, complaints: list[str]) -> None:
    exchange = server()
    async with exchange.serving():
        bot = Bot(exchange.url, opener)
        async with bot.running(complaints):
            await bot.until(lambda: bot.completed >= 2)
        assert bot.desk.open_plans == []
        with exact():
            assert bot.desk.ledger.problems() == []
        assert bot.engine.checksums_bad == 0
        assert bot.shell.decision.count == bot.engine.frames
        assert bot.keeper.appearances
        assert all(one.closed_ns is not None for one in bot.keeper.appearances)
        assert bot.shell.books_live_at_stop
        await anyio.sleep(0.1)
        assert exchange.exchange.sessions == {}, "every connection was closed"


async def test_a_connection_that_is_cut_is_made_again(opener: Opener, complaints: list[str]) -> None:
    exchange = server()
    async with exchange.serving():
        bot = Bot(exchange.url, opener)
        async with bot.running(complaints):
            await bot.until(lambda: len(bot.engine.market.in_use()) >= 10)
            for session in list(exchange.exchange.sessions):
                Control(exchange.exchange).close(session)
            await bot.until(lambda: bot.shell.connection_faults)
            frames = bot.engine.frames
            await bot.until(lambda: bot.engine.frames > frames + 50 and len(bot.engine.market.in_use()) >= 10)
        assert bot.shell.connection_faults == {"connection lost": 1}
        assert bot.shell.last_connection_fault == "connection lost"


async def test_an_exchange_that_comes_up_later_is_found(opener: Opener, complaints: list[str]) -> None:
    exchange = server()
    async with exchange.serving():
        port = exchange.port
    bot = Bot(f"ws://127.0.0.1:{port}/v2", opener)
    async with bot.running(complaints):
        await bot.until(lambda: bot.shell.last_connection_fault)
        assert f"cannot connect to 127.0.0.1:{port}" in bot.shell.last_connection_fault
        exchange = server()
        async with exchange.serving(port):
            await bot.until(bot.engine.market.in_use)
            bot.stop.set()
            await bot.shell.stopped.wait()


async def test_fees_that_nobody_knows_are_said_once_and_nothing_trades(complaints: list[str]) -> None:
    def unknown(pairs: Sequence[Pair], now: int) -> FeeSnapshot:
        raise SettingsError(["no fees are set; set ARBITRADE_KRAKEN__FEE_TIER"])

    exchange = server()
    async with exchange.serving():
        bot = Bot(exchange.url, sans_io.open_connection, unknown)
        async with bot.running(complaints):
            await bot.until(lambda: bot.engine.checksums_ok > 100)
            bot.shell._load_fees()
        assert [alert.topic for alert in bot.keeper.alerts].count("fees.missing") == 1
        assert bot.shell.fees_missing == "no fees are set; set ARBITRADE_KRAKEN__FEE_TIER"
        assert bot.desk.conductor.approved == 0


async def test_reliability_12_records_a_full_journal_refused_are_offered_again_by_themselves(
    complaints: list[str],
) -> None:
    exchange = SimulatedExchange(7, 14, start_ns=time.time_ns(), messages_per_s=0)
    running = ExchangeServer(exchange)
    async with running.serving():
        bot = Bot(running.url, sans_io.open_connection)
        async with bot.running(complaints):
            await bot.until(bot.engine.market.in_use)
            bot.journal.full = True
            bot.shell.take(Halt("a record that is refused", "tester", bot.shell.clock()))
            await bot.until(lambda: bot.engine.journal_lost)
            assert bot.engine.journal_lost == "the queue is full"
            refused = dict(bot.journal.last)
            bot.journal.full = False
            await bot.until(lambda: bot.engine.journal_lost is None)
            assert bot.journal.last["system"] == refused["system"] + 1
        topics = [alert.topic for alert in bot.keeper.alerts]
        assert (topics.count("journal.lost"), topics.count("journal.back")) == (1, 1)


async def test_a_notifier_that_raises_stops_nothing(complaints: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Keeper):
        def send(self, alert: Alert) -> None:
            raise RuntimeError("no network")

    exchange = server()
    async with exchange.serving():
        bot = Bot(exchange.url, sans_io.open_connection)
        bot.shell.notifiers = [Broken(), bot.keeper]
        async with bot.running(complaints):
            bot.shell.take(Halt("a test", "tester", bot.shell.clock()))
            await bot.until(bot.engine.market.in_use)
        assert [alert.topic for alert in bot.keeper.alerts] == ["engine.halt"]
    capsys.readouterr()
