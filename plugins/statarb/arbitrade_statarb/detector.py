"""The strategy as a detector: quotes in, rotations out.

Quotes are noted on every message and cost next to nothing; everything else happens when a bar closes, on a timer. What
is wanted of a pair stands until the next decision on it: a desk that could not turn all of it at once tries again, and
one that holds what is wanted has nothing to do (`domain.Rotation`).
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from arbitrade_core.domain import LegId, Ns, PairId, Rotation
from arbitrade_core.money import BPS, ONE, ZERO, exact, floor_decimals, ratio
from arbitrade_core.spi import Detection, DetectorPort, Finding, MarketView, Standing, Vanished
from arbitrade_statarb.bars import BarClock, Bars
from arbitrade_statarb.baseline import Holding, Lots, Prices, target
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.settings import StatarbSettings
from arbitrade_statarb.signal import Position
from arbitrade_statarb.spread import Decision
from arbitrade_statarb.strategy import Strategy

NAME = "statarb"

_RATE_DECIMALS = 12
_SELL, _BUY = 0, 1


class StatarbDetector:
    """Implements `spi.Detector` and `spi.Timed`."""

    name = NAME

    def __init__(self, settings: StatarbSettings) -> None:
        self.settings = settings
        self.strategy = Strategy(settings)
        self.decisions: dict[SpreadPair, Decision] = {}
        """the newest of every pair that was followed, for eyes"""
        self._clock = BarClock(settings.bar_ns, settings.max_gap_bars)
        self._market: MarketView | None = None
        self._port: DetectorPort | None = None
        self._symbols: dict[PairId, str] = {}
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
        changed = False
        for bar in bars:
            for decision in self.strategy.on_bars(bar, self._taker()):
                changed = self._decided(decision, bar) or changed
        return self.active() if changed else ()

    def _taker(self) -> dict[str, Decimal]:
        assert self._port is not None
        rates = {symbol: self._port.taker_rate(symbol) for symbol in self._symbols.values()}
        return {symbol: rate for symbol, rate in rates.items() if rate is not None}

    # --- wishes ---

    def _decided(self, decision: Decision, bar: Bars) -> bool:
        """Whether what is wanted of the pair changed.

        An entry's price bound stays that of its own bar: later than that it is worth less. A way out asks anew with
        every bar until it is done.
        """
        pair = decision.pair
        self.decisions[pair] = decision
        self._evaluated[str(pair)] = self._evaluated.get(str(pair), 0) + 1
        leaves = decision.signal.position is Position.FLAT and self._kept(pair)
        if not (decision.signal.changed or leaves):
            return False
        with exact():
            wanted = self._wanted(decision, bar)
        if wanted is None:
            return False
        stale = self._kept(pair) - wanted.keys()
        for key in stale:
            del self._wishes[key]
        self._withdrawn += sorted(stale)
        self._wishes |= wanted
        return True

    def _kept(self, pair: SpreadPair) -> set[str]:
        return {key for key in self._wishes if key.partition(" ")[0] == str(pair)}

    def _wanted(self, decision: Decision, bar: Bars) -> dict[str, Rotation] | None:
        """The rotations towards the position, and those that end what stands in the quote asset between two legs.

        None when a price or a pair is missing: what was wanted before stands.
        """
        market, pair, position = self._market, decision.pair, decision.signal.position
        y_mid, x_mid = bar.mids.get(pair.y), bar.mids.get(pair.x)
        ids = {symbol: number for number, symbol in self._symbols.items()}
        y, x = ids.get(pair.y), ids.get(pair.x)
        if market is None or y_mid is None or x_mid is None or y is None or x is None:
            return None
        price = {y: _price(y_mid.price), x: _price(x_mid.price)}
        allocation = self.settings.allocation
        baseline = Holding(allocation[pair.bases[0]], allocation[pair.bases[1]])
        lots = Lots(market.pairs[y].lot, market.pairs[x].lot)
        aim = target(baseline, position, self.settings.max_rotation_share, Prices(price[y], price[x]), lots)
        wanted = {y: aim.y, x: aim.x}
        # Long buys y with x, short x with y. Flat goes back the way it came, so both ways are wished for: one of them
        # has an excess to sell and a want to fill.
        ways = {Position.LONG: [(x, y)], Position.SHORT: [(y, x)], Position.FLAT: [(x, y), (y, x)]}[position]
        wishes: list[Rotation] = []
        for sold, bought in ways:
            rate = ratio(price[sold], price[bought]) * self._left(decision, (sold, bought))
            legs = (2 * sold + _SELL, 2 * bought + _BUY)
            wishes.append(self._wish(decision, legs, wanted[sold], wanted[bought], rate))
            rate = ratio(ONE, price[bought]) * self._left(decision, (bought,))
            quote = allocation.get(market.pairs[bought].quote, ZERO)
            wishes.append(self._wish(decision, (2 * bought + _BUY,), quote, wanted[bought], rate))
        return {wish.key: wish for wish in wishes}

    def _wish(
        self, decision: Decision, legs: tuple[LegId, ...], keep: Decimal, until: Decimal, rate: Decimal
    ) -> Rotation:
        market = self._market
        assert market is not None
        path = ">".join([market.leg(legs[0]).spends, market.leg(legs[-1]).gets])
        bound = floor_decimals(rate, _RATE_DECIMALS)
        return Rotation(NAME, f"{decision.pair} {path}", legs, keep, until, bound, decision.signal.reason.value)

    def _left(self, decision: Decision, pairs: Sequence[PairId]) -> Decimal:
        """What must be left of each unit after fees and slippage: an entry may lose no more than its expectation
        reckoned with, a way out whatever is allowed for ways out."""
        market, settings = self._market, self.settings
        assert market is not None and self._port is not None
        fees = [self._port.taker_rate(market.pairs[pair].symbol) or ZERO for pair in pairs]
        enters = decision.signal.position is not Position.FLAT
        each_bps = settings.slippage_bps if enters else settings.exit_slippage_bps
        return ONE - sum(fees, ZERO) - len(pairs) * each_bps * BPS


def _price(mid: float) -> Decimal:
    """A mid as an exact number: bounds are decided in Decimals from here on."""
    return Decimal(repr(mid))
