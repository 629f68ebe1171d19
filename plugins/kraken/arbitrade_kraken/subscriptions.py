"""The books that one connection carries: each pair's subscription as a small state machine.

A book is resynced strictly in sequence (unsubscribe, wait for the answer, subscribe, wait for the snapshot), so a
snapshot can never be one of the subscription before. While a pair waits, its messages are ignored and counted.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from arbitrade_core.domain import Ns, Pair, PairId, Severity
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.spi import FeedPort
from arbitrade_kraken.books import BookReader, Levels
from arbitrade_kraken.hearing import HeardBook, HeardBooks, grid
from arbitrade_kraken.pacing import MILLISECOND, SECOND, SETTLED_NS, Backoff, worth_telling
from arbitrade_kraken.settings import KrakenSettings

RESYNC_DELAYS_NS: Sequence[Ns] = (
    0,
    SECOND,
    2 * SECOND,
    4 * SECOND,
    8 * SECOND,
    16 * SECOND,
    32 * SECOND,
    60 * SECOND,
)
"""Before fetching a book anew, by failures in a row."""
REFUSED_DELAY_NS: Ns = 5 * SECOND
"""Least delay after a refusal in words."""


class Stage(Enum):
    """Where a pair's subscription stands. Only in LIVE do its updates go to the market."""

    QUEUED = auto()
    """subscribe when due"""
    SUBSCRIBING = auto()
    """asked for; a snapshot must come by `due`"""
    LIVE = auto()
    LEAVING = auto()
    """unsubscribe when due"""
    UNSUBSCRIBING = auto()
    """asked for; whatever comes now is ignored"""


@dataclass(slots=True, eq=False)
class Subscription(HeardBook):
    """One pair's book on this link."""

    stage: Stage
    due: Ns
    backoff: Backoff = field(default_factory=lambda: Backoff(RESYNC_DELAYS_NS))
    wanted: bool = True
    live_since: Ns = 0
    carried: bool = False
    """whether the market was told that this link carries the pair"""


class Subscriptions(HeardBooks[Subscription]):
    """One link's pairs. What is due to be sent is asked for by `due`; answers and frames are told."""

    def __init__(self, port: FeedPort, settings: KrakenSettings, slowly: Callable[[], Levels | None]) -> None:
        """`slowly`: see `BookReader`."""
        super().__init__(port, {}, Counter())
        self._settings = settings
        self._slowly = slowly

    @property
    def size(self) -> int:
        """Pairs that are wanted."""
        return sum(subscription.wanted for subscription in self.by_symbol.values())

    def add(self, pair_id: PairId, pair: Pair, now: Ns) -> None:
        """Carry this pair's book. One that is being dropped is taken back once unsubscribed."""
        known = self.by_symbol.get(pair.symbol)
        if known is None:
            reader = self._reader(pair_id, pair)
            self.by_symbol[pair.symbol] = Subscription(pair_id, pair, reader, Stage.QUEUED, now)
            return
        known.wanted = True
        if known.pair != pair:
            self._relist(known, pair)

    def drop(self, symbol: str, now: Ns) -> None:
        """Carry it no longer."""
        subscription = self.by_symbol[symbol]
        subscription.wanted = False
        self._uncarry(subscription, now)
        match subscription.stage:
            case Stage.QUEUED:
                del self.by_symbol[symbol]
            case Stage.UNSUBSCRIBING:
                pass
            case _:
                self._leave(subscription, now)

    def relist(self, pair: Pair, now: Ns) -> None:
        """The pair's listing changed. New precisions or increments need a new book; a new status may end a wait."""
        subscription = self.by_symbol[pair.symbol]
        old = subscription.pair
        self._relist(subscription, pair)
        if grid(old) != grid(pair) and subscription.stage in (Stage.SUBSCRIBING, Stage.LIVE):
            self._leave(subscription, now)
            self._port.quarantine(subscription.id, "its precision or increments changed", now)
        elif old.status is not pair.status and subscription.stage is Stage.QUEUED:
            subscription.due = now

    def _relist(self, subscription: Subscription, pair: Pair) -> None:
        if grid(subscription.pair) != grid(pair):
            subscription.reader = self._reader(subscription.id, pair)
        subscription.pair = pair

    def resync(self, symbol: str, now: Ns) -> None:
        """The pair's book is wrong: get a fresh snapshot, later and later when that repeats."""
        subscription = self.by_symbol[symbol]
        if subscription.stage is Stage.LIVE:
            self._fail(subscription, "its book had to be fetched again", now)

    def listening(self, symbol: str, snapshot: bool, now: Ns) -> Subscription | None:
        subscription = self.by_symbol.get(symbol)
        if subscription is None:
            self._port.fault("unknown_symbol", f"a book of {symbol[:40]!r}, which was not asked for", now)
            return None
        if subscription.stage is Stage.LIVE or (snapshot and subscription.stage is Stage.SUBSCRIBING):
            return subscription
        self.ignored["before_snapshot" if subscription.stage is Stage.SUBSCRIBING else "resyncing"] += 1
        return None

    def restored(self, book: Subscription, update: BookUpdate, conn: ConnId | None, now: Ns) -> bool:
        if book.stage is not Stage.LIVE:
            book.stage = Stage.LIVE
            book.live_since = now
            self.live[book.pair.symbol] = book.reader
        if not book.carried:
            book.carried = True
            self._port.carried_by(book.id, conn, now)
        return True

    def distrust(self, book: Subscription, reason: str, now: Ns) -> None:
        if book.stage in (Stage.LIVE, Stage.SUBSCRIBING):
            self._fail(book, reason, now)
        self._port.quarantine(book.id, reason, now)

    # --- answers ---

    def subscribed(self, symbol: str, now: Ns) -> None:
        """Confirmed: now the snapshot is waited for."""
        subscription = self.by_symbol.get(symbol)
        if subscription is not None and subscription.stage is Stage.SUBSCRIBING:
            subscription.due = now + self._settings.snapshot_timeout_ms * MILLISECOND

    def unsubscribed(self, symbol: str, now: Ns) -> None:
        """Confirmed, or there was nothing to leave: subscribe anew, unless it is wanted no longer."""
        subscription = self.by_symbol.get(symbol)
        if subscription is None or subscription.stage is not Stage.UNSUBSCRIBING:
            return
        if subscription.wanted:
            subscription.stage, subscription.due = Stage.QUEUED, now
        else:
            del self.by_symbol[symbol]

    def refused(self, symbol: str, error: str, *, answered: bool, now: Ns) -> None:
        """Not subscribed. Without an answer it may be all the same, so it is left first."""
        subscription = self.by_symbol.get(symbol)
        if subscription is None or subscription.stage is not Stage.SUBSCRIBING:
            return  # its snapshot came: the book proves itself
        if not answered:
            self._fail(subscription, error, now)
            return
        delay = max(REFUSED_DELAY_NS, subscription.backoff.next_delay_ns())
        subscription.stage, subscription.due = Stage.QUEUED, now + delay
        failures = subscription.backoff.failures
        if failures == 1 or worth_telling(failures):
            text = f"Kraken refused the book of {symbol}: {error}. It is tried again, later and later."
            self._port.alert(Severity.WARNING, "feed.rejected", text, now)

    def _fail(self, subscription: Subscription, reason: str, now: Ns) -> None:
        """Start this pair's book anew, after a delay that grows while it keeps failing."""
        backoff = subscription.backoff
        if subscription.stage is Stage.LIVE and now - subscription.live_since >= SETTLED_NS:
            backoff.reset()
        delay = backoff.next_delay_ns()
        if worth_telling(backoff.failures):
            self._port.alert(
                Severity.WARNING,
                "feed.resync",
                f"the book of {subscription.pair.symbol} failed {backoff.failures} times in a row: {reason}",
                now,
            )
        self._leave(subscription, now + delay)

    def _leave(self, subscription: Subscription, due: Ns) -> None:
        self.live.pop(subscription.pair.symbol, None)
        subscription.stage, subscription.due = Stage.LEAVING, due

    def _uncarry(self, subscription: Subscription, now: Ns) -> None:
        if subscription.carried:
            subscription.carried = False
            self._port.carried_by(subscription.id, None, now)

    # --- time ---

    def lost(self, now: Ns) -> None:
        """The connection is gone: all books are out of use, to be subscribed to on the next one."""
        self.live.clear()
        for symbol, subscription in list(self.by_symbol.items()):
            self._uncarry(subscription, now)
            if subscription.wanted:
                subscription.stage, subscription.due = Stage.QUEUED, now
            else:
                del self.by_symbol[symbol]

    def expire(self, now: Ns) -> None:
        """Snapshots that did not come in time: start these books anew."""
        for subscription in self.by_symbol.values():
            if subscription.stage is Stage.SUBSCRIBING and subscription.due <= now:
                self._port.fault("snapshot_missing", subscription.pair.symbol, now)
                self._fail(subscription, "no snapshot came", now)

    def next_due(self, stages: Collection[Stage]) -> Ns | None:
        """When the first of those in these stages is due."""
        return min((one.due for one in self.by_symbol.values() if one.stage in stages), default=None)

    def due(self, stage: Stage, next_stage: Stage, now: Ns) -> list[str]:
        """Symbols waiting in a stage whose time has come, moved on to the next one: as many as a message takes."""
        symbols: list[str] = []
        wait = self._settings.ack_timeout_ms + self._settings.snapshot_timeout_ms
        for symbol, subscription in self.by_symbol.items():
            if subscription.stage is stage and subscription.due <= now:
                subscription.stage = next_stage
                subscription.due = now + wait * MILLISECOND
                symbols.append(symbol)
                if len(symbols) == self._settings.symbols_per_message:
                    break
        return symbols

    def _reader(self, pair_id: PairId, pair: Pair) -> BookReader:
        return BookReader(pair_id, pair.price_decimals, pair.qty_decimals, self._settings.depth, self._slowly)
