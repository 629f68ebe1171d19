"""The recorded chunks in a temporary file: read from the database once, and by every worker from there."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO

import msgspec

from arbitrade_core.errors import ProtocolError, StorageError
from arbitrade_core.recording.entries import Chunk

try:
    import fcntl
except ImportError:  # Windows: what a killed process leaves behind stays until somebody tidies up
    fcntl = None  # type: ignore[assignment]

_PREFIX = "arbitrade-sweep-"
_HELD = "held"
_LENGTH_BYTES = 4
_BLOCK_BYTES = 16 << 20
_CHUNK = msgspec.msgpack.Decoder(Chunk)


@dataclass(frozen=True, slots=True)
class Spool:
    path: Path
    chunks: int
    frames: int

    def blocks(self) -> Iterator[bytes]:
        """The file in parts of whole chunks, for whoever cannot open it."""
        block = bytearray()
        for data in _frames(self.path):
            block += len(data).to_bytes(_LENGTH_BYTES, "big") + data
            if len(block) >= _BLOCK_BYTES:
                yield bytes(block)
                block.clear()
        if block:
            yield bytes(block)


@contextmanager
def spooled(chunks: Iterable[Chunk], tell: Callable[[int], None]) -> Iterator[Spool]:
    """A file that is there inside of the `with`. `tell` hears of the frames so far, after each chunk.

    Raises:
        StorageError: there is no room for it.
    """
    _tidy_up(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder, _held(Path(folder)):
        path = Path(folder) / "chunks"
        count = frames = 0
        with path.open("wb", buffering=0) as file:
            for chunk in chunks:
                data = msgspec.msgpack.encode(chunk)
                try:
                    _write(file, len(data).to_bytes(_LENGTH_BYTES, "big") + data)
                except OSError as error:
                    raise StorageError(
                        f"the recording does not fit into {folder}: {error.strerror} after {frames} frames; free some "
                        f"space, or name another folder with TMPDIR"
                    ) from error
                count, frames = count + 1, frames + chunk.frames
                tell(frames)
        yield Spool(path, count, frames)


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Locked for as long as its process lives, so that others know it is in use."""
    with (folder / "new").open("wb") as file:
        _lock(file)
        (folder / "new").rename(folder / _HELD)
        yield


def _tidy_up(temporary: Path) -> None:
    """A process that was killed has left its recording behind, which may be large."""
    if fcntl is None:
        return
    for mark in temporary.glob(f"{_PREFIX}*/{_HELD}"):
        with suppress(OSError), mark.open("rb+") as file:  # in use, or somebody else's
            _lock(file)
            shutil.rmtree(mark.parent)


def _lock(file: IO[bytes]) -> None:
    """Raises OSError when another process has it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_spool(path: Path) -> Iterator[Chunk]:
    """In order. Raises ProtocolError when the file was cut."""
    return (_CHUNK.decode(data) for data in _frames(path))


def read_blocks(blocks: Iterable[bytes]) -> Iterator[Chunk]:
    for block in blocks:
        at = 0
        while at < len(block):
            begin = at + _LENGTH_BYTES
            at = begin + int.from_bytes(block[at:begin], "big")
            yield _CHUNK.decode(memoryview(block)[begin:at])


def _frames(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while head := file.read(_LENGTH_BYTES):
            length = int.from_bytes(head, "big")
            data = file.read(length)
            if len(head) < _LENGTH_BYTES or len(data) < length:
                raise ProtocolError(f"the chunks in {path} end in the middle of one; start the sweep again")
            yield data
