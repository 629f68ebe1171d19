"""Whatever the shadow's process does, the bot goes on: one error at the start, one alert later, never a wait."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
import pytest

from arbitrade_core.domain import Alert
from arbitrade_core.errors import ArbitradeError, SettingsError
from arbitrade_core.events import Tick
from arbitrade_core.shadow import process
from arbitrade_core.shadow.leader import Shadow
from arbitrade_core.shell import Shell
from tests.shadow.processes import READY, a_hello, environment, python

pytestmark = pytest.mark.anyio


class Bot:
    """A bot as far as a shadow sees it: time passes, alerts are told."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.taps: list[Callable[[Any], None]] = []
        self.now = 1_700_000_000_000_000_000
        self.engine = self
        self.candidates = 0

    def clock(self) -> int:
        return self.now

    def notify(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 1_000_000
            for tap in self.taps:
                tap(Tick(self.now))

    def tap(self, tap: Callable[[Any], None]) -> None:
        self.taps.append(tap)

    def untap(self, tap: Callable[[Any], None]) -> None:
        self.taps.remove(tap)


def shadow(interpreter: Path, **settings: str) -> tuple[Shadow, AbstractAsyncContextManager[Shadow]]:
    one = Shadow(interpreter, environment(**settings), furthest_behind=1_000)
    return one, one.beside(a_hello(), {"arbitrade": "0.1.0"})


async def until(happened: Callable[[], Any], within_s: float = 20.0) -> None:
    with anyio.fail_after(within_s):
        while not happened():  # noqa: ASYNC110 - threads and processes have no event
            await anyio.sleep(0.01)


def attached(one: Shadow) -> Bot:
    bot = Bot()
    one.attach(cast(Shell, bot), None)
    return bot


# --- that do not start ---


async def test_a_path_that_is_no_interpreter_is_one_clear_error(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Permission denied")):
        _, running = shadow(path)
        with pytest.raises(SettingsError, match=f"--shadow {path} cannot be run: {why}"):
            async with running:
                pass


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sys.exit('No module named arbitrade_core.shadow')", "ended with code 1: No module named arbitrade_core"),
        ("out.write(b'Welcome to the shell')\nout.flush()\ntime.sleep(60)", "spoke what we do not understand"),
        ("time.sleep(60)", "was not ready within 1 s"),
    ],
    ids=["without-us", "garbage", "silent"],
)
async def test_what_does_not_start_is_one_clear_error(
    tmp_path: Path, text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "not ready" in words:
        monkeypatch.setattr(process, "READY_S", 1.0)
    _, running = shadow(python(tmp_path, "python", text))
    with pytest.raises(ArbitradeError, match=f"did not start: .*{words}"):
        async with running:
            pass


async def test_one_that_is_gone_at_once_is_one_clear_error() -> None:
    for _ in range(20):  # it may be gone before all of our threads run
        _, running = shadow(Path("/bin/false"))
        with pytest.raises(ArbitradeError, match="did not start: its process ended with code 1: it said nothing"):
            async with running:
                pass


async def test_a_version_that_speaks_otherwise_says_so() -> None:
    one = Shadow(Path(sys.executable), environment())
    later = msgspec.structs.replace(a_hello(), schema=99)
    with pytest.raises(ArbitradeError, match=r"there speaks schema 1 .*the bot 99"):
        async with one.beside(later, {}):
            pass


async def test_settings_that_are_wrong_there_say_so() -> None:
    _, running = shadow(Path(sys.executable), ARBITRADE_PAPER__LATENCY_MS="soon")
    with pytest.raises(ArbitradeError, match="ARBITRADE_PAPER__LATENCY_MS is 'soon'"):
        async with running:
            pass


# --- that start ---


async def test_it_starts_catches_up_and_leaves_nothing_behind() -> None:
    one, running = shadow(Path(sys.executable), ARBITRADE_TRADING__FUTURE="1", ARBITRADE_NEXT="2")
    async with running:
        bot = attached(one)
        bot.tick(500)
        await until(lambda: one.report()["through_seq"] == 500)
        bot.tick(7)
    report = one.report()
    assert report["unknown_settings"] == ["ARBITRADE_NEXT", "ARBITRADE_TRADING__FUTURE"]
    assert report["shadow_versions"]["plugin triangular"]
    assert (report["inputs"], report["through_seq"], report["behind"], report["ended"]) == (507, 507, 0, None)
    assert bot.alerts == []
    assert one._process._process is not None
    assert one._process._process.returncode == 0


async def test_one_that_is_killed_is_told_and_fed_no_more() -> None:
    one, running = shadow(Path(sys.executable))
    async with running:
        bot = attached(one)
        bot.tick(10)
        await until(lambda: one.report()["through_seq"] == 10)
        assert one._process._process is not None
        os.kill(one._process._process.pid, signal.SIGKILL)
        await until(lambda: bot.alerts)
        bot.tick(500)
        await until(lambda: not bot.taps)
        bot.tick(500)
    (alert,) = bot.alerts
    assert alert.topic == "shadow.ended"
    assert "ended with code -9" in alert.text
    assert "ended with code -9" in one.report()["ended"]


@pytest.mark.parametrize(
    ("text", "ticks", "words"),
    [
        ("out.write(b'Segmentation fault')\nout.flush()\ntime.sleep(60)", 1, "spoke what we do not understand"),
        ("time.sleep(60)", 500, "fell behind by more than 1000 inputs"),
        ("import os\nos.close(0)\ntime.sleep(60)", 500, "fell behind by more than 1000 inputs"),
        ("raise RuntimeError('lost')", 1, "ended with code 1: RuntimeError: lost"),
        ("out.write(framed(Failed(3, 'odd')))\nout.flush()\ntime.sleep(60)", 1, "it failed at input 3: odd"),
    ],
    ids=["garbage", "hangs", "deaf", "raises", "fails"],
)
async def test_one_that_misbehaves_is_ended_alone_with_one_alert(
    tmp_path: Path, text: str, ticks: int, words: str
) -> None:
    one, running = shadow(python(tmp_path, "python", READY + text))
    async with running:
        bot = attached(one)

        def told() -> bool:
            bot.tick(ticks)
            return bool(bot.alerts)

        await until(told)
    (alert,) = bot.alerts
    assert words in alert.text


async def test_the_end_does_not_wait_for_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FINISH_S", 0.3)
    one, running = shadow(python(tmp_path, "python", READY + "time.sleep(60)"))
    async with running:
        attached(one).tick(3)
    assert one.report()["ended"] == "it did not catch up within 0 s of the end"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes by /proc")
async def test_it_does_not_outlive_a_bot_that_was_killed(tmp_path: Path) -> None:
    bot = (
        "import sys, time\nfrom pathlib import Path\nfrom tests.shadow.processes import a_hello, environment\n"
        "from arbitrade_core.shadow.leader import Shadow\n"
        "one = Shadow(Path(sys.executable), environment())\none._process.begin(a_hello())\n"
        "print(one._process._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    async with await anyio.open_process([sys.executable, "-c", bot], cwd=Path(__file__).parents[2]) as process_of_bot:
        assert process_of_bot.stdout is not None
        pid = int((await process_of_bot.stdout.receive()).split()[0])
        process_of_bot.kill()
    await until(lambda: not _runs(pid), 10.0)


def _runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_the_tap_never_waits(tmp_path: Path) -> None:
    """Not a time of ours, but that a pipe nobody reads does not stop it: it would stop for good."""
    one = Shadow(python(tmp_path, "python", READY + "time.sleep(60)"), environment())
    async with one.beside(a_hello(), {}):
        bot = attached(one)
        began = time.monotonic()
        bot.tick(20_000)
        assert time.monotonic() - began < 60
        one._process.end("the test is over")
