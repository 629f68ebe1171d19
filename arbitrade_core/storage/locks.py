"""File locks between processes that the kernel drops when their holder dies, however it dies.

POSIX: `flock` on an open file description. Windows: byte ranges of `msvcrt.locking`, which knows no shared
locks, so there each user of a `UsersLock` takes a byte of its own.
"""

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from arbitrade_core.errors import StorageError

_POLL_S = 0.02
_SEATS = 256

if sys.platform == "win32":
    import msvcrt

    def _try_exclusive(fd: int, offset: int = 0) -> bool:
        os.lseek(fd, offset, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(fd: int, offset: int = 0) -> None:
        os.lseek(fd, offset, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_exclusive(fd: int, offset: int = 0) -> bool:
        del offset
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int, offset: int = 0) -> None:
        del offset
        fcntl.flock(fd, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


class Gate:
    """Held while a process starts, joins or stops the server: one at a time."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._fd = -1

    def __enter__(self) -> Self:
        fd = _open(self._path)
        deadline = time.monotonic() + self._timeout_s
        while not _try_exclusive(fd):
            if time.monotonic() > deadline:
                os.close(fd)
                raise StorageError(
                    f"another process has been starting or stopping the database for {self._timeout_s:.0f} s"
                    f" and still holds {self._path}; see what it is doing (fuser {self._path}), then try"
                    " again"
                )
            time.sleep(_POLL_S)
        self._fd = fd
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


class UsersLock:
    """Held by every process that uses the server. Only touched behind the gate."""

    def __init__(self, path: Path) -> None:
        self._fd = _open(path)
        self._seat = self._sit()

    def _sit(self) -> int:
        if sys.platform != "win32":
            fcntl.flock(self._fd, fcntl.LOCK_SH)
            return 0
        for seat in range(_SEATS):
            if _try_exclusive(self._fd, seat):
                return seat
        os.close(self._fd)
        raise StorageError(f"more than {_SEATS} processes use one database server; stop some of them")

    def alone(self) -> bool:
        """Whether no other user is left. On POSIX this turns our shared lock into an exclusive one: then leave."""
        if sys.platform != "win32":
            return _try_exclusive(self._fd)
        for seat in range(_SEATS):
            if seat == self._seat:
                continue
            if not _try_exclusive(self._fd, seat):
                return False
            _unlock(self._fd, seat)
        return True

    def leave(self) -> None:
        os.close(self._fd)


class ServerLock:
    """Held by the server's own processes, which inherit the descriptor: free means that none of them lives.

    Unlike the PID in `postmaster.pid` it cannot be mistaken for somebody else's, not after a reboot, not
    across PID namespaces. Windows processes do not inherit such locks; there it is always free and
    PostgreSQL's own check (a named pipe per PID) decides.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def free(self) -> bool:
        if sys.platform == "win32":
            return True
        fd = _open(self._path)
        try:
            return _try_exclusive(fd)
        finally:
            os.close(fd)

    def take(self) -> int:
        """A descriptor that holds the lock, to be inherited by the server and then closed here."""
        fd = _open(self._path)
        if not _try_exclusive(fd):
            os.close(fd)
            raise StorageError(f"a server still runs: its processes hold {self._path}")
        return fd
