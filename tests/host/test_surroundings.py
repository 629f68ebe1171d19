"""What plugins run beside trading: services, notifiers, panels, verbs, fees, migrations. None can hold trading up."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from arbitrade_core.errors import ControlError, PluginError
from arbitrade_core.host import services
from arbitrade_core.plugins import importing
from tests.host.bots import assert_complete, plugin_states
from tests.host.conftest import Run
from tests.host.test_hostile import HEAD

pytestmark = pytest.mark.anyio

type Plugin = Callable[..., Path]

SERVICE = """
class Service:
    name = "serving"
    @asynccontextmanager
    async def run(self, host):
        {begins}
        yield
        {ends}
@hookimpl
def register_services(ctx): return [Service()]
"""


def service(begins: str = "pass", ends: str = "pass") -> str:
    return HEAD + SERVICE.format(begins=begins, ends=ends)


NEVER_STARTED = {
    "raises": "raise ERRORS['error']",
    "exits": "sys.exit(3)",
    "cancelled": "raise anyio.get_cancelled_exc_class()()",
    "group": "raise ExceptionGroup('several', [ERRORS['error']])",
}


async def test_services_that_cannot_start_are_quarantined_and_trading_starts_without_them(
    run: Run, plugin: Plugin, dsn: str
) -> None:
    for name, begins in NEVER_STARTED.items():
        plugin(f"no_{name}", service(begins))
    plugin("no_manager", service() + "Service.run = lambda self, host: 5\n")
    plugin("fine", service())
    names = [*(f"no_{name}" for name in NEVER_STARTED), "no_manager"]
    async with run() as bot:
        await bot.until(lambda: all(bot.state(name) == "quarantined" for name in names))
        assert bot.state("fine") == "enabled"
        assert len(bot.alerts("plugin.quarantined")) == len(names)
        for name in names:
            with pytest.raises(ControlError, match="did not start"):
                await bot.ask("plugins.enable", name)
        await bot.trades()
        bot.sound()
    assert set((await plugin_states(dsn)).values()) == {"quarantined"}
    async with run() as bot:
        await bot.trades()
        assert {name: bot.state(name) for name in names} == dict.fromkeys(names, "quarantined")


DIES = {
    "raises": "raise ERRORS['error']",
    "ends": "tasks.cancel_scope.cancel()",
}


@pytest.mark.parametrize("how", DIES)
async def test_a_service_that_dies_is_quarantined_alone(run: Run, plugin: Plugin, how: str) -> None:
    text = f"""
class Service:
    name = "mortal"
    @asynccontextmanager
    async def run(self, host):
        async with anyio.create_task_group() as tasks:
            async def die():
                await anyio.sleep(0.2)
                {DIES[how]}
            tasks.start_soon(die)
            yield
            tasks.cancel_scope.cancel()
@hookimpl
def register_services(ctx): return [Service()]
"""
    plugin("mortal", HEAD + text)
    async with run() as bot:
        await bot.until(lambda: bot.state("mortal") == "quarantined")
        await bot.trades()
        (alert,) = bot.alerts("plugin.quarantined")
        assert "service 'mortal'" in alert
        bot.sound()


async def test_services_that_never_start_or_never_end_are_bounded(
    run: Run, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "START_S", 0.5)
    monkeypatch.setattr(services, "END_S", 0.5)
    plugin("never_starts", service(begins="await anyio.sleep_forever()"))
    plugin("never_ends", service(ends="await anyio.sleep_forever()"))
    async with run() as bot:
        await bot.until(lambda: bot.state("never_starts") == "quarantined")
        assert bot.state("never_ends") == "enabled"
        await bot.trades()
        assert (await bot.ask("plugins.disable", "never_ends"))["state"] == "disabled"
        await bot.ask("plugins.enable", "never_ends")
        began = time.monotonic()
    assert time.monotonic() - began < 40, "the session ends all the same"


NOTIFIER = """
class N:
    name = "noisy"
    def send(self, alert): {says}
@hookimpl
def register_notifiers(ctx): return [N()]
"""


@pytest.mark.parametrize("how", ["error", "exit"])
async def test_a_notifier_that_raises_is_quarantined_and_the_others_are_told(
    run: Run, plugin: Plugin, how: str
) -> None:
    plugin("noisy", HEAD + NOTIFIER.format(says=f"raise ERRORS['{how}']"))
    async with run() as bot:
        await bot.ask("halt", reason="a test")
        await bot.until(lambda: bot.state("noisy") == "quarantined")
        await bot.ask("resume")
        await bot.ask("halt", reason="again")
        assert len(bot.alerts("plugin.quarantined")) == 1, "it is not asked again"
        assert [notifier.name for notifier in bot.session.shell.notifiers] == ["log"]
        await bot.ask("resume")
        await bot.trades()


PANELS = """
from arbitrade_core.panels import Content, Fact, Table
class P:
    def __init__(self, name, content):
        self.name = self.title = name
        self.content = content
def boom(now): raise ERRORS["error"]
def leave(now): raise ERRORS["exit"]
@hookimpl
def register_panels(ctx):
    odd = [5, None, Content([Fact(1, 2)]), Content(tables=[Table("ab", [(1,)])]), object(), "text"]
    return [
        P("fine", lambda now: Content([Fact("good", "1")])), P("boom", boom), P("leave", leave),
        *(P(f"odd{i}", lambda now, one=one: one) for i, one in enumerate(odd)),
    ]
"""
VERBS = """
class S:
    name = "verbs"
    @asynccontextmanager
    async def run(self, host):
        async def error(parameters, actor): raise ERRORS["error"]
        async def leave(parameters, actor): raise ERRORS["exit"]
        async def odd(parameters, actor): return object()
        async def big(parameters, actor): return 2**80
        async def cancelled(parameters, actor): raise anyio.get_cancelled_exc_class()()
        async def pong(parameters, actor): return [parameters["said"], actor]
        async def nested(parameters, actor): return await host.call("talker.pong", {"said": 2}, "me")
        for verb in (error, leave, odd, big, cancelled, pong, nested): host.offer(verb.__name__, verb)
        host.offer("plain", lambda parameters, actor: 5)
        for taken in ("pong", "a.b", ""):
            try: host.offer(taken, pong)
            except Exception: continue
            raise AssertionError(taken)
        yield
@hookimpl
def register_services(ctx): return [S()]
"""


async def test_panels_and_verbs_that_misbehave_are_told_in_their_place(run: Run, plugin: Plugin) -> None:
    plugin("talker", HEAD + PANELS + VERBS)
    async with run() as bot:
        panels = {panel["name"]: panel for panel in (await bot.ask("plugins.show", "talker"))["panels"]}
        assert panels["fine"]["facts"][0]["value"] == "1"
        assert len(panels) == 9
        for name in set(panels) - {"fine"}:
            (fact,) = panels[name]["facts"]
            assert (fact["label"], fact["tone"]) == ("error", "bad"), name
        for verb, says in {
            "error": "ValueError: spoilt",
            "leave": "SystemExit: 3",
            "odd": "cannot be written as JSON",
            "big": "cannot be written as JSON",
            "plain": "TypeError",
            "cancelled": "it cancelled itself",
        }.items():
            with pytest.raises(ControlError, match=says):
                await bot.ask(f"talker.{verb}")
        said, actor = await bot.ask("talker.pong", said=1)
        assert (said, actor.partition(":")[0]) == (1, "cli")
        assert await bot.ask("talker.nested") == [2, "me"]
        await bot.trades()
        await bot.ask("plugins.disable", "talker")
        with pytest.raises(ControlError, match=r"knows no 'talker\.pong'"):
            await bot.ask("talker.pong")
        bot.sound()


@pytest.mark.parametrize("says", ["raise ERRORS['error']", "raise ERRORS['exit']", "return 5"])
async def test_fees_that_fail_leave_the_next_source_to_answer(run: Run, plugin: Plugin, says: str) -> None:
    text = f"""
class Fees:
    def snapshot(self, pairs, now): {says}
@hookimpl
def register_fee_sources(ctx): return [Fees()]
"""
    plugin("cheap", HEAD + text)  # before kraken in the catalogue's order
    async with run() as bot:
        await bot.trades()
        assert bot.session.desk.fees is not None
        assert "tier-1" in bot.session.desk.fees.source
    async with run(KRAKEN__FEE_TIER="") as bot:
        await bot.until(lambda: bot.session.shell.fees_missing)
        assert "the fees of plugin 'cheap' (dist-cheap 1.0)" in bot.session.shell.fees_missing
        assert bot.approved == 0


def migrating(folder: Path, **files: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, sql in files.items():
        (folder / f"{name}.sql").write_text(sql)
    return HEAD + f"from pathlib import Path\n@hookimpl\ndef register_migrations(): return Path({str(folder)!r})\n"


async def test_a_plugin_whose_migration_fails_is_out_alone_and_trading_starts(
    run: Run, plugin: Plugin, tmp_path: Path, dsn: str
) -> None:
    folder = tmp_path / "sql"
    wrong = migrating(folder, **{"0001_first": "CREATE TABLE mine (a int)", "0002_wrong": "CREATE TABLE mine (b int)"})
    plugin("keeper", wrong)
    plugin("leaner", HEAD + "NEEDS = ('plugin:keeper',)\n")
    plugin("tidy", migrating(tmp_path / "tidy", **{"0001_fine": "CREATE TABLE kept (a int)"}))
    plugin(
        "nowhere", HEAD + "from pathlib import Path\n@hookimpl\ndef register_migrations(): return Path('/no/such')\n"
    )
    async with run() as bot:
        states = {name: bot.state(name) for name in ("keeper", "leaner", "tidy", "nowhere")}
        assert states == {"keeper": "failed", "leaner": "failed", "tidy": "enabled", "nowhere": "failed"}
        alerts = bot.alerts("plugin.failed")
        assert [alert for alert in alerts if "keeper" in alert and "0002_wrong" in alert]
        await bot.trades()
        with pytest.raises(ControlError, match="0002_wrong"):
            await bot.ask("plugins.enable", "keeper")
        (folder / "0002_wrong.sql").write_text("CREATE TABLE other (b int)")
        assert (await bot.ask("plugins.enable", "keeper"))["state"] == "enabled", "mended while the bot runs"
        assert (await bot.ask("plugins.enable", "leaner"))["state"] == "enabled"
        # The same file with other text is another version of what was applied.
        await bot.ask("plugins.disable", "leaner")
        await bot.ask("plugins.disable", "keeper")
        (folder / "0001_first.sql").write_text("CREATE TABLE mine (a bigint)")
        with pytest.raises(ControlError, match="0001_first"):
            await bot.ask("plugins.enable", "keeper")
        await bot.trades()
    await assert_complete(dsn, "paper")


async def test_a_folder_of_migrations_that_raises_is_its_plugins_fault_alone(run: Run, plugin: Plugin) -> None:
    text = (
        "class F:\n    def is_dir(self): return True\n    def iterdir(self): raise ERRORS['error']\n"
        "@hookimpl\ndef register_migrations(): return F()\n"
    )
    plugin("folder", HEAD + text)
    async with run() as bot:
        assert bot.state("folder") == "failed"
        await bot.trades()


async def test_a_plugin_that_hangs_while_it_is_imported_is_given_up(
    run: Run, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "IMPORT_S", 0.5)
    async with run() as bot:
        plugin("sleeper", "import time\ntime.sleep(3)\n")
        plugin("leaver", "raise KeyboardInterrupt\n")
        with pytest.raises(ControlError, match=r"dist-sleeper 1\.0\) cannot be imported: it did not end within"):
            await bot.ask("plugins.enable", "sleeper")
        with pytest.raises(ControlError, match="KeyboardInterrupt"):
            await bot.ask("plugins.enable", "leaver")
        assert bot.state("sleeper") == "failed"
        await bot.trades()


async def test_what_a_plugin_reads_it_cannot_change(run: Run, plugin: Plugin) -> None:
    """Plans, approvals, contexts and the core's settings are frozen. Lists of the market are not: see docs."""
    text = """
TRIED = {}
def tries(what, change):
    try: change()
    except Exception as error: TRIED[what] = type(error).__name__
    else: TRIED[what] = "changed"
class Check:
    name = "greedy"
    def check(self, plan, desk, now):
        tries("plan", lambda: setattr(plan, "profit_valued", 10**6))
        tries("leg", lambda: setattr(plan.legs[0], "qty", 10**6))
        tries("legs", lambda: plan.legs.append(1))
        tries("pair", lambda: setattr(desk.market.pairs[0], "symbol", "X/Y"))
        tries("fee", lambda: setattr(desk.fees, "id", "mine"))
        return None
@hookimpl
def register_risk_checks(ctx):
    tries("name", lambda: setattr(ctx, "name", "core"))
    tries("assets", lambda: ctx.start_assets.append("EUR"))
    ctx.shared["mine"] = 1
    return [Check()]
"""
    plugin("greedy", HEAD + text)
    async with run() as bot:
        await bot.trades()
        tried = bot.session.loaded.catalogue.module("greedy").TRIED
        assert set(tried) == {"plan", "leg", "legs", "pair", "fee", "name", "assets"}
        assert "changed" not in tried.values(), tried
        assert "mine" not in bot.session.loaded.catalogue.shared["kraken"]


async def test_another_plugins_names_cannot_be_taken(run: Run, plugin: Plugin) -> None:
    plugin("twin", HEAD + "@hookimpl\ndef register_detectors(ctx): return [Quiet('triangular')]\n")
    plugin("echo", HEAD + NOTIFIER.format(says="pass").replace("noisy", "log"))
    plugin("same", HEAD + "@hookimpl\ndef register_detectors(ctx): return [Quiet('x'), Quiet('x')]\n")
    async with run(PLUGINS="kraken,triangular") as bot:
        assert [bot.state(name) for name in ("twin", "echo", "same")] == ["disabled"] * 3
    with pytest.raises(PluginError, match="'x'"):
        async with run():
            pytest.fail("a start with two objects of one name fails")
    with pytest.raises(PluginError, match="detector 'triangular'"):
        async with run(PLUGINS="kraken,triangular,twin"):
            pytest.fail("and with one that two plugins bring")
    async with run(PLUGINS="kraken,triangular,echo") as bot:
        await bot.until(lambda: bot.state("echo") == "quarantined")
        await bot.trades()
