"""An environment like a user's: Arbitrade and the example plugin installed side by side, from their wheels."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arbitrade_core.settings import CoreSettings, variables
from tests.demo.conftest import WAIT_S, Command
from tests.house.repository import ROOT, project

EXAMPLE = ROOT / "examples" / "arbitrade-calm"


@dataclass(frozen=True)
class Installed:
    """The environment, and a data directory for what runs in it."""

    scripts: Path
    data: Path
    variables: dict[str, str]

    def arbitrade(self, *arguments: str, **settings: str) -> Command:
        """An `arbitrade` command under way, with these variables set."""
        return self.runs(["arbitrade", *arguments], self.data, settings)

    def runs(self, words: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Command:
        """A command of the environment under way in a folder."""
        return Command(
            subprocess.Popen(
                [str(self.scripts / words[0]), *words[1:]],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
                env={**self.variables, **settings},
                cwd=folder,
            )
        )

    def told(self, *arguments: str) -> Any:
        """What a command that ends well prints as JSON."""
        command = self.arbitrade(*arguments)
        assert command.ended() == 0, command.errors
        return json.loads(command.out)


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    # The path is short, for the socket of the database, and open, since the database may run as another user.
    with tempfile.TemporaryDirectory(prefix="arb-ex-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        wheels = [_wheel(source, folder) for source in (ROOT, EXAMPLE)]
        scripts = _environment(folder / "env", wheels)
        data = folder / "data"
        data.mkdir()
        known = {variable.name for variable in variables(CoreSettings)}
        clean = {
            key: value
            for key, value in os.environ.items()
            if key.upper() not in known and not key.upper().startswith(("ARBITRADE_", "PYTEST_", "PYTHONPATH"))
        }
        told = {"ARBITRADE_DATA_DIR": str(data), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
        yield Installed(scripts, data, {**clean, **told})


@pytest.fixture
def start(installed: Installed) -> Iterator[Callable[..., Command]]:
    """Start a command that goes on; it is ended with the test."""
    running: list[Command] = []

    def begin(*arguments: str, **settings: str) -> Command:
        running.append(installed.arbitrade(*arguments, **settings))
        return running[-1]

    yield begin
    for command in running:
        if command.process.poll() is None:
            command.interrupt()
            try:
                command.process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                command.process.kill()
        command.process.communicate()


def _wheel(source: Path, folder: Path) -> Path:
    """The wheel of a project, built with the build tools that this repository pins."""
    out = folder / f"dist-{source.name}"
    pins = folder / "build-pins.txt"
    pins.write_text("\n".join(project()["tool"]["uv"]["build-constraint-dependencies"]))
    build = ["build", "--quiet", "--wheel", "--build-constraints", str(pins), "--out-dir", str(out), str(source)]
    try:
        _uv(*build, "--offline")
    except AssertionError:  # the build tools are not in uv's cache yet
        _uv(*build)
    (wheel,) = out.glob("*.whl")
    return wheel


def _environment(folder: Path, wheels: Sequence[Path]) -> Path:
    """A fresh environment with these wheels; where its commands are.

    Third-party libraries are those of the environment that runs the tests: a .pth file puts its site-packages behind
    the fresh one's own. Nothing is fetched, and versions are the tested ones. Arbitrade and the plugin come from the
    wheels all the same: the fresh site-packages go first for modules and for entry points, and .pth files of a folder
    that was itself named by one are not read, so an editable install of the checkout stays out of sight.
    """
    _uv("venv", "--quiet", "--python", sys.executable, str(folder))
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    _uv("pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(scripts / "python"), *map(str, wheels))
    (site,) = [path.parent for path in folder.rglob("arbitrade_calm") if path.parent.name == "site-packages"]
    paths = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "libraries.pth").write_text("".join(f"{path}\n" for path in paths))
    return scripts


def _uv(*arguments: str) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        if os.environ.get("CI") == "true":
            pytest.fail("uv is missing: with CI=true the example's wheel must be built")
        pytest.skip("uv is missing, so no wheel can be built; run the tests with `uv run pytest`")
    done = subprocess.run([uv, *arguments], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, f"uv {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
