"""A book that cannot be trusted is out of use alone, until it is proven good (RELIABILITY 7, DESIGN 4)."""

from decimal import Decimal

from arbitrade_core.domain import PairStatus
from arbitrade_core.market import Block
from tests.engine.harness import CHEAP, OVER_ETH, Scene
from tests.engine.watched import assert_flat, assert_funnel_adds_up

SQUARE = ("BTC/USD", "ETH/BTC", "ETH/USD", "ADA/BTC", "ADA/USD")


def test_a_wrong_checksum_takes_that_pair_out_alone_with_its_cycles() -> None:
    scene = Scene(SQUARE, cooldown_ms=0)
    scene.sees("ETH/BTC", ask="0.02960", right=False)
    assert not scene.usable("ETH/BTC")
    assert [symbol for symbol in SQUARE if scene.usable(symbol)] == [s for s in SQUARE if s != "ETH/BTC"]
    assert scene.feed.resyncs == ["ETH/BTC"]
    assert scene.alerts("market.quarantine") == ["ETH/BTC is out of use: checksum mismatch"]
    assert scene.active == set()
    scene.sees("ADA/BTC", bid="0.00000980", ask="0.00000990", qty="1000000")
    assert len(scene.planned) == 1, "the others trade on"
    assert "ADA" in scene.planned[0]
    scene.passes(ms=300)
    assert scene.outcomes[0] == "completed"


def test_a_candidate_found_on_a_message_whose_checksum_is_wrong_never_leaves() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask=CHEAP, right=False)
    scene.passes(ms=500)
    assert (scene.planned, scene.sent, scene.engine.candidates) == ([], [], 0)
    assert scene.world.appearances == [], "it never was one"
    assert (scene.engine.checksums_bad, scene.feed.resyncs) == (1, ["ETH/BTC"])
    assert_funnel_adds_up(scene.world)


def test_a_wrong_message_ends_the_appearances_of_its_pair() -> None:
    scene = Scene(cooldown_ms=60_000)
    scene.sees("ETH/BTC", ask=CHEAP, qty="1000")
    scene.passes(ms=300)
    scene.sees("ETH/BTC", ask="0.0296", qty="1000", right=False)
    assert [appearance.outcome for appearance in scene.world.appearances] != []
    assert len(scene.engine.appearances) == 0
    assert scene.active == set()


def test_messages_before_the_fresh_snapshot_are_left_aside_and_the_snapshot_restores() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask="0.03002", right=False)
    scene.sees("ETH/BTC", ask=CHEAP)
    assert (scene.active, scene.planned) == (set(), [])
    assert scene.engine.checksums_bad == 1, "what is left aside is not checked either"
    scene.resyncs("ETH/BTC", ask=CHEAP)
    assert scene.usable("ETH/BTC")
    assert scene.planned == [OVER_ETH], "coming back is a rise like any other"


def test_a_snapshot_that_is_wrong_restores_nothing() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", ask="0.03002", right=False)
    scene.resyncs("ETH/BTC", ask=CHEAP, right=False)
    assert not scene.usable("ETH/BTC")
    assert scene.feed.resyncs == ["ETH/BTC", "ETH/BTC"]
    assert scene.planned == []
    assert len(scene.world.told("quarantine")) == 1, "it was out of use already"
    scene.resyncs("ETH/BTC")
    assert scene.usable("ETH/BTC")


def test_a_crossed_book_is_out_of_use_while_it_is_crossed() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", bid="0.0299", ask=CHEAP)
    assert not scene.usable("ETH/BTC")
    assert scene.planned == []
    scene.passes(ms=3_000)
    assert scene.feed.resyncs == []
    scene.sees("ETH/BTC", bid="0.0296", ask=CHEAP)
    assert scene.planned == [OVER_ETH]
    scene.passes(ms=10_000)
    assert scene.feed.resyncs == []


def test_a_book_that_stays_crossed_for_five_seconds_is_fetched_anew() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", bid="0.0299", ask=CHEAP)
    scene.passes(ms=4_999)
    assert scene.feed.resyncs == []
    scene.passes(ms=2)
    assert scene.feed.resyncs == ["ETH/BTC"]
    assert scene.engine.market.blocks[scene.pair_id("ETH/BTC")] & Block.QUARANTINED
    scene.resyncs("ETH/BTC", bid="0.0299", ask=CHEAP)
    assert not scene.usable("ETH/BTC"), "the fresh book is crossed as well"
    scene.passes(ms=5_001)
    assert scene.feed.resyncs == ["ETH/BTC", "ETH/BTC"]
    scene.resyncs("ETH/BTC")
    assert scene.usable("ETH/BTC")


def test_five_seconds_count_from_when_the_book_was_last_crossed() -> None:
    scene = Scene()
    scene.sees("ETH/BTC", bid="0.0299", ask=CHEAP)
    scene.passes(ms=1_000)
    scene.sees("ETH/BTC", bid="0.0296", ask="0.03001")
    scene.passes(ms=3_000)
    scene.sees("ETH/BTC", bid="0.0299", ask=CHEAP)
    scene.passes(ms=4_999)
    assert scene.feed.resyncs == []
    scene.passes(ms=2)
    assert scene.feed.resyncs == ["ETH/BTC"]


def test_new_precisions_clear_the_book_until_a_snapshot() -> None:
    scene = Scene()
    scene.lists("ETH/BTC", price_decimals=6, tick=Decimal("0.000001"))
    pair_id = scene.pair_id("ETH/BTC")
    assert not scene.usable("ETH/BTC")
    assert scene.engine.market.books[pair_id].bids.levels() == []
    assert scene.engine.market.rate[2 * pair_id : 2 * pair_id + 2] == [0.0, 0.0]
    scene.sees("ETH/BTC", ask=CHEAP)
    assert scene.planned == []
    scene.resyncs("ETH/BTC", ask=CHEAP)
    scene.passes(ms=300)
    assert scene.planned == [OVER_ETH]
    assert scene.outcomes == ["completed"], "priced on the new grid"
    assert_flat(scene.world)


def test_a_pair_that_goes_offline_takes_its_cycles_along_and_brings_them_back() -> None:
    scene = Scene(cooldown_ms=0, max_open_plans=1)
    scene.lists("ETH/USD", status=PairStatus.CANCEL_ONLY)
    scene.sees("ETH/BTC", ask=CHEAP)
    assert (scene.active, scene.planned) == (set(), [])
    scene.lists("ETH/USD", status=PairStatus.ONLINE)
    assert scene.active == set(), "books were let go while no cycle needed them"
    scene.fetches_all()
    scene.sees("ETH/BTC", ask=CHEAP)
    assert scene.active == {OVER_ETH}
    scene.passes(ms=1)
    assert scene.planned == [OVER_ETH]


def test_a_connection_that_ends_takes_its_books_out_of_use() -> None:
    scene = Scene()
    scene.disconnects()
    assert [pair for pair in range(3) if scene.engine.market.usable(pair)] == []
    assert scene.active == set()
