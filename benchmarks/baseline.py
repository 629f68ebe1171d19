"""What the engine is measured against: the straightforward design, done well.

orjson, floats, one SortedDict a side, every cycle through the message's pair scored in both directions, no checksum.
"""

from typing import Any

import orjson
from sortedcontainers import SortedDict  # type: ignore[import-untyped]

DEPTH = 10


class Baseline:
    """Books and scores by symbol. `frame` returns the cycles whose net product is above 1."""

    def __init__(self, cycles: list[tuple[tuple[str, bool], ...]], factor: dict[str, float]) -> None:
        """`cycles`: three (symbol, buys) each; `factor`: what a symbol's taker fee leaves of a rate."""
        self.bids: dict[str, Any] = {}
        self.asks: dict[str, Any] = {}
        self.rate: dict[tuple[str, bool], float] = {}
        self._factor = factor
        self._through: dict[str, list[tuple[tuple[str, bool], ...]]] = {}
        for cycle in cycles:
            for symbol, _ in cycle:
                self._through.setdefault(symbol, []).append(cycle)

    def frame(self, data: bytes) -> list[tuple[tuple[str, bool], ...]]:  # noqa: PLR0912 - one function, as such code is
        message = orjson.loads(data)
        if message.get("channel") != "book":
            return []
        found = []
        for book in message["data"]:
            symbol = book["symbol"]
            if message["type"] == "snapshot":
                self.bids[symbol], self.asks[symbol] = SortedDict(), SortedDict()
            bids, asks = self.bids[symbol], self.asks[symbol]
            for level in book["bids"]:
                if level["qty"] == 0:
                    bids.pop(-level["price"], None)
                else:
                    bids[-level["price"]] = level["qty"]
            for level in book["asks"]:
                if level["qty"] == 0:
                    asks.pop(level["price"], None)
                else:
                    asks[level["price"]] = level["qty"]
            while len(bids) > DEPTH:
                bids.popitem()
            while len(asks) > DEPTH:
                asks.popitem()
            factor = self._factor[symbol]
            self.rate[symbol, False] = -bids.peekitem(0)[0] * factor if bids else 0.0
            self.rate[symbol, True] = factor / asks.peekitem(0)[0] if asks else 0.0
            rate = self.rate
            for cycle in self._through.get(symbol, ()):
                one, two, three = cycle
                if rate.get(one, 0.0) * rate.get(two, 0.0) * rate.get(three, 0.0) > 1.0:
                    found.append(cycle)
        return found
