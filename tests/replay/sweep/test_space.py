"""What is searched: checked before anything runs, exact, without repeats, and the same every time."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.errors import ArbitradeError, SettingsError
from arbitrade_core.replay.job import JobSpec, Range
from arbitrade_core.replay.searched import Variant
from arbitrade_core.replay.sweep.search import Adaptive, chance, search_of
from arbitrade_core.replay.sweep.space import (
    Searched,
    Space,
    desk_side,
    market_side,
    range_values,
    read_space,
    with_market,
)
from arbitrade_core.replay.sweep.work import tasks_of, wish_of
from tests.replay.sweep import fakes

EDGE = "trading.min_edge_bps"


def problems(space: dict[str, Any], **told: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_space(fakes.job(space, **told))
    return refused.value.problems


def values(space: dict[str, Any], path: str, method: str = "random") -> list[str]:
    found = read_space(fakes.job(space, spec={"method": method}))
    return list(next(each for each in found.settings if each.path == path).values)


# --- what is wrong -----------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems(
        {
            "trading.min_edge_bp": ("5",),
            EDGE: ("-1", "much", "5"),
            "kraken.depth": ("10", "11"),
            "risk.max_open_plans": fakes.span(1, 2, "0.5"),
            "paper.latency_ms": ("5", "5.0"),
            "log.level": ("debug",),
            "trading.venue": ("paper",),
            "trading.valuation_asset": ("USD", "EUR"),
            "alerts.channels": ("one=json://x",),
            "risk.required": fakes.span(1, 2),
            "paper.slippage_bps": (),
        }
    )
    told = "\n".join(found)
    for words in (
        "'trading.min_edge_bp', which is no setting. Did you mean trading.min_edge_bps?",
        "trading.min_edge_bps is '-1': input should be greater than or equal to 0",
        "trading.min_edge_bps is 'much'",
        "ARBITRADE_KRAKEN__DEPTH is '11' (the sweep)",
        "risk.max_open_plans is '1.5'",
        "tries paper.latency_ms at 5 and at 5.0, which are the same",
        "log.level, which belongs to the process",
        "trading.venue, but a replay's venue is paper",
        "trading.valuation_asset, but results in different assets cannot be compared",
        "alerts.channels, which is a secret",
        "gives risk.required a range, but it is not a number",
        "gives paper.slippage_bps no value",
    ):
        assert words in told
    assert "one=json" not in told


def test_plugins_are_looked_at_with_the_settings_that_they_bring() -> None:
    told = "\n".join(problems({"plugins": ("kraken,triangular", "kraken,triangulr")}))
    assert "names 'triangulr', which is not installed. Did you mean 'triangular'?" in told
    both = {"plugins": ("kraken,triangular", "kraken,triangular,statarb"), "statarb.entry_z": ("2", "3")}
    flag = {"ARBITRADE_EXPERIMENTAL": "statarb", **fakes.SETTINGS}
    assert read_space(fakes.job(both, settings=flag)).size == 4


def test_plugin_settings_are_checked_together() -> None:
    """An exit beyond the entry is refused by the plugin, though each of the two may be had."""
    plugins = ("kraken", "statarb")
    flag = {"ARBITRADE_EXPERIMENTAL": "statarb", **fakes.SETTINGS}
    space = {"statarb.entry_z": ("1.5", "2.5"), "statarb.exit_z": ("0.5", "2")}
    told = problems(space, plugins=None, settings={**flag, "ARBITRADE_PLUGINS": ",".join(plugins)})
    assert len(told) == 1
    assert "exit_z 2" in told[0]


def test_ranges_that_hold_no_grid_are_refused() -> None:
    assert "write low:high:step" in problems({EDGE: fakes.span(0, 5)})[0]
    assert "the factor must be above 1" in problems({EDGE: fakes.span(1, 5, "0.5", log=True)})[0]
    assert "widen the step" in problems({EDGE: fakes.span(0, 5, "0.0000001")})[0]
    wide = {EDGE: fakes.span(0, 500, 1), "paper.latency_ms": fakes.span(0, 1000, 1)}
    assert "grid has 501501 variants; at most 100000" in problems(wide)[0]
    with pytest.raises(ArbitradeError, match="leave a corner of it out"):
        search_of(fakes.job({EDGE: ("1", "2", "3")}, spec={"variants": 2}))
    assert "searches no setting" in problems({})[0]


def test_an_executor_that_is_not_there_is_told_before_anything_runs() -> None:
    assert "'nobody'" in problems({"execution.executors": ("cycle=nobody",)})[0]


def test_an_adaptive_search_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ArbitradeError, match=r"pip install 'arbitrade\[search\]'"):
        search_of(fakes.job({EDGE: ("1", "2")}, spec={"method": "adaptive"}))


# --- values ------------------------------------------------------------------------------------------------------


def test_ranges_are_exact_and_hold_both_ends() -> None:
    assert values({EDGE: fakes.span("0.1", "0.7", "0.2")}, EDGE, "grid") == ["0.1", "0.3", "0.5", "0.7"]
    assert values({EDGE: fakes.span(0, 10, 4)}, EDGE, "grid") == ["0", "4", "8"]
    assert values({EDGE: fakes.span(1, 100, 10, log=True)}, EDGE, "grid") == ["1", "10", "100"]
    free = values({EDGE: fakes.span(0, 20)}, EDGE)
    assert (free[0], free[1], free[-1], len(free)) == ("0", "0.01", "20", 2001)
    whole = values({"paper.latency_ms": fakes.span(5, 50)}, "paper.latency_ms")
    assert whole == [str(each) for each in range(5, 51)]
    factors = values({"paper.latency_ms": fakes.span(1, 1000, log=True)}, "paper.latency_ms")
    assert factors[:4] == ["1", "2", "3", "4"]
    assert factors[-1] == "1000"
    assert len(factors) < 600, "the large ones lie further apart"


@given(
    low=st.decimals(min_value=0, max_value=50, places=2),
    span=st.decimals(min_value="0.01", max_value=500, places=2),
    step=st.decimals(min_value="0.05", max_value=20, places=2),
)
@settings(max_examples=60, deadline=None)
def test_a_range_by_steps_lies_on_its_grid(low: Decimal, span: Decimal, step: Decimal) -> None:
    found = [Decimal(each) for each in _texts(Range(low=low, high=low + span, step=step))]
    assert found[0] == low
    assert all(two - one == step for one, two in pairwise(found))
    assert found[-1] <= low + span < found[-1] + step


@given(
    low=st.decimals(min_value="0.01", max_value=50, places=2),
    span=st.decimals(min_value="0.01", max_value=500, places=2),
    log=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_range_without_steps_ascends_from_end_to_end(low: Decimal, span: Decimal, log: bool) -> None:
    found = [Decimal(each) for each in _texts(Range(low=low, high=low + span, log=log))]
    assert found[0] == low
    assert all(one < two for one, two in pairwise(found))
    assert found[-1] <= low + span


def _texts(wanted: Range) -> tuple[str, ...]:
    wrong: list[str] = []
    found = range_values(wanted, EDGE, whole=False, grid=False, problems=wrong)
    assert found is not None, wrong
    return found


SPACES = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(
    lambda sizes: Space(
        tuple(
            Searched(f"trading.s{place}", tuple(map(str, range(size))), numeric=True)
            for place, size in enumerate(sizes)
        )
    )
)


@given(SPACES)
@settings(max_examples=60, deadline=None)
def test_a_grid_holds_every_combination_once_and_the_last_changes_first(space: Space) -> None:
    found = [tuple(space.at(place).values()) for place in range(space.size)]
    assert found == sorted(found)
    assert len(set(found)) == len(found) == space.size


def test_the_grid_s_order_does_not_depend_on_how_the_space_was_written() -> None:
    one = {EDGE: ("5", "2"), "kraken.depth": ("10", "25"), "paper.latency_ms": ("20", "5")}
    other = dict(reversed(one.items()))
    assert search_of(fakes.job(one)).ask() == search_of(fakes.job(other)).ask()
    assert search_of(fakes.job(one)).ask()[0].settings == {"kraken.depth": "10", "paper.latency_ms": "20", EDGE: "5"}


# --- chance ------------------------------------------------------------------------------------------------------


def test_random_variants_are_seeded_and_never_repeat() -> None:
    space = {EDGE: fakes.span(0, 9, 1), "risk.max_open_plans": fakes.span(1, 9)}

    def drawn(seed: int, count: int | None) -> list[Variant]:
        return search_of(fakes.job(space, seed=seed, spec={"method": "random", "variants": count})).ask()

    assert drawn(1, 30) == drawn(1, 30)
    assert drawn(1, 30) != drawn(2, 30)
    for count in (30, 60, 90, 500):
        texts = [json.dumps(each.settings) for each in drawn(3, count)]
        assert len(set(texts)) == len(texts) == min(count, 90)
    assert len(drawn(1, None)) == 90
    assert [each.number for each in drawn(1, 30)] == list(range(30))


@given(SPACES, st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=12, deadline=None)
def test_an_adaptive_search_never_repeats_and_ends(space: Space, batch: int, seed: int) -> None:
    job = fakes.job({EDGE: ("1",)}, seed=seed)
    most = min(40, space.size)
    search = Adaptive(space, most, batch, chance(job, "variants"))
    found: list[Variant] = []
    while asked := search.ask():
        assert len(asked) == min(batch, most - len(found))
        search.tell([None if sum(map(int, each.settings.values())) % 5 == 1 else Decimal(7) for each in asked])
        found += asked
    assert len({json.dumps(each.settings) for each in found}) == len(found) == most
    assert [each.number for each in found] == list(range(most))


ASK = """
import json, sys
from decimal import Decimal
from arbitrade_core.replay.sweep.search import search_of
from tests.replay.sweep import fakes
space = {"trading.min_edge_bps": fakes.span(0, 20), "paper.latency_ms": ("5", "50"),
         "risk.max_open_plans": ("1", "2", "3"), "alerts.summary_at": ("never", "08:00", "09:00")}
search = search_of(fakes.job(space, spec={"method": "adaptive", "variants": 40, "batch": 15}))
while asked := search.ask():
    print(json.dumps([each.settings for each in asked]))
    search.tell([Decimal(each.settings["trading.min_edge_bps"]) for each in asked])
"""


def test_an_adaptive_search_asks_the_same_in_every_process() -> None:
    """Whatever the order of sets is there."""
    said = subprocess.run([sys.executable, "-c", ASK], env=_environment(), capture_output=True, check=True, text=True)
    there = said.stdout.splitlines()
    here = io.StringIO()
    with redirect_stdout(here):
        exec(ASK)
    assert len(there) == 3
    assert here.getvalue().splitlines() == there


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(path for path in sys.path if path)}


# --- sides and groups ----------------------------------------------------------------------------------------------


def test_settings_of_desks_make_desks_and_all_others_make_replays() -> None:
    told = {EDGE: "5", "paper.latency_ms": "5", "kraken.depth": "25", "plugins": "kraken", "trading.pairs": "BTC/USD"}
    assert set(desk_side(told)) == {EDGE, "paper.latency_ms"}
    assert set(market_side(told)) == {"kraken.depth", "plugins", "trading.pairs"}
    job = fakes.job(plugins=("core",), pairs=("ETH/USD",))
    other = with_market(job, market_side(told))
    assert (other.plugins, other.pairs) == (None, None)
    assert other.settings["ARBITRADE_KRAKEN__DEPTH"] == "25"
    assert other.settings["ARBITRADE_TRADING__PAIRS"] == "BTC/USD"


@given(
    edges=st.integers(1, 30),
    depths=st.integers(1, 3),
    width=st.integers(1, 5),
    per_group=st.integers(1, 40),
)
@settings(max_examples=40, deadline=None)
def test_groups_hold_every_variant_once_and_never_mix_markets(
    edges: int, depths: int, width: int, per_group: int
) -> None:
    variants = [
        Variant(number, {EDGE: str(number // depths), "kraken.depth": ("10", "25", "100")[number % depths]})
        for number in range(edges * depths)
    ]
    tasks = tasks_of(fakes.job(), variants, fakes.coverage(), width, per_group)
    held = [variant.number for task in tasks for variant in task.variants]
    assert sorted(held) == list(range(len(variants)))
    assert all(len(task.variants) <= per_group for task in tasks)
    assert len(tasks) >= min(width, len(variants))
    for task in tasks:
        depth = {variant.settings["kraken.depth"] for variant in task.variants}
        job = JobSpec.model_validate_json(task.job)
        assert depth == {job.settings["ARBITRADE_KRAKEN__DEPTH"]}


def test_each_appearance_is_taken_once_unless_that_is_what_is_searched() -> None:
    assert wish_of(Variant(3, {EDGE: "5", "kraken.depth": "10"})).settings == {
        "risk.once_per_appearance": "true",
        EDGE: "5",
    }
    assert wish_of(Variant(3, {"risk.once_per_appearance": "false"})).settings == {"risk.once_per_appearance": "false"}
