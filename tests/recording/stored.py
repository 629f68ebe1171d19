"""Recordings as tests write them: chunks at given times, without a bot."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from arbitrade_core.events import Frame
from arbitrade_core.recording.chunks import encode
from arbitrade_core.recording.entries import SCHEMA, Chunk, Entry, Gap, Head

S = 10**9
NOON = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * S
DAY = 86_400 * S


@dataclass(frozen=True)
class Span:
    start_ns: int
    end_ns: int


def head(started: int = NOON, desk_id: str = "paper") -> Head:
    return Head(
        schema=SCHEMA,
        inputs_schema=1,
        now=started,
        desk_id=desk_id,
        system="system",
        halted=None,
        plugins={"core": "1"},
        versions={"arbitrade": "1"},
        settings={"ARBITRADE_TRADING__MIN_EDGE_BPS": "7"},
        past=b"\x80",
        started=started,
    )


def frames(start_ns: int, count: int = 20, every_ns: int = S // 2, conn: int = 1) -> list[Entry]:
    return [Frame(conn, b'{"channel":"book","n":%d}' % number, start_ns + number * every_ns) for number in range(count)]


def chunk(entries: Sequence[Entry], number: int = 0, recording: int = 0, pairs: Sequence[str] = ("BTC/USD",)) -> Chunk:
    data = encode(entries)
    return Chunk(
        recording=recording,
        number=number,
        start_ns=entries[0].now,
        end_ns=entries[-1].now,
        entries=len(entries),
        frames=sum(isinstance(entry, Frame) for entry in entries),
        pairs=tuple(pairs),
        sha256=hashlib.sha256(data).digest(),
        data=data,
    )


def gaps_in(entries: Sequence[Entry]) -> list[Gap]:
    return [entry for entry in entries if isinstance(entry, Gap)]
