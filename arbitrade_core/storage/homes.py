"""Where a server's files are, which programs run it, and as which user.

A home is `<data dir>/postgres-<major>`. Existing data decides; a new home goes where a user that PostgreSQL accepts
can reach it: for root without user namespaces, whose own data directory is usually private, that may be
`/var/lib/arbitrade`.
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from arbitrade_core.errors import StorageError
from arbitrade_core.storage.binaries import Binaries, choose, find_all
from arbitrade_core.storage.runas import NOBODY, RunAs, candidates, hand_over

_ROOTS_OTHER_PLACE = Path("/var/lib/arbitrade")
_UNIX = os.name != "nt"


@dataclass(frozen=True, slots=True)
class Home:
    path: Path
    run_as: RunAs
    binaries: Binaries


def find_home(data_dir: Path) -> Home:
    """The home for this data directory, made when there is none. Call it behind the gate. Raises StorageError."""
    places = [data_dir]
    if _UNIX and os.geteuid() == 0:
        places.append(_ROOTS_OTHER_PLACE / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12])
    clusters: dict[int, Path] = {}
    for place in places:
        for major, home in _homes(place).items():
            clusters.setdefault(major, home)
    binaries = choose(find_all(), clusters)
    if binaries.major not in clusters:
        return _new_home(places, binaries)
    home = clusters[binaries.major]
    run_as = _first_working(home, binaries)
    if run_as is None:
        raise StorageError(
            f"cannot run PostgreSQL as uid {home.stat().st_uid}, the owner of {home}: that user must reach the"
            f" directory and be able to run {binaries.path('postgres')}; start as that user instead"
        )
    return Home(home, run_as, binaries)


def _homes(place: Path) -> dict[int, Path]:
    """Directories with data below `place`, by major version."""
    homes: dict[int, Path] = {}
    with suppress(FileNotFoundError, PermissionError):
        for home in place.iterdir():
            name, _, major = home.name.partition("-")
            if name == "postgres" and major.isdigit() and _holds_data(home):
                homes[int(major)] = home
    return homes


def _holds_data(home: Path) -> bool:
    try:
        return home.joinpath("data").exists()
    except PermissionError:
        return True  # somebody else's: to be told apart from none at all


def _first_working(home: Path, binaries: Binaries) -> RunAs | None:
    program = binaries.path("postgres")
    return next((run_as for run_as in candidates(home) if run_as.works(home, program)), None)


def _new_home(places: list[Path], binaries: Binaries) -> Home:
    home = places[0]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        home = place / f"postgres-{binaries.major}"
        home.mkdir(mode=0o700, exist_ok=True)
        run_as = _first_working(home, binaries)
        if run_as is None and _UNIX and os.geteuid() == 0:
            hand_over(home, NOBODY)
            run_as = _first_working(home, binaries)
        if run_as is not None:
            return Home(home, run_as, binaries)
    if not _UNIX or os.geteuid() != 0:
        raise StorageError(f"cannot write to {home}; make it writable for this user or set ARBITRADE_DATA_DIR")
    raise StorageError(
        f"PostgreSQL refuses to run as root; user namespaces are denied here and uid {NOBODY} can reach"
        f" neither {' nor '.join(map(str, places))} or cannot run {binaries.path('postgres')}; set"
        " ARBITRADE_DATA_DIR to a directory everybody can reach, or start as a normal user"
    )
