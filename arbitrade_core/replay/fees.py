"""A schedule of fees as a job holds it, and as a desk is given it."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal

from arbitrade_core.domain import Fee, FeeCurrency, FeeRole, FeeSnapshot
from arbitrade_core.money import plain
from arbitrade_core.replay.job import FeeRates, Fees, FeeStep


def fees_of(snapshot: FeeSnapshot) -> Fees:
    """The whole snapshot; a pair without a maker rate pays as a taker."""
    return Fees(
        id=snapshot.id,
        source=snapshot.source,
        as_of_ns=snapshot.as_of_ns,
        rates={
            symbol: FeeRates(
                maker=snapshot.maker.get(symbol, taker).rate, taker=taker.rate, currency=taker.currency.value
            )
            for symbol, taker in sorted(snapshot.taker.items())
        },
    )


def steps_of(ladder: Sequence[tuple[str, FeeSnapshot]]) -> tuple[FeeStep, ...]:
    return tuple(FeeStep(name=name, fees=fees_of(snapshot)) for name, snapshot in ladder)


def snapshot_of(fees: Fees) -> FeeSnapshot:
    """For a desk."""
    return FeeSnapshot(
        id=fees.id,
        source=fees.source,
        as_of_ns=fees.as_of_ns,
        taker={
            symbol: Fee(each.taker, FeeCurrency(each.currency), FeeRole.TAKER) for symbol, each in fees.rates.items()
        },
        maker={
            symbol: Fee(each.maker, FeeCurrency(each.currency), FeeRole.MAKER) for symbol, each in fees.rates.items()
        },
    )


def scaled(fees: Fees, factor: Decimal) -> Fees:
    """The same schedule times a factor: a point of the break-even curve (TRADING 10). Factor 1 is the schedule."""
    if factor == 1:
        return fees
    return Fees(
        id=hashlib.sha256(f"{fees.id} x {plain(factor)}".encode()).hexdigest()[:16],
        source=f"{fees.source}, times {plain(factor)}",
        as_of_ns=fees.as_of_ns,
        rates={
            symbol: FeeRates(maker=each.maker * factor, taker=each.taker * factor, currency=each.currency)
            for symbol, each in fees.rates.items()
        },
    )
