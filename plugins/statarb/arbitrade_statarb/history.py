"""The last closed bars of every symbol, as unbroken runs of log mids: what statistics are computed over."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from arbitrade_core.domain import Ns
from arbitrade_statarb.bars import Bars
from arbitrade_statarb.regression import Series


@dataclass(frozen=True, slots=True)
class Split:
    """Two windows, one after the other, of every symbol that has both: log mids by symbol."""

    formation: Mapping[str, Series]
    validation: Mapping[str, Series]
    """begins with the bar after the last one of `formation`"""
    end_ns: Ns
    """close of the last bar of `validation`"""


class History:
    """Keeps `capacity_bars` log mids a symbol. A gap of a symbol forgets that symbol; a missing bar forgets all."""

    def __init__(self, bar_ns: int, capacity_bars: int) -> None:
        self._bar_ns = bar_ns
        self._capacity_bars = capacity_bars
        self._log_mids: dict[str, deque[float]] = {}
        self.end_ns: Ns = 0
        """close of the newest bar"""

    def add(self, bars: Bars) -> None:
        if bars.end_ns != self.end_ns + self._bar_ns:
            self._log_mids.clear()
        self.end_ns = bars.end_ns
        for symbol in self._log_mids.keys() - bars.mids.keys():
            del self._log_mids[symbol]
        for symbol, mid in bars.mids.items():
            run = self._log_mids.get(symbol)
            if run is None:
                run = self._log_mids[symbol] = deque(maxlen=self._capacity_bars)
            # math, not numpy: numpy picks its log by the processor, and the last bit differs between them
            run.append(math.log(mid.price))

    def unbroken_bars(self, symbol: str) -> int:
        """How many bars without a gap end with the newest one."""
        return len(self._log_mids.get(symbol, ()))

    def last(self, symbol: str, bars: int) -> Series | None:
        """The newest `bars` log mids, oldest first; None when the run is shorter."""
        run = self._log_mids.get(symbol)
        if run is None or len(run) < bars:
            return None
        return np.fromiter(islice(run, len(run) - bars, None), np.float64, bars)

    def split(self, formation_bars: int, validation_bars: int) -> Split:
        """The newest bars cut in two; symbols with a shorter run are left out."""
        formation: dict[str, Series] = {}
        validation: dict[str, Series] = {}
        for symbol in sorted(self._log_mids):
            both = self.last(symbol, formation_bars + validation_bars)
            if both is not None:
                formation[symbol], validation[symbol] = both[:formation_bars], both[formation_bars:]
        return Split(formation, validation, self.end_ns)
