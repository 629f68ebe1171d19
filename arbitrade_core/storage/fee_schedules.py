"""Fee schedules of accounts, every one that was ever fetched: what they are, and where they are kept (TRADING 7, 8).

A schedule becomes what a desk reckons with by `snapshot`, and the steps of its ladder by `steps`. Functions that take a
pool raise StorageError when the database cannot answer.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec

from arbitrade_core.domain import Fee, FeeCurrency, FeeRole, FeeSnapshot, Ns
from arbitrade_core.errors import StorageError
from arbitrade_core.money import plain
from arbitrade_core.storage.connect import UNAVAILABLE, Pool


class NextRates(msgspec.Struct, frozen=True):
    """What a pair would cost from a volume on; rates are fractions of the cost."""

    volume: Decimal
    maker: Decimal
    taker: Decimal


class PairRates(msgspec.Struct, frozen=True):
    """What a pair costs: fractions of the cost. A maker rate below zero is a rebate."""

    maker: Decimal
    taker: Decimal
    currency: FeeCurrency = FeeCurrency.QUOTE
    next: NextRates | None = None
    """of the tier above; None: there is none, or none was told"""


class Step(msgspec.Struct, frozen=True):
    """From `volume` of 30 days on; rates are fractions of the cost."""

    volume: Decimal
    maker: Decimal
    taker: Decimal


class Ladder(msgspec.Struct, frozen=True):
    """Pairs with the same steps, least volume first."""

    symbols: tuple[str, ...]
    steps: tuple[Step, ...]


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """An account's fees at one moment."""

    source: str
    """where it comes from, in words an operator understands: `account ...fees`"""
    account: str | None
    """what tells the account from others, without telling its key: `...fees`"""
    fetched_ns: Ns
    rates: dict[str, PairRates]
    """by pair symbol"""
    ladders: tuple[Ladder, ...] = ()
    """empty: the exchange told none"""
    volume: Decimal | None = None
    """traded within 30 days"""
    volume_currency: str = "USD"
    details: dict[str, Any] = {}
    """what else there is to know, for people"""

    @property
    def fees_id(self) -> str:
        """A hash of the rates alone: the same fees have the same id."""
        return _hash({symbol: (each.maker, each.taker, each.currency) for symbol, each in self.rates.items()})

    def snapshot(self) -> FeeSnapshot:
        """For a desk, or for a job (`replay.fees.fees_of`)."""
        rates = {symbol: (each.maker, each.taker, each.currency) for symbol, each in self.rates.items()}
        return _snapshot(rates, self.source, self.fetched_ns)

    def steps(self) -> list[tuple[str, FeeSnapshot]]:
        """Every step of the ladders with its name, dearest first, as `hooks.FeeLadder.ladder` has them.

        Each holds every pair: at a volume, what its own ladder says there; a pair without a ladder pays what it pays.
        The one in force is among them as long as all pairs stand on the same step.
        """
        steps = []
        for volume in sorted({step.volume for ladder in self.ladders for step in ladder.steps}):
            rates = {symbol: (each.maker, each.taker, each.currency) for symbol, each in self.rates.items()}
            for ladder in self.ladders:
                reached = [step for step in ladder.steps if step.volume <= volume]
                if not reached:
                    continue
                at = max(reached, key=lambda step: step.volume)
                for symbol in ladder.symbols:
                    if symbol in rates:
                        rates[symbol] = (at.maker, at.taker, rates[symbol][2])
            name = f"{volume:,f} {self.volume_currency}"
            steps.append((name, _snapshot(rates, f"{self.source}, at {name}", self.fetched_ns)))
        return steps

    def next_tier(self) -> dict[str, NextRates]:
        """The nearest tier above: the pairs that change there, with what they would cost. Empty: none is known."""
        known = {symbol: each.next for symbol, each in self.rates.items() if each.next is not None}
        nearest = min((each.volume for each in known.values()), default=None)
        return {symbol: each for symbol, each in known.items() if each.volume == nearest}


class StoredSchedule(FeeSchedule, frozen=True, kw_only=True):
    id: int


type _Rates = dict[str, tuple[Decimal, Decimal, FeeCurrency]]
"""maker, taker and currency by symbol"""


def _hash(rates: _Rates) -> str:
    lines = (
        f"{symbol} {plain(maker)} {plain(taker)} {currency.value}"
        for symbol, (maker, taker, currency) in sorted(rates.items())
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _snapshot(rates: _Rates, source: str, as_of_ns: Ns) -> FeeSnapshot:
    return FeeSnapshot(
        id=_hash(rates),
        source=source,
        as_of_ns=as_of_ns,
        taker={symbol: Fee(taker, currency, FeeRole.TAKER) for symbol, (_, taker, currency) in sorted(rates.items())},
        maker={symbol: Fee(maker, currency, FeeRole.MAKER) for symbol, (maker, _, currency) in sorted(rates.items())},
    )


# --- where they are kept --------------------------------------------------------------------------------------

_SELECT = (
    "SELECT id, source, account, fetched_ns, rates, ladders, volume, volume_currency, details FROM fee_schedules"
    " WHERE ($1::text IS NULL OR account = $1) AND ($2::bigint IS NULL OR fetched_ns <= $2)"
    " ORDER BY fetched_ns DESC, id DESC LIMIT $3"
)


async def store(pool: Pool, schedule: FeeSchedule) -> int:
    """Keep it, also when its fees are those of the one before: they were in force still. Returns its id."""
    async with _asking(pool) as connection:
        stored: int = await connection.fetchval(
            "INSERT INTO fee_schedules (fees_id, source, account, fetched_ns, rates, ladders, volume, volume_currency,"
            " details) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
            schedule.fees_id,
            schedule.source,
            schedule.account,
            schedule.fetched_ns,
            msgspec.to_builtins(schedule.rates),
            msgspec.to_builtins(schedule.ladders),
            schedule.volume,
            schedule.volume_currency,
            schedule.details,
        )
    return stored


async def newest(pool: Pool, account: str | None = None) -> StoredSchedule | None:
    """The one fetched last, of this account, or of any. None: there is none."""
    found = await _select(pool, account, None, 1)
    return found[0] if found else None


async def in_force(pool: Pool, at_ns: Ns, account: str | None = None) -> StoredSchedule | None:
    """The last one fetched by then. None: nothing was known then, and whoever replays names its substitute."""
    found = await _select(pool, account, at_ns, 1)
    return found[0] if found else None


async def schedules(pool: Pool, limit: int, account: str | None = None) -> list[StoredSchedule]:
    """Newest first."""
    return await _select(pool, account, None, limit)


async def _select(pool: Pool, account: str | None, until_ns: Ns | None, limit: int) -> list[StoredSchedule]:
    async with _asking(pool) as connection:
        rows = await connection.fetch(_SELECT, account, until_ns, limit)
    # Text becomes Decimal again here, digit for digit.
    return [msgspec.convert(dict(row), StoredSchedule, strict=False) for row in rows]


@asynccontextmanager
async def _asking(pool: Pool) -> AsyncIterator[Any]:
    try:
        async with pool.acquire(timeout=10.0) as connection:
            yield connection
    except UNAVAILABLE as error:
        raise StorageError(f"fee schedules: the database did not answer: {type(error).__name__}: {error}") from error
