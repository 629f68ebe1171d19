"""Ends a process whose trading loop hangs, and remembers in whose code, so that the next start does without it.

Two guards. A thread of ours sees that the loop's beats stop, looks at the trading thread's stack, writes down the
plugin whose code it is in, and ends the process. Code that hangs inside C holds the interpreter's lock, so that thread
cannot run either; then `faulthandler`'s own thread, which needs no lock, dumps the stacks and ends the process some
time later, with code 1.

Our thread counts beats against its own polls, not against a clock, so that it does not take a process that was stopped
for one that hangs. `faulthandler` has a clock: a process stopped (SIGSTOP) for longer than its time ends when it goes
on, and no plugin is blamed, since the trading thread was in none's code.
"""

import faulthandler
import importlib.util
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec
import structlog

from arbitrade_core.plugins import CORE, Entry

_log = structlog.get_logger(__name__)

EXIT_HUNG = 70
"""EX_SOFTWARE: start again, nothing has to be mended by hand first."""

_POLLS = 10
"""of `hang_s`"""
_LOCKED = 2.0
"""how much later than we `faulthandler` acts, as a factor"""

_THREAD = re.compile(r"\b[Tt]hread 0x(?P<id>[0-9a-fA-F]+)")
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+')


class Hang(msgspec.Struct, frozen=True):
    """What was seen of a process that hung."""

    plugin: str | None
    """whose code it was in; None: nobody's but ours"""
    stack: str
    checks: tuple[str, ...] = ()
    """the plugin's risk checks: nothing trades without them until it is enabled or disabled (RELIABILITY 14)"""


class _Watched(msgspec.Struct, frozen=True):
    """The first line of the dump's file, for whoever reads it after a process that could not write any more."""

    thread: int
    checks: Mapping[str, tuple[str, ...]]
    """risk checks by plugin"""


class Watchdog:
    """Watches from `start` to `stop`. Both are called on the trading thread."""

    def __init__(
        self,
        beats: Callable[[], int],
        hang_s: float,
        folder: Path,
        owner: Callable[[str], str | None],
        *,
        checks: Callable[[], Mapping[str, tuple[str, ...]]] = dict,
        demo: bool = False,
    ) -> None:
        """`owner(file)` is the plugin whose code a source file is; `beats` goes up while the loop lives.

        `checks` are the names of the risk checks in use, by plugin; asked on the watchdog's own thread.
        """
        self._beats = beats
        self._checks = checks
        self._note, self._dumped = _files(folder, demo)
        self._hang_s = hang_s
        self._folder = folder
        self._owner = owner
        self._stop = threading.Event()
        self._dump: IO[str] | None = None
        self._watched = 0
        self._told: _Watched | None = None
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._watched = threading.get_ident()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._dump = self._dumped.open("w")
        self._arm()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        if self._dump is not None:
            self._dump.close()
            with suppress(OSError):
                self._dumped.unlink()

    def _watch(self) -> None:
        last, silent = -1, 0
        while not self._stop.wait(self._hang_s / _POLLS):
            self._arm()
            beats = self._beats()
            last, silent = (beats, 0) if beats != last else (last, silent + 1)
            if silent > _POLLS:
                self._end()

    def _arm(self) -> None:
        """Have `faulthandler` wait anew. Plugins come and go, so what it cannot tell is written ahead."""
        assert self._dump is not None
        watched = _Watched(self._watched, self._checks())
        if watched != self._told:
            self._told = watched
            self._dump.seek(0)
            self._dump.truncate()
            self._dump.write(msgspec.json.encode(watched).decode() + "\n")
            self._dump.flush()
        faulthandler.dump_traceback_later(self._hang_s * _LOCKED, exit=True, file=self._dump)

    def _end(self) -> None:
        frame = sys._current_frames().get(self._watched)
        stack = traceback.extract_stack(frame) if frame is not None else []
        files = [one.filename for one in reversed(stack)]
        plugin = _first_owner(files, self._owner)
        checks = tuple(self._checks().get(plugin, ())) if plugin is not None else ()
        hang = Hang(plugin, "".join(traceback.format_list(stack)), checks)
        self._note.write_bytes(msgspec.json.encode(hang))
        where = f"in plugin {hang.plugin!r}" if hang.plugin else "in no plugin's code"
        _log.critical("the trading loop hangs; the process ends", where=where, stack=hang.stack)
        sys.stderr.flush()
        os._exit(EXIT_HUNG)


def _files(folder: Path, demo: bool) -> tuple[Path, Path]:
    """Our note and `faulthandler`'s dump; a demo beside the bot has its own."""
    stem = "hung-demo" if demo else "hung"
    return folder / f"{stem}.json", folder / f"{stem}.txt"


def last_hang(folder: Path, owner: Callable[[str], str | None], *, demo: bool = False) -> Hang | None:
    """What an earlier process that hung left behind; None when none did."""
    note, dumped = _files(folder, demo)
    with suppress(OSError, msgspec.DecodeError, UnicodeError):
        return msgspec.json.decode(note.read_bytes(), type=Hang)
    try:
        head, _, dump = dumped.read_text(errors="replace").partition("\n")
        watched = msgspec.json.decode(head.encode(), type=_Watched)
    except (OSError, msgspec.DecodeError):
        return None
    files = _frames_of(watched.thread, dump)
    plugin = _first_owner(files, owner)
    return Hang(plugin, dump, watched.checks.get(plugin, ()) if plugin is not None else ()) if files else None


def _frames_of(thread: int, dump: str) -> list[str]:
    """Source files of the trading thread's frames, innermost first. Idle threads of plugins stand in the dump too."""
    files: list[str] = []
    ours = False
    for line in dump.splitlines():
        if head := _THREAD.search(line):
            ours = int(head["id"], 16) == thread
        elif ours and (frame := _FRAME.match(line)):
            files.append(frame["file"])
    return files


def forget_hang(folder: Path, *, demo: bool = False) -> None:
    """The journal has it now."""
    for file in _files(folder, demo):
        with suppress(OSError):
            file.unlink()


def owner_of_files(entries: Iterable[Entry]) -> Callable[[str], str | None]:
    """A function from a source file to the plugin whose package it lies in. Imports nothing."""
    places: Mapping[str, str] = {
        place: entry.name for entry in entries if entry.name != CORE for place in _places(entry.module)
    }

    def owner(file: str) -> str | None:
        return next((name for place, name in places.items() if file == place or file.startswith(place + os.sep)), None)

    return owner


def _places(module: str) -> list[str]:
    top = module.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    return list(spec.submodule_search_locations or ()) or ([spec.origin] if spec.origin else [])


def _first_owner(files: Iterable[str], owner: Callable[[str], str | None]) -> str | None:
    return next((name for file in files if (name := owner(file)) is not None), None)
