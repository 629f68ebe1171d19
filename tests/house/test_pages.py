"""Pages and program say the same: commands, options, variables, hooks, stages of the funnel, fee schedules."""

import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer.main

from arbitrade_alerts.settings import AlertsSettings
from arbitrade_core.cli import app
from arbitrade_core.domain import Pair
from arbitrade_core.funnel import DeskFunnel, detection_totals
from arbitrade_core.hooks import HOOKS, PluginContext
from arbitrade_core.plugins import load_catalogue
from arbitrade_core.settings import CoreSettings, variables
from arbitrade_kraken.fee_tables import TIERS
from arbitrade_kraken.fees import KrakenFees
from arbitrade_kraken.settings import KrakenSettings
from arbitrade_statarb.settings import StatarbSettings
from tests.house.hooks_page import page as hooks_page
from tests.house.repository import PAGES, README, ROOT

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|`|&& |\$ |\| |run )(?:ARBITRADE_\S+ )*arbitrade ([a-z][^`|#\n]*)")
VARIABLE = re.compile(r"\b(?:ARBITRADE_[A-Z_]+|PG_[A-Z]+|DATABASE_URL)\b")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- commands -----------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for command in COMMAND.findall(page.read_text(encoding="utf-8")):
            yield page, command.strip()


@pytest.mark.parametrize(("page", "command"), [pytest.param(*one, id=one[1]) for one in dict.fromkeys(commands())])
def test_every_command_and_option_in_the_pages_exists(page: Path, command: str) -> None:
    node: Any = typer.main.get_command(app)
    words = command.split()
    while words and hasattr(node, "get_command"):
        found = node.get_command(None, words[0])
        assert found is not None, f"{page.name}: arbitrade {command}: there is no {words[0]!r}"
        node = found
        words = words[1:]
    known = {option for parameter in getattr(node, "params", ()) for option in parameter.opts} | {"--help"}
    assert set(OPTION.findall(command)) <= known, f"{page.name}: arbitrade {command}"


def test_the_readme_has_enough_commands_to_be_worth_looking_at() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(set(COMMAND.findall(text))) > 8
    for line in ("pip install uv && uv run arbitrade demo", "pip install uv && uv run pytest"):
        assert f"\n{line}\n" in text


def test_ci_runs_the_readmes_test_command() -> None:
    assert re.search(r"^step tests uv run pytest$", read(".ci/run"), re.MULTILINE)


# --- variables ----------------------------------------------------------------------------------------------


def test_every_variable_in_the_pages_is_a_setting() -> None:
    known = {variable.name for variable in variables(CoreSettings)}
    for section, model in (("kraken", KrakenSettings), ("alerts", AlertsSettings), ("statarb", StatarbSettings)):
        known |= {variable.name for variable in variables(model, (section,))}
    known |= {
        "ARBITRADE_API",
        "ARBITRADE_DEPTH__MIN_LEVELS",
        "ARBITRADE_",
        "ARBITRADE_ALERTS__",
    }  # the API's number, the example plugin
    for page in [*PAGES, ROOT / "compose.yaml", ROOT / "Dockerfile", ROOT / ".ci" / "run"]:
        text = page.read_text(encoding="utf-8")
        named = {name for name in VARIABLE.findall(text) if not re.search(rf"{name}[<*…]", text)}
        assert named <= known, page.name


# --- hooks --------------------------------------------------------------------------------------------------


def test_the_page_of_hooks_is_made_from_them() -> None:
    assert read("docs/hooks.md") == hooks_page(), "run `just docs`"
    assert all(f"## {hook}(" in hooks_page() for hook in HOOKS)


def test_the_example_plugin_works() -> None:
    module: dict[str, Any] = {"__name__": "arbitrade_depth"}
    source = next(code for language, code in BLOCK.findall(read("docs/hooks.md")) if language == "python")
    exec(compile(source, "docs/hooks.md", "exec"), module)
    model = module["register_settings"]()
    ctx = PluginContext("depth", model(min_levels=2), "USD", ("USD",))
    (check,) = module["register_risk_checks"](ctx)
    assert check.name == "minimum_depth"
    assert module["ARBITRADE_API"] == load_catalogue().enabled()[0].api_version


# --- funnel -------------------------------------------------------------------------------------------------


def test_the_page_of_the_funnel_has_every_stage() -> None:
    text = read("docs/funnel.md")
    stages = [*detection_totals(()), *DeskFunnel().view()]
    assert [stage for stage in stages if f"`{stage}`" not in text] == []


# --- fees ---------------------------------------------------------------------------------------------------


def pair(symbol: str) -> Pair:
    base, _, quote = symbol.partition("/")
    step = Decimal("0.01")
    return Pair(symbol, base, quote, 2, 2, tick=step, lot=step, qty_min=step, cost_min=step, cost_decimals=2)


def test_the_example_of_a_fee_schedule_is_one(tmp_path: Path) -> None:
    text = next(code for language, code in BLOCK.findall(read("docs/fees.md")) if language == "toml")
    file = tmp_path / "fees.toml"
    file.write_text(text, encoding="utf-8")
    content = tomllib.loads(text)
    fees = KrakenFees(KrakenSettings(fee_file=file)).snapshot([pair("BTC/USD"), pair("ETH/BTC"), pair("USDT/USD")], 0)
    for symbol, rates in (
        ("BTC/USD", content["crypto"]),
        ("ETH/BTC", content["pairs"]["ETH/BTC"]),
        ("USDT/USD", content["stable"]),
    ):
        assert fees.taker[symbol].rate * 10_000 == rates["taker_bps"]


def test_the_page_of_fees_names_every_tier() -> None:
    text = read("docs/fees.md")
    assert [name for name in TIERS if f"`{name}`" not in text] == []
