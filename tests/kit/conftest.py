"""The kit's own fixtures, also where no installed entry point brings them, and an environment that says nothing."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arbitrade_core.settings import CoreSettings, variables
from arbitrade_core.testing.pytest_plugin import (
    arbitrade_clock,
    arbitrade_desk,
    arbitrade_market,
    arbitrade_player,
)

__all__ = ["arbitrade_clock", "arbitrade_desk", "arbitrade_market", "arbitrade_player"]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {variable.name for variable in variables(CoreSettings)}
    for name in list(os.environ):
        if name.upper() in known or name.upper().startswith("ARBITRADE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


type Install = Callable[[str, str, Path], None]
"""(distribution, entry point `name = module`, the folder that holds the module)"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A distribution that is there as an installer leaves it: its metadata, and its folder on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def put(distribution: str, entry: str, source: Path) -> None:
        info = site / f"{distribution.replace('-', '_')}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[arbitrade.plugins]\n{entry}\n")
        monkeypatch.syspath_prepend(str(source))

    yield put
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
