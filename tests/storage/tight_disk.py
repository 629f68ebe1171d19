"""A database on a disk that a test can fill: a tablespace on a small file system in memory.

The server is one of its own: with a full disk it cannot make checkpoints, which others wait for who drop databases.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from arbitrade_core.storage.connect import Database, Place
from arbitrade_core.storage.embedded import EmbeddedServer
from arbitrade_core.storage.migrations import core_migrations, migrate
from tests.database import administering

_MB = 32
"""a database is some 10 MB"""


class TightDisk:
    def __init__(self, root: Path) -> None:
        self._ballast = root / "ballast"

    def fill(self) -> None:
        """Until nothing more goes on it."""
        with suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk() -> Iterator[Path]:
    """Skips where this process may not mount file systems."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can give a database a small disk")
    root = Path(tempfile.mkdtemp(prefix="arb-tight-"))
    root.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_MB}m", "tmpfs", str(root)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        root.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield root
    finally:
        subprocess.run(["umount", str(root)], check=True)
        root.rmdir()


@contextmanager
def server_of_its_own() -> Iterator[tuple[Place, Path]]:
    """And the directory of its files."""
    folder = Path(tempfile.mkdtemp(prefix="arb-tight-"))
    folder.chmod(0o755)
    server = EmbeddedServer(folder, fsync=False)
    server.start()
    try:
        address = server.address
        yield (
            Place(
                "postgres",
                "the test server",
                "tests/storage/tight_disk.py",
                host=address.host,
                port=address.port,
                user=address.user,
                password=address.password,
            ),
            folder,
        )
    finally:
        server.stop()
        shutil.rmtree(folder)


def _space(root: Path, files: Path) -> Path:
    """A directory on it for the user that runs the server."""
    space, owner = root / "space", next(files.glob("postgres-*")).stat()
    space.mkdir()
    os.chown(space, owner.st_uid, owner.st_gid)
    return space


@asynccontextmanager
async def database_on(root: Path, server: Place, files: Path) -> AsyncIterator[Database]:
    """With the core's schema."""
    space, name = _space(root, files), f"t_{secrets.token_hex(5)}"
    async with administering(server) as connection:
        await connection.execute(f"CREATE TABLESPACE {name} LOCATION '{space}'")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE {name}")
    database = Database(server.on(name))
    await migrate(database, core_migrations())
    try:
        yield database
    finally:
        TightDisk(root).make_room()
        async with administering(server) as connection:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await connection.execute(f"DROP TABLESPACE {name}")
