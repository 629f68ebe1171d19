"""As an operator meets it: off until it is enabled, with an allocation of its own, in a running demo."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo.conftest import Command
from tests.demo.conftest import start as start  # noqa: PLC0414 - a fixture

type Start = Callable[..., Command]

FUNDED = {
    "ARBITRADE_EXPERIMENTAL": "statarb",
    "ARBITRADE_STATARB__ALLOCATION": "ETH=2,BTC=0.1",
    "ARBITRADE_STATARB__BAR_S": "1",
    "ARBITRADE_PAPER__STARTING_BALANCES": "USD=10000,ETH=5,BTC=1",
    "ARBITRADE_LOG__LEVEL": "error",
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


@pytest.fixture
def environment(dsn: str) -> dict[str, str]:
    return {**FUNDED, "DATABASE_URL": dsn}


def ended(command: Command) -> Any:
    assert command.ended() == 0, command.errors
    return json.loads(command.out)


def test_the_flag_alone_leaves_it_off_and_a_running_demo_can_enable_it(
    start: Start, environment: dict[str, str], data_dir: Path
) -> None:
    demo = start("demo", "--seconds=30", "--seed=7", "--json", **environment)
    file = data_dir / "control-demo.json"
    until = time.monotonic() + 20
    while not file.exists():
        assert demo.process.poll() is None, demo.process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    enabled = ended(start("plugins", "enable", "statarb", "--demo", "--json", **environment))
    assert (enabled["state"], enabled["changed"]) == ("enabled", True), "the flag alone had left it off"
    facts: dict[str, str] = {}
    panel: dict[str, Any] = {}
    while "value" not in facts:
        assert time.monotonic() < until, facts
        shown = ended(start("plugins", "show", "statarb", "--demo", "--json", **environment))
        (panel,) = shown["panels"]
        facts = {fact["label"]: fact["value"] for fact in panel["facts"]}
    assert facts["history"].endswith("of 1500 bars of 1 s")
    assert facts["value"] == facts["value of just holding"]
    held = {row[0]: row[1:3] for row in panel["tables"][0]["rows"]}
    assert held == {"BTC": ["0.1", "0.1"], "ETH": ["2", "2"]}
    demo.interrupt()
    told = ended(demo)
    assert told["ledger_consistent"] is True
