"""The durable record: what is written before anything is sent, and how it is chained.

A record's hash covers the one before it, its stream, number, injected time, kind and content; so the last hash
of a stream vouches for all of it, and two runs that decided the same have the same hash.
"""

import hashlib
from decimal import Decimal
from typing import Any

import msgspec
import orjson

type Fields = dict[str, Any]
"""A record's content: strings, ints, bools, None, lists and dicts of those. Money stands as plain decimal text."""

GENESIS = bytes(32)


class Record(msgspec.Struct, frozen=True):
    """One line of a stream. `seq` starts at 1 and has no gaps; `time_ns` is the engine's time, not the disk's."""

    stream: str
    seq: int
    time_ns: int
    kind: str
    data: Fields


def canonical(record: Record) -> bytes:
    """The bytes that are hashed and stored: keys sorted, no white space, money as text."""
    return orjson.dumps(
        [record.stream, record.seq, record.time_ns, record.kind, record.data],
        default=_text,
        option=orjson.OPT_SORT_KEYS,
    )


def chained(previous: bytes, record: Record) -> bytes:
    """The 32-byte hash of `record` after `previous` (GENESIS for the first)."""
    return hashlib.sha256(previous + canonical(record)).digest()


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"a journal record holds {type(value).__name__} {value!r}; write text, int, bool, list or dict")


class Stream:
    """Numbers one stream's records. The engine owns it; storage says where it left off."""

    def __init__(self, name: str, last_seq: int = 0) -> None:
        self.name = name
        self.last_seq = last_seq

    def record(self, kind: str, time_ns: int, data: Fields) -> Record:
        self.last_seq += 1
        return Record(self.name, self.last_seq, time_ns, kind, data)
