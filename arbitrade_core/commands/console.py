"""What commands print: tables for people, one JSON document for programs, log lines on standard error."""

import logging
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import structlog
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from arbitrade_core.money import plain
from arbitrade_core.settings import LogSettings

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
DemoOption = Annotated[bool, typer.Option("--demo", help="Use the demo's database.")]
RecordOption = Annotated[
    bool | None,
    typer.Option(
        "--record/--no-record",
        help="Record everything that the bot is fed, for replays. Not set: ARBITRADE_RECORDING__ENABLED.",
    ),
]


def print_json(value: Any) -> None:
    """Exactly one JSON document on standard output, on one line for programs. Money is text; structs are objects."""
    encoded = msgspec.json.encode(value, enc_hook=str)
    if sys.stdout.isatty():
        encoded = msgspec.json.format(encoded, indent=2)
    sys.stdout.write(encoded.decode() + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table as wide as the terminal; text wraps, nothing is cut off. `right` names columns of numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        whole = column == columns[0]
        table.add_column(column, justify="right" if column in right else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(Text(cell_text(cell)) for cell in row))
    Console().print(table)


def cell_text(value: object) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return plain(value)
        case tuple() | list():
            return ", ".join(cell_text(item) for item in value)
        case _:
            return str(value)


def configure_logging(log: LogSettings) -> None:
    """Log lines go to standard error, so that standard output holds a command's answer alone."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[log.level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
