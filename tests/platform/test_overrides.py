"""Setting overrides: below the environment, in versions, checked with everything else, never in the way of a start."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.composition import load, overrides, overriding
from arbitrade_core.errors import ControlError, StorageError
from arbitrade_core.host.overrides import Applied, Asked, apply, change_offline, revert
from arbitrade_core.settings import CoreSettings, load_settings, read_environment
from arbitrade_core.settings.changeable import sift
from arbitrade_core.settings.environment import Below, below_environment
from arbitrade_core.shadow.leader import environment
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.journal_store import JournalWriter, verify_chain
from arbitrade_core.storage.overrides import Change, Kept, Version, add, history, newest
from tests.platform.test_cli import Command, arbitrade

__all__ = ["arbitrade"]

pytestmark = pytest.mark.anyio

type Plugin = Callable[..., Path]

EDGE, PLANS, LATENCY = (
    "ARBITRADE_TRADING__MIN_EDGE_BPS",
    "ARBITRADE_RISK__MAX_OPEN_PLANS",
    "ARBITRADE_PAPER__LATENCY_MS",
)
OLD = "ARBITRADE_RISK__MAX_OPEN_ORDERS"
BUILD = """
from pydantic import BaseModel, SecretStr, model_validator
from arbitrade_core.hooks import hookimpl
ARBITRADE_API = 1
class Lab(BaseModel):
    low: int = 1
    high: int = 10
    tokens: list[SecretStr] = []
    @model_validator(mode="after")
    def _ordered(self):
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self
@hookimpl
def register_settings():
    return Lab
"""


async def change(database: Database, reason: str = "", **changes: str | None) -> Applied:
    """`risk__max_open_plans="3"` for `risk.max_open_plans=3`."""
    named = {name.replace("__", "."): text for name, text in changes.items()}
    return await change_offline(database, Asked(named, None, reason), "somebody")


async def stored(pool: Pool, values: Mapping[str, str]) -> Kept:
    """As another version of the program left them."""
    changes = {name: Change(None, text) for name, text in values.items()}
    await add(pool, Version(version=1, at_ns=1, actor="past", reason="", changes=changes, values=dict(values)))
    return await newest(pool)


# --- the layer ------------------------------------------------------------------------------------------------


def test_overrides_stand_above_defaults_and_below_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"{PLANS}=7\n", encoding="utf-8")
    monkeypatch.setenv(LATENCY, "80")
    values = {EDGE: "6", PLANS: "2", LATENCY: "1"}
    with below_environment(Below(values, dict.fromkeys(values, "override v4"))):
        settings = load_settings({})
        core = settings.core
        assert [core.trading.min_edge_bps, core.risk.max_open_plans, core.paper.latency_ms] == [6, 7, 80]
        origins = {one.name: settings.origin(one) for one in settings.variables}
        assert (origins[EDGE], origins[PLANS], origins[LATENCY]) == ("override v4", ".env", "environment")
        assert [settings.given.pins(name) for name in values] == [False, True, True]
        assert settings.given.overridden == {EDGE}
        assert CoreSettings() == core
    assert load_settings({}).core.trading.min_edge_bps == 5


async def test_tasks_and_threads_of_a_session_read_its_overrides() -> None:
    seen: list[str | None] = []

    async def look() -> None:
        seen.append(read_environment().values.get(EDGE))
        seen.append(await anyio.to_thread.run_sync(lambda: read_environment().values.get(EDGE)))

    with below_environment(Below({EDGE: "6"}, {EDGE: "override v1"})):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
    await look()
    assert seen == ["6", "6", None, None]


NAMES = st.sampled_from(["A", "B", "C", "D"])


@given(st.dictionaries(NAMES, st.sampled_from(["good", "bad"])), st.sets(NAMES), st.booleans())
def test_what_can_be_in_force_is_sound_and_only_what_is_wrong_is_left_out(
    values: dict[str, str], clash: set[str], environment: bool
) -> None:
    """Some are bad by themselves, some bad together, and the environment may be wrong whatever is overridden."""

    def problems(left: Mapping[str, str]) -> list[str]:
        found = [f"{name} is 'bad'" for name, text in left.items() if text == "bad"]
        if len(clash) > 1 and clash <= left.keys():
            found.append("section settings: these do not go together.")
        return [*found, "PG_PORT is 'x'"] if environment else found

    sound, wrong, besides = sift(values, problems)
    assert sound.keys() | wrong.keys() == values.keys()
    assert not sound.keys() & wrong.keys()
    assert {name for name, text in values.items() if text == "bad"} <= wrong.keys()
    assert problems(sound) == besides == (["PG_PORT is 'x'"] if environment else [])
    good = [name for name in wrong if values[name] == "good"]
    assert len(good) <= 1
    assert set(good) <= clash


async def test_another_version_beside_the_bot_gets_the_overrides_as_its_environment(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLANS, "9")
    with overriding(await stored(pool, {EDGE: "6", PLANS: "3"})):
        told = environment(load())
    assert (told[EDGE], told[PLANS]) == ("6", "9")


# --- changing, where no bot runs ------------------------------------------------------------------------------


async def test_every_change_is_a_version_and_going_back_is_one_too(database: Database, pool: Pool) -> None:
    assert await change(database) == Applied(0)
    first = await change(database, "sweep 12", trading__min_edge_bps="7", risk__max_open_plans="3")
    assert first == Applied(1, changed=True, later=(PLANS, EDGE))
    second = await change(database, trading__min_edge_bps=" 8 ", paper__latency_ms="50")
    assert second.version == 2
    assert await change(database, trading__min_edge_bps="8") == Applied(2), "nothing to change"
    assert (await change(database, risk__max_open_plans=None)).later == (PLANS,)
    back = await change_offline(database, Asked(revert=1), "else")
    assert (back.version, back.later) == (4, (LATENCY, PLANS, EDGE))
    kept = await newest(pool)
    assert kept == Kept(4, {EDGE: "7", PLANS: "3"}, {EDGE: 4, PLANS: 4})
    with overriding(kept) as found:
        core = load().core
    assert found.wrong == {}
    assert [core.trading.min_edge_bps, core.risk.max_open_plans, core.paper.latency_ms] == [7, 3, 20]
    assert (await change_offline(database, Asked(revert=0), "else")).version == 5
    with pytest.raises(ControlError, match="no version 9"):
        await change_offline(database, Asked(revert=9), "else")

    versions = await history(pool, 10)
    assert [one.version for one in versions] == [5, 4, 3, 2, 1]
    assert [one.values for one in versions[:2]] == [{}, {EDGE: "7", PLANS: "3"}]
    assert (versions[-1].actor, versions[-1].reason) == ("somebody", "sweep 12")
    assert (versions[1].actor, versions[1].reason) == ("else", "back to version 1")
    assert versions[3].changes == {EDGE: Change("7", "8"), LATENCY: Change(None, "50")}
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT stream, data FROM journal WHERE kind = 'settings_changed' ORDER BY seq")
    assert [row["stream"] for row in rows] == ["system"] * 5
    assert rows[1]["data"] == {
        "version": 2,
        "actor": "somebody",
        "reason": "",
        "changes": {EDGE: {"from": "7", "to": "8"}, LATENCY: {"from": None, "to": "50"}},
    }
    assert (await verify_chain(pool, "system"))[1]


async def test_versions_are_never_changed_and_no_two_are_the_same(database: Database, pool: Pool) -> None:
    await change(database, risk__max_open_plans="3")
    with pytest.raises(StorageError, match="somebody else changed settings at the same moment"):
        await add(pool, Version(version=1, at_ns=1, actor="late", reason="", changes={}, values={}))
    for statement in ("UPDATE setting_overrides SET actor = 'x'", "DELETE FROM setting_overrides"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await pool.execute(statement)
    assert (await newest(pool)).values == {PLANS: "3"}


async def test_nothing_is_changed_behind_the_back_of_a_bot(database: Database, pool: Pool) -> None:
    """One that cannot be asked, from here, holds its journal all the same."""
    bot = JournalWriter(database, ["system"], clock=lambda: 1, emit=lambda report: None)
    await bot.open()
    try:
        with pytest.raises(StorageError, match="is being written by another process"):
            await change(database, risk__max_open_plans="3")
    finally:
        bot.close()
    assert await newest(pool) == Kept()


async def test_everything_that_is_refused_is_told_at_once_and_nothing_is_changed(
    database: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch, plugin: Plugin
) -> None:
    plugin("lab", BUILD)
    monkeypatch.setenv(LATENCY, "80")
    await anyio.Path(".env").write_text("ARBITRADE_RISK__COOLDOWN_MS=5\n", encoding="utf-8")
    asked = {
        "risk.max_open_plan": "3",
        "database.pg_port": "1",
        "ARBITRADE_PLUGINS": "kraken",
        "log.level": "debug",
        "data_dir": "/tmp",
        "kraken.fee_key": "key",
        "lab.tokens": "a,b",
        "paper.latency_ms": "9",
        "arbitrade_risk__cooldown_ms": "9",
        "trading.min_edge_bps": "",
        "statarb.entry_z": "3",
        "risk.max_open_plans": "soon",
        "trading.venue": "moon",
        "execution.executors": "cycle=nobody",
        "lab.low": "11",
        "trading.margin_bps": "2",
        "ARBITRADE_TRADING__MARGIN_BPS": "3",
    }
    applied = await change_offline(database, Asked(asked), "somebody")
    assert (applied.version, applied.changed) == (0, False)
    says = {
        "risk.max_open_plan": "did you mean risk.max_open_plans?",
        "database.pg_port": "PG_PORT is read before the database",
        "ARBITRADE_PLUGINS": "set it in the environment",
        "log.level": "set it in the environment",
        "data_dir": "set it in the environment",
        "kraken.fee_key": "is a secret",
        "lab.tokens": "is a secret",
        "paper.latency_ms": f"{LATENCY} is pinned by the environment",
        "arbitrade_risk__cooldown_ms": "is pinned by .env",
        "trading.min_edge_bps": f"arbitrade settings unset {EDGE}",
        "statarb.entry_z": "plugin 'statarb', whose settings are not known",
        "risk.max_open_plans": f"{PLANS} is 'soon' (override v1)",
        "trading.venue": "Allowed: paper",
        "execution.executors": "gives 'cycle' to 'nobody'",
        "lab.low": "low must be below high",
        "ARBITRADE_TRADING__MARGIN_BPS": "is named twice",
    }
    assert applied.refused.keys() == says.keys()
    for name, text in says.items():
        assert text in applied.refused[name], name
    assert await newest(pool) == Kept()
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM journal") == 0


async def test_a_setting_that_the_environment_pins_can_be_taken_back_and_gone_back_to(
    database: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await change(database, risk__max_open_plans="3")
    monkeypatch.setenv(PLANS, "9")
    assert (await change(database, risk__max_open_plans=None)).changed
    assert (await change_offline(database, Asked(revert=1), "x")).changed
    assert (await newest(pool)).values == {PLANS: "3"}


# --- overrides that are wrong here ----------------------------------------------------------------------------


async def test_what_another_version_left_is_left_out_and_in_nobodys_way(database: Database, pool: Pool) -> None:
    gone = "ARBITRADE_NOWHERE__DEPTH"
    left = {OLD: "4", EDGE: "wide", PLANS: "3", "ARBITRADE_TRADING__VENUE": "moon", gone: "1"}
    kept = await stored(pool, left)
    found = overrides(kept)
    assert found.below.values == {PLANS: "3"}
    assert found.wrong.keys() == left.keys() - {PLANS}
    assert "is not a setting" in found.wrong[OLD]
    assert "is 'wide' (override v1)" in found.wrong[EDGE]
    with overriding(kept):
        assert load().core.risk.max_open_plans == 3

    other = await change(database, paper__latency_ms="30")
    assert (other.changed, other.refused) == (True, {})
    mended = await change_offline(database, Asked({"trading.min_edge_bps": "6", OLD: None, "nowhere.depth": None}), "x")
    assert mended.changed, mended.refused
    assert overrides(await newest(pool)).wrong.keys() == {"ARBITRADE_TRADING__VENUE"}
    again = await change_offline(database, Asked(revert=1), "x")
    assert not again.changed
    assert again.refused.keys() == {OLD, EDGE, gone}, "the venue is as wrong as it was"


async def test_a_change_that_makes_another_override_wrong_is_refused(
    database: Database, pool: Pool, plugin: Plugin
) -> None:
    plugin("lab", BUILD)
    assert (await change(database, lab__low="5")).changed
    refused = await change(database, lab__high="4")
    assert not refused.changed
    assert "low must be below high" in " ".join(refused.refused.values())
    assert (await change(database, lab__low="12", lab__high="20")).changed, "together they go"
    assert (await newest(pool)).values == {"ARBITRADE_LAB__LOW": "12", "ARBITRADE_LAB__HIGH": "20"}


# --- the command line -----------------------------------------------------------------------------------------


def test_commands_set_list_and_go_back(arbitrade: Command, dsn: str) -> None:
    done = arbitrade("settings", "set", "trading.min_edge_bps=7", f"{PLANS}=3", "--reason", "try", DATABASE_URL=dsn)
    assert (done.code, done.err) == (0, "")
    assert done.out.split("\n")[:3] == ["version 1", f"at the next start  {PLANS}", f"at the next start  {EDGE}"]

    env = {"DATABASE_URL": dsn, PLANS: "4"}
    listed = arbitrade("settings", "list", "--json", **env)
    rows = {row["variable"]: row for row in json.loads(listed.out)}
    shown = {name: [rows[name][key] for key in ("value", "origin", "pinned", "override")] for name in (EDGE, PLANS)}
    assert shown == {EDGE: ["7", "override v1", False, "7"], PLANS: ["4", "environment", True, "3"]}
    table = arbitrade("settings", "list", COLUMNS="200", **env)
    assert "environment: pinned; override v1 says 3" in table.out
    checked = arbitrade("doctor", "--json", **env)
    (finding,) = [one for one in json.loads(checked.out) if one["what"] == "overrides"]
    assert finding["detail"] == f"version 1: 1 in force; the environment stands above {PLANS}"

    refused = arbitrade("settings", "set", "risk.max_open_plans=5", "paper.latency_ms=soon", **env)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: 2 settings are wrong")
    assert f"{PLANS} is pinned by the environment" in refused.err
    for wrong in (["trading.min_edge_bps"], ["=7"]):
        assert "sets nothing" in arbitrade("settings", "set", *wrong, **env).err

    taken = arbitrade("settings", "unset", "trading.min_edge_bps", "--json", **env)
    assert json.loads(taken.out) == {"version": 2, "changed": True, "now": [], "later": [EDGE], "refused": {}}
    back = arbitrade("settings", "revert", "1", "--reason", "better", "--json", DATABASE_URL=dsn)
    assert json.loads(back.out)["version"] == 3
    told = json.loads(arbitrade("settings", "history", "--json", DATABASE_URL=dsn).out)
    assert [(one["version"], one["reason"]) for one in told] == [(3, "better"), (2, ""), (1, "try")]
    assert told[0]["changes"] == {EDGE: {"from": None, "to": "7"}}
    assert told[0]["actor"].startswith("cli")
    assert "better" in arbitrade("settings", "history", COLUMNS="200", DATABASE_URL=dsn).out


async def test_commands_show_what_is_wrong(
    dsn: str, pool: Pool, arbitrade: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(pool, {OLD: "4", EDGE: "wide"})
    monkeypatch.setenv("DATABASE_URL", dsn)
    table = await anyio.to_thread.run_sync(lambda: arbitrade("settings", "list", COLUMNS="200"))
    assert "default; override v1 is wrong" in table.out
    assert f"override v1 of {OLD} is left out" in table.out
    checked = await anyio.to_thread.run_sync(lambda: arbitrade("doctor", "--json"))
    found = [one for one in json.loads(checked.out) if one["what"] == "override"]
    assert [one["grade"] for one in found] == ["warning", "warning"]
    assert any(f"arbitrade settings unset {OLD}" in one["remedy"] for one in found)


async def test_the_api_makes_the_database_when_there_is_none(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = empty_database.place
    monkeypatch.setenv("ARBITRADE_DATA_DIR", str(tmp_path))
    if place.dsn is not None:
        pytest.skip("the place of a URL is one for all databases")
    for name in ("host", "port", "user", "password", "database"):
        value = getattr(place, name)
        if value is not None:
            monkeypatch.setenv(f"PG_{name.upper()}", str(value))
    core = CoreSettings()
    applied = await apply(core, {"trading.min_edge_bps": "7"}, "sweep", "variant 4 of job 12")
    assert (applied.version, applied.later) == (1, (EDGE,))
    assert (await revert(core, 0, "somebody", "")).version == 2
