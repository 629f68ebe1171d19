"""The strategy is toggled while a bot trades under load: no lost frame, no orphaned plan, a complete journal."""

import sys
from pathlib import Path

import pytest

from benchmarks import toggle

pytestmark = pytest.mark.anyio


async def test_toggling_under_load_loses_no_frame_and_orphans_no_plan(
    dsn: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m benchmarks.toggle` is the same with a hundred."""
    for name, value in toggle.SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("ARBITRADE_DATA_DIR", str(data_dir))
    monkeypatch.setenv("ARBITRADE_KRAKEN__WS_URL", "ws://127.0.0.1:9/v2")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    site = tmp_path / "onlooker"
    site.mkdir()
    with toggle.onlooker(site):
        result = await toggle.toggled(10, 900.0, 0.05)
    with capsys.disabled():
        print(f"\nstall of an enable in ms: {dict(result.enable_stall_ms)}, {result.frames_per_s} frames/s")
    assert result.frames_sent == result.frames_seen
    assert result.frames_per_s > 500
    assert result.plans > 0
    assert result.sound, result
