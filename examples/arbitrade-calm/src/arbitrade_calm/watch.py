"""Sees prices over time, for the check that asks about volatility.

A risk check is asked about plans only, so it cannot know how a price moved before. A detector is called on every
message of its pairs; this one finds nothing and only listens, so it may name every pair: no book is fetched for its
sake, and it hears of those that others want. Most messages cost it two look-ups: a pair's mid is sampled every few
seconds at most.

A detector scores a message before the message's checksum is verified. A wrong one puts the pair out of use at once,
which takes the sample back that may rest on it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from arbitrade_core.domain import Ns, Pair, PairId
from arbitrade_core.spi import Detection, DetectorPort, Finding, MarketView, Standing

from arbitrade_calm.settings import CalmSettings
from arbitrade_calm.volatility import Volatility


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a pair now."""

    volatility_bps: float
    """per square root of a minute"""
    seen_ns: Ns
    """how long it has been watched"""
    calm_ns: Ns
    """when it can be at the limit at the earliest"""


class Watch:
    """Implements `spi.Detector` and `spi.Listening`. One for all desks: prices are the same for everybody."""

    name = "calm_watch"
    listens_only = True

    def __init__(self, settings: CalmSettings) -> None:
        self._settings = settings
        self._sample_ns = settings.sample_ns
        self._pairs: Sequence[Pair] = ()
        self._rate: Sequence[float] = ()
        self._due_ns: list[Ns] = []
        """by pair: when it is sampled next"""
        self._seen: dict[PairId, Volatility] = {}
        self._lost_ns: dict[PairId, Ns] = {}
        """since when pairs that were seen have no price"""

    # --- spi.Detector ---

    def rebuild(self, market: MarketView, port: DetectorPort, now: Ns) -> Collection[PairId]:
        self._pairs, self._rate = market.pairs, market.rate
        self._due_ns += [0] * (len(market.pairs) - len(self._due_ns))
        watched = {pair for pair in range(len(market.pairs)) if market.tradable(pair)}
        for pair in self._seen.keys() - watched:
            del self._seen[pair]
            self._lost_ns.pop(pair, None)
        for pair in watched:
            self.on_change(pair, 0, now)  # what is quiet has a price as well, when the plugin is enabled late
        return watched

    def on_change(self, pair: PairId, rose: int, now: Ns) -> Sequence[Finding]:
        if now >= self._due_ns[pair] or not self._rate[2 * pair]:
            self._look(pair, now)
        return ()

    def active(self) -> Sequence[Finding]:
        return ()

    def detections(self) -> Mapping[str, Detection]:
        return {}

    def ranked(self, limit: int) -> Sequence[Standing]:
        return ()

    # --- for the check and the panel ---

    def reading(self, pair: PairId, now: Ns) -> Reading | None:
        """None: the pair has no price now."""
        seen = self._seen.get(pair)
        if seen is None or self._mid(pair) is None:
            return None
        return Reading(seen.bps(now), now - seen.since_ns, seen.calm_ns(self._settings.max_volatility_bps, now))

    def readings(self, now: Ns) -> dict[str, Reading | None]:
        """By symbol, of the pairs that have had a price."""
        return {self._pairs[pair].symbol: self.reading(pair, now) for pair in self._seen}

    def _look(self, pair: PairId, now: Ns) -> None:
        seen, mid = self._seen.get(pair), self._mid(pair)
        if mid is None:
            if seen is not None and pair not in self._lost_ns:
                self._lost_ns[pair] = now
                seen.forget_newest(now)
            return
        self._due_ns[pair] = now + self._sample_ns
        lost_ns = self._lost_ns.pop(pair, now)
        if seen is None or now - lost_ns > self._settings.min_seen_ns:
            self._seen[pair] = Volatility(self._settings.half_life_ns, self._sample_ns, mid, now)
        else:
            seen.sample(mid, now)

    def _mid(self, pair: PairId) -> float | None:
        """Between best bid and best ask. The rate of buying is 1 / ask, and both are 0 when out of use."""
        bid, per_quote = self._rate[2 * pair], self._rate[2 * pair + 1]
        return (bid + 1.0 / per_quote) / 2.0 if bid and per_quote else None
