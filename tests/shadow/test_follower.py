"""What the other process composes, in this one: plugins as the bot has them, toggled as the bot's are."""

import os
from typing import Any

import msgspec
import pytest

from arbitrade_core.composition import load
from arbitrade_core.domain import Ns
from arbitrade_core.events import Input, PluginDisabled, PluginEnabled, Tick
from arbitrade_core.settings import CoreSettings, variables
from arbitrade_core.shadow.follower import started
from arbitrade_core.shadow.leader import environment
from arbitrade_core.shadow.replica import Replica
from arbitrade_core.shadow.wire import Connected, Hello, Ready, Started, framed
from tests.shadow.processes import a_hello

NOW: Ns = 1_700_000_000_000_000_000


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {variable.name for variable in variables(CoreSettings)}
    for name in [name for name in os.environ if name.upper() in known or name.upper().startswith("ARBITRADE_")]:
        monkeypatch.delenv(name)


def begun(hello: Hello) -> tuple[Replica, Ready]:
    replica, ready = started(framed(hello)[4:])
    replica.take(Started(NOW))
    replica.take(Connected(1, "wss://ws.kraken.com/v2"))
    return replica, ready


def feed(replica: Replica, *events: Input) -> None:
    for event in events:
        replica.take(event)


def names(replica: Replica) -> list[str]:
    return [detector.name for detector in replica.engine.detectors]


def test_toggles_of_the_bot_are_toggles_of_the_shadow() -> None:
    replica, ready = begun(a_hello())
    assert names(replica) == ["triangular"]
    before = replica.engine.detectors[0]
    feed(replica, PluginDisabled("triangular", "cli", NOW), Tick(NOW + 1))
    assert names(replica) == []
    feed(replica, PluginEnabled("triangular", "of the bot", "cli", NOW + 2), Tick(NOW + 3))
    assert names(replica) == ["triangular"]
    assert replica.engine.detectors[0] is not before, "it starts anew, as the bot's does"
    assert replica.astray.example == ""
    assert ready.versions["plugin triangular"] == load().catalogue.entry("triangular").version


def test_what_the_bot_does_not_use_is_not_used_and_what_it_does_not_know_is() -> None:
    hello = a_hello()
    plugins: dict[str, Any] = {name: on for name, on in hello.plugins.items() if name != "alerts"}
    replica, ready = begun(msgspec.structs.replace(hello, plugins=plugins | {"triangular": False, "other": True}))
    assert names(replica) == []
    assert ready.missing == ("other",)
    assert ready.extra == ("alerts",)


def test_it_starts_with_the_desks_and_the_halt_of_the_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_SHADOWS", "tight.trading.min_edge_bps=90")
    replica, _ = begun(msgspec.structs.replace(a_hello(), halted="an operator"))
    assert [desk.id for desk in replica.engine.desks] == ["desk", "desk-tight"]
    assert replica.engine.halted == "an operator"


def test_settings_that_the_session_changed_are_variables_of_the_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_KRAKEN__FEE_FILE", "fees.toml")
    adjusted = load().adjusted("kraken", ws_url="ws://127.0.0.1:1/v2", fee_tier="tier-1", fee_file=None)
    told = environment(adjusted)
    assert told["ARBITRADE_KRAKEN__WS_URL"] == "ws://127.0.0.1:1/v2"
    assert told["ARBITRADE_KRAKEN__FEE_TIER"] == "tier-1"
    assert told["ARBITRADE_KRAKEN__FEE_FILE"] == ""
    assert "ARBITRADE_KRAKEN__DEPTH" not in told
