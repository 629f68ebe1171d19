"""Workers as processes of their own, on the test's database."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.backtest_ownership import Ownership, owning
from arbitrade_core.storage.backtests import JobRow
from arbitrade_core.storage.connect import Database, Pool
from tests.backtests.fakes import LOG

WAIT_S = 40.0

type Worker = subprocess.Popen[str]
type Start = Callable[..., Worker]
type Until = Callable[[int, Callable[[JobRow], object]], Awaitable[JobRow]]


@pytest.fixture
def computed(tmp_path: Path) -> Path:
    """Where workers note each variant that they compute."""
    return tmp_path / "computed"


@pytest.fixture
def setting(dsn: str, tmp_path: Path, computed: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ARBITRADE_", "PG_"))}
    return ours | {"DATABASE_URL": dsn, "ARBITRADE_DATA_DIR": str(tmp_path / "data"), LOG: str(computed)}


@pytest.fixture
def start(setting: dict[str, str]) -> Iterator[Start]:
    """A worker: `start("--stay", BACKTEST__MAX_RUNNING="2")`."""
    begun: list[Worker] = []

    def begin(*arguments: str, **more: str) -> Worker:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.backtests.fake_worker", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=setting | {f"ARBITRADE_{name}": value for name, value in more.items()},
                start_new_session=True,
            )
        )
        return begun[-1]

    yield begin
    for worker in begun:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()


@pytest.fixture
def until(pool: Pool) -> Until:
    """Wait until a job's row is as wanted."""

    async def wait(number: int, happened: Callable[[JobRow], object]) -> JobRow:
        with anyio.move_on_after(WAIT_S):
            while True:
                row = await storage.job(pool, number)
                assert row is not None
                if happened(row):
                    return row
                await anyio.sleep(0.05)
        raise AssertionError(f"it did not happen in time: {await storage.job(pool, number)}")

    return wait


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Ownership]:
    async with owning(database, f"test:{time.monotonic_ns()}") as session:
        yield session


def ended(worker: Worker) -> tuple[int, str]:
    """Its exit code, and what it said."""
    _, errors = worker.communicate(timeout=WAIT_S)
    return worker.returncode, errors
