import asyncio
import socket
from pathlib import Path

import anyio.to_thread
import pytest
from pydantic import SecretStr

from arbitrade_core.errors import StorageError
from arbitrade_core.settings import CoreSettings, DatabaseSettings
from arbitrade_core.storage.connect import (
    Database,
    Place,
    configured,
    create_if_absent,
    open_database,
)
from arbitrade_core.storage.embedded import EmbeddedServer

pytestmark = pytest.mark.anyio
SECRET = "s3cret-canary"


@pytest.fixture(autouse=True)
def _no_database_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PG_HOST", "PG_PORT", "PG_USER", "PG_PASSWORD", "PG_DATABASE"):
        monkeypatch.delenv(name, raising=False)


def by_url(url: str) -> DatabaseSettings:
    return DatabaseSettings(database_url=SecretStr(url))


async def refusal(settings: DatabaseSettings, name: str | None = None) -> str:
    with pytest.raises(StorageError) as caught:
        async with open_database(settings, Path("/nowhere"), name):
            pass
    assert SECRET not in repr(caught.value)
    return str(caught.value)


async def ask(database: Database, query: str) -> object:
    connection = await database.connect()
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def as_user(database: Database, user: str, password: str, name: str | None = None) -> DatabaseSettings:
    place = database.place
    assert place.host is not None
    return DatabaseSettings(
        pg_host=place.host,
        pg_port=place.port or 5432,
        pg_user=user,
        pg_password=SecretStr(password),
        pg_database=name or place.database,
    )


def test_the_environment_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured(CoreSettings().database) is None
    monkeypatch.setenv("PG_HOST", "db.example")
    monkeypatch.setenv("PG_PASSWORD", SECRET)
    place = configured(CoreSettings().database)
    assert place is not None
    assert (place.host, place.port, place.database, place.password) == ("db.example", 5432, "arbitrade", SECRET)
    assert SECRET not in repr(place)
    assert SECRET not in repr(CoreSettings().database)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://bot:{SECRET}@first:6000/mine?sslmode=require")
    place = configured(CoreSettings().database)
    assert place is not None
    assert (place.database, place.shown, place.source) == ("mine", "first:6000", "DATABASE_URL")
    assert SECRET not in repr(place)


def test_a_name_passed_in_keeps_off_the_configured_database() -> None:
    place = configured(by_url("postgresql://h/live"), "arbitrade_demo")
    assert place is not None
    assert place.arguments()["database"] == "arbitrade_demo"


@pytest.mark.parametrize("url", [f"mysql://bot:{SECRET}@h/db", f"postgresql://bot:{SECRET}@h:port/db", f"bot:{SECRET}"])
async def test_a_malformed_url(url: str) -> None:
    assert (await refusal(by_url(url))).startswith("DATABASE_URL cannot be used")


async def test_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        message = await refusal(by_url(f"postgresql://bot:{SECRET}@127.0.0.1:{port}/db"))
    assert f"'db' at 127.0.0.1:{port} cannot be reached" in message
    assert "check DATABASE_URL" in message


async def test_a_host_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrade_core.storage.connect._CONNECT_S", 0.3)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100_000)
        await reader.read(100_000)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    message = await refusal(by_url(f"postgresql://bot:{SECRET}@127.0.0.1:{port}/db?sslmode=disable"))
    assert "did not answer in time" in message
    server.close()
    await asyncio.sleep(0.05)


async def test_a_wrong_password(database: Database) -> None:
    message = await refusal(as_user(database, database.place.user or "", SECRET))
    assert "refuses the user or password" in message
    assert "PG_PASSWORD" in message


async def test_a_read_only_database(database: Database) -> None:
    await ask(database, f"ALTER DATABASE {database.place.database} SET default_transaction_read_only = on")
    place = database.place
    settings = as_user(database, place.user or "", place.password or "")
    assert "is read-only" in await refusal(settings)


async def test_a_database_that_is_missing_is_created(database: Database) -> None:
    name = f"{database.place.database}_new"
    place = database.place.on(name)
    try:
        async with anyio.create_task_group() as tasks:  # all at once: all succeed
            for _ in range(4):
                tasks.start_soon(create_if_absent, place)
        assert await ask(Database(place), "SELECT current_database()") == name
    finally:
        await ask(database, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def test_a_database_that_is_missing_and_may_not_be_created(database: Database) -> None:
    role = f"r_{database.place.database}"
    await ask(database, f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
    try:
        message = await refusal(as_user(database, role, SECRET, "not_there"))
    finally:
        await ask(database, f"DROP ROLE {role}")
    assert "'not_there' does not exist" in message
    assert "CREATE DATABASE not_there" in message


async def test_names_that_need_quoting_are_not_created(database: Database) -> None:
    place = database.place
    settings = as_user(database, place.user or "", place.password or "", 'x"; DROP TABLE journal')
    assert "only names of lower-case letters" in await refusal(settings)


async def test_connections_are_utc_with_json(database: Database) -> None:
    connection = await database.connect()
    try:
        assert await connection.fetchval("SHOW timezone") == "UTC"
        value = {"a": [1, "ä", None, {"b": 1.5}]}
        assert await connection.fetchval("SELECT $1::jsonb", value) == value
        assert await connection.fetchval("SHOW statement_timeout") == "27s"
    finally:
        await connection.close()


async def test_a_dsn_of_the_fixture_works(dsn: str, database: Database) -> None:
    async with open_database(by_url(dsn), Path("/nowhere")) as opened:
        assert await ask(opened, "SELECT current_database()") == database.place.database


async def test_the_embedded_server_is_the_default(place: Path, database_server: Place) -> None:
    del database_server  # skips where there is no PostgreSQL
    async with open_database(DatabaseSettings(), place, "arbitrade_demo", fsync=False) as opened:
        assert await ask(opened, "SELECT current_database()") == "arbitrade_demo"
        assert str(place) in opened.place.shown
        async with opened.pool() as pool:
            assert await pool.fetchval("SELECT 1") == 1
    assert not list(place.glob("postgres-*/data/postmaster.pid"))  # noqa: ASYNC240


async def test_a_standby_is_refused(place: Path, database_server: Place) -> None:
    del database_server
    server = EmbeddedServer(place, fsync=False)
    await anyio.to_thread.run_sync(server.start)
    await anyio.to_thread.run_sync(server.stop)
    server.data.joinpath("standby.signal").touch()
    with pytest.raises(StorageError, match="is a standby that takes no writes"):
        async with open_database(DatabaseSettings(), place, "postgres", fsync=False):
            pass
