"""Settings that are changed while a bot trades: what it takes at once, what waits, what the next start makes of it."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from arbitrade_core.errors import ControlError, SettingsError
from arbitrade_core.host.overrides import apply, revert
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.overrides import Change, Version, add, newest
from tests.host.bots import Bot, assert_complete, journal
from tests.host.conftest import Run
from tests.platform.test_overrides import BUILD as LAB
from tests.storage.proxy import proxied

pytestmark = pytest.mark.anyio

type Plugin = Callable[..., Path]

SHADOWS = "wide.trading.min_edge_bps=1,wide.paper.latency_ms=60"
EDGE, PLANS, PAIRS = "ARBITRADE_TRADING__MIN_EDGE_BPS", "ARBITRADE_RISK__MAX_OPEN_PLANS", "ARBITRADE_TRADING__PAIRS"


async def asked(bot: Bot, reason: str = "", **changes: str | None) -> dict[str, Any]:
    named = {name.replace("__", "."): text for name, text in changes.items()}
    return dict(await bot.ask("settings.change", changes=named, reason=reason))


async def test_thresholds_pairs_and_assets_are_taken_at_once_by_every_desk_and_the_rest_at_the_next_start(
    run: Run, dsn: str
) -> None:
    async with run(SHADOWS=SHADOWS) as bot:
        main, wide = bot.session.engine.desks
        await bot.trades()
        symbol = bot.session.engine.market.pairs[0].symbol
        done = await asked(
            bot,
            "sweep 12, variant 4",
            trading__min_edge_bps="9",
            trading__min_profit_valued="0.5",
            trading__start_assets="USD",
            trading__pairs=symbol,
            risk__max_open_plans="3",
        )
        assert (done["version"], done["refused"]) == (1, {})
        assert done["later"] == [PLANS]
        assert len(done["now"]) == 4
        assert [desk.terms.pricing.min_edge_bps for desk in (main, wide)] == [9, 1], (
            "a shadow's own setting stays its own"
        )
        assert [desk.terms.pricing.min_profit for desk in (main, wide)] == [Decimal("0.5")] * 2
        assert [desk.start_assets for desk in (main, wide)] == [("USD",)] * 2
        assert await bot.ask("settings.overrides") == {"version": 1, "pending": [PLANS], "wrong": {}}

        undone = await asked(bot, trading__pairs=None, risk__max_open_plans=None, trading__min_profit_valued=None)
        assert (undone["version"], undone["later"], len(undone["now"])) == (2, [], 3)
        assert (await bot.ask("settings.overrides"))["pending"] == []
        assert not (await asked(bot, trading__pairs=None))["changed"]
        await bot.trades()
        assert (await asked(bot, paper__latency_ms="5"))["later"] == ["ARBITRADE_PAPER__LATENCY_MS"]
        bot.sound()
    changed = await journal(dsn, "settings_changed")
    assert [one["version"] for one in changed] == [1, 2, 3]
    assert changed[0]["reason"] == "sweep 12, variant 4"
    assert changed[0]["actor"].startswith("cli")
    assert changed[0]["changes"][EDGE] == {"from": None, "to": "9"}
    assert [one["min_edge_bps"] for one in await journal(dsn, "thresholds", "paper")] == ["9", "9"]
    assert [one["symbols"] for one in await journal(dsn, "pairs_enabled")] == [[symbol], None]
    await assert_complete(dsn, "paper", "paper-wide")

    async with run(SHADOWS=SHADOWS) as bot:
        core = bot.session.loaded.core
        assert [core.trading.min_edge_bps, core.trading.start_assets, core.paper.latency_ms] == [9, ("USD",), 5]
        main, wide = bot.session.engine.desks
        assert [desk.terms.pricing.min_edge_bps for desk in (main, wide)] == [9, 1]
        await bot.trades()


async def test_what_the_running_bot_refuses_changes_nothing(run: Run, dsn: str, pool: Pool) -> None:
    async with run(RISK__MAX_OPEN_PLANS="4") as bot:
        applied = await apply(
            bot.session.loaded.core,
            {"risk.max_open_plans": "3", "trading.min_edge_bps": "soon", "trading.margin_bps": "2"},
            "dashboard:ann",
            "",
        )
        assert applied.refused.keys() == {"risk.max_open_plans", "trading.min_edge_bps"}
        assert f"{PLANS} is pinned by the environment" in applied.refused["risk.max_open_plans"]
        assert bot.session.desk.terms.pricing.margin_bps == 1
        assert (await newest(pool)).version == 0
        taken = await apply(bot.session.loaded.core, {"trading.margin_bps": "2"}, "dashboard:ann", "")
        assert taken.now == ("ARBITRADE_TRADING__MARGIN_BPS",)
        assert bot.session.desk.terms.pricing.margin_bps == 2
        assert (await revert(bot.session.loaded.core, 0, "dashboard:ann", "no good")).version == 2
        assert bot.session.desk.terms.pricing.margin_bps == 1
        bot.sound()
    assert {one["actor"] for one in await journal(dsn, "settings_changed")} == {"dashboard:ann"}


async def test_two_changes_at_once_come_one_after_the_other(run: Run, pool: Pool) -> None:
    async with run() as bot:
        done: list[int] = []

        async def change(name: str) -> None:
            done.append((await asked(bot, **{name: "3"}))["version"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change, "risk__max_open_plans")
            tasks.start_soon(change, "trading__min_edge_bps")
        assert sorted(done) == [1, 2]
        assert (await newest(pool)).values == {PLANS: "3", EDGE: "3"}


async def test_a_wrong_override_is_told_and_the_bot_trades_without_it(run: Run, pool: Pool) -> None:
    values = {"ARBITRADE_RISK__NO_MORE": "1", "ARBITRADE_TRADING__VENUE": "moon", EDGE: "6"}
    changes = {name: Change(None, text) for name, text in values.items()}
    await add(pool, Version(version=1, at_ns=1, actor="past", reason="", changes=changes, values=values))
    async with run() as bot:
        (told,) = bot.alerts("settings.wrong")
        assert "ARBITRADE_RISK__NO_MORE (override v1) is not a setting" in told
        assert "ARBITRADE_TRADING__VENUE is 'moon'" in told
        assert bot.session.desk.terms.pricing.min_edge_bps == 6
        assert (await bot.ask("settings.overrides"))["wrong"].keys() == values.keys() - {EDGE}
        await bot.trades()
        mended = await asked(bot, risk__no_more=None, trading__venue=None)
        assert mended["changed"]
        assert (await bot.ask("settings.overrides"))["wrong"] == {}


async def test_a_wrong_environment_keeps_it_from_starting_whatever_is_overridden(run: Run, pool: Pool) -> None:
    changes = {EDGE: Change(None, "6")}
    await add(pool, Version(version=1, at_ns=1, actor="past", reason="", changes=changes, values={EDGE: "6"}))
    with pytest.raises(SettingsError, match="ARBITRADE_TRADING__VENUE is 'moon'") as caught:
        async with run(TRADING__VENUE="moon"):
            pytest.fail("it started")
    assert len(caught.value.problems) == 1


async def test_settings_of_a_plugin_can_be_changed_while_it_is_in_use(run: Run, plugin: Plugin) -> None:
    plugin("lab", LAB)
    async with run() as bot:
        await bot.ask("plugins.disable", "lab")
        refused = await asked(bot, lab__low="5")
        assert "plugin 'lab', whose settings are not known while it is out of use" in refused["refused"]["lab.low"]
        await bot.ask("plugins.enable", "lab")
        assert "low must be below high" in (await asked(bot, lab__low="50"))["refused"]["lab.low"]
        assert (await asked(bot, lab__low="5"))["later"] == ["ARBITRADE_LAB__LOW"]
    async with run() as bot:
        assert bot.session.loaded.settings.sections["lab"].model_dump()["low"] == 5
        await bot.ask("plugins.disable", "lab")
        assert (await asked(bot, trading__min_edge_bps="6"))["now"] == [EDGE], "it is in nobody's way meanwhile"


async def test_without_its_database_nothing_is_changed(
    run: Run, database: Database, setting: dict[str, str], pool: Pool
) -> None:
    async with proxied(database) as (proxy, through):
        place = through.place
        user = f"{quote(place.user or '')}:{quote(place.password or '')}"
        server = f"host={quote(place.host or '', safe='')}&port={place.port}"
        setting["DATABASE_URL"] = f"postgresql://{user}@/{place.database}?{server}"
        async with run() as bot:
            await bot.trades()
            proxy.refuse = True
            proxy.drop_all()
            with pytest.raises(ControlError, match="database"):
                await asked(bot, trading__min_edge_bps="9")
            assert bot.session.desk.terms.pricing.min_edge_bps == 5
            assert (await bot.ask("settings.overrides"))["version"] == 0
            proxy.refuse = False
            assert (await asked(bot, trading__min_edge_bps="9"))["now"] == [EDGE]
            assert bot.session.desk.terms.pricing.min_edge_bps == 9
    assert (await newest(pool)).values == {EDGE: "9"}
