"""Fees that do not come from an account: where they come from, which class a pair is in, and never a guess."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from arbitrade_core.domain import FeeCurrency, FeeRole, FeeSnapshot, Pair
from arbitrade_core.errors import SettingsError
from arbitrade_kraken.fees import KrakenFees
from arbitrade_kraken.settings import KrakenSettings

NOW = 1_790_000_000_000_000_000


def pair(symbol: str) -> Pair:
    base, quote = symbol.split("/")
    return Pair(symbol, base, quote, 1, 8, Decimal("0.1"), Decimal("1e-8"), Decimal("0.0001"), Decimal("0.5"), 5)


PAIRS = [pair(symbol) for symbol in ("BTC/USD", "BTC/USDT", "USDT/USD", "EUR/USD", "WBTC/BTC", "NEW/USD", "USDNEW/USD")]


def fees(**settings: Any) -> FeeSnapshot:
    return KrakenFees(KrakenSettings(**settings)).snapshot(PAIRS, NOW)


def taker_bps(snapshot: FeeSnapshot) -> list[int]:
    return [int(snapshot.taker[pair.symbol].rate * 10_000) for pair in PAIRS]


def test_nothing_configured_is_an_error_that_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="ARBITRADE_KRAKEN__FEE_TIER"):
        fees()


def test_the_published_tier_by_class_of_the_base() -> None:
    snapshot = fees(fee_tier="tier-1")
    assert taker_bps(snapshot) == [80, 80, 20, 20, 20, 80, 80]
    assert snapshot.maker["BTC/USD"].rate == Decimal("0.0040")
    assert (snapshot.maker["BTC/USD"].role, snapshot.taker["BTC/USD"].role) == (FeeRole.MAKER, FeeRole.TAKER)
    assert snapshot.taker["BTC/USD"].currency is FeeCurrency.QUOTE
    assert "tier-1" in snapshot.source
    assert snapshot.as_of_ns == NOW


@pytest.mark.parametrize(
    ("tier", "maker", "taker"), [("2024-03/0", 25, 40), ("2024-03/50000", 14, 24), ("2024-03/500000000", 0, 5)]
)
def test_the_older_ladder_goes_by_names_that_say_so(tier: str, maker: int, taker: int) -> None:
    snapshot = fees(fee_tier=tier)
    assert snapshot.maker["BTC/USD"].rate * 10_000 == maker
    assert snapshot.taker["BTC/USD"].rate * 10_000 == taker
    assert "until 2026-07" in snapshot.source


def test_an_unknown_tier_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'tier-2' is no tier known here; it is one of tier-1, 2024-03/0"):
        fees(fee_tier="tier-2")


def test_rates_in_the_settings_and_unknown_classes_cost_the_crypto_fee() -> None:
    assert taker_bps(fees(fee_crypto_maker_bps=16, fee_crypto_taker_bps=26)) == [26] * 7
    some = fees(fee_crypto_maker_bps=16, fee_crypto_taker_bps=26, fee_stable_maker_bps=1, fee_stable_taker_bps=2)
    assert taker_bps(some) == [26, 26, 2, 2, 26, 26, 26]


def test_an_operator_can_override_the_dated_tables() -> None:
    snapshot = fees(
        fee_tier="tier-1",
        fee_stable_assets=["USDNEW"],
        fee_pegged_pairs=[],
        fee_stable_maker_bps=5,
        fee_stable_taker_bps=6,
    )
    assert taker_bps(snapshot) == [80, 80, 80, 80, 80, 80, 6]


TOML = """
as_of = 2026-11-01
fee_currency = "either"
stable_assets = ["USDT"]
[crypto]
maker_bps = 22.5
taker_bps = 38
[pegged]
maker_bps = -1
taker_bps = 3
[pairs."EUR/USD"]
maker_bps = 1
taker_bps = 2
"""


def test_a_schedule_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "fees.toml"
    file.write_text(TOML)
    snapshot = fees(fee_file=file)
    assert taker_bps(snapshot) == [38, 38, 38, 2, 3, 38, 38]
    assert snapshot.maker["BTC/USD"].rate == Decimal("0.00225")
    assert snapshot.maker["WBTC/BTC"].rate == Decimal("-0.0001")
    assert snapshot.taker["BTC/USD"].currency is FeeCurrency.EITHER
    assert snapshot.source == "file fees.toml (as of 2026-11-01)"
    assert snapshot.as_of_ns == NOW, "what an operator states does not grow stale"


def test_the_same_file_in_json_is_the_same_snapshot(tmp_path: Path) -> None:
    toml, json = tmp_path / "fees.toml", tmp_path / "fees.json"
    toml.write_text("[crypto]\nmaker_bps = 25\ntaker_bps = 40.0\n")
    json.write_text('{"crypto": {"maker_bps": 25.0, "taker_bps": 40}}')
    assert fees(fee_file=toml).id == fees(fee_file=json).id == fees(fee_crypto_maker_bps=25, fee_crypto_taker_bps=40).id
    json.write_text('{"crypto": {"maker_bps": 25.0, "taker_bps": 40.01}}')
    assert fees(fee_file=toml).id != fees(fee_file=json).id


def test_the_date_of_a_schedule_may_be_a_moment(tmp_path: Path) -> None:
    file = tmp_path / "fees.json"
    for text in ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00", "2026-11-01T01:00:00+01:00"):
        file.write_text('{"as_of": "%s", "crypto": {"maker_bps": 25, "taker_bps": 40}}' % text)  # noqa: UP031
        assert fees(fee_file=file).source == "file fees.json (as of 2026-11-01)"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.toml", "[stable]\nmaker_bps=1\ntaker_bps=1", "crypto: Field required"),
        ("a.toml", "[crypto]\nmaker_bps=1\ntaker_bps=-1", r"crypto\.taker_bps: .*greater than or equal to 0"),
        ("a.toml", "[crypto]\nmaker_bps=1\ntaker_bps=1\nfoo=1", r"crypto\.foo: Extra inputs"),
        ("a.toml", "{", "neither TOML nor"),
        ("a.json", "{", "neither TOML nor"),
        ("missing.toml", None, "cannot be read"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, name: str, content: str | None, complaint: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=complaint) as caught:
        fees(fee_file=file)
    assert str(file) in str(caught.value)


def test_the_id_follows_the_fees_and_nothing_else() -> None:
    first = KrakenFees(KrakenSettings(fee_tier="tier-1"))
    assert first.snapshot(PAIRS, NOW).id == first.snapshot(list(reversed(PAIRS)), NOW + 1).id
    assert first.snapshot(PAIRS, NOW).id != first.snapshot(PAIRS[1:], NOW).id
    assert first.snapshot(PAIRS, NOW).id != fees(fee_tier="tier-1", fee_currency="base").id


@pytest.mark.parametrize(
    "wrong",
    [
        {"fee_tier": "tier-1", "fee_crypto_maker_bps": 1, "fee_crypto_taker_bps": 1},
        {"fee_crypto_maker_bps": 1},
        {"fee_crypto_maker_bps": 1, "fee_crypto_taker_bps": -1},
        {"fee_file": "f.toml", "fee_stable_maker_bps": 1, "fee_stable_taker_bps": 1},
        {"fee_currency": "usd"},
        {"depth": 11},
        {"ws_url": "https://ws.kraken.com"},
        {"dead_after_ms": 10},
        {"unknown": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KrakenSettings(**wrong)
