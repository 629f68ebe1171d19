"""Recorded books as a Parquet table of levels, for notebooks and other programs. Needs the extra `parquet`.

One row for each level that a message sets: `qty` is what stands at `price` from then on, 0 when it went away. Both are
decimal texts with all of the pair's decimals, as exact as the exchange's. The rows of one `message` came together; with
`snapshot` they are the whole book. `checksum_ok` says whether the book was proven after that message.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

from arbitrade_core.book import Level
from arbitrade_core.errors import SettingsError
from arbitrade_core.recording.entries import Chunk, Gap
from arbitrade_core.recording.levels import Levels, Said
from arbitrade_core.recording.transfer import decoded
from arbitrade_core.spi import Feed, Recordable

GROUP_ROWS = 100_000
"""written together, and so many at most are held in memory"""

COLUMNS = ("time_ns", "recording", "message", "symbol", "snapshot", "side", "price", "qty", "checksum_ok")


def write_parquet(chunks: Iterable[Chunk], path: Path, feeds: Iterable[Feed]) -> int:
    """Follow the books of recorded chunks and write what was said of them; returns how many rows.

    Raises:
        SettingsError: pyarrow is not installed.
        ProtocolError: a chunk is damaged; what came before it is in the file.
    """
    followed = [feed.follower for feed in feeds if isinstance(feed, Recordable)]
    with closing(_Table(path)) as table:
        for recording, said in _followed(chunks, lambda: Levels(follower() for follower in followed)):
            table.add(recording, said)
    return table.rows


def _followed(chunks: Iterable[Chunk], levels_of: Callable[[], Levels]) -> Iterator[tuple[int, Said]]:
    """What each recording says, books beginning anew with each and after every gap."""
    last: Chunk | None = None
    levels = levels_of()
    for chunk in chunks:
        if last is not None and chunk.recording != last.recording:
            levels = levels_of()
        elif last is not None and chunk.number != last.number + 1:
            for _ in levels.take(Gap(last.end_ns, chunk.start_ns, 0, "chunks are missing")):
                pass
        last = chunk
        for entry in decoded(chunk):
            for said in levels.take(entry):
                yield chunk.recording, said


class _Table:
    """The file, and the rows that are not in it yet."""

    def __init__(self, path: Path) -> None:
        try:
            self._arrow: Any = import_module("pyarrow")
            parquet: Any = import_module("pyarrow.parquet")
        except ImportError as error:
            text = "Parquet needs pyarrow, which is not installed: pip install arbitrade[parquet]"
            raise SettingsError([text]) from error
        self.rows = 0
        arrow = self._arrow
        word = arrow.dictionary(arrow.int32(), arrow.string())
        types = (arrow.int64(), arrow.int64(), arrow.int64(), word, arrow.bool_(), word, arrow.string(), arrow.string())
        self._schema = arrow.schema(list(zip(COLUMNS, (*types, arrow.bool_()), strict=True)))
        self._writer: Any = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._message = 0
        self._columns: list[list[Any]] = [[] for _ in COLUMNS]

    def close(self) -> None:
        try:
            self._flush()
        finally:
            self._writer.close()

    def add(self, recording: int, said: Said) -> None:
        self._message += 1
        self._side(recording, said, "bid", said.update.bids)
        self._side(recording, said, "ask", said.update.asks)
        if len(self._columns[0]) >= GROUP_ROWS:
            self._flush()

    def _side(self, recording: int, said: Said, side: str, levels: Sequence[Level]) -> None:
        pair, update = said.pair, said.update
        for ticks, lots in levels:
            row = (said.now, recording, self._message, pair.symbol, update.snapshot, side)
            amounts = _decimal(ticks, pair.price_decimals), _decimal(lots, pair.qty_decimals)
            for column, value in zip(self._columns, (*row, *amounts, said.proven), strict=True):
                column.append(value)

    def _flush(self) -> None:
        count = len(self._columns[0])
        if count:
            self._writer.write_table(self._arrow.table(self._columns, schema=self._schema), row_group_size=count)
            self.rows += count
            self._columns = [[] for _ in COLUMNS]


def _decimal(units: int, decimals: int) -> str:
    """Units of `10**-decimals`, every decimal shown."""
    if not decimals:
        return str(units)
    digits = str(units).zfill(decimals + 1)
    return f"{digits[:-decimals]}.{digits[-decimals:]}"
