"""Where the database is, and connections to it: `DATABASE_URL`, else `PG_*`, else the embedded server.

Whatever keeps it from being used is one StorageError that says what, where and what to do; it never holds a password.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import anyio.to_thread
import asyncpg
import orjson

from arbitrade_core.errors import StorageError
from arbitrade_core.settings import DatabaseSettings
from arbitrade_core.storage.embedded import embedded_server

type Connection = asyncpg.Connection[asyncpg.Record]
type Pool = asyncpg.Pool[asyncpg.Record]

DEFAULT_DATABASE: Final = "arbitrade"
DEMO_DATABASE: Final = "arbitrade_demo"
OLDEST_MAJOR: Final = 14
_CONNECT_S = 10.0
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

UNAVAILABLE: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
"""What asyncpg raises when the database, or the way to it, is in trouble."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database on a server. `dsn` carries options of the URL (TLS and the like); the other fields stand above it."""

    database: str
    shown: str
    """where, for people: no password"""
    source: str
    """what to change when it is wrong"""
    dsn: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def on(self, database: str) -> "Place":
        """The same server, another database."""
        return Place(database, self.shown, self.source, self.dsn, self.host, self.port, self.user, self.password)

    def arguments(self) -> dict[str, Any]:
        given = {
            "dsn": self.dsn,
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
        }
        return {name: value for name, value in given.items() if value is not None} | {"database": self.database}


def configured(settings: DatabaseSettings, name: str | None = None) -> Place | None:
    """The place the settings name; None when they name none and the embedded server is meant.

    `name` overrides the database (the demo and tests never touch the one that `run` uses).
    """
    if settings.database_url is not None:
        return _from_url(settings.database_url.get_secret_value(), name)
    if settings.pg_host is None:
        return None
    password = settings.pg_password.get_secret_value() if settings.pg_password is not None else None
    return Place(
        database=name or settings.pg_database or DEFAULT_DATABASE,
        shown=f"{settings.pg_host}:{settings.pg_port}",
        source="PG_HOST, PG_PORT, PG_USER, PG_PASSWORD",
        host=settings.pg_host,
        port=settings.pg_port,
        user=settings.pg_user,
        password=password,
    )


def _from_url(url: str, name: str | None) -> Place:
    wrong = "DATABASE_URL cannot be used: {}; it reads postgresql://user:password@host:port/database"
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        if "," not in hosts:  # several hosts are the driver's to parse
            _ = parts.port
    except ValueError:  # its message repeats the URL, and that may hold a password
        raise StorageError(wrong.format("host or port is malformed")) from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise StorageError(wrong.format(f"its scheme is {parts.scheme!r}"))
    database = name or unquote(parts.path.lstrip("/")) or DEFAULT_DATABASE
    return Place(
        database=database,
        shown=hosts or "the local socket",
        source="DATABASE_URL",
        dsn=url,
        user=unquote(parts.username) if parts.username else None,
    )


@dataclass(frozen=True, slots=True)
class Database:
    """A database that was reachable, writable and there when it was opened."""

    place: Place
    revive: Callable[[], Awaitable[None]] | None = None
    """starts the embedded server again if it died; None for a server that is not ours"""

    async def connect(self, *, application: str = "arbitrade", command_timeout_s: float = 30.0) -> Connection:
        """One connection, ready to write. Raises StorageError."""
        if self.revive is not None:
            await self.revive()
        connection = await _connect(self.place, application, command_timeout_s)
        try:
            await prepare(connection)
            await _refuse_unwritable(connection, self.place)
        except StorageError:
            connection.terminate()
            raise
        except UNAVAILABLE as error:
            connection.terminate()
            raise explain(error, self.place) from error
        return connection

    @asynccontextmanager
    async def pool(
        self,
        *,
        size: int = 4,
        application: str = "arbitrade",
        command_timeout_s: float = 30.0,
        schema: str | None = None,
    ) -> AsyncIterator[Pool]:
        """A pool for the running event loop; a thread with its own loop has its own pool. `schema` comes first on the
        search path, before `public`. Raises StorageError."""
        settings = _server_settings(application, command_timeout_s)
        if schema is not None:
            settings["search_path"] = f"{schema}, public"
        try:
            pool = await asyncpg.create_pool(
                **self.place.arguments(),
                min_size=1,
                max_size=size,
                init=prepare,
                timeout=_CONNECT_S,
                command_timeout=command_timeout_s,
                server_settings=settings,
            )
        except UNAVAILABLE as error:
            raise explain(error, self.place) from error
        try:
            yield pool
        finally:
            # Not close(): that waits for whoever still holds a connection, and a dead server keeps them long.
            await _close(pool)


@asynccontextmanager
async def open_database(
    settings: DatabaseSettings, data_dir: Path, name: str | None = None, *, fsync: bool = True
) -> AsyncIterator[Database]:
    """The database to use, created when absent: the configured server, else the embedded one. Raises
    StorageError."""
    place = configured(settings, name)
    if place is not None:
        await create_if_absent(place)
        yield Database(place)
        return
    async with embedded_server(data_dir, fsync=fsync) as server:
        address = server.address
        place = Place(
            database=name or DEFAULT_DATABASE,
            shown=f"the embedded server in {server.home}",
            source="ARBITRADE_DATA_DIR",
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
        )

        async def revive() -> None:
            await anyio.to_thread.run_sync(server.ensure)

        await create_if_absent(place)
        yield Database(place, revive)


async def create_if_absent(place: Place, options: str = "") -> None:
    """Check that the database is there and writable; create it when it is not there. Raises StorageError."""
    try:
        connection = await _connect(place, "arbitrade", _CONNECT_S, explained=False)
    except asyncpg.InvalidCatalogNameError:
        await _create(place, options)
        return
    except UNAVAILABLE as error:
        raise explain(error, place) from error
    try:
        await _refuse_unwritable(connection, place)
    except UNAVAILABLE as error:
        raise explain(error, place) from error
    finally:
        connection.terminate()


async def _create(place: Place, options: str) -> None:
    if not _NAME.fullmatch(place.database):
        raise StorageError(
            f"database {place.database!r} does not exist at {place.shown}, and only names of lower-case"
            f" letters, digits and _ are created; create it yourself or name another ({place.source})"
        )
    connection = await _connect(place.on("postgres"), "arbitrade", _CONNECT_S)
    try:
        await _refuse_unwritable(connection, place)
        await connection.execute(f'CREATE DATABASE "{place.database}" {options}')
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # another process was first
    except asyncpg.InsufficientPrivilegeError as error:
        raise StorageError(
            f"database {place.database!r} does not exist at {place.shown} and this user may not create it;"
            f" as an administrator: CREATE DATABASE {place.database} OWNER <user>, or correct {place.source}"
        ) from error
    except UNAVAILABLE as error:
        raise explain(error, place) from error
    finally:
        connection.terminate()


async def _connect(place: Place, application: str, command_timeout_s: float, *, explained: bool = True) -> Connection:
    try:
        connection: Connection = await asyncpg.connect(
            **place.arguments(),
            timeout=_CONNECT_S,
            command_timeout=command_timeout_s,
            server_settings=_server_settings(application, command_timeout_s),
        )
    except UNAVAILABLE as error:
        if explained:
            raise explain(error, place) from error
        raise
    return connection


def _server_settings(application: str, command_timeout_s: float) -> dict[str, str]:
    return {
        "application_name": application,
        "timezone": "UTC",
        # The server gives up first, so that a slow statement is an answer and not a broken connection.
        "statement_timeout": str(int(command_timeout_s * 900)),
        "idle_in_transaction_session_timeout": "60000",
        "tcp_keepalives_idle": "15",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }


async def prepare(connection: Any) -> None:
    """What every connection of ours has: json and jsonb as Python values."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=_json_text, decoder=orjson.loads, schema="pg_catalog", format="text"
        )


def _json_text(value: object) -> str:
    return orjson.dumps(value).decode()


async def _close(pool: Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), timeout=2.0)
    except UNAVAILABLE:
        pool.terminate()


async def _refuse_unwritable(connection: Connection, place: Place) -> None:
    version, standby, read_only = await connection.fetchrow(
        "SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery(),"
        " current_setting('transaction_read_only') = 'on'"
    ) or (0, False, False)
    where = f"database {place.database!r} at {place.shown}"
    if version < OLDEST_MAJOR:
        raise StorageError(f"{where} is PostgreSQL {version}; use version {OLDEST_MAJOR} or newer")
    if standby:
        raise StorageError(f"{where} is a standby that takes no writes; point {place.source} to the primary")
    if read_only:
        raise StorageError(
            f"{where} is read-only (default_transaction_read_only is on); turn that off, or correct {place.source}"
        )


def explain(error: BaseException, place: Place) -> StorageError:
    """One sentence about a failure to connect or to be served: what, where, what to do."""
    where = f"database {place.database!r} at {place.shown}"
    fix = f"check {place.source}"
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            text = f"{where} refuses the user or password ({error}); {fix} and the server's pg_hba.conf"
        case asyncpg.InvalidCatalogNameError():
            text = f"{where} does not exist; create it, or {fix}"
        case asyncpg.CannotConnectNowError():
            text = f"{where} is not ready ({error}); wait for it, then start again"
        case asyncpg.TooManyConnectionsError():
            text = f"{where} has no connection left ({error}); raise max_connections or stop another user of it"
        case asyncpg.InsufficientPrivilegeError():
            text = f"{where} does not allow this to the user ({error}); grant it, or {fix}"
        case asyncpg.ReadOnlySQLTransactionError():
            text = f"{where} became read-only ({error}); point {place.source} to a primary that takes writes"
        case asyncpg.DiskFullError():
            text = f"{where} has no disk space left ({error}); free some"
        case TimeoutError():
            text = f"{where} did not answer in time; see whether it hangs, and {fix}"
        case OSError():
            text = f"{where} cannot be reached ({error}); see whether it runs, and {fix}"
        case _:
            text = f"{where} failed: {type(error).__name__}: {error}"
    return StorageError(text)
