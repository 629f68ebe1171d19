"""Plain SQL files, numbered, each applied once: `migrations/0001_name.sql`, and the same for every plugin.

A file runs in one transaction together with the note that it ran. A file whose first line is `--
no-transaction` holds one statement that PostgreSQL refuses inside one (CREATE INDEX CONCURRENTLY); write it
so that it can be repeated, because it may have run and not been noted. A file that was applied never changes;
line ends do not count.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import anyio
import asyncpg

from arbitrade_core.errors import MigrationError
from arbitrade_core.storage.connect import UNAVAILABLE, Connection, Database, explain

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_SCOPE = re.compile(r"[a-z][a-z0-9_]{0,40}")
_LOCK = 0x41524249  # "ARBI"
_POLL_S = 0.05
CORE = "core"

_TABLE = """
CREATE TABLE IF NOT EXISTS public.schema_migrations (
    scope text NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, name)
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    scope: str
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        return not self.sql.startswith("-- no-transaction")


@dataclass(frozen=True, slots=True)
class Status:
    """File names of one scope, in order."""

    scope: str
    applied: tuple[str, ...]
    pending: tuple[str, ...]


def core_migrations() -> list[Migration]:
    """From the wheel's package data, else from the repository's folder."""
    packaged = files("arbitrade_core") / "migrations"
    return read(CORE, packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations")


def read(scope: str, folder: Traversable) -> list[Migration]:
    """The folder's migrations in order. Scope is `core`, or a plugin's name. Raises MigrationError."""
    if not _SCOPE.fullmatch(scope):
        raise MigrationError(f"migration scope {scope!r} is not a name of lower-case letters, digits and _")
    if not folder.is_dir():
        raise MigrationError(f"migrations of {scope}: there is no folder {folder}; reinstall the package")
    found: dict[str, Migration] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise MigrationError(f"migration {scope}/{file.name}: call it NNNN_lower_case_words.sql")
        if match[1] in found:
            raise MigrationError(
                f"migrations {scope}/{found[match[1]].name} and {file.name} have the same number; renumber one"
            )
        sql = file.read_bytes().decode().replace("\r\n", "\n")
        found[match[1]] = Migration(scope, file.name, sql)
    return list(found.values())


async def migrate(database: Database, migrations: Sequence[Migration]) -> list[str]:
    """Apply what is pending of one scope; returns the names applied. Safe when many processes start at once.

    A plugin's migrations run with its own schema `plugin_<scope>`, which is created, first on the search
    path. Raises MigrationError when a file changed, is missing, or fails: then nothing of that file was applied.
    """
    if not migrations:
        return []
    connection = await database.connect(application="arbitrade migrations", command_timeout_s=3600.0)
    try:
        # Asked for again and again, not waited for: a waiting statement holds a snapshot, for which
        # CREATE INDEX CONCURRENTLY in the process that has the lock would wait for ever.
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110
            await anyio.sleep(_POLL_S)
        await connection.execute(_TABLE)
        pending = _pending(migrations, await _applied(connection, migrations[0].scope))
        if pending and pending[0].scope != CORE:
            schema = f"plugin_{pending[0].scope}"
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path = {schema}, public")
        for migration in pending:
            await _apply(connection, migration)
        return [migration.name for migration in pending]
    except UNAVAILABLE as error:
        raise MigrationError(f"migrations could not run: {explain(error, database.place)}") from error
    finally:
        connection.terminate()


async def status(database: Database, migrations: Sequence[Migration]) -> Status:
    """What is applied and what is pending of one scope. Raises MigrationError like `migrate`; changes nothing."""
    connection = await database.connect(application="arbitrade migrations")
    try:
        exists = await connection.fetchval("SELECT to_regclass('public.schema_migrations') IS NOT NULL")
        applied = await _applied(connection, migrations[0].scope) if exists and migrations else {}
    except UNAVAILABLE as error:
        raise explain(error, database.place) from error
    finally:
        connection.terminate()
    pending = _pending(migrations, applied)
    scope = migrations[0].scope if migrations else CORE
    return Status(scope, tuple(applied), tuple(migration.name for migration in pending))


async def _applied(connection: Connection, scope: str) -> dict[str, str]:
    rows = await connection.fetch(
        "SELECT name, sha256 FROM public.schema_migrations WHERE scope = $1 ORDER BY name", scope
    )
    return {row["name"]: row["sha256"] for row in rows}


def _pending(migrations: Sequence[Migration], applied: dict[str, str]) -> list[Migration]:
    known = {migration.name: migration for migration in migrations}
    scope = migrations[0].scope if migrations else CORE
    for name, sha256 in applied.items():
        if name not in known:
            raise MigrationError(
                f"migration {scope}/{name} was applied to this database but its file is missing: the"
                " database was used by a newer version; install that version, or use another database"
            )
        if known[name].sha256 != sha256:
            raise MigrationError(
                f"migration {scope}/{name} changed after it was applied (sha256 {sha256[:12]} then,"
                f" {known[name].sha256[:12]} now); restore the file and put the change into a new one"
            )
    return [migration for migration in migrations if migration.name not in applied]


async def _apply(connection: Connection, migration: Migration) -> None:
    note = "INSERT INTO public.schema_migrations (scope, name, sha256) VALUES ($1, $2, $3)"
    try:
        if migration.in_transaction:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(note, migration.scope, migration.name, migration.sha256)
        else:
            await connection.execute(migration.sql)
            await connection.execute(note, migration.scope, migration.name, migration.sha256)
    except asyncpg.PostgresError as error:
        detail = f" ({error.detail})" if getattr(error, "detail", None) else ""
        outcome = "nothing of it was applied" if migration.in_transaction else "it may have been applied in part"
        raise MigrationError(
            f"migration {migration.scope}/{migration.name} failed: {error}{detail}; {outcome}"
        ) from error
