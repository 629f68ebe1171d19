"""A market of seeded series with a strategy on it: quotes in, decisions and exact results out."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from arbitrade_core.money import divide_down, exact
from arbitrade_statarb.bars import BarClock, Bars
from arbitrade_statarb.baseline import Holding, Lots, Prices, target
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.regression import Series
from arbitrade_statarb.settings import StatarbSettings
from arbitrade_statarb.signal import Position, Reason
from arbitrade_statarb.spread import Decision
from arbitrade_statarb.strategy import Strategy
from tests.statarb.accounting import Held, Rotation, gained_bps, rotation

LOTS = Lots(Decimal("0.00000001"), Decimal("0.00000001"))
HALF_SPREAD = 1e-4


def bars_of(log_mids: Mapping[str, Series], settings: StatarbSettings) -> Iterator[Bars]:
    """One quote of each symbol a bar; nan is no quote."""
    clock = BarClock(settings.bar_ns, settings.max_gap_bars)
    length = max(len(values) for values in log_mids.values())
    for bar in range(length):
        for second, (symbol, values) in enumerate(log_mids.items()):
            if bar < len(values) and math.isfinite(values[bar]):
                mid = math.exp(values[bar])
                now = bar * settings.bar_ns + second
                yield from clock.observe(symbol, mid * (1 - HALF_SPREAD), mid * (1 + HALF_SPREAD), now)
        yield from clock.advance((bar + 1) * settings.bar_ns)


def decide(
    log_mids: Mapping[str, Series], settings: StatarbSettings, taker: Mapping[str, Decimal]
) -> tuple[list[Decision], Strategy]:
    strategy = Strategy(settings)
    seen = [decision for bars in bars_of(log_mids, settings) for decision in strategy.on_bars(bars, taker)]
    return seen, strategy


@dataclass
class Account:
    """One pair's holding, traded at the quotes of the bar after a decision."""

    pair: SpreadPair
    baseline: Holding
    settings: StatarbSettings
    taker: Decimal
    holding: Holding = field(init=False)
    trades: int = 0

    def __post_init__(self) -> None:
        self.holding = self.baseline

    def follow(self, position: Position, prices: Prices) -> None:
        wanted = target(self.baseline, position, self.settings.max_rotation_share, prices, LOTS)
        way = rotation(self.holding, wanted, LOTS)
        if way is not None:
            self.holding = self._rotated(way, prices)
            self.trades += 1

    def _rotated(self, way: Rotation, prices: Prices) -> Holding:
        sold_at, bought_at = (prices.y, prices.x) if way.sells is Held.Y else (prices.x, prices.y)
        half = Decimal(str(HALF_SPREAD))
        with exact():
            funds = way.qty * sold_at * (1 - half) * (1 - self.taker) + self.holding.quote
            paid = bought_at * (1 + half) * (1 + self.taker)
            bought = divide_down(funds, paid, Decimal("0.00000001"))
            left = funds - bought * paid
            if way.sells is Held.Y:
                return Holding(self.holding.y - way.qty, self.holding.x + bought, left)
            return Holding(self.holding.y + bought, self.holding.x - way.qty, left)


def trade(
    log_mids: Mapping[str, Series], settings: StatarbSettings, taker: Decimal
) -> tuple[Decimal, int, list[Decision]]:
    """Result against the baseline in bps of it, round trips entered, and all decisions, of a one-pair market."""
    y, x = log_mids
    strategy, accounts, seen = Strategy(settings), dict[SpreadPair, Account](), list[Decision]()
    wanted: dict[SpreadPair, Position] = {}
    at: dict[str, Decimal] = {}
    for bars in bars_of(log_mids, settings):
        at = {symbol: Decimal(f"{mid.price:.8f}") for symbol, mid in bars.mids.items()}
        for pair, position in wanted.items():
            accounts[pair].follow(position, Prices(at[pair.y], at[pair.x]))
        for decision in strategy.on_bars(bars, {y: taker, x: taker}):
            seen.append(decision)
            if decision.pair not in accounts:
                worth = Holding(1 / at[decision.pair.y], 1 / at[decision.pair.x])
                baseline = replace(worth, y=round(worth.y, 8), x=round(worth.x, 8))
                accounts[decision.pair] = Account(decision.pair, baseline, settings, taker)
            wanted[decision.pair] = decision.signal.position
    result = sum(
        (gained_bps(one.holding, one.baseline, Prices(at[one.pair.y], at[one.pair.x])) for one in accounts.values()),
        Decimal(0),
    )
    return result, sum(entered(seen, pair) for pair in accounts), seen


def entered(decisions: Sequence[Decision], pair: SpreadPair) -> int:
    return sum(one.pair == pair and one.signal.reason is Reason.ENTRY for one in decisions)
