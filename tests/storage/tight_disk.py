"""A database on a disk of its own that a test can fill: a tablespace on a small file system in memory."""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from arbitrade_core.storage.connect import Database, Place
from tests.database import administering, server_owner

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
def tight(server: Place, template: str) -> Iterator[tuple[Database, TightDisk]]:
    """Skips where this process may not mount file systems, or the server is not its own."""
    owner = server_owner(server)
    if sys.platform != "linux" or os.geteuid() != 0 or owner is None:
        pytest.skip("only root on Linux, with a server of its own, can give a database a small disk")
    root = Path(tempfile.mkdtemp(prefix="arb-tight-"))
    root.chmod(0o755)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_MB}m", "tmpfs", str(root)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        root.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        folder = root / "space"
        folder.mkdir()
        os.chown(folder, *owner)
        disk = TightDisk(root)
        name = f"t_{int(time.time())}_{secrets.token_hex(5)}"
        asyncio.run(_make(server, template, name, folder))
        try:
            yield Database(server.on(name)), disk
        finally:
            disk.make_room()
            asyncio.run(_drop(server, name))
    finally:
        subprocess.run(["umount", str(root)], check=True)
        shutil.rmtree(root)


async def _make(server: Place, template: str, name: str, folder: Path) -> None:
    async with administering(server) as connection:
        await connection.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} TABLESPACE {name}")


async def _drop(server: Place, name: str) -> None:
    async with administering(server) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"DROP TABLESPACE IF EXISTS {name}")
