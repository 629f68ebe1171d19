"""The recorder's thread: what it is handed on the trading loop, it cuts into chunks and delivers, until it is over.

It has an event loop of its own. Only `start`, `hand` and `finish` are called from outside; what others read of it are
single values.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import structlog

from arbitrade_core.recording.entries import Entry
from arbitrade_core.settings import RecordingSettings
from arbitrade_core.storage.recordings.cutting import Cutter, breathe
from arbitrade_core.storage.recordings.delivery import Delivery
from arbitrade_core.storage.recordings.writing import Totals

BATCH = 512
"""Inputs that are handed over together, if `recorder.BATCH_S` is not over before."""
_PIECE = 64
"""Entries that are encoded in one go: the other threads get their turn after it."""
_FLUSH_S = 5.0

_log = structlog.get_logger(__name__)


class RecorderThread:
    """Entries in, chunks in the database."""

    def __init__(self, settings: RecordingSettings, delivery: Delivery) -> None:
        self._delivery = delivery
        self._cutter = Cutter(settings, delivery.add, delivery.give_up)
        self._handed = 0
        self._taken = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._missing_at_end = 0

    @property
    def behind(self) -> int:
        """Entries that wait for the thread."""
        return self._handed - self._taken

    @property
    def totals(self) -> Totals:
        """Of the chunks that are made."""
        return self._cutter.totals

    # --- on the trading loop ---

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def hand(self, batch: list[Entry], carried: tuple[str, ...]) -> bool:
        """Whether it is taken; it is not when the thread is no more."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._take, batch, carried)
        except RuntimeError as error:
            self._delivery.give_up(error)
            return False
        self._handed += len(batch)
        return True

    def finish(self, missing: int) -> None:
        """On any thread but ours; returns when it is over. `missing`: inputs dropped at the very end."""
        self._missing_at_end = missing
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself, and said so
                self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(4 * _FLUSH_S)

    # --- on the thread ---

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception as error:  # noqa: BLE001 - whatever it is, trading goes on and people hear that nothing is recorded
            _log.exception("the recorder ended")
            self._delivery.give_up(error)

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        delivering = asyncio.create_task(self._delivery.deliver())
        over = asyncio.create_task(self._over.wait())
        await asyncio.wait({delivering, over}, return_when=asyncio.FIRST_COMPLETED)
        if delivering.done():
            over.cancel()
            delivering.result()
        self._cutter.cut()
        await self._delivery.emptied(_FLUSH_S)
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)
        await self._delivery.close(self._heard, _FLUSH_S)

    def _take(self, batch: list[Entry], carried: tuple[str, ...]) -> None:
        if self._delivery.given_up:
            return
        self._cutter.take(self._pieces(batch), carried)
        self._taken += len(batch)

    def _pieces(self, batch: list[Entry]) -> Iterator[Sequence[Entry]]:
        """With a breath after each, as long as more than one batch waits."""
        entries = iter(batch)
        while piece := list(islice(entries, _PIECE)):
            yield piece
            if self.behind > BATCH:
                breathe()

    def _heard(self) -> int:
        """Entries that the recording should hold."""
        return self._missing_at_end + self._handed
