"""The books of account by TRADING 23-26 and RELIABILITY 4, 5."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal as D
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Asset, Fill, LedgerRow, Order, Side
from arbitrade_core.errors import InvariantError
from arbitrade_core.ledger import REMEMBERED_FILLS, Account, Booked, Ledger, odd_rounding
from arbitrade_core.money import exact
from tests.ledger.fills import BTC_USD, executions, fill, order

RICH = {"USD": D(10**9), "BTC": D(10**6)}


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def opened() -> Ledger:
    ledger = Ledger("test")
    ledger.open(RICH)
    return ledger


def booked(ledger: Ledger, of: Order, execution: Fill) -> Booked:
    found = ledger.book_fill(of, execution)
    assert found is not None
    return found


def test_a_fill_moves_money_between_accounts_that_sum_to_zero() -> None:
    ledger = opened()
    buy = order(Side.BUY)
    assert booked(ledger, buy, fill(buy)).changes == {"USD": D("-100.1"), "BTC": D(1)}
    assert ledger.cash("USD") == RICH["USD"] - D("100.1")
    assert ledger.totals("USD") == {
        Account.CASH: RICH["USD"] - D("100.1"),
        Account.RESIDUE: D(0),
        Account.MARKET: D(100),
        Account.FEES: D("0.1"),
        Account.ROUNDING: D(0),
        Account.EXTERNAL: -RICH["USD"],
    }
    assert ledger.consistent()


def test_a_fee_in_the_base_asset_and_a_sell_are_booked_where_they_belong() -> None:
    ledger = opened()
    sell = order(Side.SELL)
    assert booked(ledger, sell, fill(sell, fee="0.002", fee_asset="BTC")).changes == {
        "USD": D(100), "BTC": D("-1.002"),
    }  # fmt: skip


def test_a_fee_in_a_third_asset_is_booked_there() -> None:
    ledger = opened()
    ledger.flow("KFEE", D(5), "deposit")
    buy = order(Side.BUY)
    assert booked(ledger, buy, fill(buy, fee="2", fee_asset="KFEE")).changes == {
        "USD": D(-100), "BTC": D(1), "KFEE": D(-2),
    }  # fmt: skip
    assert ledger.consistent()


@given(executions(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_reliability_5_fills_are_idempotent_and_order_independent(fills: list[tuple[Order, Fill]], rng: Random) -> None:
    with exact():
        told_once = opened()
        for of, execution in fills:
            told_once.book_fill(of, execution)
        told_often = opened()
        again = fills + [
            (of, replace(execution, rows=()) if rng.random() < 0.5 else execution) for of, execution in fills
        ]
        rng.shuffle(again)
        for of, execution in again:
            told_often.book_fill(of, execution)
        assert told_often.accounts() == told_once.accounts()
        assert told_often.plan_changes("p1") == told_once.plan_changes("p1")
        assert told_often.consistent()
        for asset in ("USD", "BTC"):
            assert sum(told_often.totals(asset).values()) == 0
            changed = sum((told_often.plan_changes(plan).get(asset, D(0)) for plan in ("p1", "p2")), D(0))
            assert told_often.cash(asset) - RICH[asset] == changed


def test_trading_25_books_the_exchanges_rows_and_puts_the_difference_to_rounding() -> None:
    ledger = opened()
    buy = order(Side.BUY)
    execution = fill(buy, qty="0.123456", price="81.2345", fee="0.02607", decimals=4)
    found = booked(ledger, buy, execution)
    assert found.changes == {"USD": D("-10.0550"), "BTC": D("0.1235")}
    assert found.rounding == {"USD": D("0.00004"), "BTC": D("-0.000044")}
    assert ledger.totals("USD")[Account.ROUNDING] == D("0.00004")
    assert ledger.consistent()
    assert odd_rounding(found, BTC_USD, {"USD": Asset("USD", 4), "BTC": Asset("BTC", 4)}.get) == []


def test_trading_25_a_difference_beyond_one_unit_is_told() -> None:
    ledger = opened()
    buy = order(Side.BUY)
    execution = replace(fill(buy), rows=(LedgerRow("USD", D(-100), D("0.1003")), LedgerRow("BTC", D(1))))
    (words,) = odd_rounding(booked(ledger, buy, execution), BTC_USD, {"USD": Asset("USD", 4)}.get)
    assert words.startswith("BTC/USD: the fill and the exchange's ledger differ by 0.0003 USD, more than 0.0001")
    same = replace(execution, exec_id="x2", rows=(LedgerRow("USD", D(-100), D("0.10001")),))
    assert odd_rounding(booked(ledger, buy, same), BTC_USD, lambda _: None) == [], "one unit of the pair's"


def test_rows_that_come_late_put_the_booking_right() -> None:
    ledger = opened()
    buy = order(Side.BUY)
    booked(ledger, buy, fill(buy, fee="0.12345"))
    assert booked(ledger, buy, fill(buy, fee="0.12345", decimals=2)).changes == {"USD": D("0.00345")}
    assert ledger.cash("USD") == RICH["USD"] - D("100.12")
    assert ledger.book_fill(buy, fill(buy, fee="0.12345")) is None


def test_old_fills_are_forgotten_in_order() -> None:
    ledger = opened()
    buy = order(Side.BUY)
    for number in range(REMEMBERED_FILLS + 1):
        booked(ledger, buy, fill(buy, number, qty="0.000001", fee="0"))
    assert ledger.book_fill(buy, fill(buy, 1, qty="0.000001", fee="0")) is None
    assert ledger.book_fill(buy, fill(buy, 0, qty="0.000001", fee="0")) is not None


def test_a_fill_of_another_order_is_refused() -> None:
    with pytest.raises(InvariantError, match="fill x1 is of order p1-2, not of p1-1"):
        opened().book_fill(order(Side.BUY, 1), fill(order(Side.BUY, 2)))


def test_trading_15_residue_is_set_aside_and_used() -> None:
    ledger = opened()
    ledger.to_residue("p1", "BTC", D("0.5"))
    assert (ledger.cash("BTC"), ledger.residue("BTC")) == (RICH["BTC"] - D("0.5"), D("0.5"))
    assert ledger.balances() == RICH, "the exchange sees both as one"
    ledger.use_residue("p2", "BTC", D("0.2"))
    assert ledger.residue("BTC") == D("0.3")
    assert ledger.consistent()


@pytest.mark.parametrize("amount", ["0", "-1", "0.6"])
def test_residue_that_is_not_there_cannot_be_used(amount: str) -> None:
    ledger = opened()
    ledger.to_residue("p1", "BTC", D("0.5"))
    with pytest.raises(InvariantError, match="residue used by p2"):
        ledger.use_residue("p2", "BTC", D(amount))


def test_trading_23_flows_are_external_and_no_plans_change() -> None:
    ledger = opened()
    ledger.flow("EUR", D(50), "deposit")
    ledger.flow("EUR", D(-20), "withdrawal")
    assert ledger.balances()["EUR"] == D(30)
    assert ledger.totals("EUR")[Account.EXTERNAL] == D(-30)
    assert ledger.plan_changes("p1") == {}


def test_trading_26_a_strategy_sees_its_allocation_alone() -> None:
    ledger, other = opened(), Ledger("test", "statarb")
    ledger.allocate(other, "USD", D(1_000))
    assert other.balances() == {"USD": D(1_000)}
    assert ledger.cash("USD") == RICH["USD"] - 1_000
    assert ledger.consistent()
    assert other.consistent()


def test_plan_changes_are_a_plans_own_and_can_be_forgotten() -> None:
    ledger = opened()
    buy, sell = order(Side.BUY), order(Side.SELL, 2)
    booked(ledger, buy, fill(buy))
    booked(ledger, sell, fill(sell, price="103"))
    other = order(Side.BUY, plan="p2")
    booked(ledger, other, fill(other))
    assert ledger.plan_changes("p1") == {"USD": D("2.8")}
    ledger.forget_plan("p1")
    assert ledger.plan_changes("p1") == {}
    assert ledger.plan_changes("p2") == {"USD": D("-100.1"), "BTC": D(1)}


def test_accounts_are_restored_as_they_were() -> None:
    ledger = opened()
    buy = order(Side.BUY)
    booked(ledger, buy, fill(buy, fee="0.12345", decimals=2))
    ledger.to_residue("p1", "BTC", D("0.5"))
    again = Ledger("test")
    again.restore(ledger.accounts())
    assert again.accounts() == ledger.accounts()
    for late in (again.restore, again.open):
        with pytest.raises(InvariantError, match="open already"):
            late({} if late == again.open else [])  # type: ignore[arg-type]


def test_books_that_do_not_balance_are_refused() -> None:
    with pytest.raises(InvariantError, match="restored accounts does not balance in USD: 1 is left over"):
        Ledger("test").restore([("USD", "cash", D(1))])


def test_problems_name_the_asset_and_the_amount() -> None:
    ledger = Ledger("test")
    ledger.flow("USD", D(-5), "withdrawal")
    assert ledger.problems() == ["cash of USD is -5, below 0"]
    assert not ledger.consistent()
