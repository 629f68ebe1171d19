"""The strategy as a detector: quotes in, rotations out.

Quotes are noted on every message and cost next to nothing; everything else happens when a bar closes, on a timer. Two
rules make the wishes. An entry stands, at the price bound of its own bar, until its position ends. And whatever is in
no position belongs at the baseline: what a desk holds away from it is wished back, anew with every bar, whichever way
it came there: an exit, a stop, a gap, a pair that was dropped, a leg that did not fill, or a restart, which forgets all
models (docs/statarb.md). All wishes are offered again with every bar: what did not fill is tried again, and a desk
that holds what is wanted has nothing to do (`domain.Rotation`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal

from arbitrade_core.domain import LegId, Ns, PairId, Rotation
from arbitrade_core.money import BPS, ONE, ZERO, exact, ratio
from arbitrade_core.spi import Detection, DetectorPort, Finding, Holdings, MarketView, Standing, Vanished
from arbitrade_statarb.bars import BarClock, Bars
from arbitrade_statarb.baseline import Comparison, Holding, Lots, Prices, target
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.settings import StatarbSettings
from arbitrade_statarb.signal import Position
from arbitrade_statarb.spread import Decision
from arbitrade_statarb.strategy import Strategy

NAME = "statarb"
HOMEWARD = "home"
"""Wishes for the baseline: their keys begin with it, and it is why they are wished."""

_SELL, _BUY = 0, 1


class StatarbDetector:
    """Implements `spi.Detector`, `spi.Timed` and `spi.Funded`."""

    name = NAME

    def __init__(self, settings: StatarbSettings) -> None:
        self.settings = settings
        self.strategy = Strategy(settings)
        self.decisions: dict[SpreadPair, Decision] = {}
        """the newest of every pair that is followed, for eyes"""
        self.comparison: Comparison | None = None
        """of the main desk at the last closed bar, for eyes; None: nothing was handed to it, or a price is missing"""
        self._clock = BarClock(settings.bar_ns, settings.max_gap_bars)
        self._market: MarketView | None = None
        self._port: DetectorPort | None = None
        self._symbols: dict[PairId, str] = {}
        self._ids: dict[str, PairId] = {}
        self._entries: dict[SpreadPair, list[Rotation]] = {}
        """by pair in position: the way in"""
        self._wishes: dict[str, Rotation] = {}
        self._withdrawn: list[str] = []
        self._timer: Ns | None = None
        self._evaluated: dict[str, int] = {}

    @property
    def allocation(self) -> Mapping[str, Decimal]:
        """What the strategy works with, and what it is measured against (TRADING 26, 37)."""
        return self.settings.allocation

    # --- spi.Detector ---

    def rebuild(self, market: MarketView, port: DetectorPort, now: Ns) -> Collection[PairId]:
        self._market, self._port = market, port
        ids = {symbol: market.pair_id(symbol) for symbol in sorted(self.strategy.symbols)}
        self._symbols = {pair: symbol for symbol, pair in ids.items() if pair is not None and market.tradable(pair)}
        self._ids = {symbol: pair for pair, symbol in self._symbols.items()}
        for pair in self._symbols:
            self._observe(pair, now)
        self._set_timer()
        return self._symbols.keys()

    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        return self._observe(pair, now)

    def active(self) -> Sequence[Finding]:
        findings: list[Finding] = [Vanished(key) for key in self._withdrawn]
        self._withdrawn.clear()
        return [*findings, *self._wishes.values()]

    def detections(self) -> Mapping[str, Detection]:
        return {key: Detection(count, 0, 0) for key, count in sorted(self._evaluated.items())}

    def ranked(self, limit: int) -> Sequence[Standing]:
        """Spreads are no cycles: their standings are on the strategy's panel."""
        return ()

    # --- spi.Timed ---

    def on_timer(self, now: Ns) -> Sequence[Finding]:
        """A bar's end has come: quiet books count as seen in it."""
        self._timer = None
        market = self._market
        assert market is not None
        quiet = [symbol for pair, symbol in self._symbols.items() if market.usable(pair)]
        findings = self._closed(self._clock.advance(now, unchanged=quiet))
        self._set_timer()
        return findings

    # --- bars ---

    def _observe(self, pair: PairId, now: Ns) -> Sequence[Finding]:
        market = self._market
        symbol = self._symbols.get(pair)
        if market is None or symbol is None or not market.usable(pair):
            return ()
        sells_at, buys_at = market.rate[2 * pair + _SELL], market.rate[2 * pair + _BUY]
        if not (sells_at > 0.0 and buys_at > 0.0 and sells_at * buys_at < 1.0):
            return ()
        closed = self._clock.observe(symbol, sells_at, 1.0 / buys_at, now)
        if not closed:
            if self._timer is None:
                self._set_timer()
            return ()
        findings = self._closed(closed)
        self._set_timer()
        return findings

    def _set_timer(self) -> None:
        due = self._clock.next_close_ns
        if due is not None and due != self._timer and self._port is not None:
            self._timer = due
            self._port.wake_at(due)

    def _closed(self, bars: Sequence[Bars]) -> Sequence[Finding]:
        """Decide on closed bars, oldest first; then everything that is wanted now is offered again."""
        for bar in bars:
            decisions = self.strategy.on_bars(bar, self._taker())
            holdings = self._held()
            with exact():
                for decision in decisions:
                    self._decided(decision, bar, holdings)
                followed = self.strategy.positions
                self.decisions = {pair: last for pair, last in self.decisions.items() if pair in followed}
                self._wish([*(wish for ways in self._entries.values() for wish in ways), *self._home(bar, holdings)])
                self.comparison = self._compared(bar, holdings)
        return self.active() if bars else ()

    def _held(self) -> Sequence[Holdings]:
        assert self._port is not None
        return self._port.holdings()

    def _taker(self) -> dict[str, Decimal]:
        assert self._port is not None
        rates = {symbol: self._port.taker_rate(symbol) for symbol in self._symbols.values()}
        return {symbol: rate for symbol, rate in rates.items() if rate is not None}

    # --- wishes ---

    def _decided(self, decision: Decision, bar: Bars, holdings: Sequence[Holdings]) -> None:
        pair, position = decision.pair, decision.signal.position
        self.decisions[pair] = decision
        self._evaluated[str(pair)] = self._evaluated.get(str(pair), 0) + 1
        if position is Position.FLAT:
            self._entries.pop(pair, None)
        elif decision.signal.changed:
            self._entries[pair] = list(self._ways_in(decision, bar, holdings))

    def _wish(self, wishes: Sequence[Rotation]) -> None:
        """These and no others from now on."""
        wanted = {wish.key: wish for wish in wishes}
        self._withdrawn += sorted(self._wishes.keys() - wanted.keys())
        self._wishes = wanted

    def _ways_in(self, decision: Decision, bar: Bars, holdings: Sequence[Holdings]) -> Iterator[Rotation]:
        """Towards the position, at the price of the bar that asked for it: later than that it is worth less.

        Long buys y with x, short x with y; what stands in the quote asset between two legs goes on to where it was
        meant for. Nothing when a symbol is out of use now: the position then exists in the model alone.
        """
        market, pair, position = self._market, decision.pair, decision.signal.position
        y, x = self._ids.get(pair.y), self._ids.get(pair.x)
        if market is None or y is None or x is None or not holdings:
            return
        baseline = holdings[0].handed
        prices = {y: _price(bar.mids[pair.y].price), x: _price(bar.mids[pair.x].price)}
        aim = target(
            Holding(*(baseline.get(asset, ZERO) for asset in pair.bases)),
            position,
            self.settings.max_rotation_share,
            Prices(prices[y], prices[x]),
            Lots(market.pairs[y].lot, market.pairs[x].lot),
        )
        sold, bought = (x, y) if position is Position.LONG else (y, x)
        keep, until = (aim.x, aim.y) if position is Position.LONG else (aim.y, aim.x)
        slippage_bps = self.settings.slippage_bps
        yield self._swap(str(pair), sold, bought, prices, keep, until, slippage_bps)
        left = baseline.get(market.pairs[bought].quote, ZERO)
        yield self._purchase(str(pair), bought, prices, left, until, slippage_bps)

    def _home(self, bar: Bars, holdings: Sequence[Holdings]) -> Iterator[Rotation]:
        """Back to the baseline with what is in no position and away from it, at fresh prices of this bar."""
        market = self._market
        if market is None or not holdings:
            return
        at_work = {asset for pair, position in self.strategy.positions.items() if position for asset in pair.bases}
        ids = self._ids
        baseline = holdings[0].handed
        ways = {way for pair in self.strategy.universe for way in ((pair.y, pair.x), (pair.x, pair.y))}
        refilled: set[PairId] = set()
        for from_symbol, to_symbol in sorted(ways):
            sold, bought = ids.get(from_symbol), ids.get(to_symbol)
            if sold is None or bought is None or not all(_fresh(bar, symbol) for symbol in (from_symbol, to_symbol)):
                continue
            gives, takes = market.pairs[sold], market.pairs[bought]
            if at_work & {gives.base, takes.base}:
                continue
            prices = {sold: _price(bar.mids[from_symbol].price), bought: _price(bar.mids[to_symbol].price)}
            keep, until = baseline.get(gives.base, ZERO), baseline.get(takes.base, ZERO)
            slippage_bps = self.settings.exit_slippage_bps
            needy = [one.held for one in holdings if until - one.held.get(takes.base, ZERO) >= takes.qty_min]
            if any(held.get(gives.base, ZERO) - keep >= gives.qty_min for held in needy):
                yield self._swap(HOMEWARD, sold, bought, prices, keep, until, slippage_bps)
            left = baseline.get(takes.quote, ZERO)
            if bought not in refilled and any(held.get(takes.quote, ZERO) - left >= takes.cost_min for held in needy):
                refilled.add(bought)
                yield self._purchase(HOMEWARD, bought, prices, left, until, slippage_bps)

    def _swap(  # noqa: PLR0917 - one rotation's figures
        self,
        why: str,
        sold: PairId,
        bought: PairId,
        prices: Mapping[PairId, Decimal],
        keep: Decimal,
        until: Decimal,
        slippage_bps: Decimal,
    ) -> Rotation:
        """One base asset into the other, through their quote asset."""
        rate = ratio(prices[sold], prices[bought]) * self._left((sold, bought), slippage_bps)
        return self._rotation(why, (2 * sold + _SELL, 2 * bought + _BUY), keep, until, rate)

    def _purchase(  # noqa: PLR0917 - likewise
        self,
        why: str,
        bought: PairId,
        prices: Mapping[PairId, Decimal],
        keep: Decimal,
        until: Decimal,
        slippage_bps: Decimal,
    ) -> Rotation:
        """What a leg that did not fill left in the quote asset."""
        rate = ratio(ONE, prices[bought]) * self._left((bought,), slippage_bps)
        return self._rotation(why, (2 * bought + _BUY,), keep, until, rate)

    def _rotation(self, why: str, legs: tuple[LegId, ...], keep: Decimal, until: Decimal, rate: Decimal) -> Rotation:
        market = self._market
        assert market is not None
        path = ">".join([market.leg(legs[0]).spends, market.leg(legs[-1]).gets])
        return Rotation(NAME, f"{why} {path}", legs, keep, until, rate, HOMEWARD if why == HOMEWARD else "entry")

    def _left(self, pairs: Sequence[PairId], slippage_bps: Decimal) -> Decimal:
        """What must be left of each unit after fees and slippage. Symbols without a fee are not traded anyway."""
        market = self._market
        assert market is not None and self._port is not None
        fees = [self._port.taker_rate(market.pairs[pair].symbol) or ZERO for pair in pairs]
        return ONE - sum(fees, ZERO) - len(pairs) * slippage_bps * BPS

    # --- for eyes ---

    def _compared(self, bar: Bars, holdings: Sequence[Holdings]) -> Comparison | None:
        if not holdings:
            return None
        main = holdings[0]
        quotes = {symbol.partition("/")[2] for symbol in self.strategy.symbols}
        prices = dict.fromkeys(quotes, ONE) if len(quotes) == 1 else {}
        prices |= {symbol.partition("/")[0]: _price(mid.price) for symbol, mid in sorted(bar.mids.items())}
        if len(quotes) != 1 or not prices.keys() >= main.held.keys() | main.handed.keys():
            return None
        return Comparison(main.held, main.handed, prices)


def _fresh(bar: Bars, symbol: str) -> bool:
    mid = bar.mids.get(symbol)
    return mid is not None and mid.age_bars == 0


def _price(mid: float) -> Decimal:
    """A mid as an exact number: bounds are decided in Decimals from here on."""
    return Decimal(repr(mid))
