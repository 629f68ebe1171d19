"""Decisions of two runs side by side."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from arbitrade_core.journal import Record
from arbitrade_core.shadow.compare import DIVERGED_FROM, EXAMPLES, Comparison, Decision, Reader, first_difference

MINUTE_NS = 60_000_000_000


def approved(
    seq: int, key: str = "a", at_ns: int = 0, desk: str = "desk", what: Mapping[str, str] = MappingProxyType({})
) -> Decision:
    return Decision(seq, at_ns, desk, "approved", key, {"path": "USD > BTC > USD", "edge_bps": "12", **what})


def compared(bot: list[Decision], shadow: list[Decision], through: int = 100) -> dict[str, Any]:
    comparison = Comparison()
    comparison.bot(bot)
    comparison.shadow(shadow)
    comparison.settle(through)
    return comparison.view()


def test_the_same_decision_at_the_same_input_is_the_same() -> None:
    view = compared([approved(3)], [approved(3)])
    assert (view["same"], view["compared"], view["same_share"]) == (1, 1, 1.0)
    assert view["examples"] == []


def test_a_decision_at_another_input_or_desk_or_cycle_is_another_one() -> None:
    for other in (approved(4), approved(3, desk="tight"), approved(3, key="b")):
        view = compared([approved(3)], [other])
        assert (view["only_bot"], view["only_shadow"], view["same"]) == (1, 1, 0)


def test_the_first_figure_that_differs_is_named_and_shown_from_both_sides() -> None:
    bot = approved(3, what={"leg 1 qty": "0.5", "leg 1 limit": "10"})
    shadow = approved(3, what={"leg 1 qty": "0.4", "leg 1 limit": "11"})
    view = compared([bot], [shadow])
    assert view["different"] == 1
    assert view["first_differing_field"] == {"leg 1 qty": 1}
    assert view["examples"] == [
        {
            "verdict": "different",
            "seq": 3,
            "desk": "desk",
            "kind": "approved",
            "key": "a",
            "field": "leg 1 qty",
            "bot": "0.5",
            "shadow": "0.4",
        }
    ]


def test_a_figure_that_one_side_has_alone_is_a_difference() -> None:
    assert first_difference({"edge": "1"}, {"edge": "1", "leg 4": "buy"}) == "leg 4"
    assert first_difference({"edge": "1", "leg 4": "buy"}, {"edge": "1"}) == "leg 4"


def test_nothing_is_judged_before_the_shadow_has_come_that_far() -> None:
    comparison = Comparison()
    comparison.bot([approved(3), approved(9)])
    comparison.settle(8)
    assert comparison.view()["only_bot"] == 1
    comparison.shadow([approved(9)])
    comparison.settle(9)
    assert (comparison.view()["only_bot"], comparison.view()["same"]) == (1, 1)


def test_rates_stand_by_minute_and_examples_are_bounded() -> None:
    bot = [approved(seq, at_ns=seq * MINUTE_NS) for seq in range(1, 200)]
    view = compared(bot, bot[:150], through=1000)
    assert view["by_minute"][-1] == {
        "minute_ns": 199 * MINUTE_NS,
        "same": 0,
        "different": 0,
        "only_bot": 1,
        "only_shadow": 0,
    }
    assert len(view["by_minute"]) == 60
    assert len(view["examples"]) == EXAMPLES


def test_a_few_differences_are_no_divergence_many_are() -> None:
    comparison = Comparison()
    comparison.bot([approved(seq) for seq in range(1, DIVERGED_FROM)])
    comparison.settle(1000)
    assert not comparison.diverged
    comparison.bot([approved(1001)])
    comparison.settle(1001)
    assert comparison.diverged


LEG = {"side": "buy", "symbol": "BTC/USD", "qty": "0.5", "limit": "10"}
PLAN = {"id": "p1", "desk": "desk", "key": "+BTC/USD", "path": "USD > BTC", "legs": [LEG], "edge_bps": "12"}


def test_decisions_are_read_from_the_journal_each_once() -> None:
    reader = Reader()
    records = [
        Record("desk", 1, 10, "open", {"desk": "desk"}),
        Record("desk", 2, 10, "plan", {**PLAN, "start": "1", "end": "2", "fees_id": "f"}),
        Record("desk", 3, 10, "refusal", {"desk": "desk", "key": "k", "check": "cooldown", "reason": "too soon"}),
    ]
    found = reader.read(records, 5)
    assert [(one.kind, one.key, one.seq) for one in found] == [("approved", "+BTC/USD", 5), ("refused", "k", 5)]
    assert found[0].what["leg 1 limit"] == "10"
    end = Record("desk", 4, 11, "end", {"plan": "p1", "desk": "desk", "outcome": "completed", "realised_end": "2"})
    assert [(one.kind, one.key) for one in reader.read([*records, end], 9)] == [("ended", "+BTC/USD")]


def test_the_end_of_a_plan_of_an_earlier_run_is_no_decision_of_this_one() -> None:
    end = Record("desk", 1, 10, "end", {"plan": "old", "desk": "desk", "outcome": "interrupted"})
    drop = Record("desk", 2, 10, "drop", {"plan": "old", "desk": "desk", "stage": "gone", "reason": ""})
    assert Reader().read([end, drop], 0) == []
