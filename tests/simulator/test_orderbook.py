"""One book as its subscribers see it: whatever happens, view plus change equals the new view, at every
depth."""

from hypothesis import given
from hypothesis import strategies as st

from arbitrade_kraken.simulator.orderbook import ASK, BID, Levels, OrderBook

DEPTHS = (1, 3, 10)

puts = st.lists(st.tuples(st.sampled_from((BID, ASK)), st.integers(1, 25), st.integers(0, 4)), min_size=1, max_size=6)


def applied(view: Levels, change: Levels, depth: int, *, reverse: bool) -> Levels:
    """What the protocol tells a subscriber to do: apply in order, then truncate."""
    levels = dict(view)
    for ticks, lots in change:
        if lots:
            levels[ticks] = lots
        else:
            levels.pop(ticks, None)
    return sorted(levels.items(), reverse=reverse)[:depth]


@given(st.lists(puts, max_size=25), st.booleans())
def test_subscribers_at_every_depth_keep_up(batches: list[list[tuple[int, int, int]]], scrambled: bool) -> None:
    book = OrderBook()
    views: dict[int, tuple[Levels, Levels]] = {depth: ([], []) for depth in DEPTHS}
    for batch in batches:
        book.begin(DEPTHS)
        for side, ticks, lots in batch:
            book.put(side, -ticks if side == BID else 100 + ticks, lots)
        change = book.finish(scrambled=scrambled)
        for depth in DEPTHS:
            bids, asks = change.at_depth.get(depth, ([], []))
            old_bids, old_asks = views[depth]
            views[depth] = (
                applied(old_bids, bids, depth, reverse=True),
                applied(old_asks, asks, depth, reverse=False),
            )
            assert views[depth] == (book.top(BID, depth), book.top(ASK, depth))


def test_a_deletion_brings_its_replacement_in_the_same_message() -> None:
    book = OrderBook()
    book.begin(())
    for ticks in (10, 11, 12):
        book.put(ASK, ticks, 5)
    book.finish()
    book.begin((2,))
    book.put(ASK, 10, 0)
    assert book.finish().at_depth[2] == ([], [(10, 0), (12, 5)])


def test_nobody_is_told_of_a_level_that_falls_out_of_view() -> None:
    book = OrderBook()
    book.begin(())
    for ticks in (10, 11):
        book.put(ASK, ticks, 5)
    book.finish()
    book.begin((2,))
    book.put(ASK, 9, 1)
    assert book.finish().at_depth[2] == ([], [(9, 1)])


def test_a_change_below_the_view_is_no_message() -> None:
    book = OrderBook()
    book.begin(())
    for ticks in (10, 11, 12):
        book.put(BID, -ticks, 5)
    book.finish()
    book.begin((2, 3))
    book.put(BID, -10, 7)
    change = book.finish()
    assert list(change.at_depth) == [3]


def test_taking_eats_the_best_levels_up_to_the_limit() -> None:
    book = OrderBook()
    book.begin(())
    for ticks, lots in ((10, 5), (11, 5), (12, 5)):
        book.put(ASK, ticks, lots)
    book.finish()
    book.begin((10,))
    assert book.take(ASK, 20, limit_key=11) == [(10, 5), (11, 5)]
    assert book.finish().at_depth[10] == ([], [(10, 0), (11, 0)])
    assert book.top(ASK, 10) == [(12, 5)]


def test_taking_less_than_a_level_leaves_the_rest() -> None:
    book = OrderBook()
    book.begin(())
    book.put(BID, -10, 5)
    book.finish()
    book.begin((10,))
    assert book.take(BID, 2) == [(10, 2)]
    assert book.finish().at_depth[10] == ([(10, 3)], [])
