import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio
import pytest

from arbitrade_core.events import Appearance
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.observations import ObservationWriter
from arbitrade_core.storage.repositories import opportunities
from tests.storage.proxy import proxied

pytestmark = pytest.mark.anyio


def seen(number: int) -> Appearance:
    return Appearance(
        strategy="triangular",
        key=f"k{number}",
        path="EUR → BTC → ETH → EUR",
        opened_ns=1_700_000_000_000_000_000 + number,
        closed_ns=None if number == 0 else 1_700_000_001_000_000_000,
        best_gross_bps=12.5,
        best_edge_bps=Decimal("-3.25") if number else None,
        outcome="after_fees",
        evaluations=number,
    )


@asynccontextmanager
async def writing(database: Database, capacity: int = 50_000) -> AsyncIterator[ObservationWriter]:
    writer = ObservationWriter(database, "run-1", capacity=capacity)
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_appearances_are_written_and_read(database: Database, pool: Pool) -> None:
    async with writing(database) as writer:
        writer.offer(seen(number) for number in range(5_000))
        assert await writer.drain(20)
    assert (writer.written, writer.dropped) == (5_000, 0)
    newest = (await opportunities(pool, 1))[0]
    assert (newest.key, newest.best_edge_bps, newest.run_id) == ("k4999", Decimal("-3.25"), "run-1")
    assert await pool.fetchval("SELECT count(*) FROM opportunities") == 5_000
    assert await opportunities(pool, 5, "another run") == []


async def test_without_a_database_the_oldest_are_dropped_and_counted(database: Database, pool: Pool) -> None:
    async with proxied(database) as (proxy, through), writing(through, capacity=100) as writer:
        proxy.refuse = True
        for start in range(0, 1_000, 10):
            writer.offer(seen(number) for number in range(start, start + 10))
        assert (writer.depth, writer.dropped) == (100, 900)
        with anyio.fail_after(20):
            while writer.failing is None:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        proxy.refuse = False
        assert await writer.drain(20)
        assert writer.failing is None
        assert writer.written + writer.dropped == 1_000
    assert [row.key for row in await opportunities(pool, 2)] == ["k999", "k998"]
    assert await pool.fetchval("SELECT count(*) FROM opportunities") == writer.written
