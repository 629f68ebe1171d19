"""Cuts what a recorder hears into chunks: when one is old or large, and at midnight (UTC).

Entries are encoded as they come, so that the work of a chunk is spread over its time. It shares the interpreter with
the trading loop, and lets go of it between pieces of work. (An import has all of its entries: `recording.cut`.)
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from arbitrade_core.domain import Ns
from arbitrade_core.recording.chunks import Encoder
from arbitrade_core.recording.entries import Chunk, Entry, Gap
from arbitrade_core.settings import RecordingSettings
from arbitrade_core.storage.recordings.days import next_midnight
from arbitrade_core.storage.recordings.writing import Totals, plus

_BREATH_S = 0.000_2

_log = structlog.get_logger(__name__)


def breathe() -> None:
    """Lets go of the interpreter, which yields to a waiting trading loop at once."""
    time.sleep(_BREATH_S)


class Cutter:
    """Entries in, chunks out, on the event loop of one thread.

    `deliver` takes each chunk with the totals up to it and the gaps in it. `give_up` hears of an entry that cannot be
    written, which is a bug: from then on nothing more should come.
    """

    def __init__(
        self,
        settings: RecordingSettings,
        deliver: Callable[[Chunk, Totals, list[Gap]], None],
        give_up: Callable[[Exception], None],
    ) -> None:
        self.totals = Totals()
        """of the chunks that are made"""
        self._settings = settings
        self._deliver = deliver
        self._give_up = give_up
        self._encoder = Encoder()
        self._spoilt = False
        self._start_ns: Ns = 0
        self._end_ns: Ns = 0
        self._midnight: Ns = 0
        self._gaps: list[Gap] = []
        self._pairs: dict[tuple[str, ...], None] = {}
        """whose books were carried meanwhile; what was last goes on into the next chunk"""
        self._cutting: asyncio.TimerHandle | None = None

    def take(self, pieces: Iterable[Sequence[Entry]], carried: tuple[str, ...]) -> None:
        """Entries in order, with the symbols of the pairs whose books were carried."""
        try:
            self._pairs.pop(carried, None)
            self._pairs[carried] = None
            for piece in pieces:
                if piece[-1].now >= self._midnight or not self._encoder.entries:
                    self._add_by_day(piece)
                else:
                    self._add(piece)
        except Exception as error:  # noqa: BLE001 - an input that cannot be written is a bug; trading goes on
            self._spoil(error)

    def _spoil(self, error: Exception) -> None:
        """The encoder may hold half an entry; what was stored before is sound."""
        _log.error("an entry cannot be recorded", exc_info=error)
        self._encoder = Encoder()
        self._spoilt = True
        self._give_up(error)

    def _add_by_day(self, piece: Iterable[Entry]) -> None:
        """A chunk never spans midnight."""
        for entry in piece:
            if self._encoder.entries and entry.now >= self._midnight:
                self.cut()
            if not self._encoder.entries:
                self._start_ns = entry.now
                self._midnight = next_midnight(entry.now)
                loop = asyncio.get_running_loop()
                self._cutting = loop.call_later(self._settings.chunk_s, self.cut)
            self._add([entry])

    def _add(self, piece: Sequence[Entry]) -> None:
        if self._spoilt:
            return  # a chunk of what comes after would read as if nothing were missing before it
        self._encoder.add(piece)
        self._end_ns = max(self._start_ns, piece[-1].now)
        self._gaps += [entry for entry in piece if type(entry) is Gap]
        if self._encoder.size >= self._settings.chunk_mb * 1_000_000:
            self.cut()

    def cut(self) -> None:
        """What came so far is a chunk."""
        if self._cutting is not None:
            self._cutting.cancel()
            self._cutting = None
        encoder = self._encoder
        if not encoder.entries:
            return
        self._encoder = Encoder()
        try:
            data = encoder.finish(breathe)
        except Exception as error:  # noqa: BLE001 - likewise
            self._spoil(error)
            return
        symbols = sorted({symbol for carried in self._pairs for symbol in carried})
        last = next(reversed(self._pairs), ())
        self._pairs = {last: None}
        chunk = Chunk(
            recording=0,
            number=self.totals.chunks,
            start_ns=self._start_ns,
            end_ns=self._end_ns,
            entries=encoder.entries,
            frames=encoder.frames,
            pairs=tuple(symbols),
            sha256=hashlib.sha256(data).digest(),
            data=data,
        )
        gaps, self._gaps = self._gaps, []
        self.totals = plus(self.totals, chunk, gaps)
        self._deliver(chunk, self.totals, gaps)
