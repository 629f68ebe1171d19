"""Random sessions of many desks on one hand-made market: a script of inputs, and any desks of it on one engine.

The script is drawn once from a seed and given, unchanged, to an engine with all desks and to one engine for each desk
alone. Desks differ in thresholds, fees, balances, latency, slippage, limits and start assets; they want the same books.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Fee, FeeCurrency, FeeSnapshot, Ns, PairStatus
from arbitrade_core.engine import Engine
from arbitrade_core.events import (
    BookUpdate,
    FeesLoaded,
    Frame,
    Halt,
    JournalBack,
    JournalLost,
    PairsEnabled,
    Resume,
    StartAssets,
    Thresholds,
)
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.journal import GENESIS, Stream, chained
from arbitrade_core.market import Market
from arbitrade_core.parts import Parts
from arbitrade_core.planning import DeskTerms
from arbitrade_core.pricing import Terms
from arbitrade_core.recovery import Recovered
from arbitrade_core.risk.checks import required_checks, shipped_checks
from arbitrade_core.risk.gate import Gate
from arbitrade_core.settings import RiskSettings
from arbitrade_core.subledgers import Ledgers
from arbitrade_core.testing.world import SilentPeer, World
from arbitrade_triangular.detector import TriangularDetector
from tests.engine.harness import MS, QTY, QUOTES, START_NS, S, StubFeed, Update, listing

D = Decimal
SYMBOLS = tuple(QUOTES)
GAP_NS = (0, 1 * MS, 2 * MS, 5 * MS, 20 * MS, 50 * MS, 400 * MS, 2 * S)
RATES = ("0", "0.0005", "0.0005", "0.0005", "0.002")


@dataclass(frozen=True)
class Wish:
    """One desk's settings."""

    name: str
    pricing: Terms
    start_assets: tuple[str, ...]
    balances: dict[str, Decimal]
    max_notional: Decimal | None
    reserve: dict[str, Decimal]
    latency_ms: int
    slippage_bps: Decimal
    rates: tuple[str, ...]
    risk: dict[str, Any]


def wishes(chance: random.Random) -> list[Wish]:
    """Five to twelve; some differ in one thing, so that they share what is priced."""
    made = [_wish(chance, 0)]
    for number in range(1, chance.randint(5, 12)):
        other = _wish(chance, number)
        if chance.random() < 0.5:
            like = chance.choice(made)
            field = chance.choice(("pricing", "balances", "latency_ms", "rates", "risk", "max_notional"))
            other = replace(like, name=other.name, **{field: getattr(other, field)})
        made.append(other)
    return made


def _wish(chance: random.Random, number: int) -> Wish:
    pick = chance.choice
    min_edge = pick(("0", "2", "5", "20", "60"))
    return Wish(
        name=f"desk-{number}",
        pricing=Terms(
            D(pick(("0", "1", "10"))), D(min_edge), D(pick(("0", "0.01", "3"))), D(pick(("0", "4"))), D(0), 10, 10
        ),
        start_assets=pick((("USD",), ("USD",), ("USD",), ("USD", "EUR"), ("BTC",))),
        balances={
            "USD": D(pick(("10000", "1500", "100"))),
            "EUR": D(pick(("0", "3000"))),
            "BTC": D(pick(("0", "0.4"))),
        },
        max_notional=pick((None, D(1000), D(1000), D(250))),
        reserve=pick(({}, {"USD": D(50)})),
        latency_ms=pick((0, 5, 50)),
        slippage_bps=D(pick(("0", "4"))),
        rates=tuple(pick(RATES) for _ in SYMBOLS) if chance.random() < 0.15 else (pick(RATES),) * len(SYMBOLS),
        risk={
            "cooldown_ms": pick((0, 0, 100, 1000)),
            "max_open_plans": pick((1, 2, 5)),
            "once_per_appearance": pick((False, True)),
            "max_plans_per_hour": pick((600, 600, 4)),
            "max_edge_bps": D(pick((500, 10_000, 60))),
            "max_pair_notional_valued": D(pick((2000, 100_000))),
        },
    )


# --- what happens ---


@dataclass(frozen=True)
class Move:
    """One input of the script; `desk`: it is for that desk alone."""

    at_ns: Ns
    kind: str
    symbol: str = ""
    desk: str = ""
    figures: tuple[Any, ...] = ()


def script(chance: random.Random, desks: Sequence[Wish], *, count: int = 220) -> list[Move]:
    moves: list[Move] = []
    now = START_NS + S
    pick = chance.choice
    for _ in range(count):
        now += pick(GAP_NS)
        kind = chance.choices(
            ("quote", "plant", "withdraw", "wrong", "resync", "list", "enable", "halt", "journal", "status", "own"),
            (30, 26, 22, 3, 6, 2, 2, 2, 1, 1, 14),
        )[0]
        symbol = pick(SYMBOLS)
        match kind:
            case "plant":
                figures: tuple[Any, ...] = (pick(("bid", "ask")), chance.randint(10, 180), chance.randint(1, 4))
            case "quote" | "withdraw" | "resync":
                figures = (chance.randint(0, 6), chance.randint(1, 4))
            case "list":
                figures = (pick(("status", "grid", "lot")), pick((PairStatus.ONLINE, PairStatus.CANCEL_ONLY)))
            case "enable":
                figures = (pick((None, frozenset(chance.sample(SYMBOLS, len(SYMBOLS) - 2)))),)
            case "status":
                figures = (pick(("online", "online", "maintenance")),)
            case "own":
                figures = (
                    pick(("fees", "thresholds", "thresholds", "thresholds", "assets")),
                    pick(RATES),
                    chance.randint(0, 80),
                )
            case _:
                figures = ()
        desk = pick(desks).name if kind == "own" else ""
        moves.append(Move(now, kind, symbol, desk, figures))
    return moves


class Run:
    """An engine with these desks, after the script."""

    def __init__(
        self,
        desks: Sequence[Wish],
        moves: Sequence[Move],
        *,
        queued: bool = False,
        look: Callable[[Engine], None] = lambda engine: None,
    ) -> None:
        """`queued`: frames wait among the commits of their instant, and nobody looks for due timers in between."""
        self._queued = False
        self._wishes = {wish.name: wish for wish in desks}
        self._fees = {wish.name: wish.rates for wish in desks}
        self._fees_number = 0
        self.feed = StubFeed([listing(symbol) for symbol in SYMBOLS])
        self.engine = Engine(
            market=Market(),
            parts={"test": Parts(feeds=(self.feed,), detectors=(TriangularDetector(),))},
            desks=[_desk(wish) for wish in desks],
            carry_all=True,
        )
        self.world = World(self.engine, SilentPeer(), start_ns=START_NS, commit_ns=MS)
        self.world.start()
        self.world.run_for(0)
        self._load_fees()
        for symbol in SYMBOLS:
            self._resync(symbol, 0, 1)
        self._queued = queued
        for move in moves:
            self._until(move.at_ns - queued)
            if not move.desk or move.desk in self._wishes:
                self._make(move)
            look(self.engine)
        self._until(self.world.now + 12 * S)

    def _until(self, until: Ns) -> None:
        """With a heartbeat each second, at instants that do not depend on the desks."""
        world = self.world
        while world.now < until:
            beat = world.now - world.now % S + S
            world.run_until(min(until, beat))
            if world.now == beat < until:
                self._hear()

    def _make(self, move: Move) -> None:
        world, figures, now = self.world, move.figures, self.world.now
        match move.kind:
            case "plant":
                side, bps, levels = figures
                self._quote(move.symbol, side, bps, levels)
            case "quote" | "withdraw":
                self._quote(move.symbol, "ask", -figures[0], figures[1])
                self._quote(move.symbol, "bid", -figures[0], figures[1])
            case "wrong":
                self._quote(move.symbol, "ask", 3, 1, right=False)
            case "resync":
                self._resync(move.symbol, *figures)
            case "list":
                self._list(move.symbol, *figures)
            case "enable":
                world.take(PairsEnabled(figures[0], now))
            case "halt":
                world.take(Halt("a test", "tester", now))
                world.run_for(30 * MS)
                world.take(Resume("tester", world.now))
            case "journal":
                world.take(JournalLost("a test", now))
                world.run_for(30 * MS)
                world.take(JournalBack(world.now))
            case "status":
                self.feed.port.exchange_status(figures[0], now)
                self._hear()
            case "own":
                self._own(move.desk, *figures)

    def _own(self, desk: str, what: str, rate: str, bps: int) -> None:
        world, now = self.world, self.world.now
        match what:
            case "fees":
                self._fees[desk] = (rate,) * len(SYMBOLS)
                world.take(FeesLoaded(desk, self._snapshot(desk), now))
            case "thresholds":
                world.take(Thresholds(desk, D(bps), D(1), D("0.01"), now))
            case _:
                world.take(StartAssets(desk, ("USD",) if bps % 2 else ("USD", "EUR"), now))

    def _snapshot(self, desk: str) -> FeeSnapshot:
        rates = self._fees[desk]
        taker = {
            symbol: Fee(D(rate), FeeCurrency.QUOTE if len(set(rates)) > 1 else FeeCurrency.EITHER)
            for symbol, rate in zip(SYMBOLS, rates, strict=True)
        }
        return FeeSnapshot("+".join(rates), "a test", self.world.now, taker)

    def _load_fees(self) -> None:
        for name in self._wishes:
            self.world.take(FeesLoaded(name, self._snapshot(name), self.world.now))

    # --- the market ---

    def _quote(self, symbol: str, side: str, bps: int, levels: int, *, right: bool = True) -> None:
        """One side anew: its usual price moved towards the other one by `bps`, never over it; levels below it."""
        market = self.engine.market
        pair_id = self.feed.pairs.index(next(pair for pair in self.feed.pairs if pair.symbol == symbol))
        pair = market.pairs[pair_id]
        book = market.books[pair_id]
        mine, other = (book.asks, book.bids) if side == "ask" else (book.bids, book.asks)
        sign = 1 if side == "ask" else -1
        usual = D(QUOTES[symbol][side == "ask"])
        price = pair.ticks((usual * (1 - sign * D(bps) / 10_000)).quantize(D("1e-8")).quantize(pair.price_unit))
        facing = other.best()
        if facing is not None and sign * (price - facing) <= 0:
            price = facing + sign
        step = max(1, price // 4000)
        lots = pair.lots(D(QTY.get(symbol, "10")).quantize(pair.qty_unit)) // 20
        wanted = [(price + sign * number * step, lots * (number + 1)) for number in range(levels)]
        kept = {ticks for ticks, _ in wanted}
        changes = [(ticks, 0) for ticks, _ in mine.levels() if ticks not in kept] + wanted
        asks, bids = (changes, []) if side == "ask" else ([], changes)
        self._hear(Update(pair=pair_id, snapshot=False, bids=bids, asks=asks, right=right, sent_ns=self.world.now))

    def _resync(self, symbol: str, bps: int, levels: int) -> None:
        market = self.engine.market
        pair_id = market.pair_id(symbol)
        assert pair_id is not None
        pair = market.pairs[pair_id]
        sides: list[list[tuple[int, int]]] = []
        for side, quote in enumerate(QUOTES[symbol]):
            sign = 1 if side else -1
            price = pair.ticks((D(quote) * (1 + sign * D(bps) / 10_000)).quantize(pair.price_unit))
            lots = pair.lots(D(QTY.get(symbol, "10")).quantize(pair.qty_unit)) // 20
            step = max(1, price // 4000)
            sides.append([(price + sign * number * step, lots) for number in range(levels)])
        self._hear(
            Update(pair=pair_id, snapshot=True, bids=sides[0], asks=sides[1], right=True, sent_ns=self.world.now)
        )

    def _list(self, symbol: str, what: str, status: PairStatus) -> None:
        at = SYMBOLS.index(symbol)
        pair = self.feed.pairs[at]
        match what:
            case "status":
                pair = replace(pair, status=status)
            case "grid":
                decimals = 9 if pair.price_decimals == 8 else 8
                pair = replace(pair, price_decimals=decimals, tick=D(1).scaleb(-decimals))
            case _:
                pair = replace(pair, lot=pair.lot * 10 if pair.lot_multiple == 1 else pair.qty_unit)
        self.feed.pairs[at] = pair
        self.feed.relisted = [pair]
        self._hear()

    def _hear(self, *updates: BookUpdate) -> None:
        world, conn = self.world, self.feed.conn
        assert conn is not None
        if self._queued and updates:
            world.now += 1
            self.feed.next = list(updates)
            world._at(Frame(conn, b"", world.now))
            world.run_until(world.now)
        else:
            self.feed.next = list(updates)
            world.take(Frame(conn, b"", world.now))

    # --- looking ---

    def told(self, desk: str) -> list[tuple[Any, ...]]:
        """A desk's journal, record for record."""
        return [
            (record.seq, record.time_ns, record.kind, record.data)
            for record in self.world.records
            if record.stream == desk
        ]

    def chain(self, desk: str) -> bytes:
        last = GENESIS
        for record in self.world.records:
            if record.stream == desk:
                last = chained(last, record)
        return last

    def funnel(self, desk: str) -> dict[str, Any]:
        one = next(one for one in self.engine.desks if one.id == desk)
        return {"all": one.funnel.view(), **{key: one.funnel.view(key) for key in sorted(one.funnel.reached)}}


def _desk(wish: Wish) -> Desk:
    risk = RiskSettings(
        max_asset_notional_valued=D(100_000),
        max_total_notional_valued=D(100_000),
        max_cycle_notional_valued=D(100_000),
        reserve=wish.reserve,
        **wish.risk,
    )
    ledger = Ledgers(wish.name)
    return Desk(
        desk_id=wish.name,
        terms=DeskTerms(
            start_assets=wish.start_assets,
            valuation_asset="USD",
            pricing=wish.pricing,
            max_notional_valued=wish.max_notional,
            reserve=wish.reserve,
            leg_ban_ns=2 * S,
        ),
        balances={asset: amount for asset, amount in wish.balances.items() if amount},
        recovered=Recovered(),
        gate=Gate(shipped_checks(risk), required_checks(risk)),
        executors=[SequentialExecutor()],
        venue=PaperVenue(
            wish.name, funds=ledger.balance, latency_ns=wish.latency_ms * MS, slippage_bps=wish.slippage_bps
        ),
        ledger=ledger,
        stream=Stream(wish.name),
        epoch="r",
    )
