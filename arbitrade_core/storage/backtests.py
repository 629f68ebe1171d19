"""The queue of backtests and sweeps, for whoever asks: the command line, the dashboard. Workers: `backtest_ownership`.

Specs and results are data here: `arbitrade_core.backtests` knows what they mean. All functions take a pool, and raise
StorageError when the database cannot answer.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec

from arbitrade_core.errors import StorageError
from arbitrade_core.storage.connect import UNAVAILABLE, Pool

ENDED = ("done", "failed", "cancelled")
JOBS = 0x4A4F4253  # "JOBS"
"""Class of the advisory locks of running jobs, the second key being the job's number."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a running job is."""

    phase: str
    """what it does, in a word: `reading`, `replaying`, `searching`, `storing`"""
    share: float = 0.0
    """0 to 1, of the recorded time"""
    replayed_until_ns: int | None = None
    frames: int = 0
    frames_per_s: float | None = None
    eta_s: float | None = None
    """seconds left; None: cannot be told yet"""
    variants: int = 0
    """of a sweep: computed so far"""
    of_variants: int | None = None


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """One job, without what is long."""

    id: int
    kind: str
    name: str
    state: str
    about: dict[str, Any]
    """the spec without fee rates"""
    resources: dict[str, Any]
    notes: list[str]
    actor: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    attempts: int
    worker: str | None
    progress: Progress | None
    cancel_requested: bool
    reason: str
    headline: dict[str, Any] | None
    decisions: str | None
    code: dict[str, str] | None
    """versions of what computed it, by distribution"""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class VariantRow(msgspec.Struct, frozen=True, kw_only=True):
    """One variant of a sweep that is computed."""

    number: int
    settings: dict[str, str]
    decisions: str
    headline: dict[str, Any]


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    at: datetime
    job: int
    action: str
    actor: str
    detail: dict[str, Any]


_COLUMNS = ", ".join(JobRow.__struct_fields__)
_JOB = f"SELECT {_COLUMNS} FROM backtest_jobs "  # noqa: S608 - names of this module, never input


def _row(record: Mapping[str, Any]) -> JobRow:
    progress = record["progress"]
    told = None if progress is None else msgspec.convert(progress, Progress)
    return JobRow(**{**record, "progress": told})


async def submit(
    pool: Pool,
    *,
    kind: str,
    name: str,
    spec: Mapping[str, Any],
    about: Mapping[str, Any],
    resources: Mapping[str, Any],
    notes: Sequence[str],
    actor: str,
) -> int:
    """Put a job into the queue; its number."""
    async with transaction(pool) as connection:
        job: int = await connection.fetchval(
            "INSERT INTO backtest_jobs (kind, name, spec, about, resources, notes, actor)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
            kind,
            name,
            spec,
            about,
            resources,
            list(notes),
            actor,
        )
        await _audit(connection, job, "submit", actor, {"kind": kind, "name": name})
    return job


async def jobs(pool: Pool, limit: int, state: str | None = None) -> list[JobRow]:
    """Newest first."""
    where = "WHERE $1::text IS NULL OR state = $1 ORDER BY id DESC LIMIT $2"
    async with using(pool) as connection:
        return [_row(record) for record in await connection.fetch(_JOB + where, state, limit)]


async def job(pool: Pool, number: int) -> JobRow | None:
    async with using(pool) as connection:
        record = await connection.fetchrow(_JOB + "WHERE id = $1", number)
    return None if record is None else _row(record)


async def spec(pool: Pool, number: int) -> Any:
    """The whole spec; None when there is no such job."""
    async with using(pool) as connection:
        return await connection.fetchval("SELECT spec FROM backtest_jobs WHERE id = $1", number)


async def report(pool: Pool, number: int) -> bytes | None:
    """The packed result; None when there is none."""
    async with using(pool) as connection:
        found: bytes | None = await connection.fetchval("SELECT report FROM backtest_jobs WHERE id = $1", number)
    return found


async def queued(pool: Pool) -> int:
    """Jobs that wait for a worker, those included whose worker may be gone."""
    async with using(pool) as connection:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM backtest_jobs WHERE state = 'queued' OR (state = 'running' AND NOT EXISTS ("
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 AND objid = id AND objsubid = 2"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))",
            JOBS,
        )
    return found


async def cancel(pool: Pool, number: int, actor: str) -> str | None:
    """Ask for the end of a job. Its state afterwards: `cancelled`, or `running` while its worker takes notice; one
    that had ended already is as it was. None when there is no such job."""
    async with transaction(pool) as connection:
        state: str | None = await connection.fetchval(
            "UPDATE backtest_jobs SET cancel_requested = true, reason = $2,"
            " state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,"
            " ended_at = CASE state WHEN 'queued' THEN clock_timestamp() END"
            " WHERE id = $1 AND state IN ('queued', 'running') RETURNING state",
            number,
            f"cancelled by {actor}",
        )
        if state is not None:
            await _audit(connection, number, "cancel", actor, {"state": state})
            return state
        found: str | None = await connection.fetchval("SELECT state FROM backtest_jobs WHERE id = $1", number)
    return found


async def delete(pool: Pool, number: int, actor: str) -> str | None:
    """Forget an ended job, its report and variants. The state it had; one that has not ended stays. None: no such
    job."""
    async with transaction(pool) as connection:
        state: str | None = await connection.fetchval(
            "SELECT state FROM backtest_jobs WHERE id = $1 FOR UPDATE", number
        )
        if state in ENDED:
            await connection.execute("DELETE FROM backtest_jobs WHERE id = $1", number)
            await _audit(connection, number, "delete", actor, {"state": state})
    return state


async def variants(pool: Pool, number: int) -> list[VariantRow]:
    """The computed ones of a sweep, in their order."""
    async with using(pool) as connection:
        found = await connection.fetch(
            "SELECT number, settings, decisions, headline FROM backtest_variants WHERE job = $1 ORDER BY number", number
        )
    return [VariantRow(**record) for record in found]


async def note(pool: Pool, number: int, action: str, actor: str, detail: Mapping[str, Any]) -> None:
    """Something was done with a job: for the audit."""
    async with using(pool) as connection:
        await _audit(connection, number, action, actor, detail)


async def audit(pool: Pool, number: int) -> list[AuditRow]:
    """Who did what with a job, oldest first; also of one that is deleted."""
    async with using(pool) as connection:
        found = await connection.fetch(
            "SELECT id, at, job, action, actor, detail FROM backtest_audit WHERE job = $1 ORDER BY id", number
        )
    return [AuditRow(**record) for record in found]


@asynccontextmanager
async def using(pool: Pool) -> AsyncIterator[Any]:
    """A connection of the pool; a StorageError when there is none, or it breaks."""
    try:
        async with pool.acquire(timeout=10.0) as connection:
            yield connection
    except UNAVAILABLE as error:
        raise StorageError(f"the database did not serve backtest jobs: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Any]:
    async with using(pool) as connection, connection.transaction():
        yield connection


async def _audit(connection: Any, number: int, action: str, actor: str, detail: Mapping[str, Any]) -> None:
    await connection.execute(
        "INSERT INTO backtest_audit (job, action, actor, detail) VALUES ($1, $2, $3, $4)", number, action, actor, detail
    )
