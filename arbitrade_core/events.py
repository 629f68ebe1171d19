"""What can happen, and what the engine asks for in return.

Inputs go into `Engine.step` one at a time and carry their time; the recording of a run is the list of its inputs.
Outputs are commands: the shell carries them out and knows no rule. msgspec structs, because a frozen dataclass
costs a microsecond on the path of every frame.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import msgspec

from arbitrade_core.domain import Alert, FeeSnapshot, LegId, Ns, Order, PairId
from arbitrade_core.journal import Record

if TYPE_CHECKING:
    from arbitrade_core.book import Book

type ConnId = int
"""One connection attempt; never used again after it closed."""


class Quote(Protocol):
    """One changed level as doubles: good enough to rank by. `qty` 0 deletes."""

    @property
    def price(self) -> float: ...
    @property
    def qty(self) -> float: ...


class Quotes(Protocol):
    """The levels of an update as doubles, each the nearest to its price."""

    @property
    def bids(self) -> Sequence[Quote]: ...
    @property
    def asks(self) -> Sequence[Quote]: ...


class BookUpdate(msgspec.Struct):
    """Changes of one book, as a feed hands them to the market: `(ticks, lots)`, lots 0 deletes, later wins.

    A feed subclasses this with what it needs to prove the book afterwards. One that hands over `quotes` fills in `bids`
    and `asks` when asked to `read`: ranking goes by doubles, so exactness can wait until the message was scored.
    """

    pair: PairId
    snapshot: bool
    bids: Sequence[tuple[int, int]]
    asks: Sequence[tuple[int, int]]
    quotes: Quotes | None = None
    """None once `bids` and `asks` are there"""

    def read(self) -> bool:
        """Make `bids` and `asks` exact; False when they cannot be: then the feed took the pair out of use."""
        return True

    def verify(self, book: "Book") -> bool:
        """Whether `book`, with this update applied, is what the exchange says it is. Called once, in order."""
        raise NotImplementedError

    def exchange_ns(self) -> Ns | None:
        """When the exchange published this, if it said so."""
        return None


# --- inputs -------------------------------------------------------------------------------------------------


class Frame(msgspec.Struct, gc=False):
    """Bytes received on a connection."""

    conn: ConnId
    data: bytes
    now: Ns


class Opened(msgspec.Struct):
    conn: ConnId
    now: Ns


class Closed(msgspec.Struct):
    """The connection ended or could not be opened. `code` is the WebSocket close code, 0 when there was none."""

    conn: ConnId
    code: int
    reason: str
    now: Ns


class Tick(msgspec.Struct):
    """The deadline the engine asked for has come."""

    now: Ns


class Durable(msgspec.Struct):
    """Every record up to and including `seq` of the stream is on disk."""

    stream: str
    seq: int
    now: Ns


class JournalLost(msgspec.Struct):
    """Appends fail. New plans stop until `JournalBack`."""

    reason: str
    now: Ns


class JournalBack(msgspec.Struct):
    now: Ns


class FeesLoaded(msgspec.Struct):
    desk_id: str
    fees: FeeSnapshot
    now: Ns


class PairsEnabled(msgspec.Struct):
    """Operators' choice of pairs, by symbol; None means all."""

    symbols: frozenset[str] | None
    now: Ns


class StartAssets(msgspec.Struct):
    desk_id: str
    assets: tuple[str, ...]
    now: Ns


class Thresholds(msgspec.Struct):
    """New thresholds of a desk's pricing."""

    desk_id: str
    min_edge_bps: Decimal
    margin_bps: Decimal
    min_profit: Decimal
    now: Ns


class SettingsChanged(msgspec.Struct):
    """Operators changed overrides of settings. What takes effect at once comes as inputs of its own after this."""

    version: int
    actor: str
    reason: str
    changes: dict[str, tuple[str | None, str | None]]
    """by variable: the override before and after, None for none"""
    now: Ns


class Halt(msgspec.Struct):
    """Stop new sends, but for whitelisted unwinds. `actor` is journalled."""

    reason: str
    actor: str
    now: Ns


class Resume(msgspec.Struct):
    actor: str
    now: Ns


class PluginEnabled(msgspec.Struct):
    """A plugin's objects, which the engine's `parts` hold already, take effect now."""

    plugin: str
    version: str
    actor: str
    now: Ns


class PluginDisabled(msgspec.Struct):
    """No new plans from this plugin's detectors or for its executors; those in flight go on."""

    plugin: str
    actor: str
    now: Ns


class PluginFaulted(msgspec.Struct):
    """One of a plugin's objects misbehaved where the engine could not see it: over its budget, or outside.

    Measured by the shell, so it is an input: recorded, and never made anew in a replay.
    """

    plugin: str
    kind: str
    """a `parts.Part`"""
    name: str
    reason: str
    now: Ns


class Drain(msgspec.Struct):
    """The process is about to stop: no new plans; those in flight end."""

    now: Ns


type Input = (
    Frame
    | Opened
    | Closed
    | Tick
    | Durable
    | JournalLost
    | JournalBack
    | FeesLoaded
    | PairsEnabled
    | StartAssets
    | Thresholds
    | SettingsChanged
    | Halt
    | Resume
    | Drain
    | PluginEnabled
    | PluginDisabled
    | PluginFaulted
)


# --- commands -----------------------------------------------------------------------------------------------


class Connect(msgspec.Struct):
    conn: ConnId
    url: str


class Transmit(msgspec.Struct):
    conn: ConnId
    data: bytes


class Disconnect(msgspec.Struct):
    conn: ConnId


class Append(msgspec.Struct):
    """Make these durable, in order; answer with `Durable` of the last one's seq."""

    records: tuple[Record, ...]


class Send(msgspec.Struct):
    """This order leaves now, to the desk's venue. It is emitted once per order id, ever (RELIABILITY 1)."""

    desk_id: str
    order: Order


class Appearance(msgspec.Struct):
    """One life of a mispricing: from the message that lifted it over its hurdle to the one that ended it."""

    strategy: str
    key: str
    path: str
    """assets in trade order, for eyes"""
    opened_ns: Ns
    closed_ns: Ns | None
    best_gross_bps: float
    best_edge_bps: Decimal | None
    """best expected edge after fees of any desk's pricing; None when no desk got that far"""
    outcome: str
    """furthest funnel stage reached by any desk"""
    evaluations: int


class Observe(msgspec.Struct):
    """For the lossy side: appearances that ended. Dropped, counted, when the writer cannot keep up."""

    appearances: tuple[Appearance, ...]


class Notify(msgspec.Struct):
    alert: Alert


class Quarantined(msgspec.Struct):
    """A plugin's object is out of use from now on; whoever keeps the catalogue marks it there."""

    plugin: str
    kind: str
    name: str
    reason: str


class WantFees(msgspec.Struct):
    """The listing changed: answer with `FeesLoaded` for every desk, or not at all when fees are not known."""


type Command = Connect | Transmit | Disconnect | Append | Send | Observe | Notify | Quarantined | WantFees


type TimerAction = Callable[[Ns], None]
"""Called with the time it was due."""


class Clockwork(Protocol):
    """The engine's timers, as components see them. Due times are absolute; equal due times run in order of asking."""

    def at(self, due: Ns, action: TimerAction) -> int: ...
    def cancel(self, handle: int) -> None: ...


__all__ = [
    "Alert",
    "Appearance",
    "Append",
    "BookUpdate",
    "Clockwork",
    "Closed",
    "Command",
    "ConnId",
    "Connect",
    "Disconnect",
    "Drain",
    "Durable",
    "FeesLoaded",
    "Frame",
    "Halt",
    "Input",
    "JournalBack",
    "JournalLost",
    "LegId",
    "Notify",
    "Observe",
    "Opened",
    "PairsEnabled",
    "PluginDisabled",
    "PluginEnabled",
    "PluginFaulted",
    "Quarantined",
    "Quote",
    "Quotes",
    "Resume",
    "Send",
    "SettingsChanged",
    "StartAssets",
    "Thresholds",
    "Tick",
    "TimerAction",
    "Transmit",
    "WantFees",
]
