"""Halts in a file of the data directory, beside the journal: either keeps the bot halted (DESIGN 5).

The journal may be out of reach when the bot halts, and the process may be killed before it is back. The file is written
at once, by the shell, from the same records that go to the journal.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import structlog

from arbitrade_core.journal import Record

_log = structlog.get_logger(__name__)

NAME = "halted.json"

_HALTS = frozenset({"halt", "desk_halt"})
_RESUMES = frozenset({"resume", "desk_resume"})


class HaltFile:
    """Reasons by journal stream: the system's for everything, a desk's for that desk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._reasons = _read(self._path)

    @property
    def reasons(self) -> Mapping[str, str]:
        return self._reasons

    def note(self, records: Iterable[Record]) -> None:
        """Keep what records say of halts. When the file cannot be written, the halt holds in memory all the same."""
        before = dict(self._reasons)
        for record in records:
            if record.kind in _HALTS:
                self._reasons[record.stream] = str(record.data["reason"])
            elif record.kind in _RESUMES:
                self._reasons.pop(record.stream, None)
        if self._reasons == before:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._reasons:
                fresh = self._path.with_suffix(".new")
                fresh.write_bytes(msgspec.json.encode(self._reasons))
                fresh.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("the halt file cannot be written; the journal alone keeps the halt", error=str(error))


def _read(path: Path) -> dict[str, str]:
    """What an earlier run left. A file that is there and cannot be understood halts: in doubt, nothing trades."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        return {"system": f"{path} cannot be read ({error}); see why, remove it, and resume"}
