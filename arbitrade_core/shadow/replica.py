"""The shadow's engine, moved by the bot's inputs. No I/O, no clock: messages in, answers out.

What the engine asks for goes nowhere: it is compared with what the bot's asked for in the same step. The two may be of
different versions, so nothing is taken for granted:

- Connections are matched by address, in the order in which either side asked for them.
- A commit is the bot's: `Durable` says that everything written up to some input is on disk, and that is what it says
  here too, of this side's own records. Records written in a step in which the bot wrote none to that stream have no
  such commit; theirs comes after the time that the bot's last one took. With the same version that never happens.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from arbitrade_core.domain import Ns
from arbitrade_core.engine import Engine
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.events import (
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
    Opened,
    PluginEnabled,
    Quarantined,
    StartAssets,
    Thresholds,
    Tick,
    Transmit,
)
from arbitrade_core.journal import Record
from arbitrade_core.shadow.compare import Decision, Reader
from arbitrade_core.shadow.wire import Astray, Connected, Progress, Said, Started, Transmitted, Wrote

COMMIT_NS: Ns = 2_000_000
"""What a commit takes as long as the bot has shown none."""
_SHOWN = 120
"""characters of a message, as an example"""


@dataclass(slots=True)
class _Marks:
    """Of one stream: which record numbers were the newest after which input."""

    bot: deque[tuple[int, int, Ns]] = field(default_factory=deque)
    """(record, input, time)"""
    own: deque[tuple[int, int]] = field(default_factory=deque)
    """(record, input)"""

    def committed(self, record: int) -> tuple[int, Ns] | None:
        """Our newest record by the input after which the bot's `record` was its newest, and that input's time."""
        seq, at = 0, None
        while self.bot and self.bot[0][0] <= record:
            _, seq, at = self.bot.popleft()
        last = None
        while self.own and self.own[0][1] <= seq:
            last, _ = self.own.popleft()
        return None if last is None or at is None else (last, at)

    def forget(self, record: int) -> None:
        """Our records up to this one are on disk."""
        while self.own and self.own[0][0] <= record:
            self.own.popleft()


class Replica:
    """`plugin_in(name)` brings a plugin's objects to where the engine finds them and returns its version here.

    It raises ArbitradeError when it cannot.
    """

    def __init__(self, engine: Engine, plugin_in: Callable[[str], str]) -> None:
        self.engine = engine
        self.seq = 0
        self.astray = Astray()
        self.quarantined: dict[str, str] = {}
        self._plugin_in = plugin_in
        self._reader = Reader()
        self._decisions: list[Decision] = []
        self._now: Ns = 0
        self._desks = {desk.id for desk in engine.desks}
        self._conns: dict[ConnId, ConnId] = {}
        """the bot's, to ours"""
        self._wanted: list[tuple[ConnId, str]] = []
        """ours that the bot has not asked for yet"""
        self._offered: list[tuple[ConnId, str]] = []
        """the bot's that ours has not asked for yet"""
        self._asked: list[str] = []
        """addresses asked for in this step, by us alone"""
        self._sent: Counter[bytes] = Counter()
        """sent in this step, by us alone"""
        self._marks: dict[str, _Marks] = {}
        self._written: dict[str, int] = {}
        """streams written in this step, by us alone, with the last record"""
        self._commits: list[tuple[Ns, str, int]] = []
        """our own, still to come"""
        self._commit_ns = COMMIT_NS

    def take(self, said: Said) -> list[Decision]:
        """What was decided because of it."""
        match said:
            case Connected(conn, url):
                self._bot_connected(conn, url)
            case Transmitted(data):
                self._bot_sent(data)
            case Wrote(stream, last):
                self._written.pop(stream, None)
                self._marks.setdefault(stream, _Marks()).bot.append((last, self.seq, self._now))
            case Started(now):
                self._now = now
                self._carry_out(self.engine.start(now))
            case _:
                self._feed(said)
        decisions, self._decisions = self._decisions, []
        return decisions

    def progress(self) -> Progress:
        engine = self.engine
        return Progress(self.seq, engine.candidates, engine.faults, self.quarantined, self.astray)

    # --- inputs ---

    def _feed(self, event: Input) -> None:
        self._step_is_over()
        self.seq += 1
        while self._commits and self._commits[0][0] <= event.now:
            due, stream, record = heapq.heappop(self._commits)
            self._marks[stream].forget(record)
            self._carry_out(self.engine.step(Durable(stream, record, due)))
        self._now = event.now
        own = self._translated(event)
        if own is None:
            self.astray.inputs_left_out += 1
            own = Tick(event.now)
        self._carry_out(self.engine.step(own))

    def _translated(self, event: Input) -> Input | None:
        """The input as this side knows things; None when it means nothing here."""
        match event:
            case Frame() | Opened() | Closed():
                return self._heard(event)
            case Durable():
                return self._committed(event)
            case PluginEnabled():
                return self._enabled(event)
            case FeesLoaded() | StartAssets() | Thresholds() if event.desk_id not in self._desks:
                self._astray_by(f"there is no desk {event.desk_id!r} here")
                return None
            case _:
                return event

    def _heard(self, event: Frame | Opened | Closed) -> Input | None:
        own = self._conns.get(event.conn)
        if not isinstance(event, Frame):
            self._offered = [entry for entry in self._offered if entry[0] != event.conn]
        if isinstance(event, Closed):
            self._conns.pop(event.conn, None)
        if own is not None:
            event.conn = own
            return event
        return None

    def _committed(self, event: Durable) -> Input:
        committed = self._marks.setdefault(event.stream, _Marks()).committed(event.seq)
        if committed is None:
            return Tick(event.now)
        record, written_at = committed
        self._commit_ns = event.now - written_at
        return Durable(event.stream, record, event.now)

    def _enabled(self, event: PluginEnabled) -> Input | None:
        try:
            event.version = self._plugin_in(event.plugin)
        except ArbitradeError as error:
            self._astray_by(f"plugin {event.plugin!r} cannot be enabled here: {error}")
            return None
        return event

    # --- what the engine asks for ---

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Append(records):
                    self._append(records)
                case Connect(conn, url):
                    self._connect(conn, url)
                case Transmit(_, data):
                    self._sent[data] += 1
                case Disconnect(conn):
                    # One that is known stays so until the bot's is closed: what still comes is the feed's to ignore.
                    self._wanted = [entry for entry in self._wanted if entry[0] != conn]
                case Quarantined(plugin, kind, name, reason):
                    self.quarantined[plugin] = f"{kind} {name!r}: {reason}"
                case _:
                    pass  # orders are the paper venue's, and people hear of the bot's alerts alone

    def _append(self, records: Sequence[Record]) -> None:
        self._decisions += self._reader.read(records, self.seq)
        for stream, last in {record.stream: record.seq for record in records}.items():
            self._written[stream] = last
            self._marks.setdefault(stream, _Marks()).own.append((last, self.seq))

    def _connect(self, conn: ConnId, url: str) -> None:
        known = next((entry for entry in self._offered if entry[1] == url), None)
        if known is None:
            self._wanted.append((conn, url))
            self._asked.append(url)
        else:
            self._offered.remove(known)
            self._conns[known[0]] = conn

    def _bot_connected(self, conn: ConnId, url: str) -> None:
        known = next((entry for entry in self._wanted if entry[1] == url), None)
        if known is None:
            self._offered.append((conn, url))
        else:
            self._wanted.remove(known)
            self._conns[conn] = known[0]
        if url in self._asked:
            self._asked.remove(url)
        else:
            self.astray.connections_unasked += 1
            self._astray_by(f"the bot connected to {url} and the shadow did not")

    def _bot_sent(self, data: bytes) -> None:
        if self._sent[data] > 0:
            self._sent[data] -= 1
        else:
            self.astray.messages_unasked += 1
            self._astray_by(f"the bot sent {_shown(data)} and the shadow did not")

    def _astray_by(self, what: str) -> None:
        self.astray.example = f"at input {self.seq}: {what}"

    # --- the step is over, on both sides ---

    def _step_is_over(self) -> None:
        for stream, last in self._written.items():
            heapq.heappush(self._commits, (self._now + self._commit_ns, stream, last))
        self._written.clear()
        # Feeds stop at the end of the bot, which is no input: what is asked for from there on is no divergence.
        if (self._asked or self._sent) and not self.engine.draining:
            self._count_asked()
        self._asked.clear()
        self._sent.clear()

    def _count_asked(self) -> None:
        for url in self._asked:
            self.astray.connections_asked += 1
            self._astray_by(f"the shadow asked for a connection to {url} and the bot did not")
        for data, times in self._sent.items():
            if times > 0:
                self.astray.messages_asked += times
                self._astray_by(f"the shadow sent {_shown(data)} and the bot did not")


def _shown(data: bytes) -> str:
    text = data.decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
