"""Latency as it is: a histogram cheap enough to be always on."""


class Latency:
    """Nanoseconds in buckets 1/16 of an octave wide: any percentile within 6 %, one list increment a sample."""

    _SUB_BITS = 4

    def __init__(self) -> None:
        self._buckets = [0] * (64 << self._SUB_BITS)
        self.count = 0
        self.max_ns = 0

    def record(self, ns: int) -> None:
        ns = max(ns, 1)
        octave = ns.bit_length() - 1
        shift = octave - self._SUB_BITS
        sub = (ns >> shift if shift >= 0 else ns << -shift) & 15
        self._buckets[(octave << self._SUB_BITS) + sub] += 1
        self.count += 1
        self.max_ns = max(self.max_ns, ns)

    def percentile_us(self, percent: float) -> float | None:
        """Upper edge of the bucket that holds it, in microseconds; None before the first sample."""
        if not self.count:
            return None
        rank = max(1, round(self.count * percent / 100))
        seen = 0
        for index, count in enumerate(self._buckets):
            seen += count
            if seen >= rank:
                octave, sub = index >> self._SUB_BITS, index & 15
                edge_ns = (17 + sub) * 2.0 ** (octave - self._SUB_BITS)
                return min(edge_ns, float(self.max_ns)) / 1000
        return self.max_ns / 1000

    def summary(self) -> dict[str, float | None]:
        return {"p50": _round(self.percentile_us(50)), "p99": _round(self.percentile_us(99))}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
