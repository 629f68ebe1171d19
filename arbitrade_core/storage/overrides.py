"""Setting overrides as they are kept: versions that are added and never changed. Raises StorageError throughout."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.errors import StorageError
from arbitrade_core.storage.connect import UNAVAILABLE, Pool


class Change(msgspec.Struct, frozen=True, rename={"was": "from"}):
    """What one override was and is, as text. None: there is none."""

    was: str | None
    to: str | None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    at_ns: Ns
    at: datetime | None = None
    """the same for people; None until it is stored"""
    actor: str
    reason: str
    changes: dict[str, Change]
    """by variable"""
    values: dict[str, str]
    """every override after it, by variable"""


class Kept(msgspec.Struct, frozen=True):
    """The newest version, as whoever reads settings needs it. Nothing was ever overridden: version 0."""

    version: int = 0
    values: dict[str, str] = {}
    since: dict[str, int] = {}
    """the version that gave each value"""

    def after(self, changes: Mapping[str, Change]) -> "Kept":
        """The version that follows when these are made."""
        version = self.version + 1
        left = {name: text for name, text in self.values.items() if name not in changes}
        fresh = {name: change.to for name, change in changes.items() if change.to is not None}
        since = {name: self.since[name] for name in left}
        return Kept(version, {**left, **fresh}, {**since, **dict.fromkeys(fresh, version)})


_SELECT = 'SELECT version, at_ns, at, actor, reason, changes, "values" FROM setting_overrides '
_SINCE = (
    "SELECT name, max(version) AS version FROM setting_overrides, jsonb_object_keys(changes) AS name"
    " WHERE name = ANY($1) GROUP BY name"
)


async def newest(pool: Pool) -> Kept:
    async with _asking(pool) as connection:
        row = await connection.fetchrow('SELECT version, "values" FROM setting_overrides ORDER BY version DESC LIMIT 1')
        if row is None:
            return Kept()
        since = await connection.fetch(_SINCE, list(row["values"]))
    return Kept(row["version"], row["values"], {one["name"]: one["version"] for one in since})


async def history(pool: Pool, limit: int) -> list[Version]:
    """Newest first."""
    async with _asking(pool) as connection:
        rows = await connection.fetch(_SELECT + "ORDER BY version DESC LIMIT $1", limit)
    return [msgspec.convert(dict(row), Version) for row in rows]


async def one(pool: Pool, version: int) -> Version | None:
    async with _asking(pool) as connection:
        row = await connection.fetchrow(_SELECT + "WHERE version = $1", version)
    return None if row is None else msgspec.convert(dict(row), Version)


async def add(pool: Pool, version: Version) -> None:
    """Raises StorageError also when somebody else added that version first: then nothing changed."""
    async with _asking(pool) as connection:
        try:
            await connection.execute(
                'INSERT INTO setting_overrides (version, at_ns, actor, reason, changes, "values")'
                " VALUES ($1, $2, $3, $4, $5, $6)",
                version.version,
                version.at_ns,
                version.actor,
                version.reason,
                msgspec.to_builtins(version.changes),
                version.values,
            )
        except asyncpg.UniqueViolationError:
            raise StorageError(
                f"somebody else changed settings at the same moment (version {version.version}); nothing of this was"
                " changed: see `arbitrade settings history`, then try again"
            ) from None


@asynccontextmanager
async def _asking(pool: Pool) -> AsyncIterator[Any]:
    try:
        async with pool.acquire(timeout=10.0) as connection:
            yield connection
    except UNAVAILABLE as error:
        raise StorageError(
            f"setting overrides: the database did not answer: {type(error).__name__}: {error}"
        ) from error
