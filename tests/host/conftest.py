"""One simulated exchange in a process of its own for all tests here, and bots that trade on it for real."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from arbitrade_core import runtime
from arbitrade_core.cli import main
from arbitrade_core.mode import Mode
from arbitrade_core.report import summary
from tests.host.bots import Bot, Process, Ran
from tests.platform.conftest import install, nothing_set, plugin, site

__all__ = ["install", "nothing_set", "plugin", "site"]

type Run = Callable[..., AbstractAsyncContextManager[Bot]]
type Start = Callable[..., Process]
type Command = Callable[..., Awaitable[Ran]]


@pytest.fixture(scope="session")
def exchange_url() -> Iterator[str]:
    """A small market full of opportunities that a bot can take."""
    command = [sys.executable, "-m", "arbitrade_kraken.simulator", "simulate", "--until-stdin-closes", "--port=0"]
    market = ["--pairs=14", "--rate=150", "--mispricings-per-s=8", "--size-bps-min=250", "--size-bps-max=480"]
    lives = ["--lifetime-ms-min=300", "--lifetime-ms-max=2000", "--json"]
    with subprocess.Popen(
        [*command, *market, *lives], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
        process.terminate()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="arb-host-") as folder:
        yield Path(folder)


@pytest.fixture
def setting(dsn: str, data_dir: Path, exchange_url: str) -> dict[str, str]:
    """What a bot that trades on the simulated exchange is told: impatient, so that seconds hold many plans."""
    return {
        "DATABASE_URL": dsn,
        "ARBITRADE_DATA_DIR": str(data_dir),
        "ARBITRADE_KRAKEN__WS_URL": exchange_url,
        "ARBITRADE_KRAKEN__FEE_TIER": "tier-1",
        "ARBITRADE_RISK__COOLDOWN_MS": "100",
        # The market is a wild one, and its losses are not what is tested here.
        "ARBITRADE_RISK__MAX_CONSECUTIVE_FAILURES": "50",
        "ARBITRADE_RISK__MAX_LOSS_PER_HOUR_VALUED": "100000",
        "ARBITRADE_RISK__MAX_LOSS_PER_DAY_VALUED": "100000",
        "ARBITRADE_RISK__MAX_UNWIND_LOSS_PER_DAY_VALUED": "100000",
        "ARBITRADE_RISK__MAX_DRAWDOWN_VALUED": "100000",
        "ARBITRADE_EXECUTION__LEG_BAN_S": "2",
        "ARBITRADE_LOG__LEVEL": "error",
    }


@pytest.fixture
def run(setting: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A paper session in this process: `async with run(ISOLATION__HANG_S="5") as bot`."""

    @asynccontextmanager
    async def running(*, resume: bool = False, **more: str) -> AsyncIterator[Bot]:
        with monkeypatch.context() as patch:
            for name, value in (setting | {f"ARBITRADE_{name}": value for name, value in more.items()}).items():
                patch.setenv(name, value)
            async with runtime.session(Mode.PAPER, resume=resume, status=summary) as session:
                yield Bot(session)
                # picows leaves the socket behind of a connection that is given up while it is being opened.
                with anyio.move_on_after(5):
                    while any(not one._opening.done() for one in _opened_by_picows(session)):  # noqa: ASYNC110
                        await anyio.sleep(0.01)

    return running


@pytest.fixture
def start(setting: dict[str, str], site: Path) -> Iterator[Start]:
    """An `arbitrade` command in a process of its own, with the plugins that the test installed."""
    begun: list[Process] = []

    def begin(*arguments: str, **more: str) -> Process:
        environment = os.environ | setting | {f"ARBITRADE_{name}": value for name, value in more.items()}
        places = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment |= {"PYTHONPATH": os.pathsep.join(places), "COLUMNS": "200"}
        begun.append(Process(arguments, environment))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()


@pytest.fixture
def arbitrade(
    setting: dict[str, str], site: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """An `arbitrade` command in this process, on a thread: `await arbitrade("plugins", "list")`."""

    async def run(*arguments: str) -> Ran:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["arbitrade", *arguments])
            for name, value in setting.items():
                patch.setenv(name, value)
            capfd.readouterr()
            code = await anyio.to_thread.run_sync(_code_of_main)
        printed = capfd.readouterr()
        return Ran(code, printed.out, printed.err)

    return run


def _code_of_main() -> int:
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _opened_by_picows(session: runtime.Session) -> list[Any]:
    return [one for one in session.shell._connections.values() if hasattr(one, "_opening")]
