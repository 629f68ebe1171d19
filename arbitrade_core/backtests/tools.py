"""What jobs are made with: the recording in the database, and the replay. Tests put others in."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from arbitrade_core.domain import Ns, Pair
from arbitrade_core.recording.entries import Chunk
from arbitrade_core.replay.driver import Tell
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage, DeskResult, ReplayResult
from arbitrade_core.replay.searched import SweepResult, Variant
from arbitrade_core.replay.stage import DeskWish
from arbitrade_core.replay.statistics import Window
from arbitrade_core.replay.sweep.sweep import TellProgress
from arbitrade_core.storage.connect import Pool

type Pairs = Sequence[str] | None
"""Symbols; None: all that were recorded."""


class Store(Protocol):
    """Where the variants of a sweep go. Called on the thread that searches."""

    def done(self) -> Mapping[int, DeskResult]: ...
    def save(self, variant: Variant, result: DeskResult) -> None: ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording says of itself."""

    start_ns: Ns
    end_ns: Ns
    """of its last entry"""
    source: str
    """run | record | demo | import"""
    settings: Mapping[str, str]
    """variables of its bot that differed from their defaults"""


@dataclass(frozen=True, slots=True)
class Tools:
    recorded: Callable[[Pool, int], Awaitable[Recorded | None]]
    """a recording; None: there is none of that number"""
    coverage: Callable[[Pool, Window, int | None, Pairs], Awaitable[Coverage]]
    chunks: Callable[[Pool, Window, int | None, Pairs], AsyncGenerator[Chunk]]
    pin: Callable[[Pool, Window, str], Awaitable[None]]
    """the days of the window stay, for this reason"""
    unpin: Callable[[Pool, str], Awaitable[None]]
    listing: Callable[[JobSpec, Iterable[Chunk]], list[Pair]]
    replay: Callable[[JobSpec, Sequence[DeskWish], Iterable[Chunk], Coverage, Tell], ReplayResult]
    sweep: Callable[
        [JobSpec, Callable[[], Iterable[Chunk]], Coverage, Store, TellProgress, Mapping[str, Any]], SweepResult
    ]
    """the last: the job's resources"""
