"""A detector that finds nothing and wants every book: with it, a recording holds pairs that nobody trades."""

from collections.abc import Collection, Mapping, Sequence

from arbitrade_core.domain import Ns, PairId
from arbitrade_core.spi import Detection, DetectorPort, Finding, MarketView, Standing


class EveryPair:
    """Implements `spi.Detector`. It is in use when ARBITRADE_RECORDING__ALL_PAIRS says so."""

    name = "every-pair"

    def rebuild(self, market: MarketView, port: DetectorPort, now: Ns) -> Collection[PairId]:
        return [pair for pair in range(len(market.pairs)) if market.tradable(pair)]

    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        return ()

    def active(self) -> Sequence[Finding]:
        return ()

    def detections(self) -> Mapping[str, Detection]:
        return {}

    def ranked(self, limit: int) -> Sequence[Standing]:
        return ()
