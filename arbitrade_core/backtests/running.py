"""One job, from its claim to its end.

A thread computes; the event loop reads chunks for it, writes how far it is, looks whether it is to be cancelled, and
stores what it found. Whatever is wrong with the job ends the job alone, with the reason in one sentence.
"""

import asyncio
import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
import anyio.to_thread
import msgspec
import structlog
from pydantic import ValidationError

from arbitrade_core.backtests.bridge import Chunks
from arbitrade_core.backtests.results import Result, desk_headline, headline, pack, unpack_desk
from arbitrade_core.backtests.tools import Tools
from arbitrade_core.domain import Ns
from arbitrade_core.errors import ArbitradeError, SettingsError, StorageError
from arbitrade_core.replay.driver import Cancelled
from arbitrade_core.replay.job import SPEC_VERSION, JobSpec
from arbitrade_core.replay.results import Coverage, DeskResult, ReplayResult
from arbitrade_core.replay.searched import SweepResult, Variant
from arbitrade_core.replay.stage import headline_wishes
from arbitrade_core.replay.statistics import Window
from arbitrade_core.replay.sweep.sweep import Progress as SweepProgress
from arbitrade_core.storage.backtest_ownership import (
    Claimed,
    NotOurs,
    Ownership,
    StoredVariant,
    save_variants,
    stored_variants,
)
from arbitrade_core.storage.backtests import ENDED, Progress
from arbitrade_core.storage.connect import Pool

_log = structlog.get_logger(__name__)

TICK_S = 0.5
"""Between two looks at the job's row."""
STOP_S = 1.5
"""How long the computing may take to end when the worker has to go."""
GONE_S = 60.0
"""The same when the job is no longer ours: then nobody waits for the worker."""
_SAY_AGAIN_S = (1.0, 5.0, 15.0)


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker has for its jobs."""

    owner: Ownership
    pool: Pool
    tools: Tools
    code: Mapping[str, str]
    """versions of all that decides, by distribution"""

    @property
    def one_code(self) -> str:
        return ", ".join(f"{name} {version}" for name, version in sorted(self.code.items()))


async def run_job(claimed: Claimed, means: Means, stop: anyio.Event) -> str | None:
    """The job's state when it is left; `queued` when it was given back because of `stop`. None: it is not ours.

    Raises:
        StorageError: the worker's session is over, or the database takes nothing more.
    """
    owner = means.owner
    log = _log.bind(job=claimed.id)
    try:
        result = await _Run(claimed, means).compute(stop)
        if result is not None:
            await _store(claimed, means, result)
            await unpin(means, claimed.id)
            return "done"
        state = await owner.give_back(claimed.id)
        if state in ENDED:
            await unpin(means, claimed.id)
        return state
    except Cancelled:
        await owner.cancelled(claimed.id)
        await unpin(means, claimed.id)
        return "cancelled"
    except NotOurs as error:
        log.warning("job lost", reason=str(error))
        return None
    except (Exception, SystemExit) as error:
        if owner.lost:
            raise
        reason = sentence(error)
        log.error("job failed", reason=reason, exc_info=None if isinstance(error, ArbitradeError) else error)
        await _fail(claimed.id, owner, reason)
        await unpin(means, claimed.id)
        return "failed"


def sentence(error: BaseException) -> str:
    """Why a job failed, for whoever reads its row."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case SettingsError(problems=problems):
            text = "; ".join(problems)
        case ArbitradeError():
            text = str(error)
        case MemoryError():
            text = (
                "the worker ran out of memory; submit it anew with fewer pairs or variants, or a shorter range, or "
                "give the machine more"
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            text = f"no disk space is left for it ({error}); free some, then submit it anew"
        case _:
            text = f"{type(error).__name__}: {error}; that is a bug, here or in a plugin: the worker's log has the rest"
    return " ".join(text.replace("\0", "").split())


def spec_of(raw: object) -> JobSpec:
    """A stored spec.

    Raises:
        ArbitradeError: another version's, or damaged.
    """
    version = raw.get("version") if isinstance(raw, dict) else None
    if version != SPEC_VERSION:
        raise ArbitradeError(f"its spec has version {version!r}, this program knows {SPEC_VERSION}; submit it anew")
    try:
        return JobSpec.model_validate(raw)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, one['loc'])) or 'spec'}: {one['msg']}" for one in error.errors(include_url=False)
        ]
        raise ArbitradeError(f"its spec cannot be used: {'; '.join(problems)}; submit it anew") from error


def window_of(job: JobSpec) -> Window:
    return Window(_ns(job.start), _ns(job.end))


def _ns(at: datetime) -> Ns:
    since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


class _Run:
    def __init__(self, claimed: Claimed, means: Means) -> None:
        self._id = claimed.id
        self._claimed = claimed
        self._owner = means.owner
        self._pool = means.pool
        self._tools = means.tools
        self._code = means.one_code
        self._halted = False
        """read by the thread"""
        self._pace = _Pace()
        self._variants = _Variants(self._look)

    async def compute(self, stop: anyio.Event) -> Result | None:
        """The result; None when `stop` came first.

        Raises:
            Cancelled: somebody asked for it.
            NotOurs: another worker has the job.
        """
        await self._owner.progress(self._id, Progress("reading"))
        job = spec_of(self._claimed.spec)
        window = window_of(job)
        # Before the look at what there is: so that it is still there afterwards.
        await self._tools.pin(self._pool, window, pin_reason(self._id))
        coverage = await self._tools.coverage(self._pool, window, job.recording, job.pairs)
        if not coverage.covered_ns:
            raise ArbitradeError(
                f"nothing is recorded any more of its range, {job.start:%Y-%m-%d %H:%M:%S} to "
                f"{job.end:%Y-%m-%d %H:%M:%S} UTC; see `arbitrade recordings list`"
            )
        chunks = Chunks(
            asyncio.get_running_loop(),
            lambda: self._tools.chunks(self._pool, window, job.recording, job.pairs),
            lambda: self._halted,
        )
        self._pace.begin(coverage)
        if job.sweep is None:
            return await self._beside(lambda: self._replay(job, chunks, coverage), stop)
        stored = await stored_variants(self._pool, self._id, self._code)
        self._variants.known(stored)
        result = await self._beside(lambda: self._sweep(job, chunks, coverage), stop)
        await self._save()
        return result

    async def _beside(self, work: Callable[[], Result], stop: anyio.Event) -> Result | None:
        """Run `work` on a thread, and meanwhile tell how far it is."""
        over = anyio.Event()
        found: list[Result | BaseException] = []

        def guarded() -> Result | BaseException:
            try:
                return work()
            except BaseException as error:  # noqa: BLE001 - looked at where it is taken up
                return error

        async def thread() -> None:
            found.append(await anyio.to_thread.run_sync(guarded, abandon_on_cancel=True))
            over.set()

        ended: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(thread)
            try:
                while not over.is_set() and not stop.is_set():
                    with anyio.move_on_after(TICK_S):
                        await over.wait()
                    if not over.is_set() and not stop.is_set():
                        await self._tell()
            except ArbitradeError as error:
                ended = error
            self._halted = True
            with anyio.move_on_after(STOP_S if stop.is_set() else GONE_S):
                await over.wait()
            tasks.cancel_scope.cancel()
        outcome = ended or (found[0] if found else None)
        if isinstance(outcome, ReplayResult | SweepResult):
            return outcome
        if outcome is None or (stop.is_set() and ended is None):
            await self._save()
            return None
        raise outcome

    async def _tell(self) -> None:
        await self._save()
        if await self._owner.progress(self._id, self._pace.told()):
            raise Cancelled(f"job {self._id} was cancelled")

    async def _save(self) -> None:
        fresh = self._variants.take()
        if fresh:
            await save_variants(self._pool, self._id, self._code, fresh)

    # --- on the thread ---

    def _look(self) -> None:
        if self._halted:
            raise Cancelled(f"job {self._id} is to end")

    def _replay(self, job: JobSpec, chunks: Chunks, coverage: Coverage) -> Result:
        def tell(until: Ns, frames: int) -> None:
            self._look()
            self._pace.replayed(until, frames)

        return self._tools.replay(job, headline_wishes(job), chunks, coverage, tell)

    def _sweep(self, job: JobSpec, chunks: Chunks, coverage: Coverage) -> Result:
        def tell(progress: SweepProgress) -> None:
            self._look()
            self._pace.searched = progress

        resources = self._claimed.resources
        return self._tools.sweep(job, lambda: chunks, coverage, self._variants, tell, resources)


class _Pace:
    """How far, how fast, how long still. Written by the thread, read by the loop: single assignments only."""

    def __init__(self) -> None:
        self._stretches: tuple[Window, ...] = ()
        self._covered_ns = 1
        self._began_s = 0.0
        self._at: tuple[Ns, int] | None = None
        """how far a replay is, and after how many frames"""
        self.searched: SweepProgress | None = None

    def begin(self, coverage: Coverage) -> None:
        self._stretches, self._covered_ns = coverage.stretches, coverage.covered_ns
        self._began_s = time.monotonic()

    def replayed(self, until: Ns, frames: int) -> None:
        self._at = until, frames

    def told(self) -> Progress:
        if self.searched is not None:
            return Progress(**msgspec.structs.asdict(self.searched))
        if self._at is None:
            return Progress("reading")
        until, frames = self._at
        done_ns = sum(max(0, min(until, stretch.end_ns) - stretch.start_ns) for stretch in self._stretches)
        share = min(1.0, done_ns / self._covered_ns)
        took_s = time.monotonic() - self._began_s
        return Progress(
            phase="replaying",
            share=round(share, 4),
            replayed_until_ns=until,
            frames=frames,
            frames_per_s=round(frames / took_s, 1) if took_s else None,
            eta_s=round(took_s * (1.0 - share) / share, 1) if share else None,
        )


class _Variants:
    """A sweep's variants on their way to the database. Implements `tools.Store`."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._known: dict[int, DeskResult] = {}
        self._fresh: list[StoredVariant] = []

    def known(self, stored: list[StoredVariant]) -> None:
        self._known = {each.number: unpack_desk(each.result) for each in stored}

    def take(self) -> list[StoredVariant]:
        fresh, self._fresh = self._fresh, []
        return fresh

    def done(self) -> Mapping[int, DeskResult]:
        return self._known

    def save(self, variant: Variant, result: DeskResult) -> None:
        packed = StoredVariant(variant.number, variant.settings, result.decisions, desk_headline(result), pack(result))
        self._fresh.append(packed)
        self._look()


def pin_reason(number: int) -> str:
    return f"backtest {number}"


async def unpin(means: Means, number: int) -> None:
    """The job has ended: the days that it reads need not stay for it."""
    try:
        await means.tools.unpin(means.pool, pin_reason(number))
    except StorageError as error:
        _log.warning("the recording stays pinned", job=number, reason=str(error))


async def _store(claimed: Claimed, means: Means, result: Result) -> None:
    if await means.owner.progress(claimed.id, Progress("storing", 1.0)):
        raise Cancelled(f"job {claimed.id} was cancelled")
    packed = await anyio.to_thread.run_sync(pack, result)
    told = headline(result)
    await means.owner.finish(claimed.id, packed, headline=told, decisions=result.decisions, code=means.code)


async def _fail(number: int, owner: Ownership, reason: str) -> None:
    """A disk that is full may have no room for the reason either, until somebody makes some."""
    for wait_s in _SAY_AGAIN_S:
        try:
            await owner.fail(number, reason)
        except NotOurs:
            return
        except StorageError as error:
            if owner.lost:
                raise
            _log.error("cannot say why a job failed", job=number, reason=reason, error=str(error))
            await anyio.sleep(wait_s)
        else:
            return
    await owner.fail(number, reason)
