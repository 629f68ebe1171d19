"""`arbitrade recordings verify`, `import` and `export`: recordings held against the journal, and as files."""

from collections.abc import AsyncIterator, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec
import typer

from arbitrade_core.commands.console import DemoOption, JsonOption, print_json, print_table
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.composition import Past, core_settings, load
from arbitrade_core.errors import ArbitradeError, StorageError
from arbitrade_core.inputs_codec import SCHEMA as INPUTS_SCHEMA
from arbitrade_core.recording.cut import cut
from arbitrade_core.recording.entries import SCHEMA, Chunk, Entry, Head
from arbitrade_core.recording.parquet import write_parquet
from arbitrade_core.recording.transfer import Capture, decoded, read_capture, write_ndjson
from arbitrade_core.replay.exact import Compared, compare, versions_differ
from arbitrade_core.replay.statistics import Window
from arbitrade_core.spi import Feed
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.migrations import core_migrations, migrate
from arbitrade_core.storage.recordings import reading
from arbitrade_core.storage.recordings.writing import Totals, writing
from arbitrade_core.storage.repositories import journal_contents

RecordingArgument = Annotated[int, typer.Argument(metavar="ID", help="As `arbitrade recordings list` shows it.")]

_AT_ONCE = 1_000


def verify_recording(recording: RecordingArgument, demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Run the recorded bot again on its own inputs, and hold every record against the journal. Exit code 1: it differs.

    It uses the settings that the bot had, and needs the plugins that it used.
    """
    core = core_settings()

    async def run() -> tuple[Head, Compared]:
        async with open_database(core, demo) as database:
            await has_schema(database)
            async with database.pool(size=2) as pool:
                row = await _known(pool, recording)
                if row.source == "import":
                    raise StorageError(f"recording {recording} came from a file: there is no run to hold it against")
                head = await reading.head(pool, recording)
                window = Window(row.started_ns, row.ended_ns + 1)
                chunks = reading.chunks(pool, window, recording, warm_ns=0)
                return head, await anyio.to_thread.run_sync(_compared, head, chunks, _Journal(pool))

    head, done = anyio.run(run)
    here = {"arbitrade": metadata.version("arbitrade"), "python": python_version()}
    here |= {entry.name: entry.version for entry in load().catalogue.enabled()}
    other = versions_differ(head, here)
    if as_json:
        print_json({"recording": recording, "exact": done.exact, **_fields(done), "versions_differ": other})
    else:
        _tell(recording, done, other)
    if not done.exact:
        raise typer.Exit(1)


def _fields(done: Compared) -> dict[str, Any]:
    names = ("inputs", "records", "same", "until_ns", "gap", "differences")
    return {name: msgspec.to_builtins(getattr(done, name)) for name in names}


def _tell(recording: int, done: Compared, other: list[str]) -> None:
    rows = [
        ("inputs", f"{done.inputs:,}"),
        ("records", f"{done.same:,} of {done.records:,} the same as in the journal"),
    ]
    if done.gap is not None:
        rows.append(("until", f"a gap: {done.gap.reason}; a run is not the same beyond it"))
    rows += [("version", text) for text in other]
    for difference in done.differences:
        where = f"record {difference.seq} of {difference.stream}"
        rows += [
            ("differs", where),
            ("journal", difference.journalled or "no such record"),
            ("again", difference.replayed),
        ]
    print_table((f"recording {recording}", "exact" if done.exact else "NOT the same"), rows)


def _compared(head: Head, chunks: AsyncIterator[Chunk], journal: "_Journal") -> Compared:
    return compare(head, _entries(_pulled(chunks)), journal)


def _entries(chunks: Iterable[Chunk]) -> Iterator[Entry]:
    for chunk in chunks:
        yield from decoded(chunk)


class _Journal:
    """The journal's contents, fetched some at a time; called on a worker's thread."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[str, dict[int, bytes]] = {}

    def __call__(self, stream: str, seq: int) -> bytes | None:
        known = self._known.get(stream, {})
        if seq not in known:
            known = anyio.from_thread.run(journal_contents, self._pool, stream, seq, _AT_ONCE)
            self._known[stream] = known
        return known.get(seq)


def import_recording(
    file: Annotated[Path, typer.Argument(help="A capture: ndjson of ours, raw frames one a line, or Kraken v1.")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave lines out that cannot be read.")] = False,
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a recording of a file. The whole file is read first: nothing is imported half."""
    core = core_settings()
    capture = read_capture(file, _feeds(), skip_bad=skip_bad)

    async def run() -> tuple[int, Totals]:
        async with open_database(core, demo) as database:
            await migrate(database, core_migrations())
            return await _store(database, capture)

    recording, totals = anyio.run(run)
    if as_json:
        left_out = {"bad_lines": capture.bad_lines, "complaints": capture.complaints, "faults": capture.faults}
        books = {"checksums_ok": capture.checksums_ok, "checksums_bad": capture.checksums_bad, "pairs": capture.pairs}
        print_json({"recording": recording, "form": capture.form, "frames": totals.frames, **books, **left_out})
        return
    lines = [
        f"recording {recording}: {totals.frames:,} frames of {', '.join(capture.pairs)} ({capture.form}), "
        f"{totals.bytes / 1e6:,.2f} MB",
        f"checksums: {capture.checksums_ok:,} right, {capture.checksums_bad:,} wrong",
        *(f"left out: {complaint}" for complaint in capture.complaints),
        *(f"{kind}: {example}" for kind, example in capture.faults.items()),
    ]
    typer.echo("\n".join(lines))


async def _store(database: Database, capture: Capture) -> tuple[int, Totals]:
    """Nothing of it is known of the bot that heard these frames: it can be followed, not run again."""
    head = Head(
        schema=SCHEMA,
        inputs_schema=INPUTS_SCHEMA,
        now=capture.start_ns,
        desk_id="import",
        system="import-system",
        halted=None,
        plugins={},
        versions={"arbitrade": metadata.version("arbitrade"), "python": python_version()},
        settings={},
        past=msgspec.msgpack.encode(Past()),
        started=capture.start_ns,
    )
    # Its books are known from its own snapshots: whoever reads a part reads from the beginning.
    whole_s = max(60.0, (capture.end_ns - capture.start_ns) / 1e9)
    async with writing(database, "import", head, whole_s) as recording:
        for chunk, gaps in cut(capture.entries(), capture.pairs):
            await recording.append(chunk, gaps)
    return recording.id, recording.totals


def export_recording(
    recording: RecordingArgument,
    file: Annotated[
        Path, typer.Argument(help="`.parquet`: levels of all books; anything else: ndjson, one frame a line.")
    ],
    demo: DemoOption = False,
) -> None:
    """Write a recording to a file, which must not be there yet."""
    core = core_settings()
    if file.exists():
        raise StorageError(f"{file} is there already; name another file, or move it away")
    feeds = _feeds() if file.suffix == ".parquet" else ()

    async def run() -> int:
        async with open_database(core, demo) as database:
            await has_schema(database)
            async with database.pool(size=2) as pool:
                row = await _known(pool, recording)
                chunks = reading.chunks(pool, Window(row.started_ns, row.ended_ns + 1), recording, warm_ns=0)
                return await anyio.to_thread.run_sync(_written, chunks, file, feeds)

    try:
        count = anyio.run(run)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise StorageError(f"{file} cannot be written: {error.strerror or error}; choose another place") from error
    except ArbitradeError:
        file.unlink(missing_ok=True)
        raise
    typer.echo(f"{file}: {count:,} {'rows' if feeds else 'frames'}")


def _written(chunks: AsyncIterator[Chunk], file: Path, feeds: Iterable[Feed]) -> int:
    if file.suffix == ".parquet":
        return write_parquet(_pulled(chunks), file, feeds)
    with file.open("xb") as to:
        return write_ndjson(_pulled(chunks), to)


def _pulled(chunks: AsyncIterator[Chunk]) -> Iterator[Chunk]:
    """What the event loop reads, on a worker's thread."""
    while (chunk := anyio.from_thread.run(_next, chunks)) is not None:
        yield chunk


async def _next(chunks: AsyncIterator[Chunk]) -> Chunk | None:
    return await anext(chunks, None)


def _feeds() -> tuple[Feed, ...]:
    """Of the enabled plugins: they know the exchange's forms."""
    setup = load().setup("import")
    setup.register_all()
    return tuple(feed for parts in setup.parts.values() for feed in parts.feeds)


async def _known(pool: Pool, recording: int) -> reading.RecordingRow:
    row = await reading.recording(pool, recording)
    if row is None:
        raise StorageError(f"there is no recording {recording}; `arbitrade recordings list` shows those there are")
    return row
