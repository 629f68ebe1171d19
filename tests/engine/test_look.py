"""Scoring from the quotes, before the book is touched, says what the book says afterwards (TRADING 3)."""

from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Pair
from arbitrade_core.events import BookUpdate
from arbitrade_core.market import IGNORED, UNSURE, Market

TICK = Decimal("0.1")


class Said(msgspec.Struct):
    price: float
    qty: float


class Message(msgspec.Struct):
    bids: list[Said]
    asks: list[Said]


class Update(BookUpdate):
    def read(self) -> bool:
        if self.quotes is not None:
            self.bids, self.asks = exact(self.quotes.bids), exact(self.quotes.asks)
            self.quotes = None
        return True

    def verify(self, book: object) -> bool:
        return True


def exact(levels: object) -> list[tuple[int, int]]:
    assert isinstance(levels, list)
    return [(round(level.price * 10), round(level.qty)) for level in levels]


def market() -> Market:
    seen = Market()
    seen.list_pair(Pair("AAA/BBB", "AAA", "BBB", 1, 0, TICK, Decimal(1), Decimal(1), Decimal(1), 4))
    levels = [[(100 - at, 5) for at in range(10)], [(104 + at, 5) for at in range(10)]]
    seen.restore(Update(0, True, levels[0], levels[1]), 0)
    return seen


side = st.lists(
    st.builds(lambda ticks, lots: Said(ticks / 10, lots), st.integers(94, 110), st.integers(0, 2)), max_size=4
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.builds(Message, side, side), max_size=12))
def test_a_look_says_what_applying_says(messages: list[Message]) -> None:
    looking, plain = market(), market()
    for message in messages:
        before = list(looking.rate)
        seen = looking.look(Update(0, False, (), (), message))
        if seen == UNSURE:
            assert looking.rate == before
        update = Update(0, False, (), (), message)
        assert update.read()
        expected = plain.apply(update, 0)
        applied = looking.apply(Update(0, False, (), (), message), 0)
        assert looking.rate == plain.rate
        if seen == UNSURE:
            assert applied == expected
        else:
            assert (seen, applied) == (expected, 0)
        for ours, theirs in zip(looking.books, plain.books, strict=True):
            assert (ours.bids.levels(), ours.asks.levels()) == (theirs.bids.levels(), theirs.asks.levels())


def test_only_a_best_price_that_goes_needs_the_book() -> None:
    seen = market()
    assert seen.look(Update(0, False, (), (), Message([Said(9.9, 7), Said(9.8, 0)], [Said(10.4, 9)]))) == 0
    assert seen.look(Update(0, False, (), (), Message([Said(10.0, 0)], []))) == UNSURE
    assert seen.look(Update(0, False, (), (), Message([Said(10.2, 1), Said(10.2, 0)], []))) == UNSURE
    assert seen.look(Update(0, False, (), (), Message([Said(10.4, 1)], []))) == UNSURE, "it would be crossed"
    assert seen.look(Update(0, False, (), (), Message([], [Said(0.0, 1)]))) == UNSURE


def test_what_cannot_be_read_changes_no_book() -> None:
    class Unreadable(Update):
        def read(self) -> bool:
            return False

    seen = market()
    before = seen.books[0].bids.levels()
    assert seen.apply(Unreadable(0, False, (), (), Message([Said(9.9, 7)], [])), 0) == IGNORED
    assert seen.books[0].bids.levels() == before
