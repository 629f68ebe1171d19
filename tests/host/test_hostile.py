"""Plugins that misbehave in every way they can, in a bot that trades: each is out of use alone (RELIABILITY 14)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from arbitrade_core.domain import Alert, Severity
from arbitrade_core.errors import ControlError
from tests.host.bots import Bot, assert_complete, plugin_states, toggles
from tests.host.conftest import Run

pytestmark = pytest.mark.anyio

type Plugin = Callable[..., Path]

HEAD = """
from contextlib import asynccontextmanager
from types import SimpleNamespace
import sys, time
import anyio
from arbitrade_core.hooks import hookimpl
from arbitrade_core.spi import Refused
ARBITRADE_API = 1
ERRORS = {"error": ValueError("spoilt"), "exit": SystemExit(3)}
class Quiet:
    "A detector that looks at everything and finds nothing."
    def __init__(self, name): self.name = name
    def rebuild(self, market, hurdles, now): return range(len(market.pairs))
    def on_change(self, pair, rose, now): return ()
    def active(self): return ()
    def detections(self): return {}
    def ranked(self, limit): return ()
"""

HOOKS_THAT_RAISE = [
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
]


def raising(hook: str, how: str) -> str:
    arguments = "" if hook in ("register_settings", "register_migrations") else "ctx"
    return HEAD + f"@hookimpl\ndef {hook}({arguments}): raise {how}\n"


async def refused(bot: Bot, verb: str, plugin: str) -> str:
    with pytest.raises(ControlError) as caught:
        await bot.ask(verb, plugin)
    return str(caught.value)


async def test_a_plugin_that_raises_in_any_hook_stays_out_alone_and_trading_goes_on(
    run: Run, plugin: Plugin, dsn: str
) -> None:
    async with run() as bot:
        await bot.trades()
        for hook in HOOKS_THAT_RAISE:
            for how in ("ValueError('spoilt')", "SystemExit(3)"):
                name = f"bad_{hook.removeprefix('register_')}_{how[0].lower()}"
                plugin(name, raising(hook, how))
                words = await refused(bot, "plugins.enable", name)
                assert f"dist-{name} 1.0" in words, words
                assert how.partition("(")[0] in words, words
                assert bot.state(name) == "failed"
                assert name not in bot.session.plugins.checks(), "nothing of it is in use"
        await bot.trades()
        assert await bot.ask("plugins.list")
        bot.sound()
    await assert_complete(dsn, "paper")
    assert await plugin_states(dsn) == {}


NONSENSE = {
    "register_feeds": "Feed has no method",
    "register_fee_sources": "has no method snapshot",
    "register_detectors": "has no method rebuild",
    "register_risk_checks": "has no method check",
    "register_executors": "has no method step",
    "register_notifiers": "has no method send",
    "register_venues": "has no method open",
    "register_panels": "has no method content",
    "register_services": "has no method run",
}


@pytest.mark.parametrize("answer", ["5", "'text'", "[object()]", "[SimpleNamespace(name='n')]", "(1 / 0 for _ in 'x')"])
async def test_a_hook_that_returns_nonsense_is_told_in_words(run: Run, plugin: Plugin, answer: str) -> None:
    async with run() as bot:
        for hook in NONSENSE:
            name = f"odd_{hook.removeprefix('register_')}"
            plugin(name, HEAD + f"@hookimpl\ndef {hook}(ctx): return {answer}\n")
            words = await refused(bot, "plugins.enable", name)
            assert f"dist-{name}" in words or "Traceback" not in words
            assert bot.state(name) == "failed"
        await bot.trades()


DETECTORS = {
    "in_rebuild": "def rebuild(self, *a): raise ERRORS['error']",
    "in_change": "def on_change(self, *a): raise ERRORS['error']",
    "in_active": "def active(self): raise ERRORS['error']",
}
ODD_DETECTORS = {
    "exits": "def on_change(self, *a): sys.exit(3)",
    "exits_early": "def rebuild(self, *a): sys.exit(3)",
    "bad_pairs": "def rebuild(self, *a): return 5",
    "odd_pairs": "def rebuild(self, *a): return ['BTC/USD']",
    "far_pairs": "def rebuild(self, *a): return [10**6]",
    "bad_found": "def on_change(self, *a): return ['nonsense']",
    "no_list": "def on_change(self, *a): return 5",
    "bad_active": "def active(self): return 7",
    "far_legs": (
        "def on_change(self, *a):\n"
        "        from arbitrade_core.domain import Candidate\n"
        "        return [Candidate('far_legs', 'x', (10**6,) * 3, 1.1)]"
    ),
}


@pytest.mark.parametrize("codes", [DETECTORS, ODD_DETECTORS], ids=["raise", "odd"])
async def test_detectors_that_misbehave_are_quarantined_alone_all_at_once(
    run: Run, plugin: Plugin, dsn: str, codes: dict[str, str]
) -> None:
    for name, code in codes.items():
        text = f"class D(Quiet):\n    {code}\n@hookimpl\ndef register_detectors(ctx): return [D('{name}')]\n"
        plugin(name, HEAD + text)
    async with run() as bot:
        await bot.until(lambda: all(bot.state(name) == "quarantined" for name in codes))
        await bot.trades(2)
        alerts = bot.alerts("plugin.quarantined")
        for name in codes:
            assert [alert for alert in alerts if f"plugin {name!r}: detector {name!r} failed" in alert], name
        assert len(alerts) == len(codes), "each is told once"
        assert bot.state("triangular") == "enabled"
        bot.sound()
        for name in codes:  # another chance, used as badly
            assert (await bot.ask("plugins.enable", name))["changed"]
        await bot.until(lambda: all(bot.state(name) == "quarantined" for name in codes))
        for name in codes:
            assert (await bot.ask("plugins.disable", name))["state"] == "disabled"
        await bot.trades()
    name = next(iter(codes))
    said = [state for state, _ in await toggles(dsn, name)]
    assert said == ["quarantined", "enabled", "quarantined", "disabled"]
    assert set((await plugin_states(dsn)).values()) == {"disabled"}
    await assert_complete(dsn, "paper")


CHECK = """
class Check:
    name = "picky"
    asked = 0
    def check(self, plan, desk, now):
        Check.asked += 1
        {says}
@hookimpl
def register_risk_checks(ctx): return [Check()]
"""
CHECKS = {
    "raises": "raise ERRORS['error']",
    "answers_yes": "return True",
    "exits": "sys.exit(3)",
}


@pytest.mark.parametrize("how", ["raises", "answers_yes", "exits"])
async def test_a_risk_check_that_misbehaves_refuses_everything_until_it_is_disabled(
    run: Run, plugin: Plugin, dsn: str, how: str
) -> None:
    plugin("checker", HEAD + CHECK.format(says=CHECKS[how]))
    async with run() as bot:
        await bot.until(lambda: bot.refusals.get("picky", 0) >= 3)
        assert bot.state("checker") == "quarantined"
        assert len(bot.alerts("plugin.quarantined")) == 1
        assert (bot.approved, bot.completed) == (0, 0)
        check = bot.session.loaded.catalogue.module("checker").Check
        assert check.asked == 1, "it is not asked again"
        assert (await bot.ask("plugins.enable", "checker"))["state"] == "enabled"
        await bot.until(lambda: bot.state("checker") == "quarantined")
        assert bot.approved == 0, "another chance, used as badly"
        await bot.ask("plugins.disable", "checker")
        await bot.trades()
        bot.sound()
    await assert_complete(dsn, "paper")


async def test_a_held_check_refuses_after_a_restart_though_its_plugin_is_not_imported(
    run: Run, plugin: Plugin, dsn: str
) -> None:
    plugin("checker", HEAD + CHECK.format(says="raise ERRORS['error']"))
    async with run() as bot:
        await bot.until(lambda: bot.state("checker") == "quarantined")
    async with run() as bot:
        assert bot.state("checker") == "quarantined"
        assert not bot.session.loaded.catalogue.relay.has_plugin("checker")
        await bot.until(lambda: sum(bot.refusals.values()) >= 3)
        assert bot.approved == 0
        # Enabled anew it is asked again, and it has learned nothing.
        await bot.ask("plugins.enable", "checker")
        await bot.until(lambda: bot.state("checker") == "quarantined")
        assert bot.approved == 0
    assert [state for state, _ in await toggles(dsn, "checker")] == ["quarantined", "enabled", "quarantined"]


async def test_a_held_check_is_let_go_by_disabling_its_plugin_after_a_restart(run: Run, plugin: Plugin) -> None:
    plugin("checker", HEAD + CHECK.format(says="raise ERRORS['error']"))
    async with run() as bot:
        await bot.until(lambda: bot.state("checker") == "quarantined")
    async with run() as bot:
        await bot.until(lambda: bot.refusals.get("picky", 0) >= 1)
        await bot.ask("plugins.disable", "checker")
        await bot.trades()


async def test_a_held_check_of_a_plugin_that_was_uninstalled_can_be_let_go(
    run: Run, plugin: Plugin, site: Path
) -> None:
    plugin("checker", HEAD + CHECK.format(says="raise ERRORS['error']"))
    async with run() as bot:
        await bot.until(lambda: bot.state("checker") == "quarantined")
    shutil.rmtree(site / "dist_checker-1.0.dist-info")
    async with run() as bot:
        await bot.until(lambda: bot.refusals.get("picky", 0) >= 1)
        assert "not installed any more" in await refused(bot, "plugins.enable", "checker")
        await bot.ask("plugins.disable", "checker")
        await bot.trades()


async def test_a_failed_second_chance_leaves_a_check_refusing(run: Run, plugin: Plugin) -> None:
    text = "class S:\n    name = 's'\n    def run(self, host): raise ERRORS['error']\n"
    late = "TRIES = []\n@hookimpl\ndef register_services(ctx):\n    TRIES.append(S())\n    return TRIES[1:]\n"
    plugin("checker", HEAD + CHECK.format(says="raise ERRORS['error']") + text + late)
    async with run() as bot:
        await bot.until(lambda: bot.state("checker") == "quarantined")
        assert "spoilt" in await refused(bot, "plugins.enable", "checker")
        assert bot.state("checker") == "quarantined"
        refusals = bot.refusals["picky"]
        await bot.until(lambda: bot.refusals["picky"] > refusals)
        assert bot.approved == 0
        await bot.ask("plugins.disable", "checker")
        await bot.trades()


GREEDY = """
def burn(ms):
    until = time.thread_time() + ms / 1000
    while time.thread_time() < until: pass
class Greedy(Quiet):
    def on_change(self, pair, rose, now):
        burn(2)
        return ()
class GreedyNotifier:
    name = "greedy_told"
    def send(self, alert): burn(400)
@hookimpl
def register_detectors(ctx): return [Greedy("greedy")]
@hookimpl
def register_notifiers(ctx): return [GreedyNotifier()]
"""


async def test_what_uses_more_than_its_budget_is_taken_out_and_the_rest_trades_on(
    run: Run, plugin: Plugin, dsn: str
) -> None:
    plugin("greedy", HEAD + GREEDY)
    async with run(ISOLATION__BUDGET_SHARE="0.2", ISOLATION__BUDGET_WINDOW_S="1") as bot:
        engine, shell = bot.session.engine, bot.session.shell
        await bot.until(lambda: "greedy" not in [detector.name for detector in engine.detectors])
        entry = next(one for one in await bot.ask("plugins.list") if one["name"] == "greedy")
        assert entry["state"] == "quarantined"
        assert "of a core over" in entry["last_error"]
        assert "the budget is 20% (ARBITRADE_ISOLATION__BUDGET_SHARE)" in entry["last_error"]
        for _ in range(3):  # alerts in one window
            shell.notify(Alert(Severity.INFO, "test", "one more", shell.clock()))
        await bot.until(lambda: "greedy_told" not in [notifier.name for notifier in shell.notifiers])
        await bot.trades()
        assert (await plugin_states(dsn))["greedy"] == "quarantined"
        costs = (await bot.ask("plugins.show", "triangular"))["costs"]
        assert [cost["name"] for cost in costs] == ["triangular"]
        assert costs[0]["mean_us"] > 0
