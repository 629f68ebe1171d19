"""`arbitrade recordings`: what was recorded, and making room."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import anyio
import typer

from arbitrade_core.clock import WallClock
from arbitrade_core.commands.console import DemoOption, JsonOption, print_json, print_table
from arbitrade_core.commands.db import has_schema, open_database
from arbitrade_core.commands.recordings_files import export_recording, import_recording, verify_recording
from arbitrade_core.composition import core_settings
from arbitrade_core.errors import StorageError
from arbitrade_core.storage.recordings import days, reading

app = typer.Typer(no_args_is_help=True, help="Recordings of everything that a bot was fed.")
app.command("verify")(verify_recording)
app.command("import")(import_recording)
app.command("export")(export_recording)


@app.command("list")
def list_recordings(
    demo: DemoOption = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, newest first.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show the recordings: when, of what, how much, and what is missing in them."""
    core = core_settings()

    async def run() -> list[reading.RecordingRow]:
        async with open_database(core, demo) as database:
            if not await has_schema(database):
                return []
            async with database.pool(size=1) as pool:
                return await reading.recordings(pool, limit)

    rows = anyio.run(run)
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("no recordings yet: `arbitrade record`, or `arbitrade run --record`")
    else:
        print_table(
            ("id", "from (UTC)", "lasted", "source", "state", "frames", "pairs", "MB", "gaps", "dropped"),
            [
                (
                    row.id,
                    f"{row.started_at:%Y-%m-%d %H:%M:%S}",
                    str(timedelta(seconds=(row.ended_ns - row.started_ns) // 10**9)),
                    row.source,
                    row.state,
                    f"{row.frames:,}",
                    row.pairs,
                    f"{row.bytes / 1e6:,.1f}",
                    row.gaps,
                    f"{row.dropped:,}",
                )
                for row in rows
            ],
            right=("id", "frames", "pairs", "MB", "gaps", "dropped"),
        )


@app.command("show")
def show_recording(
    recording: Annotated[int, typer.Argument(metavar="ID", help="As `arbitrade recordings list` shows it.")],
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show one recording: its size, gaps and pairs, and the settings of the bot that made it."""
    core = core_settings()

    async def run() -> dict[str, object]:
        async with open_database(core, demo) as database:
            await has_schema(database)
            async with database.pool(size=1) as pool:
                row = await reading.recording(pool, recording)
                if row is None:
                    raise StorageError(
                        f"there is no recording {recording}; `arbitrade recordings list` shows those there are"
                    )
                head = await reading.head(pool, recording)
                return {
                    "recording": row,
                    "gaps": await reading.gaps(pool, recording),
                    "pairs": await reading.symbols(pool, recording),
                    "plugins": head.plugins,
                    "settings": head.settings,
                }

    found = anyio.run(run)
    if as_json:
        print_json(found)
        return
    row, gaps = found["recording"], found["gaps"]
    assert isinstance(row, reading.RecordingRow)
    assert isinstance(gaps, list)
    pairs, plugins, settings = found["pairs"], found["plugins"], found["settings"]
    assert isinstance(plugins, dict)
    assert isinstance(settings, dict)
    rows = [
        ("from (UTC)", f"{row.started_at:%Y-%m-%d %H:%M:%S.%f}"),
        ("to", f"{row.ended_at:%Y-%m-%d %H:%M:%S.%f}"),
        ("source", f"{row.source}, desk {row.desk_id}"),
        ("state", f"{row.state}: {row.note}" if row.note else row.state),
        ("frames", f"{row.frames:,} of {row.entries:,} entries"),
        ("chunks", f"{row.chunks:,}, {row.chunks_left:,} of them still there"),
        ("size", f"{row.bytes / 1e6:,.1f} MB, {row.bytes / row.frames:.1f} bytes a frame" if row.frames else "0"),
        ("dropped", f"{row.dropped:,} inputs"),
        *(("gap", _gap(gap)) for gap in gaps),
        ("versions", ", ".join(f"{name} {version}" for name, version in row.versions.items())),
        ("plugins", ", ".join(f"{name} {version}" for name, version in plugins.items())),
        ("pairs", pairs),
        *(("setting", f"{name}={value}") for name, value in settings.items()),
    ]
    print_table(("recording", str(row.id)), rows)


@app.command("prune")
def prune_recordings(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and drop nothing.")] = False,
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Drop whole days that are too old or too much, as ARBITRADE_RECORDING__KEEP_DAYS and __MAX_GB say.

    Days that backtests need stay, and so does today. A bot that records does this by itself.
    """
    core = core_settings()

    async def run() -> days.Pruned:
        async with open_database(core, demo) as database:
            if not await has_schema(database):
                return days.Pruned((), 0, 0, ())
            connection = await database.connect(application="arbitrade recordings", command_timeout_s=60.0)
            try:
                return await days.prune(
                    connection,
                    now_ns=WallClock()(),
                    keep_days=core.recording.keep_days,
                    max_gb=float(core.recording.max_gb),
                    dry_run=dry_run,
                )
            finally:
                connection.terminate()

    pruned = anyio.run(run)
    if as_json:
        print_json({"dry_run": dry_run, **{name: getattr(pruned, name) for name in pruned.__struct_fields__}})
        return
    verb = "would be dropped" if dry_run else "dropped"
    lines = [f"{day} {verb}: {why}" for day, why in pruned.dropped]
    lines += [f"{day} stays: {why}" for day, why in pruned.held]
    lines.append(f"{pruned.freed_bytes / 1e6:,.1f} MB {verb}, {pruned.kept_bytes / 1e6:,.1f} MB stay")
    typer.echo("\n".join(lines))


def _gap(gap: reading.GapRow) -> str:
    since = datetime.fromtimestamp(gap.since_ns / 1e9, UTC)
    lost = f"{gap.dropped:,} inputs" if gap.dropped else "unknown how much"
    return f"{since:%Y-%m-%d %H:%M:%S} for {(gap.now_ns - gap.since_ns) / 1e9:.1f} s, {lost}: {gap.reason}"
