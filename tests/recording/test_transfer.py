"""Recordings out of the bot and back into it, and as a table."""

import gc
import sys
import tracemalloc
from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError, SettingsError
from arbitrade_core.events import Closed, Durable, Frame, Opened
from arbitrade_core.recording import chunks as codec
from arbitrade_core.recording import parquet as table
from arbitrade_core.recording.entries import Chunk, Entry, Gap, State, Via
from arbitrade_core.recording.levels import Levels
from arbitrade_core.recording.transfer import decoded, read_capture, write_ndjson
from arbitrade_kraken.feed import KrakenFeed
from arbitrade_kraken.settings import KrakenSettings
from tests.kraken.recorded import SECOND, Recorded


def feed() -> KrakenFeed:
    return KrakenFeed(KrakenSettings())


def chunk(entries: Sequence[Entry], number: int, recording: int = 1) -> Chunk:
    data = codec.encode(entries)
    frames = sum(isinstance(entry, Frame) for entry in entries)
    span = entries[0].now, entries[-1].now
    return Chunk(recording, number, *span, len(entries), frames, (), sha256(data).digest(), data)


def chunks_of(entries: Sequence[Entry], recording: int = 1, size: int = 100) -> list[Chunk]:
    parts = [entries[at : at + size] for at in range(0, len(entries), size)]
    return [chunk(part, number, recording) for number, part in enumerate(parts)]


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    run = Recorded(pairs=12)
    run.world.run_for(SECOND)
    run.all_assets()
    run.world.run_for(2 * SECOND)
    run.mark_all()
    run.control.corrupt_next_checksum("BTC/USD")
    run.world.run_for(4 * SECOND)
    return run


def exported(chunks: Sequence[Chunk], path: Path) -> int:
    with path.open("wb") as file:
        return write_ndjson(chunks, file)


def test_what_is_exported_is_imported_again(recorded: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "recording.ndjson"
    frames = exported(chunks_of(recorded.entries), path)
    capture = read_capture(path, [feed()])
    kept = Frame | State | Via | Opened | Closed | Gap
    assert list(capture.entries()) == [entry for entry in recorded.entries if isinstance(entry, kept)]
    assert (capture.form, capture.frames) == ("ndjson", frames)
    # What the bot proved is what the file proves.
    assert capture.checksums_ok == recorded.engine.checksums_ok
    assert capture.checksums_bad == recorded.engine.checksums_bad == 1
    assert set(capture.pairs) >= {recorded.engine.market.pairs[pair].symbol for pair in recorded.engine.market.in_use()}


def test_a_bad_line_imports_nothing_unless_it_may_be_left_out(recorded: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "recording.ndjson"
    exported(chunks_of(recorded.entries), path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:40], b'{"t":"noon"}\n', *lines[40:], lines[-1][:20]]))
    with pytest.raises(ProtocolError, match=r"recording\.ndjson:41: .*noon"):
        read_capture(path, [feed()])
    capture = read_capture(path, [feed()], skip_bad=True)
    assert (capture.bad_lines, len(capture.complaints)) == (2, 2)
    assert len(list(capture.entries())) == len(lines)


def test_connections_need_no_introduction_where_there_is_one_feed(tmp_path: Path) -> None:
    path = tmp_path / "plain.ndjson"
    path.write_bytes(b'{"t":5,"c":3,"f":"{\\"channel\\":\\"heartbeat\\"}"}\n')
    assert next(read_capture(path, [feed()]).entries()) == Via(3, "kraken", 5)


def test_missing_chunks_are_a_gap_and_recordings_are_told_apart(recorded: Recorded) -> None:
    one = chunks_of(recorded.entries)
    two = chunks_of([later(entry) for entry in recorded.entries], recording=2)
    file = BytesIO()
    write_ndjson([one[0], *one[2:], *two], file)
    text = file.getvalue().decode()
    assert text.count('"gap"') == 2
    assert text.count('"open":true') == 2 * sum(isinstance(entry, Opened) for entry in recorded.entries)
    conns = {entry.conn for part in one for entry in decoded(part) if isinstance(entry, Frame)}
    highest = max(conns)
    assert f'"c":{highest + 1},"feed":"kraken"' in text


def later(entry: Entry, by: Ns = 100 * SECOND) -> Entry:
    (copy,) = codec.decode(codec.encode([entry]))
    copy.now += by
    return copy


def test_a_damaged_chunk_is_named(recorded: Recorded, tmp_path: Path) -> None:
    parts = chunks_of(recorded.entries)
    bad = parts[1]
    torn = Chunk(1, 1, bad.start_ns, bad.end_ns, bad.entries, bad.frames, (), bad.sha256, bad.data[:-1])
    with pytest.raises(ProtocolError, match="chunk 1 of recording 1 is damaged"):
        write_ndjson([parts[0], torn], BytesIO())
    pytest.importorskip("pyarrow")
    with pytest.raises(ProtocolError, match="chunk 1 of recording 1 is damaged"):
        to_table([parts[0], torn], tmp_path)


# --- Parquet ------------------------------------------------------------------------------------------------


def to_table(chunks: Sequence[Chunk], folder: Path) -> int:
    return table.write_parquet(chunks, folder / "levels.parquet", [feed()])


def test_the_table_holds_every_level_as_it_was(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(table, "GROUP_ROWS", 1000)
    count = to_table(chunks_of(recorded.entries), tmp_path)
    file = parquet.ParquetFile(tmp_path / "levels.parquet")
    assert file.metadata.num_rows == count
    assert file.metadata.num_row_groups == pytest.approx(count / 1000, abs=2)
    rows = file.read().to_pylist()
    assert tuple(rows[0]) == table.COLUMNS
    levels = Levels([feed().follower()])
    expected = [
        (
            said.now,
            said.pair.symbol,
            said.update.snapshot,
            side,
            said.pair.price(ticks),
            said.pair.qty(lots),
            said.proven,
        )
        for entry in recorded.entries
        for said in levels.take(entry)
        for side, changes in (("bid", said.update.bids), ("ask", said.update.asks))
        for ticks, lots in changes
    ]
    assert [tuple(row.values()) for row in rows] == [
        (now, 1, row["message"], symbol, snapshot, side, f"{price:f}", f"{qty:f}", proven)
        for row, (now, symbol, snapshot, side, price, qty, proven) in zip(rows, expected, strict=True)
    ]
    assert {row["recording"] for row in rows} == {1}
    assert sum(not proven for *_, proven in expected) > 0


def test_the_table_takes_no_more_memory_for_a_longer_recording(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(table, "GROUP_ROWS", 500)
    parts = chunks_of(recorded.entries)

    def peak(times: int) -> int:
        many = (part for number in range(times) for part in renumbered(parts, number * len(parts)))
        gc.collect()
        tracemalloc.start()
        try:
            table.write_parquet(many, tmp_path / f"{times}.parquet", [feed()])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(8) < 1.5 * peak(2)


def renumbered(parts: Sequence[Chunk], first: int) -> list[Chunk]:
    return [chunk(list(decoded(part)), first + part.number) for part in parts]


def test_without_pyarrow_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match=r"arbitrade\[parquet\]"):
        to_table([], tmp_path)


def test_what_is_no_frame_writes_no_line() -> None:
    file = BytesIO()
    assert write_ndjson([chunk([Durable("main", 1, 5)], 0)], file) == 0
    assert file.getvalue() == b""
