"""What a chunk says of itself is what is in it."""

import pytest

from arbitrade_core.events import Frame
from arbitrade_core.recording.chunks import Encoder
from arbitrade_core.recording.entries import Chunk, Gap
from arbitrade_core.settings import RecordingSettings
from arbitrade_core.storage.recordings.cutting import Cutter
from arbitrade_core.storage.recordings.writing import Totals
from tests.recording.stored import NOON, S

pytestmark = pytest.mark.anyio


class Cut:
    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.wrong: list[Exception] = []
        self.cutter = Cutter(RecordingSettings(chunk_s=60), self._deliver, self.wrong.append)

    def _deliver(self, chunk: Chunk, totals: Totals, gaps: list[Gap]) -> None:
        self.chunks.append(chunk)

    def take(self, seconds: int, *carried: str) -> None:
        self.cutter.take([[Frame(1, b"{}", NOON + seconds * S)]], carried)


async def test_a_chunk_names_the_pairs_that_were_carried_in_its_time_and_no_others() -> None:
    cut = Cut()
    cut.take(1, "BTC/USD")
    cut.take(2, "BTC/USD", "ETH/USD")
    cut.take(3, "BTC/USD")
    cut.cutter.cut()
    cut.take(4, "BTC/USD")
    cut.cutter.cut()
    assert [chunk.pairs for chunk in cut.chunks] == [("BTC/USD", "ETH/USD"), ("BTC/USD",)]


async def test_after_a_chunk_that_cannot_be_made_nothing_follows_as_if_it_were_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = Cut()
    cut.take(1, "BTC/USD")
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "finish", lambda *_: 1 / 0)
        cut.cutter.cut()
    assert [type(error) for error in cut.wrong] == [ZeroDivisionError]
    cut.take(2, "BTC/USD")
    cut.cutter.cut()
    assert cut.chunks == []
