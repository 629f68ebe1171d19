"""Contracts see what they are for: each of these objects breaks one thing, and the rule of that thing says so."""

import json
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from arbitrade_core.domain import (
    Accepted,
    Alert,
    Candidate,
    Done,
    DoneReason,
    Fill,
    Ns,
    Order,
    Pair,
    PairId,
    Plan,
    Side,
)
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.lifecycle import Run, RunEvent
from arbitrade_core.spi import (
    Action,
    DeskView,
    DetectorPort,
    FeedPort,
    Finding,
    Finish,
    FollowUp,
    HaltDesk,
    MarketView,
    Outcome,
    Place,
    Refused,
    Standing,
    Vanished,
    Venue,
    VenuePort,
)
from arbitrade_core.testing.contracts import (
    Contract,
    DetectorContract,
    ExecutorContract,
    FeedContract,
    NotifierContract,
    RiskCheckContract,
    VenueContract,
    Verdict,
    examine,
)
from arbitrade_core.testing.triangles import EveryTriangle
from arbitrade_core.testing.venue import FakeVenue, FakeVenues


def broken(
    contract: type[Contract[Any]], make: Callable[[], Any], *only: str, judges_cost: bool = False
) -> dict[str, str]:
    """Reasons by the numbers of the rules that are broken, of all or of `only` some."""
    body = {"make": lambda _: make(), "judges_cost": judges_cost}
    results = examine(type("Checked", (contract,), body)(), only or None)
    return {result.number: result.reason for result in results if result.verdict is Verdict.FAILED}


# --- risk checks --------------------------------------------------------------------------------------------


class Check:
    name = "check"

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return self.refuses("no") if plan.start > 1 else None

    def refuses(self, reason: str, until_ns: Ns | None = None) -> Refused:
        return Refused(self.name, reason, until_ns)


class Nameless(Check):
    name = "My Check"


class Boolean(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Any:
        return True


class Hasty(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        assert desk.fees is not None
        return None


class Impostor(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return Refused("another", "no")


class Silent(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return self.refuses(" ")


class Moody(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return self.refuses(f"{random.random()}")


class Meddler(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        for book in desk.market.books:
            book.clear()
        return None


class Watch(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return self.refuses("too late") if time.time() < 0 else None


class Reader(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return self.refuses("no") if Path("/dev/null").read_text() else None


class Past(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return self.refuses("rest", now)


class Slow(Check):
    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        return self.refuses("no") if sum(range(20_000)) < 0 else None


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (Nameless, "RISK-01"),
        (Boolean, "RISK-02"),
        (Hasty, "RISK-03"),
        (Impostor, "RISK-04"),
        (Silent, "RISK-04"),
        (Moody, "RISK-05"),
        (Meddler, "RISK-06"),
        (Watch, "RISK-07"),
        (Reader, "RISK-07"),
        (Past, "RISK-08"),
        (Slow, "RISK-09"),
    ],
)
def test_risk_checks(make: Callable[[], Check], number: str) -> None:
    assert number in broken(RiskCheckContract, make, number, judges_cost=True)


def test_a_sound_check_breaks_nothing() -> None:
    assert broken(RiskCheckContract, Check, judges_cost=True) == {}


def test_the_line_of_a_clock_is_told() -> None:
    reason = broken(RiskCheckContract, Watch, "RISK-07")["RISK-07"]
    assert "called time.time (" in reason
    assert "test_broken.py, line" in reason


# --- detectors ----------------------------------------------------------------------------------------------


class Forgets(EveryTriangle):
    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        return [found for found in super().on_change(pair, rose, now) if not isinstance(found, Vanished)]


class Ghosts(EveryTriangle):
    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        return [*super().on_change(pair, rose, now), Vanished("ghost")]


class Anywhere(EveryTriangle):
    def rebuild(self, market: MarketView, port: DetectorPort, now: Ns) -> Collection[PairId]:
        super().rebuild(market, port, now)
        return [17]


class Unchained(EveryTriangle):
    def _look(self, keys: Collection[str]) -> list[Finding]:
        return [self._backwards(found) for found in super()._look(keys)]

    def _backwards(self, found: Finding) -> Finding:
        match found:
            case Candidate(strategy, key, legs, gross):
                return Candidate(strategy, key, legs[::-1], gross)
            case _:
                return found


class Clears(EveryTriangle):
    def rebuild(self, market: MarketView, port: DetectorPort, now: Ns) -> Collection[PairId]:
        self._books = market.books
        return super().rebuild(market, port, now)

    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        self._books[pair].clear()
        return super().on_change(pair, rose, now)


class Recounts(EveryTriangle):
    def rebuild(self, market: MarketView, port: DetectorPort, now: Ns) -> Collection[PairId]:
        self._counts.clear()
        return super().rebuild(market, port, now)


class Stale(EveryTriangle):
    def _gross(self, key: str) -> float:
        return 1.01 if super()._gross(key) == 0.0 else super()._gross(key)


class Shuffles(EveryTriangle):
    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        found = list(super().on_change(pair, rose, now))
        random.shuffle(found)
        return found


class Upside(EveryTriangle):
    def ranked(self, limit: int) -> Sequence[Standing]:
        return super().ranked(100)[::-1]


class Sluggish(EveryTriangle):
    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        return super().on_change(pair, rose, now) if sum(range(20_000)) else ()


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (Anywhere, "DETECTOR-02"),
        (Unchained, "DETECTOR-03"),
        (Forgets, "DETECTOR-04"),
        (Ghosts, "DETECTOR-05"),
        (Clears, "DETECTOR-06"),
        (Recounts, "DETECTOR-07"),
        (Stale, "DETECTOR-08"),
        (Shuffles, "DETECTOR-09"),
        (Shuffles, "DETECTOR-11"),
        (Upside, "DETECTOR-13"),
        (Sluggish, "DETECTOR-14"),
    ],
)
def test_detectors(make: Callable[[], EveryTriangle], number: str) -> None:
    assert number in broken(DetectorContract, make, number, judges_cost=True)


# --- feeds --------------------------------------------------------------------------------------------------


class Feed:
    """Connects, and comes back two seconds after it was refused."""

    name = "feed"
    pause_ns = 2 * 10**9

    def __init__(self) -> None:
        self.wanted: frozenset[PairId] = frozenset()
        self.stopped = False

    def start(self, port: FeedPort, now: Ns) -> None:
        self.port, self.stopped = port, False
        self.conn = port.connect("ws://somewhere")

    def stop(self, now: Ns) -> None:
        self.stopped = True
        self.port.disconnect(self.conn)

    def carry(self, pairs: Collection[PairId], now: Ns) -> None: ...
    def resync(self, pair: PairId, now: Ns) -> None: ...
    def on_open(self, conn: ConnId, now: Ns) -> None: ...

    def on_close(self, conn: ConnId, code: int, reason: str, now: Ns) -> None:
        if conn == self.conn and not self.stopped:
            self.port.clockwork.at(now + self.pause_ns, self.again)

    def again(self, now: Ns) -> None:
        if not self.stopped:
            self.conn = self.port.connect("ws://somewhere")

    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        return ()


class Trusting(Feed):
    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        json.loads(data)
        return ()


class Inventive(Feed):
    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        return [BookUpdate(5, True, [], [])]


class Stubborn(Feed):
    pause_ns = 0


class Undead(Feed):
    def start(self, port: FeedPort, now: Ns) -> None:
        super().start(port, now)
        port.clockwork.at(now + 60 * 10**9, self.beat)

    def beat(self, now: Ns) -> None:
        self.port.transmit(self.conn, b"ping")
        self.port.clockwork.at(now + 60 * 10**9, self.beat)


class Clinging(Feed):
    def stop(self, now: Ns) -> None:
        self.stopped = True


class Greedy(Feed):
    def carry(self, pairs: Collection[PairId], now: Ns) -> None:
        for pair in pairs:
            self.port.carried_by(pair, self.conn, now)


class Timing(Feed):
    def on_frame(self, conn: ConnId, data: bytes, now: Ns) -> Sequence[BookUpdate]:
        self.port.clock_offset(time.time_ns() - now)
        return ()


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (Trusting, "FEED-02"),
        (Inventive, "FEED-03"),
        (Timing, "FEED-04"),
        (Greedy, "FEED-05"),
        (Undead, "FEED-07"),
        (Clinging, "FEED-07"),
        (Timing, "FEED-10"),
        (Stubborn, "FEED-11"),
    ],
)
def test_feeds(make: Callable[[], Feed], number: str) -> None:
    assert number in broken(FeedContract, make, number)


def test_a_sound_feed_breaks_nothing() -> None:
    assert broken(FeedContract, Feed) == {}


# --- venues -------------------------------------------------------------------------------------------------


class Endless(FakeVenue):
    def submit(self, order: Order, now: Ns) -> None:
        self._later(1, now, lambda at: self._port.deliver(Accepted(order.id), at))


class Twice(FakeVenue):
    def submit(self, order: Order, now: Ns) -> None:
        self.orders.clear()
        super().submit(order, now)


class Eager(FakeVenue):
    def _later(self, ms: float, now: Ns, action: Callable[[Ns], None]) -> None:
        action(now)


class Generous(FakeVenue):
    def _execution(self, order: Order, pair: Pair, number: int, qty: Decimal, better_bps: int) -> Fill:
        fill = super()._execution(order, pair, number, qty, better_bps)
        sign = 1 if order.leg.side is Side.BUY else -1
        return replace(fill, price=fill.price * (1 + sign * Decimal("0.01")))


class Miscounting(FakeVenue):
    def start(self, port: VenuePort, now: Ns) -> None:
        super().start(port, now)
        self._port = Inflating(port)


class Inflating:
    """A port that tells of more than was filled."""

    def __init__(self, port: VenuePort) -> None:
        self.clockwork, self.market, self._port = port.clockwork, port.market, port

    def deliver(self, event: Any, now: Ns) -> None:
        if isinstance(event, Done):
            event = Done(event.order_id, DoneReason.FILLED, event.filled_qty + 1)
        self._port.deliver(event, now)


class Dicing(FakeVenue):
    def _later(self, ms: float, now: Ns, action: Callable[[Ns], None]) -> None:
        super()._later(random.random() * 50, now, action)


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (Endless, "VENUE-02"),
        (Miscounting, "VENUE-03"),
        (Generous, "VENUE-04"),
        (Twice, "VENUE-05"),
        (Eager, "VENUE-06"),
        (Generous, "VENUE-10"),
        (Dicing, "VENUE-11"),
        (Dicing, "VENUE-12"),
    ],
)
def test_venues(make: Callable[[], Venue], number: str) -> None:
    assert number in broken(VenueContract, lambda: FakeVenues(make), number)


def test_the_kits_venue_looks_at_no_book_and_else_breaks_nothing() -> None:
    assert set(broken(VenueContract, FakeVenues)) == {"VENUE-07", "VENUE-08", "VENUE-09"}


# --- executors ----------------------------------------------------------------------------------------------


class Executor(SequentialExecutor):
    """Does what the shipped one does; subclasses spoil it."""

    def step(self, run: Run, event: RunEvent, desk: DeskView, now: Ns) -> Sequence[Action]:
        return [spoiled for action in super().step(run, event, desk, now) for spoiled in self.spoil(action)]

    def spoil(self, action: Action) -> list[Action]:
        return [action]


class Resends(Executor):
    def spoil(self, action: Action) -> list[Action]:
        return [action, action] if isinstance(action, Place) else [action]


class Restless(Executor):
    def spoil(self, action: Action) -> list[Action]:
        return [action, HaltDesk("after the end")] if isinstance(action, Finish) else [action]


class Inventor(Executor):
    def spoil(self, action: Action) -> list[Action]:
        return [Finish(Outcome("fine"))] if isinstance(action, Finish) else [action]


class NeverDone(Executor):
    def spoil(self, action: Action) -> list[Action]:
        return [] if isinstance(action, Finish) else [action]


class Gambler(Executor):
    def spoil(self, action: Action) -> list[Action]:
        match action:
            case Place(order) | FollowUp(order):
                return [replace(action, order=replace(order, qty=order.qty * 3))]
            case _:
                return [action]


class Forgetful(Executor):
    """Ends the plan as soon as a leg falls short, and says nothing."""

    def spoil(self, action: Action) -> list[Action]:
        match action:
            case FollowUp() | HaltDesk():
                return [Finish(Outcome("partial"))]
            case _:
                return [action]


class Remembering(Executor):
    def __init__(self) -> None:
        super().__init__()
        self._first = True

    def spoil(self, action: Action) -> list[Action]:
        first, self._first = self._first, False
        return [action] if first or not isinstance(action, Place) else [action, HaltDesk("not new any more")]


class Punctual(Executor):
    def spoil(self, action: Action) -> list[Action]:
        return [action] if time.time() else []


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (Resends, "EXECUTOR-03"),
        (Restless, "EXECUTOR-04"),
        (Inventor, "EXECUTOR-04"),
        (NeverDone, "EXECUTOR-05"),
        (Gambler, "EXECUTOR-06"),
        (Forgetful, "EXECUTOR-07"),
        (Resends, "EXECUTOR-08"),
        (Remembering, "EXECUTOR-09"),
        (Punctual, "EXECUTOR-11"),
    ],
)
def test_executors(make: Callable[[], Executor], number: str) -> None:
    assert number in broken(ExecutorContract, make, number)


# --- notifiers ----------------------------------------------------------------------------------------------


class Notifier:
    name = "notifier"

    def send(self, alert: Alert) -> None: ...


class Sleepy(Notifier):
    def send(self, alert: Alert) -> None:
        time.sleep(0)


class Touchy(Notifier):
    def send(self, alert: Alert) -> None:
        alert.text.encode()


class Hoarder(Notifier):
    def __init__(self) -> None:
        self.kept: list[Alert] = []

    def send(self, alert: Alert) -> None:
        self.kept.append(alert)


@pytest.mark.parametrize(
    ("make", "number"),
    [(Sleepy, "NOTIFIER-02"), (Touchy, "NOTIFIER-03"), (Hoarder, "NOTIFIER-04")],
)
def test_notifiers(make: Callable[[], Notifier], number: str) -> None:
    assert number in broken(NotifierContract, make, number)


def test_a_sound_notifier_breaks_nothing() -> None:
    assert broken(NotifierContract, Notifier) == {}
