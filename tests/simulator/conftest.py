"""Shared by the tests of the simulated exchange."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
