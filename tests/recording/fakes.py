"""An engine as far as a recorder looks at it, on a real market, with a feed that can tell its state."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from arbitrade_core.domain import Ns, PairId
from arbitrade_core.engine import Engine
from arbitrade_core.events import ConnId
from arbitrade_core.market import Market
from arbitrade_core.testing.builders import pair


class TellingFeed:
    """Carries its pairs on connection 1. `asked` keeps what it was asked for."""

    name = "telling"

    def __init__(self) -> None:
        self.asked: list[list[PairId]] = []
        self.broken = False

    def state(self, pairs: Collection[PairId], now: Ns) -> Sequence[tuple[ConnId, bytes]]:
        if self.broken:
            raise RuntimeError("out of order")
        self.asked.append(list(pairs))
        return [(1, b'{"book":%d}' % one) for one in pairs] if pairs else [(1, b'{"listing":true}')]

    def follower(self) -> Any:
        raise NotImplementedError

    def captures(self) -> Sequence[Any]:
        return ()


@dataclass
class Port:
    feed: TellingFeed


@dataclass
class InUse:
    feeds: list[Port]


@dataclass
class FakeEngine:
    market: Market = field(default_factory=Market)
    feed: TellingFeed = field(default_factory=TellingFeed)

    @property
    def in_use(self) -> InUse:
        return InUse([Port(self.feed)])

    def feed_of(self, conn: ConnId) -> TellingFeed | None:
        return self.feed if conn == 1 else None

    def connections_of(self, feed: TellingFeed) -> list[ConnId]:
        return [1]


def engine_with(symbols: Sequence[str]) -> tuple[Engine, FakeEngine]:
    """The same engine twice: as its type, and as it is."""
    fake = FakeEngine()
    for symbol in symbols:
        pair_id, _ = fake.market.list_pair(pair(symbol))
        fake.market.carried_by(pair_id, 1)
    return cast(Engine, fake), fake
