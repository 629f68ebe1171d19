"""What the engine's tests share: an environment that says nothing."""

import os

import pytest

from arbitrade_core.settings import CoreSettings, variables


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {variable.name for variable in variables(CoreSettings)}
    for name in list(os.environ):
        if name.upper() in known or name.upper().startswith("ARBITRADE_"):
            monkeypatch.delenv(name)
