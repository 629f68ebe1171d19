"""Chunks that the event loop reads, for the thread that replays them: some are read ahead, never many."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from queue import Empty, SimpleQueue

from arbitrade_core.recording.entries import Chunk
from arbitrade_core.replay.driver import Cancelled

AHEAD = 4
"""Chunks in memory that the replay has not come to."""
_LOOK_S = 0.2


class Chunks:
    """Iterable as often as wanted, from any thread but the loop's; each time all of it is read anew."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: Callable[[], AsyncGenerator[Chunk]],
        stopped: Callable[[], bool],
    ) -> None:
        """`source` is called and read on `loop`. Iterating raises what it raises, and Cancelled once `stopped`."""
        self._loop = loop
        self._source = source
        self._stopped = stopped

    def __iter__(self) -> Iterator[Chunk]:
        items: SimpleQueue[Chunk | BaseException | None] = SimpleQueue()
        room = asyncio.Semaphore(AHEAD)
        # In one task from first to last: what the source opens it can only close there.
        pump = asyncio.run_coroutine_threadsafe(_pump(self._source, items, room), self._loop)
        try:
            while (item := self._next(items)) is not None:
                if isinstance(item, BaseException):
                    raise item
                self._loop.call_soon_threadsafe(room.release)
                yield item
        finally:
            pump.cancel()

    def _next(self, items: SimpleQueue[Chunk | BaseException | None]) -> Chunk | BaseException | None:
        while True:
            if self._stopped():
                raise Cancelled("it is to end")
            try:
                return items.get(timeout=_LOOK_S)
            except Empty:
                continue


async def _pump(
    source: Callable[[], AsyncGenerator[Chunk]],
    items: SimpleQueue[Chunk | BaseException | None],
    room: asyncio.Semaphore,
) -> None:
    try:
        async with aclosing(source()) as chunks:
            async for chunk in chunks:
                await room.acquire()
                items.put(chunk)
    except Exception as error:  # noqa: BLE001 - it is the thread's to judge
        items.put(error)
    else:
        items.put(None)
