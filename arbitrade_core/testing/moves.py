"""What can happen in a market that a `MarketPlayer` plays, as words in a list."""

from collections.abc import Sequence
from dataclasses import dataclass

from arbitrade_core.domain import PairStatus

type Quotes = Sequence[tuple[str, str]]
"""(price, quantity), best first"""


@dataclass(frozen=True, slots=True)
class Sees:
    """One message: each side that is given is now one level."""

    symbol: str
    bid: str | None = None
    ask: str | None = None
    qty: str = "10"


@dataclass(frozen=True, slots=True)
class Shows:
    """One message: the sides that are given are replaced by these levels."""

    symbol: str
    bids: Quotes | None = None
    asks: Quotes | None = None


@dataclass(frozen=True, slots=True)
class Breaks:
    """A message whose checksum is wrong: the pair is quarantined until it mends."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Mends:
    """A verified snapshot at the prices that were there last."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Lists:
    """The exchange gives a pair another status."""

    symbol: str
    status: PairStatus


@dataclass(frozen=True, slots=True)
class Passes:
    """Time goes by."""

    ms: float


@dataclass(frozen=True, slots=True)
class Halts:
    reason: str = "a test"


@dataclass(frozen=True, slots=True)
class Resumes:
    pass


@dataclass(frozen=True, slots=True)
class Charges:
    """New fees: a fraction of the cost, the same for every pair."""

    rate: str


@dataclass(frozen=True, slots=True)
class Disconnects:
    """The connection that carries all books is gone, and back a moment later without any of them."""


type Move = Sees | Shows | Breaks | Mends | Lists | Passes | Halts | Resumes | Charges | Disconnects
