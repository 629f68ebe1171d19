"""Recordings made without a clock: the simulated exchange and the real engine in one process, every input kept."""

import hashlib
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import metadata
from typing import Any

import msgspec

from arbitrade_core.composition import Past, compose, load
from arbitrade_core.domain import FeeSnapshot, Ns
from arbitrade_core.events import Command, Frame, Input, Opened
from arbitrade_core.inputs_codec import SCHEMA as INPUTS_SCHEMA
from arbitrade_core.journal import Record, canonical
from arbitrade_core.recording import chunks as codec
from arbitrade_core.recording.entries import SCHEMA, Chunk, Entry, Head, State, Via
from arbitrade_core.replay.fees import fees_of
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage
from arbitrade_core.replay.statistics import Window
from arbitrade_core.settings.environment import instead_of_environment
from arbitrade_core.spi import Recordable
from arbitrade_core.testing.world import World
from arbitrade_kraken.loopback import Loopback
from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan

SECOND: Ns = 1_000_000_000
SETTINGS = {"ARBITRADE_KRAKEN__WS_URL": "ws://simulated/v2", "ARBITRADE_KRAKEN__FEE_TIER": "tier-1"}
CHUNK_ENTRIES = 2_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run: what its engine was fed, and what it wrote."""

    start_ns: Ns
    end_ns: Ns
    entries: list[Entry]
    records: list[Record]
    fees: FeeSnapshot
    settings: dict[str, str]
    chunks: list[Chunk]
    head: Head

    def journalled(self, stream: str, seq: int) -> bytes | None:
        """A record's content, as the journal keeps it."""
        found = next((record for record in self.records if (record.stream, record.seq) == (stream, seq)), None)
        return None if found is None else canonical(found)

    @property
    def coverage(self) -> Coverage:
        whole = Window(self.start_ns, self.end_ns)
        pairs = self.chunks[0].pairs if self.chunks else ()
        return Coverage(whole, (whole,), (), (1,), pairs)

    def job(self, **told: Any) -> JobSpec:
        """Over all of it, unless told otherwise."""
        said: dict[str, Any] = {
            "start": moment(self.start_ns),
            "end": moment(self.end_ns),
            "balances": {"USD": Decimal(10_000)},
            "min_profit_bps": Decimal(5),
            "fees": fees_of(self.fees),
            "settings": self.settings,
        }
        return JobSpec(**(said | told))


def recorded(
    seconds: float,
    *,
    pairs: int = 30,
    seed: int = 7,
    rate: float = 200.0,
    mispricings_per_s: float = 2.0,
    settings: dict[str, str] | None = None,
    refresh_s: float = 5.0,
    said: Sequence[Callable[[Ns], Input]] = (),
    said_every_ns: Ns = SECOND,
) -> Recorded:
    """A run of the real engine against the simulated exchange, recorded as the recorder does it.

    `said`: inputs of operators, one after the other every so often.
    """
    told = SETTINGS | (settings or {})
    with instead_of_environment(told, "the test"):
        setup = load().setup("paper")
        setup.register_all()
        engine = compose(setup, now=DEFAULT_START_NS, system="system", past=Past())
    exchange = SimulatedExchange(seed, pairs, messages_per_s=rate, mispricings=MispricingPlan(per_s=mispricings_per_s))
    world = World(engine, Loopback(exchange), start_ns=DEFAULT_START_NS, fees=setup.fees)
    entries: list[Entry] = []
    step = engine.step

    def tapped(event: Input) -> Sequence[Command]:
        if isinstance(event, Opened):
            feed = engine.feed_of(event.conn)
            assert feed is not None
            entries.append(Via(event.conn, feed.name, event.now))
        entries.append(Frame(event.conn, event.data, event.now) if isinstance(event, Frame) else event)
        return step(event)

    engine.step = tapped  # type: ignore[method-assign]
    world.start()
    refresh_ns = int(refresh_s * SECOND)
    end_ns = DEFAULT_START_NS + int(seconds * SECOND)
    words = [(DEFAULT_START_NS + number * said_every_ns, word) for number, word in enumerate(said, start=1)]
    while world.now < end_ns:
        until = min(end_ns, world.now + refresh_ns)
        while words and words[0][0] <= until:
            at, word = words.pop(0)
            world.run_until(at)
            world.take(word(at))
        world.run_until(until)
        entries += [State(conn, data, world.now) for conn, data in states(engine, world.now)]
    fees = engine.desks[0].fees
    assert fees is not None
    symbols = tuple(sorted(engine.market.pairs[pair].symbol for pair in engine.market.in_use()))
    chunks = chunked(entries, symbols)
    head = Head(
        schema=SCHEMA,
        inputs_schema=INPUTS_SCHEMA,
        now=DEFAULT_START_NS,
        desk_id="paper",
        system="system",
        halted=None,
        plugins={entry.name: entry.version for entry in setup.catalogue.enabled()},
        versions={"arbitrade": metadata.version("arbitrade"), "python": platform.python_version()},
        settings=told,
        past=msgspec.msgpack.encode(Past()),
        started=DEFAULT_START_NS,
    )
    return Recorded(DEFAULT_START_NS, end_ns, entries, world.records, fees, told, chunks, head)


def states(engine: Any, now: Ns) -> Iterable[tuple[int, bytes]]:
    for port in engine.in_use.feeds:
        if isinstance(port.feed, Recordable):
            yield from port.feed.state((), now)
            yield from port.feed.state(engine.market.in_use(), now)


def chunked(
    entries: Sequence[Entry], pairs: tuple[str, ...], recording: int = 1, size: int = CHUNK_ENTRIES
) -> list[Chunk]:
    found = []
    for number, at in enumerate(range(0, len(entries), size)):
        part = entries[at : at + size]
        data = codec.encode(part)
        frames = sum(isinstance(entry, Frame) for entry in part)
        sha = hashlib.sha256(data).digest()
        found.append(Chunk(recording, number, part[0].now, part[-1].now, len(part), frames, pairs, sha, data))
    return found


def moment(at_ns: Ns) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)
