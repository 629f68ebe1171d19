"""An engine on simulated time: a shell without asyncio, bit for bit the same every time.

`World` does for the engine what `shell.Shell` does, over an event heap: inputs at their times, commits after a
delay, bytes to and from a peer in the same process. The same seeds give the same journal hash.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from arbitrade_core.domain import Alert, FeeSnapshot, Ns, Order, Pair
from arbitrade_core.engine import Engine
from arbitrade_core.events import (
    Appearance,
    Append,
    Closed,
    Command,
    Connect,
    ConnId,
    Disconnect,
    Durable,
    FeesLoaded,
    Frame,
    Input,
    Notify,
    Observe,
    Opened,
    Send,
    Tick,
    Transmit,
    WantFees,
)
from arbitrade_core.journal import Record
from arbitrade_core.testing.journal import MemoryJournal


class Peer(Protocol):
    """The other side of all connections, sans-I/O."""

    def open(self, conn: ConnId, url: str, now: Ns) -> None: ...
    def receive(self, conn: ConnId, data: bytes, now: Ns) -> None: ...
    def close(self, conn: ConnId, now: Ns) -> None: ...
    def next_due(self) -> Ns | None:
        """When `advance` has something next."""
        ...

    def advance(self, now: Ns) -> Iterable[tuple[ConnId, bytes | None]]:
        """Frames due by now, in order; None for data: the peer closed the connection."""
        ...


class SilentPeer:
    """Implements `Peer`: says nothing by itself."""

    def open(self, conn: ConnId, url: str, now: Ns) -> None: ...
    def receive(self, conn: ConnId, data: bytes, now: Ns) -> None: ...
    def close(self, conn: ConnId, now: Ns) -> None: ...
    def next_due(self) -> None:
        return None

    def advance(self, now: Ns) -> Iterable[tuple[ConnId, bytes | None]]:
        return ()


class World:
    """Runs an engine against a peer. `records`, `orders`, `alerts` and `appearances` keep what it asked for."""

    def __init__(
        self,
        engine: Engine,
        peer: Peer,
        *,
        start_ns: Ns,
        fees: Callable[[Sequence[Pair], Ns], FeeSnapshot] | None = None,
        commit_ns: Ns = 1_000_000,
        network_ns: Ns = 0,
    ) -> None:
        """`commit_ns` is what a journal commit takes, `network_ns` one way to the peer and back alike."""
        self.engine = engine
        self.now = start_ns
        self.journal = MemoryJournal()
        self.orders: list[Order] = []
        self.alerts: list[Alert] = []
        self.appearances: list[Appearance] = []
        self.commits = True
        """False: the journal takes records and does not answer, like a database that hangs"""
        self._peer = peer
        self._fees = fees
        self._commit_ns = commit_ns
        self._network_ns = network_ns
        self._heap: list[tuple[Ns, int, Input]] = []
        self._put = 0
        self._open: set[ConnId] = set()

    @property
    def records(self) -> list[Record]:
        return self.journal.records

    @property
    def hashes(self) -> dict[str, bytes]:
        """By stream: the chain's last hash."""
        return self.journal.hashes

    def start(self) -> None:
        self._carry_out(self.engine.start(self.now))

    def take(self, event: Input) -> None:
        """Give the engine an input now."""
        self._carry_out(self.engine.step(event))

    def run_for(self, ns: Ns) -> None:
        self.run_until(self.now + ns)

    def run_until(self, until: Ns) -> None:
        """Let everything happen that is due by then, in order of time."""
        while True:
            peer_due = self._peer.next_due()
            due = min(
                self.engine.deadline,
                self._heap[0][0] if self._heap else until + 1,
                until + 1 if peer_due is None else max(peer_due, self.now),
            )
            if due > until:
                break
            self.now = max(self.now, due)
            self._happen()
        self.now = until

    def _happen(self) -> None:
        """Everything due at this instant: peer's frames on their way, then inputs, then timers."""
        peer_due = self._peer.next_due()
        if peer_due is not None and peer_due <= self.now:
            for conn, data in self._peer.advance(self.now):
                at = self.now + self._network_ns
                self._at(Closed(conn, 1006, "closed by the exchange", at) if data is None else Frame(conn, data, at))
        while self._heap and self._heap[0][0] <= self.now:
            event = heapq.heappop(self._heap)[2]
            if isinstance(event, Frame) and event.conn not in self._open:
                continue
            if isinstance(event, Closed):
                self._open.discard(event.conn)
            self.take(event)
        if self.engine.deadline <= self.now:
            self.take(Tick(self.now))

    def _at(self, event: Input) -> None:
        self._put += 1
        heapq.heappush(self._heap, (event.now, self._put, event))

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Transmit(conn, data):
                    if conn in self._open:
                        self._peer.receive(conn, data, self.now)
                case Append(records):
                    self._append(records)
                case Send(_, order):
                    self.orders.append(order)
                case Observe(appearances):
                    self.appearances += appearances
                case Notify(alert):
                    self.alerts.append(alert)
                case Connect(conn, url):
                    self._open.add(conn)
                    self._peer.open(conn, url, self.now)
                    self._at(Opened(conn, self.now + self._network_ns))
                case Disconnect(conn):
                    if conn in self._open:
                        self._open.discard(conn)
                        self._peer.close(conn, self.now)
                        self._at(Closed(conn, 1000, "closed by us", self.now))
                case WantFees():
                    self._load_fees()

    def _append(self, records: Sequence[Record]) -> None:
        last = self.journal.append(records)
        if self.commits:
            for stream, seq in last.items():
                self._at(Durable(stream, seq, self.now + self._commit_ns))

    def _load_fees(self) -> None:
        if self._fees is not None:
            fees = self._fees(self.engine.market.pairs, self.now)
            for desk in self.engine.desks:
                self._at(FeesLoaded(desk.id, fees, self.now))
