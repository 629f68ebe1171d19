"""Kraken's listing as the core's assets and pairs."""

from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from arbitrade_core.domain import PairStatus
from arbitrade_core.errors import ProtocolError
from arbitrade_kraken.instrument import read_instruments, read_pair
from arbitrade_kraken.rest import parse_asset_pairs
from arbitrade_triangular.bruteforce import every_cycle
from arbitrade_triangular.index import cycles
from tests.kraken.exchange import Bench, instrument


def test_the_recorded_listing_is_read_completely(shared: Path) -> None:
    data = (shared / "instrument-2024-04-03.json").read_bytes()
    bench = Bench().start()
    bench.open(1)
    bench.frame(1, data)
    assert len(bench.market.pairs) == 683
    assert sum(pair.status is PairStatus.ONLINE for pair in bench.market.pairs) == 672
    assert len(bench.assets) == 296
    assert bench.fault_kinds() == {"status_not_first": 1}
    for entry in orjson.loads(data)["data"]["pairs"]:
        pair = bench.market.pairs[bench.id(entry["symbol"])]
        assert pair.tick == pair.price_unit
        assert pair.qty_decimals in (5, 8)


def test_the_recorded_listing_has_807_triangles_over_its_online_pairs(shared: Path) -> None:
    bench = Bench().start()
    bench.open(1)
    bench.frame(1, (shared / "instrument-2024-04-03.json").read_bytes())
    market = bench.market
    everywhere = frozenset(asset for pair in market.pairs for asset in (pair.base, pair.quote))
    indexed = cycles(market, everywhere)
    assert len({frozenset(leg >> 1 for leg in cycle.legs) for cycle in indexed}) == 807
    assert {cycle.key: cycle.legs for cycle in indexed} == every_cycle(market, everywhere)


def test_numbers_are_exact_in_every_form() -> None:
    text = orjson.dumps(instrument("A/B")).replace(b"1e-8", b"1e-08").replace(b'"qty_min":0.0001', b'"qty_min":5e-05')
    pair = read_pair(text.replace(b'"cost_min":0.5', b'"cost_min":"0.50"'))
    assert pair.lot == Decimal("0.00000001")
    assert pair.qty_min == Decimal("0.00005")
    assert pair.cost_min == Decimal("0.5")


def test_an_increment_may_be_coarser_than_the_precision() -> None:
    pair = read_pair(orjson.dumps(instrument("A/B", price_precision=2, price_increment=0.05)))
    assert (pair.price_decimals, pair.tick, pair.tick_multiple) == (2, Decimal("0.05"), 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"price_increment": 0.05},
        {"price_increment": 0},
        {"price_increment": -0.1},
        {"qty_increment": "NaN"},
        {"price_precision": -1},
        {"qty_precision": 40},
        {"qty_min": "1e999"},
        {"cost_min": True},
        {"status": None},
        {"symbol": "A-B"},
    ],
)
def test_a_malformed_entry_names_itself_and_spares_the_others(wrong: dict[str, object]) -> None:
    data = orjson.dumps(
        {"assets": [{"id": "A", "precision": "x"}], "pairs": [instrument("A/B") | wrong, instrument("C/D")]}
    )
    listing = read_instruments(data)
    assert [pair.symbol for pair in listing.pairs] == ["C/D"]
    assert len(listing.bad) == 2
    assert listing.bad[1].symbol == wrong.get("symbol", "A/B")


def test_an_unknown_status_is_listed_as_such() -> None:
    listing = read_instruments(orjson.dumps({"pairs": [instrument("A/B", status="frozen")]}))
    assert listing.pairs[0].status is PairStatus.UNKNOWN
    assert "A/B" in listing.oddities[0]


def test_data_that_is_no_listing_is_an_error() -> None:
    for data in (b"", b"[]", b'{"pairs":{}}', b"\xff"):
        with pytest.raises(ProtocolError):
            read_instruments(data)


def test_the_recorded_rest_listing_is_read(shared: Path) -> None:
    pairs = parse_asset_pairs((shared / "assetpairs-5-2026-07.json").read_bytes())
    assert set(pairs) == {"SOLUSD", "XDGUSD", "XETHZUSD", "XXBTZUSD", "XXRPZUSD"}
    assert pairs["XXBTZUSD"].tick_size == Decimal("0.1")
    assert pairs["XXBTZUSD"].ordermin == Decimal("0.00005")
    assert pairs["XDGUSD"].cost_decimals == 9
