"""A Dask cluster computes what a single process does, and says in words when it cannot."""

import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from arbitrade_core.replay.sweep import Cluster, Inline, Progress, SweepError
from arbitrade_core.replay.sweep.cluster import identity, refuse_others
from tests.replay.sweep import fakes
from tests.replay.sweep.conftest import local_cluster
from tests.replay.sweep.test_sweep import SPACE, Stopped, run, same


def test_it_computes_the_same_as_one_process(scheduler: Any) -> None:
    job = fakes.job(SPACE)
    told: list[Progress] = []
    found = run(job, Cluster(scheduler.scheduler_address), tell=told.append, per_group=3)
    assert same(found, run(job, Inline()))
    assert told[-1].variants == 16


def test_a_failure_there_is_told_here(scheduler: Any) -> None:
    job = fakes.job({"trading.min_edge_bps": ("2",)}, name="damaged")
    with pytest.raises(SweepError, match="variant 0 failed: chunk 4 of recording 1 is damaged"):
        run(job, Cluster(scheduler.scheduler_address))


def test_a_worker_that_dies_is_replaced_and_its_group_tried_again(tmp_path: Path) -> None:
    whole = run(fakes.job(SPACE))
    with local_cluster(2) as mortal:
        found = run(fakes.job(SPACE, name=f"die-once {tmp_path / 'died'}"), Cluster(mortal.scheduler_address))
    assert (tmp_path / "died").exists()
    assert found.decisions == whole.decisions


def test_a_recording_that_died_with_its_only_worker_is_shipped_again(tmp_path: Path) -> None:
    job = fakes.job({"trading.min_edge_bps": ("2", "5")}, name=f"die-once {tmp_path / 'died'}")
    with local_cluster(1) as alone:
        found = run(job, Cluster(alone.scheduler_address))
    assert (tmp_path / "died").exists()
    assert found.decisions == run(fakes.job({"trading.min_edge_bps": ("2", "5")})).decisions


def test_a_group_that_kills_every_worker_fails_the_sweep() -> None:
    with local_cluster(2) as mortal, pytest.raises(SweepError, match=r"variant 0 failed.*: .*(Killed|lost)"):
        run(fakes.job({"trading.min_edge_bps": ("2",)}, name="die"), Cluster(mortal.scheduler_address))


def test_it_does_not_wait_for_ever_for_workers_that_left(tmp_path: Path) -> None:
    job = fakes.job({"trading.min_edge_bps": ("2",)}, name=f"crawl {tmp_path}")
    with local_cluster(1, processes=False) as leaving:

        def leave(progress: Progress) -> None:
            if list(tmp_path.iterdir()) and leaving.workers:
                leaving.scale(0)

        with pytest.raises(SweepError, match=r"all Dask workers of .* have been gone for 1 s"):
            run(job, Cluster(leaving.scheduler_address, alone_s=1.0), tell=leave)


def test_a_cancelled_task_ends_at_its_next_chunk(scheduler: Any, tmp_path: Path) -> None:
    """Its thread cannot be killed, but it looks whether anybody still wants it."""

    def cancel(progress: Progress) -> None:
        if list(tmp_path.iterdir()):
            raise Stopped("enough")

    job = fakes.job({"trading.min_edge_bps": ("2",)}, name=f"crawl {tmp_path}")
    with pytest.raises(Stopped):
        run(job, Cluster(scheduler.scheduler_address), tell=cancel)
    until = time.monotonic() + 20
    while not (tmp_path / "unwanted").exists():
        assert time.monotonic() < until, "it went on"
        time.sleep(0.1)


def test_no_scheduler_is_said_in_words() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(SweepError, match=f"no Dask scheduler answers at {address} within 1 s"):
            run(fakes.job(SPACE), Cluster(address, reach_s=1.0))


def test_no_worker_is_said_in_words() -> None:
    empty = local_cluster(0)
    with empty, pytest.raises(SweepError, match="has no worker; start some with `dask worker"):
        run(fakes.job(SPACE), Cluster(empty.scheduler_address, reach_s=1.0))


def test_workers_with_other_code_are_refused() -> None:
    ours = identity()
    refuse_others(ours, {"tcp://one": dict(ours)})
    with pytest.raises(SweepError, match=r"worker tcp://two runs other code: Python 3\.9 instead of 3\.\d+; install"):
        refuse_others(ours, {"tcp://one": ours, "tcp://two": {**ours, "Python": "3.9"}})


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SweepError, match=r"pip install 'arbitrade\[dask\]'"):
        run(fakes.job(SPACE), Cluster("tcp://127.0.0.1:1"))
