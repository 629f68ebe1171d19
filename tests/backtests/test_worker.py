"""Workers as processes: killed, told to end, side by side, with jobs that break."""

import os
import signal
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from arbitrade_core.backtests import api
from arbitrade_core.backtests.processes import WorkerProcess
from arbitrade_core.backtests.running import pin_reason
from arbitrade_core.backtests.service import beside
from arbitrade_core.domain import Alert
from arbitrade_core.replay.results import ReplayResult
from arbitrade_core.replay.searched import SweepResult
from arbitrade_core.replay.statistics import Window
from arbitrade_core.settings import BacktestSettings
from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.connect import Database, Pool
from tests.backtests.conftest import Start, Until, ended
from tests.backtests.fakes import TOOLS, submit

pytestmark = pytest.mark.anyio


async def test_the_queue_goes_on_after_jobs_that_fail(pool: Pool, start: Start, until: Until) -> None:
    wrong = await submit(pool, "quick", raw={"version": 99})
    damaged = await submit(pool, "quick", raw={"version": 1, "name": "quick"})
    broken = {name: await submit(pool, name) for name in ("raises", "memory", "disk", "exits", "corrupt")}
    last = await submit(pool, "quick")
    await TOOLS.pin(pool, Window(0, 1), pin_reason(broken["raises"]))
    code, said = await anyio.to_thread.run_sync(ended, start())
    assert code == 0, said
    rows = {one.id: one for one in await storage.jobs(pool, 20)}
    assert rows[last].state == "done"
    assert {one.state for number, one in rows.items() if number != last} == {"failed"}
    assert "version 99, this program knows 1" in rows[wrong].reason
    assert "start: Field required" in rows[damaged].reason
    for name, words in (
        ("raises", "RuntimeError: it broke; that is a bug"),
        ("memory", "ran out of memory"),
        ("disk", "no disk space is left"),
        ("exits", "SystemExit: 3"),
        ("corrupt", "chunk 3 of recording 1 is damaged"),
    ):
        assert words in rows[broken[name]].reason
    assert all("\n" not in one.reason for one in rows.values())
    assert "RuntimeError" in said, "the log has the traceback"
    assert await pool.fetchval("SELECT count(*) FROM recording_pins") == 0


async def test_a_result_is_what_was_computed(pool: Pool, start: Start) -> None:
    one = await submit(pool, "quick")
    two = await submit(pool, "sweep", 3)
    await anyio.to_thread.run_sync(ended, start())
    row, result = await api.job(pool, one), await api.result(pool, one)
    assert isinstance(result, ReplayResult)
    assert row.headline is not None
    assert row.code is not None
    assert (row.state, row.decisions, row.headline["trading_valued"]) == ("done", result.decisions, "0.5")
    assert "arbitrade" in row.code
    row, found = await api.job(pool, two), await api.result(pool, two)
    assert isinstance(found, SweepResult)
    assert row.headline is not None
    assert (row.headline["variants"], row.headline["best"]) == (3, 0)
    assert [each.settings["paper.latency_ms"] for each in await api.variants(pool, two)] == ["0", "1", "2"]
    assert all(each.headline["plans"] == 2 for each in await api.variants(pool, two))


async def test_a_killed_worker_costs_no_job(pool: Pool, start: Start, until: Until) -> None:
    number = await submit(pool, "slow 1.5")
    first = start()
    row = await until(number, lambda row: row.state == "running" and row.progress and row.progress.share > 0)
    os.killpg(first.pid, signal.SIGKILL)
    start()
    done = await until(number, lambda row: row.ended)
    assert (done.state, done.attempts) == ("done", 2)
    assert done.worker != row.worker


async def test_a_job_that_kills_its_worker_fails_after_three_attempts(pool: Pool, start: Start, until: Until) -> None:
    number, last = await submit(pool, "killed"), await submit(pool, "quick")
    await TOOLS.pin(pool, Window(0, 1), pin_reason(number))
    for _ in range(3):
        code, _ = await anyio.to_thread.run_sync(ended, start())
        assert code == -signal.SIGKILL
    assert (await anyio.to_thread.run_sync(ended, start()))[0] == 0
    assert (await api.job(pool, number)).state == "failed"
    assert (await api.job(pool, last)).state == "done"
    assert await pool.fetchval("SELECT count(*) FROM recording_pins") == 0


def noted(computed: Path) -> list[int]:
    return [int(line) for line in computed.read_text().split()]


async def test_a_sweep_goes_on_where_it_was(pool: Pool, start: Start, until: Until, computed: Path) -> None:
    number = await submit(pool, "slow 0.1", 20)
    first = start()
    await until(number, lambda row: row.progress and row.progress.variants > 4)
    with anyio.fail_after(20):
        while len(await storage.variants(pool, number)) < 4:  # noqa: ASYNC110
            await anyio.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    stored = {each.number for each in await storage.variants(pool, number)}
    before = noted(computed)
    start()
    done = await until(number, lambda row: row.ended)
    again = noted(computed)[len(before) :]
    assert done.state == "done"
    assert not stored & set(again), "what was stored is not computed again"
    assert stored | set(again) == set(range(20))
    whole = await submit(pool, "quick", 20)
    await anyio.to_thread.run_sync(ended, start())
    assert (await api.job(pool, whole)).decisions == done.decisions


async def test_a_running_job_is_cancelled_within_a_second_or_a_chunk(pool: Pool, start: Start, until: Until) -> None:
    number, after = await submit(pool, "slow 10"), await submit(pool, "quick")
    start()
    row = await until(number, lambda row: row.progress and row.progress.share > 0)
    assert row.progress is not None
    assert row.progress.phase == "replaying"
    assert row.progress.eta_s is not None
    assert row.progress.frames > 0
    began = time.monotonic()
    found = await api.cancel(pool, number, TOOLS, "me")
    assert found.state == "running"
    done = await until(number, lambda row: row.ended)
    assert done.state == "cancelled"
    assert time.monotonic() - began < 6, "not the 10 s that it would have taken"
    assert (await until(after, lambda row: row.ended)).state == "done"


@pytest.mark.parametrize(("slots", "together"), [("1", 1), ("2", 2)])
async def test_no_more_jobs_run_than_are_allowed(pool: Pool, start: Start, slots: str, together: int) -> None:
    for _ in range(3):
        await submit(pool, "slow 10")
    workers = [start("--stay", BACKTEST__MAX_RUNNING=slots) for _ in range(3)]
    sessions = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'arbitrade backtest worker'"
        " AND datname = current_database()"
    )
    running = "SELECT count(*) FROM backtest_jobs WHERE state = 'running'"
    with anyio.fail_after(40):
        while await pool.fetchval(sessions) < len(workers) or await pool.fetchval(running) < together:  # noqa: ASYNC110
            await anyio.sleep(0.05)
    for _ in range(20):
        assert await pool.fetchval(running) == together
        await anyio.sleep(0.05)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert (await anyio.to_thread.run_sync(ended, worker))[0] == 0


@pytest.mark.parametrize("how", ["signal", "input"])
async def test_a_worker_that_has_to_go_gives_its_job_back(pool: Pool, start: Start, until: Until, how: str) -> None:
    number = await submit(pool, "slow 10")
    worker = start("--until-stdin-closes")
    await until(number, lambda row: row.progress and row.progress.share > 0)
    if how == "signal":
        worker.send_signal(signal.SIGTERM)
    code, said = await anyio.to_thread.run_sync(ended, worker)  # which closes its input
    assert code == 0, said
    row = await api.job(pool, number)
    assert (row.state, row.attempts) == ("queued", 0)


async def test_a_worker_whose_session_is_ended_leaves_the_job_to_the_next(
    pool: Pool, start: Start, until: Until
) -> None:
    number = await submit(pool, "slow 1.2")
    start()
    await until(number, lambda row: row.progress and row.progress.share > 0)
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'arbitrade backtest%'"
        " AND datname = current_database()"
    )
    done = await until(number, lambda row: row.ended)
    assert (done.state, done.attempts) == ("done", 2)


# --- beside a bot ---------------------------------------------------------------------------------------------------


def running(database: Database, alerts: list[Alert], **settings: bool) -> AbstractAsyncContextManager[None]:
    process = WorkerProcess(database.place.database, words=("-m", "tests.backtests.fake_worker"))
    return beside(database, BacktestSettings(**settings), alerts.append, lambda: 0, process=process, look_s=0.1)


async def test_a_bot_runs_what_is_queued_and_ends_with_its_worker(
    database: Database, pool: Pool, until: Until, setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    alerts: list[Alert] = []
    async with running(database, alerts):
        await until(await submit(pool, "quick"), lambda row: row.state == "done")
        number = await submit(pool, "slow 10")
        await until(number, lambda row: row.progress and row.progress.share > 0)
    row = await api.job(pool, number)
    assert (row.state, row.attempts) == ("queued", 0)
    assert alerts == []


async def test_a_bot_says_when_its_worker_fails(
    database: Database, pool: Pool, setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (setting | {"ARBITRADE_BACKTEST__NICE": "much"}).items():
        monkeypatch.setenv(name, value)
    alerts: list[Alert] = []
    await submit(pool, "quick")
    async with running(database, alerts):
        with anyio.fail_after(30):
            while not alerts:  # noqa: ASYNC110
                await anyio.sleep(0.05)
    (alert,) = alerts
    assert "ARBITRADE_BACKTEST__NICE is 'much'" in alert.text
    assert "trading goes on" in alert.text


async def test_a_bot_leaves_jobs_alone_when_it_is_told_to(database: Database, pool: Pool) -> None:
    number = await submit(pool, "quick")
    async with running(database, [], in_run=False):
        await anyio.sleep(0.5)
    assert (await api.job(pool, number)).attempts == 0
