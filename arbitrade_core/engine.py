"""The one door: `step(input) -> commands`, synchronous and deterministic.

The engine owns everything that changes: market, detectors' sets, desks. It does no I/O and reads no clock; the
shell (`runtime`, a replay, a simulation) feeds it inputs that carry their time and carries its commands out. Due
timers run before any input stamped later, at their due time (TRADING 35). `answers` checks what detectors say, `offers`
knows whom it concerns, `indexing` rebuilds, `health` cares for bad books, `operators` takes what operators want.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from arbitrade_core.answers import Answers
from arbitrade_core.clock import Timers
from arbitrade_core.desk import Desk
from arbitrade_core.domain import Candidate, Ns, Pair, PairId, Rotation, Severity
from arbitrade_core.events import (
    BookUpdate,
    Closed,
    Command,
    Connect,
    ConnId,
    Durable,
    Frame,
    Input,
    JournalBack,
    JournalLost,
    Observe,
    Opened,
    PluginDisabled,
    PluginEnabled,
    PluginFaulted,
    Tick,
    WantFees,
)
from arbitrade_core.funnel import Appearances, detection_totals
from arbitrade_core.health import BookHealth
from arbitrade_core.in_use import FOREIGN, PartsInUse
from arbitrade_core.indexing import Indexing
from arbitrade_core.journal import Stream
from arbitrade_core.market import IGNORED, UNSURE, Market
from arbitrade_core.meter import Meter
from arbitrade_core.money import exact
from arbitrade_core.offers import Offers
from arbitrade_core.operators import Operators
from arbitrade_core.outbox import Outbox
from arbitrade_core.parts import Part, Parts
from arbitrade_core.ports import EngineDeskPort
from arbitrade_core.rounds import Rounds
from arbitrade_core.spi import Detector, Feed, Finding, Timed, Vanished

SYSTEM_STREAM = "system"
"""Records that belong to no desk: halts, quarantines, faults."""


class Engine:
    """One market, its feeds and detectors, and the desks that trade on it."""

    def __init__(
        self,
        *,
        market: Market,
        parts: Mapping[str, Parts],
        desks: Sequence[Desk],
        system: Stream | None = None,
        halted: str | None = None,
        carry_all: bool = False,
    ) -> None:
        """Args:
        parts: what each plugin brings, in the order in which they are asked. It is read again when a plugin is enabled:
            its parts must be there before `PluginEnabled` comes.
        halted: why nothing may be sent from the start, as a scan or a halt that survived a restart wants it.
        carry_all: feeds carry every pair that may trade, so that no desk's start assets and plans decide which books
            another one sees: what a replay needs whose desks are to do as each would alone.
        """
        self.market = market
        self.desks = list(desks)
        self.meter: Meter | None = None
        """measures what detectors and feeds cost; None: nobody wants to know, as in a replay"""
        self._measuring: Meter | None = None
        """the meter, while a frame is measured"""
        self.timers = Timers()
        self.appearances = Appearances()
        self.faults: dict[str, int] = {}
        self.last_fault: dict[str, str] = {}
        self.journal_lost: str | None = None
        self.exchange_status = "unknown"
        self.now: Ns = 0
        self.frames = 0
        self.updates = 0
        self.checksums_ok = 0
        self.candidates = 0
        self._feed_of: dict[ConnId, Feed] = {}
        self._connections = 0
        self.out = Outbox(system or Stream(SYSTEM_STREAM))
        self.in_use = PartsInUse(self, parts)
        self.answers = Answers(market, self.in_use)
        self.health = BookHealth(market, self.timers, self.out, self.in_use, self.reweigh)
        self.operators = Operators(self, halted)
        self.offers = Offers(market, self.desks)
        self._indexing = Indexing(self, carry_all)
        self._rounds = Rounds(market, self.timers, self.desks)
        self._fees_wanted = False
        self._offer_again: dict[str, Desk] = {}
        self._taken_on: dict[PairId, dict[str, Desk]] = {}
        """desks whose venue holds liquidity taken that the pair's book still shows"""
        self._handlers: dict[type, Callable[[Any], None]] = {
            Frame: self._on_frame,
            Opened: self._on_opened,
            Closed: self._on_closed,
            Tick: lambda event: None,
            Durable: self._on_durable,
            JournalLost: self._on_journal_lost,
            JournalBack: self._on_journal_back,
            PluginEnabled: self.in_use.enable,
            PluginDisabled: self.in_use.disable,
            PluginFaulted: self._on_plugin_faulted,
            **self.operators.handlers,
        }
        for desk in self.desks:
            desk.gate.on_fault = partial(self._check_failed, desk)

    @property
    def halted(self) -> str | None:
        """Why nothing may be sent."""
        return self.operators.halted

    @property
    def draining(self) -> bool:
        return self.operators.draining

    @property
    def checksums_bad(self) -> int:
        return self.health.mismatches

    # --- the door ---

    def start(self, now: Ns) -> Sequence[Command]:
        """Connect the feeds and open the desks' books; call once, first."""
        self.now = now
        with exact():
            for desk in self.desks:
                desk.start(EngineDeskPort(self, desk), now)
            self.offers.sort()
        self._rounds.start(now)
        for port in list(self.in_use.feeds):
            self.in_use.guarded(port.feed, partial(port.feed.start, port, now), now)
        self._indexing.again()
        return self._finish(now)

    def step(self, event: Input) -> Sequence[Command]:
        """Take one input; return what is to be done, in order. Time never runs backwards here."""
        now = event.now
        if now < self.now:
            now = event.now = self.now
        if self.timers.next_due <= now:
            self._run_timers(now)
        self.now = now
        if type(event) is Frame:
            self._on_frame(event)
        else:
            self._handlers[type(event)](event)
        out = self.out
        if out.commands or out.records or self._indexing.pending or self._offer_again:
            return self._finish(now)
        return ()

    @property
    def deadline(self) -> Ns:
        """When `step(Tick)` is wanted at the latest; `clock.NEVER` when nothing is due."""
        return self.timers.next_due

    def stop(self, now: Ns) -> Sequence[Command]:
        """Close the feeds and tell the appearances that are still open."""
        for port in list(self.in_use.feeds):
            self.in_use.guarded(port.feed, partial(port.feed.stop, now), now)
        closed = self.appearances.close_all(now)
        if closed:
            self.out.command(Observe(tuple(closed)))
        return self._finish(now)

    def _finish(self, now: Ns) -> Sequence[Command]:
        self._settle(now)
        if self._fees_wanted:
            self._fees_wanted = False
            self.out.command(WantFees())
        return self.out.take()

    def _settle(self, now: Ns) -> None:
        """Index and offer again as was asked for."""
        while self._indexing.pending or self._offer_again:
            if self._indexing.pending:
                self._indexing.run(now)
            again, self._offer_again = self._offer_again, {}
            if again:
                self.offer_active(list(again.values()), now)

    def _run_timers(self, now: Ns) -> None:
        """What they ask for is settled at their time, on what was known then: before the input that brought the time,
        and however often somebody looks."""
        while (due := self.timers.pop(now)) is not None:
            at, action = due
            self.now = max(self.now, at)
            with exact():
                action(self.now)
            if self.timers.next_due > self.now:
                self._settle(self.now)

    # --- market data ---

    def _on_frame(self, event: Frame) -> None:
        conn, now = event.conn, event.now
        feed = self._feed_of.get(conn)
        if feed is None:
            return
        self.frames += 1
        self.market.alive[conn] = now
        meter = self.meter
        self._measuring = meter if meter is not None and meter.turn() else None
        began = 0 if self._measuring is None else self._measuring.cpu_ns()
        try:
            updates = feed.on_frame(conn, event.data, now)
        except FOREIGN as error:
            self.in_use.failed(Part.FEED, feed.name, error, now)
            return
        if self._measuring is not None:
            self._measuring.charge(Part.FEED, feed.name, self._measuring.cpu_ns() - began, self._measuring.every)
        for update in updates:
            if update.snapshot:
                self.updates += 1
                if self.health.restore(update, now):
                    self.checksums_ok += 1
            else:
                self._on_update(update, conn, now)

    def _on_update(self, update: BookUpdate, conn: ConnId, now: Ns) -> None:
        """Decide first, verify right after; nothing leaves before the verification (DESIGN 4)."""
        market, pair = self.market, update.pair
        rose = market.look(update)
        sure = rose != UNSURE
        findings = self._detect(pair, rose, now) if sure else ()
        market.newest[conn] = update
        market.newest_ns[conn] = now
        rose = market.apply(update, now)
        if rose == IGNORED:
            # Nothing to go by. What was found rested on it, but for the end of appearances.
            self.offer([found for found in findings if isinstance(found, Vanished)], now)
            return
        if rose or not sure:
            findings = [*findings, *self._detect(pair, rose, now)]
        self.updates += 1
        if not update.verify(market.books[pair]):
            self.health.mismatch(pair, now)
            # Of what was found only the end of appearances stands; the rest rested on a book that is wrong.
            self.offer([found for found in findings if isinstance(found, Vanished)], now)
            return
        self.checksums_ok += 1
        if market.blocks[pair]:
            self.health.watch_crossed(pair, now)
        if pair in self._taken_on:
            self._tell_takers(update, now)
        if findings:
            self.offer(findings, now)

    def _detect(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        findings: Sequence[Finding] = ()
        meter = self._measuring
        for detector in self._indexing.watchers[pair]:
            began = 0 if meter is None else meter.cpu_ns()
            try:
                found = detector.on_change(pair, rose, now)
                if found:
                    findings = [*findings, *self.answers.sound(detector, found)]
            except FOREIGN as error:
                self.in_use.failed(Part.DETECTOR, detector.name, error, now)
                continue
            if meter is not None:
                meter.charge(Part.DETECTOR, detector.name, meter.cpu_ns() - began, meter.every)
        return findings

    def _tell_takers(self, update: BookUpdate, now: Ns) -> None:
        takers = self._taken_on[update.pair]
        for desk in list(takers.values()):
            desk.on_update(update, now)
            if not desk.has_taken(update.pair):
                del takers[desk.id]
        if not takers:
            del self._taken_on[update.pair]

    def taken_on(self, pair: PairId, desk: Desk) -> None:
        """The desk's venue took liquidity here: it wants to see the pair's updates (TRADING 29)."""
        self._taken_on.setdefault(pair, {})[desk.id] = desk

    def quarantine(self, pair: PairId, reason: str, now: Ns) -> None:
        self.health.quarantine(pair, reason, now)

    def reweigh(self, pair: PairId, now: Ns, rose: int = 0) -> None:
        """The pair's rates changed without an update: quarantined, released, listed, lost its connection."""
        watchers = self._indexing.watchers
        if pair < len(watchers):
            findings: list[Finding] = []
            for detector in watchers[pair]:
                findings += self.answers.asked(detector, partial(detector.on_change, pair, rose, now), now)
            self.offer(findings, now)

    def wake(self, detector: Detector, now: Ns) -> None:
        """The time that a detector asked for has come."""
        if isinstance(detector, Timed) and any(known is detector for known in self.in_use.detectors):
            self.offer(self.answers.asked(detector, partial(detector.on_timer, now), now), now)

    # --- plugins ---

    @property
    def detectors(self) -> Sequence[Detector]:
        return self.in_use.detectors

    def measure(self, meter: Meter) -> None:
        """From now on, know what plugins' objects cost."""
        self.meter = meter
        for desk in self.desks:
            desk.gate.meter = meter

    def index_again(self, desk_id: str | None = None) -> None:
        """Before this step ends, rebuild what detectors look at."""
        self._indexing.again(desk_id)

    def connections_of(self, feed: Feed) -> list[ConnId]:
        return [conn for conn, of in self._feed_of.items() if of is feed]

    def cut(self, conn: ConnId) -> None:
        """Nothing that still comes on this connection is listened to."""
        self._feed_of.pop(conn, None)
        self.market.gone(conn)

    def _check_failed(self, desk: Desk, check: str, error: BaseException) -> None:
        self.in_use.failed(Part.RISK_CHECK, check, error, self.now, desk)

    def _on_plugin_faulted(self, event: PluginFaulted) -> None:
        self.in_use.quarantine(event.kind, event.name, event.reason, event.now, event.plugin)

    # --- offers ---

    def offer(self, findings: Iterable[Finding], now: Ns, only: Sequence[Desk] | None = None) -> None:
        """To every desk, or to these alone. Of what is told twice about one thing the later holds."""
        offers: dict[tuple[str, str], Candidate | Rotation] = {}
        for finding in findings:
            if isinstance(finding, Vanished):
                self._vanished(finding.key, now)
                offers = {name: one for name, one in offers.items() if one.key != finding.key} if offers else offers
                continue
            offers[finding.strategy, finding.key] = finding
            if isinstance(finding, Rotation):
                self.appearances.wished(finding)
            else:
                self.appearances.seen(finding, partial(self.market.path, finding.legs), now)
        if offers:
            self.candidates += len(offers)
            if only is None:
                self.offers.put(list(offers.values()), now)
            else:
                self.offers.put_to(only, list(offers.values()), now)

    def _vanished(self, key: str, now: Ns) -> None:
        self.offers.vanished(key)
        closed = self.appearances.vanished(key, now)
        if closed is not None:
            self.out.command(Observe((closed,)))

    def offer_active(self, desks: Sequence[Desk], now: Ns) -> None:
        """Something changed for these desks, or their state freed something: they see the active set (TRADING 4)."""
        only = None if len(desks) == len(self.desks) else desks
        for detector in list(self.detectors):
            self.offer(self.answers.asked(detector, detector.active, now), now, only)

    def offer_again(self, desk: Desk) -> None:
        """Before this step ends, show the desk the active set once more."""
        self._offer_again[desk.id] = desk
        self._indexing.freed(desk.id)

    def offer_all_again(self) -> None:
        self._offer_again |= {desk.id: desk for desk in self.desks}

    # --- listing ---

    def list_pairs(self, pairs: Sequence[Pair], listed: set[PairId], now: Ns) -> list[PairId]:
        ids: list[PairId] = []
        for pair in pairs:
            pair_id, changed = self.market.list_pair(pair)
            ids.append(pair_id)
            # Known pairs as well when their feed is new: it was told to carry nothing yet.
            if changed or pair_id not in listed:
                self._indexing.again()
            listed.add(pair_id)
            if changed:
                self._fees_wanted = True
                self.operators.apply_enabled(pair_id)
                self.reweigh(pair_id, now)
        return ids

    def carried_by(self, pair: PairId, conn: ConnId | None, now: Ns) -> None:
        self.market.carried_by(pair, conn)
        if conn is None:
            self.reweigh(pair, now)

    def set_exchange_status(self, status: str, now: Ns) -> None:
        if status != self.exchange_status:
            self.out.record("exchange_status", now, {"was": self.exchange_status, "status": status})
            self.exchange_status = status
            self.offer_all_again()

    # --- connections ---

    def _on_opened(self, event: Opened) -> None:
        feed = self._feed_of.get(event.conn)
        if feed is not None:
            self.market.alive[event.conn] = event.now
            self.in_use.guarded(feed, partial(feed.on_open, event.conn, event.now), event.now)

    def _on_closed(self, event: Closed) -> None:
        feed = self._feed_of.pop(event.conn, None)
        self.market.gone(event.conn)
        if feed is not None:
            closed = partial(feed.on_close, event.conn, event.code, event.reason, event.now)
            self.in_use.guarded(feed, closed, event.now)

    def connect(self, feed: Feed, url: str) -> ConnId:
        self._connections += 1
        self._feed_of[self._connections] = feed
        self.out.command(Connect(self._connections, url))
        return self._connections

    def attach(self, conn: ConnId, feed: Feed) -> None:
        """This connection, made elsewhere, is the feed's: a recorded one."""
        self._feed_of[conn] = feed

    def feed_of(self, conn: ConnId) -> Feed | None:
        return self._feed_of.get(conn)

    # --- journal ---

    def _on_durable(self, event: Durable) -> None:
        ready = self.out.durable(event)
        if ready:
            with exact():
                for action in ready:
                    action(event.now)

    def _on_journal_lost(self, event: JournalLost) -> None:
        if self.journal_lost is None:
            self.journal_lost = event.reason
            text = f"no new plans: the journal cannot be written: {event.reason}"
            self.out.notify(Severity.CRITICAL, "journal.lost", text, event.now)

    def _on_journal_back(self, event: JournalBack) -> None:
        if self.journal_lost is not None:
            self.journal_lost = None
            self.out.notify(Severity.INFO, "journal.back", "the journal is written again; plans resume", event.now)
            self.offer_all_again()

    def funnel(self) -> Mapping[str, Any]:
        """Detection counts and each desk's view, for whoever asks why there is no trade."""
        detections = [row for detector in self.detectors for row in detector.detections().values()]
        return {**detection_totals(detections), "desks": {desk.id: desk.funnel.view() for desk in self.desks}}
