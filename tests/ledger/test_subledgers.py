"""A desk's ledgers together: they sum to zero, each strategy sees its allocation alone, funding twice moves nothing."""

from collections.abc import Iterator
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from arbitrade_core.domain import Side
from arbitrade_core.ledger import Account
from arbitrade_core.money import ZERO, exact
from arbitrade_core.subledgers import Ledgers
from tests.ledger.fills import fill, order

OPENING = {"BTC": D(10), "USD": D(1_000)}
amounts = st.integers(0, 40).map(lambda half: D(half) / 2)
allocations = st.dictionaries(st.sampled_from(["BTC", "ETH", "USD"]), amounts.filter(bool), max_size=3)


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact():
        yield


def opened() -> Ledgers:
    ledgers = Ledgers("desk")
    ledgers.open(OPENING)
    return ledgers


def fund(ledgers: Ledgers, allocation: dict[str, D], strategy: str = "mine") -> dict[str, D]:
    return ledgers.fund(strategy, allocation, lambda asset, of: ledgers.of(of).cash(asset))


def test_what_is_handed_over_is_the_strategys_and_nobody_elses() -> None:
    ledgers = opened()
    assert not ledgers.has_own("mine")
    assert ledgers.of("mine") is ledgers.main
    assert fund(ledgers, {"BTC": D(4), "USD": D(100)}) == {}
    assert ledgers.of("mine").balances() == ledgers.handed("mine") == {"BTC": D(4), "USD": D(100)}
    assert ledgers.main.balances() == {"BTC": D(6), "USD": D(900)}
    assert ledgers.balances() == OPENING, "the account as the exchange shows it is the sum"
    assert ledgers.of("others") is ledgers.main


def test_what_is_not_there_is_told_and_handed_over_when_it_comes() -> None:
    ledgers = opened()
    assert fund(ledgers, {"BTC": D(12), "ETH": D(1)}) == {"BTC": D(2), "ETH": D(1)}
    ledgers.main.flow("BTC", D(5), "deposit")
    assert fund(ledgers, {"BTC": D(12), "ETH": D(1)}) == {"ETH": D(1)}
    assert ledgers.main.cash("BTC") == 3


def test_only_what_is_free_is_moved_either_way() -> None:
    ledgers = opened()
    missing = ledgers.fund("mine", {"BTC": D(8)}, lambda asset, of: D(3))
    assert missing == {"BTC": D(5)}
    ledgers.fund("mine", {"BTC": D(1)}, lambda asset, of: D("0.5"))
    assert ledgers.handed("mine") == {"BTC": D("2.5")}
    ledgers.fund("mine", {"BTC": D(8)}, lambda asset, of: D(-1))
    assert ledgers.handed("mine") == {"BTC": D("2.5")}, "less than nothing is nothing"


def test_less_allocated_takes_back_no_more_than_was_handed() -> None:
    ledgers = opened()
    fund(ledgers, {"BTC": D(2)})
    sold = order(Side.SELL, plan="m")
    ledgers.of("mine").book_fill(sold, fill(sold, qty="1", price="100", fee="0"))
    ledgers.main.book_fill(order(Side.BUY), fill(order(Side.BUY), qty="1", price="100", fee="0"))
    fund(ledgers, {"USD": D(50)})
    assert ledgers.of("mine").balances() == {"USD": D(150)}, "1 BTC is back, 50 USD are new, 100 are what it made"
    assert ledgers.handed("mine") == {"BTC": D(1), "USD": D(50)}, "the other BTC was sold: it is owed"


def test_a_strategy_that_ends_leaves_all_it_made() -> None:
    ledgers, without = opened(), opened()
    fund(ledgers, {"BTC": D(2)})
    sold = order(Side.SELL, plan="m")
    for ledger in (ledgers.of("mine"), without.main):
        ledger.book_fill(sold, fill(sold))
    ledgers.close("mine")
    assert ledgers.accounts() == without.accounts(), "as if it had always been one ledger"
    assert not ledgers.has_own("mine")
    ledgers.close("mine")
    assert ledgers.consistent()


def test_residue_is_of_the_ledger_whose_plan_left_it() -> None:
    ledgers = opened()
    fund(ledgers, {"BTC": D(2)})
    ledgers.main.to_residue("p1", "BTC", D(1))
    assert ledgers.of("mine").residue("BTC") == 0
    assert ledgers.balance("BTC") == 10
    assert ("BTC", Account.RESIDUE, D(1)) in ledgers.totals()


@given(allocations, st.lists(allocations, max_size=4))
def test_the_same_allocation_again_moves_nothing_over_restarts_too(
    first: dict[str, D], later: list[dict[str, D]]
) -> None:
    with exact():
        ledgers = opened()
        for allocation in [first, *later]:
            missing = fund(ledgers, allocation)
            told = ledgers.accounts()
            assert fund(ledgers, allocation) == missing
            assert ledgers.accounts() == told
            again = Ledgers("desk")
            again.restore(told)
            assert again.accounts() == told
            assert fund(again, allocation) == missing
            assert again.accounts() == told
            ledgers = again
            assert ledgers.balances() == OPENING


class Books(RuleBasedStateMachine):
    """Two strategies and the main ledger, in any order of funding, trading, residue, flows and restarts."""

    @initialize()
    def open(self) -> None:
        with exact():
            self.ledgers = opened()
        self.total = dict(OPENING)
        self.number = 0

    @rule(strategy=st.sampled_from(["one", "two"]), allocation=allocations)
    def funds(self, strategy: str, allocation: dict[str, D]) -> None:
        with exact():
            others = {name: self.ledgers.of(name).accounts() for name in ("one", "two") if name != strategy
                      and self.ledgers.has_own(name)}  # fmt: skip
            missing = fund(self.ledgers, allocation, strategy)
            handed = self.ledgers.handed(strategy)
            for asset, amount in allocation.items():
                assert handed.get(asset, ZERO) + missing.get(asset, ZERO) >= amount
            for name, before in others.items():
                assert self.ledgers.of(name).accounts() == before

    @rule(strategy=st.sampled_from(["", "one", "two"]), side=st.sampled_from(list(Side)), qty=amounts.filter(bool))
    def trades(self, strategy: str, side: Side, qty: D) -> None:
        with exact():
            ledger = self.ledgers.of(strategy)
            spends, needs = ("USD", qty * 2 + 1) if side is Side.BUY else ("BTC", qty)
            if ledger.cash(spends) < needs:
                return
            self.number += 1
            of = order(side, self.number, f"p{self.number}")
            booked = ledger.book_fill(of, fill(of, qty=str(qty), price="2", fee="0.5"))
            assert booked is not None
            for asset, change in booked.changes.items():
                self.total[asset] = self.total.get(asset, ZERO) + change

    @rule(amount=amounts.filter(bool))
    def deposits(self, amount: D) -> None:
        with exact():
            self.ledgers.main.flow("ETH", amount, "deposit")
            self.total["ETH"] = self.total.get("ETH", ZERO) + amount

    @rule(strategy=st.sampled_from(["", "one", "two"]))
    def leaves_residue(self, strategy: str) -> None:
        with exact():
            ledger = self.ledgers.of(strategy)
            if ledger.cash("BTC") > 1:
                ledger.to_residue("p", "BTC", D(1))

    @rule(strategy=st.sampled_from(["one", "two"]))
    def closes(self, strategy: str) -> None:
        with exact():
            self.ledgers.close(strategy)

    @rule()
    def restarts(self) -> None:
        with exact():
            again = Ledgers("desk")
            again.restore(self.ledgers.accounts())
            assert again.accounts() == self.ledgers.accounts()
            self.ledgers = again

    @invariant()
    def sums_up(self) -> None:
        with exact():
            assert self.ledgers.problems() == []
            assert self.ledgers.balances() == {asset: amount for asset, amount in self.total.items() if amount}
            assert sum(amount for _, _, amount in self.ledgers.totals()) == 0


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
