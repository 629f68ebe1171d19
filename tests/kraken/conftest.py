import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared" / "kraken"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings and reference files beside the checkout."""
    if not SHARED.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SHARED} is missing: with CI=true the recordings must be there")
        pytest.skip(f"the recordings are not beside this checkout ({SHARED})")
    return SHARED


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
