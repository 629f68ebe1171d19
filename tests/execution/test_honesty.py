"""What the paper venue lets a desk earn is what the books really held (TRADING 12, 29; issue: paper-venue honesty).

The optimum is that of TRADING 12 for plans of one limit a leg: quantities in whole lots, each order funded at its own
limit, which is the worst price it touches, by what the leg before brings for sure at its own. The search here tries
every such triple of quantities on small books and shares no code with pricing, desk or venue.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.book import Level
from arbitrade_core.desk import Desk
from arbitrade_core.domain import Fee, FeeSnapshot, Order, Pair, Side, TimeInForce
from arbitrade_core.engine import Engine
from arbitrade_core.events import FeesLoaded, Frame
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.journal import Stream
from arbitrade_core.market import Market
from arbitrade_core.parts import Parts
from arbitrade_core.planning import DeskTerms
from arbitrade_core.pricing import Terms
from arbitrade_core.recovery import Recovered
from arbitrade_core.risk.checks import shipped_checks
from arbitrade_core.risk.gate import Gate
from arbitrade_core.settings import RiskSettings
from arbitrade_core.subledgers import Ledgers
from arbitrade_core.testing.world import SilentPeer, World
from arbitrade_triangular.detector import TriangularDetector
from tests.engine.harness import MS, START_NS, StubFeed, Update

D = Decimal
SEEDS = st.integers(0, 10**9)
HUGE = D(10**9)

type Levels = list[Level]
"""(price in ticks, lots), best first; a tick is 1 of the quote asset, a lot 1 of the base asset"""


# --- a market of small whole numbers ---


@dataclass(frozen=True)
class Small:
    """USD -> A -> B -> USD over A/USD, B/A and B/USD; one frame plants `bids_b`, where there is nothing to earn."""

    budget: int
    asks_a: Levels
    asks_b: Levels
    bids_b: Levels


def small(seed: int) -> Small:
    """A cycle that pays at its tops: A costs few dollars, B a few A, and B sells for more dollars than that."""
    rng = random.Random(seed)
    a, b = rng.randint(2, 9), rng.randint(1, 6)
    top = round(a * b * rng.uniform(1.02, 1.9)) + 1
    return Small(
        budget=rng.randint(a, 160),
        asks_a=_levels(rng, a, 1, 14),
        asks_b=_levels(rng, b, 1, 9),
        bids_b=_levels(rng, top, -1, 7),
    )


def _levels(rng: random.Random, price: int, sign: int, most: int) -> Levels:
    levels: Levels = []
    for _ in range(rng.randint(1, 4)):
        if price < 1:
            break
        levels.append((price, rng.randint(1, most)))
        price += sign * rng.randint(1, 2)
    return levels


# --- the search ---


def walked(levels: Levels, lots: int) -> tuple[int, int]:
    """What taking `lots` costs, and the worst price it touches."""
    cost = worst = 0
    for price, shown in levels:
        taken = min(lots, shown)
        if taken:
            cost, worst, lots = cost + price * taken, price, lots - taken
    assert lots == 0
    return cost, worst


def every_plan(market: Small) -> Iterator[int]:
    """Profit in dollars of every triple of quantities that fund each other at their limits, and of doing nothing."""
    yield 0
    depth = [sum(lots for _, lots in levels) for levels in (market.asks_a, market.asks_b, market.bids_b)]
    for first in range(1, depth[0] + 1):
        paid, limit_a = walked(market.asks_a, first)
        if first * limit_a > market.budget:
            break
        for second in range(1, depth[1] + 1):
            _, limit_b = walked(market.asks_b, second)
            if second * limit_b > first:
                break
            for third in range(1, min(second, depth[2]) + 1):
                got, limit = walked(market.bids_b, third)
                if third * limit >= first * limit_a:  # what the certificate promises
                    yield got - paid


def best(market: Small) -> int:
    return max(every_plan(market))


# --- a desk on that market ---

SYMBOLS = ("A/USD", "B/A", "B/USD")
COST_NOTHING = {symbol: Fee(D(0)) for symbol in SYMBOLS}


def whole(symbol: str) -> Pair:
    """Prices, quantities and costs in whole units."""
    base, quote = symbol.split("/")
    return Pair(symbol, base, quote, 0, 0, D(1), D(1), D(1), D(0), 0)


class Bench:
    """A desk with nothing in its way: no latency, slippage, margin, fees, cooldown or caps."""

    def __init__(self, budget: int, *, once: bool = True) -> None:
        risk = RiskSettings(
            cooldown_ms=0,
            once_per_appearance=once,
            max_open_plans=1000,
            max_plans_per_hour=10**6,
            max_edge_bps=HUGE,
            max_cycle_notional_valued=HUGE,
            max_pair_notional_valued=HUGE,
            max_asset_notional_valued=HUGE,
            max_total_notional_valued=HUGE,
            max_drawdown_valued=HUGE,
        )
        ledger = Ledgers("desk")
        self.venue = PaperVenue("desk", funds=ledger.balance, latency_ns=0)
        self.desk = Desk(
            desk_id="desk",
            terms=DeskTerms(("USD",), "USD", Terms(D(0), D(0), D(0), D(0), D(0), 0, 10), None, {}, 0),
            balances={"USD": D(budget)},
            recovered=Recovered(),
            gate=Gate(shipped_checks(risk), ()),
            executors=[SequentialExecutor()],
            venue=self.venue,
            ledger=ledger,
            stream=Stream("desk"),
            epoch="t",
        )
        self.feed = StubFeed([whole(symbol) for symbol in SYMBOLS])
        self.engine = Engine(
            market=Market(),
            parts={"test": Parts(feeds=(self.feed,), detectors=(TriangularDetector(),))},
            desks=[self.desk],
        )
        self.world = World(self.engine, SilentPeer(), start_ns=START_NS, commit_ns=MS)
        self.world.start()
        self.world.run_for(0)
        self.world.take(FeesLoaded("desk", FeeSnapshot("none", "a test", START_NS, COST_NOTHING), START_NS))

    def shows(
        self, symbol: str, *, bids: Sequence[Level] = (), asks: Sequence[Level] = (), snapshot: bool = False
    ) -> None:
        """One frame: the side that is given is now this; a snapshot replaces both."""
        pair = SYMBOLS.index(symbol)
        book = self.engine.market.books[pair]
        changes: list[Levels] = []
        for side, levels in ((book.bids, bids), (book.asks, asks)):
            kept = {price for price, _ in levels}
            gone = [(price, 0) for price, _ in side.levels() if levels and not snapshot and price not in kept]
            changes.append(gone + list(levels))
        bid, ask = changes
        now = self.world.now
        self.feed.next = [Update(pair=pair, snapshot=snapshot, bids=bid, asks=ask, right=True, sent_ns=now)]
        assert self.feed.conn is not None
        self.world.take(Frame(self.feed.conn, b"", self.world.now))

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [record.data for record in self.world.records if record.kind == kind]


def after(market: Small, *, once: bool) -> Bench:
    """One frame plants the mispricing, a later one withdraws it."""
    bench = Bench(market.budget, once=once)
    top = market.bids_b[0][0]
    fair: Levels = [(1, 9)]
    bench.shows("A/USD", bids=[(market.asks_a[0][0] - 1, 9)], asks=market.asks_a, snapshot=True)
    below = market.asks_b[0][0] - 1
    bench.shows("B/A", bids=[(below, 9)] if below else [], asks=market.asks_b, snapshot=True)
    bench.shows("B/USD", bids=fair, asks=[(top + 60, 9)], snapshot=True)
    bench.shows("B/USD", bids=market.bids_b)
    bench.world.run_for(50 * MS)
    bench.shows("B/USD", bids=fair)
    bench.world.run_for(50 * MS)
    return bench


@settings(max_examples=400, deadline=None)
@given(seed=SEEDS)
def test_trading_32_a_mispricing_earns_exactly_what_an_exhaustive_search_finds(seed: int) -> None:
    market = small(seed)
    bench = after(market, once=True)
    assert bench.desk.ledger.balances().get("USD", D(0)) - market.budget == best(market)
    assert [end["outcome"] for end in bench.told("end")] == ["completed"] * (best(market) > 0)


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS)
def test_taken_again_it_earns_what_the_search_finds_in_what_is_left(seed: int) -> None:
    """One plan after the other, each as good as any in the books less what was taken, with the money there is then."""
    market = small(seed)
    bench = after(market, once=False)
    fills, ends = bench.told("fill"), bench.told("end")
    left = market
    for end in ends:
        if any(bench_residue for bench_residue in end["residue"].values()):
            break  # the next plan may use it, which no search over books alone knows of
        assert D(end["profit"]) == best(left) > 0
        left = less(left, [fill for fill in fills if fill["plan"] == end["plan"]], int(D(end["profit"])))
    else:
        assert best(left) == 0


def less(market: Small, fills: list[dict[str, Any]], profit: int) -> Small:
    books = {"A/USD": dict(market.asks_a), "B/A": dict(market.asks_b), "B/USD": dict(market.bids_b)}
    for fill in fills:
        books[fill["symbol"]][int(D(fill["price"]))] -= int(D(fill["qty"]))
    rows = [[(price, lots) for price, lots in books[symbol].items() if lots] for symbol in SYMBOLS]
    return Small(market.budget + profit, *rows)


# --- never twice ---


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS)
def test_trading_29_no_liquidity_is_filled_twice(seed: int) -> None:
    """Any orders between any updates: of a level no more is filled than it ever showed since it appeared."""
    rng = random.Random(seed)
    bench = Bench(0)
    bench.desk.ledger.main.flow("USD", HUGE, "a test")
    bench.desk.ledger.main.flow("A", HUGE, "a test")
    shown: dict[tuple[Side, int], int] = {}
    """most that each level showed since it appeared"""
    filled: dict[tuple[Side, int], int] = {}
    bench.shows("A/USD", bids=[(10, 5)], asks=[(20, 5)], snapshot=True)
    events: list[Any] = []
    bench.venue._port.deliver = lambda event, now: events.append(event)  # type: ignore[method-assign]

    def seen() -> None:
        """What the book says now; a level that it deletes ends, and with it what was filled there."""
        book = bench.engine.market.books[0]
        for side in Side:
            levels = dict(book.taken_by(side).levels())
            for place in [place for place in shown if place[0] is side and place[1] not in levels]:
                del shown[place]
                filled.pop(place, None)
            for price, lots in levels.items():
                shown[side, price] = max(shown.get((side, price), 0), lots)

    seen()
    for number in range(rng.randint(5, 40)):
        if rng.random() < 0.5:
            _changes(rng, bench)
            seen()
            continue
        side = rng.choice((Side.BUY, Side.SELL))
        leg = bench.engine.market.legs[side]
        limit, qty = D(rng.randint(8, 24)), D(rng.randint(1, 12))
        tif = rng.choice((TimeInForce.IOC, TimeInForce.IOC, TimeInForce.FOK))
        bench.venue.submit(Order(f"o{number}", "p", "desk", leg, qty, limit, Fee(D(0)), tif), bench.world.now)
        bench.world.run_for(0)
        bench.engine.taken_on(0, bench.desk)
        for fill in [event for event in events if hasattr(event, "exec_id")]:
            place = (side, int(fill.price))
            filled[place] = filled.get(place, 0) + int(fill.qty)
            assert fill.price <= limit if side is Side.BUY else fill.price >= limit
        events.clear()
        for place, lots in filled.items():
            assert lots <= shown.get(place, 0), f"{place}: {lots} filled of {shown.get(place, 0)} shown"


def _changes(rng: random.Random, bench: Bench) -> None:
    """Levels come, go, change; now and then a snapshot repeats the book as it stands."""
    book = bench.engine.market.books[0]
    bids, asks = dict(book.bids.levels()), dict(book.asks.levels())
    snapshot = rng.random() < 0.2
    if not snapshot:
        for levels, low, high in ((bids, 9, 14), (asks, 15, 22)):
            for _ in range(rng.randint(0, 3)):
                levels[rng.randint(low, high)] = rng.randint(0, 9)
    bids, asks = ({price: lots for price, lots in levels.items() if lots} for levels in (bids, asks))
    bench.shows("A/USD", bids=sorted(bids.items(), reverse=True), asks=sorted(asks.items()), snapshot=snapshot)
    bench.world.run_for(rng.choice((0, MS)))
