"""A recorded run, run again: the same journal, byte for byte, or the place where it differs (RELIABILITY 11)."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from arbitrade_core.errors import ArbitradeError, ProtocolError
from arbitrade_core.events import Frame, Halt, Resume, Thresholds
from arbitrade_core.recording.entries import Gap
from arbitrade_core.replay.exact import compare
from tests.replay.recordings import Recorded, recorded


@pytest.fixture(scope="module")
def run() -> Recorded:
    return recorded(12)


def test_the_run_again_is_the_run(run: Recorded) -> None:
    again = compare(run.head, run.entries, run.journalled)
    assert again.exact
    assert again.records == again.same == len(run.records)
    assert again.inputs == sum(type(entry).__name__ not in ("Via", "State") for entry in run.entries)
    assert again.until_ns == run.entries[-1].now or again.gap is None


def test_another_setting_is_another_run_and_the_first_difference_is_told(run: Recorded) -> None:
    settings = run.head.settings | {"ARBITRADE_TRADING__MIN_EDGE_BPS": "60"}
    again = compare(msgspec.structs.replace(run.head, settings=settings), run.entries, run.journalled)
    (difference,) = again.differences
    assert difference.stream == "paper"
    assert difference.journalled != difference.replayed
    assert again.same > 0


def test_nothing_is_compared_beyond_a_gap(run: Recorded) -> None:
    middle = len(run.entries) // 2
    at = run.entries[middle].now
    entries = [*run.entries[:middle], Gap(at, at + 1, 7, "the writer was behind"), *run.entries[middle + 7 :]]
    again = compare(run.head, entries, run.journalled)
    assert again.exact
    assert again.gap is not None
    assert again.gap.dropped == 7
    assert again.until_ns <= at
    assert again.records < len(run.records)


def test_an_input_that_is_missing_without_a_gap_shows(run: Recorded) -> None:
    frames = {entry.now for entry in run.entries if isinstance(entry, Frame)}
    at_ns = next(record.time_ns for record in run.records if record.kind == "plan" and record.time_ns in frames)
    entries = [entry for entry in run.entries if entry.now != at_ns]
    assert not compare(run.head, entries, run.journalled).exact


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"schema": 99}, "schema 99"),
        ({"inputs_schema": 99}, "inputs 99"),
        ({"past": b"\xc1"}, "cannot be read"),
    ],
)
def test_a_head_that_cannot_be_read_is_one_clear_error(run: Recorded, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        compare(msgspec.structs.replace(run.head, **changed), run.entries, run.journalled)


def test_plugins_that_are_not_the_same_are_named(run: Recorded) -> None:
    plugins = dict(run.head.plugins)
    with pytest.raises(ArbitradeError, match="used nowhere, not in use here"):
        compare(msgspec.structs.replace(run.head, plugins=plugins | {"nowhere": "1"}), run.entries, run.journalled)
    del plugins["alerts"]
    with pytest.raises(ArbitradeError, match="did without alerts"):
        compare(msgspec.structs.replace(run.head, plugins=plugins), run.entries, run.journalled)


def test_what_operators_said_is_part_of_the_run() -> None:
    told = recorded(
        10,
        said=[
            lambda now: Thresholds("paper", Decimal(30), Decimal(1), Decimal(0), now),
            lambda now: Halt("a look at something", "someone", now),
            lambda now: Resume("someone", now),
        ],
        said_every_ns=2_000_000_000,
    )
    assert {"thresholds", "halt", "resume"} <= {record.kind for record in told.records}
    again = compare(told.head, told.entries, told.journalled)
    assert again.exact
    assert again.records == len(told.records)
