"""Fee schedules: kept for ever, read back digit for digit, found by the time at which they were in force."""

from decimal import Decimal

import pytest

from arbitrade_core.domain import FeeCurrency, FeeRole
from arbitrade_core.errors import StorageError
from arbitrade_core.replay.fees import fees_of, snapshot_of, steps_of
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.fee_schedules import (
    FeeSchedule,
    Ladder,
    NextRates,
    PairRates,
    Step,
    in_force,
    newest,
    schedules,
    store,
)

pytestmark = pytest.mark.anyio

D = Decimal


def schedule(fetched_ns: int = 1_000, account: str = "...fees", taker: str = "0.0040") -> FeeSchedule:
    return FeeSchedule(
        source=f"account {account}",
        account=account,
        fetched_ns=fetched_ns,
        rates={
            "BTC/USD": PairRates(D("0.0025"), D(taker), next=NextRates(D(10_000), D("0.0020"), D("0.0035"))),
            "ETH/EUR": PairRates(D("-0.0001"), D("0.00123456789"), FeeCurrency.EITHER),
            "EUR/USD": PairRates(D("0.0020"), D("0.0020"), next=NextRates(D(50_000), D("0.0016"), D("0.0016"))),
        },
        ladders=(
            Ladder(
                ("BTC/USD", "GONE/USD"),
                (Step(D(0), D("0.0025"), D("0.0040")), Step(D(10_000), D("0.0020"), D("0.0035"))),
            ),
            Ladder(("EUR/USD",), (Step(D(0), D("0.0020"), D("0.0020")), Step(D(50_000), D("0.0016"), D("0.0016")))),
        ),
        volume=D("1234.5678"),
        details={"permissions": ["query-funds"]},
    )


async def test_what_is_stored_comes_back_digit_for_digit(pool: Pool) -> None:
    stored = await store(pool, schedule())
    found = await newest(pool)
    assert found is not None
    assert found.id == stored
    assert {name: getattr(found, name) for name in FeeSchedule.__struct_fields__} == {
        name: getattr(schedule(), name) for name in FeeSchedule.__struct_fields__
    }
    assert str(found.rates["ETH/EUR"].taker) == "0.00123456789"
    assert found.fees_id == schedule().fees_id
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT fees_id FROM fee_schedules") == found.fees_id


async def test_every_one_is_kept_and_the_one_in_force_is_found_by_time(pool: Pool) -> None:
    first = await store(pool, schedule(1_000))
    again = await store(pool, schedule(2_000))
    dearer = await store(pool, schedule(3_000, taker="0.0080"))
    other = await store(pool, schedule(2_500, "...else"))
    assert [one.id for one in await schedules(pool, 10)] == [dearer, other, again, first]
    assert [one.id for one in await schedules(pool, 1)] == [dearer]
    assert [one.id for one in await schedules(pool, 10, "...else")] == [other]
    for at_ns, account, expected in (
        (999, None, None),
        (1_000, None, first),
        (2_999, None, other),
        (2_999, "...fees", again),
        (10_000, "...fees", dearer),
        (10_000, "...nobody", None),
    ):
        found = await in_force(pool, at_ns, account)
        assert (found and found.id) == expected
    found = await newest(pool, "...else")
    assert found is not None
    assert found.id == other
    assert await newest(pool, "...nobody") is None


async def test_the_same_fees_at_other_times_have_the_same_id() -> None:
    assert schedule(1).fees_id == schedule(2).fees_id == schedule(3).snapshot().id
    assert schedule(1).fees_id != schedule(1, taker="0.0080").fees_id
    assert schedule(1).fees_id == schedule(1, taker="0.004").fees_id, "trailing zeros are no other fee"


async def test_a_schedule_becomes_what_desks_and_jobs_reckon_with() -> None:
    snapshot = schedule(5).snapshot()
    assert (snapshot.source, snapshot.as_of_ns) == ("account ...fees", 5)
    assert snapshot.taker["BTC/USD"].rate == D("0.0040")
    assert snapshot.maker["ETH/EUR"].rate == D("-0.0001")
    assert snapshot.taker["ETH/EUR"].currency is FeeCurrency.EITHER
    assert (snapshot.maker["BTC/USD"].role, snapshot.taker["BTC/USD"].role) == (FeeRole.MAKER, FeeRole.TAKER)
    assert snapshot_of(fees_of(snapshot)) == snapshot


async def test_the_steps_hold_every_pair_dearest_first() -> None:
    steps = schedule().steps()
    assert [name for name, _ in steps] == ["0 USD", "10,000 USD", "50,000 USD"]
    taker = {name: {symbol: fee.rate for symbol, fee in each.taker.items()} for name, each in steps}
    assert taker["0 USD"] == {"BTC/USD": D("0.0040"), "ETH/EUR": D("0.00123456789"), "EUR/USD": D("0.0020")}
    assert taker["10,000 USD"] == taker["0 USD"] | {"BTC/USD": D("0.0035")}
    assert taker["50,000 USD"] == taker["10,000 USD"] | {"EUR/USD": D("0.0016")}
    assert steps[0][1].id == schedule().fees_id, "the one in force is among them"
    assert len({step.fees.id for step in steps_of(steps)}) == 3


async def test_the_next_tier_is_the_nearest_one() -> None:
    assert schedule().next_tier() == {"BTC/USD": NextRates(D(10_000), D("0.0020"), D("0.0035"))}


async def test_a_database_without_the_table_is_one_clear_error(empty_database: Database) -> None:
    async with empty_database.pool(size=1) as pool:
        with pytest.raises(StorageError, match="fee schedules: the database did not answer"):
            await newest(pool)
