"""Book frames in bulk, for benchmarks: as one session subscribed to everything at depth 10 receives them."""

from collections.abc import Iterator

import orjson

from .exchange import SimulatedExchange

_SYMBOLS_PER_REQUEST = 100
_SNAPSHOT = b'{"channel":"book","type":"snapshot"'
_UPDATE = b'{"channel":"book","type":"update"'


def frames(exchange: SimulatedExchange, count: int, *, depth: int = 10) -> Iterator[bytes]:
    """A snapshot of every pair, then `count` updates; time runs in the exchange alone.

    The exchange must have a message rate, or there would be no updates to wait for.
    """
    session = exchange.open_session(exchange.now_ns)
    symbols = list(exchange.market.pairs)
    pending = 0
    for start in range(0, len(symbols), _SYMBOLS_PER_REQUEST):
        params = {"channel": "book", "symbol": symbols[start : start + _SYMBOLS_PER_REQUEST], "depth": depth}
        for frame in session.receive(orjson.dumps({"method": "subscribe", "params": params}), exchange.now_ns):
            if frame.startswith(_SNAPSHOT):
                yield frame
    while pending < count:
        due_ns = exchange.next_due_ns
        if due_ns is None or not exchange.messages_per_s:
            raise ValueError("the exchange has no message rate: build it with messages_per_s above 0")
        for _, frame in exchange.advance(due_ns):
            if frame.startswith(_UPDATE):
                yield frame
                pending += 1
                if pending == count:
                    break
    session.close(1000, "done")
