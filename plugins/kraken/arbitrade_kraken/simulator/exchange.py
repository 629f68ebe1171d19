"""The simulated exchange, sans-I/O: time and requests come in, frames come out.

The same seed and the same calls give the same bytes in any process. Nothing here reads a clock: the market's
next event, heartbeats, snapshots and planted mispricings wait in one queue for the time that `advance` is
told.
"""

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Literal

from . import wire
from .chance import stream
from .listing import PairListing
from .market import Event, Market, PairMarket
from .mispricing import MispricingPlan, Planted, Planter
from .orderbook import ASK, BID, Change, Fill, Taken
from .session import RequestLimit, Session, Subscription
from .universe import MAX_PAIRS, universe

DEFAULT_START_NS = 1_793_620_800_000_000_000
"""2026-11-02T12:00:00Z, for runs on simulated time"""

type Frames = list[tuple[Session, bytes]]
type Fault = Literal["corrupt", "drop", "duplicate"]

_HEARTBEAT_NS = 1_000_000_000
_IDLE_NS = 60_000_000_000
_IDLE_CODE = 1000
_HALTED_RETRY_NS = 100_000_000
_MATCHING = {"online", "post_only", "limit_only"}
"""System states in which books move (in cancel_only and maintenance nothing matches, PROTOCOL 1.3)."""


class SimulatedExchange:
    """A seeded market behind Kraken's public WebSocket protocol.

    `messages_per_s` is the rate of market events over all pairs (one book message each, at every
    depth); 0 freezes the market. `snapshot_delay_ms` is the range from which the delay of each book snapshot
    is drawn (Kraken took 40-400 ms). `drop_late_ms`, for a server on a busy machine: events that are later
    than that are skipped rather than caught up with.
    """

    def __init__(
        self,
        seed: int,
        pairs: int = MAX_PAIRS,
        *,
        start_ns: int = DEFAULT_START_NS,
        messages_per_s: float = 200.0,
        mispricings: MispricingPlan | None = None,
        snapshot_delay_ms: tuple[int, int] = (0, 0),
        request_limit: RequestLimit | None = None,
        drop_late_ms: float | None = None,
    ) -> None:
        if messages_per_s < 0:
            raise ValueError(f"messages_per_s must not be negative: {messages_per_s}")
        self.seed = seed
        self.universe = universe(seed, pairs)
        self.market = Market(self.universe, stream(seed, "market"))
        self.system = "online"
        self.now_ns = start_ns
        self.dropped_events = 0
        """market events skipped because the clock had run away from them"""
        self.sessions: dict[Session, None] = {}
        self.messages_per_s = messages_per_s
        self._snapshot_delay_ms = snapshot_delay_ms
        self._request_limit = request_limit or RequestLimit()
        self._drop_late_ns = None if drop_late_ms is None else round(drop_late_ms * 1e6)
        self._until_ns = start_ns
        self._pacing = stream(seed, "pacing")
        self._connections = stream(seed, "connections")
        self._books: dict[str, dict[int, dict[Subscription, None]]] = {symbol: {} for symbol in self.market.pairs}
        self._trades: dict[str, dict[Subscription, None]] = {symbol: {} for symbol in self.market.pairs}
        self._instrument: dict[Subscription, None] = {}
        self._faults: dict[str, list[Fault]] = {}
        self._outbox: Frames = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._queued = 0
        plan = MispricingPlan(per_s=0.0) if mispricings is None else mispricings
        self._planter = Planter(self.universe.triangles(), plan, stream(seed, "mispricings"))
        for pair in self.market.pairs.values():
            pair.changed_ns = start_ns
        if messages_per_s:
            self._at(start_ns + self._event_gap_ns(), self._market_event)
        if self._planter.active:
            self._at(start_ns + self._planter.gap_ns(), self._plant)

    # --- driving it -------------------------------------------------------------------------------------

    def open_session(self, now_ns: int) -> Session:
        """A client connects. The first frame, `status`, comes with the next `advance`."""
        connection_id = self._connections.getrandbits(64) | 1 << 63
        chance = stream(self.seed, f"session-{connection_id}")
        session = Session(self, connection_id, self._request_limit, chance, now_ns)
        self.sessions[session] = None
        self._send(session, wire.status(self.system, connection_id))
        self._at(now_ns + _IDLE_NS, partial(self._close_if_idle, session))
        return session

    def advance(self, now_ns: int) -> Frames:
        """Everything due up to `now_ns`, in order, each frame with the session it goes to."""
        self._until_ns = now_ns
        while self._queue and self._queue[0][0] <= now_ns:
            due_ns, _, action = heappop(self._queue)
            self.now_ns = max(self.now_ns, due_ns)
            action()
        self.now_ns = max(self.now_ns, now_ns)
        frames, self._outbox = self._outbox, []
        return frames

    @property
    def next_due_ns(self) -> int | None:
        """When `advance` next has something to do; None when nothing is planned."""
        if self._outbox:
            return self.now_ns
        return self._queue[0][0] if self._queue else None

    @property
    def planted(self) -> list[Planted]:
        """Every mispricing planted so far, oldest first."""
        return self._planter.planted

    def take(self, symbol: str, side: Literal["buy", "sell"], lots: int, limit_ticks: int | None = None) -> list[Fill]:
        """An immediate-or-cancel order from outside. Returns its fills; frames come with `advance`."""
        event = self.market.take(symbol, side, lots, limit_ticks, self.depths(symbol))
        self.publish(symbol, event)
        return event.taken.fills if event.taken else []

    # --- what a session asks for ------------------------------------------------------------------------

    def lists(self, symbol: str) -> bool:
        pair = self.market.pairs.get(symbol)
        return pair is not None and pair.listing.status != "delisted"

    def subscribed(self, subscription: Subscription, *, snapshot: bool, now_ns: int) -> list[bytes]:
        session = subscription.session
        if not session.heartbeats:
            session.heartbeats = True
            self._at(now_ns + _HEARTBEAT_NS, partial(self._heartbeat, session))
        low_ms, high_ms = self._snapshot_delay_ms
        if subscription.channel == "book" and snapshot and high_ms:
            delay_ns = round(self._connections.uniform(low_ms, high_ms) * 1e6)
            self._at(now_ns + delay_ns, partial(self._late_snapshot, subscription))
            return []
        self._go_live(subscription)
        return [self._snapshot(subscription)] if snapshot else []

    def unsubscribed(self, subscription: Subscription) -> None:
        match subscription.channel:
            case "book":
                watchers = self._books[subscription.symbol]
                watchers.get(subscription.depth, {}).pop(subscription, None)
                if not watchers.get(subscription.depth):
                    watchers.pop(subscription.depth, None)
            case "trade":
                self._trades[subscription.symbol].pop(subscription, None)
            case _:
                self._instrument.pop(subscription, None)
        subscription.live = False

    def ended(self, session: Session) -> None:
        for subscription in session.subscriptions.values():
            self.unsubscribed(subscription)
        session.subscriptions.clear()
        self.sessions.pop(session, None)

    def _go_live(self, subscription: Subscription) -> None:
        subscription.live = True
        match subscription.channel:
            case "book":
                self._books[subscription.symbol].setdefault(subscription.depth, {})[subscription] = None
            case "trade":
                self._trades[subscription.symbol][subscription] = None
            case _:
                self._instrument[subscription] = None

    def _snapshot(self, subscription: Subscription) -> bytes:
        if subscription.channel == "instrument":
            listings = (pair.listing for pair in self.market.pairs.values())
            return wire.instrument("snapshot", self.universe.assets.values(), listings)
        pair = self.market.pairs[subscription.symbol]
        if subscription.channel == "trade":
            return wire.trades("snapshot", pair.trades)
        sides = pair.book.top(BID, subscription.depth), pair.book.top(ASK, subscription.depth)
        # The time of the last change, not of the subscription (PROTOCOL 1.7, rule 7).
        return wire.book("snapshot", pair.listing, sides, pair.book.checksum(), pair.changed_ns)

    def _late_snapshot(self, subscription: Subscription) -> None:
        session = subscription.session
        key = (subscription.channel, subscription.symbol, subscription.depth)
        if session.subscriptions.get(key) is subscription:
            self._go_live(subscription)
            self._send(session, self._snapshot(subscription))

    # --- what happens by itself -------------------------------------------------------------------------

    def _market_event(self) -> None:
        late_ns = self._until_ns - self.now_ns
        if self._drop_late_ns is not None and late_ns > self._drop_late_ns:
            self.dropped_events += round(late_ns * self.messages_per_s / 1e9)
            self._at(self._until_ns + self._event_gap_ns(), self._market_event)
            return
        self._at(self.now_ns + self._event_gap_ns(), self._market_event)
        symbol = self.market.draw()
        if self._moves(symbol):
            self.event_on(symbol)

    def _moves(self, symbol: str) -> bool:
        """Whether the pair's book can change now."""
        return self.system in _MATCHING and self.market.pairs[symbol].open

    def event_on(self, symbol: str) -> None:
        """One ordinary market event on a pair, now."""
        self.publish(symbol, self.market.event(symbol, self.depths(symbol)))

    def _plant(self) -> None:
        self._at(self.now_ns + self._planter.gap_ns(), self._plant)
        chosen = self._planter.choose(self.market) if self.system in _MATCHING else None
        if chosen is None:
            return
        self.market.pairs[chosen.pair].shift = chosen.shift
        change = self.market.requote(chosen.pair, self.depths(chosen.pair))
        self.publish(chosen.pair, Event(change))
        planted = self._planter.record(self.market, chosen, self.now_ns)
        if planted is None:
            self._restore(chosen.pair)
        else:
            self._at(planted.to_ns, partial(self._heal, planted))

    def _heal(self, planted: Planted) -> None:
        if not self._moves(planted.pair):
            self._at(self.now_ns + _HALTED_RETRY_NS, partial(self._heal, planted))
            return
        self._planter.release(planted)
        self._restore(planted.pair)

    def _restore(self, symbol: str) -> None:
        self.market.pairs[symbol].shift = 0.0
        self.publish(symbol, Event(self.market.requote(symbol, self.depths(symbol))))

    def _heartbeat(self, session: Session) -> None:
        if session.closed is None:
            self._send(session, wire.HEARTBEAT)
            self._at(self.now_ns + _HEARTBEAT_NS, partial(self._heartbeat, session))

    def _close_if_idle(self, session: Session) -> None:
        """Without subscriptions nothing is sent, and an idle connection is closed after a minute."""
        if session.closed is not None:
            return
        last_ns = self.now_ns if session.subscriptions else session.last_request_ns
        if self.now_ns - last_ns >= _IDLE_NS:
            session.close(_IDLE_CODE, "idle")
        else:
            self._at(last_ns + _IDLE_NS, partial(self._close_if_idle, session))

    # --- telling everybody ------------------------------------------------------------------------------

    def publish(self, symbol: str, event: Event) -> None:
        """Tell subscribers what happened on a pair: trades first, then the book at each depth."""
        pair = self.market.pairs[symbol]
        pair.changed_ns = self.now_ns
        if event.taken is not None and event.taken.fills:
            self._publish_trades(pair, event.taken)
        if event.change.at_depth:
            self._publish_change(pair, event.change, self._faults.pop(symbol, []))

    def _publish_trades(self, pair: PairMarket, taken: Taken) -> None:
        entries: list[str] = []
        for fill in taken.fills:
            pair.trade_id += 1
            entries.append(wire.trade_entry(pair.listing, taken, fill, pair.trade_id, self.now_ns))
        pair.trades.extend(entries)
        watchers = self._trades[pair.listing.symbol]
        if watchers:
            frame = wire.trades("update", entries)
            for subscription in watchers:
                self._send(subscription.session, frame)

    def _publish_change(self, pair: PairMarket, change: Change, faults: list[Fault]) -> None:
        if "drop" in faults:
            return
        checksum = change.checksum ^ 1 if "corrupt" in faults else change.checksum
        copies = 2 if "duplicate" in faults else 1
        watchers = self._books[pair.listing.symbol]
        for depth, sides in change.at_depth.items():
            frame = wire.book("update", pair.listing, sides, checksum, self.now_ns)
            for subscription in watchers[depth]:
                for _ in range(copies):
                    self._send(subscription.session, frame)

    def change_listing(self, listing: PairListing) -> None:
        """Put a new listing of a known pair in force and tell `instrument` subscribers.

        A delisted pair's subscriptions end without a word.
        """
        symbol = listing.symbol
        self.market.relist(symbol, listing)
        frame = wire.instrument("update", (), (listing,))
        for subscription in self._instrument:
            self._send(subscription.session, frame)
        if listing.status == "delisted":
            for session in self.sessions:
                for key in [key for key in session.subscriptions if key[1] == symbol]:
                    self.unsubscribed(session.subscriptions.pop(key))

    def change_system(self, system: str) -> None:
        """A new engine state, pushed to every session."""
        self.system = system
        for session in self.sessions:
            self._send(session, wire.status(system, session.connection_id))

    def plan_fault(self, symbol: str, fault: Fault) -> None:
        """Spoil the next book message of a pair, at every depth."""
        self._faults.setdefault(symbol, []).append(fault)

    def depths(self, symbol: str) -> tuple[int, ...]:
        """Depths at which somebody watches a pair's book."""
        return tuple(self._books[symbol])

    def _send(self, session: Session, frame: bytes) -> None:
        if not session.silent and session.closed is None:
            self._outbox.append((session, frame))

    # --- time -------------------------------------------------------------------------------------------

    def _at(self, due_ns: int, action: Callable[[], None]) -> None:
        self._queued += 1
        heappush(self._queue, (due_ns, self._queued, action))

    def _event_gap_ns(self) -> int:
        return round(self._pacing.expovariate(self.messages_per_s) * 1e9)
