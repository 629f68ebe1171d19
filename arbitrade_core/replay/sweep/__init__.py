"""Sweeps: many variants of a job's settings on few replays of its recording.

`space` and `search`: what is tried, in which order. `work`, `spool`, `pool` and `cluster`: who computes it. `sweep`:
all of it together. `judge` and `heat`: which was best, and whether that means anything. `apply`: a variant as settings.
"""

from arbitrade_core.replay.sweep.apply import Application, Change, application
from arbitrade_core.replay.sweep.cluster import Cluster
from arbitrade_core.replay.sweep.pool import Inline, Pool, Processes
from arbitrade_core.replay.sweep.search import search_of
from arbitrade_core.replay.sweep.sweep import Progress, SweepStore, run_sweep
from arbitrade_core.replay.sweep.work import SweepError

__all__ = [
    "Application",
    "Change",
    "Cluster",
    "Inline",
    "Pool",
    "Processes",
    "Progress",
    "SweepError",
    "SweepStore",
    "application",
    "run_sweep",
    "search_of",
]
