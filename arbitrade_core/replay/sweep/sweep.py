"""A sweep from a job to its result: many desks on few replays, resumable, the same whoever computes it.

Variants are searched in batches; a batch is cut into groups of variants that can share a replay; a pool computes the
groups in any order and place; what comes back is stored at once. Nothing of the result depends on the cutting.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from arbitrade_core.recording.entries import Chunk
from arbitrade_core.replay.driver import replay as production
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.results import Coverage, DeskResult, MarketResult, hash_of
from arbitrade_core.replay.searched import SweepResult, Variant
from arbitrade_core.replay.sweep.judge import RecordedTime, judge, score
from arbitrade_core.replay.sweep.pool import Crew, Pool
from arbitrade_core.replay.sweep.search import search_of
from arbitrade_core.replay.sweep.space import market_side
from arbitrade_core.replay.sweep.spool import spooled
from arbitrade_core.replay.sweep.work import PER_GROUP, Answer, Run, SweepError, Task, tasks_of


class SweepStore(Protocol):
    """Where results of variants are kept while the sweep goes on."""

    def done(self) -> Mapping[int, DeskResult]:
        """Those that were kept, by the variants' numbers."""
        ...

    def save(self, variant: Variant, result: DeskResult) -> None: ...


class Progress(msgspec.Struct, frozen=True):
    """How far a sweep is."""

    phase: str
    """`reading`: the recording; `replaying`; `judging`"""
    share: float
    """of its variants, 0 to 1"""
    variants: int
    """computed, those of earlier attempts included"""
    of_variants: int
    """at most"""
    frames: int = 0
    """replayed by all workers so far"""
    frames_per_s: float | None = None
    eta_s: float | None = None
    """seconds left; None: cannot be told yet"""


type TellProgress = Callable[[Progress], None]
"""Told several times a second, on the thread of `run_sweep`. What it raises, as `Cancelled`, ends the sweep and every
worker; what is stored by then stays."""


def run_sweep(  # noqa: PLR0917 - what a sweep is, in the order of its description
    job: JobSpec,
    chunks: Callable[[], Iterable[Chunk]],
    coverage: Coverage,
    store: SweepStore,
    tell: TellProgress,
    pool: Pool,
    *,
    replay: Run = production,
    per_group: int = PER_GROUP,
) -> SweepResult:
    """Compute what is not stored, and judge everything.

    `chunks` is called once, and read on the calling thread.

    Raises:
        SettingsError: everything that is wrong with what is searched; before anything is read or computed.
        SweepError: a group of variants cannot be computed, or a pool has no workers.
        StorageError: there is no room for the recording.
    """
    search = search_of(job)
    objective = job.sweep.objective if job.sweep is not None else ""
    time = RecordedTime(coverage)
    kept = dict(store.done())
    report = _Report(tell, search.most)
    report.reading(0)
    variants: list[Variant] = []
    desks: list[DeskResult] = []
    market: MarketResult | None = None
    took_s = 0.0
    with spooled(chunks(), report.reading) as spool, pool.opened(spool, replay) as crew:
        while batch := search.ask():
            first = batch[0] if not variants else variants[0]
            found = {variant.number: _kept(variant, kept) for variant in batch if variant.number in kept}
            left = [variant for variant in batch if variant.number not in found]
            report.begin(len(variants) + len(found), spool.frames)
            with closing(_computed(job, left, coverage, crew, per_group=per_group, report=report)) as answers:
                for task, answer in answers:
                    for variant, desk in zip(task.variants, answer.desks, strict=True):
                        store.save(variant, desk)
                        found[variant.number] = desk
                    took_s += answer.took_s
                    # The first variant's: other plugins or pairs see another market.
                    if market_side(task.variants[0].settings) == market_side(first.settings):
                        market = answer.market
            variants += batch
            desks += [found[variant.number] for variant in batch]
            search.tell([score(found[variant.number], objective, time) for variant in batch])
        if market is None:
            # Everything was stored: what the market was like is seen by looking once more.
            for _, answer in _computed(job, variants[:1], coverage, crew, per_group=per_group, report=report):
                _refuse_others(variants[0], answer.desks[0], desks[0])
                took_s += answer.took_s
                market = answer.market
    assert market is not None
    report.judging(len(variants))
    judged = judge(job, coverage, variants, desks)
    return SweepResult(
        coverage=coverage,
        # What detectors found depends on the hurdles of all desks that shared a replay.
        market=msgspec.structs.replace(market, detection={}),
        variants=tuple(variants),
        desks=tuple(desks),
        objective=objective,
        scores=judged.scores,
        ranking=judged.ranking,
        deflated=judged.deflated,
        reality=judged.reality,
        folds=judged.folds,
        forward_valued=judged.forward_valued,
        heat=judged.heat,
        decisions=hash_of({desk.name: desk.decisions for desk in desks}),
        took_s=took_s,
    )


def _kept(variant: Variant, kept: Mapping[int, DeskResult]) -> DeskResult:
    """Raises SweepError when what is stored under its number is another variant's."""
    desk = kept[variant.number]
    if desk.settings != variant.settings:
        raise SweepError(
            f"variant {variant.number} is stored with other settings ({_words(desk.settings)}) than the job gives it "
            f"({_words(variant.settings)}); submit the sweep anew"
        )
    return desk


def _refuse_others(variant: Variant, now: DeskResult, kept: DeskResult) -> None:
    if now.decisions != kept.decisions:
        raise SweepError(
            f"variant {variant.number} decides otherwise than when it was stored (hash {now.decisions[:12]} instead of "
            f"{kept.decisions[:12]}): the code or the recording has changed since; submit the sweep anew"
        )


def _words(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{path}={text}" for path, text in sorted(settings.items()))


def _computed(
    job: JobSpec, variants: Sequence[Variant], coverage: Coverage, crew: Crew, *, per_group: int, report: "_Report"
) -> Generator[tuple[Task, Answer]]:
    """Answers as they come. Closed early, nothing of it goes on."""
    tasks = tasks_of(job, variants, coverage, crew.width, per_group)
    report.groups({task.number: len(task.variants) for task in tasks})
    with closing(crew.run(tasks, report.tick)) as answers:
        for task, answer in answers:
            report.ended(task.number)
            yield task, answer


@dataclass(slots=True)
class _Report:
    """Progress from what workers say."""

    tell: TellProgress
    most: int
    _stored: int = 0
    _before: int = 0
    """frames of groups of earlier batches"""
    _frames: int = 0
    """of one replay"""
    _groups: Mapping[int, int] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    _first: tuple[float, int] | None = None
    _rate: float | None = None

    def reading(self, frames: int) -> None:
        self.tell(Progress("reading", 0.0, 0, self.most, frames))

    def judging(self, variants: int) -> None:
        frames = self._before + self._frames * len(self._groups)
        self.tell(Progress("judging", 1.0, variants, variants, frames, self._rate))

    def begin(self, stored: int, frames: int) -> None:
        """A batch; so many variants are known."""
        self._stored, self._frames = stored, frames

    def groups(self, sizes: Mapping[int, int]) -> None:
        self._before += self._frames * len(self._groups)
        self._groups, self._ended = sizes, set()

    def ended(self, number: int) -> None:
        self._ended.add(number)
        self._stored += self._groups[number]

    def tick(self, now_s: float, done: Mapping[int, int]) -> None:
        """Frames by group, of those that have begun."""
        part = 0.0
        here = 0
        for number, size in self._groups.items():
            frames = self._frames if number in self._ended else min(done.get(number, 0), self._frames)
            here += frames
            part += 0.0 if number in self._ended or not self._frames else size * frames / self._frames
        frames = self._before + here
        if self._first is None:
            self._first = now_s, frames
        took_s = now_s - self._first[0]
        if took_s > 0 and frames > self._first[1]:
            self._rate = (frames - self._first[1]) / took_s
        share = min(1.0, (self._stored + part) / self.most)
        self.tell(Progress("replaying", share, self._stored, self.most, frames, self._rate, self._eta_s(here)))

    def _eta_s(self, here: int) -> float | None:
        """From measured frames; batches that are yet to be searched are taken to be like this one."""
        if not self._rate or not self._groups:
            return None
        left = self._frames * len(self._groups) - here
        later = (
            self.most - self._stored - sum(size for number, size in self._groups.items() if number not in self._ended)
        )
        per_variant = self._frames * len(self._groups) / sum(self._groups.values())
        return round((left + max(later, 0) * per_variant) / self._rate, 1)
