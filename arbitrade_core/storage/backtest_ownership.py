"""What a worker owns of the queue of backtests: a slot, the job that it runs, and the variants that it computes.

A worker has an `Ownership`: one connection whose session holds the advisory locks of the job that runs and of the slot
it takes. A worker that is killed loses its session and with it the locks; the next one finds the job running and its
lock free, and puts it back into the queue. Everything raises StorageError when the database cannot answer.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from arbitrade_core.errors import ArbitradeError
from arbitrade_core.storage.backtests import JOBS, Progress, transaction, using
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database, Pool, explain

MAX_ATTEMPTS = 3

_SLOTS = 0x534C4F54  # "SLOT"
"""Class of the advisory locks of slots, the second key being the slot's number."""


class Claimed(msgspec.Struct, frozen=True):
    """A job that is ours to do."""

    id: int
    kind: str
    spec: Any
    """as it was submitted; it may be another version's"""
    resources: dict[str, Any]
    attempts: int
    """this one included"""


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
        return bool(await self._value("SELECT pg_try_advisory_lock($1, $2)", JOBS, number))

    async def _unlock(self, number: int) -> None:
        await self._value("SELECT pg_advisory_unlock($1, $2)", JOBS, number)

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


# --- variants ---------------------------------------------------------------------------------------------------------


class StoredVariant(msgspec.Struct, frozen=True):
    """One variant as it is written and read back. `result` is packed."""

    number: int
    settings: dict[str, str]
    decisions: str
    headline: dict[str, Any]
    result: bytes


async def stored_variants(pool: Pool, number: int, code: str) -> list[StoredVariant]:
    """What this code has computed of a sweep."""
    async with using(pool) as connection:
        found = await connection.fetch(
            "SELECT number, settings, decisions, headline, result FROM backtest_variants"
            " WHERE job = $1 AND code = $2 ORDER BY number",
            number,
            code,
        )
    return [StoredVariant(**record) for record in found]


async def save_variants(pool: Pool, number: int, code: str, computed: Sequence[StoredVariant]) -> None:
    """All or none."""
    async with transaction(pool) as connection:
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
