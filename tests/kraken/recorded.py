"""Recordings made without a clock: the real engine with the Kraken feed against the simulated exchange in-process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from arbitrade_core.composition import Loaded, Past, compose, load
from arbitrade_core.domain import Ns
from arbitrade_core.engine import Engine
from arbitrade_core.events import Closed, Command, Disconnect, Frame, Input, Opened, StartAssets
from arbitrade_core.recording.entries import Entry, State, Via
from arbitrade_core.spi import Feed
from arbitrade_core.testing.world import World
from arbitrade_kraken.feed import KrakenFeed
from arbitrade_kraken.loopback import Loopback
from arbitrade_kraken.simulator.control import Control
from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange

SECOND: Ns = 1_000_000_000
type Books = dict[str, tuple[int, list[tuple[int, int]], list[tuple[int, int]], float, float]]
"""by symbol: why it is out of use, bids, asks, rates of its two legs"""


@dataclass(frozen=True, slots=True)
class Seen:
    """The market after a frame."""

    updates: int
    checksums_ok: int
    checksums_bad: int
    books: Books


def seen(engine: Engine) -> Seen:
    market = engine.market
    books: Books = {}
    for pair, listed in enumerate(market.pairs):
        book, blocks = market.books[pair], market.blocks[pair]
        if blocks:
            books[listed.symbol] = (1, [], [], 0.0, 0.0)  # what is out of use is nobody's book
        else:
            rates = market.rate[2 * pair], market.rate[2 * pair + 1]
            books[listed.symbol] = (0, book.bids.levels(), book.asks.levels(), *rates)
    return Seen(engine.updates, engine.checksums_ok, engine.checksums_bad, books)


class Recorded:
    """A run whose every input is kept, with what the market was after each; `entries` is its recording."""

    def __init__(self, *, pairs: int = 30, seed: int = 7, per_s: float = 80.0, **kraken: Any) -> None:
        kraken = {"ws_url": "ws://simulated/v2", "fee_tier": "tier-1", "messages_per_s": 1000.0} | kraken
        loaded = load().adjusted("kraken", **kraken)
        self.exchange = SimulatedExchange(seed, pairs, messages_per_s=per_s, snapshot_delay_ms=(40, 400))
        self.control = Control(self.exchange)
        setup = loaded.setup("main")
        setup.register_all()
        self.loaded = loaded
        (feed,) = (feed for parts in setup.parts.values() for feed in parts.feeds)
        assert isinstance(feed, KrakenFeed)
        self.feed = feed
        self.engine = compose(setup, now=DEFAULT_START_NS, system="system", past=Past())
        self.entries: list[Entry] = []
        self.seen: list[Seen] = []
        """after each entry"""
        self.comparable: list[bool] = []
        """False while a connection is given up and its end has not come: that we gave it up is in no recording"""
        self.given_up: set[int] = set()
        self._vias: set[int] = set()
        self._step = self.engine.step
        self.engine.step = self.step  # type: ignore[method-assign]
        self.world = World(self.engine, Loopback(self.exchange), start_ns=DEFAULT_START_NS, fees=setup.fees)
        self.world.start()

    def step(self, event: Input) -> Sequence[Command]:
        if isinstance(event, Frame | Opened) and event.conn not in self._vias:
            self._vias.add(event.conn)
            self._keep(Via(event.conn, self.feed.name, event.now))
        commands = self._step(event)
        self.given_up |= {command.conn for command in commands if isinstance(command, Disconnect)}
        if isinstance(event, Closed):
            self.given_up.discard(event.conn)
        self._keep(event)
        return commands

    def mark(self, *pairs: int) -> None:
        """Write down the state, as a recorder does from time to time."""
        for conn, data in self.feed.state(pairs, self.world.now):
            self._keep(State(conn, data, self.world.now))

    def mark_all(self) -> None:
        self.mark()
        for pair in range(len(self.engine.market.pairs)):
            self.mark(pair)

    def _keep(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.seen.append(seen(self.engine))
        self.comparable.append(not self.given_up)

    def all_assets(self) -> None:
        """Cycles start anywhere, so that every pair in one is carried."""
        self.world.take(StartAssets("main", tuple(sorted(self.engine.market.assets)), self.world.now))

    def followed(self) -> "Following":
        return Following(self.loaded, self.feed.follower(), DEFAULT_START_NS)


class Following:
    """Another engine, whose feed follows a recording."""

    def __init__(self, loaded: Loaded, feed: Feed, now: Ns) -> None:
        self.setup = setup = loaded.setup("main")
        setup.register_all()
        self.feed = feed
        for plugin, parts in setup.parts.items():
            if parts.feeds:
                setup.parts[plugin] = replace(parts, feeds=(feed,))
        self.engine = compose(setup, now=now, system="system", past=Past())
        self.engine.start(now)

    def take(self, entry: Entry) -> Seen:
        """As the recording has it: commits, fees and ticks are the recorded ones, too."""
        match entry:
            case Via():
                self.engine.attach(entry.conn, self.feed)
            case State():
                self.engine.step(Frame(entry.conn, entry.data, entry.now))
            case _:
                self.engine.step(entry)  # type: ignore[arg-type]
        return seen(self.engine)
