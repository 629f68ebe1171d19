"""Which recorded chunks tell of a range of time, and what of it is missing.

Several bots may have recorded at once. Two recordings are never mixed at one time, since each has its own connections:
where they overlap, the one that covers more of the range is read.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Protocol

import msgspec

from arbitrade_core.domain import Ns


class Range(Protocol):
    """Time from `start_ns` up to, not including, `end_ns`."""

    @property
    def start_ns(self) -> Ns: ...
    @property
    def end_ns(self) -> Ns: ...


class Piece(msgspec.Struct, frozen=True):
    """A chunk without its data."""

    recording: int
    number: int
    start_ns: Ns
    end_ns: Ns
    pairs: tuple[str, ...] = ()


class Hole(msgspec.Struct, frozen=True):
    """A gap of one recording: nothing is known of what is between."""

    recording: int
    since_ns: Ns
    now_ns: Ns
    reason: str


class Covered(msgspec.Struct, frozen=True):
    """What of a range was recorded; the fields of `replay.results.Coverage`, times as (from, to)."""

    wanted: tuple[Ns, Ns]
    stretches: tuple[tuple[Ns, Ns], ...]
    """recorded without a gap, in order, inside `wanted`"""
    gaps: tuple[tuple[Ns, Ns, str], ...]
    """from, to, why; inside `wanted`, edges included"""
    recordings: tuple[int, ...]
    """those that are read, in order of time"""
    overlapped: tuple[int, ...]
    """those of which nothing is read, since they overlap one that covers more"""
    pairs: tuple[str, ...]
    """symbols of all pairs whose books were carried at some time, sorted"""


def chosen(pieces: Iterable[Piece], span: Range) -> list[Piece]:
    """The pieces to read, in order of time: those of the recording that covers most of `span` first, then of others
    what lies wholly outside the extent of those before. Of equals the older one is taken."""
    of: dict[int, list[Piece]] = {}
    for piece in sorted(pieces, key=lambda piece: (piece.recording, piece.number)):
        of.setdefault(piece.recording, []).append(piece)
    taken: list[tuple[Ns, Ns]] = []
    found: list[Piece] = []
    for recording in sorted(of, key=lambda recording: (-_covers(of[recording], span), recording)):
        free = [
            piece
            for piece in of[recording]
            if all(piece.end_ns < start_ns or piece.start_ns > end_ns for start_ns, end_ns in taken)
        ]
        found += free
        taken += _extents(free)
    return sorted(found, key=lambda piece: (piece.start_ns, piece.recording, piece.number))


def _extents(pieces: Sequence[Piece]) -> list[tuple[Ns, Ns]]:
    """From the first to the last of the pieces, apart where chunks are missing: another recording may fill that in."""
    return [(run[0].start_ns, run[-1].end_ns) for run in _runs(pieces)]


def _runs(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces that follow each other."""
    runs: list[list[Piece]] = []
    for piece in pieces:
        last = runs[-1][-1] if runs else None
        if last is not None and (last.recording, last.number + 1) == (piece.recording, piece.number):
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return runs


def _covers(pieces: Sequence[Piece], span: Range) -> Ns:
    return sum(max(0, min(end_ns, span.end_ns) - max(start_ns, span.start_ns)) for start_ns, end_ns in _extents(pieces))


def covered(pieces: Collection[Piece], holes: Iterable[Hole], span: Range) -> Covered:
    """What a reader of the `chosen` pieces gets. With pieces a little outside of `span`, its edges are as they are: an
    edge between two chunks that follow each other lies in no gap."""
    read = chosen(pieces, span)
    within = [piece for piece in read if _within(piece, span)]
    recordings = tuple(dict.fromkeys(piece.recording for piece in within))
    known = sorted(holes, key=lambda hole: hole.now_ns)
    stretches: list[tuple[Ns, Ns]] = []
    why: dict[Ns, str] = {}
    """by when a gap begins"""
    runs = _runs(read)
    for run in runs:
        start_ns = run[0].start_ns
        for hole in known:
            if hole.recording == run[0].recording and start_ns <= hole.now_ns <= run[-1].end_ns:
                stretches.append((start_ns, max(start_ns, hole.since_ns)))
                why[stretches[-1][1]] = hole.reason
                start_ns = hole.now_ns
        stretches.append((start_ns, run[-1].end_ns))
    for run, after in pairwise(runs):
        same = run[-1].recording == after[0].recording
        why[run[-1].end_ns] = "chunks are missing" if same else f"recording {run[-1].recording} ends there"
    inside = [
        (max(start_ns, span.start_ns), min(end_ns, span.end_ns))
        for start_ns, end_ns in stretches
        if end_ns >= span.start_ns and start_ns < span.end_ns and start_ns < end_ns
    ]
    gaps: list[tuple[Ns, Ns, str]] = []
    at_ns = span.start_ns
    for start_ns, end_ns in inside:
        if start_ns > at_ns:
            gaps.append((at_ns, start_ns, why.get(at_ns, "nothing was recorded")))
        at_ns = max(at_ns, end_ns)
    if at_ns < span.end_ns:
        gaps.append((at_ns, span.end_ns, why.get(at_ns, "nothing was recorded")))
    return Covered(
        wanted=(span.start_ns, span.end_ns),
        stretches=tuple(inside),
        gaps=tuple(gaps),
        recordings=recordings,
        overlapped=tuple(sorted({piece.recording for piece in pieces if _within(piece, span)} - set(recordings))),
        pairs=tuple(sorted({symbol for piece in within for symbol in piece.pairs})),
    )


def _within(piece: Piece, span: Range) -> bool:
    return piece.start_ns < span.end_ns and piece.end_ns >= span.start_ns
