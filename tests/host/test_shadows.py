"""Shadow desks: accounts with other settings on the same market, each with a journal and books of its own."""

import pytest

from arbitrade_core.errors import SettingsError
from arbitrade_core.money import exact
from tests.host.bots import assert_complete, journal
from tests.host.conftest import Run, Start

pytestmark = pytest.mark.anyio

SHADOWS = "wide.trading.min_edge_bps=1,wide.paper.latency_ms=60"


async def test_two_desks_trade_with_own_streams_and_books_and_a_restart_recovers_both(run: Run, dsn: str) -> None:
    balances = {}
    async with run(SHADOWS=SHADOWS) as bot:
        main, shadow = bot.session.engine.desks
        assert (main.id, shadow.id) == ("paper", "paper-wide")
        await bot.every_desk_trades(2)
        await bot.ask("plugins.disable", "triangular")
        await bot.until(lambda: not main.open_plans and not shadow.open_plans)
        bot.sound()
        with exact():
            for desk in (main, shadow):
                assert desk.ledger.problems() == []
                balances[desk.id] = dict(desk.ledger.balances())
    await assert_complete(dsn, "paper", "paper-wide")
    plans = {desk: await journal(dsn, "plan", desk) for desk in balances}
    for desk_id, its in plans.items():
        assert len(its) >= 2
        assert {plan["desk"] for plan in its} == {desk_id}
    assert not {plan["id"] for plan in plans["paper"]} & {plan["id"] for plan in plans["paper-wide"]}

    async with run(SHADOWS=SHADOWS) as bot:
        assert bot.state("triangular") == "disabled"
        for desk in bot.session.engine.desks:
            with exact():
                assert dict(desk.ledger.balances()) == balances[desk.id]
        await bot.ask("halt", reason="both")
        await bot.ask("plugins.enable", "triangular")
        await bot.ask("resume")
        await bot.every_desk_trades()
    await assert_complete(dsn, "paper", "paper-wide")


async def test_a_plugin_enabled_later_serves_every_desk(run: Run) -> None:
    async with run(SHADOWS=SHADOWS, PLUGINS="") as bot:
        await bot.ask("plugins.disable", "triangular")
        parts = bot.session.plugins.checks()
        assert parts["core"]
        await bot.ask("plugins.enable", "triangular")
        await bot.every_desk_trades()


@pytest.mark.parametrize(
    ("shadows", "says"),
    [
        ("tight.trading.min_edge=1", "names 'trading.min_edge'"),
        ("Tight.trading.min_edge_bps=1", "names 'Tight.trading.min_edge_bps'"),
        ("tight.database.database_url=x", "names 'tight.database.database_url'"),
        ("tight.trading.min_edge_bps=soon", "tight: trading.min_edge_bps is 'soon'"),
        ("tight=1", "names 'tight'"),
        ("tight.trading.venue=moon", "ARBITRADE_TRADING__VENUE is 'moon'"),
    ],
)
async def test_a_wrong_shadow_is_one_clear_error(run: Run, shadows: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with run(SHADOWS=shadows):
            pytest.fail("it started")
    assert len(caught.value.problems) == 1
    assert says in str(caught.value)


def test_every_wrong_shadow_is_told_at_once_by_the_command(start: Start) -> None:
    bot = start("run", SHADOWS="a.trading.nothing=1,b.risk.max_open_plans=-1,a.paper.latency_ms=soon")
    assert bot.ended() == 2
    assert "3 settings are wrong" in bot.errors
    assert "Traceback" not in bot.errors
