"""RISK: what every risk check must hold."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

from arbitrade_core.domain import Ns, PairStatus, Plan, PlanKind
from arbitrade_core.money import exact
from arbitrade_core.spi import DeskView, Refused, RiskCheck
from arbitrade_core.testing.builders import QUIET, START_NS, TRIANGLE, S, cycle_plan
from arbitrade_core.testing.contracts.rules import Contract, holds, holds_name, rule
from arbitrade_core.testing.desk import FakeDesk
from arbitrade_core.testing.guard import watched

type Scene = tuple[str, FakeDesk, Plan]
"""what it is, the desk, and the plan it is asked about"""


class RiskCheckContract(Contract[RiskCheck]):
    KIND = "risk check"
    per_call_us = 100.0
    """most that one call may cost, in reference microseconds: a choice, wide of what shipped checks cost"""

    @rule("RISK-01", source="DESIGN 3")
    def test_risk_01_has_a_name(self) -> None:
        """It has a name: refusals, alerts and `risk.required` speak of it by that."""
        holds_name(self.make(), self.KIND)

    @rule("RISK-02", source="DESIGN 3, RELIABILITY 14")
    def test_risk_02_answers_none_or_refused(self) -> None:
        """It answers None or Refused, whatever stands before it: another answer counts as a fault and refuses all."""
        check = self.make()
        for what, answer in answers(check):
            holds(
                answer is None or isinstance(answer, Refused),
                f"{what}: answered {answer!r}; answer None or Refused(self.name, reason)",
            )

    @rule("RISK-03", source="RELIABILITY 14, TRADING 22")
    def test_risk_03_never_raises(self) -> None:
        """It never raises: no books, no fees, no marks, no money. What it cannot know it refuses, in words."""
        check = self.make()
        for what, desk, plan in scenes():
            try:
                ask(check, plan, desk, desk.now)
            except Exception as error:  # noqa: BLE001 - that it raises at all is what is looked for
                holds(False, f"{what}: raised {type(error).__name__}: {error}")

    @rule("RISK-04", source="DESIGN 3")
    def test_risk_04_refuses_in_its_own_name_with_a_reason(self) -> None:
        """A refusal bears its own name and a reason of one line: operators read it under "why no trade"."""
        check = self.make()
        for what, answer in answers(check):
            if isinstance(answer, Refused):
                holds(answer.check == check.name, f"{what}: refused as {answer.check!r}, its name is {check.name!r}")
                words = answer.reason.strip()
                holds(
                    words and "\n" not in words and words != answer.check,
                    f"{what}: the reason is {answer.reason!r}; say the figure, the limit and the currency in one line",
                )

    @rule("RISK-05", source="RELIABILITY 11")
    def test_risk_05_is_deterministic(self) -> None:
        """Asked again, or asked of another one made alike, the answer is the same: a replay must decide the same."""
        one, other = self.make(), self.make()
        for what, desk, plan in scenes():
            first = ask(one, plan, desk, desk.now)
            holds(ask(one, plan, desk, desk.now) == first, f"{what}: asked twice, the answer changed from {first!r}")
            holds(ask(other, plan, desk, desk.now) == first, f"{what}: one made alike does not answer {first!r}")

    @rule("RISK-06", source="DESIGN 3")
    def test_risk_06_changes_nothing(self) -> None:
        """It only reads: books, balances and plans are as they were."""
        check = self.make()
        for what, desk, plan in scenes():
            before = desk.fingerprint()
            ask(check, plan, desk, desk.now)
            holds(desk.fingerprint() == before, f"{what}: the desk or its market was changed")

    @rule("RISK-07", source="STYLE 9")
    def test_risk_07_does_no_io_and_reads_no_clock(self) -> None:
        """No I/O, no clock, no chance, no threads: time is handed to it as `now`."""
        check = self.make()
        for _, desk, plan in scenes():
            ask(check, plan, desk, desk.now)  # what is imported when first used is read from disk
        for what, desk, plan in scenes():
            with watched() as seen:
                ask(check, plan, desk, desk.now)
            holds(not seen, f"{what}: called {seen.first}")

    @rule("RISK-08", source="TRADING 4")
    def test_risk_08_rests_until_a_time_to_come(self) -> None:
        """`until_ns`, when it gives one, lies ahead: a time that has come would be asked about on every message."""
        check = self.make()
        for what, desk, plan in scenes():
            answer = ask(check, plan, desk, desk.now)
            if isinstance(answer, Refused) and answer.until_ns is not None:
                holds(answer.until_ns > desk.now, f"{what}: until_ns is {answer.until_ns}, now is {desk.now}")

    @rule("RISK-09", source="DESIGN 3")
    def test_risk_09_is_quick(self) -> None:
        """A call stays within its budget: the gate stands between a candidate and its first order."""
        check, desk = self.make(), FakeDesk()
        plan = cycle_plan(desk.market)
        self.judge_cost(lambda: ask(check, plan, desk, desk.now), self.per_call_us)


def ask(check: RiskCheck, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
    """As the gate asks: under exact arithmetic."""
    with exact():
        return check.check(plan, desk, now)


def answers(check: RiskCheck) -> Iterator[tuple[str, object]]:
    for what, desk, plan in scenes():
        yield what, ask(check, plan, desk, desk.now)


def scenes() -> Iterator[Scene]:
    """Desks and plans from everyday to absurd, always the same ones."""
    for what, change in _CHANGES.items():
        desk = FakeDesk()
        plan = change(desk, cycle_plan(desk.market))
        yield what, desk, plan


def _empty_books(desk: FakeDesk, plan: Plan) -> Plan:
    for symbol in TRIANGLE:
        desk.market.empties(symbol)
    return plan


def _quarantined(desk: FakeDesk, plan: Plan) -> Plan:
    for symbol in TRIANGLE:
        desk.market.breaks(symbol)
    return plan


def _one_offline(desk: FakeDesk, plan: Plan) -> Plan:
    desk.market.stops("ETH/BTC", PairStatus.DELISTED)
    return plan


def _no_fees(desk: FakeDesk, plan: Plan) -> Plan:
    desk.knows_no_fees()
    return plan


def _other_fees(desk: FakeDesk, plan: Plan) -> Plan:
    desk.charges("0.008", id="fees-2")
    return plan


def _no_marks(desk: FakeDesk, plan: Plan) -> Plan:
    for asset in ("USD", "BTC", "ETH"):
        desk.market.values(asset, None)
    desk.is_below_peak(None)
    return plan


def _other_currency(desk: FakeDesk, plan: Plan) -> Plan:
    desk.valuation_asset = "EUR"
    return replace(plan, valuation_asset="EUR")


def _poor(desk: FakeDesk, plan: Plan) -> Plan:
    desk.holds("USD", "0")
    return plan


def _halted(desk: FakeDesk, plan: Plan) -> Plan:
    desk.halts()
    desk.hears("unknown")
    return plan


def _unknown_ages(desk: FakeDesk, plan: Plan) -> Plan:
    for symbol in TRIANGLE:
        desk.market.lags(symbol, None)
        desk.market.is_silent(symbol, None)
        desk.market.is_unchanged(symbol, None)
    return plan


def _old_books(desk: FakeDesk, plan: Plan) -> Plan:
    desk.market.is_silent("ETH/BTC", 3_600_000)
    desk.market.lags("ETH/BTC", -3_600_000)
    return plan


def _busy(desk: FakeDesk, plan: Plan) -> Plan:
    for number in range(50):
        desk.opens(replace(plan, id=f"q{number}"))
    return plan


def _losing(desk: FakeDesk, plan: Plan) -> Plan:
    for _ in range(20):
        desk.ended("unwound", value="-1000", key=plan.key)
    desk.is_below_peak("20000")
    desk.bans("+ETH/BTC")
    return plan


def _later(desk: FakeDesk, plan: Plan) -> Plan:
    desk.ended("completed", value="1", key=plan.key)
    desk.passes(s=400 * 86_400)
    return plan


def _wide_spread(desk: FakeDesk, plan: Plan) -> Plan:
    desk.market.sees("BTC/USD", bid="1", ask="99999999", qty="0.0002")
    return plan


def _one_sided(desk: FakeDesk, plan: Plan) -> Plan:
    desk.market.shows("BTC/USD", bids=())
    desk.market.shows("ETH/USD", asks=())
    return plan


def _deep(desk: FakeDesk, plan: Plan) -> Plan:
    bid, ask = (Decimal(price) for price in QUIET["ETH/BTC"])
    steps = range(10)
    desk.market.shows(
        "ETH/BTC",
        bids=[(str(bid - step * Decimal("0.00001")), "1") for step in steps],
        asks=[(str(ask + step * Decimal("0.00001")), "1") for step in steps],
    )
    return plan


_CHANGES: dict[str, Callable[[FakeDesk, Plan], Plan]] = {
    "an everyday plan": lambda _, plan: plan,
    "a deep book": _deep,
    "empty books": _empty_books,
    "one-sided books": _one_sided,
    "an absurd spread": _wide_spread,
    "quarantined books": _quarantined,
    "a pair that is delisted": _one_offline,
    "no fees": _no_fees,
    "other fees than the plan's": _other_fees,
    "no marks": _no_marks,
    "an unknown valuation asset": _other_currency,
    "no money": _poor,
    "a halted desk": _halted,
    "ages that are not known": _unknown_ages,
    "a book an hour old": _old_books,
    "fifty open plans": _busy,
    "twenty losses": _losing,
    "a year later": _later,
    "a huge plan": lambda _, plan: replace(
        plan, start=plan.start * 10**12, notional_valued=plan.notional_valued * 10**12, edge_bps=Decimal(10**9)
    ),
    "a losing plan": lambda _, plan: replace(plan, profit_valued=Decimal(-5), edge_bps=Decimal(-50)),
    "a plan of nothing": lambda _, plan: replace(plan, start=Decimal(0), notional_valued=Decimal(0)),
    "a plan without a certificate": lambda _, plan: replace(plan, certificate=None),
    "a position of one leg": lambda _, plan: replace(plan, kind=PlanKind.POSITION, legs=plan.legs[:1]),
    "a sweep": lambda _, plan: replace(plan, kind=PlanKind.SWEEP, legs=plan.legs[-1:], start_asset="ETH"),
    "a plan decided a minute ago": lambda _, plan: replace(plan, decided_ns=START_NS - 60 * S),
}
