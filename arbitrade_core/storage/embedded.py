"""A local PostgreSQL that needs no installation: found, initialised, started, shared and stopped by its users.

Any number of processes may use one data directory at once. Each holds a shared lock that the kernel drops
when it dies, so the last one out stops the server, and after a `kill -9` of all of them the next start finds
the server still there and takes it over. Whether a server lives is decided by connecting to it and by a lock
its own processes hold; a PID in a file is never trusted, and no process is signalled that does not run in
this data directory.

    <data dir>/postgres.gate              held while somebody starts or stops
    <data dir>/postgres-18/data/          the cluster, one per major version
    <data dir>/postgres-18/{password, server.log, users.lock, server.lock, run/}
"""

import asyncio
import hashlib
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import asyncpg
import structlog

from arbitrade_core.errors import StorageError
from arbitrade_core.storage.binaries import Binaries
from arbitrade_core.storage.homes import find_home
from arbitrade_core.storage.locks import Gate, ServerLock, UsersLock
from arbitrade_core.storage.runas import RunAs, hand_over

USER: Final = "arbitrade"
_START_S = 120.0
_STOP_S = 30
_GATE_S = _START_S + 2 * _STOP_S
_PROBE_S = 3.0
_POLL_S = 0.05
_UNIX = os.name != "nt"
_SOCKET_PATH_MAX = 103
"""bytes of a Unix socket's path: 107 on Linux, 103 on macOS"""
_SOCKET_NAME = "/.s.PGSQL.5432"
_LOG_MAX_BYTES = 1_000_000
_LOG_TAIL_LINES = 12
_FIRST_BUILTIN_LOCALE = 17

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """How to connect to the server; `host` is a directory where there are Unix sockets."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)


class _Answer(Enum):
    READY = "ready"
    BUSY = "starting, stopping or hanging"
    ABSENT = "absent"


class EmbeddedServer:
    """One process's use of the server in `data_dir`. The methods block: call them from a thread without a loop.

    `fsync=False` is for tests: fast, and lost with the machine's power. `settings` go into the server's
    configuration when this process is the one that starts it.
    """

    def __init__(self, data_dir: Path, *, fsync: bool = True, settings: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir.expanduser().resolve()  # one spelling, so that all agree on the socket
        self._fsync = fsync
        self._settings = dict(settings or {})
        self._users: UsersLock | None = None
        self._binaries: Binaries | None = None
        self._home = self._data_dir
        self._run_as = RunAs(None)

    @property
    def home(self) -> Path:
        """The directory of this major version, known after `start`."""
        return self._home

    @property
    def data(self) -> Path:
        return self._home / "data"

    @property
    def major(self) -> int:
        return self._programs.major

    @property
    def address(self) -> Address:
        try:
            password = self._home.joinpath("password").read_text().strip()
        except OSError as error:
            raise StorageError(
                f"cannot read {self._home / 'password'} ({error.strerror}): the server in {self.data} asks"
                f" for it; restore the file, or move {self.data} away to begin with an empty database"
            ) from error
        if _UNIX:
            return Address(str(self._socket_dir()), 5432, USER, password)
        return Address("127.0.0.1", _lock_file_line(self.data, 4) or 5432, USER, password)

    def start(self) -> None:
        """Join the server, starting it when nobody has. Raises StorageError."""
        if self._users is not None:
            raise StorageError(f"the server in {self._data_dir} is already in use by this object")
        self._make_data_dir()
        with self._gate():
            home = find_home(self._data_dir)
            self._home, self._run_as, self._binaries = home.path, home.run_as, home.binaries
            users = UsersLock(self._home / "users.lock")
            try:
                self._bring_up()
            except BaseException:
                users.leave()
                raise
            self._users = users

    def ensure(self) -> None:
        """Start the server again if it died under its users."""
        if self._probe() is not _Answer.READY:
            with self._gate():
                self._bring_up()

    def stop(self) -> bool:
        """Leave; the last one out stops the server. Whether it was stopped."""
        if self._users is None:
            return False
        users, self._users = self._users, None
        try:
            with self._gate():
                return users.alone() and self._shut_down()
        finally:
            users.leave()

    # --- where and as whom ----------------------------------------------------------------------------------

    @property
    def _programs(self) -> Binaries:
        if self._binaries is None:
            raise StorageError("the embedded server has not been started")
        return self._binaries

    def _gate(self) -> Gate:
        return Gate(self._data_dir / "postgres.gate", _GATE_S)

    def _make_data_dir(self) -> None:
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._data_dir.joinpath("postgres.gate").touch(mode=0o600)
        except OSError as error:
            raise StorageError(
                f"cannot write to the data directory {self._data_dir}: {error.strerror}; make it writable"
                " for this user or set ARBITRADE_DATA_DIR to one that is"
            ) from error

    def _own(self, path: Path) -> Path:
        if self._run_as.uid:
            hand_over(path, self._run_as.uid)
        return path

    def _socket_dir(self) -> Path:
        folder = self._home / "run"
        if len(os.fsencode(f"{folder}{_SOCKET_NAME}")) <= _SOCKET_PATH_MAX:
            return folder
        # Not TMPDIR: every process that shares the server must come to the same place.
        name = hashlib.sha256(os.fsencode(self._home)).hexdigest()[:12]
        return Path("/tmp") / f"arbitrade-{name}"  # noqa: S108 - owner and mode are checked below

    def _make_socket_dir(self) -> None:
        folder = self._socket_dir()
        try:
            folder.mkdir(mode=0o700)
            self._own(folder)
        except FileExistsError:
            found = folder.lstat()
            wanted = self._home.stat().st_uid
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != wanted or found.st_mode & 0o077:
                raise StorageError(
                    f"{folder} is not a private directory of uid {wanted}; remove it, it is for the server's socket"
                ) from None

    # --- up -------------------------------------------------------------------------------------------------

    def _bring_up(self) -> None:
        if not self.data.exists():
            self._create()
        lock = ServerLock(self._home / "server.lock")
        deadline = time.monotonic() + _START_S
        launched = False
        while (answer := self._probe()) is not _Answer.READY:
            if answer is _Answer.ABSENT and lock.free():
                if launched:
                    raise self._does_not_start("it ended right after its start")
                self._launch(lock)
                launched = True
            elif time.monotonic() > deadline:
                pid = _lock_file_line(self.data, 1)
                raise self._does_not_start(f"process {pid} runs but has not answered for {_START_S:.0f} s")
            else:
                time.sleep(_POLL_S)

    def _create(self) -> None:
        """initdb beside the final place, so that a crash leaves no half-made cluster behind."""
        new = self._home / "data.new"
        if new.exists():
            shutil.rmtree(new)  # left by an initdb that did not end: never held anything
        password = self._home / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        self._own(password)
        argv = [self._programs.path("initdb"), "-D", str(new), "-U", USER, f"--pwfile={password}"]
        argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]
        if self._programs.major >= _FIRST_BUILTIN_LOCALE:
            argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self._fsync:
            argv.append("--no-sync")
        if self._run(argv) != 0:
            raise StorageError(f"initdb could not make a database in {self._home}:\n{self._log_tail()}")
        with new.joinpath("postgresql.conf").open("a") as config:
            config.write("\ninclude_if_exists = 'arbitrade.conf'\n")
        new.rename(self.data)

    def _launch(self, lock: ServerLock) -> None:
        if not self.data.joinpath("PG_VERSION").is_file():
            raise self._does_not_start("the file PG_VERSION is missing")
        if _UNIX:
            self._make_socket_dir()
            self._forget_dead_server()
        self._write_config()
        argv = [self._programs.path("pg_ctl"), "start", "-D", str(self.data), "-l", str(self._log_file())]
        argv += ["-w", "-s", "-t", f"{_START_S:.0f}"]
        fd = lock.take()
        try:
            if self._run(argv, inherited=fd) != 0:
                raise self._does_not_start("pg_ctl start failed")
        finally:
            os.close(fd)

    def _forget_dead_server(self) -> None:
        """Remove the PID files of a server that is gone.

        PostgreSQL refuses to start while *any* process has the PID written there, and PIDs come round again
        (after a reboot, in a container always). The server lock is free, so no process of the server lives.
        """
        pid = _lock_file_line(self.data, 1)
        if pid is not None and not _runs_in(pid, self.data):
            for path in (self.data / "postmaster.pid", *self._socket_dir().glob(".s.PGSQL.*.lock")):
                path.unlink(missing_ok=True)

    def _write_config(self) -> None:
        settings = {
            "listen_addresses": "" if _UNIX else "127.0.0.1",
            "port": "5432" if _UNIX else str(_free_port()),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "synchronous_commit": "on" if self._fsync else "off",
        }
        if _UNIX:
            settings["unix_socket_directories"] = f'"{self._socket_dir()}"'
            settings["unix_socket_permissions"] = "0700"
        settings |= self._settings
        lines = [f"{name} = '{value.replace("'", "''")}'\n" for name, value in settings.items()]
        config = self.data / "arbitrade.conf"
        config.write_text("# written at every start; add your own settings to postgresql.conf\n" + "".join(lines))
        self._own(config)

    # --- down -----------------------------------------------------------------------------------------------

    def _shut_down(self) -> bool:
        pid = _lock_file_line(self.data, 1)
        if pid is None or (_UNIX and ServerLock(self._home / "server.lock").free()):
            return False
        if not _runs_in(pid, self.data):
            _log.warning("database left running: its process is not to be seen from here", data=str(self.data))
            return False
        stop = [self._programs.path("pg_ctl"), "stop", "-D", str(self.data), "-w", "-s", "-t", str(_STOP_S)]
        if self._run([*stop, "-m", "fast"]) == 0 or self._run([*stop, "-m", "immediate"]) == 0:
            return True
        _log.warning("database did not stop", data=str(self.data), pid=pid, log=str(self._log_file()))
        return False

    # --- tools ----------------------------------------------------------------------------------------------

    def _run(self, argv: list[str], inherited: int | None = None) -> int:
        # Own session: Ctrl-C at the terminal is for the bot, which then stops its server in order.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
        environment |= {"LC_ALL": "C", "LANG": "C"}
        with self._log_file().open("ab") as log:
            return subprocess.run(  # noqa: S603
                self._run_as.command(self._home, argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                pass_fds=() if inherited is None or not _UNIX else (inherited,),
                start_new_session=True,
                check=False,
            ).returncode

    def _log_file(self) -> Path:
        log = self._home / "server.log"
        if not log.exists():
            log.touch(mode=0o600)
            self._own(log)
        elif log.stat().st_size > _LOG_MAX_BYTES and ServerLock(self._home / "server.lock").free():
            log.replace(log.with_suffix(".log.1"))
            return self._log_file()
        return log

    def _log_tail(self) -> str:
        lines = self._log_file().read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines)

    def _does_not_start(self, why: str) -> StorageError:
        return StorageError(
            f"PostgreSQL does not serve the data directory {self.data}: {why}. Its last log lines"
            f" ({self._home / 'server.log'}):\n{self._log_tail()}\nIf the directory is damaged, restore it"
            f" from a backup, or move {self.data} away to begin with an empty database. Nothing was deleted."
        )

    def _probe(self) -> _Answer:
        try:
            return asyncio.run(self._ask())
        except (
            asyncpg.CannotConnectNowError,
            asyncpg.ConnectionDoesNotExistError,
            ConnectionResetError,
            TimeoutError,
        ):
            return _Answer.BUSY
        except asyncpg.TooManyConnectionsError:
            return _Answer.READY
        except asyncpg.InvalidPasswordError as error:
            raise StorageError(
                f"the server of {self.data} refuses the password in {self._home / 'password'}; put the"
                f" password of its user {USER} back there"
            ) from error
        except asyncpg.PostgresError as error:
            raise self._does_not_start(f"it answers with: {error}") from error
        except OSError:
            return _Answer.ABSENT

    async def _ask(self) -> _Answer:
        address = self.address
        connection = await asyncpg.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database="postgres",
            timeout=_PROBE_S,
        )
        try:
            fsync = await connection.fetchval("SHOW fsync", timeout=_PROBE_S)
        finally:
            connection.terminate()
        if self._fsync and fsync != "on":
            raise StorageError(
                f"the running server of {self.data} was started with fsync off, which can lose what it"
                " confirmed; stop the process that started it, or use another data directory"
            )
        return _Answer.READY


@asynccontextmanager
async def embedded_server(
    data_dir: Path, *, fsync: bool = True, settings: Mapping[str, str] | None = None
) -> AsyncIterator[EmbeddedServer]:
    """Use the server in `data_dir` for the time of the block. Raises StorageError."""
    server = EmbeddedServer(data_dir, fsync=fsync, settings=settings)
    await anyio.to_thread.run_sync(server.start)
    try:
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(server.stop)


def _lock_file_line(data: Path, line: int) -> int | None:
    """A number from `postmaster.pid`: line 1 is the PID, line 4 the port. None: no such file or line."""
    try:
        return int(data.joinpath("postmaster.pid").read_text().splitlines()[line - 1])
    except (OSError, IndexError, ValueError):
        return None


def _runs_in(pid: int, data: Path) -> bool:
    """Whether process `pid` has `data` as its working directory, as the postmaster does. Linux can tell."""
    if sys.platform != "linux":
        return not ServerLock(data.parent / "server.lock").free()
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except PermissionError:  # started in another user namespace; its command line is there for everybody
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return os.fsencode(data) in argv and b"postgres" in argv[0]
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
