"""A halt stands in a file beside the journal, and either keeps the bot halted (DESIGN 5)."""

from pathlib import Path

import pytest

from arbitrade_core.events import Halt
from arbitrade_core.host.halt_file import HaltFile
from arbitrade_core.journal import Record
from tests.host.conftest import Run

pytestmark = pytest.mark.anyio


def record(kind: str, stream: str = "system", **data: str) -> Record:
    return Record(stream, 1, 1, kind, dict(data))


def test_what_halts_is_written_and_what_resumes_is_taken_out(tmp_path: Path) -> None:
    file = HaltFile(tmp_path / "new")
    file.note([record("balances"), record("halt", reason="fire")])
    file.note([record("desk_halt", "paper", reason="stuck")])
    assert HaltFile(tmp_path / "new").reasons == {"system": "fire", "paper": "stuck"}
    file.note([record("resume"), record("desk_resume", "paper")])
    assert HaltFile(tmp_path / "new").reasons == {}
    assert not (tmp_path / "new" / "halted.json").exists()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"system": 5}', b"\xff"])
def test_a_file_that_cannot_be_understood_halts(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "halted.json").write_bytes(text)
    assert "cannot be read" in HaltFile(tmp_path).reasons["system"]


def test_a_folder_that_cannot_be_written_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = HaltFile(tmp_path / "file" / "folder")
    file.note([record("halt", reason="fire")])
    assert file.reasons == {"system": "fire"}


async def test_a_halt_that_only_the_file_knows_holds_until_resumed(run: Run, data_dir: Path) -> None:
    """As after a kill while the database was away."""
    HaltFile(data_dir).note([record("halt", reason="fire"), record("desk_halt", "paper", reason="a desk's own")])
    async with run() as bot:
        await bot.until(lambda: bot.session.engine.frames)
        engine = bot.session.engine
        assert engine.halted == "fire"
        assert engine.desks[0].halt_reason == "a desk's own"
    async with run(resume=True) as bot:
        await bot.until(lambda: bot.session.engine.frames)
        assert bot.session.engine.halted is None
        assert bot.session.engine.desks[0].halt_reason is None
        assert HaltFile(data_dir).reasons == {}
        shell = bot.session.shell
        shell.take(Halt("again", "a test", shell.clock()))
        assert HaltFile(data_dir).reasons == {"system": "again"}
