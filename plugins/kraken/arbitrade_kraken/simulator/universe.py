"""A real-looking market from a seed: which assets and pairs exist, how precise, how active, how deep.

At full size it has the shape that the benchmarks assume (550 assets, 1,228 pairs, 1,331 triangles, i.e. 2,662
directed three-leg cycles, EUR/USD in 432 triangles). The graph is the same for every seed; values, precisions
and activity are scattered by it. A smaller universe keeps the most traded assets with all their markets, so
that it still has many triangles.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations
from random import Random

from . import names
from .chance import stream
from .listing import AssetListing, PairListing

MAX_PAIRS = 1228
MIN_PAIRS = 3

_MAJOR_HUB_PAIRS = 21
"""The first 21 of `HUB_PAIRS`, all pairs among seven hubs, come before everything else."""
_COINS_BEFORE_MINOR_HUBS = 20
_EUR_ONLY_EVERY = 8

# Activity: Zipf over assets, times a factor per quote. Tuned so that a message touches 21.5 directed cycles
# on average (p90 about 80) at full size; `shape` measures it.
_RANK_OFFSET = 6.0
_QUOTE_ACTIVITY = {"USD": 1.0, "EUR": 0.6, "USDT": 0.25, "USDC": 0.15, "BTC": 0.2, "GBP": 0.12, "ETH": 0.1}
_BASE_ACTIVITY = {"BTC": 0.40, "ETH": 0.10, "USDT": 0.11, "USDC": 0.09, "EUR": 0.015, "GBP": 0.015}
_EURUSD_ACTIVITY = 0.01
_MINOR_ACTIVITY = 0.04


@dataclass(frozen=True, slots=True)
class Traits:
    """How one pair behaves."""

    activity: float
    """share of all market events; sums to 1 over the universe"""
    half_spread: float
    """typical distance of the best prices from fair value, as a fraction of it"""
    levels: int
    """typical number of price levels on each side"""
    level_usd: float
    """median value of one level in USD"""


@dataclass(frozen=True, slots=True)
class Triangle:
    """Three assets with a pair between each two: two directed cycles."""

    assets: tuple[str, str, str]
    pairs: tuple[str, str, str]
    """symbols between assets 0-1, 1-2 and 2-0"""


@dataclass(frozen=True, slots=True)
class Universe:
    seed: int
    assets: dict[str, AssetListing]
    pairs: dict[str, PairListing]
    usd_value: dict[str, float]
    """value of one unit of each asset when the market opens"""
    traits: dict[str, Traits]

    def triangles(self) -> list[Triangle]:
        return list(find_triangles((pair.base, pair.quote) for pair in self.pairs.values()))


def universe(seed: int, pairs: int = MAX_PAIRS) -> Universe:
    """The universe of `seed` with its `pairs` most traded pairs (3 to 1,228)."""
    if not MIN_PAIRS <= pairs <= MAX_PAIRS:
        raise ValueError(f"a universe has {MIN_PAIRS} to {MAX_PAIRS} pairs, not {pairs}")
    chance = stream(seed, "listing")
    usd_value = _usd_values(chance)
    listings: dict[str, PairListing] = {}
    traits: dict[str, Traits] = {}
    graph = list(_graph())[:pairs]
    busiest = max(weight for _, _, weight in graph)
    for base, quote, weight in graph:
        pair = _pair(base, quote, weight, usd_value, chance)
        activity = weight * math.exp(chance.gauss(0.0, 0.1))
        price = usd_value[base] / usd_value[quote]
        listings[pair.symbol] = pair
        traits[pair.symbol] = _traits(activity, min(activity / busiest, 1.0), pair, price, chance)
    total = sum(trait.activity for trait in traits.values())
    traits = {symbol: replace(trait, activity=trait.activity / total) for symbol, trait in traits.items()}
    listed = {asset for pair in listings.values() for asset in (pair.base, pair.quote)}
    return Universe(
        seed=seed,
        assets={asset: _asset(asset, chance) for asset in usd_value if asset in listed},
        pairs=listings,
        usd_value={asset: value for asset, value in usd_value.items() if asset in listed},
        traits=traits,
    )


def find_triangles(edges: Iterable[tuple[str, str]]) -> Iterator[Triangle]:
    """All triangles of a graph of (base, quote) pairs, assets in alphabetical order."""
    neighbours: dict[str, set[str]] = defaultdict(set)
    symbols: dict[frozenset[str], str] = {}
    for base, quote in edges:
        neighbours[base].add(quote)
        neighbours[quote].add(base)
        symbols[frozenset((base, quote))] = _symbol(base, quote)
    for a in sorted(neighbours):
        later = sorted(asset for asset in neighbours[a] if asset > a)
        for b, c in combinations(later, 2):
            if c in neighbours[b]:
                pairs = (symbols[frozenset((a, b))], symbols[frozenset((b, c))], symbols[frozenset((c, a))])
                yield Triangle((a, b, c), pairs)


# --- the graph ----------------------------------------------------------------------------------------------


def _coins() -> list[str]:
    """Every asset that is not a hub, most traded first."""
    known = list(names.KNOWN_USD)
    made_up = [stem + ending for ending in names.ENDINGS for stem in names.STEMS]
    wanted = names.BOTH_LISTED + names.SINGLE_LISTED
    return (known + [ticker for ticker in made_up if ticker not in names.KNOWN_USD])[:wanted]


def _graph() -> Iterator[tuple[str, str, float]]:
    """(base, quote, activity weight) of all pairs, in the order in which smaller universes keep them."""
    for base, quote in names.HUB_PAIRS[:_MAJOR_HUB_PAIRS]:
        yield base, quote, _hub_activity(base, quote)
    markets = [count for assets, count in names.EXTRA_MARKETS for _ in range(assets)]
    for rank, coin in enumerate(_coins()):
        if rank == _COINS_BEFORE_MINOR_HUBS:
            for base, quote in names.HUB_PAIRS[_MAJOR_HUB_PAIRS:]:
                yield base, quote, _hub_activity(base, quote)
        popularity = 1.0 / (rank + _RANK_OFFSET)
        for quote in _quotes(rank, markets):
            yield coin, quote, popularity * _QUOTE_ACTIVITY.get(quote, _MINOR_ACTIVITY)


def _quotes(rank: int, markets: list[int]) -> tuple[str, ...]:
    if rank >= names.BOTH_LISTED:
        return (names.EUR,) if rank % _EUR_ONLY_EVERY == 0 else (names.USD,)
    order = names.EXTRA_QUOTES_A if rank % 2 == 0 else names.EXTRA_QUOTES_B
    extra = order[: markets[rank]] if rank < len(markets) else ()
    return (names.USD, names.EUR, *extra)


def _hub_activity(base: str, quote: str) -> float:
    if (base, quote) == ("EUR", "USD"):
        return _EURUSD_ACTIVITY
    return _BASE_ACTIVITY.get(base, _MINOR_ACTIVITY) * _QUOTE_ACTIVITY.get(quote, _MINOR_ACTIVITY)


def _symbol(base: str, quote: str) -> str:
    return f"{base}/{quote}"


# --- what is listed -----------------------------------------------------------------------------------------

_FIAT_DECIMALS = 4
_JPY_DECIMALS = 2
_COST_MIN = {
    "USD": "0.5", "EUR": "0.45", "GBP": "0.43", "AUD": "1", "CAD": "1", "CHF": "0.5", "JPY": "50",
    "USDT": "0.5", "USDC": "0.5", "BTC": "0.00002", "ETH": "0.0002",
}  # fmt: skip
_PRICE_PRECISION = {
    "BTC/USD": 1, "BTC/EUR": 1, "BTC/GBP": 1, "BTC/USDT": 1, "BTC/USDC": 2, "BTC/JPY": 0,
    "ETH/USD": 2, "ETH/EUR": 2, "ETH/BTC": 6, "EUR/USD": 5, "GBP/USD": 5, "EUR/GBP": 5, "USDT/USD": 5,
    "USDC/USD": 4, "USDT/EUR": 4, "USD/JPY": 3, "EUR/JPY": 3, "SOL/USD": 2, "XRP/USD": 5,
}  # fmt: skip
_COARSE_INCREMENT = {"LTC/USD", "BCH/EUR", "XMR/USD", "PAXG/USD"}
"""Pairs whose prices go in fives of the last decimal whatever the seed (others join them by chance)."""
_SIGNIFICANT_DIGITS = 5
_COARSE_SHARE = 0.03
_UNIT5_SHARE = 0.35
_UNIT5_BELOW_USD = 0.01
_MARGINABLE_ACTIVITY = 0.01
"""before normalisation"""


def _usd_values(chance: Random) -> dict[str, float]:
    """Rough USD value of every asset, hubs first; all but the dollars scattered by the seed."""
    values = {"USD": 1.0} | names.STABLE_USD
    for asset, value in names.FIAT_USD.items():
        values.setdefault(asset, value * math.exp(chance.gauss(0.0, 0.01)))
    for asset, value in names.COIN_HUBS_USD.items():
        values[asset] = value * math.exp(chance.gauss(0.0, 0.1))
    for coin in _coins():
        value = names.KNOWN_USD.get(coin) or 10.0 ** chance.uniform(-4.0, 1.0)
        values[coin] = value * math.exp(chance.gauss(0.0, 0.1 if value != 1.0 else 0.0002))
    return values


def _asset(asset: str, chance: Random) -> AssetListing:
    if asset in names.FIAT_USD:
        decimals = _JPY_DECIMALS if asset == "JPY" else _FIAT_DECIMALS
        return AssetListing(asset, decimals, decimals - 2, True, Decimal(1), Decimal("0.025"))
    if asset in names.COIN_HUBS_USD:
        return AssetListing(asset, 10, 5, True, Decimal(1), Decimal("0.01"))
    if asset in names.STABLE_USD:
        return AssetListing(asset, 8, 4, True, Decimal(1), Decimal("0.02"))
    return AssetListing(asset, chance.choice((10, 10, 10, 8, 8, 6, 5)), 5, False, Decimal(0))


def _pair(base: str, quote: str, weight: float, usd_value: dict[str, float], chance: Random) -> PairListing:
    symbol = _symbol(base, quote)
    price = usd_value[base] / usd_value[quote]
    decimals = _SIGNIFICANT_DIGITS - math.floor(math.log10(price)) - chance.choice((0, 0, 1))
    price_precision = _PRICE_PRECISION.get(symbol, min(max(decimals, 0), 10))
    listed_exactly = symbol in _PRICE_PRECISION
    coarse = symbol in _COARSE_INCREMENT or (not listed_exactly and chance.random() < _COARSE_SHARE)
    hub = base in names.HUBS
    unit5 = usd_value[base] < _UNIT5_BELOW_USD or (not hub and chance.random() < _UNIT5_SHARE)
    qty_precision = 5 if unit5 else 8
    coarse_lots = not hub and chance.random() < _COARSE_SHARE
    smallest_usd = chance.uniform(4.0, 8.0)
    return PairListing(
        symbol=symbol,
        base=base,
        quote=quote,
        price_precision=price_precision,
        price_increment=Decimal(5 if coarse else 1).scaleb(-price_precision),
        qty_precision=qty_precision,
        qty_increment=Decimal(5 if coarse_lots else 1).scaleb(-qty_precision),
        qty_min=_round_qty(smallest_usd / usd_value[base], qty_precision),
        cost_min=Decimal(_COST_MIN[quote]),
        cost_precision=max(5, price_precision + 1),
        position_limit=round(2e7 / usd_value[base]) + 1 if weight > _MARGINABLE_ACTIVITY else None,
    )


def _round_qty(qty: float, precision: int) -> Decimal:
    """One or two leading digits, on the quantity grid (with room for increments of five units)."""
    digits = max(min(1 - math.floor(math.log10(qty)), precision - 1), -12)
    return max(round(Decimal(repr(round(qty, digits))), precision - 1), Decimal(1).scaleb(1 - precision))


_WIDEST = 50e-4
_TIGHTEST = 0.8e-4
_THIN_SHARE = 0.04
"""of the less active pairs: books with fewer than ten levels a side"""


def _traits(activity: float, relative: float, pair: PairListing, price: float, chance: Random) -> Traits:
    """`relative`: activity as a fraction of the busiest pair's. Quiet pairs are wide and shallow."""
    half_spread = min(_TIGHTEST * relative**-0.4, _WIDEST)
    tick = float(pair.price_increment) / price
    if relative > 0.1:  # noqa: PLR2004 - a dozen or two of the busiest pairs
        levels = 1250
    elif relative < 0.01 and chance.random() < _THIN_SHARE:  # noqa: PLR2004 - well below the median
        levels = chance.randrange(3, 9)
    else:
        levels = round(30 + 900 * relative**0.7)
    return Traits(activity, max(half_spread, 0.6 * tick), levels, 150.0 + 6000.0 * relative**0.5)
