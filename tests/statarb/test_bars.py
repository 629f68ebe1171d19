"""Closed bars: what is in them, when they close, what happens where there is nothing."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.errors import InvariantError
from arbitrade_statarb.bars import BarClock, Bars, Mid
from arbitrade_statarb.errors import SeriesError
from arbitrade_statarb.history import History

BAR = 100
A, B = "ETH/USD", "BTC/USD"


def prices(bars: Bars) -> dict[str, float]:
    return {symbol: mid.price for symbol, mid in bars.mids.items()}


def test_a_bar_is_the_last_mid_before_its_end() -> None:
    clock = BarClock(BAR, 3)
    assert clock.observe(A, 9.0, 11.0, 1_010) == []
    assert clock.observe(A, 19.0, 21.0, 1_099) == []
    assert clock.observe(A, 29.0, 31.0, 1_100) == [Bars(1_100, {A: Mid(20.0, 0)})]
    assert clock.next_close_ns == 1_200
    assert clock.advance(1_199) == []
    assert clock.advance(1_200) == [Bars(1_200, {A: Mid(30.0, 0)})]


def test_all_symbols_close_together() -> None:
    clock = BarClock(BAR, 3)
    clock.observe(A, 9.0, 11.0, 10)
    clock.observe(B, 99.0, 101.0, 20)
    (bars,) = clock.observe(A, 10.0, 12.0, 130)
    assert prices(bars) == {A: 10.0, B: 100.0}


def test_a_quiet_symbol_keeps_its_mid_so_long_and_then_is_absent() -> None:
    clock = BarClock(BAR, 2)
    clock.observe(A, 9.0, 11.0, 50)
    clock.observe(B, 99.0, 101.0, 50)
    ages = []
    for now in (150, 250, 350, 450):
        (bars,) = clock.observe(A, 9.0, 11.0, now)
        ages.append(bars.mids[B].age_bars if B in bars.mids else None)
    assert ages == [0, 1, 2, None]
    clock.observe(B, 1.0, 3.0, 460)
    assert clock.advance(500)[0].mids[B] == Mid(2.0, 0)


def test_a_book_that_is_known_unchanged_is_not_carried() -> None:
    clock = BarClock(BAR, 0)
    clock.observe(A, 9.0, 11.0, 50)
    for now in (100, 200, 300):
        (bars,) = clock.advance(now, unchanged={A, B})
        assert bars.mids == {A: Mid(10.0, 0)}
    assert clock.advance(400, unchanged=())[0].mids == {A: Mid(10.0, 0)}, "it was known so when this bar opened"
    assert clock.advance(500)[0].mids == {}


def test_a_long_silence_is_a_few_carried_bars_and_one_empty_one() -> None:
    clock = BarClock(BAR, 2)
    clock.observe(A, 9.0, 11.0, 50)
    closed = clock.advance(1_000_000_000)
    assert [(bars.end_ns, len(bars.mids)) for bars in closed] == [(100, 1), (200, 1), (300, 1), (400, 0)]
    assert clock.next_close_ns == 1_000_000_100


def test_nothing_closes_before_the_first_quote() -> None:
    clock = BarClock(BAR, 2)
    assert clock.next_close_ns is None
    assert clock.advance(10_000) == []


def test_time_that_goes_back_is_our_mistake() -> None:
    clock = BarClock(BAR, 2)
    clock.observe(A, 9.0, 11.0, 350)
    clock.observe(A, 9.0, 11.0, 340)  # within the open bar the order of arrival decides
    with pytest.raises(InvariantError, match="bar 3 is already open"):
        clock.observe(A, 9.0, 11.0, 299)


@pytest.mark.parametrize(("bid", "ask"), [(0.0, 1.0), (2.0, 1.0), (1.0, 1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_what_is_no_market_is_refused(bid: float, ask: float) -> None:
    with pytest.raises(SeriesError, match="no market"):
        BarClock(BAR, 2).observe(A, bid, ask, 50)


# --- no look-ahead ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quote:
    symbol: str
    bid: float
    now: int


@st.composite
def quotes(draw: st.DrawFn) -> list[Quote]:
    now, found = draw(st.integers(0, 1_000)), []
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.one_of(st.integers(0, 30), st.integers(0, 900)))
        found.append(Quote(draw(st.sampled_from((A, B))), draw(st.floats(0.5, 2.0)), now))
    return found


def closed(stream: list[Quote], until: int) -> list[Bars]:
    clock = BarClock(BAR, 3)
    bars = [bar for quote in stream for bar in clock.observe(quote.symbol, quote.bid, quote.bid * 1.01, quote.now)]
    return bars + clock.advance(until)


@given(quotes(), st.integers(0, 40))
def test_no_bar_knows_a_later_quote(stream: list[Quote], keep: int) -> None:
    keep = max(1, min(keep, len(stream)))
    known, end = stream[:keep], stream[-1].now
    now = known[-1].now
    early, all_of_it = closed(known, now), closed(stream, end)
    assert all_of_it[: len(early)] == early
    assert all(bars.end_ns <= now for bars in early)
    assert all(bars.end_ns > now - now % BAR for bars in all_of_it[len(early) :])


@given(quotes())
def test_each_bar_is_what_a_look_at_all_quotes_before_its_end_says(stream: list[Quote]) -> None:
    bars = closed(stream, stream[-1].now + 10 * BAR)
    assert [bar.end_ns for bar in bars] == sorted({bar.end_ns for bar in bars})
    for bar in bars:
        assert bar.end_ns % BAR == 0
        for symbol in (A, B):
            before = [quote for quote in stream if quote.symbol == symbol and quote.now < bar.end_ns]
            age = (bar.end_ns - 1) // BAR - before[-1].now // BAR if before else None
            if age is None or age > 3:
                assert symbol not in bar.mids
            else:
                assert bar.mids[symbol].age_bars == age
                assert bar.mids[symbol].price == pytest.approx(before[-1].bid * 1.005, rel=1e-12)


# --- history ------------------------------------------------------------------------------------------------


def bars_at(number: int, **mids: float) -> Bars:
    return Bars(number * BAR, {symbol: Mid(price, 0) for symbol, price in mids.items()})


def test_history_keeps_the_newest_unbroken_bars() -> None:
    history = History(BAR, 4)
    for number in range(1, 7):
        history.add(bars_at(number, a=number, b=10.0 * number))
    last = history.last("a", 3)
    assert last is not None
    assert np.exp(last) == pytest.approx([4.0, 5.0, 6.0])
    assert history.last("a", 5) is None
    assert history.last("c", 1) is None
    split = history.split(3, 1)
    assert np.exp(split.formation["b"]) == pytest.approx([30.0, 40.0, 50.0])
    assert np.exp(split.validation["b"]) == pytest.approx([60.0])
    assert split.end_ns == 600


def test_a_gap_of_a_symbol_forgets_it_and_a_missing_bar_forgets_all() -> None:
    history = History(BAR, 10)
    for number in (1, 2):
        history.add(bars_at(number, a=1.0, b=1.0))
    history.add(bars_at(3, a=1.0))
    history.add(bars_at(4, a=1.0, b=1.0))
    assert (history.unbroken_bars("a"), history.unbroken_bars("b")) == (4, 1)
    history.add(bars_at(6, a=1.0, b=1.0))
    assert (history.unbroken_bars("a"), history.unbroken_bars("b")) == (1, 1)
    assert history.split(1, 1).formation == {}
