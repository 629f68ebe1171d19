"""Entries as compressed bytes, and back, to the last bit.

Frames of an exchange are alike but for their values, so a chunk keeps them as tables: the text around the values once,
as a template, and the values of each place in it together, as a column. Columns that hold the same thing (what follows
`"price":`) stand side by side for the compressor, checksums do not come between prices, and receive times are
differences. Nothing here knows an exchange: what is a value is told by the syntax of JSON, and a frame that is none, or
is too long, is kept whole.

A chunk is MAGIC, the version, a CRC-32 of what follows, and one zstd frame with a msgpack array (`_Tables`).
"""

import re
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import attrgetter, itemgetter
from sys import byteorder
from typing import Any

import msgspec
import zstandard

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import Frame
from arbitrade_core.inputs_codec import decode_input, encode_input
from arbitrade_core.recording.entries import Entry, Gap, State, Via

MAGIC = b"ARBC"
VERSION = 1
_HEAD = len(MAGIC) + 1 + 4

LEVEL = 8
"""of zstd: higher ones save a quarter of a byte a frame for twice the work"""
LARGEST = 512 << 20
"""More is no chunk of ours, and is not unpacked."""
LONGEST_SPLIT = 4096
"""Bytes of a frame that is split into values; a listing of all pairs has 300,000 and would hold everybody up."""
MOST_TEMPLATES = 2048
_MOST_VALUES = 255
_WHOLE = 0xFFFF
"""instead of a template: the frame is kept whole"""

_split = re.compile(rb":([^,{}[\]\n]+)").split
"""Into text, value, text, value ..., text. A value is what stands between a colon and a comma or bracket; it holds no
line end, and the colon goes without saying."""

_PAUSE_AFTER = 256
"""frames whose values were put into columns"""
_KEY = 6
"""Bytes before a value that tell what it is: `price"`, `,"qty"`."""

_FRAME, _STATE, _VIA, _GAP, _INPUT = range(5)
_NOW: Callable[[Any], Ns] = attrgetter("now")
_VALUES = itemgetter(slice(1, None, 2))
_TEXTS = itemgetter(slice(0, None, 2))
_KEY_OF = itemgetter(0)


class _Tables(msgspec.Struct, array_like=True, gc=False):
    """A chunk unpacked. Whole numbers are arrays of 64 bits, their first bytes first, then their second ones, ..."""

    kinds: bytes
    """of each entry"""
    times: bytes
    """of each entry, as differences"""
    conns: bytes
    """of each frame and state"""
    shapes: bytes
    """template of each frame and state"""
    templates: list[bytes]
    """texts around the values, with zero bytes where these stand"""
    values: bytes
    """line by line, place by place (`_places`)"""
    whole: list[bytes]
    """frames that have no template"""
    others: list[Any]
    """inputs as `inputs_codec` writes them, fields of marks"""


class Encoder:
    """Takes entries as they come, so that the work of a chunk is spread over its time."""

    def __init__(self, level: int = LEVEL) -> None:
        self.entries = 0
        self.frames = 0
        """those that the exchange sent"""
        self.size = 0
        """bytes of frames and states before compression"""
        self._level = level
        self._kinds = bytearray()
        self._times = array("q")
        self._conns = array("q")
        self._shapes = array("q")
        self._known: dict[bytes, tuple[int, Callable[[list[bytes]], None]]] = {}
        """by template: its number, and where the values of its frames go"""
        self._rows: list[list[list[bytes]]] = []
        self._whole: list[bytes] = []
        self._others: list[Any] = []

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.entries += 1
            self._times.append(entry.now)
            if type(entry) is Frame:
                self.frames += 1
                self._kinds.append(_FRAME)
                self._add_frame(entry)
                continue
            match entry:
                case State():
                    self._kinds.append(_STATE)
                    self._add_frame(entry)
                case Via(conn, feed):
                    self._kinds.append(_VIA)
                    self._others.append((conn, feed))
                case Gap(since, _, dropped, reason):
                    self._kinds.append(_GAP)
                    self._others.append((since, dropped, reason))
                case _:
                    self._kinds.append(_INPUT)
                    self._others.append(encode_input(entry))

    def _add_frame(self, entry: Frame | State) -> None:
        data = entry.data
        self.size += len(data)
        self._conns.append(entry.conn)
        if len(data) <= LONGEST_SPLIT and b"\0" not in data:  # which stands for a value
            parts = _split(data)
            known = self._known.get(b"\0".join(_TEXTS(parts)))
            if known is None:
                known = self._template(parts)
            if known is not None:
                self._shapes.append(known[0])
                known[1](_VALUES(parts))
                return
        self._shapes.append(_WHOLE)
        self._whole.append(data)

    def _template(self, parts: list[bytes]) -> tuple[int, Callable[[list[bytes]], None]] | None:
        texts = _TEXTS(parts)
        if len(self._rows) >= MOST_TEMPLATES or not 0 < len(texts) - 1 <= _MOST_VALUES:
            return None
        rows: list[list[bytes]] = []
        known = self._known[b"\0".join(texts)] = len(self._rows), rows.append
        self._rows.append(rows)
        return known

    def finish(self, pause: Callable[[], None] = lambda: None) -> bytes:
        """The chunk. `pause` is called now and then between pieces of work of a fraction of a millisecond."""
        templates = list(self._known)
        columns: list[list[bytes]] = []
        waiting = 0
        for rows in self._rows:
            columns.append([b"\n".join(column) for column in zip(*rows, strict=True)])
            waiting += len(rows)
            if waiting >= _PAUSE_AFTER:
                waiting = 0
                pause()
        tables = _Tables(
            bytes(self._kinds),
            _differences(self._times),
            _planes(self._conns),
            _planes(self._shapes),
            templates,
            b"\n".join([columns[shape][place] for shape, place in _places(templates)]),
            self._whole,
            self._others,
        )
        pause()
        packed = _compressor(self._level).compress(msgspec.msgpack.encode(tables))
        return MAGIC + bytes([VERSION]) + zlib.crc32(packed).to_bytes(4, "big") + packed


def encode(entries: Iterable[Entry], level: int = LEVEL) -> bytes:
    """`decode` gives the same entries back."""
    encoder = Encoder(level)
    encoder.add(entries)
    return encoder.finish()


def decode(data: bytes) -> list[Entry]:
    """What `encode` was given.

    Raises:
        ProtocolError: these bytes are not what `encode` made, in words.
    """
    try:
        return _entries(_unpacked(data))
    except ProtocolError as error:
        raise ProtocolError(f"a chunk of {len(data)} bytes cannot be read: {error}") from error
    except (zstandard.ZstdError, msgspec.DecodeError, ValueError, LookupError, TypeError, StopIteration) as error:
        raise ProtocolError(
            f"a chunk of {len(data)} bytes cannot be read: what is in it does not fit: {type(error).__name__}: {error}"
        ) from error


def _unpacked(data: bytes) -> _Tables:
    if data[: len(MAGIC)] != MAGIC:
        raise ProtocolError(f"it begins with {data[:4]!r}, not {MAGIC!r}")
    if len(data) < _HEAD:
        raise ProtocolError("it ends within its head")
    if data[4] != VERSION:
        raise ProtocolError(f"it is of version {data[4]}, and this program reads {VERSION}; use the one that wrote it")
    packed = data[_HEAD:]
    if zlib.crc32(packed) != int.from_bytes(data[5:_HEAD], "big"):
        raise ProtocolError("its CRC-32 is another: it was changed or cut off")
    size = zstandard.get_frame_parameters(packed).content_size
    if size > LARGEST:
        raise ProtocolError(f"it says that it unpacks to {size} bytes; the most that is read is {LARGEST}")
    return _TABLES.decode(zstandard.ZstdDecompressor().decompress(packed))


_TABLES = msgspec.msgpack.Decoder(_Tables)


def _entries(tables: _Tables) -> list[Entry]:
    frames = _frames(tables)
    conns = _from_planes(tables.conns)
    times = list(accumulate(_from_planes(tables.times)))
    kinds = tables.kinds
    if not len(kinds) == len(times) == len(frames) + len(tables.others) or len(conns) != len(frames):
        raise ProtocolError(
            f"it holds {len(kinds)} kinds, {len(times)} times, {len(frames)} frames of {len(conns)} connections and "
            f"{len(tables.others)} other entries, which do not belong together"
        )
    if kinds == bytes(len(kinds)):  # frames alone, as most chunks are
        return list(map(Frame, conns, frames, times))
    received = zip(conns, frames, strict=True)
    others = iter(tables.others)
    entries: list[Entry] = []
    for kind, now in zip(kinds, times, strict=True):
        if kind == _FRAME:
            entries.append(Frame(*next(received), now))
        elif kind == _STATE:
            entries.append(State(*next(received), now))
        else:
            entries.append(_other(kind, next(others), now))
    return entries


def _other(kind: int, told: Any, now: Ns) -> Entry:
    match kind, told:
        case _, bytes() if kind == _INPUT:
            return decode_input(told)
        case _, [int() as conn, str() as feed] if kind == _VIA:
            return Via(conn, feed, now)
        case _, [int() as since, int() as dropped, str() as reason] if kind == _GAP:
            return Gap(since, now, dropped, reason)
        case _:
            raise ProtocolError(f"it holds an entry of kind {kind} that is {told!r}")


# --- frames -------------------------------------------------------------------------------------------------


def _frames(tables: _Tables) -> list[bytes]:
    """In order."""
    shapes = _from_planes(tables.shapes)
    counts = Counter(shapes)
    lines = tables.values.split(b"\n") if tables.values else []
    columns: list[list[list[bytes]]] = [[[]] * template.count(b"\0") for template in tables.templates]
    start = 0
    for shape, place in _places(tables.templates):
        columns[shape][place] = lines[start : start + counts[shape]]
        start += counts[shape]
    if start != len(lines) or counts[_WHOLE] != len(tables.whole):
        raise ProtocolError(f"its frames want {start} values and {counts[_WHOLE]} are whole; it holds {len(lines)}")
    made: dict[int, Iterator[bytes]] = {
        shape: map(_pattern(template).__mod__, zip(*columns[shape], strict=True))
        for shape, template in enumerate(tables.templates)
    }
    made[_WHOLE] = iter(tables.whole)
    return list(map(next, map(made.__getitem__, shapes)))


def _pattern(template: bytes) -> bytes:
    return template.replace(b"%", b"%%").replace(b"\0", b":%b")


def _places(templates: Sequence[bytes]) -> list[tuple[int, int]]:
    """(template, place in it) of every column in the order of storing: those after the same text together."""
    found = [
        (text[-_KEY:], shape, place)
        for shape, template in enumerate(templates)
        for place, text in enumerate(template.split(b"\0")[:-1])
    ]
    found.sort(key=_KEY_OF)  # stable: those of one key stay by template and place
    return [(shape, place) for _, shape, place in found]


# --- numbers ------------------------------------------------------------------------------------------------


def _planes(numbers: "array[int]") -> bytes:
    if byteorder == "big":
        numbers = array("q", numbers)
        numbers.byteswap()
    data = numbers.tobytes()
    return b"".join([data[plane::8] for plane in range(8)])


def _from_planes(planes: bytes) -> "array[int]":
    count, rest = divmod(len(planes), 8)
    if rest:
        raise ProtocolError("its numbers are cut off")
    data = bytearray(len(planes))
    for plane in range(8):
        data[plane::8] = planes[plane * count : (plane + 1) * count]
    numbers = array("q")
    numbers.frombytes(data)
    if byteorder == "big":
        numbers.byteswap()
    return numbers


def _differences(numbers: "array[int]") -> bytes:
    return _planes(array("q", map(int.__sub__, numbers, array("q", [0]) + numbers[:-1])))


def _compressor(level: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(level, window_log=23)
    )
