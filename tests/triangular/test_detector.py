"""Incremental detection equals a brute-force rescore over everything that can happen (TRADING 1-5)."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Candidate, LegId, Pair, PairStatus
from arbitrade_core.events import BookUpdate
from arbitrade_core.market import IGNORED, Block, Market
from arbitrade_core.spi import BUY_ROSE, SELL_ROSE, Vanished
from arbitrade_triangular.bruteforce import active_cycles, every_cycle
from arbitrade_triangular.detector import TriangularDetector
from arbitrade_triangular.index import cycles

ASSETS = ("USD", "EUR", "BTC", "ETH", "ADA")
SYMBOLS = ("EUR/USD", "BTC/USD", "BTC/EUR", "ETH/USD", "ETH/EUR", "ETH/BTC", "ADA/USD", "ADA/BTC", "ADA/ETH")


class Update(BookUpdate):
    def verify(self, book: object) -> bool:
        return True


class Wanted:
    """Hurdles a test sets by hand: one required return for every cycle."""

    def __init__(self) -> None:
        self.level = 1.002
        self.assets = frozenset({"USD", "EUR"})

    def break_even(self, legs: Sequence[LegId]) -> float:
        return 1.001

    def required(self, legs: Sequence[LegId]) -> float:
        return self.level

    def start_assets(self) -> frozenset[str]:
        return self.assets


def pair(symbol: str) -> Pair:
    base, quote = symbol.split("/")
    return Pair(symbol, base, quote, 2, 2, Decimal("0.01"), Decimal("0.01"), Decimal(1), Decimal(1), 4)


def snapshot(pair_id: int, bid: int, ask: int) -> Update:
    return Update(pair=pair_id, snapshot=True, bids=[(bid, 100)], asks=[(ask, 100)])


class Watched:
    """A market with a detector on it, kept told the way the engine does."""

    def __init__(self) -> None:
        self.market = Market()
        self.wanted = Wanted()
        self.detector = TriangularDetector()
        self.known: set[str] = set()
        for symbol in SYMBOLS:
            self.market.list_pair(pair(symbol))
        self.rebuild()

    def rebuild(self) -> None:
        self.detector.rebuild(self.market, self.wanted, 0)
        self.take(self.detector.active())

    def take(self, findings: Sequence[object]) -> None:
        for finding in findings:
            if isinstance(finding, Vanished):
                self.known.discard(finding.key)
            elif isinstance(finding, Candidate):
                self.known.add(finding.key)

    def change(self, pair_id: int, rose: int) -> None:
        self.take(self.detector.on_change(pair_id, rose, 0))

    def sees(self, update: Update) -> None:
        rose = self.market.restore(update, 0) if update.snapshot else self.market.apply(update, 0)
        if rose != IGNORED:
            self.change(update.pair, rose)


pairs = st.integers(0, len(SYMBOLS) - 1)
price = st.integers(96, 104)
level = st.tuples(price, st.integers(0, 2))
events = st.one_of(
    st.tuples(st.just("snapshot"), pairs, price, st.integers(0, 3)),
    st.tuples(st.just("update"), pairs, st.lists(level, max_size=3), st.lists(level, max_size=3)),
    st.tuples(st.just("quarantine"), pairs),
    st.tuples(st.just("status"), pairs, st.sampled_from([PairStatus.ONLINE, PairStatus.POST_ONLY])),
    st.tuples(st.just("enabled"), pairs, st.booleans()),
    st.tuples(st.just("hurdle"), st.sampled_from([0.99, 1.0, 1.001, 1.01, float("inf")])),
    st.tuples(st.just("start"), st.sets(st.sampled_from(ASSETS), min_size=1)),
    st.tuples(st.just("disconnect"), pairs),
)


def happen(watched: Watched, event: tuple[object, ...]) -> None:
    market = watched.market
    match event:
        case "snapshot", int(at), int(bid), int(spread):
            watched.sees(snapshot(at, bid, bid + spread))
        case "update", int(at), list(bids), list(asks):
            watched.sees(Update(pair=at, snapshot=False, bids=bids, asks=asks))
        case "quarantine", int(at):
            market.quarantine(at, "test")
            watched.change(at, 0)
        case "status", int(at), PairStatus() as status:
            market.list_pair(replace(market.pairs[at], status=status))
            watched.change(at, 0)
            watched.rebuild()
        case "enabled", int(at), bool(enabled):
            (market.release if enabled else market.block)(at, Block.DISABLED)
            watched.change(at, 0)
            watched.rebuild()
        case "hurdle", float(level):
            watched.wanted.level = level
            watched.rebuild()
        case "start", set(assets):
            watched.wanted.assets = frozenset(str(asset) for asset in assets)
            watched.rebuild()
        case "disconnect", int(at):
            market.carried_by(at, None)
            watched.change(at, 0)
        case _:
            pytest.fail(f"no such event {event}")


@settings(max_examples=300, deadline=None)
@given(st.lists(events, max_size=60))
def test_trading_5_incremental_equals_brute_force_over_all_events(happened: list[tuple[object, ...]]) -> None:
    watched = Watched()
    for at in range(len(SYMBOLS)):
        watched.sees(snapshot(at, 100, 100))
        watched.sees(snapshot(at, 100, 101))
    for event in happened:
        happen(watched, event)
        expected = active_cycles(watched.market, watched.wanted)
        assert watched.known == expected, event
        assert {found.key for found in watched.detector.active() if isinstance(found, Candidate)} == expected


def test_every_cycle_is_indexed_once_with_its_rotations_as_one() -> None:
    market = Market()
    for symbol in SYMBOLS:
        market.list_pair(pair(symbol))
    indexed = cycles(market, frozenset(ASSETS))
    assert {cycle.key: cycle.legs for cycle in indexed} == every_cycle(market, frozenset(ASSETS))
    assert len({cycle.key for cycle in indexed}) == len(indexed)


def test_only_cycles_through_a_start_asset_are_indexed() -> None:
    market = Market()
    for symbol in SYMBOLS:
        market.list_pair(pair(symbol))
    everything = cycles(market, frozenset(ASSETS))
    through_euro = cycles(market, frozenset({"EUR"}))
    assert through_euro == [cycle for cycle in everything if "EUR" in cycle.assets]
    assert 0 < len(through_euro) < len(everything)


def test_evaluations_are_counted_per_cycle() -> None:
    watched = Watched()
    for at in range(len(SYMBOLS)):
        watched.sees(snapshot(at, 100, 101))
    key = "+BTC/EUR -BTC/USD +EUR/USD"
    assert key in watched.detector.detections()
    before = watched.detector.detections()[key]
    btc_usd = watched.market.pair_id("BTC/USD")
    assert btc_usd is not None
    rose = watched.market.apply(Update(pair=btc_usd, snapshot=False, bids=[(100, 0), (99, 1)], asks=[]), 0)
    assert rose == 0, "a worse bid lifts no cycle"
    watched.change(btc_usd, rose)
    assert watched.detector.detections()[key].evaluated == before.evaluated
    rose = watched.market.apply(Update(pair=btc_usd, snapshot=False, bids=[(100, 1)], asks=[(101, 0), (102, 1)]), 0)
    assert rose == SELL_ROSE
    watched.change(btc_usd, rose)
    assert watched.detector.detections()[key].evaluated == before.evaluated + 1
    rose = watched.market.apply(Update(pair=btc_usd, snapshot=False, bids=[], asks=[(101, 1)]), 0)
    assert rose == BUY_ROSE
