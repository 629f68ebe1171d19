"""Realised volatility of one price, from samples at any times.

An exponentially weighted average of squared returns, as in J.P. Morgan and Reuters, RiskMetrics Technical Document
(4th edition, 1996), section 5.2, with its decay factor taken over the time between two samples, since they do not come
evenly. With the return r = 10,000 ln(mid / mid before) in bps, the time d between the two samples in minutes, and a
time constant tau = half-life / ln 2:

    k         = exp(-d / tau)
    variance <- k variance + (1 - k) r^2 / d        bps^2 per minute
    weight   <- 1 - k (1 - weight)                  so that a young average is not taken for a calm one

    volatility = sqrt(variance / weight)            bps per square root of a minute

A price that follows a random walk moves by about that much in one minute, and by 8 times as much in an hour. Samples
are taken seconds apart: mids of every message measure how quotes bounce, not how the price moves (Zhang, Mykland and
Ait-Sahalia, A Tale of Two Time Scales, 2005).

The newest sample counts only when it has settled. A mispricing is a movement, too; what matters to whoever wants to
trade on it is whether the price was calm before it.
"""

from math import exp, inf, log, sqrt

from arbitrade_core.domain import Ns

MINUTE_NS = 60_000_000_000


class Volatility:
    """Of one pair, in floats: it refuses and ranks, it never prices. Reading changes nothing."""

    __slots__ = ("_at_ns", "_mid", "_newest", "_settles_ns", "_tau_ns", "_variance", "_weight", "since_ns")

    def __init__(self, half_life_ns: Ns, settles_ns: Ns, mid: float, now: Ns) -> None:
        """A sample settles when it is `settles_ns` old, or when the next one comes."""
        self.since_ns = now
        """when it was seen first"""
        self._tau_ns = half_life_ns / log(2)
        self._settles_ns = settles_ns
        self._at_ns = now
        self._mid = mid
        self._variance = 0.0
        self._weight = 0.0
        self._newest: tuple[float, Ns] | None = None

    def sample(self, mid: float, now: Ns) -> None:
        if self._newest is not None:
            settled_mid, at_ns = self._newest
            self._variance, self._weight = self._after(settled_mid, at_ns)
            self._mid, self._at_ns = settled_mid, at_ns
        self._newest = (mid, now)

    def forget_newest(self, now: Ns) -> None:
        """It cannot be relied on, unless it has settled already: a movement that counted is not forgotten."""
        if self._newest is not None and now - self._newest[1] < self._settles_ns:
            self._newest = None

    def bps(self, now: Ns) -> float:
        """In bps per square root of a minute, with no movement since the last settled sample; inf: nothing is known."""
        at_ns, variance, weight = self._settled(now)
        keep = exp(-max(0, now - at_ns) / self._tau_ns)
        weight = 1.0 - keep * (1.0 - weight)
        return sqrt(keep * variance / weight) if weight else inf

    def calm_ns(self, limit_bps: float, now: Ns) -> Ns:
        """When `bps` is at the limit if the price stands still: it cannot be sooner, since every movement adds.

        Over a time without movement, variance becomes k variance and weight 1 - k (1 - weight); their quotient is the
        limit squared where 1 / k = variance / limit^2 + 1 - weight.
        """
        at_ns, variance, weight = self._settled(now)
        stretch = variance / limit_bps**2 + 1.0 - weight
        return at_ns + int(self._tau_ns * log(stretch)) if stretch > 1.0 else at_ns

    def _settled(self, now: Ns) -> tuple[Ns, float, float]:
        """(time of the last settled sample, variance, weight)"""
        if self._newest is None or now - self._newest[1] < self._settles_ns:
            return self._at_ns, self._variance, self._weight
        mid, at_ns = self._newest
        return at_ns, *self._after(mid, at_ns)

    def _after(self, mid: float, at_ns: Ns) -> tuple[float, float]:
        """(variance, weight) with one more sample."""
        passed_ns = at_ns - self._at_ns
        if passed_ns <= 0:
            return self._variance, self._weight
        keep = exp(-passed_ns / self._tau_ns)
        moved_bps = 1e4 * log(mid / self._mid)
        rate = moved_bps * moved_bps / (passed_ns / MINUTE_NS)
        return keep * self._variance + (1.0 - keep) * rate, 1.0 - keep * (1.0 - self._weight)
