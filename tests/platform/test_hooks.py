"""The hooks and their documentation hold together; registering goes in order and fails with a name."""

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from arbitrade_core.errors import PluginError
from arbitrade_core.hooks import HOOKS, HookSpecs
from arbitrade_core.plugins import load_catalogue

Plugin = Callable[..., Path]

HEAD = "from arbitrade_core.hooks import hookimpl\nARBITRADE_API = 1\n"

CHECK = (
    HEAD
    + """
class Check:
    def __init__(self, name): self.name = name
    def check(self, plan, desk, now): return None

@hookimpl
def register_risk_checks(ctx):
    return [Check({!r})]
"""
)


def docs(hook: str) -> str:
    return inspect.getdoc(getattr(HookSpecs, hook)) or ""


def test_these_are_the_hooks() -> None:
    assert HOOKS == (
        "register_settings",
        "register_feeds",
        "register_fee_sources",
        "register_detectors",
        "register_risk_checks",
        "register_executors",
        "register_notifiers",
        "register_venues",
        "register_panels",
        "register_services",
        "register_migrations",
    )


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_says_when_in_what_order_and_what_an_exception_does(hook: str) -> None:
    for part in ("Called:", "Order:", "An exception:", "Example:"):
        assert part in docs(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hooks_example_implements_that_hook_as_it_is(hook: str) -> None:
    example = textwrap.dedent(docs(hook).partition("Example:\n")[2])
    compiled = compile(example, hook, "exec")
    assert hook in example
    signature = inspect.signature(getattr(HookSpecs, hook))
    arguments = [name for name in signature.parameters if name != "self"]
    assert arguments == ([] if hook in ("register_settings", "register_migrations") else ["ctx"])
    assert f"def {hook}({'ctx: PluginContext' if arguments else ''}" in example
    assert compiled.co_names.count("hookimpl") == 1


def test_results_come_in_catalogue_order_whatever_the_order_of_installation(plugin: Plugin) -> None:
    for name in ("zebra", "mole", "ant"):
        plugin(name, CHECK.format(name))
    catalogue = load_catalogue()
    registered = catalogue.registry(catalogue.settings()).risk_checks()
    plugins = list(dict.fromkeys(one.plugin for one in registered))
    assert plugins == ["core", "ant", "mole", "zebra"]
    assert [one.thing.name for one in registered][-3:] == ["ant", "mole", "zebra"]


def test_two_checks_of_one_name_are_refused_naming_both_distributions(plugin: Plugin) -> None:
    plugin("one", CHECK.format("same"))
    plugin("two", CHECK.format("same"))
    catalogue = load_catalogue()
    with pytest.raises(PluginError, match=r"dist-two 1\.0.*dist-one 1\.0.*'same'"):
        catalogue.registry(catalogue.settings()).risk_checks()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise KeyError('lost')", "KeyError: 'lost'"),
        ("return 'text'", "must return a list"),
        ("return [object()]", "has no `name`"),
    ],
)
def test_a_hook_that_goes_wrong_is_told_with_its_distribution(plugin: Plugin, body: str, says: str) -> None:
    plugin("bad", HEAD + f"@hookimpl\ndef register_detectors(ctx):\n    {body}\n")
    catalogue = load_catalogue()
    catalogue.require_sound()
    with pytest.raises(PluginError) as caught:
        catalogue.registry(catalogue.settings()).detectors()
    assert "dist-bad 1.0" in str(caught.value)
    assert says in str(caught.value)


def test_what_a_plugin_is_told_is_its_own_settings_and_the_desks_terms(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(
        "mine",
        HEAD
        + """
from pydantic import BaseModel

class Mine(BaseModel):
    lots: tuple[int, ...] = (1,)
    caps: dict[str, float] = {}

@hookimpl
def register_settings(): return Mine

class Note:
    def __init__(self, ctx): self.name, self.ctx = "note", ctx
    def send(self, alert): pass

@hookimpl
def register_notifiers(ctx): return [Note(ctx)]
""",
    )
    monkeypatch.setenv("ARBITRADE_MINE__LOTS", "3, 4")
    monkeypatch.setenv("ARBITRADE_MINE__CAPS", "ETH=0.5")
    monkeypatch.setenv("ARBITRADE_TRADING__VALUATION_ASSET", "EUR")
    catalogue = load_catalogue()
    note = catalogue.registry(catalogue.settings()).notifiers()[-1]
    ctx = note.thing.ctx  # type: ignore[attr-defined]
    assert (note.plugin, ctx.name, ctx.valuation_asset, ctx.start_assets) == ("mine", "mine", "EUR", ("USD", "EUR"))
    assert (ctx.settings.lots, ctx.settings.caps) == ((3, 4), {"ETH": 0.5})


def test_the_shipped_plugins_register_what_a_bot_needs() -> None:
    catalogue = load_catalogue()
    catalogue.require_sound()
    registry = catalogue.registry(catalogue.settings())
    assert [one.thing.name for one in registry.feeds()] == ["kraken"]
    assert [one.plugin for one in registry.fee_sources()] == ["kraken"]
    assert [one.thing.name for one in registry.detectors()] == ["triangular"]
    assert [one.thing.name for one in registry.executors()] == ["sequential", "rotation"]
    assert [one.thing.name for one in registry.notifiers()] == ["log"], "alerts has no channel"
