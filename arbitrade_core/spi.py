"""The shapes plugins implement and what they are given to work with.

A plugin registers objects of these shapes through the hooks in `hooks.py`; the engine calls the objects. None of
them does I/O, reads a clock, or keeps a reference to anything but what it is handed. What they read is read-only:
the engine's state changes inside `Engine.step` alone.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from arbitrade_core.domain import (
    Alert,
    Asset,
    Candidate,
    Fee,
    FeeSnapshot,
    Leg,
    LegId,
    Ns,
    Order,
    OrderEvent,
    Pair,
    PairId,
    Plan,
    PlanKind,
    Rotation,
    Severity,
    Side,
)
from arbitrade_core.events import BookUpdate, Clockwork, ConnId

if TYPE_CHECKING:
    from arbitrade_core.book import Book, Level
    from arbitrade_core.lifecycle import Run, RunEvent

# --- what plugins read --------------------------------------------------------------------------------------

SELL_ROSE = 1
BUY_ROSE = 2
"""Bits of `rose` in `Detector.on_change`: which of the pair's two gross rates rose."""


class MarketView(Protocol):
    """What everybody sees. Indexes: `pairs` and `books` by PairId, `rate` by LegId."""

    @property
    def pairs(self) -> Sequence[Pair]: ...
    @property
    def books(self) -> Sequence["Book"]: ...
    @property
    def rate(self) -> Sequence[float]:
        """Gross rate of every directed leg: units got per unit spent, 0.0 when the leg cannot be used (TRADING 1)."""
        ...

    def leg(self, leg: LegId) -> Leg: ...
    def pair_id(self, symbol: str) -> PairId | None: ...
    def asset(self, symbol: str) -> Asset | None: ...
    def tradable(self, pair: PairId) -> bool:
        """Listed, online and enabled, whatever the state of its book: what an index of cycles is built over."""
        ...

    def usable(self, pair: PairId) -> bool:
        """Tradable, with a live, verified, uncrossed book."""
        ...

    def mark(self, asset: str, valuation_asset: str) -> Decimal | None:
        """Value of one unit, from mids of healthy books, direct or over two hops (TRADING 22); None: no mark."""
        ...

    def alive_age_ns(self, pair: PairId, now: Ns) -> int | None:
        """Time since the pair's connection last proved alive; None when no connection carries it."""
        ...

    def feed_lag_ns(self, pair: PairId) -> int | None:
        """Receive minus exchange time of the last update on the pair's connection, clock offset out; None: unknown."""
        ...

    def changed_age_ns(self, pair: PairId, now: Ns) -> int | None:
        """Time since the book last changed. Quiet pairs are normal; shown, rarely limited (TRADING 28)."""
        ...


class DeskView(Protocol):
    """One account as risk checks and executors see it. Amounts are exact; values are in `valuation_asset`."""

    @property
    def id(self) -> str: ...
    @property
    def valuation_asset(self) -> str: ...
    @property
    def market(self) -> MarketView: ...
    @property
    def fees(self) -> FeeSnapshot | None: ...
    @property
    def halted(self) -> str | None:
        """Why the desk sends nothing new; None when it may."""
        ...

    @property
    def exchange_status(self) -> str:
        """`online`, or what the exchange calls its trouble; `unknown` before it said anything."""
        ...

    @property
    def open_plans(self) -> Sequence[Plan]:
        """Approved and not yet ended."""
        ...

    @property
    def consecutive_failures(self) -> int: ...
    def available(self, asset: str, strategy: str = "") -> Decimal:
        """Balance that no open plan holds: of the strategy's own allocation when it has one, else of the rest."""
        ...

    def residue(self, asset: str) -> Decimal: ...
    def value(self, asset: str, amount: Decimal) -> Decimal | None: ...
    def depth(self, leg: LegId) -> Sequence["Level"]:
        """What an order on this leg could take, best first, verified levels only, less what was taken or promised."""
        ...

    def promised(self, leg: LegId) -> Collection[int]:
        """Price ticks of what the leg takes, shown now, where other plans were promised some: an order that reaches
        beyond the best of them takes theirs."""
        ...

    def fee(self, symbol: str) -> Fee | None: ...
    def banned_until(self, leg: LegId) -> Ns | None:
        """After a failure the directed leg that failed rests (TRADING 19)."""
        ...

    def plans_since(self, since: Ns, key: str | None = None) -> int:
        """Plans approved since then, of one cycle or of all."""
        ...

    def last_plan(self, key: str) -> Ns | None:
        """When a plan of this cycle was approved last, within the last day."""
        ...

    def standing_since(self, key: str) -> Ns | None:
        """When this cycle's present appearance began, by the desk's own hurdle; None: it is not above it."""
        ...

    def trading_pnl(self, since: Ns) -> Decimal:
        """Realised by plans that ended since then, unwinds included, never flows (TRADING 23)."""
        ...

    def unwind_loss(self, since: Ns) -> Decimal:
        """Lost (positive) by plans that ended otherwise than completed."""
        ...

    def drawdown(self) -> Decimal | None:
        """Fall of trading plus revaluation from its peak, positive; None when something cannot be marked."""
        ...


class Hurdles(Protocol):
    """What a cycle must return gross to be worth pricing, over all desks (TRADING 2)."""

    def break_even(self, legs: Sequence[LegId]) -> float:
        """Lowest over desks of 1 / fee factors; inf when no desk has fees for every leg."""
        ...

    def required(self, legs: Sequence[LegId]) -> float:
        """Lowest over desks of required return / fee factors; inf likewise."""
        ...

    def start_assets(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Holdings:
    """A strategy's ledger at one desk (TRADING 26), amounts by asset."""

    desk_id: str
    handed: Mapping[str, Decimal]
    """of its allocation, as far as it was there: the baseline that it is measured against"""
    held: Mapping[str, Decimal]
    """money in open plans included; assets of nothing left out"""


class DetectorPort(Hurdles, Protocol):
    """A detector's way into the engine, and what it may know of the desks."""

    def holdings(self) -> Sequence[Holdings]:
        """What the detector's own strategy has at each desk that handed it something, the main desk first."""
        ...

    def taker_rate(self, symbol: str) -> Decimal | None:
        """The highest taker fee of any desk on a pair, as a fraction of the cost; None when none is known."""
        ...

    def wake_at(self, due: Ns) -> None:
        """Call `on_timer` then (`Timed`). Wishes add up; one that is not needed any more may be ignored."""
        ...


# --- feeds --------------------------------------------------------------------------------------------------


class FeedPort(Protocol):
    """A feed's way into the engine. Every call takes effect at once, inside the running step."""

    @property
    def clockwork(self) -> Clockwork: ...
    def connect(self, url: str) -> ConnId: ...
    def transmit(self, conn: ConnId, data: bytes) -> None: ...
    def disconnect(self, conn: ConnId) -> None: ...
    def list_assets(self, assets: Sequence[Asset]) -> None: ...
    def list_pairs(self, pairs: Sequence[Pair], now: Ns) -> list[PairId]:
        """Announce new or changed pairs. A change of increments clears the book: fetch a snapshot (see `resync`)."""
        ...

    def book(self, pair: PairId) -> "Book":
        """What the market holds of a pair that was listed. To be read only."""
        ...

    def carried_by(self, pair: PairId, conn: ConnId | None, now: Ns) -> None:
        """Which connection carries the pair's book; None: none, and the book is out of use."""
        ...

    def quarantine(self, pair: PairId, reason: str, now: Ns) -> None:
        """Take one pair out of use until a verified snapshot arrives."""
        ...

    def clock_offset(self, offset_ns: int) -> None:
        """Exchange clock minus ours, as estimated from pings."""
        ...

    def exchange_status(self, status: str, now: Ns) -> None: ...
    def fault(self, kind: str, detail: str, now: Ns) -> None:
        """Something the other side did that it should not have. Counted by kind, the newest kept."""
        ...

    def alert(self, severity: Severity, topic: str, text: str, now: Ns) -> None: ...


class Feed(Protocol):
    """Market data of one exchange as a sans-I/O state machine. Feeding it bytes never raises."""

    @property
    def name(self) -> str: ...
    def start(self, port: FeedPort, now: Ns) -> None: ...
    def stop(self, now: Ns) -> None: ...
    def carry(self, pairs: Collection[PairId], now: Ns) -> None:
        """The pairs whose books are wanted from now on; replaces the previous wish."""
        ...

    def resync(self, pair: PairId, now: Ns) -> None:
        """The pair is quarantined: get a fresh snapshot, at a pace the exchange allows."""
        ...

    def on_open(self, conn: ConnId, now: Ns) -> None: ...
    def on_close(self, conn: ConnId, code: int, reason: str, now: Ns) -> None: ...
    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]: ...


class CaptureReader(Protocol):
    """A form in which others keep what this exchange sent, read as a recording of it."""

    @property
    def name(self) -> str: ...
    def sniff(self, first_lines: Sequence[bytes]) -> bool:
        """Whether lines that a file begins with are of this form."""
        ...

    def read(
        self, lines: Iterable[bytes], bad: Callable[[int, str], None]
    ) -> Iterator[tuple[Ns, ConnId, bytes | None]]:
        """Dated frames as the follower reads them, times never falling; None for a frame: the connection ended.

        `lines` can be gone through more than once. Of a line that cannot be read `bad` is told: its number, from 1, and
        what is wrong, with the value. It is left out unless `bad` raises.
        """
        ...


@runtime_checkable
class Recordable(Protocol):
    """A feed whose recordings can be read in part, and by a bot with other settings."""

    def state(self, pairs: Collection[PairId], now: Ns) -> Sequence[tuple[ConnId, bytes]]:
        """Frames as the exchange would send them if it were asked now: the listing and the status first, when `pairs`
        is empty; else the books of these pairs, those that are not live left out. Read between two steps."""
        ...

    def follower(self) -> Feed:
        """A feed of the same name that listens: it asks for nothing, and takes connections, listings and books as they
        come, whoever asked for them. `carry` names the pairs that it is to read; a snapshot of a book that is live and
        the same changes nothing; a book that fails waits for the next snapshot, whoever sends it."""
        ...

    def captures(self) -> Sequence[CaptureReader]:
        """The forms of captures made elsewhere that can be imported."""
        ...


# --- detectors ----------------------------------------------------------------------------------------------


class Vanished(msgspec.Struct, frozen=True):
    """A candidate offered before is no longer above its hurdle."""

    key: str


type Finding = Candidate | Rotation | Vanished


@dataclass(frozen=True, slots=True)
class Detection:
    """How often one cycle was looked at and how far it got before pricing: the top of the funnel."""

    evaluated: int
    gross_positive: int
    after_fees: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How near a cycle is to trading by current top-of-book rates: for eyes."""

    key: str
    legs: tuple[LegId, ...]
    gross_bps: float
    """product of the gross rates less 1"""
    net_bps: float
    """the same after the lowest fees of any desk"""


class Detector(Protocol):
    """Finds candidates. Called synchronously on every message of a pair it asked for: count in microseconds."""

    @property
    def name(self) -> str: ...
    def rebuild(self, market: MarketView, port: DetectorPort, now: Ns) -> Collection[PairId]:
        """Fees, thresholds, pairs or start assets changed: index anew, keep counters; returns the pairs to call for.

        The engine then offers `active()`, so no finding is returned here (TRADING 4).
        """
        ...

    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        """The pair's book changed; `rose` holds SELL_ROSE and BUY_ROSE bits (TRADING 3).

        `market.rate` holds the change already; the levels in `market.books` may follow once detectors have returned.
        """
        ...

    def active(self) -> Sequence[Finding]:
        """Everything above its hurdle by current rates, and what vanished since the last call."""
        ...

    def detections(self) -> Mapping[str, Detection]:
        """Counters by cycle key since start. Not on the hot path."""
        ...

    def ranked(self, limit: int) -> Sequence[Standing]:
        """What is nearest to trading now, best net first; cycles with an unusable leg left out."""
        ...


@runtime_checkable
class Timed(Protocol):
    """A detector that also wants to be called at times it asked its port for."""

    def on_timer(self, now: Ns) -> Sequence[Finding]: ...


@runtime_checkable
class Listening(Protocol):
    """A detector that may only listen: while it does, no book is fetched for its sake.

    It is called for those of its pairs that another detector wants, and finds nothing: it watches prices for a check.
    """

    @property
    def listens_only(self) -> bool: ...


@runtime_checkable
class Funded(Protocol):
    """A detector whose plans work with an allocation of their own, in a sub-ledger (TRADING 26)."""

    @property
    def allocation(self) -> Mapping[str, Decimal]:
        """Amounts by asset that each desk hands it, once, out of its balances."""
        ...


# --- risk ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refused:
    """A risk check's no. `reason` names the figure, the limit and the currency."""

    check: str
    reason: str
    until_ns: Ns | None = None
    """nothing changes for the plan's cycle before then: the desk does not ask again until it has come"""
    until_gone: bool = False
    """nothing changes while the cycle's appearance lasts: the desk does not ask again before it has come anew"""


class RiskCheck(Protocol):
    """May a plan be executed? Raising refuses, and is logged."""

    @property
    def name(self) -> str: ...
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None: ...


# --- execution ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Send this order of the plan; its intent is already durable."""

    order: Order


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Journal this new order first, then send it (TRADING 18)."""

    order: Order
    purpose: str
    """`complete` or `reverse`"""


@dataclass(frozen=True, slots=True)
class BanLeg:
    leg: LegId
    reason: str


class Outcome(msgspec.Struct, frozen=True):
    """How a plan ended. `kind`: completed | partial | unwound | missed | stuck (residue beyond the loss cap)."""

    kind: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class HaltDesk:
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Step the run again at `until_ns`, with `Woken`, unless it has ended; replaces an earlier wish of the run."""

    until_ns: Ns
    alert: str = ""
    """what people must hear when the wait begins; empty: they know"""


type Action = Place | FollowUp | BanLeg | Wait | Finish | HaltDesk


class Executor(Protocol):
    """Carries a plan's legs out. A pure state machine over `run`: no I/O, no clock, nothing kept between runs."""

    @property
    def name(self) -> str: ...
    @property
    def kinds(self) -> frozenset[PlanKind]: ...
    def step(self, run: "Run", event: "RunEvent", desk: DeskView, now: Ns) -> Sequence[Action]: ...


class VenuePort(Protocol):
    """A venue's way into the engine."""

    @property
    def clockwork(self) -> Clockwork: ...
    @property
    def market(self) -> MarketView: ...
    def deliver(self, event: OrderEvent, now: Ns) -> None: ...


class Venue(Protocol):
    """Where a desk's orders go: a sans-I/O state machine of orders."""

    @property
    def name(self) -> str: ...
    def start(self, port: VenuePort, now: Ns) -> None: ...
    def submit(self, order: Order, now: Ns) -> None: ...
    def taken(self, pair: PairId, side: Side) -> Mapping[int, int]:
        """Lots per price tick that this desk took from what an order of `side` can take and the market still shows."""
        ...

    def watches(self, pair: PairId) -> bool:
        """Whether anything on this pair is taken, so that its updates matter here."""
        ...

    def on_update(self, update: BookUpdate, now: Ns) -> None:
        """Called after a book on which `taken` is not empty changed."""
        ...


class VenueKind(Protocol):
    """A kind of venue that desks can use; each desk that does opens one of its own."""

    @property
    def name(self) -> str: ...
    @property
    def real(self) -> bool:
        """Whether its orders reach an exchange. A desk that trades on paper refuses such a venue."""
        ...

    def open(self, desk_id: str, funds: Callable[[str], Decimal]) -> Venue:
        """A venue for one desk; `funds(asset)` is what the desk's account holds, as far as it was booked."""
        ...


# --- notifiers ----------------------------------------------------------------------------------------------


class Notifier(Protocol):
    """Tells people. Called outside the engine; `send` returns at once and never blocks trading."""

    @property
    def name(self) -> str: ...
    def send(self, alert: Alert) -> None: ...
