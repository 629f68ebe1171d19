"""What a worker is given and what it gives back: a group of variants that share one replay, as data.

It needs no database, no settings and no other worker: the task, the recorded chunks, and the code.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ArbitradeError, SettingsError
from arbitrade_core.recording.entries import Chunk
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage, DeskResult, MarketResult, ReplayResult
from arbitrade_core.replay.searched import Variant
from arbitrade_core.replay.stage import DeskWish
from arbitrade_core.replay.sweep.space import desk_side, market_side, with_market

PER_GROUP = 250
"""Most variants of one replay: what they hold stays within some hundred MB."""
TRIES = 3
"""of a group whose worker dies"""

ONCE: Mapping[str, str] = {"risk.once_per_appearance": "true"}
"""As a backtest's headline does: a recorded mispricing survives our fills (TRADING 32)."""

type Tell = Callable[[Ns, int], None]
type Run = Callable[[JobSpec, Sequence[DeskWish], Iterable[Chunk], Coverage, Tell], ReplayResult]
"""`driver.replay`, or what stands for it; workers of other processes import it by its name."""


class SweepError(ArbitradeError):
    """A sweep could not be computed; the message says which variants, and why."""


class Task(msgspec.Struct, frozen=True):
    """Variants whose market's side is the same."""

    number: int
    job: bytes
    """JSON of its JobSpec, with that market's side"""
    variants: tuple[Variant, ...]
    coverage: Coverage

    @property
    def words(self) -> str:
        first, last = self.variants[0].number, self.variants[-1].number
        return f"variant {first}" if first == last else f"variants {first} to {last}"


class Answer(msgspec.Struct, frozen=True, tag=True):
    """All of a task's results."""

    desks: tuple[DeskResult, ...]
    """in order of its variants"""
    market: MarketResult
    took_s: float


class Failure(msgspec.Struct, frozen=True, tag=True):
    """It has none."""

    reason: str
    again: bool
    """whether another try may do better"""


_OUTCOME: msgspec.msgpack.Decoder[Answer | Failure] = msgspec.msgpack.Decoder(Answer | Failure)
_TASK = msgspec.msgpack.Decoder(Task)
encode = msgspec.msgpack.encode


def decode_task(data: bytes) -> Task:
    return _TASK.decode(data)


def decode_outcome(data: bytes) -> Answer | Failure:
    return _OUTCOME.decode(data)


def tasks_of(
    job: JobSpec, variants: Sequence[Variant], coverage: Coverage, width: int, per_group: int = PER_GROUP
) -> list[Task]:
    """Groups by their market's side, cut so that `width` workers have something to do and none holds too much."""
    sides: dict[tuple[tuple[str, str], ...], list[Variant]] = {}
    for variant in variants:
        sides.setdefault(tuple(market_side(variant.settings).items()), []).append(variant)
    tasks: list[Task] = []
    for side, members in sides.items():
        data = with_market(job, dict(side)).model_dump_json().encode()
        share = max(ceil(len(members) / per_group), min(len(members), ceil(width / len(sides))))
        for part in range(share):
            own = members[len(members) * part // share : len(members) * (part + 1) // share]
            tasks.append(Task(len(tasks), data, tuple(own), coverage))
    return tasks


def wish_of(variant: Variant) -> DeskWish:
    return DeskWish(str(variant.number), {**ONCE, **desk_side(variant.settings)}, detail=False)


def work(task: Task, chunks: Iterable[Chunk], replay: Run, tell: Tell) -> Answer:
    """Raises what the replay raises, and what `tell` does."""
    job = JobSpec.model_validate_json(task.job)
    result = replay(job, [wish_of(variant) for variant in task.variants], chunks, task.coverage, tell)
    desks = (
        msgspec.structs.replace(result.desks[str(variant.number)], settings=variant.settings)
        for variant in task.variants
    )
    return Answer(tuple(desks), result.market, result.took_s)


def attempt(task: Task, chunks: Iterable[Chunk], replay: Run, tell: Tell) -> Answer | Failure:
    """The same for a worker whose errors travel as words. What is no `Exception`, such as a cancellation, passes."""
    try:
        return work(task, chunks, replay, tell)
    except SettingsError as error:
        return Failure("; ".join(error.problems), again=False)
    except ArbitradeError as error:
        return Failure(str(error), again=False)
    except (MemoryError, OSError) as error:
        return Failure(_words(error), again=True)
    except Exception as error:  # noqa: BLE001 - a bug there is told here, with where it is, and ends the sweep
        return Failure(_words(error), again=False)


def _words(error: BaseException) -> str:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = "" if at is None else f" (line {at.tb_lineno} of {at.tb_frame.f_globals.get('__name__', '?')})"
    return f"{type(error).__name__}: {error}{where}"
