"""Recorded frames as text, one JSON object a line, for other programs and other machines. Of no exchange in particular.

    {"t": 1790000000000000000, "c": 1, "feed": "kraken"}        frames of connection 1 belong to this feed
    {"t": 1790000000000000000, "c": 1, "open": true}            it was opened
    {"t": 1790000000001000000, "c": 1, "f": "{...}"}            a frame, word for word; "b" instead: as base64
    {"t": 1790000000002000000, "c": 1, "f": "{...}", "s": true} what the exchange would have sent if it had been asked
    {"t": 1790000000003000000, "c": 1, "close": 1006, "why": "gone"}
    {"t": 1790000000004000000, "gap": {"since": 1790000000003000000, "dropped": 3, "why": "the writer was behind"}}

Times are nanoseconds since the epoch. What else a bot was fed (commits, fees, commands) is its own affair and left out.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import Closed, ConnId, Frame, Opened
from arbitrade_core.recording.entries import Entry, Gap, State, Via

NAME = "ndjson"


type _Stored = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Gap(msgspec.Struct, forbid_unknown_fields=True):
    since: _Stored
    dropped: _Stored = 0
    why: str = ""


class _Line(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    t: _Stored
    c: _Stored | None = None
    f: str | None = None
    b: str | None = None
    s: bool = False
    feed: str | None = None
    open: bool = False
    close: _Stored | None = None
    why: str | None = None
    gap: _Gap | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
_ERRORS: tuple[type[Exception], ...] = (msgspec.DecodeError, ProtocolError, UnicodeError, RecursionError, ValueError)


def line_of(entry: Entry) -> bytes | None:
    """The entry's line, with its end; None for what is left out."""
    match entry:
        case Frame(conn, data, now):
            line = _of_frame(conn, data, now)
        case State(conn, data, now):
            line = _of_frame(conn, data, now)
            line.s = True
        case Via(conn, feed, now):
            line = _Line(now, conn, feed=feed)
        case Opened(conn, now):
            line = _Line(now, conn, open=True)
        case Closed(conn, code, reason, now):
            line = _Line(now, conn, close=code, why=reason or None)
        case Gap(since, now, dropped, reason):
            line = _Line(now, gap=_Gap(since, dropped, reason))
        case _:
            return None
    return _encode(line) + b"\n"


def _of_frame(conn: ConnId, data: bytes, now: Ns) -> _Line:
    try:
        return _Line(now, conn, f=data.decode())
    except UnicodeDecodeError:
        return _Line(now, conn, b=b64encode(data).decode())


def sniff(first_lines: Iterable[bytes]) -> bool:
    """Whether a file that begins so is of this form."""
    return any(_is_line(line) for line in first_lines)


def _is_line(line: bytes) -> bool:
    try:
        _decode(line)
    except _ERRORS:
        return False
    return True


def read(lines: Iterable[bytes], bad: Callable[[int, str], None]) -> Iterator[Entry]:
    """What was written, in order. Of a line that cannot be read `bad` is told: its number, from 1, and why."""
    last: Ns = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = _entry(_decode(line))
        except _ERRORS as error:
            bad(number, f"{error}: {excerpt(line)}")
            continue
        entry.now = last = max(last, entry.now)  # as the engine does: time never runs backwards
        yield entry


def _entry(line: _Line) -> Entry:
    kinds = {
        "f": line.f is not None,
        "b": line.b is not None,
        "feed": line.feed is not None,
        "open": line.open,
        "close": line.close is not None,
        "gap": line.gap is not None,
    }
    said = [name for name, given in kinds.items() if given]
    if len(said) != 1:
        raise ProtocolError(f"it must hold one of {', '.join(kinds)}, and holds {', '.join(said) or 'none'}")
    if line.gap is not None:
        return Gap(line.gap.since, line.t, line.gap.dropped, line.gap.why)
    if line.c is None:
        raise ProtocolError('it names no connection ("c")')
    return _of_connection(line, line.c)


def _of_connection(line: _Line, conn: ConnId) -> Entry:
    if line.feed is not None:
        return Via(conn, line.feed, line.t)
    if line.open:
        return Opened(conn, line.t)
    if line.close is not None:
        return Closed(conn, line.close, line.why or "", line.t)
    data = line.f.encode() if line.f is not None else b64decode(line.b or "", validate=True)
    return State(conn, data, line.t) if line.s else Frame(conn, data, line.t)


def excerpt(line: bytes) -> str:
    """Enough of a line to find and to know it."""
    text = line.strip()
    shown = text[:120].decode("utf-8", "replace")
    return shown if len(text) <= 120 else f"{shown}... ({len(text)} bytes)"  # noqa: PLR2004
