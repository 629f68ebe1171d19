"""Recorded frames: every checksum matches, and damage to them never leaves a wrong book in use."""

import os
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest
from typer.testing import CliRunner

from arbitrade_kraken import mutations
from arbitrade_kraken.frames import app
from arbitrade_kraken.reference import Message, read_capture

BOTH = ("btcusd-ethusd-d10.ndjson", "btcusd-d10-resync.ndjson")


def check(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    result = CliRunner().invoke(app, ["check", "--json", *arguments])
    return result.exit_code, [orjson.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "snapshots", "checksums", "resyncs"),
    [
        (BOTH[0], 2, 2962, 0),
        (BOTH[1], 5, 301, 4),
        ("frames/btcusd_docs_worked_example.ndjson", 1, 1, 0),
        ("frames/ethbtc_2026-08-26_d10.ndjson", 1, 2, 0),
        ("frames/control_frames.ndjson", 0, 0, 0),
    ],
)
def test_every_recorded_checksum_matches(shared: Path, name: str, snapshots: int, checksums: int, resyncs: int) -> None:
    code, (report,) = check(str(shared / "captures" / name))
    assert code == 0
    assert report["checksums_ok"] == checksums
    assert report["checksums_bad"] == 0
    assert report["snapshots"] == snapshots
    assert report["resyncs"] == resyncs
    assert report["errors"] == []


def test_the_report_goes_on_after_bad_lines(tmp_path: Path) -> None:
    good = (
        b'{"channel":"book","type":"snapshot","data":[{"symbol":"A/B","bids":[],'
        b'"asks":[{"price":7,"qty":1.50}],"checksum":%d}]}'
    )
    lines = [
        b'{"channel":"heartbeat"}',
        b"garbage",
        good % crc32(b"7150"),
        b'{"channel":"book","type":"update","data":[{"symbol":"X/Y","bids":[],"asks":[],"checksum":1}]}',
        b'{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[{"price":6.5,"qty":2}],"asks":[],"checksum":%d}]}'
        % crc32(b"7015065200"),
        b'{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[{"price":9,"qty":2}],"asks":[],"checksum":4}]}',
        b"",
        good % crc32(b"7150"),
    ]
    file = tmp_path / "capture.ndjson"
    file.write_bytes(b"\n".join(lines))
    code, (report, missing) = check(str(file), str(tmp_path / "nowhere"))
    assert code == 1
    errors = report.pop("errors")
    assert [error["line"] for error in errors] == [2, 4, 6, 8]
    assert "X/Y before its snapshot" in errors[1]["error"]
    assert report == {
        "file": str(file),
        "frames": 7,
        "snapshots": 2,
        "updates": 3,
        "checksums_ok": 2,
        "checksums_bad": 2,
        "resyncs": 1,
        "crossed": 1,
        "skipped": {"heartbeat": 1},
    }
    assert missing["errors"] == [
        {"line": 0, "error": f"{tmp_path / 'nowhere'} cannot be read: No such file or directory"}
    ]


def test_the_table_and_unusable_arguments(shared: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["check", str(shared / "captures" / BOTH[1])])
    assert shown.exit_code == 0
    assert "301" in shown.stdout
    assert runner.invoke(app, ["check"]).exit_code == 2
    assert runner.invoke(app, ["check", "--nonsense", "x"]).exit_code == 2


def test_damaged_frames_never_leave_a_wrong_book_in_use(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Frames dropped, doubled, swapped, cut, with a digit changed or a field removed, through feed and market.

    What goes unnoticed is harmless, and the report says why: a message applied twice changes nothing; a dropped or
    swapped message whose levels the pair's next message sets again leaves the book behind until then, and that
    message verifies; swapped messages of different pairs, or that cancel, lead to the same books; timestamps are no
    part of the book. A miss without such a reason fails. ARBITRADE_MUTATIONS sets the number.
    """
    captures: list[list[Message]] = []
    for name in BOTH:
        with (shared / "captures" / name).open("rb") as lines:
            captures.append(read_capture(lines))
    count = int(os.environ.get("ARBITRADE_MUTATIONS", "6000"))
    result = mutations.run(captures, count, seed=20261122)
    with capsys.disabled():
        print("\n" + "\n".join(result.lines()))
    assert result.done == count
    assert result.violations == []
    assert result.unexplained == []
    assert result.tallies["cut"].noticed == result.tallies["cut"].done
    assert all(result.tallies[kind].noticed for kind in mutations.KINDS if kind != "doubled")


def test_the_mutation_command(shared: Path) -> None:
    written: list[str] = []
    assert mutations.main(["--count", "60", str(shared / "captures" / BOTH[1])], written.append) == 0
    assert "60 damages: 0 wrong in use, 0 unexplained" in "".join(written)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"channel":"book","type":"snapshot"}', "not a book"),
        (b'{"channel":"book","type":"other","data":[]}', "a book frame of type 'other'"),
        (
            b'{"channel":"book","type":"other","data":[{"symbol":"A/B","bids":[],"asks":[],"checksum":1}]}',
            "of type 'other'",
        ),
        (b'{"x":1}', "neither a channel nor a method"),
        (
            b'{"channel":"book","type":"snapshot","data":[{"symbol":"A/B","bids":[{"price":"7","qty":1}],"asks":[]}]}',
            "is not a number",
        ),
        (
            b'{"channel":"book","type":"snapshot","data":[{"symbol":"A/B","bids":[{"price":0,"qty":1}],"asks":[]}]}',
            "price is zero",
        ),
    ],
)
def test_every_bad_line_is_named(tmp_path: Path, line: bytes, error: str) -> None:
    file = tmp_path / "capture.ndjson"
    file.write_bytes(line)
    code, (report,) = check(str(file))
    assert code == 1
    (found,) = report["errors"]
    assert error in found["error"]
    shown = CliRunner().invoke(app, ["check", str(file)])
    assert f"{file}:1: {found['error']}" in shown.stdout.replace("\n", "")


def test_many_errors_are_cut_short_in_the_table(tmp_path: Path) -> None:
    file = tmp_path / "capture.ndjson"
    file.write_bytes(b"nonsense\n" * 25)
    shown = CliRunner().invoke(app, ["check", str(file)])
    assert shown.exit_code == 1
    assert "and 5 more errors" in shown.stdout
