"""Settings that cannot work are refused with the figures."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from arbitrade_core.settings import allowed, default, load_settings, variables
from arbitrade_core.settings.describe import markdown
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.settings import StatarbSettings

D = Decimal


def test_without_an_allocation_nothing_is_watched() -> None:
    assert StatarbSettings().universe() == ()


def test_auto_is_every_two_allocated_assets_both_ways() -> None:
    found = StatarbSettings(allocation={"ETH": D(2), "BTC": D(1), "SOL": D(10)}, quote="EUR").universe()
    assert len(found) == 6
    assert found[:2] == (SpreadPair("BTC/EUR", "ETH/EUR"), SpreadPair("ETH/EUR", "BTC/EUR"))


def test_listed_pairs_are_taken_as_they_stand() -> None:
    found = StatarbSettings(allocation={"ETH": D(2), "BTC": D(1)}, pairs=("ETH/USD:BTC/USD",)).universe()
    assert found == (SpreadPair("ETH/USD", "BTC/USD"),)
    assert str(found[0]) == "ETH/USD:BTC/USD"
    assert found[0].bases == ("ETH", "BTC")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"entry_z": 5.0}, "exit_z 0.5, entry_z 5.0, stop_z 4.0"),
        ({"exit_z": 2.0}, "each must be above the one before"),
        ({"half_life_min_bars": 100.0}, "half_life_min_bars 100.0 must be below half_life_max_bars 100.0"),
        ({"hedge_ratio_min": 3.0}, "hedge_ratio_min 3.0 must be below"),
        ({"max_lags": 24, "window_bars": 50}, "max_lags 24 is more than .* 23 lags in 50 bars"),
        ({"max_rotation_share": "1.01"}, "less than or equal to 1"),
        ({"allocation": {"ETH": 0}}, "greater than 0"),
        ({"alpha": 0.0}, "greater than 0"),
        ({"correction": "none"}, "benjamini-hochberg"),
        ({"pairs": ("auto", "ETH/USD:BTC/USD")}, "not both"),
        ({"pairs": ("ETH/USD:BTC/USD", "ETH/USD:BTC/USD")}, "names one twice"),
        ({"pairs": ("ETH/USD",)}, "write it like ETH/USD:BTC/USD"),
        ({"pairs": ("ETH/USD:ETH/EUR",)}, "one asset twice"),
        ({"pairs": ("ETH/USD:BTC/EUR",)}, "no quote asset in common"),
        ({"pairs": ("ETH/USD:BTC/USD",), "allocation": {"ETH": 1}}, "BTC is not in allocation"),
        ({"leverage": 2}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        StatarbSettings(**given)


def test_the_environment_says_it_in_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_STATARB__ALLOCATION", "ETH=2,BTC=0.1")
    monkeypatch.setenv("ARBITRADE_STATARB__PAIRS", "ETH/USD:BTC/USD,BTC/USD:ETH/USD")
    monkeypatch.setenv("ARBITRADE_STATARB__KALMAN_NOISE_BPS", "150")
    found = load_settings({"statarb": StatarbSettings}).sections["statarb"]
    assert found == StatarbSettings(
        allocation={"ETH": D(2), "BTC": D("0.1")},
        pairs=("ETH/USD:BTC/USD", "BTC/USD:ETH/USD"),
        kalman_noise_bps=150.0,
    )


def test_every_setting_says_what_it_is_and_may_be() -> None:
    for variable in variables(StatarbSettings, ("statarb",)):
        assert variable.field.description
        assert allowed(variable)
        assert default(variable) is not None


def test_the_page_lists_them_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "statarb.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in markdown({"statarb": StatarbSettings}).splitlines() if line.startswith("|")]
    assert [line for line in page if line.startswith("|")] == table
