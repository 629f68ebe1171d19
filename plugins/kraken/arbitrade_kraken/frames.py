"""`arbitrade frames`: recorded frames through the same decoding, conversion and checksum as live ones.

A capture has no `instrument` frame, so a pair's precisions are read off the numbers as they stand in its
snapshot (trailing zeros count), and widened when a later frame shows more.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from arbitrade_core.book import Book, BookSide
from arbitrade_core.errors import ProtocolError
from arbitrade_kraken.books import BookReader, KrakenBookUpdate
from arbitrade_kraken.captures import widest
from arbitrade_kraken.wire import (
    DECODE_ERRORS,
    Envelope,
    LexemeBook,
    WireBook,
    decode_book_frame,
    decode_elements,
    decode_envelope,
    decode_lexeme_book,
)

DEFAULT_DEPTH = 10
"""until a subscribe confirmation in the capture names another one"""


@dataclass(slots=True)
class Report:
    """What one file held."""

    file: str
    frames: int = 0
    snapshots: int = 0
    updates: int = 0
    checksums_ok: int = 0
    checksums_bad: int = 0
    resyncs: int = 0
    """snapshots of a pair that had one before"""
    crossed: int = 0
    """messages after which the best bid was at or above the best ask"""
    skipped: Counter[str] = field(default_factory=Counter)
    """frames that are no books, by channel or method"""
    errors: list[dict[str, int | str]] = field(default_factory=list)
    """`line` (from 1; 0 for the file itself) and `error`"""

    @property
    def bad(self) -> bool:
        return bool(self.errors or self.checksums_bad)


class _PairBook:
    """One pair's book, at the precisions seen so far."""

    def __init__(self, depth: int, price_decimals: int, qty_decimals: int) -> None:
        self.book = Book(depth)
        self.reader = BookReader(0, price_decimals, qty_decimals, depth)

    def widen(self, price_decimals: int, qty_decimals: int) -> None:
        """The same book at finer precisions."""
        old = self.reader
        price_factor = 10 ** (price_decimals - old.price_decimals)
        qty_factor = 10 ** (qty_decimals - old.qty_decimals)
        for side in (self.book.bids, self.book.asks):
            _rescale(side, price_factor, qty_factor)
        self.reader = BookReader(0, price_decimals, qty_decimals, old.depth)


def _rescale(side: BookSide, price_factor: int, qty_factor: int) -> None:
    levels = [(ticks * price_factor, lots * qty_factor) for ticks, lots in side.levels()]
    side.replace(levels, max(1, len(levels)))


class Check:
    """Reads one file's frames, one a line."""

    def __init__(self, file: str) -> None:
        self.report = Report(file)
        self._pairs: dict[str, _PairBook] = {}
        self._depths: dict[str, int] = {}
        self._line = 0

    def run(self, lines: Iterable[bytes]) -> Report:
        for self._line, line in enumerate(lines, start=1):
            data = line.strip()
            if not data:
                continue
            self.report.frames += 1
            try:
                self._frame(data)
            except ProtocolError as error:
                self._error(str(error))
        return self.report

    def _error(self, error: str) -> None:
        self.report.errors.append({"line": self._line, "error": error})

    def _frame(self, data: bytes) -> None:
        try:
            frame = decode_book_frame(data)
        except DECODE_ERRORS:
            self._slow_frame(data)
            return
        if frame.channel != "book" or frame.type not in ("snapshot", "update"):
            self._slow_frame(data)
            return
        if frame.type == "update" and self._fast_updates(frame.data):
            return
        self._slow_frame(data)

    def _fast_updates(self, books: list[WireBook]) -> bool:
        """As live: True when every value lies on the grid known so far."""
        read: list[tuple[str, _PairBook, KrakenBookUpdate]] = []
        for book in books:
            pair = self._pairs.get(book.symbol)
            update = None if pair is None else pair.reader.read(book, snapshot=False)
            if pair is None or update is None:
                return False
            read.append((book.symbol, pair, update))
        for symbol, pair, update in read:
            self._apply(symbol, pair, update)
        return True

    def _slow_frame(self, data: bytes) -> None:
        try:
            envelope = decode_envelope(data)
        except DECODE_ERRORS as error:
            raise ProtocolError(f"not a frame: {error}") from error
        if envelope.channel != "book":
            self._skip(envelope)
            return
        if envelope.type not in ("snapshot", "update"):
            raise ProtocolError(f"a book frame of type {envelope.type!r}")
        try:
            books = [decode_lexeme_book(raw) for raw in decode_elements(envelope.data)]
        except DECODE_ERRORS as error:
            raise ProtocolError(f"not a book: {error}") from error
        for book in books:
            self._slow_book(book, snapshot=envelope.type == "snapshot")

    def _skip(self, envelope: Envelope) -> None:
        kind = envelope.channel if isinstance(envelope.channel, str) else envelope.method
        if not isinstance(kind, str):
            raise ProtocolError("neither a channel nor a method")
        self.report.skipped[kind] += 1
        result = envelope.result
        if envelope.method == "subscribe" and isinstance(result, dict) and isinstance(result.get("depth"), int):
            self._depths[str(result.get("symbol"))] = result["depth"]

    def _slow_book(self, book: LexemeBook, *, snapshot: bool) -> None:
        price_decimals, qty_decimals = widest(book)
        pair = self._pairs.get(book.symbol)
        if pair is None:
            if not snapshot:
                self.report.updates += 1
                raise ProtocolError(f"an update of {book.symbol} before its snapshot")
            depth = self._depths.get(book.symbol, DEFAULT_DEPTH)
            pair = _PairBook(depth, price_decimals, qty_decimals)
        elif snapshot:
            self.report.resyncs += 1
        reader = pair.reader
        if price_decimals > reader.price_decimals or qty_decimals > reader.qty_decimals:
            pair.widen(max(price_decimals, reader.price_decimals), max(qty_decimals, reader.qty_decimals))
        update = pair.reader.read_exactly(book, snapshot)
        self._pairs[book.symbol] = pair
        self._apply(book.symbol, pair, update)

    def _apply(self, symbol: str, pair: _PairBook, update: KrakenBookUpdate) -> None:
        report = self.report
        if update.snapshot:
            report.snapshots += 1
        else:
            report.updates += 1
        pair.book.apply(update.bids, update.asks, update.snapshot)
        report.crossed += pair.book.crossed
        if update.verify(pair.book):
            report.checksums_ok += 1
        else:
            report.checksums_bad += 1
            self._error(f"the book of {symbol} does not have the checksum {update.checksum}")


app = typer.Typer(name="frames", help="Recorded frames.", no_args_is_help=True)


@app.callback()
def _frames() -> None:
    """Recorded frames."""


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Captures: one raw frame a line.", metavar="FILE...")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file instead of a table.")] = False,
) -> None:
    """Replay captures through the bot's own book code, comparing every checksum. Exit code 1: some were bad."""
    reports: list[Report] = []
    for path in files:
        reports.append(_check_file(path))
        if as_json:
            sys.stdout.write(orjson.dumps(reports[-1]).decode() + "\n")
    if not as_json:
        _print(reports)
    if any(report.bad for report in reports):
        raise typer.Exit(1)


def _check_file(path: Path) -> Report:
    try:
        with path.open("rb") as lines:
            return Check(str(path)).run(lines)
    except OSError as error:
        reason = error.strerror or str(error)
        return Report(str(path), errors=[{"line": 0, "error": f"{path} cannot be read: {reason}"}])


_SHOWN_ERRORS = 20


def _print(reports: list[Report]) -> None:
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("frames", "snapshots", "updates", "ok", "bad", "resyncs", "crossed", "skipped"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    for report in reports:
        figures = (
            report.frames,
            report.snapshots,
            report.updates,
            report.checksums_ok,
            report.checksums_bad,
            report.resyncs,
            report.crossed,
            report.skipped.total(),
        )
        table.add_row(*map(str, figures), Path(report.file).name)
    console = Console()
    console.print(table)
    for report in reports:
        for error in report.errors[:_SHOWN_ERRORS]:
            where = f"{report.file}:{error['line']}: " if error["line"] else ""
            console.print(f"{where}{error['error']}", markup=False, highlight=False, soft_wrap=True)
        if len(report.errors) > _SHOWN_ERRORS:
            console.print(f"{report.file}: and {len(report.errors) - _SHOWN_ERRORS} more errors (see --json)")
