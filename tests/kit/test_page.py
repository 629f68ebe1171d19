"""The author's guide says what is true: its code runs on what its first command makes."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from arbitrade_core.scaffold import KINDS, scaffold
from arbitrade_core.spi import RiskCheck
from arbitrade_core.testing import builders, contracts, desk, feed_port, moves, player, venue
from arbitrade_core.testing.contracts import CONTRACTS
from tests.house.repository import ROOT

PAGE = (ROOT / "docs" / "authors.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the page's snippets stand in: the scaffolded plugin and the kit."""
    made = scaffold("spread_guard", "risk", tmp_path)
    monkeypatch.syspath_prepend(str(made.folder / "src"))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    names: dict[str, Any] = {"Decimal": Decimal, "RiskCheck": RiskCheck}
    for module in (builders, contracts, desk, moves, player):
        names |= vars(module)
    exec("from arbitrade_spread_guard.spread import SpreadGuard", names)
    yield names


def test_its_tests_pass(namespace: dict[str, Any]) -> None:
    for block in BLOCKS:
        if "def test_" in block or "class Test" in block:
            exec(block, namespace)
    namespace["test_a_wide_book_is_refused"](desk.FakeDesk())
    namespace["test_it_decides_in_a_real_engine"]()
    assert namespace["TestContract"]().make().name == "spread_guard"


def test_its_plugin_is_the_scaffolds(tmp_path: Path) -> None:
    made = scaffold("spread_guard", "risk", tmp_path)
    plugin = (made.folder / "src" / made.package / "plugin.py").read_text()
    assert BLOCKS[0] in plugin


def test_its_tables_are_whole() -> None:
    assert [kind for kind in KINDS if f"| `{kind}` |" not in PAGE] == []
    assert [one.__name__ for one in CONTRACTS if f"| `{one.__name__}` |" not in PAGE] == []
    assert [one for one in moves.Move.__value__.__args__ if f"`{one.__name__}`" not in PAGE] == []


def test_the_verbs_it_names_exist() -> None:
    for owner in (desk.FakeDesk, builders, venue.FakeVenue, feed_port.FakeFeedPort, player.MarketPlayer):
        row = next((line for line in PAGE.splitlines() if f".{owner.__name__}`" in line), "")
        for verb in re.findall(r"`([a-z_]+)(?:\(.*?\))?`", row.partition("|")[2].partition("|")[2]):
            assert hasattr(owner, verb), f"{owner.__name__}.{verb}"
