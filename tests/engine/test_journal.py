"""Nothing leaves before its intent is durable, and what a journal that hangs or is lost stops (RELIABILITY 1, 2, 12).

That each order is sent once, after its intent, is asserted by `Watched` in every scenario.
"""

from decimal import Decimal

from tests.engine.harness import CHEAP, OVER_ETH, Scene
from tests.engine.watched import assert_books_add_up, assert_flat, assert_funnel_adds_up

FILLED = {"-1": "leg 1", "-2": "leg 2", "-3": "leg 3"}


def test_reliability_2_nothing_is_sent_while_the_journal_hangs_and_the_market_goes_on() -> None:
    scene = Scene()
    scene.hangs()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=500)
    assert scene.planned == [OVER_ETH]
    assert scene.sent == []
    before = scene.engine.checksums_ok
    scene.sees("ETH/BTC", ask="0.02971")
    assert scene.engine.checksums_ok == before + 1
    assert scene.active == {OVER_ETH}
    assert scene.funnel["desk_busy"] >= 1, "the cycle's plan waits"
    scene.finds_journal()
    assert scene.sent == [], "it is not there any more at the price it was planned for"
    assert scene.funnel["gone"] == 1
    scene.passes(ms=2_000)
    assert scene.outcomes[0] == "completed", "the next plan is made on what is there"
    assert_flat(scene.world)
    assert_funnel_adds_up(scene.world)


def test_reliability_12_without_a_journal_no_new_plan_is_made_and_the_refusal_says_why() -> None:
    scene = Scene()
    scene.loses_journal("disk full")
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=500)
    assert (scene.planned, scene.sent) == ([], [])
    assert scene.funnel["refused"] == {"halted": 1}
    assert "journal lost: disk full" in scene.desk.last_stop[OVER_ETH]
    assert scene.alerts("journal.lost") == ["no new plans: the journal cannot be written: disk full"]


def test_reliability_12_the_journal_that_is_back_offers_the_active_set_again() -> None:
    scene = Scene()
    scene.loses_journal()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=1_000)
    assert scene.planned == []
    scene.finds_journal()
    assert scene.planned == [OVER_ETH], "no message came in between"
    scene.passes(ms=300)
    assert scene.outcomes == ["completed"]
    assert_flat(scene.world)
    assert_books_add_up(scene.world, scene.opening)


def test_reliability_12_remaining_legs_of_a_durable_plan_go_without_the_journal() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    assert scene.sent == ["test0001-1"]
    scene.loses_journal()
    scene.passes(ms=200)
    assert scene.sent == ["test0001-1", "test0001-2", "test0001-3"]
    assert scene.outcomes == ["completed"]
    scene.finds_journal()
    assert_books_add_up(scene.world, scene.opening)


def test_reliability_12_an_unwind_waits_for_the_journal_and_people_hear_of_it() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    scene.loses_journal()
    scene.sees("ETH/BTC", ask="0.03001")
    scene.passes(ms=5_000)
    assert scene.sent == ["test0001-1", "test0001-2"], "leg 2 found nothing, and the way home waits"
    assert len(scene.world.told("follow_up")) == 1
    assert len(scene.alerts("execution.waits")) == 1
    assert scene.desk.open_plans
    scene.finds_journal()
    assert scene.sent[2:] == ["test0001-f1"]
    scene.passes(ms=200)
    assert scene.outcomes == ["unwound"]
    assert_flat(scene.world)
    assert_books_add_up(scene.world, scene.opening)


def test_reliability_12_an_unwind_waits_for_a_journal_that_hangs_without_a_word() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    scene.hangs()
    scene.sees("ETH/BTC", ask="0.03001")
    scene.passes(ms=900)
    assert scene.alerts("execution.waits") == []
    scene.passes(ms=200)
    assert len(scene.alerts("execution.waits")) == 1, "people hear of it within a second"
    assert scene.sent == ["test0001-1", "test0001-2"]
    scene.finds_journal()
    scene.passes(ms=200)
    assert scene.outcomes == ["unwound"]


def test_reliability_10_nothing_new_is_sent_after_a_halt_and_what_is_open_comes_home() -> None:
    scene = Scene(cooldown_ms=0)
    scene.sees("ETH/BTC", ask=CHEAP, qty="1000")
    scene.passes(ms=10)
    scene.halts("enough")
    scene.passes(ms=3_000)
    assert scene.outcomes == ["completed"]
    assert len(scene.planned) == 1
    assert "halted: enough" in scene.desk.last_stop[OVER_ETH]
    scene.resumes()
    assert len(scene.planned) == 2, "resuming offers the active set again"
    assert [record.kind for record in scene.world.records if record.stream == "system"][-2:] == ["halt", "resume"]


def test_reliability_10_a_plan_that_waits_for_the_journal_is_dropped_by_a_halt() -> None:
    scene = Scene()
    scene.hangs()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.halts()
    scene.finds_journal()
    assert scene.sent == []
    assert scene.world.told("drop")[0].data["reason"] == "halted: a test"
    assert_flat(scene.world)


def test_an_operator_lifts_what_a_desk_halted_for_and_the_journal_knows() -> None:
    scene = Scene(cooldown_ms=0)
    scene.desk.halt("stuck with ether", scene.world.now)
    scene.sees("ETH/BTC", ask=CHEAP)
    assert scene.planned == []
    scene.resumes()
    assert scene.planned == [OVER_ETH]
    assert scene.world.told("desk_resume")[0].data == {"desk": "desk", "was": "stuck with ether", "actor": "tester"}


def test_every_order_has_one_intent_and_its_life_in_the_journal() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=300)
    sends = {record.data["order"]: record for record in scene.world.told("send")}
    assert list(sends) == scene.sent == ["test0001-1", "test0001-2", "test0001-3"]
    for suffix, purpose in FILLED.items():
        assert sends[f"test0001{suffix}"].data["purpose"] == purpose
    ended = [record.data["order"] for record in scene.world.told("order") if record.data["event"] == "done"]
    assert ended == scene.sent
    (end,) = scene.world.told("end")
    assert Decimal(end.data["profit"]) == scene.desk.ledger.main.cash("USD") - 10_000


def without_a_way_home() -> Scene:
    """Leg 2 finds nothing, and the books of every way home are out of use."""
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=22)
    assert scene.sent == ["test0001-1", "test0001-2"]
    scene.sees("ETH/BTC", ask="0.03001")
    for symbol in ("ETH/BTC", "BTC/USD"):
        scene.hears(scene._update(symbol, [], None, right=False))
    scene.passes(ms=22)
    return scene


def test_reliability_6_inventory_without_a_way_home_is_told_at_once_and_comes_home_when_books_are_back() -> None:
    scene = without_a_way_home()
    (alert,) = scene.alerts("execution.waits")
    assert "BTC, paid " in alert
    (wait,) = scene.world.told("wait")
    assert wait.data == {"plan": "test0001", "desk": "desk", "reason": alert}
    scene.passes(ms=3_000)
    assert (scene.outcomes, scene.desk.halted) == ([], None)
    scene.resyncs("BTC/USD")
    scene.passes(ms=200)
    assert (scene.outcomes, scene.desk.halted) == (["unwound"], None)
    assert len(scene.alerts("execution.waits")) == 1
    assert_flat(scene.world)
    assert_books_add_up(scene.world, scene.opening)


def test_reliability_6_inventory_that_stays_without_a_way_home_halts_the_desk() -> None:
    scene = without_a_way_home()
    scene.passes(ms=4_900)
    assert scene.outcomes == []
    scene.passes(ms=200)
    assert scene.outcomes == ["stuck"]
    assert "no way home" in str(scene.desk.halted)
    assert_flat(scene.world)


def test_reliability_10_a_plan_that_waits_comes_home_after_a_halt() -> None:
    scene = without_a_way_home()
    scene.halts("enough")
    scene.resyncs("BTC/USD")
    scene.passes(ms=200)
    assert scene.sent[2:] == ["test0001-f1"]
    assert scene.outcomes == ["unwound"]


def test_reliability_12_a_plan_that_waits_sends_nothing_while_the_journal_is_lost() -> None:
    scene = without_a_way_home()
    scene.loses_journal()
    scene.resyncs("BTC/USD")
    scene.passes(ms=8_000)
    assert len(scene.sent) == 2
    assert len(scene.world.told("follow_up")) == 1, "it has a way home, and no time runs out"
    assert (scene.outcomes, scene.desk.halt_reason) == ([], None)
    scene.finds_journal()
    scene.passes(ms=200)
    assert scene.sent[2:] == ["test0001-f1"]
    assert scene.outcomes == ["unwound"]
    assert_flat(scene.world)


def test_a_plan_is_ended_by_the_executor_that_began_it() -> None:
    """Executors of new plans may change at any time."""
    scene = Scene(cooldown_ms=0)
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=10)
    scene.desk._executors.clear()
    scene.sees("ETH/BTC", ask="0.03001")
    scene.passes(ms=300)
    assert scene.outcomes == ["unwound"]
    assert_flat(scene.world)
