"""What the storage tests share: the event loop, and directories for servers of their own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short path that other users can reach, for a server of the test's own."""
    folder = Path(tempfile.mkdtemp(prefix="arb-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
