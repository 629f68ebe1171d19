"""Shared by the tests of the simulated exchange."""

from pathlib import Path

import pytest

CAPTURES = Path(__file__).parents[2].parent / "shared" / "kraken" / "captures"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
