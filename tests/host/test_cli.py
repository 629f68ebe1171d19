"""`arbitrade plugins` beside a running bot, and without one; what it says is what the next start does."""

import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from arbitrade_core.errors import ControlError
from arbitrade_core.host import plugins as host
from tests.host.bots import Bot, Ran, assert_complete, journal, plugin_states, toggles
from tests.host.conftest import Command, Run, Start
from tests.host.test_hostile import HEAD

pytestmark = pytest.mark.anyio

type Plugin = Callable[..., Path]

EXPERIMENTAL = "arbitrade.plugins.experimental"


def states(listed: Ran) -> dict[str, str]:
    assert listed.code == 0, listed.errors
    return {entry["name"]: entry["state"] for entry in listed.answer()}


async def test_toggles_on_the_command_line_of_a_running_bot_outlive_it(
    start: Start, arbitrade: Command, plugin: Plugin, dsn: str
) -> None:
    bot = start("run")
    bot.listens()
    plugin("late", HEAD)
    off = await arbitrade("plugins", "disable", "triangular")
    assert off.code == 0, off.errors
    assert "triangular is disabled; trading stood still for" in off.out
    on = await arbitrade("plugins", "enable", "late", "--json")
    assert on.code == 0, on.errors
    assert (on.answer()["state"], on.answer()["changed"]) == ("enabled", True)
    unknown = await arbitrade("plugins", "enable", "triangula")
    assert (unknown.code, unknown.out) == (2, "")
    assert "Did you mean 'triangular'?" in unknown.errors
    needed = await arbitrade("plugins", "disable", "core")
    assert needed.code == 2
    assert "the core cannot be disabled" in needed.errors
    bot.process.send_signal(signal.SIGINT)
    assert bot.ended() == 0, bot.errors

    listed = await arbitrade("plugins", "list", "--json")
    assert {name: state for name, state in states(listed).items() if name in ("triangular", "late", "kraken")} == {
        "kraken": "enabled",
        "late": "enabled",
        "triangular": "disabled",
    }
    again = await arbitrade("plugins", "enable", "triangular")
    assert again.out == "triangular will be enabled at the next start: no bot is running\n"
    same = await arbitrade("plugins", "enable", "triangular")
    assert same.out == "triangular is enabled already\n"
    said = await journal(dsn, "plugin")
    assert [(one["plugin"], one["state"]) for one in said] == [
        ("triangular", "disabled"),
        ("late", "enabled"),
        ("triangular", "enabled"),
    ]
    assert all(one["actor"].startswith("cli:") for one in said)
    assert await plugin_states(dsn) == {"triangular": "enabled", "late": "enabled"}
    await assert_complete(dsn, "paper")


async def test_what_the_environment_pins_needs_or_flags_is_refused_in_words(run: Run, plugin: Plugin, dsn: str) -> None:
    plugin("lab", HEAD, group=EXPERIMENTAL)
    plugin("spare", HEAD)

    async def refused(bot: Bot, verb: str, name: str) -> str:
        with pytest.raises(ControlError) as caught:
            await bot.ask(f"plugins.{verb}", name)
        return str(caught.value)

    async with run() as bot:
        assert "is experimental; name it in ARBITRADE_EXPERIMENTAL" in await refused(bot, "enable", "lab")
        assert "'triangular' needs a feed; disable 'triangular' first" in await refused(bot, "disable", "kraken")
        assert "is not installed" in await refused(bot, "disable", "nobody")
        assert "is not installed" in await refused(bot, "show", "nobody")
        assert not (await bot.ask("plugins.enable", "spare"))["changed"]
    async with run(PLUGINS="kraken,triangular", EXPERIMENTAL="lab") as bot:
        assert "add 'spare' there" in await refused(bot, "enable", "spare")
        assert "take 'triangular' out of it" in await refused(bot, "disable", "triangular")
        assert (await bot.ask("plugins.show", "kraken"))["pinned"] is True
    async with run(EXPERIMENTAL="lab") as bot:
        assert bot.state("lab") == "disabled"
        assert (await bot.ask("plugins.enable", "lab"))["state"] == "enabled"
    async with run() as bot:
        assert bot.state("lab") == "disabled", "without its flag it stays out, whatever was said"
    assert await plugin_states(dsn) == {"lab": "enabled"}


async def test_needs_hold_when_everything_goes_and_comes_again(run: Run, dsn: str) -> None:
    """The feed goes too: its books are out of use, and they come back with the same settings."""
    async with run() as bot:
        await bot.trades()
        url = bot.session.loaded.settings.sections["kraken"].model_dump()["ws_url"]
        for _ in range(3):
            await bot.ask("plugins.disable", "triangular")
            await bot.ask("plugins.disable", "kraken")
            await bot.until(lambda: not bot.session.engine.market.in_use())
            await bot.ask("plugins.enable", "kraken")
            await bot.ask("plugins.enable", "triangular")
            await bot.trades()
        assert bot.session.loaded.settings.sections["kraken"].model_dump()["ws_url"] == url
        bot.sound()
    assert await plugin_states(dsn) == {"kraken": "enabled", "triangular": "enabled"}
    await assert_complete(dsn, "paper")


async def test_two_toggles_at_once_come_one_after_the_other(run: Run, dsn: str) -> None:
    async with run() as bot:
        await bot.trades()
        done: list[bool] = []

        async def ask(verb: str) -> None:
            done.append((await bot.ask(f"plugins.{verb}", "triangular"))["changed"])

        for _ in range(5):
            async with anyio.create_task_group() as tasks:
                for verb in ("disable", "enable", "disable", "enable"):
                    tasks.start_soon(ask, verb)
        await bot.ask("plugins.enable", "triangular")
        await bot.trades()
        bot.sound()
    said = [state for state, _ in await toggles(dsn, "triangular")]
    assert said == ["disabled", "enabled"] * (len(said) // 2), "never twice the same"
    assert sum(done) in (len(said), len(said) - 1)
    await assert_complete(dsn, "paper")


async def test_a_disable_waits_for_the_plans_in_flight_and_they_keep_their_books(run: Run, dsn: str) -> None:
    async with run(PAPER__LATENCY_MS="150") as bot:
        desk = bot.session.desk
        for _ in range(5):
            await bot.until(lambda: desk.open_plans)
            (plan, *_) = desk.open_plans
            assert desk.conductor.executor_of(plan.id) == "sequential"
            answer = await bot.ask("plugins.disable", "triangular")
            assert answer["plans_left"] == 0
            assert desk.open_plans == []
            assert desk.halt_reason is None, "a plan whose books are taken away finds no way home"
            approved = bot.approved
            await anyio.sleep(0.1)
            assert bot.approved == approved, "no new ones"
            await bot.ask("plugins.enable", "triangular")
        bot.sound()
    await assert_complete(dsn, "paper")


async def test_a_plan_that_outlasts_the_drain_is_told_and_ends_all_the_same(
    run: Run, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "DRAIN_S", 0.01)
    async with run(PAPER__LATENCY_MS="900") as bot:
        desk = bot.session.desk
        await bot.until(lambda: desk.conductor._runs and bot.session.desk.funnel.view()["executed"])
        answer = await bot.ask("plugins.disable", "triangular")
        assert answer["plans_left"] >= 1
        with pytest.raises(ControlError, match="plans in flight need the books of plugin 'kraken'"):
            await bot.ask("plugins.disable", "kraken")
        await bot.until(lambda: not desk.open_plans)
        bot.sound()
    await assert_complete(dsn, "paper")
