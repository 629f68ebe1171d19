"""The estimate: exact where it can be worked out, near the truth where it cannot."""

import random
from math import exp, inf, sqrt

import pytest

from arbitrade_calm.volatility import MINUTE_NS, Volatility

HALF_LIFE_NS = 5 * MINUTE_NS
AT_ONCE = 0
START = 1_790_000_000_000_000_000


def moved(mid: float, bps: float) -> float:
    return mid * exp(bps / 1e4)


def test_nothing_is_known_of_one_price_and_everything_of_one_that_stands_still() -> None:
    one = Volatility(HALF_LIFE_NS, AT_ONCE, 100.0, START)
    assert one.bps(START) == inf
    assert one.bps(START + 1) == 0.0


def test_an_even_movement_is_its_size_whatever_the_age_and_the_unit_of_the_price() -> None:
    for unit in (1.0, 1e-8, 5e4):
        one, mid = Volatility(HALF_LIFE_NS, AT_ONCE, unit, START), unit
        for minute in range(1, 40):
            mid = moved(mid, 12.0 if minute % 2 else -12.0)
            one.sample(mid, START + minute * MINUTE_NS)
            assert one.bps(START + minute * MINUTE_NS) == pytest.approx(12.0)


def test_a_movement_counts_half_after_the_half_life() -> None:
    one = Volatility(HALF_LIFE_NS, AT_ONCE, 100.0, START)
    at = START + 400 * MINUTE_NS
    one.sample(100.0, at - MINUTE_NS)
    one.sample(moved(100.0, 80.0), at)
    assert one.bps(at + HALF_LIFE_NS) == pytest.approx(one.bps(at) / sqrt(2.0))


@pytest.mark.parametrize("every_s", [1, 7, 60])
def test_a_random_walk_shows_its_volatility_however_often_it_is_sampled(every_s: int) -> None:
    chance = random.Random(7)
    one, mid, now = Volatility(60 * MINUTE_NS, AT_ONCE, 100.0, START), 100.0, START
    for _ in range(20_000):
        seconds = every_s * chance.uniform(0.5, 1.5)
        mid = moved(mid, chance.gauss(0.0, 20.0 * sqrt(seconds / 60)))
        now += int(seconds * 1e9)
        one.sample(mid, now)
    assert one.bps(now) == pytest.approx(20.0, rel=0.2)


def test_a_movement_counts_when_it_has_settled_and_not_before() -> None:
    one = Volatility(HALF_LIFE_NS, 5_000_000_000, 100.0, START)
    at = START + MINUTE_NS
    one.sample(moved(100.0, 90.0), at)
    assert one.bps(at + 4_999_999_999) == 0.0
    settled = one.bps(at + 5_000_000_000)
    assert settled > 50.0
    assert one.bps(at + 4_999_999_999) == 0.0, "reading changes nothing"
    one.sample(moved(100.0, 90.0), at + 5_000_000_000)
    assert one.bps(at + 5_000_000_000) == settled, "the next sample settles it as well"


def test_a_sample_that_is_taken_back_leaves_nothing() -> None:
    one, other = (Volatility(HALF_LIFE_NS, 5_000_000_000, 100.0, START) for _ in range(2))
    one.sample(moved(100.0, 90.0), START + MINUTE_NS)
    one.forget_newest(START + MINUTE_NS + 1)
    for minute in (2, 3):
        for each in (one, other):
            each.sample(100.0, START + minute * MINUTE_NS)
    assert one.bps(START + 4 * MINUTE_NS) == other.bps(START + 4 * MINUTE_NS) == 0.0


def test_a_movement_that_has_settled_is_not_taken_back() -> None:
    one = Volatility(HALF_LIFE_NS, 5_000_000_000, 100.0, START)
    at = START + MINUTE_NS
    one.sample(moved(100.0, 90.0), at)
    one.forget_newest(at + 5_000_000_000)
    assert one.bps(at + 5_000_000_000) > 50.0


def test_it_says_when_it_can_be_calm_at_the_earliest() -> None:
    one = Volatility(HALF_LIFE_NS, AT_ONCE, 100.0, START)
    at = START + MINUTE_NS
    mid = moved(100.0, 90.0)
    one.sample(mid, at)
    calm_ns = one.calm_ns(30.0, at)
    assert calm_ns > at
    assert one.bps(calm_ns) == pytest.approx(30.0, rel=1e-6)
    assert one.calm_ns(200.0, at) == at, "calm already"
    one.sample(moved(mid, 5.0), calm_ns)
    assert one.bps(calm_ns) > 30.0, "a price that moves is calm later"
