"""Sees what code does that it must not: I/O, clocks, chance, threads; whatever way it imported them.

The interpreter tells of every call of a C function while the guard watches its thread, and everything that reaches out
of the process ends in one. So `from time import time_ns`, an aliased module and a library in between look the same.
"""

import gc
import io
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

CLOCK = frozenset(
    {
        "time.time",
        "time.time_ns",
        "time.monotonic",
        "time.monotonic_ns",
        "time.perf_counter",
        "time.perf_counter_ns",
        "time.localtime",
        "time.gmtime",
        "datetime.now",
        "datetime.utcnow",
        "date.today",
    }
)
CHANCE = frozenset({"posix.urandom", "nt.urandom", "uuid.generate_time_safe"})
BLOCKING = frozenset(
    {
        "time.sleep",
        "_io.open",
        "_io.open_code",
        "posix.open",
        "posix.system",
        "nt.open",
        "nt.system",
        "_posixsubprocess.fork_exec",
        "_winapi.CreateProcess",
        "_socket.getaddrinfo",
        "_socket.gethostbyname",
        "select.select",
        "builtins.input",
        "builtins.print",
    }
)
THREADS = frozenset({"_thread.start_new_thread", "_thread.start_joinable_thread"})
_FILES = (io.FileIO, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)
_CHANCE_OF_ALL: object = getattr(random.random, "__self__", None)
"""The generator that every caller of `random.random()` shares; one of one's own, seeded, is no chance."""

PURE = CLOCK | CHANCE | BLOCKING | THREADS
"""What a state machine does none of."""


class Seen(list[str]):
    """What was called that should not have been, in order, with the line it was called from."""

    @property
    def first(self) -> str:
        return self[0] if self else ""


@contextmanager
def watched(banned: frozenset[str] = PURE, *, files: bool = True) -> Iterator[Seen]:
    """Watch this thread for calls of `banned` functions and sockets, and of `files` for reads and writes.

    Nothing is prevented: the calls happen, and are told. A profiler that ran before goes on afterwards.
    """
    seen = Seen()

    def look(frame: FrameType, event: str, arg: Any) -> None:
        if event != "c_call":
            return
        of = getattr(arg, "__self__", None)
        if isinstance(of, socket.socket) or (files and isinstance(of, _FILES)):
            _tell(seen, frame, f"{type(of).__name__}.{arg.__name__}")
        elif of is not None and of is _CHANCE_OF_ALL and CHANCE & banned:
            _tell(seen, frame, f"random.{arg.__name__}")
        else:
            name = _name(arg, of)
            if name in banned:
                _tell(seen, frame, name)

    before, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # a collection calls whoever asked to be told of it, in the middle of what is watched
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()


def _name(function: Any, of: object) -> str:
    """`time.time`, `datetime.now`: the module of a function, or the class that a method is called on."""
    name = function.__name__
    if isinstance(of, type):
        return f"{_plain_class(of)}.{name}"
    return f"{getattr(function, '__module__', None)}.{name}"


def _plain_class(of: type) -> str:
    """`datetime` for its subclasses, too."""
    return next((base.__name__ for base in of.__mro__ if base.__module__ == "datetime"), of.__name__)


def _tell(seen: Seen, frame: FrameType, what: str) -> None:
    seen.append(f"{what} ({frame.f_code.co_filename}, line {frame.f_lineno})")
