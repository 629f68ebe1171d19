"""`python -m arbitrade_kraken.simulator.shape --seed 7`: what the stream looks like, measured from its
frames.

The figures to compare with are those of the benchmarks' load: at 1,228 pairs a message touches 21.5 directed
cycles (p90 76), has about 2 level changes in 222 bytes, leaves the best prices alone in 40 % of cases, and
improves one of them in 32 %.
"""

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from .exchange import SimulatedExchange
from .stream import frames
from .universe import MAX_PAIRS


@dataclass(frozen=True, slots=True)
class Shape:
    """Measured over one stream of depth-10 updates."""

    pairs: int
    assets: int
    triangles: int
    eur_usd_triangles: int
    updates: int
    cycles_touched_mean: float
    """directed cycles through the message's pair"""
    cycles_touched_p90: int
    bytes_mean: float
    level_changes_mean: float
    best_prices_unchanged: float
    """share of messages after which best bid and best ask are the same prices"""
    improved: float
    """share of messages that raise the best bid or lower the best ask"""
    crossed: int
    highest_gross_bps: float
    """best product of any touched cycle at the best prices, minus one; negative: no opportunity anywhere"""
    us_per_update: float
    """processor time to generate, measuring not included"""


class _View:
    """A subscriber's depth-10 book with prices as floats."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}

    def apply(self, data: dict[str, list[dict[str, float]]], depth: int) -> None:
        for side, levels in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            for level in levels:
                if level["qty"]:
                    side[level["price"]] = level["qty"]
                else:
                    side.pop(level["price"], None)
        for price in sorted(self.bids)[:-depth]:
            del self.bids[price]
        for price in sorted(self.asks)[depth:]:
            del self.asks[price]

    def best(self) -> tuple[float, float]:
        return max(self.bids, default=0.0), min(self.asks, default=float("inf"))


def measure(exchange: SimulatedExchange, updates: int) -> Shape:
    """Generate that many updates and measure them."""
    triangles = exchange.universe.triangles()
    shared = Counter(symbol for triangle in triangles for symbol in triangle.pairs)
    through: dict[str, list[tuple[str, str, str, str]]] = {symbol: [] for symbol in exchange.universe.pairs}
    for triangle in triangles:
        for symbol in triangle.pairs:
            through[symbol].append((*triangle.pairs, triangle.assets[0]))
    started = time.process_time()
    recorded = list(frames(exchange, updates))
    us_per_update = (time.process_time() - started) / updates * 1e6
    views = {symbol: _View() for symbol in exchange.universe.pairs}
    touched: Counter[int] = Counter()
    size = changes = same = better = crossed = 0
    highest = -1.0
    for frame in recorded:
        message = orjson.loads(frame)
        data = message["data"][0]
        view = views[data["symbol"]]
        bid, ask = view.best()
        view.apply(data, 10)
        if message["type"] == "snapshot":
            continue
        new_bid, new_ask = view.best()
        crossed += new_bid >= new_ask
        size += len(frame)
        changes += len(data["bids"]) + len(data["asks"])
        same += (bid, ask) == (new_bid, new_ask)
        better += new_bid > bid or new_ask < ask
        touched[2 * shared[data["symbol"]]] += 1
        if new_bid > bid or new_ask < ask:
            highest = max([highest, *(_gross(views, *cycle) - 1.0 for cycle in through[data["symbol"]])])
    return Shape(
        pairs=len(exchange.universe.pairs),
        assets=len(exchange.universe.assets),
        triangles=len(triangles),
        eur_usd_triangles=shared["EUR/USD"],
        updates=updates,
        cycles_touched_mean=sum(cycles * count for cycles, count in touched.items()) / updates,
        cycles_touched_p90=_quantile(touched, 0.9),
        bytes_mean=size / updates,
        level_changes_mean=changes / updates,
        best_prices_unchanged=same / updates,
        improved=better / updates,
        crossed=crossed,
        highest_gross_bps=highest * 1e4,
        us_per_update=us_per_update,
    )


def _gross(views: dict[str, _View], ab: str, bc: str, ca: str, a: str) -> float:
    """The better of the two directed cycles of a triangle."""
    forward = backward = 1.0
    holds = a
    for symbol in (ab, bc, ca):
        base, quote = symbol.split("/")
        bid, ask = views[symbol].best()
        if holds == base:
            forward, backward, holds = forward * bid, backward / ask, quote
        else:
            forward, backward, holds = forward / ask, backward * bid, base
    return max(forward, backward)


def _quantile(counts: Counter[int], share: float) -> int:
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= share * counts.total():
            return value
    return 0


def main(
    seed: Annotated[int, typer.Option(help="Seed of the universe and of the market.")] = 7,
    pairs: Annotated[int, typer.Option(help="Number of pairs, most traded first.")] = MAX_PAIRS,
    updates: Annotated[int, typer.Option(help="Updates to generate and measure.")] = 50_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the shape of the simulated stream at depth 10."""
    shape = measure(SimulatedExchange(seed, pairs, messages_per_s=2000.0), updates)
    console = Console()
    if as_json:
        console.print_json(orjson.dumps(asdict(shape)).decode())
        return
    table = Table("figure", "value", title=f"seed {seed}")
    for name, value in asdict(shape).items():
        table.add_row(name.replace("_", " "), f"{value:,.3f}" if isinstance(value, float) else f"{value:,}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
