"""What the paper venue lets a desk earn is what the books really held (TRADING 12, 29; issue: paper-venue honesty).

The optimum is that of TRADING 12 for plans of one limit a leg: quantities in whole lots, each order funded at its own
limit, which is the worst price it touches, by what the leg before brings for sure at its own. The search here tries
every such triple of quantities on small books and shares no code with pricing, desk or venue.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Fee, FeeSnapshot, Order, Pair, Side, TimeInForce
from arbitrade_core.engine import Engine
from arbitrade_core.events import FeesLoaded, Frame
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.journal import Stream
from arbitrade_core.market import Market
from arbitrade_core.parts import Parts
from arbitrade_core.planning import DeskTerms
from arbitrade_core.pricing import Terms
from arbitrade_core.recovery import Recovered
from arbitrade_core.risk.checks import shipped_checks
from arbitrade_core.risk.gate import Gate
from arbitrade_core.settings import RiskSettings
from arbitrade_core.subledgers import Ledgers
from arbitrade_core.testing.world import SilentPeer, World
from arbitrade_triangular.detector import TriangularDetector
from tests.engine.harness import MS, START_NS, StubFeed, Update

D = Decimal
SEEDS = st.integers(0, 10**9)
HUGE = D(10**9)

type Levels = list[tuple[int, int]]
"""(price in ticks, lots), best first; a tick is 1 of the quote asset, a lot 1 of the base asset"""


# --- a market of small whole numbers ---


@dataclass(frozen=True)
class Small:
    """USD -> A -> B -> USD over A/USD, B/A and B/USD; the fair books bring nothing, `cheap` is what one frame plants."""

    budget: int
    asks_a: Levels
    asks_b: Levels
    bids_b: Levels


def small(seed: int) -> Small:
    """A cycle that pays at its tops: A costs few dollars, B a few A, and B sells for more dollars than that."""
    rng = random.Random(seed)
    a, b = rng.randint(2, 9), rng.randint(1, 6)
    top = round(a * b * rng.uniform(1.02, 1.9)) + 1
    return Small(
        budget=rng.randint(a, 160),
        asks_a=_levels(rng, a, 1, 14),
        asks_b=_levels(rng, b, 1, 9),
        bids_b=_levels(rng, top, -1, 7),
    )


def _levels(rng: random.Random, price: int, sign: int, most: int) -> Levels:
    levels: Levels = []
    for _ in range(rng.randint(1, 4)):
        if price < 1:
            break
        levels.append((price, rng.randint(1, most)))
        price += sign * rng.randint(1, 2)
    return levels


# --- the search ---


def walked(levels: Levels, lots: int) -> tuple[int, int]:
    """What taking `lots` costs, and the worst price it touches."""
    cost = worst = 0
    for price, shown in levels:
        taken = min(lots, shown)
        if taken:
            cost, worst, lots = cost + price * taken, price, lots - taken
    assert lots == 0
    return cost, worst


def every_plan(market: Small) -> Iterator[int]:
    """Profit in dollars of every triple of quantities that fund each other at their limits, and of doing nothing."""
    yield 0
    depth = [sum(lots for _, lots in levels) for levels in (market.asks_a, market.asks_b, market.bids_b)]
    for first in range(1, depth[0] + 1):
        paid, limit_a = walked(market.asks_a, first)
        if first * limit_a > market.budget:
            break
        for second in range(1, depth[1] + 1):
            _, limit_b = walked(market.asks_b, second)
            if second * limit_b > first:
                break
            for third in range(1, min(second, depth[2]) + 1):
                got, limit = walked(market.bids_b, third)
                if third * limit > first * limit_a:  # what the certificate promises
                    yield got - paid


def best(market: Small) -> int:
    return max(every_plan(market))
