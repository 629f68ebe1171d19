"""A sweep gives the same whoever computes it, in how many pieces, and with how many breaks."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from arbitrade_core.errors import ArbitradeError, SettingsError, StorageError
from arbitrade_core.recording.entries import Chunk
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import DeskResult
from arbitrade_core.replay.searched import SweepResult, Variant
from arbitrade_core.replay.sweep import Inline, Pool, Processes, Progress, SweepError, run_sweep
from arbitrade_core.replay.sweep.spool import spooled
from arbitrade_core.replay.sweep.sweep import TellProgress
from arbitrade_core.replay.sweep.work import TRIES, Failure, Task, attempt
from tests.replay.sweep import fakes
from tests.replay.sweep.fakes import Store

SPACE = {"trading.min_edge_bps": ("2", "5", "8", "11"), "paper.latency_ms": ("5", "50"), "kraken.depth": ("10", "25")}


class Stopped(ArbitradeError):
    """Somebody wants the sweep to end."""


def run(
    job: JobSpec,
    pool: Pool | None = None,
    store: Store | None = None,
    tell: TellProgress = fakes.silent,
    per_group: int = 250,
) -> SweepResult:
    return run_sweep(
        job,
        fakes.chunks,
        fakes.coverage(),
        store or Store(),
        tell,
        pool or Inline(),
        replay=fakes.replay,
        per_group=per_group,
    )


def same(one: SweepResult, two: SweepResult) -> bool:
    """In everything but the time it took."""
    return msgspec.structs.replace(one, took_s=0.0) == msgspec.structs.replace(two, took_s=0.0)


@pytest.fixture(scope="module")
def whole() -> SweepResult:
    return run(fakes.job(SPACE))


def test_every_variant_is_what_a_run_of_it_alone_is(whole: SweepResult) -> None:
    assert len(whole.variants) == 16
    for variant, desk in list(zip(whole.variants, whole.desks, strict=True))[::4]:
        alone = run(fakes.job({path: (text,) for path, text in variant.settings.items()}))
        assert alone.desks[0].decisions == desk.decisions
        assert desk.settings == variant.settings
        assert desk.name == str(variant.number)


@pytest.mark.parametrize("per_group", [1, 5])
def test_the_cutting_into_groups_changes_nothing(whole: SweepResult, per_group: int) -> None:
    assert same(run(fakes.job(SPACE), per_group=per_group), whole)


def test_computing_in_processes_changes_nothing(whole: SweepResult) -> None:
    assert same(run(fakes.job(SPACE), Processes(2)), whole)


@pytest.mark.parametrize("method", ["grid", "random", "adaptive"])
def test_a_sweep_that_is_broken_off_goes_on_as_if_it_had_not_been(method: str) -> None:
    space = {"trading.min_edge_bps": fakes.span(1, 15, "0.5"), "paper.latency_ms": ("5", "20", "80")}
    job = fakes.job(space, spec={"method": method, "batch": 8, "variants": None if method == "grid" else 30})
    whole = run(job)

    class Breaks(Store):
        def save(self, variant: Variant, result: DeskResult) -> None:
            if len(self.saved) == 13:
                raise Stopped("the power is gone")
            super().save(variant, result)

    broken = Breaks()
    with pytest.raises(Stopped):
        run(job, store=broken, per_group=4)
    assert len(broken.kept) == 13
    again = Store(broken.kept)
    assert same(run(job, store=again, per_group=5), whole)
    assert not {*again.saved} & {*broken.kept}
    assert {*again.saved} | {*broken.kept} == {variant.number for variant in whole.variants}
    finished = Store(again.kept)
    assert same(run(job, store=finished), whole)
    assert finished.saved == []


def test_what_is_stored_must_be_of_this_sweep(whole: SweepResult) -> None:
    other = msgspec.structs.replace(whole.desks[0], settings={"trading.min_edge_bps": "99"})
    with pytest.raises(SweepError, match="variant 0 is stored with other settings"):
        run(fakes.job(SPACE), store=Store({0: other}))
    stale = {number: msgspec.structs.replace(desk, decisions="0" * 64) for number, desk in enumerate(whole.desks)}
    with pytest.raises(SweepError, match="decides otherwise than when it was stored"):
        run(fakes.job(SPACE), store=Store(stale))


def test_adaptive_batches_do_not_depend_on_the_processes() -> None:
    space = {"trading.min_edge_bps": fakes.span(0, 20), "risk.max_open_plans": ("1", "2", "3")}
    job = fakes.job(space, spec={"method": "adaptive", "variants": 30, "batch": 15})
    here = run(job)
    assert same(run(job, Processes(2)), here)
    late = [abs(float(variant.settings["trading.min_edge_bps"]) - 7) for variant in here.variants[15:]]
    early = [abs(float(variant.settings["trading.min_edge_bps"]) - 7) for variant in here.variants[:15]]
    assert sum(late) < sum(early), "it should look where the fake earns most"


def test_nothing_runs_when_what_is_searched_is_wrong() -> None:
    def never() -> Iterator[Chunk]:
        raise AssertionError
        yield

    job = fakes.job({"trading.min_edge_bp": ("5",)})
    with pytest.raises(SettingsError, match=r"Did you mean trading\.min_edge_bps"):
        run_sweep(job, never, fakes.coverage(), Store(), fakes.silent, Inline(), replay=fakes.replay)


# --- workers that fail -------------------------------------------------------------------------------------------


def test_a_group_whose_worker_died_is_tried_again(whole: SweepResult, tmp_path: Path) -> None:
    job = fakes.job(SPACE, name=f"die-once {tmp_path / 'died'}")
    found = run(job, Processes(2))
    assert (tmp_path / "died").exists()
    assert found.decisions == whole.decisions


def test_a_worker_that_always_dies_fails_the_sweep_with_the_reason() -> None:
    job = fakes.job({"trading.min_edge_bps": ("2", "5")}, name="die")
    with pytest.raises(SweepError, match=rf"variants 0 to 1 failed, {TRIES} times: .* killed by SIGKILL; .* memory"):
        run(job, Processes(1))


@pytest.mark.parametrize(
    ("name", "words", "again"),
    [
        ("damaged", "chunk 4 of recording 1 is damaged: its SHA-256 differs", False),
        ("bug", r"KeyError: 'no such thing' \(line \d+ of tests.replay.sweep.fakes\)", False),
        ("wrong", "desk '0': trading.min_edge_bps is wrong; so is another", False),
        ("memory", "MemoryError: .*", True),
    ],
)
def test_errors_travel_as_words_and_say_whether_another_try_may_help(name: str, words: str, again: bool) -> None:
    job = fakes.job(name=name)
    task = Task(0, job.model_dump_json().encode(), (Variant(0, {}),), fakes.coverage())
    found = attempt(task, fakes.chunks(), fakes.replay, lambda now, frames: None)
    assert isinstance(found, Failure)
    assert re.fullmatch(words, found.reason)
    assert found.again is again


def test_an_error_that_will_come_again_is_told_at_once() -> None:
    with pytest.raises(SweepError, match="variant 0 failed: chunk 4 of recording 1 is damaged"):
        run(fakes.job({"trading.min_edge_bps": ("2",)}, name="damaged"), Processes(1))


def test_a_cancelled_sweep_ends_its_workers_within_a_second(tmp_path: Path) -> None:
    job = fakes.job(SPACE, name=f"hang {tmp_path}")

    def cancel(progress: Progress) -> None:
        if len(list(tmp_path.iterdir())) == 2:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        run(job, Processes(2), tell=cancel)
    assert not [each for each in tmp_path.iterdir() if _lives(int(each.name))]


MAIN = """
import signal
import sys
from tests.replay.sweep import fakes
from arbitrade_core.replay.sweep import Processes, run_sweep
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started deaf to it
    job = fakes.job({"trading.min_edge_bps": ("2",)}, name=f"crawl {sys.argv[1]}")
    run_sweep(job, fakes.chunks, fakes.coverage(), fakes.Store(), fakes.silent, Processes(1), replay=fakes.replay)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_its_sweep(tmp_path: Path, how: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches every process of a terminal's group; kill -9 the coordinator alone."""
    script = tmp_path / "sweep_main.py"
    script.write_text(MAIN)
    said = tmp_path / "said"
    said.mkdir()
    room = tmp_path / "room"
    room.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TMPDIR": str(room)}
    command = [sys.executable, str(script), str(said)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _until(lambda: len(list(said.iterdir())) == 1)
        workers = [int(each.name) for each in said.iterdir()]
        if how is signal.SIGINT:
            os.killpg(process.pid, how)
        else:
            os.kill(process.pid, how)
        _, errors = process.communicate(timeout=20)
        _until(lambda: not any(map(_lives, workers)))
    finally:
        process.kill()
    assert process.returncode != 0
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    with spooled(fakes.chunks(), lambda frames: None) as spool, spooled(fakes.chunks(), lambda frames: None) as other:
        assert {*room.iterdir()} == {spool.path.parent, other.path.parent}, "what is left goes, what is used stays"
    assert not [*room.iterdir()]
    if how is signal.SIGINT:
        assert errors.count("Traceback") <= 1, "workers say nothing of an interrupt that is not theirs"


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until, "it did not come to pass within 30 s"
        time.sleep(0.05)


# --- progress ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", [Inline(), Processes(2)], ids=["inline", "processes"])
def test_progress_only_grows_and_ends_whole(pool: Pool) -> None:
    told: list[Progress] = []
    run(fakes.job(SPACE), pool, tell=told.append)
    assert [each.phase for each in told] == sorted((each.phase for each in told), key=_order)
    replaying = [each for each in told if each.phase != "reading"]
    for one, two in pairwise(replaying):
        assert one.share <= two.share
        assert one.frames <= two.frames
        assert one.variants <= two.variants
    assert replaying[-1].share == 1.0
    assert replaying[-1].variants == replaying[-1].of_variants == 16
    assert {each.of_variants for each in told} == {16}
    assert json.loads(msgspec.json.encode(told[-1]))["phase"] == "judging"


def _order(phase: str) -> int:
    return ["reading", "replaying", "judging"].index(phase)


def test_what_is_left_is_told_from_the_frames_so_far() -> None:
    told: list[Progress] = []
    run(fakes.job(SPACE), tell=told.append, per_group=2)
    measured = [each for each in told if each.phase == "replaying" and each.eta_s is not None]
    assert measured
    assert measured[-1].eta_s == 0.0
    assert all(each.frames_per_s for each in measured)


# --- the recording on its way -----------------------------------------------------------------------------------


def test_the_recording_is_read_once(whole: SweepResult) -> None:
    times = 0

    def counted() -> Iterator[Chunk]:
        nonlocal times
        times += 1
        yield from fakes.chunks()

    job = fakes.job(SPACE)
    found = run_sweep(job, counted, fakes.coverage(), Store(), fakes.silent, Inline(), replay=fakes.replay, per_group=4)
    assert times == 1
    assert same(found, whole)
    assert found.market.frames == fakes.CHUNKS * fakes.FRAMES


def test_a_recording_for_which_there_is_no_room_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(prefix: str) -> Iterator[str]:
        (tmp_path / "chunks").symlink_to("/dev/full")
        yield str(tmp_path)

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(StorageError, match=r"does not fit into .*: No space left on device after 0 frames; .* TMPDIR"):
        run(fakes.job(SPACE))
