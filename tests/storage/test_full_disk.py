"""A disk that is really full: what happens to recordings and to backtests, and that all goes on when there is room."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from arbitrade_core.events import Frame
from arbitrade_core.recording.entries import Gap
from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.connect import Database, Place, Pool
from tests.backtests.fakes import submit
from tests.database import url_of
from tests.recording.test_recorder import inputs, recording, stored
from tests.storage.tight_disk import TightDisk, database_on, server_of_its_own, small_disk

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("database_server"),  # skips, or fails in CI, where there is no PostgreSQL
]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Place, Path]]:
    with server_of_its_own() as made:
        yield made


@pytest.fixture
async def small(server: tuple[Place, Path]) -> AsyncIterator[tuple[Database, TightDisk]]:
    with small_disk() as root:
        async with database_on(root, *server) as database:
            yield database, TightDisk(root)


async def test_recording_stops_on_a_full_disk_and_goes_on_when_there_is_room(small: tuple[Database, TightDisk]) -> None:
    database, disk = small
    async with recording(database, chunk_s=0.1, waiting_bytes=100_000) as made:

        def hear_what_cannot_be_compressed() -> None:
            for _ in range(20):
                frame = Frame(1, os.urandom(2_000).hex().encode(), made.now())
                made.heard.append(frame)
                made.recorder.tap(frame)

        await made.until(lambda: made.recorder.view()["chunks"], hearing=5)
        disk.fill()
        with anyio.fail_after(60):
            while not made.recorder.dropped or "recording.stopped" not in made.topics():
                hear_what_cannot_be_compressed()
                await anyio.sleep(0.02)
        # What waits may have grown too much before the database was asked: then that was told first.
        assert made.topics() in (["recording.stopped"], ["recording.dropped", "recording.stopped"])
        assert "disk of the database is full" in made.alerts[-1].text
        assert "No space left on device" in made.alerts[-1].text
        disk.make_room()
        await made.until(lambda: "recording.back" in made.topics(), hearing=5)
    async with database.pool() as pool:
        got = await stored(pool)
    assert len(inputs(got)) + made.recorder.dropped == len(made.heard)
    assert sum(entry.dropped for entry in got if isinstance(entry, Gap)) == made.recorder.dropped


async def row(pool: Pool, number: int) -> storage.JobRow:
    found = await storage.job(pool, number)
    assert found is not None
    return found


def worker(database: Database, data_dir: Path) -> "subprocess.Popen[str]":
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ARBITRADE_", "PG_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.backtests.fake_worker"],
        env=ours | {"DATABASE_URL": url_of(database), "ARBITRADE_DATA_DIR": str(data_dir)},
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_a_backtest_whose_results_find_no_room_fails_with_the_reason_and_the_queue_goes_on(
    small: tuple[Database, TightDisk], tmp_path: Path
) -> None:
    database, disk = small
    async with database.pool() as pool:
        large, next_one = await submit(pool, "slow 0.05", 400), await submit(pool, "quick")
        with worker(database, tmp_path) as working, anyio.fail_after(60):
            while not await storage.variants(pool, large):  # noqa: ASYNC110 - the database tells nobody
                await anyio.sleep(0.05)
            disk.fill()
            while (await row(pool, large)).state == "running":  # noqa: ASYNC110
                await anyio.sleep(0.05)
            failed = await row(pool, large)
            disk.make_room()
            await anyio.to_thread.run_sync(working.communicate)
        assert failed.state == "failed"
        assert "No space left on device" in failed.reason
        assert working.returncode == 0
        assert (await row(pool, next_one)).state == "done"


async def test_on_a_full_disk_no_backtest_is_begun_and_none_is_lost(
    small: tuple[Database, TightDisk], tmp_path: Path
) -> None:
    database, disk = small
    async with database.pool() as pool:
        number = await submit(pool, "sweep", 3_000)  # its row alone fills a page
        disk.fill()
        with worker(database, tmp_path) as working:
            _, said = await anyio.to_thread.run_sync(working.communicate)
        assert working.returncode == 2
        assert "no disk space left" in said
        assert (await row(pool, number)).state == "queued"
        disk.make_room()
        with worker(database, tmp_path) as working:
            await anyio.to_thread.run_sync(working.communicate)
        assert working.returncode == 0
        assert (await row(pool, number)).state == "done"
