"""Seeded sessions with faults: what holds for every seed, and that a seed gives the same run in any process.

ARBITRADE_TEST_RUNS is the number of seeds.
"""

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.engine.sessions import OPENING, Session
from tests.engine.watched import (
    assert_appearances_are_whole,
    assert_books_add_up,
    assert_flat,
    assert_funnel_adds_up,
)

RUNS = int(os.environ.get("ARBITRADE_TEST_RUNS", "20"))
ROOT = Path(__file__).parents[2]


@cache
def session(seed: int) -> Session:
    """Run once; sent once, after a durable intent, and incremental as brute force are asserted on the way."""
    return Session(seed).run()


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_session_with_faults_ends_flat_with_books_that_add_up(seed: int) -> None:
    world = session(seed).world
    assert_flat(world)
    assert_books_add_up(world, OPENING)
    assert_funnel_adds_up(world)
    assert_appearances_are_whole(world)
    assert world.desk.conductor.approved == len(world.told("plan"))
    assert not [alert for alert in world.alerts if alert.topic in ("execution.certificate", "ledger.rounding")]
    halts = world.told("desk_halt")
    assert all("no way home" in halt.data["reason"] for halt in halts), "no halt but for a loss beyond the cap"
    assert bool(halts) == any(end.data["outcome"] == "stuck" for end in world.told("end"))


def test_the_sessions_together_meet_every_fault_and_every_outcome() -> None:
    """Or the promises above were kept because nothing happened."""
    happened: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for seed in range(RUNS):
        happened += session(seed).happened
        world = session(seed).world
        outcomes += Counter(end.data["outcome"] for end in world.told("end"))
        outcomes["dropped"] += len(world.told("drop"))
        outcomes["quarantined"] += len(world.told("quarantine"))
    if RUNS >= 20:
        assert len(happened) == 14, happened
        assert all(outcomes[kind] for kind in ("completed", "unwound", "missed", "dropped"))
        assert outcomes["quarantined"]


def test_reliability_11_a_seed_gives_the_same_journal_in_any_process() -> None:
    half = max(1, RUNS // 2)
    processes = [elsewhere(first, last, hash_seed) for first, last, hash_seed in ((0, half, "1"), (half, RUNS, "2"))]
    lines = [line for process in processes for line in finished(process).splitlines()]
    here = [
        f"{seed} " + " ".join(f"{stream}={chain.hex()}" for stream, chain in sorted(session(seed).world.hashes.items()))
        for seed in range(RUNS)
    ]
    assert lines == here


def elsewhere(first: int, last: int, hash_seed: str) -> subprocess.Popen[str]:
    """The seeds in a process of its own, with another order of sets and dicts of text."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.engine.sessions", str(first), str(last)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return out
