"""What a process is put together from: the venue and the executors that the settings name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from arbitrade_core.composition import Past, compose, load
from arbitrade_core.domain import PlanKind
from arbitrade_core.engine import Engine
from arbitrade_core.errors import SettingsError

Plugin = Callable[..., Path]

EXECUTOR = """
from arbitrade_core.domain import PlanKind
from arbitrade_core.hooks import hookimpl

ARBITRADE_API = 1

class Mine:
    name = "mine"
    kinds = frozenset({PlanKind.CYCLE})
    def step(self, run, event, desk, now): return []

@hookimpl
def register_executors(ctx): return [Mine()]
"""


def composed() -> Engine:
    setup = load().setup("desk")
    setup.register_all()
    return compose(setup, now=1_795_000_000_000_000_000, system="system", past=Past())


def executor_of(engine: Engine, kind: PlanKind) -> str:
    return engine.desks[0]._executors[kind].name


def test_the_first_executor_that_takes_a_kind_gets_it(plugin: Plugin) -> None:
    plugin("own", EXECUTOR)
    engine = composed()
    assert executor_of(engine, PlanKind.CYCLE) == "sequential"
    assert executor_of(engine, PlanKind.POSITION) == "rotation"


def test_the_settings_choose_another(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin("own", EXECUTOR)
    monkeypatch.setenv("ARBITRADE_EXECUTION__EXECUTORS", "cycle=mine")
    engine = composed()
    assert executor_of(engine, PlanKind.CYCLE) == "mine"
    assert executor_of(engine, PlanKind.SWEEP) == "sequential"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ARBITRADE_EXECUTION__EXECUTORS", "cycle=mine", "gives 'cycle' to 'mine'. Allowed: sequential."),
        ("ARBITRADE_EXECUTION__EXECUTORS", "circle=sequential", "Allowed: nothing: no executor takes that kind."),
        ("ARBITRADE_TRADING__VENUE", "nyse", "is 'nyse', which no plugin brings. Allowed: paper."),
        ("ARBITRADE_SHADOWS", "tight.trading.min_edge=3", "names 'trading.min_edge'; write <section>.<setting>"),
        ("ARBITRADE_SHADOWS", "tight.risk.max_open_plans=no", "tight: risk.max_open_plans is 'no'"),
    ],
)
def test_what_is_not_there_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        composed()
    assert says in str(caught.value)
    assert variable in str(caught.value)


def test_each_shadow_is_a_desk_with_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_SHADOWS", "tight.trading.min_edge_bps=25,slow.paper.latency_ms=80")
    main, *shadows = composed().desks
    assert [desk.id for desk in shadows] == ["desk-tight", "desk-slow"]
    edges = [desk.terms.pricing.min_edge_bps for desk in (main, *shadows)]
    assert edges == [5, 25, 5]
