"""Which chunks are read for a range, and what is said to be missing."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.recording.spans import Hole, Piece, chosen, covered


@dataclass(frozen=True)
class Span:
    start_ns: int
    end_ns: int


def run(recording: int, start: int, count: int, *, first: int = 0, length: int = 10) -> list[Piece]:
    """Chunks that follow each other, each `length` long but for its last nanosecond."""
    return [
        Piece(recording, first + number, start + number * length, start + (number + 1) * length - 1, ("A/B",))
        for number in range(count)
    ]


def test_one_recording_is_one_stretch() -> None:
    told = covered(run(1, 0, 10), (), Span(20, 60))
    assert told.stretches == ((20, 60),)
    assert (told.gaps, told.recordings, told.pairs) == ((), (1,), ("A/B",))


def test_edges_without_a_recording_are_gaps() -> None:
    told = covered(run(1, 100, 10), (), Span(50, 300))
    assert told.stretches == ((100, 199),)
    assert told.gaps == ((50, 100, "nothing was recorded"), (199, 300, "nothing was recorded"))


def test_nothing_at_all_is_one_gap() -> None:
    assert covered([], (), Span(0, 5)).gaps == ((0, 5, "nothing was recorded"),)


def test_a_missing_number_is_a_gap() -> None:
    pieces = run(1, 0, 3) + run(1, 50, 3, first=5)
    told = covered(pieces, (), Span(0, 79))
    assert told.stretches == ((0, 29), (50, 79))
    assert told.gaps == ((29, 50, "chunks are missing"),)


def test_a_hole_inside_of_chunks_is_a_gap_with_its_reason() -> None:
    told = covered(run(1, 0, 10), [Hole(1, 33, 47, "slow")], Span(0, 99))
    assert told.stretches == ((0, 33), (47, 99))
    assert told.gaps == ((33, 47, "slow"),)


def test_where_recordings_overlap_the_one_that_covers_more_is_read() -> None:
    long, short = run(2, 0, 10), run(1, 40, 3)
    told = covered([*short, *long], (), Span(0, 99))
    assert (told.recordings, told.overlapped, told.stretches) == ((2,), (1,), ((0, 99),))
    assert chosen([*short, *long], Span(0, 99)) == long
    # For another range the other one covers as much, and is older.
    assert covered([*short, *long], (), Span(45, 60)).recordings == (1,)


def test_another_recording_may_fill_what_one_lacks() -> None:
    broken = run(1, 0, 4) + run(1, 100, 4, first=8)
    told = covered([*broken, *run(2, 38, 6)], (), Span(0, 140))
    assert told.recordings == (1, 2)
    assert told.stretches == ((0, 39), (48, 97), (100, 139))
    assert [why for _, _, why in told.gaps] == [
        "recording 1 ends there",
        "recording 2 ends there",
        "nothing was recorded",
    ]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 300), st.integers(1, 12), st.integers(0, 3)), max_size=6).map(
        lambda runs: [
            piece
            for number, (_, start, count, gap) in enumerate(runs)
            for piece in run(number, start, count, first=gap)
        ]
    ),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_two_recordings_are_never_read_at_one_time(pieces: list[Piece], start: int, length: int) -> None:
    span = Span(start, start + length)
    read = chosen(pieces, span)
    for one in read:
        assert all(
            other.recording == one.recording or other.end_ns < one.start_ns or other.start_ns > one.end_ns
            for other in read
        )
    told = covered(pieces, (), span)
    edges = sorted([(a, b) for a, b in told.stretches] + [(a, b) for a, b, _ in told.gaps])
    at = span.start_ns
    for left, right in edges:
        assert left == at
        at = right
    assert at == span.end_ns or not edges
