"""The queue itself: what a job's row goes through, and who owns it."""

import anyio
import asyncpg
import pytest

from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.backtest_ownership import (
    MAX_ATTEMPTS,
    NotOurs,
    Ownership,
    StoredVariant,
    owning,
    save_variants,
    stored_variants,
)
from arbitrade_core.storage.backtests import Progress
from arbitrade_core.storage.connect import Database, Pool
from tests.backtests.fakes import submit

pytestmark = pytest.mark.anyio


async def row(pool: Pool, number: int) -> storage.JobRow:
    found = await storage.job(pool, number)
    assert found is not None
    return found


async def test_jobs_are_taken_oldest_first(pool: Pool, owner: Ownership) -> None:
    numbers = [await submit(pool, f"job {number}") for number in range(4)]
    taken = []
    while (claimed := await owner.claim()) is not None:
        taken.append(claimed.id)
        await owner.finish(claimed.id, b"r", headline={}, decisions="d", code={})
    assert taken == numbers


async def test_many_workers_take_each_job_once(database: Database, pool: Pool) -> None:
    numbers = [await submit(pool, f"job {number}") for number in range(8)]
    taken: dict[str, list[int]] = {f"w{number}": [] for number in range(4)}

    async def take(name: str) -> None:
        async with owning(database, name) as owner:
            while (claimed := await owner.claim()) is not None:
                taken[name].append(claimed.id)
                await owner.finish(claimed.id, b"r", headline={}, decisions="d", code={})

    async with anyio.create_task_group() as tasks:
        for name in taken:
            tasks.start_soon(take, name)
    assert sorted(number for each in taken.values() for number in each) == numbers
    assert all(each == sorted(each) for each in taken.values()), "each worker is handed the oldest that is left"
    assert {(await row(pool, number)).state for number in numbers} == {"done"}


async def test_progress_tells_of_a_wish_to_cancel(pool: Pool, owner: Ownership) -> None:
    number = await submit(pool, "one")
    assert await owner.claim() is not None
    told = Progress("replaying", 0.5, frames=10, eta_s=2.0)
    assert not await owner.progress(number, told)
    assert (await row(pool, number)).progress == told
    assert await storage.cancel(pool, number, "me") == "running"
    assert await owner.progress(number, told)
    await owner.cancelled(number)
    found = await row(pool, number)
    assert (found.state, found.reason) == ("cancelled", "cancelled by me")


async def test_a_queued_job_is_cancelled_at_once_and_not_run(pool: Pool, owner: Ownership) -> None:
    number = await submit(pool, "one")
    assert await storage.cancel(pool, number, "me") == "cancelled"
    assert await owner.claim() is None
    assert await storage.cancel(pool, number, "me") == "cancelled"
    assert await storage.cancel(pool, 99, "me") is None


async def test_a_job_whose_worker_is_gone_waits_again_and_fails_in_the_end(database: Database, pool: Pool) -> None:
    number = await submit(pool, "one")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        async with owning(database, f"w{attempt}") as worker:
            claimed = await worker.claim()
            assert claimed is not None
            assert claimed.attempts == attempt
            assert await storage.queued(pool) == 0
            async with owning(database, "other") as other:
                assert await other.recover() == {}, "its worker lives"
        await until_orphaned(pool)
        async with owning(database, "next") as other:
            state = "failed" if attempt == MAX_ATTEMPTS else "queued"
            assert await other.recover() == {number: state}
    found = await row(pool, number)
    assert (found.state, found.attempts) == ("failed", MAX_ATTEMPTS)
    assert "without a word 3 times" in found.reason


async def until_orphaned(pool: Pool) -> None:
    with anyio.fail_after(10):
        while not await storage.queued(pool):  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_what_was_to_be_cancelled_does_not_come_back(database: Database, pool: Pool) -> None:
    number = await submit(pool, "one")
    async with owning(database, "w") as worker:
        await worker.claim()
        await storage.cancel(pool, number, "me")
    await until_orphaned(pool)
    async with owning(database, "next") as other:
        await other.recover()
        assert await other.claim() is None
    assert (await row(pool, number)).state == "cancelled"


async def test_a_job_that_is_given_back_has_not_been_tried(database: Database, pool: Pool, owner: Ownership) -> None:
    number = await submit(pool, "one")
    await owner.claim()
    assert await owner.give_back(number) == "queued"
    found = await row(pool, number)
    assert (found.state, found.attempts, found.worker) == ("queued", 0, None)
    async with owning(database, "next") as other:
        claimed = await other.claim()
        assert claimed is not None
        assert claimed.attempts == 1


async def test_who_lost_a_job_changes_nothing_of_it(database: Database, pool: Pool, owner: Ownership) -> None:
    number = await submit(pool, "one")
    await owner.claim()
    await pool.execute("UPDATE backtest_jobs SET worker = 'another' WHERE id = $1", number)
    for late in (
        owner.progress(number, Progress("replaying")),
        owner.finish(number, b"r", headline={}, decisions="d", code={}),
        owner.fail(number, "why"),
    ):
        with pytest.raises(NotOurs):
            await late
    assert (await row(pool, number)).state == "running"


async def test_no_more_workers_than_slots(database: Database, owner: Ownership) -> None:
    assert await owner.take_slot(2)
    assert await owner.take_slot(2), "it has one already"
    async with owning(database, "second") as second, owning(database, "third") as third:
        assert await second.take_slot(2)
        assert not await third.take_slot(2)
        await second.leave_slot()
        assert await third.take_slot(2)


async def test_only_what_has_ended_is_deleted_and_the_audit_stays(pool: Pool, owner: Ownership) -> None:
    number = await submit(pool, "one")
    assert await storage.delete(pool, number, "me") == "queued"
    await storage.cancel(pool, number, "me")
    assert await storage.delete(pool, number, "me") == "cancelled"
    assert await storage.job(pool, number) is None
    assert [one.action for one in await storage.audit(pool, number)] == ["submit", "cancel", "delete"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute("DELETE FROM backtest_audit")


async def test_old_jobs_go_with_their_variants(pool: Pool, owner: Ownership) -> None:
    numbers = []
    for _ in range(4):
        numbers.append(await submit(pool, "sweep", 2))
        await owner.claim()
        variant = StoredVariant(0, {"paper.latency_ms": "5"}, "d", {}, b"x")
        await save_variants(pool, numbers[-1], "code", [variant])
        await save_variants(pool, numbers[-1], "code", [variant])
        await owner.finish(numbers[-1], b"r", headline={}, decisions="d", code={})
    waiting = await submit(pool, "one")
    assert sorted(await owner.prune(2)) == numbers[:2]
    assert [one.id for one in await storage.jobs(pool, 10)] == [waiting, numbers[3], numbers[2]]
    assert await pool.fetchval("SELECT count(*) FROM backtest_variants") == 2


async def test_other_code_does_not_see_our_variants(pool: Pool) -> None:
    number = await submit(pool, "sweep", 2)
    variant = StoredVariant(0, {"paper.latency_ms": "5"}, "d", {"plans": 1}, b"x")
    await save_variants(pool, number, "arbitrade 1", [variant])
    assert await stored_variants(pool, number, "arbitrade 1") == [variant]
    assert await stored_variants(pool, number, "arbitrade 2") == []
    assert [one.number for one in await storage.variants(pool, number)] == [0]
