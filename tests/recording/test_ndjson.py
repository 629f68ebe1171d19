"""Recordings as lines of text: every entry comes back, and a bad line is told of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.events import Closed, Durable, Frame, Opened
from arbitrade_core.recording import ndjson
from arbitrade_core.recording.entries import Entry, Gap, State, Via

NOW = 1_790_000_000_000_000_000
numbers = st.integers(0, 2**63 - 1)
texts = st.text(max_size=30)
frames = st.binary(max_size=60) | texts.map(str.encode)
entries = st.one_of(
    st.builds(Frame, numbers, frames, numbers),
    st.builds(State, numbers, frames, numbers),
    st.builds(Via, numbers, texts, numbers),
    st.builds(Opened, numbers, numbers),
    st.builds(Closed, numbers, st.integers(0, 4999), texts, numbers),
    st.builds(Gap, numbers, numbers, numbers, texts),
)


def told(lines: list[bytes]) -> tuple[list[Entry], list[tuple[int, str]]]:
    bad: list[tuple[int, str]] = []
    return list(ndjson.read(lines, lambda number, why: bad.append((number, why)))), bad


@given(st.lists(entries, max_size=8))
def test_what_was_written_comes_back(written: list[Entry]) -> None:
    written.sort(key=lambda entry: entry.now)
    lines = [line for entry in written if (line := ndjson.line_of(entry)) is not None]
    assert told(lines) == (written, [])
    assert all(line.count(b"\n") == 1 for line in lines)
    assert not lines or ndjson.sniff(lines[:1])


def test_what_is_the_bots_own_affair_is_left_out() -> None:
    assert ndjson.line_of(Durable("main", 3, NOW)) is None


def test_a_frame_is_one_line_word_for_word() -> None:
    frame = Frame(1, b'{"channel":"heartbeat"}', NOW)
    assert ndjson.line_of(frame) == b'{"t":%d,"c":1,"f":"{\\"channel\\":\\"heartbeat\\"}"}\n' % NOW


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"garbage", "garbage"),
        (b"[1]", "array"),
        (b'{"t":1,"c":1}', "holds none"),
        (b'{"t":1,"f":"x"}', "no connection"),
        (b'{"t":1,"c":1,"f":"x","open":true}', "holds f, open"),
        (b'{"t":-1,"c":1,"f":"x"}', "-1"),
        (b'{"t":99999999999999999999,"c":1,"f":"x"}', "99999999999999999999"),
        (b'{"t":"now","c":1,"f":"x"}', "now"),
        (b'{"t":1,"c":1,"b":"%"}', "%"),
        (b'{"t":1,"c":1,"f":"x","else":2}', "else"),
        (b'{"t":1,"c":1,"f":"\xff"}', "c"),
        (b'{"t":1,"gap":{}}', "since"),
        (b"[" * 3000, "["),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_value_and_left_out(line: bytes, why: str) -> None:
    good = b'{"t":5,"c":1,"f":"x"}'
    found, bad = told([good, b"", line, good])
    assert found == [Frame(1, b"x", 5)] * 2
    assert [number for number, _ in bad] == [3]
    assert why in bad[0][1]


def test_times_never_run_backwards() -> None:
    found, bad = told([b'{"t":5,"c":1,"f":"x"}', b'{"t":4,"c":1,"f":"y"}'])
    assert [entry.now for entry in found] == [5, 5]
    assert bad == []
