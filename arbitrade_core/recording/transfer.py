"""Recordings into the bot from files of others, and out of it.

A file is gone through twice: first to see that all of it can be read and what its books are worth, then to be imported.
So nothing is imported half, and a file may be larger than memory.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import Closed, ConnId, Frame, Opened
from arbitrade_core.recording import chunks as codec
from arbitrade_core.recording import ndjson
from arbitrade_core.recording.entries import Chunk, Entry, Gap, State, Via
from arbitrade_core.recording.levels import Levels
from arbitrade_core.spi import CaptureReader, Feed, Recordable

_SNIFFED = 20
"""lines that tell a file's form"""
_COMPLAINTS = 20
"""bad lines that are told in words; all are counted"""
_ENDED = 1006
"""the close code of a connection that ended without one"""

type Bad = Callable[[int, str], None]
"""told of a line that cannot be read: its number, and what is wrong"""

# --- in -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Capture:
    """A file that can be imported, and what is in it."""

    path: Path
    form: str
    """name of the form in which it is written"""
    read: Callable[[Bad], Iterator[Entry]] = field(repr=False)
    frames: int = 0
    start_ns: Ns = 0
    end_ns: Ns = 0
    pairs: tuple[str, ...] = ()
    """symbols of the pairs whose books are in it, sorted"""
    checksums_ok: int = 0
    checksums_bad: int = 0
    bad_lines: int = 0
    """left out"""
    complaints: list[str] = field(default_factory=list)
    """of the first bad lines: file, line, what is wrong"""
    faults: dict[str, str] = field(default_factory=dict)
    """what else is wrong with the frames, by kind, with an example"""

    def entries(self) -> Iterator[Entry]:
        """The file as a recording, read again: as often as wanted. Bad lines are left out."""
        return self.read(lambda line, why: None)


def read_capture(path: Path, feeds: Iterable[Feed], *, skip_bad: bool = False) -> Capture:
    """Look through a file: one of `ndjson`, or of a form that one of the feeds can read.

    Raises:
        ProtocolError: a line cannot be read (unless `skip_bad`), with file, line and value; or the form is not known,
            or there is no frame in it, or no file.
    """
    recordable: dict[str, Recordable] = {feed.name: feed for feed in feeds if isinstance(feed, Recordable)}
    capture = _recognised(path, recordable)

    def bad(line: int, why: str) -> None:
        complaint = f"{path}:{line}: {why}"
        if not skip_bad:
            raise ProtocolError(f"{complaint}\nNothing was imported; --skip-bad leaves such lines out")
        capture.bad_lines += 1
        if len(capture.complaints) < _COMPLAINTS:
            capture.complaints.append(complaint)

    levels = Levels(feed.follower() for feed in recordable.values())
    for entry in capture.read(bad):
        capture.start_ns = capture.start_ns or entry.now
        capture.end_ns = entry.now
        capture.frames += isinstance(entry, Frame)
        for _ in levels.take(entry):
            pass
    if not capture.frames:
        raise ProtocolError(f"{path} holds no frame that can be imported ({capture.bad_lines} bad lines)")
    capture.pairs = tuple(sorted(levels.carried))
    capture.checksums_ok, capture.checksums_bad = levels.proven, levels.wrong
    capture.faults = levels.last_fault
    return capture


def _recognised(path: Path, feeds: Mapping[str, Recordable]) -> Capture:
    lines = _Lines(path)
    first = [line for line in islice(lines, _SNIFFED) if line.strip()]
    if not first:
        raise ProtocolError(f"{path} is empty or begins with {_SNIFFED} empty lines: there is nothing to import")
    if ndjson.sniff(first):
        return Capture(path, ndjson.NAME, lambda bad: _introduced(ndjson.read(lines, bad), feeds, path))
    readers = [(name, reader) for name, feed in feeds.items() for reader in feed.captures()]
    for name, reader in readers:
        if reader.sniff(first):
            return Capture(path, reader.name, _reading(reader, lines, name))
    known = ", ".join([ndjson.NAME, *(reader.name for _, reader in readers)])
    raise ProtocolError(f"{path} is in no known form ({known}); it begins with {ndjson.excerpt(first[0])}")


class _Lines:
    """A file's lines, from the first one each time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                yield from file
        except OSError as error:
            raise ProtocolError(f"{self._path} cannot be read: {error.strerror or error}") from error


def _introduced(entries: Iterator[Entry], feeds: Mapping[str, Recordable], path: Path) -> Iterator[Entry]:
    """Every connection with its feed before its first frame, though the file may leave that out."""
    known: set[ConnId] = set()
    for entry in entries:
        match entry:
            case Via(conn):
                known.add(conn)
            case Frame(conn) | State(conn) | Opened(conn) if conn not in known:
                if len(feeds) != 1:
                    raise ProtocolError(
                        f"{path} does not say of which feed connection {conn} is, and there are several"
                    )
                known.add(conn)
                yield Via(conn, next(iter(feeds)), entry.now)
            case _:
                pass
        yield entry


def _reading(reader: CaptureReader, lines: Iterable[bytes], feed: str) -> Callable[[Bad], Iterator[Entry]]:
    def read(bad: Bad) -> Iterator[Entry]:
        known: set[ConnId] = set()
        for now, conn, data in reader.read(lines, bad):
            if conn not in known:
                known.add(conn)
                yield Via(conn, feed, now)
                yield Opened(conn, now)
            yield Closed(conn, _ENDED, "the capture ends it", now) if data is None else Frame(conn, data, now)

    return read


# --- out ----------------------------------------------------------------------------------------------------


def whole(chunks: Iterable[Chunk]) -> Iterator[Entry]:
    """The entries of stored chunks as one recording: what is missing between them becomes a gap, and connections of
    different recordings are told apart.

    Raises:
        ProtocolError: a chunk is damaged.
    """
    last: Chunk | None = None
    base = highest = 0
    open_conns: dict[ConnId, None] = {}
    for chunk in chunks:
        if last is not None and (chunk.recording, chunk.number) != (last.recording, last.number + 1):
            yield Gap(last.end_ns, chunk.start_ns, 0, "nothing was recorded, or it is not here")
            if chunk.recording != last.recording:
                for conn in open_conns:
                    yield Closed(conn, _ENDED, "its recording ends", chunk.start_ns)
                open_conns.clear()
                base = highest
        last = chunk
        for entry in decoded(chunk):
            match entry:
                case Frame() | State() | Via() | Opened() | Closed():
                    entry.conn += base
                    highest = max(highest, entry.conn)
                    if isinstance(entry, Closed):
                        open_conns.pop(entry.conn, None)
                    else:
                        open_conns[entry.conn] = None
                case _:
                    pass
            yield entry


def decoded(chunk: Chunk) -> Iterable[Entry]:
    """Raises ProtocolError for a chunk that is damaged, naming it."""
    where = f"chunk {chunk.number} of recording {chunk.recording}"
    if hashlib.sha256(chunk.data).digest() != chunk.sha256:
        raise ProtocolError(f"{where} is damaged: its SHA-256 differs; restore the database, or leave its time out")
    try:
        return codec.decode(chunk.data)
    except ProtocolError as error:
        raise ProtocolError(f"{where} cannot be read: {error}") from error


def write_ndjson(chunks: Iterable[Chunk], file: BinaryIO) -> int:
    """Write recorded frames and the marks between them; returns how many frames. `ndjson` says how.

    Raises:
        ProtocolError: a chunk is damaged; what came before it is in the file.
    """
    frames = 0
    for entry in whole(chunks):
        line = ndjson.line_of(entry)
        if line is not None:
            file.write(line)
            frames += isinstance(entry, Frame)
    return frames
