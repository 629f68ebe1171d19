"""The gate: nothing passes unasked, whatever raises refuses, and limits hold over any sequence of plans."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.domain import Ns, Plan, Side
from arbitrade_core.errors import InvariantError, PluginError
from arbitrade_core.risk.checks import required_checks, shipped_checks
from arbitrade_core.risk.gate import GATE, Approved, Gate
from arbitrade_core.settings import RiskSettings
from arbitrade_core.spi import DeskView, Refused
from tests.risk.worlds import HOUR, MS, NOW, FakeDesk, cycle, planned


@dataclass
class Check:
    """Answers what it is told, and remembers that it was asked."""

    name: str
    answer: object = None
    asked: int = 0

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value]


def review(gate: Gate, plan: Plan | None = None, desk: FakeDesk | None = None) -> Approved | Refused:
    return gate.review(plan or cycle(), desk or FakeDesk(), NOW)


def refused_by(gate: Gate, plan: Plan | None = None, desk: FakeDesk | None = None) -> Refused:
    verdict = review(gate, plan, desk)
    assert isinstance(verdict, Refused)
    return verdict


def test_an_approval_names_the_checks_it_passed_in_order() -> None:
    verdict = review(Gate([Check("b"), Check("a")], {"a"}))
    assert isinstance(verdict, Approved)
    assert (verdict.plan, verdict.checks) == (cycle(), ("b", "a"))


def test_nobody_else_makes_an_approval() -> None:
    with pytest.raises(InvariantError, match="'p1' was made outside the risk gate"):
        Approved(cycle(), ())
    with pytest.raises(InvariantError):
        Approved(cycle(), (), mint=object())
    good = review(Gate([], ()))
    assert isinstance(good, Approved)
    with pytest.raises((InvariantError, ValueError, TypeError)):
        replace(good, plan=cycle(10**6))
    with pytest.raises(AttributeError):
        good.plan = cycle(10**6)  # type: ignore[misc]
    assert copy.copy(good) == good


def test_the_first_refusal_ends_the_review() -> None:
    said, later = Check("first", Refused("first", "no")), Check("later")
    assert refused_by(Gate([said, later], ())) == Refused("first", "no")
    assert (said.asked, later.asked) == (1, 0)


def test_a_missing_required_check_refuses_everything_and_says_which() -> None:
    asked = Check("there")
    gate = Gate([asked], {"there", "gone", "lost"})
    assert gate.missing == ("gone", "lost")
    assert refused_by(gate) == Refused(GATE, "required checks are missing: gone, lost")
    assert asked.asked == 0


def test_a_check_that_raises_refuses_and_is_reported() -> None:
    faults: list[tuple[str, BaseException]] = []
    gate = Gate([Check("odd", KeyError("x"))], (), lambda name, error: faults.append((name, error)))
    assert refused_by(gate) == Refused("odd", "the check failed: KeyError: 'x'")
    ((name, error),) = faults
    assert (name, type(error)) == ("odd", KeyError)


@pytest.mark.parametrize("answer", [True, False, "no", 0, NotImplemented])
def test_an_answer_that_is_none_of_both_refuses(answer: object) -> None:
    assert "answered" in refused_by(Gate([Check("odd", answer)], ())).reason


def test_a_plan_of_another_desk_is_refused() -> None:
    assert "desk 'other'" in refused_by(Gate([], ()), cycle(desk_id="other")).reason
    assert "in EUR" in refused_by(Gate([], ()), cycle(valuation_asset="EUR")).reason


def test_two_checks_of_one_name_are_refused() -> None:
    with pytest.raises(PluginError, match="named a"):
        Gate([Check("a"), Check("a")], ())


def test_a_quarantined_check_is_taken_out_and_a_required_one_then_missed() -> None:
    gate = Gate([Check("a"), Check("b")], {"a"})
    assert isinstance(review(gate.without({"b"})), Approved)
    assert refused_by(gate.without({"a"})).check == GATE


def test_the_last_look_asks_one_check_again() -> None:
    gate = Gate([Check("a", Refused("a", "no")), Check("b")], {"c"})
    desk = FakeDesk()
    assert gate.recheck("a", cycle(), desk, NOW) == Refused("a", "no")
    assert gate.recheck("b", cycle(), desk, NOW) is None
    assert gate.recheck("unknown", cycle(), desk, NOW) is None
    again = gate.recheck("c", cycle(), desk, NOW)
    assert again is not None
    assert "c" in again.reason


checks_list = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["pass", "refuse", "raise", "nonsense"])),
    max_size=6,
    unique_by=lambda one: one[0],
)


@given(checks_list, st.sets(st.sampled_from("abcdefg")))
def test_no_approval_without_every_required_check_and_every_yes(
    described: Sequence[tuple[str, str]], required: set[str]
) -> None:
    answers = {"pass": None, "refuse": Refused("x", "no"), "raise": RuntimeError("x"), "nonsense": 1}
    verdict = review(Gate([Check(name, answers[how]) for name, how in described], required))
    names = [name for name, _ in described]
    should = required <= set(names) and all(how == "pass" for _, how in described)
    assert isinstance(verdict, Approved) is should
    if isinstance(verdict, Approved):
        assert verdict.checks == tuple(names)


# --- adversary ---

LIMITS = RiskSettings(
    max_cycle_notional_valued=Decimal(300),
    max_asset_notional_valued=Decimal(700),
    max_pair_notional_valued=Decimal(500),
    max_total_notional_valued=Decimal(800),
    reserve={"USD": Decimal(100)},
    max_open_plans=4,
    cooldown_ms=1_000,
    max_plans_per_hour=6,
    max_loss_per_hour_valued=Decimal(50),
    max_loss_per_day_valued=Decimal(60),
    max_drawdown_valued=Decimal(80),
    max_consecutive_failures=3,
)

amounts = st.decimals("0.01", "600", places=2)
attacks = st.one_of(
    st.tuples(st.just("plan"), amounts, st.sampled_from("klmn"), st.booleans()),
    st.tuples(st.just("end"), st.integers(0, 3), st.decimals("-30", "10", places=2), st.booleans()),
    st.tuples(st.just("wait"), st.integers(0, 2_000), st.just(0), st.just(False)),
)


def attack(usd: Decimal, key: str, understated: bool) -> Plan:
    """A plan as a hostile detector would like it: sizes do not chain, and its own figures may be too small."""
    legs = (
        planned("BTC/USD", Side.BUY, usd / 50_000, Decimal(50_000)),
        planned("ETH/BTC", Side.BUY, usd / 2_000, Decimal("0.05")),
        planned("ETH/USD", Side.SELL, usd / 2_000, Decimal(2_500)),
    )
    return cycle(usd, key=key, legs=legs, notional_valued=Decimal("0.01") if understated else usd)


@given(st.lists(attacks, max_size=40))
def test_no_sequence_of_plans_exceeds_the_limits(steps: Sequence[tuple[str, object, object, bool]]) -> None:
    gate = Gate(shipped_checks(LIMITS), required_checks(LIMITS))
    desk = FakeDesk(balances={"USD": Decimal(900)})
    now = NOW
    for kind, first, second, flag in steps:
        if kind == "wait":
            assert isinstance(first, int)
            now += first * MS
            assert desk.fees is not None
        elif kind == "plan":
            assert isinstance(first, Decimal)
            plan = attack(first, str(second), flag)
            verdict = gate.review(plan, desk, now)
            if isinstance(verdict, Approved):
                assert_within_limits(desk, plan, now)
                # What the desk books is what the plan really takes, whatever it said of itself.
                desk.opens(replace(plan, notional_valued=plan.start), now)
        elif isinstance(first, int) and first < len(desk.open_plans):
            assert isinstance(second, Decimal)
            desk.open_plans.pop(first)
            desk.results.append((now, second))
            desk.balances["USD"] += second
            desk.consecutive_failures = desk.consecutive_failures + 1 if flag else 0
            total = sum((value for _, value in desk.results), Decimal(0))
            desk.fall = max(Decimal(0), -total)


def test_small_plans_pass_until_a_limit_is_reached() -> None:
    gate = Gate(shipped_checks(LIMITS), required_checks(LIMITS))
    desk = FakeDesk(balances={"USD": Decimal(900)})
    for key in "abcd":
        plan = attack(Decimal(100), key, understated=False)
        assert isinstance(gate.review(plan, desk, NOW), Approved)
        desk.opens(plan, NOW)
    assert refused_by(gate, attack(Decimal(100), "e", understated=False), desk).check == "open_plans"


def assert_within_limits(desk: FakeDesk, plan: Plan, now: Ns) -> None:
    """The limits, stated anew: by what every open leg would trade and hold at the marks."""
    plans = [*desk.open_plans, plan]
    assert plan.start <= LIMITS.max_cycle_notional_valued
    assert sum(one.start for one in plans) <= LIMITS.max_total_notional_valued
    for number in range(3):
        base_mark = Decimal(50_000) if number == 0 else Decimal(2_500)
        assert sum(one.legs[number].qty * base_mark for one in plans) <= LIMITS.max_pair_notional_valued
    assert sum(one.legs[1].get * Decimal(2_500) for one in plans) <= LIMITS.max_asset_notional_valued
    assert sum(one.legs[0].get * Decimal(50_000) for one in plans) <= LIMITS.max_asset_notional_valued
    assert desk.available("USD") - plan.start >= LIMITS.reserve["USD"]
    assert len(plans) <= LIMITS.max_open_plans
    assert not any(key == plan.key and now - at < LIMITS.cooldown_ms * MS for at, key in desk.approved)
    assert sum(now - at < HOUR for at, _ in desk.approved) + 1 <= LIMITS.max_plans_per_hour
    assert -sum((value for _, value in desk.results), Decimal(0)) < LIMITS.max_loss_per_hour_valued
    assert desk.consecutive_failures < LIMITS.max_consecutive_failures
