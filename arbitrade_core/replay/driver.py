"""Replays a recording through an engine on simulated time: frames in, commits after their time, timers when due.

The feeds listen, whoever asked for the frames, so the bot may have other settings than the one that recorded. Across a
gap nothing is carried over: all connections end there, and books come back with the next snapshots. (For the very run
that was recorded, to the last decision, see `exact`.)

Time inside of a step is the recording's; due timers and commits come before any frame of their time or later (TRADING
35). Until the range begins no fees are known, so books fill and nothing trades; when it ends nothing new begins, and
plans under way get `WIND_DOWN_NS` to end, against the books as they stand then.
"""

import gc
import hashlib
import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace as with_other
from datetime import UTC, datetime
from decimal import Decimal
from statistics import quantiles

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Ns, Pair
from arbitrade_core.errors import ArbitradeError, ProtocolError
from arbitrade_core.events import (
    Append,
    Closed,
    Command,
    ConnId,
    Drain,
    Durable,
    FeesLoaded,
    Frame,
    Input,
    Opened,
    PairsEnabled,
    Quarantined,
    Tick,
)
from arbitrade_core.funnel import detection_totals
from arbitrade_core.money import exact
from arbitrade_core.recording import chunks as codec
from arbitrade_core.recording.entries import Chunk, Entry, Gap, State, Via
from arbitrade_core.replay.collect import DeskRecords
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage, DeskResult, Life, MarketResult, ReplayResult, Worth
from arbitrade_core.replay.stage import DeskWish, stage

WIND_DOWN_NS: Ns = 5_000_000_000
SAMPLES = 500
"""moments over the range at which the worth of desks in detail is looked at, beside every end of a plan"""
FEES_EVERY_NS: Ns = 3_600_000_000_000
"""A desk's fees are taken to be confirmed so often, as the running bot does."""
_APART = 1_000_000
"""between the connections of one recording and those of the next"""
COLLECT_EVERY = 20_000
"""frames between two looks for garbage"""
_WHOLLY_EVERY = 64
"""of which one looks through everything"""
_LIVE_EVERY = 20
"""samples between two looks at which books are live"""
_LAG_EVERY = 64
_MOST_LAGS = 50_000


class Cancelled(ArbitradeError):
    """Somebody asked for the end of a replay."""


type Tell = Callable[[Ns, int], None]
"""Told after every chunk: how far the replay is, and how many frames that were. What it raises ends the replay."""


def replay(
    job: JobSpec,
    wishes: Sequence[DeskWish],
    chunks: Iterable[Chunk],
    coverage: Coverage,
    tell: Tell = lambda now, frames: None,
    *,
    cpu_s: Callable[[], float] = time.process_time,
) -> ReplayResult:
    """Everything, from the first chunk to the results.

    Raises:
        SettingsError, PluginError: the job cannot be staged.
        ProtocolError: a chunk cannot be read.
        Cancelled: `tell` said so.
    """
    began = cpu_s()
    run = Replay(job, wishes)
    with collected_rarely() as collect:
        for chunk in chunks:
            run.feed(chunk)
            tell(run.now, run.frames)
            collect(run.frames)
            if run.over:
                break
        return run.finish(coverage, cpu_s() - began)


@contextmanager
def collected_rarely() -> Iterator[Callable[[int], None]]:
    """Garbage is collected between chunks, told how many frames they were up to now: the engine lives until the end,
    and what a frame leaves behind is little."""
    times, last = 0, 0

    def collect(frames: int) -> None:
        nonlocal times, last
        if frames - last >= COLLECT_EVERY or not times:
            gc.collect(2 if times % _WHOLLY_EVERY == 0 else 1)
            times, last = times + 1, frames

    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield collect
    finally:
        gc.enable()
        gc.unfreeze()


def listing(job: JobSpec, chunks: Iterable[Chunk]) -> list[Pair]:
    """The pairs as they were listed where a recording begins; empty when it tells none.

    Raises:
        SettingsError, PluginError, ProtocolError: as `replay` says.
    """
    run = Replay(job, [DeskWish("listing", detail=False)])
    for chunk in chunks:
        run.feed(chunk)
        if run.engine.market.pairs:
            break
    return list(run.engine.market.pairs)


class Replay:
    """One replay; `feed` it chunks in order, then `finish`."""

    def __init__(self, job: JobSpec, wishes: Sequence[DeskWish]) -> None:
        self._job = job
        self._start_ns, self._end_ns = _ns(job.start), _ns(job.end)
        self._stage = stage(job, wishes, self._start_ns)
        self._wishes = {wish.name: wish for wish in wishes}
        self.engine = self._stage.engine
        self.now: Ns = 0
        self.frames = 0
        self.over = False
        """the range has been replayed"""
        self._commit_ns = int(job.commit_ms * 1_000_000)
        self._heap: list[tuple[Ns, int, Input]] = []
        self._put = 0
        self._records = {name: DeskRecords(detail=wish.detail) for name, wish in self._wishes.items()}
        self._desks = {desk.id: desk for desk in self.engine.desks}
        self._worth: dict[str, list[Worth]] = {name: [] for name, wish in self._wishes.items() if wish.detail}
        self._marked: dict[str, Decimal | None] = {}
        """by desk: what was looked at last"""
        self._every_ns = max(1, (self._end_ns - self._start_ns) // SAMPLES)
        self._sample_ns = self._start_ns
        self._fees_ns = self._start_ns
        self._last: tuple[int, int] | None = None
        self._base = 0
        self._attached: set[ConnId] = set()
        self._lags: list[int] = []
        self._live: set[str] = set()
        self._quarantined: dict[str, int] = {}

    # --- in ---

    def feed(self, chunk: Chunk) -> None:
        """Raises ProtocolError when it cannot be read."""
        where = f"chunk {chunk.number} of recording {chunk.recording}"
        if hashlib.sha256(chunk.data).digest() != chunk.sha256:
            raise ProtocolError(f"{where} is damaged: its SHA-256 differs; restore the database, or leave its time out")
        try:
            entries = codec.decode(chunk.data)
        except ProtocolError as error:
            raise ProtocolError(f"{where} cannot be read: {error}") from error
        if self._last is not None and (chunk.recording, chunk.number) != (self._last[0], self._last[1] + 1):
            self._break("the recording has a gap", chunk.start_ns)
            if chunk.recording != self._last[0]:
                self._base += _APART
        self._last = (chunk.recording, chunk.number)
        if not self.now:
            self._begin(chunk.start_ns)
        self._take(entries)

    def _take(self, entries: Iterable[Entry]) -> None:
        timers, heap, base, attached, step = (
            self.engine.timers,
            self._heap,
            self._base,
            self._attached,
            self.engine.step,
        )
        end_ns = self._end_ns
        for entry in entries:
            if type(entry) is Frame:
                now = entry.now
                if now >= end_ns:
                    self._end()
                    return
                if now >= timers.next_due or now >= self._sample_ns or (heap and now >= heap[0][0]):
                    self._advance(now)
                if base:
                    entry.conn += base
                if entry.conn not in attached:
                    self._attach(entry.conn, None)
                self.now = now
                self.frames += 1
                commands = step(entry)
                if commands:
                    self._carry_out(commands)
                if self.frames % _LAG_EVERY == 0:
                    self._look_at_lag(entry.conn)
            elif isinstance(entry, State | Opened | Closed | Via | Gap):
                if entry.now >= end_ns:
                    self._end()
                    return
                self._advance(entry.now)
                self._mark(entry)

    def _mark(self, entry: State | Opened | Closed | Via | Gap) -> None:
        """What stands between the frames."""
        now = self.now = max(self.now, entry.now)
        match entry:
            case Via(conn, feed):
                self._attach(conn + self._base, feed)
            case Gap(_, _, _, reason):
                self._break(reason, now)
            case State(conn, data):
                conn += self._base
                if conn not in self._attached:
                    self._attach(conn, None)
                alive = self.engine.market.alive
                heard = alive.get(conn)
                self._step(Frame(conn, data, now))
                self.engine.frames -= 1
                if heard is not None and conn in alive:
                    alive[conn] = heard  # nobody was heard: it was made where it was recorded
            case Opened(conn):
                self._step(Opened(conn + self._base, now))
            case Closed(conn, code, reason):
                self._attached.discard(conn + self._base)
                self._step(Closed(conn + self._base, code, reason, now))

    def _attach(self, conn: ConnId, name: str | None) -> None:
        feeds = self._stage.feeds
        feed = feeds.get(name) if name is not None else next(iter(feeds.values())) if len(feeds) == 1 else None
        self._attached.add(conn)
        if feed is not None:
            self.engine.attach(conn, feed)

    def _break(self, reason: str, now: Ns) -> None:
        """Nothing is known beyond a gap: every connection ends, and with it its books."""
        self._advance(now)
        for conn in sorted(self._attached):
            self._step(Closed(conn, 1006, reason, now))
        self._attached.clear()

    # --- time ---

    def _begin(self, now: Ns) -> None:
        self.now = now
        self._carry_out(self.engine.start(now))
        for name, wish in self._wishes.items():
            if wish.detail:
                self._desks[name].watch()
        if self._stage.symbols is not None:
            self._step(PairsEnabled(self._stage.symbols, now))

    def _advance(self, until: Ns) -> None:
        """Let everything happen that is due by then, in order of time."""
        timers, heap = self.engine.timers, self._heap
        while True:
            due = min(timers.next_due, heap[0][0] if heap else until + 1, self._sample_ns)
            if due > until:
                return
            self.now = max(self.now, due)
            if timers.next_due <= due:
                self._step(Tick(self.now))
                self._look_at_marked()
            elif heap and heap[0][0] <= due:
                self._step(heapq.heappop(heap)[2])
            else:
                self._sample()

    def _sample(self) -> None:
        now = self._sample_ns
        if now >= self._fees_ns:
            self._fees_ns += FEES_EVERY_NS
            self._load_fees(now)
        if (now - self._start_ns) // self._every_ns % _LIVE_EVERY == 0:
            market = self.engine.market
            self._live |= {market.pairs[pair].symbol for pair in market.in_use()}
        self._sample_ns += self._every_ns
        for name in self._worth:
            self._look_at(name)

    def _load_fees(self, now: Ns) -> None:
        """As stated, and in force: what is replayed is what would have been with them."""
        fresh = {fees.id: with_other(fees, as_of_ns=now) for fees in self._stage.fees.values()}
        for name, fees in self._stage.fees.items():
            self._step(FeesLoaded(name, fresh[fees.id], now))

    def _look_at_marked(self) -> None:
        """Drawdown is measured whenever inventory is marked, so the series has these moments, too."""
        for name in self._worth:
            if self._desks[name].conductor.results.last_revaluation is not self._marked.get(name):
                self._look_at(name)

    def _look_at(self, name: str) -> None:
        results = self._desks[name].conductor.results
        self._marked[name] = results.last_revaluation
        with exact():
            self._worth[name].append(Worth(self.now, results.trading, results.revaluation))

    def _look_at_lag(self, conn: ConnId) -> None:
        newest = self.engine.market.newest.get(conn)
        at_ns = None if newest is None else newest.exchange_ns()
        if at_ns is not None and len(self._lags) < _MOST_LAGS:
            self._lags.append(self.engine.market.newest_ns[conn] - at_ns)

    def _end(self) -> None:
        if self.over:
            return
        self.over = True
        self._advance(self._end_ns - 1)
        self.now = self._end_ns
        self._step(Drain(self.now))
        # All of it, whoever has plans under way: a desk's end must not depend on others.
        self._sample_ns = self._end_ns + WIND_DOWN_NS + 1
        self._advance(self._end_ns + WIND_DOWN_NS)
        for name in self._worth:
            self._look_at(name)
        self._live |= {self.engine.market.pairs[pair].symbol for pair in self.engine.market.in_use()}

    # --- what the engine asks for ---

    def _step(self, event: Input) -> None:
        commands = self.engine.step(event)
        if commands:
            self._carry_out(commands)

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Append(records):
                    last: dict[str, int] = {}
                    for record in records:
                        desk = self._records.get(record.stream)
                        if desk is not None:
                            last[record.stream] = record.seq
                            with exact():
                                ended = desk.read(record)
                            if ended and record.stream in self._worth:
                                self._look_at(record.stream)
                    for stream, seq in last.items():
                        self._at(Durable(stream, seq, self.now + self._commit_ns))
                case Quarantined(plugin, kind, name, reason):
                    what = f"quarantined: {kind} {name!r} of {plugin!r}: {reason}"
                    self._quarantined[what] = self._quarantined.get(what, 0) + 1
                case _:
                    pass  # the feeds listen, orders are the paper venue's, and nobody is told of alerts

    def _at(self, event: Input) -> None:
        self._put += 1
        heapq.heappush(self._heap, (event.now, self._put, event))

    # --- out ---

    def finish(self, coverage: Coverage, took_s: float = 0.0) -> ReplayResult:
        """Raises ProtocolError when nothing was fed."""
        if not self.now:
            raise ProtocolError("nothing was recorded in the range, so there is nothing to replay; see the coverage")
        self._end()
        engine = self.engine
        self._carry_out(engine.stop(self.now))
        with exact():
            desks = {name: self._desk_result(name) for name in self._wishes}
        detections = [row for detector in engine.detectors for row in detector.detections().values()]
        market = MarketResult(
            frames=self.frames,
            updates=engine.updates,
            checksums_ok=engine.checksums_ok,
            checksums_bad=engine.checksums_bad,
            faults={**dict(sorted(engine.faults.items())), **self._quarantined},
            jitter_ms=_spread_ms(self._lags),
            detection=detection_totals(detections),
            pairs_live=len(self._live),
        )
        return ReplayResult(coverage, market, desks, took_s)

    def _desk_result(self, name: str) -> DeskResult:
        desk, records, wish = self._desks[name], self._records[name], self._wishes[name]
        records.finish()
        settings, fees = self._stage.settings[name].core, self._stage.fees[name]
        results = desk.conductor.results
        return DeskResult(
            name=name,
            settings=wish.settings,
            fees_id=fees.id,
            fees_source=fees.source,
            decisions=records.decisions,
            halted=desk.halt_reason,
            opening=dict(settings.paper.starting_balances),
            closing=dict(sorted(desk.ledger.balances().items())),
            valuation_asset=desk.valuation_asset,
            trading_valued=results.trading,
            # Books may end before the range does.
            revaluation_valued=results.last_revaluation,
            drawdown_valued=results.deepest_fall,
            fees_valued=records.fees_valued,
            exposure_valued=records.exposure_valued,
            funnel=desk.funnel.view(),
            funnel_by_key={key: desk.funnel.view(key) for key in sorted(desk.funnel.reached)} if wish.detail else {},
            outcomes=dict(sorted(records.outcomes.items())),
            orders=records.orders,
            fills=records.fills,
            ordered_valued=records.ordered_valued,
            filled_valued=records.filled_valued,
            earned=tuple(records.earned),
            plans=tuple(records.plans.values()),
            lives=tuple(_lives(desk)),
            worth=tuple(self._worth.get(name, ())),
            refusals=dict(sorted(records.refusals.items())),
        )


def _lives(desk: Desk) -> Iterator[Life]:
    """Oldest first; those that were there when the replay ended have no end."""
    still = [] if desk.refusals.watched is None else desk.refusals.watched.standing()
    for one in sorted([*desk.lives, *still], key=lambda life: (life.opened_ns, life.key)):
        yield Life(
            strategy=one.strategy,
            key=one.key,
            path=one.path,
            opened_ns=one.opened_ns,
            closed_ns=one.closed_ns,
            best_gross_bps=one.best_gross_bps,
            best_edge_bps=one.best_edge_bps,
            outcome=one.outcome,
            evaluations=one.evaluations,
        )


def _ns(at: datetime) -> Ns:
    """Exact: a datetime has microseconds."""
    since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _spread_ms(lags_ns: Sequence[int]) -> float:
    """Interquartile range."""
    if len(lags_ns) < 4:  # noqa: PLR2004 - fewer have no quartiles
        return 0.0
    low, _, high = quantiles(lags_ns, n=4)
    return round((high - low) / 1e6, 3)
