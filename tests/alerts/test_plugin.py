"""The plugin through its hooks, its doctor and its commands."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from typer.testing import CliRunner

from arbitrade_alerts import plugin
from arbitrade_alerts.command import app
from arbitrade_alerts.settings import AlertsSettings
from arbitrade_core.hooks import Finding, Grade, PluginContext
from tests.alerts.servers import free_port, hook

CANARY = "c4n4ryS3cretxyzzy"


def ctx(**values: Any) -> PluginContext[AlertsSettings]:
    return PluginContext("alerts", AlertsSettings.model_validate(values), "USD", ("USD",))


def test_one_object_is_notifier_and_service() -> None:
    context = ctx(channels=SecretStr("hook=json://127.0.0.1:1/x"))
    notifiers: list[object] = [*plugin.register_notifiers(context)]
    services: list[object] = [*plugin.register_services(context)]
    assert len(notifiers) == 1
    assert notifiers == services
    assert len(plugin.register_panels(context)) == 1


def test_without_channels_nothing_is_registered() -> None:
    context = ctx()
    assert plugin.register_notifiers(context) == []
    assert plugin.register_services(context) == []
    assert plugin.register_panels(context) == []


async def examined(context: PluginContext[AlertsSettings]) -> list[Finding]:
    return [finding async for finding in plugin.doctor(context)]


@pytest.mark.anyio
async def test_doctor_names_channels_and_services_and_no_url() -> None:
    channels = SecretStr(f"phone=tgram://123456789:{CANARY}abcdefghijklmnopqr/987654 hook=json://127.0.0.1/{CANARY}")
    found = await examined(ctx(channels=channels))
    assert [finding.grade for finding in found] == [Grade.OK, Grade.OK]
    assert "phone (Telegram)" in found[0].detail
    assert CANARY not in str(found)
    silent = await examined(ctx(channels=channels, routes=("warning market.* -> *",)))
    assert silent[1].grade is Grade.WARNING
    (none,) = await examined(ctx())
    assert (none.grade, "ARBITRADE_ALERTS__CHANNELS" in none.remedy) == (Grade.WARNING, True)


@pytest.fixture
def enabled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ARBITRADE_PLUGINS", "alerts")
    yield
    structlog.reset_defaults()  # a command logs to the standard error of its time


@pytest.mark.usefixtures("enabled")
def test_each_channel_is_tested_without_a_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    with hook() as server:
        channels = f"hook={server.url()} dead=json://127.0.0.1:{free_port()}/{CANARY}"
        monkeypatch.setenv("ARBITRADE_ALERTS__CHANNELS", channels)
        both = CliRunner().invoke(app, ["test"])
        one = CliRunner().invoke(app, ["test", "--channel", "hook", "--json"])
    assert both.exit_code == 1
    good, bad = both.stdout.splitlines()
    assert good == "hook: ok"
    assert bad.startswith("dead: failed: ")
    assert CANARY not in both.output
    assert one.exit_code == 0
    assert json.loads(one.stdout) == {"channels": [{"channel": "hook", "ok": True, "reason": ""}]}
    assert server.titles() == ["INFO: alerts.test"] * 2
