"""A journal under test: a writer that runs, the streams that feed it, and what it reported."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from arbitrade_core.events import Durable, JournalBack, JournalLost
from arbitrade_core.journal import Fields, Stream
from arbitrade_core.storage.connect import Database
from arbitrade_core.storage.journal_store import JournalWriter, Report, Tail


class Journal:
    def __init__(self, database: Database, capacity: int = 20_000) -> None:
        self.reports: list[Report] = []
        self.time_ns = 1_700_000_000_000_000_000
        self.writer = JournalWriter(database, ["live"], clock=self.now, emit=self.reports.append, capacity=capacity)
        self.stream = Stream("live")
        self.tails: dict[str, Tail] = {}

    def now(self) -> int:
        self.time_ns += 1_000
        return self.time_ns

    def write(self, kind: str, data: Fields) -> int:
        """Append one record; its number."""
        record = self.stream.record(kind, self.now(), data)
        self.writer.append([record])
        return record.seq

    async def durable(self, seq: int) -> None:
        await self.until(lambda: any(isinstance(report, Durable) and report.seq >= seq for report in self.reports))

    async def lost(self) -> None:
        await self.until(lambda: bool(self.count(JournalLost)))

    async def back(self) -> None:
        await self.until(lambda: bool(self.count(JournalBack)))

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(20):
            while not condition():  # noqa: ASYNC110
                await anyio.sleep(0.005)

    def count(self, kind: type[Report]) -> int:
        return sum(isinstance(report, kind) for report in self.reports)

    def reasons(self) -> list[str]:
        return [report.reason for report in self.reports if isinstance(report, JournalLost)]


@asynccontextmanager
async def running(database: Database, capacity: int = 20_000) -> AsyncIterator[Journal]:
    """Opened, continuing where the database left off, and running."""
    journal = Journal(database, capacity)
    journal.tails = await journal.writer.open()
    journal.stream.last_seq = journal.tails["live"].seq
    task = asyncio.create_task(journal.writer.run())
    try:
        yield journal
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        journal.writer.close()
