"""Installable distributions made on the spot, and an environment that says nothing."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from arbitrade_core.settings import CoreSettings, variables

type Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {variable.name for variable in variables(CoreSettings)}
    for name in list(os.environ):
        if name.upper() in known or name.upper().startswith("ARBITRADE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """Install a distribution: its metadata, its entry points, its modules."""

    def put(
        distribution: str,
        entry_points: Mapping[str, Mapping[str, str]],
        modules: Mapping[str, str],
        version: str = "1.0",
    ) -> Path:
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(
            "".join(
                f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
                for group, points in entry_points.items()
            )
        )
        for name, text in modules.items():
            (site / f"{name}.py").write_text(text)
        return site

    return put


@pytest.fixture
def plugin(install: Install) -> Callable[..., Path]:
    """Install a distribution with one plugin, made of one module's text."""

    def put(name: str, text: str, *, distribution: str = "", group: str = "arbitrade.plugins") -> Path:
        distribution = distribution or f"dist-{name}"
        module = f"mod_{distribution.replace('-', '_')}_{name}"
        return install(distribution, {group: {name: module}}, {module: text})

    return put
