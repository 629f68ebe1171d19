"""A new plugin of every kind works as it is: its tests pass, its types hold, and its contracts are kept."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from arbitrade_core.errors import PluginError
from arbitrade_core.plugins import load_catalogue
from arbitrade_core.scaffold import KINDS, Scaffold, scaffold
from arbitrade_core.testing.checking import check_distribution
from arbitrade_core.testing.contracts import Verdict
from tests.house.repository import ROOT
from tests.kit.conftest import Install


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scaffold]:
    """One plugin of every kind, in one folder."""
    folder = tmp_path_factory.mktemp("plugins")
    return {kind: scaffold(f"my_{kind}", kind, folder) for kind in KINDS}


def sources(made: dict[str, Scaffold]) -> list[str]:
    return [str(one.folder / "src") for one in made.values()]


def ran(*command: str, path: list[str], cwd: Path) -> str:
    """What it printed. Its exit code was 0."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={
            "PATH": "",
            "HOME": str(cwd),
            "PYTHONPATH": ":".join([*path, str(ROOT)]),
            "MYPYPATH": ":".join(path),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_tests_pass(made: dict[str, Scaffold]) -> None:
    folders = [str(one.folder / "tests") for one in made.values()]
    settings = made["risk"].folder / "pyproject.toml"
    out = ran(
        *("pytest", "-c", str(settings), "-p", "arbitrade_core.testing.pytest_plugin", "-p", "no:cacheprovider"),
        *folders,
        path=sources(made),
        cwd=made["risk"].folder,
    )
    assert " passed" in out
    assert "failed" not in out


def test_its_types_hold(made: dict[str, Scaffold]) -> None:
    parts = [str(one.folder / part) for one in made.values() for part in ("src", "tests")]
    folder = made["risk"].folder.parent
    ran("mypy", "--strict", "--cache-dir", str(folder / ".mypy"), *parts, path=sources(made), cwd=folder)


def test_it_is_formatted_and_without_lint(made: dict[str, Scaffold]) -> None:
    folder = made["risk"].folder.parent
    ran("ruff", "check", "--no-cache", str(folder), path=[], cwd=folder)
    ran("ruff", "format", "--no-cache", "--check", str(folder), path=[], cwd=folder)


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_its_contract_once_installed(
    kind: str, made: dict[str, Scaffold], install: Install, tmp_path: Path
) -> None:
    one = made[kind]
    entry_points = tomllib.loads((one.folder / "pyproject.toml").read_text())["project"]["entry-points"]
    ((name, module),) = entry_points["arbitrade.plugins"].items()
    install(one.distribution, f"{name} = {module}", one.folder / "src")
    sets = [f"path={tmp_path / 'alerts.ndjson'}"] if kind == "notifier" else []
    (examined,) = check_distribution(one.distribution, sets)
    assert (examined.plugin, examined.name) == (name, name)
    assert [result for result in examined.results if result.verdict is Verdict.FAILED] == []
    catalogue = load_catalogue()
    assert catalogue.entry(name).last_error is None
    settings = catalogue.settings()
    assert catalogue.registry(settings, {name}) is not None


def test_its_settings_are_those_of_its_page(made: dict[str, Scaffold], install: Install) -> None:
    for kind, one in made.items():
        install(one.distribution, f"{one.name} = {one.package}.plugin", one.folder / "src")
        page = (one.folder / "README.md").read_text()
        model = load_catalogue().models.get(one.name)
        fields = set() if model is None else set(model.model_fields)
        assert fields == set(KINDS[kind].settings), kind
        assert all(f"`ARBITRADE_{one.name.upper()}__{field.upper()}`" in page for field in fields)


def test_nothing_of_the_template_is_left(made: dict[str, Scaffold]) -> None:
    for one in made.values():
        for path in one.files:
            text = (one.folder / path).read_text()
            assert "@NAME@" not in text
            assert "@PACKAGE@" not in text
            assert not [word for word in text.split() if word.startswith("@") and word.isupper()], path


@pytest.mark.parametrize(
    "name", ["", "My", "my-risk", "1st", "my__risk", "_my", "risk", "core", "kraken", "class", "../up"]
)
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="cannot name a plugin"):
        scaffold(name, "risk", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="there are risk, detector"):
        scaffold("mine", "strategy", tmp_path)


def test_what_is_there_stays(tmp_path: Path) -> None:
    there = tmp_path / "arbitrade-mine"
    there.mkdir()
    with pytest.raises(PluginError, match="is there already"):
        scaffold("mine", "risk", tmp_path)
    assert list(there.iterdir()) == []
