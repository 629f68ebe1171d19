"""Ends a process whose trading loop hangs, and remembers in whose code, so that the next start does without it.

Two guards. A thread of ours sees that the loop's beats stop, looks at the trading thread's stack, writes down the
plugin whose code it is in, and ends the process. Code that hangs inside C holds the interpreter's lock, so that thread
cannot run either; then `faulthandler`'s own thread, which needs no lock, dumps the stacks and ends the process some
time later. A process that was stopped (SIGSTOP, a suspended machine) is not taken for one that hangs: beats are counted
against our own polls, not against a clock.
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

_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+')


class Hang(msgspec.Struct, frozen=True):
    """What was seen of a process that hung."""

    plugin: str | None
    """whose code it was in; None: nobody's but ours"""
    stack: str


class Watchdog:
    """Watches from `start` to `stop`. Both are called on the trading thread."""

    def __init__(
        self, beats: Callable[[], int], hang_s: float, folder: Path, owner: Callable[[str], str | None]
    ) -> None:
        """`owner(file)` is the plugin whose code a source file is; `beats` goes up while the loop lives."""
        self._beats = beats
        self._hang_s = hang_s
        self._folder = folder
        self._owner = owner
        self._stop = threading.Event()
        self._dump: IO[str] | None = None
        self._watched = 0
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._watched = threading.get_ident()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._dump = (self._folder / _DUMP).open("w")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        if self._dump is not None:
            self._dump.close()
            with suppress(OSError):
                (self._folder / _DUMP).unlink()

    def _watch(self) -> None:
        assert self._dump is not None
        last, silent = -1, 0
        while not self._stop.wait(self._hang_s / _POLLS):
            faulthandler.dump_traceback_later(self._hang_s * _LOCKED, exit=True, file=self._dump)
            beats = self._beats()
            last, silent = (beats, 0) if beats != last else (last, silent + 1)
            if silent > _POLLS:
                self._end()

    def _end(self) -> None:
        frame = sys._current_frames().get(self._watched)
        stack = traceback.extract_stack(frame) if frame is not None else []
        files = [one.filename for one in reversed(stack)]
        hang = Hang(_first_owner(files, self._owner), "".join(traceback.format_list(stack)))
        (self._folder / _NOTE).write_bytes(msgspec.json.encode(hang))
        where = f"in plugin {hang.plugin!r}" if hang.plugin else "in no plugin's code"
        _log.critical("the trading loop hangs; the process ends", where=where, stack=hang.stack)
        sys.stderr.flush()
        os._exit(EXIT_HUNG)


_NOTE = "hung.json"
_DUMP = "hung.txt"


def last_hang(folder: Path, owner: Callable[[str], str | None]) -> Hang | None:
    """What an earlier process that hung left behind; None when none did."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / _NOTE).read_bytes(), type=Hang)
    try:
        dump = (folder / _DUMP).read_text()
    except OSError:
        return None
    files = [match["file"] for line in dump.splitlines() if (match := _FRAME.match(line))]
    return Hang(_first_owner(files, owner), dump) if files else None


def forget_hang(folder: Path) -> None:
    """The journal has it now."""
    for name in (_NOTE, _DUMP):
        with suppress(OSError):
            (folder / name).unlink()


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
