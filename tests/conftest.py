"""What every test may use: an event loop of anyio's, and databases on a real server."""

import pytest

pytest_plugins = ["tests.database"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
