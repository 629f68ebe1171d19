"""DETECTOR: what every detector must hold."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

from arbitrade_core.domain import LegId, Ns, PairId, PairStatus
from arbitrade_core.spi import Detector, Holdings, Timed, Vanished
from arbitrade_core.testing.builders import MS, START_NS, pair
from arbitrade_core.testing.contracts.rules import Contract, holds, holds_name, rule, skip
from arbitrade_core.testing.guard import watched
from arbitrade_core.testing.market import FakeMarket, fingerprint, sealed

FAIR = {
    "BTC/USD": "50000",
    "ETH/BTC": "0.03",
    "ETH/USD": "1500",
    "BTC/EUR": "40000",
    "ETH/EUR": "1200",
    "EUR/USD": "1.25",
}
"""Prices that agree with each other."""
_STEPS = 300
_STEP_NS: Ns = 100 * MS


class DetectorContract(Contract[Detector]):
    KIND = "detector"
    per_call_us = 50.0
    """most that one `on_change` may cost on six pairs, in reference microseconds: a choice, not a target"""

    def elsewhere(self, hash_seed: int) -> str | None:
        """The `digest` of a walk in a process with that PYTHONHASHSEED; None: nobody knows how to start one here."""
        return None

    @rule("DETECTOR-01", source="DESIGN 3")
    def test_detector_01_has_a_name(self) -> None:
        """It has a name: the strategy of what it finds, and the name in every plan's record."""
        holds_name(self.make(), self.KIND)

    @rule("DETECTOR-02", source="DESIGN 3")
    def test_detector_02_asks_for_pairs_that_exist(self) -> None:
        """`rebuild` answers which pairs it is called for, each of which is listed, on a full and on an empty market."""
        for market in (fair_market(), FakeMarket()):
            asked = self.make().rebuild(sealed(market), Port(), START_NS)
            wrong = [one for one in asked if not (isinstance(one, int) and 0 <= one < len(market.pairs))]
            holds(not wrong, f"asked for {wrong}, of {len(market.pairs)} pairs; answer ids of `market.pairs`")

    @rule("DETECTOR-03", source="DESIGN 3, TRADING 6")
    def test_detector_03_finds_chains_of_legs(self) -> None:
        """What it finds bears its own name and a key, over legs that exist, each spending what the one before gets."""
        for walk in walks(self.make()):
            for found in walk.findings:
                walk.check_finding(found)

    @rule("DETECTOR-04", source="TRADING 3, 4")
    def test_detector_04_active_is_what_it_told(self) -> None:
        """`active()` is exactly what `on_change` told and did not take back: the engine offers one for the other."""
        for walk in walks(self.make()):
            told, active = set(walk.known), walk.active()
            holds(active == told, f"{walk.where}: active() has {sorted(active)}, told were {sorted(told)}")

    @rule("DETECTOR-05", source="TRADING 3")
    def test_detector_05_takes_back_only_what_it_told(self) -> None:
        """`Vanished` only for what was found and has not vanished yet: an appearance ends once."""
        for walk in walks(self.make()):
            holds(not walk.unknown_vanished, f"{walk.where}: {walk.unknown_vanished} vanished and was not there")

    @rule("DETECTOR-06", source="DESIGN 3, TRADING 33")
    def test_detector_06_changes_nothing(self) -> None:
        """It only reads: the market is shared by everybody."""
        for walk in walks(self.make()):
            holds(walk.untouched, f"{walk.where}: the market was changed")

    @rule("DETECTOR-07", source="TRADING 4")
    def test_detector_07_rebuilds_to_the_same(self) -> None:
        """`rebuild` with nothing changed leads to the same pairs and the same active set, and keeps the counters."""
        for walk in walks(self.make(), every=30):
            before, counted = walk.active(), walk.counted()
            first, second = walk.rebuild(), walk.rebuild()
            holds(first == second, f"{walk.where}: asked for {sorted(first)}, then for {sorted(second)}")
            holds(walk.active() == before, f"{walk.where}: rebuilt to {sorted(walk.active())}, was {sorted(before)}")
            lost = [key for key, count in counted.items() if walk.counted().get(key, (0, 0, 0)) < count]
            holds(not lost, f"{walk.where}: a rebuild lost the counters of {lost}")

    @rule("DETECTOR-08", source="TRADING 1, RELIABILITY 7")
    def test_detector_08_leaves_unusable_legs_alone(self) -> None:
        """Nothing it holds active has a leg of rate 0: quarantined, empty, offline or disabled books are no prices."""
        for walk in walks(self.make()):
            for key, legs in walk.known.items():
                dead = [str(walk.market.leg(leg)) for leg in legs if walk.market.rate[leg] == 0.0]
                holds(not dead, f"{walk.where}: {key} is active over {dead}, which cannot be used")

    @rule("DETECTOR-09", source="RELIABILITY 11")
    def test_detector_09_is_deterministic(self) -> None:
        """One made alike finds the same in the same order: a replay must decide the same."""
        one, other = digest(self.make()), digest(self.make())
        holds(one == other, "two made alike told different findings, or in another order")

    @rule("DETECTOR-10", source="RELIABILITY 11")
    def test_detector_10_does_not_depend_on_hashing(self) -> None:
        """Processes with different PYTHONHASHSEED find the same in the same order: sets of text have no order."""
        one, other = self.elsewhere(1), self.elsewhere(2)
        if one is None or other is None:
            skip("needs a process of its own: `arbitrade plugins check` runs it")
        holds(one == other, "with PYTHONHASHSEED 1 and 2 it told different findings; sort what comes out of a set")

    @rule("DETECTOR-11", source="STYLE 9, DESIGN 4")
    def test_detector_11_does_no_io_and_reads_no_clock(self) -> None:
        """No I/O, no clock, no chance, no threads: it is called on every message."""
        for _ in walks(self.make()):
            pass  # what is imported when first used is read from disk
        for walk in walks(self.make(), guarded=True):
            holds(not walk.called, f"{walk.where}: called {walk.called}")

    @rule("DETECTOR-12", source="DESIGN 3")
    def test_detector_12_counts_a_funnel(self) -> None:
        """Its counters are a funnel and never fall: evaluated >= gross positive >= after fees >= 0."""
        last: dict[str, tuple[int, int, int]] = {}
        for walk in walks(self.make(), every=10):
            for key, (evaluated, gross, net) in walk.counted().items():
                holds(evaluated >= gross >= net >= 0, f"{walk.where}: {key} counts {evaluated}, {gross}, {net}")
                holds(last.get(key, (0, 0, 0)) <= (evaluated, gross, net), f"{walk.where}: {key} fell")
            last = walk.counted()

    @rule("DETECTOR-13", source="DESIGN 8")
    def test_detector_13_ranks_best_first(self) -> None:
        """`ranked(n)` has at most n, best net first, none over a leg that cannot be used."""
        for walk in walks(self.make(), every=10):
            for limit in (0, 1, 5):
                ranked = walk.detector.ranked(limit)
                nets = [one.net_bps for one in ranked]
                holds(len(ranked) <= limit, f"{walk.where}: ranked({limit}) has {len(ranked)}")
                holds(nets == sorted(nets, reverse=True), f"{walk.where}: ranked({limit}) is {nets}")
                dead = [one.key for one in ranked if any(walk.market.rate[leg] == 0.0 for leg in one.legs)]
                holds(not dead, f"{walk.where}: ranked has {dead}, with a leg that cannot be used")

    @rule("DETECTOR-14", source="DESIGN 4")
    def test_detector_14_is_quick(self) -> None:
        """`on_change` stays within its budget: it is called on every message of its pairs."""
        market, detector = fair_market(), self.make()
        asked = sorted(detector.rebuild(sealed(market), Port(), START_NS))
        if not asked:
            skip("it asks for none of the contract's pairs")

        def every_pair() -> None:
            for pair_id in asked:
                detector.on_change(pair_id, 3, START_NS)

        self.judge_cost(every_pair, self.per_call_us * len(asked), calls=100)


class Port:
    """Implements `spi.DetectorPort`: one break-even and one required return for all, fees of 10 bps, no allocation."""

    def __init__(self, required: float = 1.004) -> None:
        self._required = required
        self._wishes: set[Ns] = set()

    def break_even(self, legs: Sequence[LegId]) -> float:
        return 1.003

    def required(self, legs: Sequence[LegId]) -> float:
        return self._required

    def start_assets(self) -> frozenset[str]:
        return frozenset({"USD", "EUR"})

    def holdings(self) -> Sequence[Holdings]:
        return ()

    def taker_rate(self, symbol: str) -> Decimal | None:
        return Decimal("0.001") if symbol in FAIR else None

    def wake_at(self, due: Ns) -> None:
        self._wishes.add(due)

    def due_by(self, now: Ns) -> list[Ns]:
        """The times it asked to be woken at, in order; told once."""
        due = sorted(wish for wish in self._wishes if wish <= now)
        self._wishes.difference_update(due)
        return due


def fair_market() -> FakeMarket:
    market = FakeMarket(*(pair(symbol) for symbol in FAIR))
    for symbol in FAIR:
        reprice(market, symbol, Decimal(1))
    return market


def reprice(market: FakeMarket, symbol: str, factor: Decimal) -> int:
    """Both sides around fair times `factor`, 4 bps apart; returns what rose."""
    middle = Decimal(FAIR[symbol]) * factor
    half = middle * Decimal("0.0002")
    grid = Decimal("0.00000001")
    return market.sees(symbol, bid=str((middle - half).quantize(grid)), ask=str((middle + half).quantize(grid)))


class Walk:
    """A detector told of a market that wanders, as the engine tells it."""

    def __init__(self, detector: Detector, seed: int, guarded: bool = False) -> None:
        self.detector = detector
        self.market = fair_market()
        self.known: dict[str, tuple[LegId, ...]] = {}
        """what was found and has not vanished, by key"""
        self.findings: list[Any] = []
        """of the last step"""
        self.unknown_vanished = ""
        self.untouched = True
        self.called = ""
        self.step = 0
        self.told: list[str] = []
        """everything in order, for comparing walks"""
        self._view = sealed(self.market)
        self._port = Port()
        self._now = START_NS
        self._rng = Random(seed)  # noqa: S311 - a walk that repeats
        self._guarded = guarded
        self._seed = seed
        self.asked: frozenset[PairId] = frozenset()
        self.rebuild()

    @property
    def where(self) -> str:
        return f"walk {self._seed}, step {self.step}"

    def rebuild(self) -> frozenset[PairId]:
        self.asked = frozenset(self._ask(lambda: self.detector.rebuild(self._view, self._port, self._now)))
        self._take(self._ask(self.detector.active))
        return self.asked

    def active(self) -> set[str]:
        found = list(self.detector.active())
        self._take(found)
        return {one.key for one in found if not isinstance(one, Vanished)}

    def counted(self) -> dict[str, tuple[int, int, int]]:
        counts = self.detector.detections().items()
        return {key: (one.evaluated, one.gross_positive, one.after_fees) for key, one in counts}

    def goes_on(self) -> None:
        """Timers run, then something happens to one pair."""
        self.step += 1
        self._now += _STEP_NS
        self._wake()
        symbol = self._rng.choice(sorted(FAIR))
        pair_id, rose, relisted = self.market.id(symbol), 0, False
        match self._rng.randrange(12):
            case 0:
                self.market.breaks(symbol)
            case 1:
                self.market.empties(symbol)
            case 2:
                offline = self.market.pairs[pair_id].status is PairStatus.ONLINE and self._rng.random() < 0.5  # noqa: PLR2004
                self.market.stops(symbol, PairStatus.CANCEL_ONLY if offline else PairStatus.ONLINE)
                relisted = True
            case _:
                rose = reprice(self.market, symbol, 1 + Decimal(self._rng.randint(-80, 80)) / 10_000)
        if pair_id in self.asked:
            self._take(self._ask(lambda: self.detector.on_change(pair_id, rose, self._now)))
        if relisted:
            self.rebuild()

    def _wake(self) -> None:
        self.findings = []
        if not isinstance(self.detector, Timed):
            return
        timed = self.detector
        for due in self._port.due_by(self._now):
            self._take(self._ask(lambda at=due: timed.on_timer(at)))  # type: ignore[misc]

    def check_finding(self, found: Any) -> None:
        name = type(found).__name__
        holds(isinstance(found.key, str) and found.key, f"{self.where}: {name} has the key {found.key!r}")
        if isinstance(found, Vanished):
            return
        holds(found.strategy == self.detector.name, f"{self.where}: {name} {found.key} is of {found.strategy!r}")
        legs = found.legs
        holds(
            isinstance(legs, tuple) and legs and all(0 <= leg < len(self.market.rate) for leg in legs),
            f"{self.where}: {name} {found.key} has the legs {legs!r}",
        )
        chain = [self.market.leg(leg) for leg in legs]
        broken = [str(after) for before, after in pairwise(chain) if before.gets != after.spends]
        holds(not broken, f"{self.where}: {name} {found.key}: {broken} spends what the leg before does not get")
        gross = getattr(found, "gross", None)
        if gross is not None:
            ends = chain[-1].gets == chain[0].spends
            holds(ends, f"{self.where}: cycle {found.key} ends in {chain[-1].gets}, not in {chain[0].spends}")
            holds(math.isfinite(gross) and gross > 0, f"{self.where}: {found.key} has the gross return {gross}")

    def _ask[T](self, call: Callable[[], Collection[T]]) -> Collection[T]:
        before = fingerprint(self.market)
        if self._guarded:
            with watched() as seen:
                answer = call()
            self.called = self.called or seen.first
        else:
            answer = call()
        self.untouched = self.untouched and fingerprint(self.market) == before
        return answer

    def _take(self, findings: Collection[Any]) -> None:
        self.findings += findings
        for found in findings:
            self.told.append(f"{self.step} {found!r}")
            if not isinstance(found, Vanished):
                self.known[found.key] = found.legs
            elif self.known.pop(found.key, None) is None:
                self.unknown_vanished = found.key


def walks(detector: Detector, *, every: int = 1, guarded: bool = False, seed: int = 1) -> Iterator[Walk]:
    """One long walk, given after every step, or after every so many."""
    walk = Walk(detector, seed, guarded)
    yield walk
    while walk.step < _STEPS:
        walk.goes_on()
        if walk.step % every == 0:
            yield walk


def digest(detector: Detector) -> str:
    """Everything told on a walk, in order."""
    told: list[str] = []
    for walk in walks(detector, every=_STEPS):
        told = walk.told
    return "\n".join(told)
