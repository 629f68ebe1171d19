"""The universe: its size and shape, and listings that a client can take at their word."""

from collections import Counter
from decimal import Decimal

import orjson
import pytest

from arbitrade_kraken.simulator.listing import PairListing, number
from arbitrade_kraken.simulator.universe import MAX_PAIRS, universe


@pytest.mark.parametrize("seed", [7, 1])
def test_full_size_is_the_benchmarks_load(seed: int) -> None:
    full = universe(seed)
    triangles = full.triangles()
    shared = Counter(symbol for triangle in triangles for symbol in triangle.pairs)
    assert (len(full.pairs), len(full.assets), len(triangles)) == (1228, 550, 1331)
    assert shared["EUR/USD"] == 432
    assert sum(traits.activity for traits in full.traits.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("pairs", "at_least"), [(3, 1), (12, 10), (40, 60), (200, 400)])
def test_a_small_universe_still_has_many_triangles(pairs: int, at_least: int) -> None:
    small = universe(7, pairs)
    assert len(small.pairs) == pairs
    assert len(small.triangles()) >= at_least
    assert {asset for pair in small.pairs.values() for asset in (pair.base, pair.quote)} == set(small.assets)


@pytest.mark.parametrize("pairs", [2, MAX_PAIRS + 1])
def test_impossible_sizes_are_refused(pairs: int) -> None:
    with pytest.raises(ValueError, match="3 to 1228 pairs"):
        universe(7, pairs)


def test_listings_have_the_varieties_of_the_real_exchange() -> None:
    pairs = universe(7).pairs.values()
    assert {pair.qty_precision for pair in pairs} == {5, 8}
    assert {pair.price_precision for pair in pairs} >= set(range(11))
    assert any(pair.tick_step == 5 for pair in pairs), "some prices go in fives of the last decimal"
    assert any(pair.lot_step == 5 for pair in pairs)
    assert universe(7).pairs["BTC/JPY"].price_precision == 0
    assert any(traits.levels < 10 for traits in universe(7).traits.values()), "some books are thin"
    assert sum(traits.levels > 1000 for traits in universe(7).traits.values()) >= 20


def test_prices_keep_enough_digits_to_be_quoted() -> None:
    full = universe(7)
    for pair in full.pairs.values():
        price = full.usd_value[pair.base] / full.usd_value[pair.quote]
        assert price * 10**pair.price_precision / pair.tick_step > 500, pair.symbol


def test_numbers_below_a_ten_thousandth_have_an_exponent() -> None:
    assert number(Decimal("0.00000001")) == "1e-08"
    assert number(Decimal("0.00005")) == "5e-05"
    assert number(Decimal("0.000025")) == "2.5e-05"
    assert number(Decimal("0.0001")) == "0.0001"
    assert number(Decimal("50")) == "50"
    assert number(Decimal("0.50")) == "0.5"


def test_a_pair_prints_in_the_recorded_order() -> None:
    pair = PairListing(
        symbol="BTC/USD",
        base="BTC",
        quote="USD",
        price_precision=1,
        price_increment=Decimal("0.1"),
        qty_precision=8,
        qty_increment=Decimal("0.00000001"),
        qty_min=Decimal("0.0001"),
        cost_min=Decimal("0.5"),
        cost_precision=5,
        position_limit=250,
    )
    # PROTOCOL 1.6, as observed.
    assert pair.json() == (
        '{"symbol":"BTC/USD","base":"BTC","quote":"USD","status":"online","qty_precision":8,'
        '"qty_increment":1e-08,"price_precision":1,"cost_precision":5,"marginable":true,"has_index":true,'
        '"cost_min":0.5,"margin_initial":0.2,"position_limit_long":250,"position_limit_short":200,'
        '"tick_size":0.1,"price_increment":0.1,"qty_min":0.0001}'
    )
    assert orjson.loads(pair.json())["qty_increment"] == 1e-8


def test_an_increment_off_its_grid_is_refused() -> None:
    pair = universe(7, 3).pairs["BTC/USD"]
    with pytest.raises(ValueError, match=r"price_increment 0\.05"):
        PairListing("BTC/USD", "BTC", "USD", 1, Decimal("0.05"), 8, pair.qty_increment, pair.qty_min, pair.cost_min, 5)
