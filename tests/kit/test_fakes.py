"""The kit's fakes say what they are told, and its player is the production engine."""

import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from time import time_ns

import pytest

from arbitrade_core.book import Book
from arbitrade_core.domain import Ns, PairStatus, Plan
from arbitrade_core.errors import InvariantError
from arbitrade_core.journal import Record
from arbitrade_core.risk.checks import shipped_checks
from arbitrade_core.settings import RiskSettings
from arbitrade_core.spi import BUY_ROSE, SELL_ROSE, DeskView, Refused
from arbitrade_core.testing.budget import budget
from arbitrade_core.testing.builders import CHEAP, OVER_ETH, cycle_plan, leg, order, pair
from arbitrade_core.testing.clock import SimClock
from arbitrade_core.testing.desk import FakeDesk
from arbitrade_core.testing.guard import watched
from arbitrade_core.testing.journal import MemoryJournal
from arbitrade_core.testing.market import FakeMarket, sealed
from arbitrade_core.testing.moves import (
    Breaks,
    Charges,
    Disconnects,
    Halts,
    Lists,
    Mends,
    Move,
    Passes,
    Resumes,
    Sees,
    Shows,
)
from arbitrade_core.testing.player import MarketPlayer
from arbitrade_core.testing.triangles import EveryTriangle
from arbitrade_core.testing.venue import FakeVenue, Fills, Rejects, Silent

# --- builders -----------------------------------------------------------------------------------------------


def test_a_pairs_precisions_follow_its_increments() -> None:
    listed = pair("ETH/BTC", tick="0.00005", lot="0.01")
    assert (listed.price_decimals, listed.qty_decimals, listed.tick_multiple) == (5, 2, 5)


@pytest.mark.parametrize("make", [lambda: pair("ETHBTC"), lambda: leg("ETH/BTC")])
def test_what_cannot_be_read_is_told(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="write"):
        make()


def test_an_order_is_of_its_plan() -> None:
    assert order("+ETH/BTC", "2", "0.03", id="p7-2").plan_id == "p7"


def test_a_plan_pays_what_the_market_shows(arbitrade_market: FakeMarket) -> None:
    quiet = cycle_plan(arbitrade_market)
    arbitrade_market.sees("ETH/BTC", ask=CHEAP)
    cheap = cycle_plan(arbitrade_market)
    assert quiet.profit < 0 < cheap.profit
    assert [planned.leg.gets for planned in cheap.legs] == ["BTC", "ETH", "USD"]
    assert 60 < cheap.edge_bps < 70


def test_a_plan_over_an_empty_book_is_told(arbitrade_market: FakeMarket) -> None:
    arbitrade_market.empties("ETH/BTC")
    with pytest.raises(ValueError, match=r"\+ETH/BTC: the book shows nothing"):
        cycle_plan(arbitrade_market)


# --- market, desk, clock ------------------------------------------------------------------------------------


def test_a_market_sees_breaks_and_stops(arbitrade_market: FakeMarket) -> None:
    eth_btc = arbitrade_market.id("ETH/BTC")
    assert arbitrade_market.sees("ETH/BTC", ask="0.0297") == BUY_ROSE
    assert arbitrade_market.sees("ETH/BTC", bid="0.0296", ask="0.0298") == SELL_ROSE
    arbitrade_market.breaks("ETH/BTC")
    assert not arbitrade_market.usable(eth_btc)
    assert arbitrade_market.tradable(eth_btc)
    arbitrade_market.sees("ETH/BTC")
    assert arbitrade_market.usable(eth_btc)
    arbitrade_market.stops("ETH/BTC", PairStatus.DELISTED)
    assert not arbitrade_market.tradable(eth_btc)
    with pytest.raises(KeyError, match="LTC/USD is not listed"):
        arbitrade_market.breaks("LTC/USD")


def test_marks_are_mids_unless_told(arbitrade_market: FakeMarket) -> None:
    assert arbitrade_market.mark("BTC", "USD") == Decimal("50000.5")
    arbitrade_market.values("BTC", "1")
    arbitrade_market.values("ETH", None)
    assert arbitrade_market.mark("BTC", "USD") == Decimal(1)
    assert arbitrade_market.mark("ETH", "USD") is None


def test_a_view_is_read_only(arbitrade_market: FakeMarket) -> None:
    view = sealed(arbitrade_market)
    assert view.rate[0] == 50_000.0
    assert list(view.pairs) == list(arbitrade_market.pairs)
    with pytest.raises(TypeError):
        view.rate[0] = 1.0  # type: ignore[index]
    assert not hasattr(view, "sees")
    arbitrade_market.sees("BTC/USD", bid="49000")
    assert view.rate[0] == 49_000.0, "it is live"
    with pytest.raises(AttributeError, match="read-only"):
        view.rate = ()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_desk_remembers_what_it_was_told(arbitrade_desk: FakeDesk) -> None:
    plan = cycle_plan(arbitrade_desk.market)
    began = arbitrade_desk.now
    arbitrade_desk.holds("USD", "1000")
    arbitrade_desk.opens(plan)
    assert arbitrade_desk.available("USD") == 900
    arbitrade_desk.passes(s=10)
    arbitrade_desk.ended("unwound", value="-3")
    arbitrade_desk.ended("stuck", value="-4")
    assert arbitrade_desk.consecutive_failures == 2
    assert arbitrade_desk.trading_pnl(began) == -7
    assert arbitrade_desk.unwind_loss(began) == 7
    assert arbitrade_desk.trading_pnl(arbitrade_desk.now + 1) == 0
    assert arbitrade_desk.last_plan(plan.key) == began
    arbitrade_desk.promises("+ETH/BTC", "0.03001", "4")
    buy = arbitrade_desk.market.leg_id("+ETH/BTC")
    assert arbitrade_desk.depth(buy) == [(3_001_000, 6_000_000)]
    assert list(arbitrade_desk.promised(buy)) == [3_001_000]


def test_a_desks_everyday_passes_every_shipped_check(arbitrade_desk: FakeDesk) -> None:
    arbitrade_desk.market.sees("ETH/BTC", ask=CHEAP)
    plan = cycle_plan(arbitrade_desk.market)
    checks = shipped_checks(RiskSettings(min_profit_valued=Decimal("0.1")))
    refused = [check.check(plan, arbitrade_desk, arbitrade_desk.now) for check in checks]
    assert [one for one in refused if one is not None] == []


def test_a_clock_rings_in_order_at_its_own_time(arbitrade_clock: SimClock) -> None:
    rung: list[tuple[str, Ns]] = []
    began = arbitrade_clock()
    arbitrade_clock.at(began + 20, lambda at: rung.append(("late", at - began)))
    gone = arbitrade_clock.at(began + 15, lambda at: rung.append(("gone", at - began)))
    arbitrade_clock.at(began + 10, lambda at: rung.append(("early", at - began)))
    arbitrade_clock.cancel(gone)
    assert arbitrade_clock.passes(ms=1) == 2
    assert rung == [("early", 10), ("late", 20)]
    assert arbitrade_clock.now == began + 1_000_000


def test_a_timer_that_is_always_due_is_told(arbitrade_clock: SimClock) -> None:
    def again(now: Ns) -> None:
        arbitrade_clock.at(now, again)

    arbitrade_clock.at(arbitrade_clock.now, again)
    with pytest.raises(RuntimeError, match="due at once"):
        arbitrade_clock.passes(s=1, at_most=50)


# --- journal ------------------------------------------------------------------------------------------------


def test_a_journal_reads_back_to_the_same_hashes() -> None:
    player = MarketPlayer().play([Sees("ETH/BTC", ask=CHEAP), Passes(ms=200)])
    journal = player.world.journal
    assert journal.told("end")
    again = MemoryJournal.read(journal.lines())
    assert again.hashes == journal.hashes
    assert [record.seq for record in again.records] == [record.seq for record in journal.records]


def test_a_lost_line_and_a_changed_one_are_seen() -> None:
    player = MarketPlayer().play([Sees("ETH/BTC", ask=CHEAP), Passes(ms=200)])
    lines = list(player.world.journal.lines())
    with pytest.raises(InvariantError, match="no gaps"):
        MemoryJournal.read(line for line in lines if b'"plan",' not in line)
    changed = [line.replace(b'"completed"', b'"perfect"') for line in lines]
    assert MemoryJournal.read(changed).hashes != player.world.hashes


def test_a_journals_numbers_have_no_gaps() -> None:
    journal = MemoryJournal()
    journal.append([Record("desk", 1, 0, "open", {})])
    with pytest.raises(InvariantError, match="from record 1 to 3"):
        journal.append([Record("desk", 3, 0, "open", {})])


# --- player and venue ---------------------------------------------------------------------------------------


CHEAP_MOMENT: list[Move] = [Sees("ETH/BTC", ask=CHEAP), Passes(ms=2), Sees("ETH/BTC", ask="0.03001"), Passes(ms=500)]


def test_the_player_is_deterministic() -> None:
    moves: list[Move] = [
        *CHEAP_MOMENT,
        Breaks("ETH/USD"),
        Passes(ms=5),
        Mends("ETH/USD"),
        Passes(ms=2_000),
        *CHEAP_MOMENT,
    ]
    one, other = (MarketPlayer().play(moves) for _ in range(2))
    assert one.outcomes
    assert one.world.hashes == other.world.hashes


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ([Fills()], "completed"),
        ([Fills(pieces=3, twice=True)], "completed"),
        ([Fills(share="0")], "missed"),
        ([Rejects()], "missed"),
        ([Fills(share="0.5")], "partial"),
        ([Fills(), Rejects("not now")], "unwound"),
    ],
)
def test_a_venue_answers_as_told(script: list[Fills | Rejects], outcome: str) -> None:
    player = MarketPlayer(venue=FakeVenue(script)).play(CHEAP_MOMENT)
    assert player.outcomes == [outcome]


def test_an_order_of_which_nothing_is_heard_keeps_its_plan_open() -> None:
    player = MarketPlayer(venue=FakeVenue([Fills(), Silent()])).play([*CHEAP_MOMENT, Passes(ms=60_000)])
    assert player.outcomes == []
    assert [plan.key for plan in player.desk.open_plans] == [OVER_ETH]


def test_every_move_does_what_it_says() -> None:
    player = MarketPlayer()
    eth_btc = player.engine.market.pair_id("ETH/BTC")
    assert eth_btc is not None
    player.play([Shows("ETH/BTC", asks=[("0.031", "1"), ("0.032", "2")])])
    assert player.engine.market.books[eth_btc].asks.levels() == [(3_100_000, 1_000_000), (3_200_000, 2_000_000)]
    player.play([Lists("ETH/BTC", PairStatus.POST_ONLY)])
    assert not player.engine.market.tradable(eth_btc)
    player.play([Lists("ETH/BTC", PairStatus.ONLINE), Halts("lunch"), *CHEAP_MOMENT])
    assert player.planned == []
    player.play([Resumes(), Charges("0.02"), *CHEAP_MOMENT])
    assert player.planned == [], "nothing pays at 200 bps a leg"
    player.play([Charges("0.0001"), Disconnects(), Passes(ms=5)])
    assert not player.engine.market.usable(eth_btc)
    player.play([*map(Mends, ("BTC/USD", "ETH/BTC", "ETH/USD")), Sees("ETH/BTC", ask=CHEAP), Passes(ms=200)])
    assert player.outcomes == ["completed"]
    with pytest.raises(KeyError, match="LTC/USD is not played"):
        player.sees("LTC/USD", bid="1")


class Raises:
    name = "raises"

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        raise RuntimeError("oops")


def test_an_object_that_raises_is_quarantined_as_in_production() -> None:
    player = MarketPlayer(checks=[Raises()]).play(CHEAP_MOMENT)
    assert player.outcomes == []
    assert "'raises' failed" in player.quarantined[0]


def test_a_detector_of_ones_own_is_played() -> None:
    detector = EveryTriangle()
    player = MarketPlayer(detectors=[detector], balances={"USD": "0"}).play([Sees("ETH/BTC", ask=CHEAP)])
    assert [found.key for found in detector.active()] == [OVER_ETH]
    assert player.stopped[OVER_ETH] == "no USD is free to start with"


# --- guard and budget ---------------------------------------------------------------------------------------


def connect() -> None:
    with socket.socket() as unused:
        unused.settimeout(0)
        unused.connect_ex(("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (time_ns, "time.time_ns"),
        (time.monotonic, "time.monotonic"),
        (lambda: datetime.now(UTC), "datetime.now"),
        (random.random, "random.random"),
        (lambda: random.randint(1, 6), "random.getrandbits"),
        (uuid.uuid4, "urandom"),
        (connect, "socket"),
        (lambda: time.sleep(0), "time.sleep"),
        (lambda: Path("/dev/null").read_text(), "_io.open"),
        (lambda: print("", end=""), "builtins.print"),
        (lambda: threading.Thread(target=int).start(), "_thread.start"),
        (lambda: subprocess.run([sys.executable, "-V"], check=False, capture_output=True), "fork_exec"),
    ],
)
def test_the_guard_sees_each_way_out(call: Callable[[], object], words: str) -> None:
    with watched() as seen:
        call()
    assert any(words in one for one in seen), seen
    assert not sys.getprofile()


def test_the_guard_lets_through_what_is_pure() -> None:
    rng = Random(1)
    with watched() as seen:
        rng.random()
        datetime(2026, 1, 1, tzinfo=UTC).isoformat()
        Book(10).apply([(1, 2)], [(2, 2)], snapshot=True)
        sorted({"b", "a"})
    assert seen == []


def test_cost_is_told_in_reference_microseconds() -> None:
    ticks = iter(range(0, 10**9, 1_000_000))
    cost = budget(lambda: None, per_call_us=1.5, calls=1_000, cpu_ns=lambda: next(ticks))
    assert cost.per_call_us == 2.0, "1 ms for 1,000 calls beside 1 ms for 2,000 reference microseconds"
    assert not cost.within
    assert "2.0 reference us a call, budget 1.5 us" in str(cost)
