"""What is offered to a desk, in which order, and what each approval leaves for the next (TRADING 4, 6)."""

from decimal import Decimal
from typing import Any

from arbitrade_core.events import PairsEnabled, StartAssets, Thresholds
from tests.engine.harness import CHEAP, OVER_ETH, Scene
from tests.engine.watched import assert_books_add_up, assert_flat, assert_funnel_adds_up

D = Decimal
TWO_START_ASSETS = ("BTC/USD", "ETH/BTC", "ETH/USD", "BTC/EUR", "ETH/EUR", "EUR/USD")
THREE_COINS = ("BTC/USD", "ETH/BTC", "ETH/USD", "ADA/BTC", "ADA/USD", "BTC/EUR", "EUR/USD")


def legs_on(scene: Scene, symbol: str, side: str) -> list[dict[str, Any]]:
    """Legs of all plans that take from this side of a book."""
    plans = [record.data for record in scene.world.told("plan")]
    return [leg for plan in plans for leg in plan["legs"] if (leg["symbol"], leg["side"]) == (symbol, side)]


def test_trading_6_approvals_of_one_message_share_what_the_book_shows() -> None:
    scene = Scene(
        TWO_START_ASSETS,
        balances={"USD": "100000", "EUR": "100000"},
        start_assets=("USD", "EUR"),
        max_notional=None,
        commit_ms=5,
    )
    scene.sees("ETH/BTC", ask=CHEAP, qty="12")
    assert len(scene.planned) == 2, "two cycles buy the same cheap ether"
    bought = [D(leg["qty"]) for leg in legs_on(scene, "ETH/BTC", "buy")]
    assert len(bought) == 2
    assert sum(bought) <= 12
    assert bought[0] > bought[1] > 0, "the second gets what the first left"
    scene.passes(ms=300)
    taken = [D(fill.data["qty"]) for fill in scene.world.told("fill") if fill.data["symbol"] == "ETH/BTC"]
    assert sum(taken) <= 12
    assert scene.outcomes == ["completed", "completed"], "neither takes crumbs that the other was promised"
    assert scene.desk.available("USD") > 100_000
    assert scene.desk.available("EUR") > 100_000
    assert_flat(scene.world)
    assert_funnel_adds_up(scene.world)
    assert_books_add_up(scene.world, scene.opening)


def test_trading_6_approvals_of_one_message_share_the_balance_less_the_reserve() -> None:
    scene = Scene(THREE_COINS, balances={"USD": "3000"}, reserve={"USD": D(800)}, max_notional="1000")
    scene.sees("BTC/USD", bid="49400", ask="49401", qty="100")
    assert len(scene.planned) == 3, "every coin that bitcoin buys pays now"
    starts = [D(record.data["start"]) for record in scene.world.told("plan")]
    assert sum(starts) <= 3000 - 800
    assert starts[-1] < 300, "the last one starts with what is left"
    scene.passes(ms=300)
    assert scene.outcomes == ["completed"] * 3
    assert_flat(scene.world)
    assert_books_add_up(scene.world, scene.opening)


def test_trading_6_candidates_of_one_message_are_ranked_by_profit() -> None:
    scene = Scene(THREE_COINS, balances={"USD": "1000"}, max_notional=None)
    scene.sees("ADA/USD", bid="0.5050", ask="0.5051", qty="1000000")
    scene.sees("BTC/USD", bid="49400", ask="49401", qty="100")
    expected = [D(record.data["profit_valued"]) for record in scene.world.told("plan")]
    assert "ADA" in scene.planned[-1], "ada pays most, and it was offered with the others"
    assert expected == sorted(expected, reverse=True)


def test_trading_6_equal_profits_are_taken_in_the_order_of_their_keys() -> None:
    scene = Scene(
        ("BTC/USD", "LTC/BTC", "LTC/USD", "ETH/BTC", "ETH/USD"), balances={"USD": "1500"}, max_notional="1000"
    )
    scene.sees("BTC/USD", bid="49400", ask="49401", qty="100")
    assert [key.split()[1] for key in scene.planned] == ["+ETH/BTC", "+LTC/BTC"]
    values = [record.data["profit_valued"] for record in scene.world.told("plan")]
    starts = [D(record.data["start"]) for record in scene.world.told("plan")]
    assert starts[0] > starts[1], f"the first by key had the balance to itself: {values}"


def test_trading_6_rotations_are_one_opportunity_and_start_where_it_pays_most() -> None:
    scene = Scene(
        ("BTC/USD", "BTC/EUR", "EUR/USD"),
        balances={"USD": "10", "EUR": "5000"},
        start_assets=("USD", "EUR"),
        max_notional=None,
    )
    scene.sees("BTC/EUR", bid="40500", ask="40501", qty="10")
    assert len(scene.planned) == 1
    assert scene.world.told("plan")[0].data["start_asset"] == "EUR", "euro is what the desk has to start with"
    scene.passes(ms=300)
    assert scene.outcomes == ["completed"]


def test_trading_4_a_mispricing_that_stays_is_traded_again_after_the_cooldown() -> None:
    scene = Scene(cooldown_ms=2_000)
    scene.sees("ETH/BTC", ask=CHEAP, qty="1000")
    scene.passes(ms=1_990)
    assert scene.planned == [OVER_ETH]
    assert scene.funnel["refused"] == {"cooldown": 1}, "offered when the plan ended, and refused"
    scene.passes(ms=20)
    assert scene.planned == [OVER_ETH] * 2, "no message came: the desk looked again by itself"
    scene.passes(ms=4_000)
    assert scene.planned == [OVER_ETH] * 4
    assert_funnel_adds_up(scene.world)


def test_trading_4_a_slot_that_frees_takes_the_next_opportunity() -> None:
    scene = Scene(THREE_COINS, balances={"USD": "100000"}, max_open_plans=1, cooldown_ms=60_000, max_notional="1000")
    scene.sees("BTC/USD", bid="49400", ask="49401", qty="100")
    assert len(scene.planned) == 1
    scene.passes(ms=1_000)
    assert len(set(scene.planned)) == 3, "one after the other, without any further message"
    assert scene.outcomes == ["completed"] * 3
    assert_flat(scene.world)


def test_trading_4_balance_that_comes_back_takes_the_next_opportunity() -> None:
    scene = Scene(THREE_COINS, balances={"USD": "1000"}, max_notional=None, cooldown_ms=60_000)
    scene.sees("BTC/USD", bid="49400", ask="49401", qty="100")
    assert len(scene.planned) == 1
    scene.passes(ms=1_000)
    assert len(set(scene.planned)) == 3
    assert_books_add_up(scene.world, scene.opening)


def test_trading_4_a_refusal_that_time_alone_ends_is_put_again() -> None:
    scene = Scene(max_plans_per_hour=1, cooldown_ms=0)
    scene.sees("ETH/BTC", ask=CHEAP, qty="1000")
    scene.passes(ms=3_590_000)
    assert len(scene.planned) == 1
    scene.passes(ms=20_000)
    assert len(scene.planned) == 2, "the hour is over"


def test_trading_4_the_exchange_that_comes_back_online_is_traded_on_at_once() -> None:
    scene = Scene()
    scene.feed.port.exchange_status("maintenance", scene.world.now)
    scene.sees("ETH/BTC", ask=CHEAP)
    assert scene.planned == []
    assert list(scene.funnel["refused"]) == ["exchange_status"]
    scene.feed.port.exchange_status("online", scene.world.now)
    scene.hears()
    assert scene.planned == [OVER_ETH]


def test_trading_4_thresholds_start_assets_and_pairs_rescore_everything() -> None:
    scene = Scene(max_open_plans=1, cooldown_ms=0)
    now = scene.world.now
    scene.world.take(Thresholds("desk", D(200), D(1), D(0), now))
    scene.sees("ETH/BTC", ask=CHEAP)
    assert (scene.active, scene.planned) == (set(), []), "two in a hundred are not there"
    scene.world.take(StartAssets("desk", ("EUR",), now))
    scene.world.take(Thresholds("desk", D(5), D(1), D(0), now))
    assert scene.active == set(), "no cycle passes through euro"
    scene.world.take(StartAssets("desk", ("USD",), now))
    scene.fetches_all()
    scene.sees("ETH/BTC", ask=CHEAP)
    assert scene.active == {OVER_ETH}
    scene.world.take(PairsEnabled(frozenset({"BTC/USD", "ETH/USD"}), now))
    assert scene.active == set()
    scene.world.take(PairsEnabled(None, now))
    scene.fetches_all()
    scene.sees("ETH/BTC", ask=CHEAP)
    assert scene.active == {OVER_ETH}
    assert set(scene.planned) == {OVER_ETH}
    assert_funnel_adds_up(scene.world)


def test_an_appearance_is_told_with_its_lifetime_and_how_far_it_came() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=100)
    scene.sees("ETH/BTC", ask="0.03001")
    (appearance,) = scene.world.appearances
    assert appearance.key == OVER_ETH
    assert appearance.path == "USD > BTC > ETH > USD"
    assert appearance.closed_ns is not None
    assert appearance.closed_ns - appearance.opened_ns == 100_000_000
    assert appearance.outcome == "executed"
    assert appearance.best_edge_bps is not None
    assert 65 < appearance.best_edge_bps < 72


def test_a_refusal_is_journalled_once_per_appearance() -> None:
    scene = Scene(cooldown_ms=60_000)
    for _ in range(3):
        scene.sees("ETH/BTC", ask=CHEAP, qty="1000")
        scene.passes(ms=50)
        scene.sees("ETH/BTC", ask="0.02971", qty="1000")
        scene.passes(ms=50)
    assert scene.funnel["refused"]["cooldown"] > 1
    assert len(scene.world.told("refusal")) == 1
    scene.sees("ETH/BTC", ask="0.03001")
    scene.sees("ETH/BTC", ask=CHEAP, qty="1000")
    assert len(scene.world.told("refusal")) == 2, "it came back: another appearance"
