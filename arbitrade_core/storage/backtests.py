"""The queue of backtests and sweeps: jobs as rows, and the workers' side of them.

Whoever asks - command line, dashboard - uses the functions, on a pool. A worker has an `Ownership`: one connection
whose session holds the advisory locks of the job that runs and of the slot it takes. A worker that is killed loses its
session and with it the locks; the next one finds the job running and its lock free, and puts it back into the queue.

Specs and results are data here: `backtests` knows what they mean. Everything raises StorageError when the database
cannot answer.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec

from arbitrade_core.errors import ArbitradeError, StorageError
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database, Pool, explain

MAX_ATTEMPTS = 3
ENDED = ("done", "failed", "cancelled")

_SLOTS = 0x534C4F54  # "SLOT"
_JOBS = 0x4A4F4253  # "JOBS"
"""Classes of advisory locks, the second key being the slot's number or the job's."""


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


class StoredVariant(msgspec.Struct, frozen=True):
    """One variant as it is written and read back. `result` is packed."""

    number: int
    settings: dict[str, str]
    decisions: str
    headline: dict[str, Any]
    result: bytes


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    at: datetime
    job: int
    action: str
    actor: str
    detail: dict[str, Any]


class Claimed(msgspec.Struct, frozen=True):
    """A job that is ours to do."""

    id: int
    kind: str
    spec: Any
    """as it was submitted; it may be another version's"""
    resources: dict[str, Any]
    attempts: int
    """this one included"""


_COLUMNS = ", ".join(JobRow.__struct_fields__)
_JOB = f"SELECT {_COLUMNS} FROM backtest_jobs "  # noqa: S608 - names of this module, never input


def _row(record: Mapping[str, Any]) -> JobRow:
    progress = record["progress"]
    told = None if progress is None else msgspec.convert(progress, Progress)
    return JobRow(**{**record, "progress": told})


# --- for those who ask ----------------------------------------------------------------------------------------------


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
    async with _transaction(pool) as connection:
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
    async with _using(pool) as connection:
        return [_row(record) for record in await connection.fetch(_JOB + where, state, limit)]


async def job(pool: Pool, number: int) -> JobRow | None:
    async with _using(pool) as connection:
        record = await connection.fetchrow(_JOB + "WHERE id = $1", number)
    return None if record is None else _row(record)


async def spec(pool: Pool, number: int) -> Any:
    """The whole spec; None when there is no such job."""
    async with _using(pool) as connection:
        return await connection.fetchval("SELECT spec FROM backtest_jobs WHERE id = $1", number)


async def report(pool: Pool, number: int) -> bytes | None:
    """The packed result; None when there is none."""
    async with _using(pool) as connection:
        found: bytes | None = await connection.fetchval("SELECT report FROM backtest_jobs WHERE id = $1", number)
    return found


async def queued(pool: Pool) -> int:
    """Jobs that wait for a worker, those included whose worker may be gone."""
    async with _using(pool) as connection:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM backtest_jobs WHERE state = 'queued' OR (state = 'running' AND NOT EXISTS ("
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 AND objid = id AND objsubid = 2"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))",
            _JOBS,
        )
    return found


async def cancel(pool: Pool, number: int, actor: str) -> str | None:
    """Ask for the end of a job. Its state afterwards: `cancelled`, or `running` while its worker takes notice; one
    that had ended already is as it was. None when there is no such job."""
    async with _transaction(pool) as connection:
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
    async with _transaction(pool) as connection:
        state: str | None = await connection.fetchval(
            "SELECT state FROM backtest_jobs WHERE id = $1 FOR UPDATE", number
        )
        if state in ENDED:
            await connection.execute("DELETE FROM backtest_jobs WHERE id = $1", number)
            await _audit(connection, number, "delete", actor, {"state": state})
    return state


async def variants(pool: Pool, number: int) -> list[VariantRow]:
    """The computed ones of a sweep, in their order."""
    async with _using(pool) as connection:
        found = await connection.fetch(
            "SELECT number, settings, decisions, headline FROM backtest_variants WHERE job = $1 ORDER BY number", number
        )
    return [VariantRow(**record) for record in found]


async def note(pool: Pool, number: int, action: str, actor: str, detail: Mapping[str, Any]) -> None:
    """Something was done with a job: for the audit."""
    async with _using(pool) as connection:
        await _audit(connection, number, action, actor, detail)


async def audit(pool: Pool, number: int) -> list[AuditRow]:
    """Who did what with a job, oldest first; also of one that is deleted."""
    async with _using(pool) as connection:
        found = await connection.fetch(
            "SELECT id, at, job, action, actor, detail FROM backtest_audit WHERE job = $1 ORDER BY id", number
        )
    return [AuditRow(**record) for record in found]


# --- for the worker -------------------------------------------------------------------------------------------------


async def stored_variants(pool: Pool, number: int, code: str) -> list[StoredVariant]:
    """What this code has computed of a sweep."""
    async with _using(pool) as connection:
        found = await connection.fetch(
            "SELECT number, settings, decisions, headline, result FROM backtest_variants"
            " WHERE job = $1 AND code = $2 ORDER BY number",
            number,
            code,
        )
    return [StoredVariant(**record) for record in found]


async def save_variants(pool: Pool, number: int, code: str, computed: Sequence[StoredVariant]) -> None:
    """All or none."""
    async with _transaction(pool) as connection:
        await connection.executemany(
            "INSERT INTO backtest_variants (job, number, settings, code, decisions, headline, result)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (job, number) DO UPDATE SET settings = excluded.settings,"
            " code = excluded.code, decisions = excluded.decisions, headline = excluded.headline,"
            " result = excluded.result",
            [
                (number, each.number, each.settings, code, each.decisions, each.headline, each.result)
                for each in computed
            ],
        )


class Ownership:
    """A worker's session. What it says of a job counts only while the job is its own."""

    def __init__(self, database: Database, connection: Connection, worker: str) -> None:
        self._database = database
        self._connection = connection
        self._worker = worker
        self._slot: int | None = None

    @property
    def lost(self) -> bool:
        """Whether the session is over, and every lock with it."""
        return self._connection.is_closed()

    async def take_slot(self, slots: int) -> bool:
        """Be one of so many workers that run jobs at the same time in this database; whether there is room."""
        if self._slot is None:
            for slot in range(slots):
                if await self._value("SELECT pg_try_advisory_lock($1, $2)", _SLOTS, slot):
                    self._slot = slot
                    break
        return self._slot is not None

    async def leave_slot(self) -> None:
        if self._slot is not None:
            slot, self._slot = self._slot, None
            await self._value("SELECT pg_advisory_unlock($1, $2)", _SLOTS, slot)

    async def recover(self) -> dict[int, str]:
        """Find running jobs whose worker is gone; their states now. They go back into the queue; one that was begun too
        often has failed, and one that was to be cancelled is."""
        found: dict[int, str] = {}
        for (number,) in await self._rows("SELECT id FROM backtest_jobs WHERE state = 'running' ORDER BY id"):
            if not await self._lock(number):
                continue
            try:
                state = await self._value(
                    "UPDATE backtest_jobs SET worker = NULL, progress = NULL,"
                    " state = CASE WHEN cancel_requested THEN 'cancelled' WHEN attempts >= $2 THEN 'failed'"
                    " ELSE 'queued' END,"
                    " ended_at = CASE WHEN cancel_requested OR attempts >= $2 THEN clock_timestamp() END,"
                    " reason = CASE WHEN cancel_requested THEN reason WHEN attempts >= $2 THEN $3 ELSE $4 END"
                    " WHERE id = $1 AND state = 'running' RETURNING state",
                    number,
                    MAX_ATTEMPTS,
                    f"its worker was gone without a word {MAX_ATTEMPTS} times; see whether the machine has memory"
                    " enough for it, and submit it anew with fewer pairs or variants, or a shorter range",
                    "its worker was gone without a word; it waits to be begun again",
                )
            finally:
                await self._unlock(number)
            if state is not None:
                found[number] = state
        return found

    async def claim(self) -> Claimed | None:
        """The oldest job of the queue, if there is one; it is ours and running from now on."""
        try:
            async with self._connection.transaction():
                record = await self._connection.fetchrow(
                    "SELECT id, kind, spec, resources, attempts + 1 AS attempts FROM backtest_jobs"
                    " WHERE state = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
                )
                if record is None:
                    return None
                claimed = Claimed(**record)
                # Before the commit: nobody may see it running and its lock free.
                if not await self._lock(claimed.id):
                    return None  # whoever ends with it lets go of the lock at once
                await self._connection.execute(
                    "UPDATE backtest_jobs SET state = 'running', attempts = $2, worker = $3, reason = '',"
                    " started_at = clock_timestamp(), progress = NULL WHERE id = $1",
                    claimed.id,
                    claimed.attempts,
                    self._worker,
                )
        except UNAVAILABLE as error:
            self.close()  # with the lock, which may be ours and the job not
            raise explain(error, self._database.place) from error
        return claimed

    async def progress(self, number: int, told: Progress) -> bool:
        """How far it is; whether it is to be cancelled."""
        cancel = await self._value(
            "UPDATE backtest_jobs SET progress = $3 WHERE id = $1 AND state = 'running' AND worker = $2"
            " RETURNING cancel_requested",
            number,
            self._worker,
            msgspec.to_builtins(told),
        )
        if cancel is None:
            raise NotOurs(f"job {number} is another worker's by now; this one gives it up")
        return bool(cancel)

    async def finish(
        self, number: int, report: bytes, *, headline: Mapping[str, Any], decisions: str, code: Mapping[str, str]
    ) -> None:
        await self._end(number, "done", "", report, headline, decisions, code)

    async def fail(self, number: int, reason: str) -> None:
        await self._end(number, "failed", reason)

    async def cancelled(self, number: int) -> None:
        await self._end(number, "cancelled", None)

    async def give_back(self, number: int) -> str | None:
        """The worker has to go: the job waits for another one, and this attempt does not count. Its state now, which is
        `cancelled` when that was asked for; None: it was not ours."""
        state: str | None = await self._value(
            "UPDATE backtest_jobs SET worker = NULL, progress = NULL, attempts = attempts - 1,"
            " state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,"
            " ended_at = CASE WHEN cancel_requested THEN clock_timestamp() END"
            " WHERE id = $1 AND state = 'running' AND worker = $2 RETURNING state",
            number,
            self._worker,
        )
        await self._unlock(number)
        return state

    async def prune(self, keep: int) -> list[int]:
        """Forget ended jobs but the newest `keep`; the numbers of those that are gone."""
        found = await self._rows(
            "DELETE FROM backtest_jobs WHERE id IN (SELECT id FROM backtest_jobs WHERE ended_at IS NOT NULL"
            " ORDER BY id DESC OFFSET $1) RETURNING id",
            keep,
        )
        return [number for (number,) in found]

    async def waiting(self) -> bool:
        return bool(await self._value("SELECT EXISTS (SELECT FROM backtest_jobs WHERE state = 'queued')"))

    def close(self) -> None:
        self._connection.terminate()

    async def _end(  # noqa: PLR0917 - the row's columns
        self,
        number: int,
        state: str,
        reason: str | None,
        report: bytes | None = None,
        headline: Mapping[str, Any] | None = None,
        decisions: str | None = None,
        code: Mapping[str, str] | None = None,
    ) -> None:
        """`reason` None: what the row says already."""
        ended = await self._value(
            "UPDATE backtest_jobs SET state = $3, reason = coalesce($4, reason), report = $5, headline = $6,"
            " decisions = $7, code = $8, ended_at = clock_timestamp()"
            " WHERE id = $1 AND state = 'running' AND worker = $2 RETURNING true",
            number,
            self._worker,
            state,
            reason,
            report,
            headline,
            decisions,
            code,
        )
        await self._unlock(number)
        if not ended:
            raise NotOurs(f"job {number} is another worker's by now; what this one found is dropped")

    async def _lock(self, number: int) -> bool:
        return bool(await self._value("SELECT pg_try_advisory_lock($1, $2)", _JOBS, number))

    async def _unlock(self, number: int) -> None:
        await self._value("SELECT pg_advisory_unlock($1, $2)", _JOBS, number)

    async def _value(self, query: str, *arguments: Any) -> Any:
        try:
            return await self._connection.fetchval(query, *arguments)
        except UNAVAILABLE as error:
            raise explain(error, self._database.place) from error

    async def _rows(self, query: str, *arguments: Any) -> Any:
        try:
            return await self._connection.fetch(query, *arguments)
        except UNAVAILABLE as error:
            raise explain(error, self._database.place) from error


class NotOurs(ArbitradeError):
    """The job was taken over by another worker, or ended, since this one lost its session."""


@asynccontextmanager
async def owning(database: Database, worker: str) -> AsyncIterator[Ownership]:
    """A worker's session. `worker` is a name that no other has."""
    connection = await database.connect(application="arbitrade backtest worker")
    owner = Ownership(database, connection, worker)
    try:
        yield owner
    finally:
        owner.close()


# --- rows -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _using(pool: Pool) -> AsyncIterator[Any]:
    try:
        async with pool.acquire(timeout=10.0) as connection:
            yield connection
    except UNAVAILABLE as error:
        raise StorageError(f"the database did not serve backtest jobs: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def _transaction(pool: Pool) -> AsyncIterator[Any]:
    async with _using(pool) as connection, connection.transaction():
        yield connection


async def _audit(connection: Any, number: int, action: str, actor: str, detail: Mapping[str, Any]) -> None:
    await connection.execute(
        "INSERT INTO backtest_audit (job, action, actor, detail) VALUES ($1, $2, $3, $4)", number, action, actor, detail
    )
