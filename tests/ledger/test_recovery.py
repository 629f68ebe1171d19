"""What a plan that was cut off is worth, by what the journal says of it (RELIABILITY 9, TRADING 23)."""

from collections.abc import Iterator, Mapping
from decimal import Decimal as D
from typing import Any

import pytest

from arbitrade_core.money import exact
from arbitrade_core.recovery import Journalled, rebuilt, value_of_interrupted

NOW = 1_700_000_000_000_000_000


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def leg(side: str, spends: str, gets: str, limit: str, currency: str = "quote") -> dict[str, Any]:
    symbol = f"{gets}/{spends}" if side == "buy" else f"{spends}/{gets}"
    fee = {"rate": "0.01", "currency": currency, "role": "taker"}
    return {"symbol": symbol, "side": side, "spends": spends, "gets": gets, "limit": limit, "fee": fee}


def plan(marks: Mapping[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """EUR > BTC > ETH > EUR; a euro is worth 1.1 USD."""
    legs = [
        leg("buy", "EUR", "BTC", "40000"),
        leg("buy", "BTC", "ETH", "0.03"),
        leg("sell", "ETH", "EUR", "1250", "either"),
    ]
    told = {} if marks is None else {"marks": dict(marks)}
    figures = {
        "id": "p1",
        "strategy": "triangular",
        "kind": "cycle",
        "key": "k",
        "start_asset": "EUR",
        "start": "1000",
        "notional_valued": "1100",
    }
    return {**figures, "legs": legs, "decided_ns": NOW - 5, **told, **changes}


def fill(order: str, side: str, spends: str, gets: str, rows: Mapping[str, str]) -> dict[str, Any]:
    return {
        "plan": "p1", "desk": "desk", "order": order, "exec_id": f"{order}-1", "side": side,
        "symbol": f"{gets}/{spends}", "spends": spends, "gets": gets,
        "qty": "0.02", "price": "40000", "cost": "800", "fee": "8", "fee_asset": "EUR",
        "rows": [{"asset": asset, "amount": amount, "fee": "0"} for asset, amount in rows.items()],
    }  # fmt: skip


def test_at_the_marks_of_its_decision() -> None:
    marks = {"EUR": "1.1", "BTC": "44500"}
    assert value_of_interrupted(plan(marks), {"EUR": D(-808), "BTC": D("0.02")}) == D("-888.8") + D(890)


def test_without_a_mark_at_what_its_own_legs_would_bring_home_at_their_limits() -> None:
    changes = {"EUR": D(-808), "BTC": D("0.02")}
    value = value_of_interrupted(plan({"EUR": "1.1"}), changes)
    # 0.02 BTC buy 0.02 / 0.0303 ETH, each sold for 1250 less the fee; it may be charged in either currency.
    home = D("0.02") * 1250 * D("0.99") * D("1.1")
    assert abs((value + D("888.8")) * D("0.0303") * D("1.01") - home) < D("1e-20")
    assert value_of_interrupted(plan(), changes) == value


def test_what_no_leg_spends_counts_nothing() -> None:
    assert value_of_interrupted(plan(), {"EUR": D(-1), "XYZ": D(5)}) == D("-1.1")


def test_the_desk_that_the_journal_tells_of() -> None:
    accounts = [
        {"asset": "EUR", "account": "cash", "amount": "2000"},
        {"asset": "EUR", "account": "external", "amount": "-2000"},
    ]
    bought = fill("p1-1", "buy", "EUR", "BTC", {"EUR": "-808", "BTC": "0.02"})
    marks = {"EUR": "1.1", "BTC": "44000"}
    found = rebuilt(
        Journalled(
            balances={"accounts": accounts},
            late_fills=[bought],
            late_plans={"p1": "triangular"},
            open_plans=[plan(marks), plan(marks, id="p2")],
            fills=[bought],
            open_orders=[],
            past=[],
            high_water={"desk": "desk", "valuation_asset": "USD", "high_water_valued": "2300"},
        ),
        "desk",
        NOW,
    )
    held = {(asset, account): amount for asset, account, amount in found.accounts}
    assert (held["EUR", "cash"], held["BTC", "residue"]) == (D(1192), D("0.02"))
    assert [past.value for past in found.past] == [D("-8.8"), D(0)], "nothing was sent of the second"
    assert [data["profit_valued"] for _, data in found.interrupted] == ["-8.8", "0"]
    assert found.high_water is not None
    assert found.high_water.amount == D(2300)
