"""Planted opportunities: triangles whose quotes leave fair value for a while, and the log of them.

One pair of the triangle, the one that fewest triangles share, is quoted away from fair value by the factor
that makes the directed cycle's product of best prices `1 + size`. Every other cycle through that pair moves
as well: the log names the pair so that a reader can tell.
"""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from random import Random

from .market import Market
from .orderbook import ASK, BID
from .universe import Triangle

type CycleLegs = tuple[tuple[str, str], tuple[str, str], tuple[str, str]]
"""(symbol, "buy" or "sell") in trade order"""

_TRIES = 10


@dataclass(frozen=True, slots=True)
class MispricingPlan:
    """How often, how far, how long."""

    per_s: float = 0.5
    size_bps: tuple[float, float] = (20.0, 600.0)
    """drawn log-uniformly; beyond a product of one at the best prices, before fees"""
    lifetime_ms: tuple[float, float] = (30.0, 5000.0)
    """drawn log-uniformly"""

    def __post_init__(self) -> None:
        for name, (low, high) in (("size_bps", self.size_bps), ("lifetime_ms", self.lifetime_ms)):
            if not 0 < low <= high:
                raise ValueError(f"mispricing {name} must be a range of positive numbers, not {low}..{high}")
        if self.per_s < 0:
            raise ValueError(f"mispricings per second must not be negative: {self.per_s}")


@dataclass(frozen=True, slots=True)
class Planted:
    """One planted mispricing."""

    key: str
    """the triangle's assets in alphabetical order: `BTC-ETH-USD`"""
    direction: str
    """the cycle's assets in trade order: `USD>BTC>ETH>USD`"""
    legs: CycleLegs
    pair: str
    """the pair that was moved"""
    size_bps: float
    """product of the best prices minus one, as quoted at `from_ns`"""
    from_ns: int
    to_ns: int

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A mispricing whose quotes are about to be moved."""

    triangle: Triangle
    legs: CycleLegs
    direction: str
    pair: str
    shift: float
    lifetime_ns: int


class Planter:
    """Chooses what to misprice, and for how long; pairs of triangles already mispriced are left alone."""

    def __init__(self, triangles: list[Triangle], plan: MispricingPlan, chance: Random) -> None:
        self.plan = plan
        self.planted: list[Planted] = []
        self._chance = chance
        self._triangles = triangles
        self._shared = Counter(symbol for triangle in triangles for symbol in triangle.pairs)
        self._busy: Counter[str] = Counter()

    @property
    def active(self) -> bool:
        return bool(self._triangles) and self.plan.per_s > 0

    def gap_ns(self) -> int:
        """Time to the next attempt."""
        return round(self._chance.expovariate(self.plan.per_s) * 1e9)

    def choose(self, market: Market) -> Chosen | None:
        """A triangle to misprice now; None when those drawn are busy or closed."""
        chance = self._chance
        for _ in range(_TRIES):
            triangle = chance.choice(self._triangles)
            legs, direction = _cycle(triangle, forward=chance.random() < 0.5)  # noqa: PLR2004 - a coin
            size = _log_uniform(chance, self.plan.size_bps) * 1e-4
            lifetime_ns = round(_log_uniform(chance, self.plan.lifetime_ms) * 1e6)
            gross = product(market, legs)
            if gross is None or any(self._busy[symbol] for symbol in triangle.pairs):
                continue
            symbol = min(triangle.pairs, key=lambda pair: self._shared[pair])
            pair = market.pairs[symbol]
            sells = dict(legs)[symbol] == "sell"
            # Both sides move: the pair is quoted around an anchor that puts the leg's side at `wanted`.
            best = pair.book.best(BID if sells else ASK)
            assert best is not None
            wanted = best * (1.0 + size) / gross if sells else best * gross / (1.0 + size)
            edge = pair.traits.half_spread
            step = pair.listing.tick_step
            anchor = (wanted + step) / (1.0 - edge) if sells else (wanted - step) / (1.0 + edge)
            fair = market.fair_usd(pair.listing.base) / market.fair_usd(pair.listing.quote)
            shift = math.log(anchor / 10.0**pair.listing.price_precision / fair)
            return Chosen(triangle, legs, direction, symbol, shift, lifetime_ns)
        return None

    def record(self, market: Market, chosen: Chosen, now_ns: int) -> Planted | None:
        """Log what the market now shows; None when rounding left no opportunity."""
        gross = product(market, chosen.legs)
        if gross is None or gross <= 1.0:
            return None
        planted = Planted(
            key="-".join(chosen.triangle.assets),
            direction=chosen.direction,
            legs=chosen.legs,
            pair=chosen.pair,
            size_bps=round((gross - 1.0) * 1e4, 3),
            from_ns=now_ns,
            to_ns=now_ns + chosen.lifetime_ns,
        )
        self.planted.append(planted)
        self._busy.update(chosen.triangle.pairs)
        return planted

    def release(self, planted: Planted) -> None:
        self._busy.subtract(symbol for symbol, _ in planted.legs)


def product(market: Market, legs: CycleLegs) -> float | None:
    """Units got back per unit spent at the best prices, before fees; None when not tradable."""
    gross = 1.0
    for symbol, side in legs:
        pair = market.pairs[symbol]
        ticks = pair.book.best(BID if side == "sell" else ASK)
        if ticks is None or not pair.open:
            return None
        price = ticks / 10.0**pair.listing.price_precision
        gross = gross * price if side == "sell" else gross / price
    return gross


def _cycle(triangle: Triangle, *, forward: bool) -> tuple[CycleLegs, str]:
    a, b, c = triangle.assets
    ab, bc, ca = triangle.pairs
    if forward:
        return (_leg(ab, a), _leg(bc, b), _leg(ca, c)), f"{a}>{b}>{c}>{a}"
    return (_leg(ca, a), _leg(bc, c), _leg(ab, b)), f"{a}>{c}>{b}>{a}"


def _leg(symbol: str, spends: str) -> tuple[str, str]:
    return symbol, "sell" if symbol.startswith(f"{spends}/") else "buy"


def _log_uniform(chance: Random, bounds: tuple[float, float]) -> float:
    return math.exp(chance.uniform(math.log(bounds[0]), math.log(bounds[1])))
