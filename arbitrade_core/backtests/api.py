"""What can be done with backtests, whoever asks: the command line, the dashboard, a plugin's service.

Every function takes a pool of the database that holds the jobs. What changes something takes who asks for it, for the
audit. Raises ArbitradeError with what to do; StorageError when the database does not answer.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path

import anyio.to_thread
import msgspec

from arbitrade_core.backtests.asked import Asked
from arbitrade_core.backtests.results import Result, unpack
from arbitrade_core.backtests.running import pin_reason, spec_of
from arbitrade_core.backtests.submit import IN_REPORT, Resolved, about, present, resolve
from arbitrade_core.backtests.tools import Tools
from arbitrade_core.composition import load
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.report import figures
from arbitrade_core.replay.report.shapes import AnyReport
from arbitrade_core.replay.searched import SweepResult, Variant
from arbitrade_core.replay.statistics import Window
from arbitrade_core.replay.sweep.apply import Application, application
from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.backtests import AuditRow, JobRow, VariantRow
from arbitrade_core.storage.connect import Pool

_PLAIN = re.compile(r"[A-Za-z0-9_./:,=+@%-]*")
"""What an environment file needs no quotes for."""


class NoSuchJob(ArbitradeError):
    """There is no job of that number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no backtest {number}; `arbitrade backtest list` shows those there are")


class Submitted(msgspec.Struct, frozen=True):
    id: int
    kind: str
    notes: tuple[str, ...]
    """what is missing of its data, and where its fees come from"""


async def submit(pool: Pool, asked: Asked, tools: Tools, actor: str, now: datetime) -> Submitted:
    """Resolve what was asked for and queue it.

    Raises:
        JobRefused: with every problem; nothing was queued.
    """
    return await queue(pool, await resolve(asked, pool, tools, now), tools, actor)


async def queue(pool: Pool, resolved: Resolved, tools: Tools, actor: str) -> Submitted:
    """Put a resolved job into the queue. The days that it reads stay until it has ended."""
    job = resolved.job
    kind = "backtest" if job.sweep is None else "sweep"
    number = await storage.submit(
        pool,
        kind=kind,
        name=job.name,
        spec=job.model_dump(mode="json"),
        about=about(job),
        resources=resolved.resources,
        notes=resolved.notes,
        actor=actor,
    )
    stretches = resolved.coverage.stretches
    await tools.pin(pool, Window(stretches[0].start_ns, stretches[-1].end_ns), pin_reason(number))
    return Submitted(number, kind, resolved.notes)


async def jobs(pool: Pool, limit: int = 50, state: str | None = None) -> list[JobRow]:
    """Newest first."""
    return await storage.jobs(pool, limit, state)


async def job(pool: Pool, number: int) -> JobRow:
    """Raises NoSuchJob."""
    found = await storage.job(pool, number)
    if found is None:
        raise NoSuchJob(number)
    return found


async def spec(pool: Pool, number: int) -> JobSpec:
    """The whole job. Raises NoSuchJob, or ArbitradeError when another version submitted it."""
    raw = await storage.spec(pool, number)
    if raw is None:
        raise NoSuchJob(number)
    return spec_of(raw)


async def result(pool: Pool, number: int) -> Result:
    """What a job came to.

    Raises:
        NoSuchJob: there is none.
        ArbitradeError: it has no result: it has not ended, or not well.
    """
    row = await job(pool, number)
    packed = await storage.report(pool, number)
    if packed is None:
        why = f": {row.reason}" if row.reason else ""
        raise ArbitradeError(f"backtest {number} has no report: it is {row.state}{why}")
    return await anyio.to_thread.run_sync(unpack, packed, row.kind)


class Reported(msgspec.Struct, frozen=True):
    """A job that is done, with everything that can be said of it."""

    row: JobRow
    spec: JobSpec
    result: Result
    report: AnyReport


async def report(pool: Pool, number: int) -> Reported:
    """Its report, made anew of what is stored. Raises as `result` and `spec` do."""
    found = await result(pool, number)
    row, told = await job(pool, number), await spec(pool, number)
    ran_ns = None if row.ended_at is None else int(row.ended_at.timestamp() * 1_000) * 1_000_000

    def made() -> AnyReport:
        code = row.code or {}
        notes = [note for note in row.notes if not note.startswith(IN_REPORT)]
        if isinstance(found, SweepResult):
            return figures.sweep_report(told, found, code=code, ran_ns=ran_ns, notes=notes)
        return figures.report(told, found, code=code, ran_ns=ran_ns, notes=notes)

    return Reported(row, told, found, await anyio.to_thread.run_sync(made))


async def cancel(pool: Pool, number: int, tools: Tools, actor: str) -> JobRow:
    """Cancel a queued job at once, a running one as soon as its worker takes notice. One that has ended stays.

    Raises:
        NoSuchJob: there is none.
    """
    state = await storage.cancel(pool, number, actor)
    if state is None:
        raise NoSuchJob(number)
    if state == "cancelled":
        await tools.unpin(pool, pin_reason(number))
    return await job(pool, number)


async def delete(pool: Pool, number: int, actor: str) -> None:
    """Forget an ended job with its report; the audit stays.

    Raises:
        ArbitradeError: it has not ended.
    """
    state = await storage.delete(pool, number, actor)
    if state is None:
        raise NoSuchJob(number)
    if state not in storage.ENDED:
        raise ArbitradeError(f"backtest {number} is {state}; cancel it first: arbitrade backtest cancel {number}")


async def variants(pool: Pool, number: int) -> list[VariantRow]:
    """Those of a sweep that are computed, also while it runs."""
    row = await job(pool, number)
    if row.kind != "sweep":
        raise ArbitradeError(f"backtest {number} is no sweep, so it has no variants")
    return await storage.variants(pool, number)


async def audit(pool: Pool, number: int) -> list[AuditRow]:
    """Who did what with it, oldest first."""
    return await storage.audit(pool, number)


type ChangeSettings = Callable[[Mapping[str, str], str], Awaitable[str]]
"""Given values by variable and a reason, it sets them; where they stand then, in words for the audit. It raises
ArbitradeError when they cannot be set: then none is."""


async def proposed(pool: Pool, number: int, variant: int | None) -> Application:
    """What applying a variant would change; the sweep's best one when none is named.

    Raises:
        ArbitradeError: there is no such variant, or it cannot be had with the present settings.
    """
    row = await job(pool, number)
    told = await spec(pool, number)
    chosen = await _variant(pool, row, told, variant)
    with await present(pool) as toggles:
        return application(told, chosen, load(toggles).settings)


async def apply(pool: Pool, number: int, variant: int | None, change: ChangeSettings, actor: str) -> Application:
    """Set a variant's settings, and note who did. Raises as `proposed` does, and as `change`."""
    found = await proposed(pool, number, variant)
    values = {each.variable: each.value for each in found.changes}
    where = await change(values, f"variant {found.variant} of backtest {number}")
    detail = {"variant": found.variant, "settings": {each.setting: each.value for each in found.changes}, "to": where}
    await storage.note(pool, number, "apply", actor, detail)
    return found


async def _variant(pool: Pool, row: JobRow, told: JobSpec, wanted: int | None) -> Variant:
    if told.sweep is None:
        raise ArbitradeError(f"backtest {row.id} is no sweep, so there is no winner; set what you tried by hand")
    if wanted is not None:
        known = {each.number: each for each in await storage.variants(pool, row.id)}
        if wanted not in known:
            raise ArbitradeError(
                f"backtest {row.id} has no variant {wanted}; `arbitrade backtest variants {row.id}` shows what there is"
            )
        return Variant(wanted, known[wanted].settings)
    found = await result(pool, row.id)
    if not isinstance(found, SweepResult) or not found.ranking:
        raise ArbitradeError(f"backtest {row.id} has no winner; name a variant")
    return next(each for each in found.variants if each.number == found.ranking[0])


def write_environment(file: Path, values: Mapping[str, str]) -> None:
    """Set these variables in an environment file, by name; whatever else it says stays.

    Raises:
        ArbitradeError: it cannot be written.
    """
    fresh = file.with_name(f".{file.name}.new")
    try:
        said = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        kept = [line for line in said if _name_of(line) not in values]
        lines = [*kept, *(_line(name, value) for name, value in values.items())]
        fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if file.exists():
            fresh.chmod(file.stat().st_mode & 0o777)
        fresh.replace(file)
    except (OSError, UnicodeError) as error:
        raise ArbitradeError(
            f"{file} cannot be written: {error}; name another file, or set the variables by hand"
        ) from error


def _line(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    return f"{name}='{value.replace('\\', '\\\\').replace("'", "\\'")}'"


def _name_of(line: str) -> str:
    return line.partition("=")[0].strip().removeprefix("export ").strip()
