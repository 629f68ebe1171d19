"""A journal in memory: the records of a run in order, chained as on disk, and readable again."""

from collections.abc import Iterable, Iterator

import msgspec

from arbitrade_core.errors import InvariantError
from arbitrade_core.journal import GENESIS, Record, canonical, chained


class MemoryJournal:
    """Takes records of any number of streams. Two runs that decided the same have the same `hashes`."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        """in the order in which they came"""
        self.hashes: dict[str, bytes] = {}
        """by stream: the chain's last hash"""
        self._last_seq: dict[str, int] = {}

    def append(self, records: Iterable[Record]) -> dict[str, int]:
        """Take records in; returns the last number of each stream they belong to.

        Raises:
            InvariantError: a stream's numbers have a gap or go back, so a record was lost or written twice.
        """
        last: dict[str, int] = {}
        for record in records:
            known = self._last_seq.get(record.stream)
            if known is not None and record.seq != known + 1:
                raise InvariantError(
                    f"stream {record.stream!r} goes from record {known} to {record.seq}; numbers have no gaps"
                )
            self._last_seq[record.stream] = last[record.stream] = record.seq
            self.records.append(record)
            self.hashes[record.stream] = chained(self.hashes.get(record.stream, GENESIS), record)
        return last

    def told(self, kind: str) -> list[Record]:
        """The records of a kind, oldest first."""
        return [record for record in self.records if record.kind == kind]

    def lines(self) -> Iterator[bytes]:
        """What stands on disk, one JSON array a record: `[stream, seq, time_ns, kind, data]`."""
        return map(canonical, self.records)

    @classmethod
    def read(cls, lines: Iterable[bytes]) -> "MemoryJournal":
        """The journal that `lines` gave. Its hashes are computed anew, so they vouch for what was read.

        Raises:
            InvariantError: a line is missing or stands twice.
        """
        journal = cls()
        for line in lines:
            stream, seq, time_ns, kind, data = msgspec.json.decode(line, type=_Line)
            journal.append([Record(stream, seq, time_ns, kind, data)])
        return journal


type _Line = tuple[str, int, int, str, dict[str, object]]
