"""One chosen pair, followed from bar to bar: hedge filter, rolling test, signal."""

import math
from dataclasses import dataclass

from arbitrade_core.domain import Ns
from arbitrade_statarb import signal
from arbitrade_statarb.cointegration import engle_granger, half_life_bars
from arbitrade_statarb.errors import SeriesError
from arbitrade_statarb.history import History
from arbitrade_statarb.kalman import HedgeFilter
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.regression import Line, Series
from arbitrade_statarb.settings import StatarbSettings
from arbitrade_statarb.signal import Reading, Signal, State


@dataclass(frozen=True, slots=True)
class Decision:
    """What one closed bar asks of one pair, and what it was read from."""

    pair: SpreadPair
    end_ns: Ns
    """close of the bar"""
    signal: Signal
    reading: Reading | None
    """None: a gap, there was nothing to read"""


class Spread:
    """Follows one pair. `retiring` lets it end its position and begin no other."""

    def __init__(
        self,
        pair: SpreadPair,
        fit: Line,
        half_life: float,
        since: tuple[Series, Series],
        settings: StatarbSettings,
    ) -> None:
        """`fit` and `half_life` are of the formation window, `since` all bars of y and x after it up to now."""
        self.pair = pair
        self.state = State()
        self.retiring = False
        self._settings = settings
        noise = None if settings.kalman_noise_bps is None else (settings.kalman_noise_bps / 1e4) ** 2
        self._filter = HedgeFilter.from_fit(fit, settings.kalman_delta, noise)
        for y, x in zip(*since, strict=True):
            self._filter.update(float(y), float(x))
        self._half_life_bars = half_life
        self._cointegrated = True
        self._until_retest_bars = settings.retest_every_bars

    def on_bar(self, history: History, round_trip_bps: float | None, fresh: bool) -> Decision:
        """Take the newest bar of `history`, which holds at least two of both symbols. `fresh`: neither is carried."""
        y, x = history.last(self.pair.y, 1), history.last(self.pair.x, 1)
        assert y is not None and x is not None
        found = self._filter.update(float(y[0]), float(x[0]))
        self._until_retest_bars -= 1
        if self._until_retest_bars <= 0:
            self._retest(history)
        reading = Reading(
            z=found.z,
            sigma=math.sqrt(found.variance),
            hedge_ratio=found.slope,
            half_life_bars=self._half_life_bars,
            stable=self._cointegrated and not self.retiring,
            round_trip_bps=round_trip_bps,
            fresh=fresh,
        )
        self.state, asked = signal.step(self.state, reading, self._settings)
        return Decision(self.pair, history.end_ns, asked, reading)

    def on_gap(self, end_ns: Ns) -> Decision:
        """A symbol has no price any more; the pair is not to be followed further."""
        self.state, asked = signal.gap(self.state)
        return Decision(self.pair, end_ns, asked, None)

    def _retest(self, history: History) -> None:
        settings = self._settings
        self._until_retest_bars = settings.retest_every_bars
        y, x = (history.last(symbol, settings.window_bars) for symbol in (self.pair.y, self.pair.x))
        self._cointegrated = False
        if y is None or x is None:
            return
        try:
            found = engle_granger(y, x, max_lags=settings.max_lags)
            self._half_life_bars = half_life_bars(found.fit.residuals)
        except SeriesError:
            return  # a window without a statistic says nothing for the pair: no entry until the next test
        self._cointegrated = found.p_value <= settings.retest_alpha
