"""A plugin that never returns: the process ends, says where, and starts again without it."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from arbitrade_core.host.watchdog import Hang, Watchdog, forget_hang, last_hang, owner_of_files
from arbitrade_core.plugins.catalogue import installed
from tests.host.bots import journal, plugin_states, toggles
from tests.host.conftest import Run, Start
from tests.host.test_hostile import HEAD

pytestmark = pytest.mark.anyio

type Plugin = Callable[..., Path]

HANG_S = "3"
EXIT_HUNG = 70
DETECTOR = "class D(Quiet):\n    def on_change(self, *a): {hang}\n"
DETECTORS = "@hookimpl\ndef register_detectors(ctx): return [D('stuck')]\n"
CHECK = """
class Check:
    name = "stuck_check"
    def check(self, plan, desk, now): {hang}
@hookimpl
def register_risk_checks(ctx): return [Check()]
"""
BYSTANDER = """
import threading, time
def idle():
    while True: time.sleep(60)
threading.Thread(target=idle, daemon=True).start()
"""
IN_PYTHON = "time.sleep(600)"
IN_C = "import ctypes; ctypes.PyDLL(None).sleep(600)"


async def test_a_plugin_that_hangs_is_quarantined_at_the_next_start_and_gets_another_chance(
    start: Start, plugin: Plugin, dsn: str
) -> None:
    plugin("stuck", HEAD + DETECTOR.format(hang=IN_PYTHON) + DETECTORS)
    hung = start("run", ISOLATION__HANG_S=HANG_S)
    assert hung.ended() == EXIT_HUNG
    assert "plugin 'stuck'" in hung.errors
    assert "on_change" in hung.errors, "the stack is logged"

    again = start("run", ISOLATION__HANG_S=HANG_S)
    again.listens()
    again.process.send_signal(signal.SIGSTOP)
    await anyio.sleep(float(HANG_S) + 0.7)
    again.process.send_signal(signal.SIGCONT)
    listed = start("plugins", "list", "--json")
    assert listed.ended() == 0, "a process that was stopped for a while does not hang"
    states = {entry["name"]: entry["state"] for entry in listed.answer()}
    assert (states["stuck"], states["triangular"]) == ("quarantined", "enabled")
    assert await plugin_states(dsn) == {"stuck": "quarantined"}
    with anyio.fail_after(30):  # it trades in between
        while not await journal(dsn, "plan", "paper"):  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.1)
    enabled = start("plugins", "enable", "stuck")
    assert again.ended() == EXIT_HUNG, "another chance, used as badly"
    enabled.ended()
    assert (await toggles(dsn, "stuck"))[0][0] == "quarantined"


async def test_a_hang_in_c_that_keeps_the_lock_is_ended_too_and_nobody_else_is_blamed(
    start: Start, plugin: Plugin, data_dir: Path, dsn: str
) -> None:
    plugin("stuck", HEAD + CHECK.format(hang=IN_C))
    plugin("bystander", HEAD + BYSTANDER)  # its idle thread stands in the dump, before the trading thread
    hung = start("run", ISOLATION__HANG_S=HANG_S)
    assert hung.ended() == 1
    assert "stuck_check" in (data_dir / "hung.txt").read_text()
    again = start("run", "--seconds=1", "--json", ISOLATION__HANG_S=HANG_S)
    assert again.ended() == 0, again.errors
    assert await plugin_states(dsn) == {"stuck": "quarantined"}
    (said,) = await journal(dsn, "plugin")
    assert "hung" in said["reason"]
    assert [name for name in os.listdir(data_dir) if name.startswith("hung")] == [], "told once"  # noqa: PTH208


async def test_without_a_risk_check_that_hung_nothing_trades(
    run: Run, plugin: Plugin, data_dir: Path, dsn: str
) -> None:
    plugin("stuck", HEAD + CHECK.format(hang=IN_PYTHON))
    (data_dir / "hung.json").write_text('{"plugin":"stuck","stack":"check","checks":["stuck_check"]}')
    for _ in range(2):  # and it stays so
        async with run() as bot:
            assert bot.state("stuck") == "quarantined"
            await bot.refuses("stuck_check")
            assert bot.approved == 0
    async with run() as bot:
        await bot.until(lambda: bot.refusals.get("stuck_check", 0) >= 2)
        await bot.ask("plugins.disable", "stuck")
        await bot.trades()
    assert await plugin_states(dsn) == {"stuck": "disabled"}


def test_a_dump_blames_the_owner_of_the_trading_threads_innermost_frame(tmp_path: Path, plugin: Plugin) -> None:
    site = plugin("guilty", HEAD)
    plugin("idle", HEAD)
    guilty, idle = (site / f"mod_dist_{name}_{name}.py" for name in ("guilty", "idle"))
    dump = (
        '{{"thread":4660,"checks":{{"guilty":["picky"]}}}}\nTimeout (0:00:04)!\n'
        'Thread 0x0000000000000099 (most recent call first):\n  File "{idle}", line 3 in idle\n\n'
        'Thread 0x0000000000001234 (most recent call first):\n  File "/x/time.py", line 1 in sleep\n'
        '  File "{guilty}", line 7 in check\n  File "{idle}", line 9 in calls\n'
    )
    (tmp_path / "hung.txt").write_text(dump.format(idle=idle, guilty=guilty))
    found = last_hang(tmp_path, owner_of_files(installed()))
    assert found is not None
    assert (found.plugin, found.checks) == ("guilty", ("picky",))
    assert last_hang(tmp_path, owner_of_files(installed()), demo=True) is None, "a demo's is its own"
    forget_hang(tmp_path)
    assert last_hang(tmp_path, owner_of_files(installed())) is None


@pytest.mark.parametrize("left", ["", "{", '{"thread":1,"checks":{}}\n', "\x00\xff garbage", '{"plugin":5}'])
def test_what_a_killed_process_left_behind_blames_nobody(tmp_path: Path, left: str) -> None:
    (tmp_path / "hung.txt").write_text(left)
    (tmp_path / "hung.json").write_text(left)
    assert last_hang(tmp_path, lambda file: "anybody") is None


def test_a_watchdog_of_a_loop_that_beats_leaves_nothing_behind(tmp_path: Path) -> None:
    beats = iter(range(10**9))
    before = threading.active_count()
    watchdog = Watchdog(lambda: next(beats), 1.0, tmp_path, lambda file: None, checks=lambda: {"a": ("b",)})
    watchdog.start()
    time.sleep(0.3)
    assert '"a":["b"]' in (tmp_path / "hung.txt").read_text()
    watchdog.stop()
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == before


def test_a_note_names_the_plugin_and_its_checks(tmp_path: Path) -> None:
    (tmp_path / "hung.json").write_text('{"plugin":"mine","stack":"here","checks":["picky"]}')
    assert last_hang(tmp_path, lambda file: None) == Hang("mine", "here", ("picky",))


async def test_a_loop_that_is_kept_busy_by_frames_does_not_hang(run: Run) -> None:
    """A transport may hand on thousands in one go. Were it taken for a hang, this process would end."""
    async with run(ISOLATION__HANG_S=HANG_S) as bot:
        await bot.trades()
        shell = bot.session.shell
        conn, frames = next(iter(shell._connections)), bot.session.engine.frames
        until = time.monotonic() + 2 * float(HANG_S)
        while time.monotonic() < until:
            shell.on_frame(conn, b'{"channel":"heartbeat"}')
        assert bot.session.engine.frames > frames
