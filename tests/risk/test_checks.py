"""Every shipped check at its limit, just above it, and with something that is not known."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from arbitrade_core.domain import Plan, PlanKind, Severity, Side
from arbitrade_core.money import exact
from arbitrade_core.risk.account import (
    DAY_NS,
    BannedLegs,
    ConsecutiveFailures,
    DailyLoss,
    Drawdown,
    Fees,
    HourlyLoss,
    NotHalted,
    UnwindLoss,
)
from arbitrade_core.risk.checks import required_checks, shipped_checks
from arbitrade_core.risk.gate import Alarm
from arbitrade_core.risk.market import BookHealth, Depeg, ExchangeStatus, MaximumEdge, MinimumProfit
from arbitrade_core.risk.size import (
    AssetNotional,
    Cooldown,
    CycleNotional,
    OncePerAppearance,
    OpenPlans,
    PairNotional,
    PlanRate,
    Reserve,
    TotalNotional,
)
from arbitrade_core.settings import RiskSettings
from arbitrade_core.spi import Refused, RiskCheck
from tests.risk.worlds import HOUR, MARKS, MS, NOW, FakeDesk, FakeMarket, cycle, planned, snapshot

D = Decimal
HAIR = D("0.00000001")


def ask(check: RiskCheck, desk: FakeDesk | None = None, plan: Plan | None = None) -> Refused | None:
    with exact():
        return check.check(plan or cycle(), desk or FakeDesk(), NOW)


def no(check: RiskCheck, says: str, desk: FakeDesk | None = None, plan: Plan | None = None) -> Refused:
    refused = ask(check, desk, plan)
    assert refused is not None
    assert refused.check == check.name
    assert says in refused.reason, refused.reason
    return refused


def yes(check: RiskCheck, desk: FakeDesk | None = None, plan: Plan | None = None) -> None:
    assert ask(check, desk, plan) is None


# --- what is seen ---

HEALTH = BookHealth(max_age_ms=3000, max_lag_ms=1000, max_skew_ms=500, max_unchanged_ms=10_000)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ({"down": {1}}, "ETH/BTC: no live, verified book"),
        ({"alive_ns": {0: None}}, "BTC/USD: no connection"),
        ({"alive_ns": {2: 3000 * MS}}, None),
        ({"alive_ns": {2: 3001 * MS}}, "ETH/USD: book age 3001 ms, limit 3000 ms"),
        ({"alive_ns": {2: 2600 * MS}, "lag_ns": {2: 400 * MS}}, None),
        ({"alive_ns": {2: 2601 * MS}, "lag_ns": {2: 400 * MS}}, "book age 3001 ms"),
        ({"alive_ns": {2: 3001 * MS}, "lag_ns": {2: -400 * MS}}, "book age 3001 ms"),
        ({"lag_ns": {0: None}}, "BTC/USD: feed lag is not known"),
        ({"lag_ns": dict.fromkeys(range(3), 1000 * MS)}, None),
        ({"lag_ns": dict.fromkeys(range(3), 1001 * MS)}, "feed lag 1001 ms, limit 1000 ms"),
        ({"lag_ns": dict.fromkeys(range(3), -1001 * MS)}, "feed lag -1001 ms"),
        ({"lag_ns": {0: 250 * MS, 1: -250 * MS}}, None),
        ({"lag_ns": {0: 250 * MS, 1: -251 * MS}}, "differs by 501 ms between legs, limit 500 ms"),
        ({"changed_ns": {1: 10_000 * MS}}, None),
        ({"changed_ns": {1: 10_001 * MS}}, "ETH/BTC: unchanged for 10001 ms"),
        ({"changed_ns": {1: None}}, "last change is not known"),
    ],
)
def test_book_health(seen: dict[str, Any], says: str | None) -> None:
    desk = FakeDesk(FakeMarket(**seen))
    yes(HEALTH, desk) if says is None else no(HEALTH, says, desk)


def test_quiet_books_are_healthy_unless_a_limit_is_set() -> None:
    yes(replace(HEALTH, max_unchanged_ms=None), FakeDesk(FakeMarket(changed_ns={1: None, 2: 10**15})))


@pytest.mark.parametrize("status", ["maintenance", "cancel_only", "post_only", "unknown", ""])
def test_nothing_trades_unless_the_exchange_is_online(status: str) -> None:
    yes(ExchangeStatus())
    no(ExchangeStatus(), repr(status), FakeDesk(exchange_status=status))


def test_an_edge_beyond_belief_is_refused_and_alarmed() -> None:
    check = MaximumEdge(D(500))
    yes(check, plan=cycle(edge_bps=D(500)))
    refused = no(check, "edge 500.00000001 bps", plan=cycle(edge_bps=D(500) + HAIR))
    assert isinstance(refused, Alarm)
    assert refused.severity is Severity.CRITICAL


def test_minimum_profit_is_for_cycles() -> None:
    check = MinimumProfit(D("0.5"))
    yes(check, plan=cycle(profit_valued=D("0.5")))
    no(check, "expected profit 0.49 USD, at least 0.5 USD", plan=cycle(profit_valued=D("0.49")))
    yes(check, plan=cycle(profit_valued=D(-1), kind=PlanKind.SWEEP))


def stable(rate: str) -> FakeDesk:
    return FakeDesk(FakeMarket(marks=MARKS | {"USDT": D(rate)}))


STABLE_PLAN = cycle(legs=(planned("USDT/USD", Side.BUY, D(100), D("1.0")),))


@pytest.mark.parametrize(("rate", "fine"), [("1.01", True), ("0.99", True), ("1.01000001", False), ("0.98999", False)])
def test_a_stablecoin_off_its_peg_is_refused_where_a_plan_uses_it(rate: str, fine: bool) -> None:
    check = Depeg({"USDT": "USD"}, D(100))
    yes(check, stable(rate))
    if fine:
        yes(check, stable(rate), STABLE_PLAN)
    else:
        assert isinstance(no(check, "off its peg, limit 100 bps", stable(rate), STABLE_PLAN), Alarm)


def test_a_stablecoin_without_a_price_is_refused() -> None:
    desk = FakeDesk()
    del desk.market.marks["USDT"]
    no(Depeg({"USDT": "USD"}, D(100)), "USDT has no price in USD", desk, STABLE_PLAN)
    yes(Depeg({"USD": "USD"}, D(100)), desk)


# --- how much ---


def test_cycle_notional() -> None:
    yes(CycleNotional(D(100)))
    no(CycleNotional(D(100)), "would be 100.0001 USD, limit 100 USD", plan=cycle(D(100) + HAIR))
    no(CycleNotional(D(100)), "limit 100 USD", plan=cycle(100, notional_valued=D(101)))


def test_a_plans_own_figure_does_not_make_it_smaller() -> None:
    no(CycleNotional(D(100)), "limit 100 USD", plan=cycle(101, notional_valued=D(1)))


def test_total_notional_counts_open_plans() -> None:
    desk = FakeDesk(open_plans=[cycle(60), cycle(40)])
    yes(TotalNotional(D(200)), desk)
    no(TotalNotional(D(200)), "notional of all open plans would be 201 USD", desk, cycle(101))


def test_pair_notional_counts_every_open_leg_on_the_pair() -> None:
    desk = FakeDesk(open_plans=[cycle(64)])  # 0.001 BTC on BTC/USD, 0.016 ETH on each of the others
    yes(PairNotional(D(100)), desk, cycle(64))
    no(PairNotional(D("99.99")), "notional on BTC/USD would be 100 USD", desk, cycle(64))


def test_asset_notional_takes_amounts_at_their_worst() -> None:
    desk = FakeDesk(open_plans=[cycle(64)])
    held = D("0.016") * D(2_600) * D("1.004")  # USD at the end of the cycle is less than at its start
    assert held < 64
    yes(AssetNotional(D(128)), desk, cycle(64))
    no(AssetNotional(D("127.9")), "exposure to USD would be 128 USD", desk, cycle(64))
    eth = D("0.016") * D("1.004") * D(2_500)
    big_usd = FakeDesk(FakeMarket(marks=MARKS | {"USD": D("0.001")}))
    assert ask(AssetNotional(D("50.2")), big_usd, cycle(64)) is None  # 0.001 BTC with its fee
    no(AssetNotional(D("50.19")), "exposure to BTC would be 50.2 USD", big_usd, cycle(64))
    assert eth < D("50.2")


def test_asset_notional_expects_the_better_price_a_sale_may_get_above_its_limit() -> None:
    sale = replace(planned("ETH/USD", Side.SELL, D(1), D(2_000)), top=D(2_500), average=D(2_400))
    plan = cycle(1, start_asset="ETH", legs=(sale,))
    yes(AssetNotional(D(2_510)), plan=plan)  # 2500 USD with the fee
    no(AssetNotional(D("2509.99")), "exposure to", plan=plan)
    usd = FakeDesk(FakeMarket(marks=MARKS | {"ETH": D(1)}))
    no(AssetNotional(D("2509.99")), "exposure to USD would be 2510 USD", usd, plan)


@pytest.mark.parametrize("check", [CycleNotional(D(10**9)), TotalNotional(D(10**9)), AssetNotional(D(10**9))])
def test_what_has_no_price_is_refused(check: RiskCheck) -> None:
    desk = FakeDesk()
    del desk.market.marks["USD"]
    no(check, "USD has no price in USD", desk)


def test_a_pair_whose_base_has_no_price_is_refused() -> None:
    desk = FakeDesk()
    del desk.market.marks["ETH"]
    no(PairNotional(D(10**9)), "ETH has no price", desk)


def test_the_reserve_is_never_touched() -> None:
    desk = FakeDesk(balances={"USD": D(600)}, open_plans=[cycle(100)])
    yes(Reserve({"USD": D(400)}), desk, cycle(100))
    no(Reserve({"USD": D(400)}), "would leave 399.99999999 USD, reserve 400 USD", desk, cycle(D(100) + HAIR))
    no(Reserve({}), "would leave -1 USD", desk, cycle(501))


def test_open_plans() -> None:
    yes(OpenPlans(2), FakeDesk(open_plans=[cycle()]))
    no(OpenPlans(2), "2 plans open, limit 2", FakeDesk(open_plans=[cycle(), cycle()]))


def test_a_cycle_cools_down_alone() -> None:
    plan = cycle()
    yes(Cooldown(1000), FakeDesk(approved=[(NOW - 1000 * MS, plan.key), (NOW, "another")]))
    no(Cooldown(1000), "less than 1000 ms ago", FakeDesk(approved=[(NOW - 1000 * MS + 1, plan.key)]))
    yes(Cooldown(0), FakeDesk(approved=[(NOW, plan.key)]))


def test_trading_32_an_appearance_is_taken_once() -> None:
    plan = cycle()
    yes(OncePerAppearance(), FakeDesk(standing={plan.key: NOW}))
    yes(OncePerAppearance(), FakeDesk(standing={plan.key: NOW}, approved=[(NOW - 1, plan.key), (NOW, "another")]))
    yes(OncePerAppearance(), FakeDesk(approved=[(NOW, plan.key)]))
    no(OncePerAppearance(), "had a plan already", FakeDesk(standing={plan.key: NOW - 5}, approved=[(NOW, plan.key)]))


def test_plans_per_hour() -> None:
    yes(PlanRate(2), FakeDesk(approved=[(NOW - HOUR, "a"), (NOW, "b")]))
    no(PlanRate(2), "2 plans within the hour, limit 2", FakeDesk(approved=[(NOW - HOUR + 1, "a"), (NOW, "b")]))


# --- how the account stands ---


def test_a_halted_desk_refuses_with_its_reason() -> None:
    yes(NotHalted())
    no(NotHalted(), "halted: operator", FakeDesk(halted="operator"))


def test_fees_are_known_current_and_young() -> None:
    check = Fees(D(24))
    yes(check, FakeDesk(fees=snapshot(as_of_ns=NOW - 24 * HOUR)))
    no(check, "24.0 h old, limit 24 h", FakeDesk(fees=snapshot(as_of_ns=NOW - 24 * HOUR - 1)))
    no(check, "no fees are known", FakeDesk(fees=None))
    no(check, "priced with fees f1, in force are f2", FakeDesk(fees=snapshot(fees_id="f2")))
    no(check, "no fee is known for ETH/BTC", FakeDesk(fees=snapshot(symbols=("BTC/USD", "ETH/USD"))))


def test_a_banned_leg_rests_until_its_time() -> None:
    first = cycle().legs[0].leg
    yes(BannedLegs(), FakeDesk(bans={first.id: NOW, first.id ^ 1: NOW + 10**9}))
    no(BannedLegs(), "+BTC/USD rests for another 2.0 s", FakeDesk(bans={first.id: NOW + 2 * 10**9}))


MIDNIGHT = NOW - NOW % DAY_NS


def losing(at: int, loss: str) -> FakeDesk:
    return FakeDesk(results=[(at, -D(loss))], unwinds=[(at, D(loss))])


@pytest.mark.parametrize(
    ("check", "counts", "too_old"),
    [
        (HourlyLoss(D(50)), NOW - HOUR + 1, NOW - HOUR),
        (DailyLoss(D(50)), MIDNIGHT, MIDNIGHT - 1),
        (UnwindLoss(D(50)), MIDNIGHT, MIDNIGHT - 1),
    ],
)
def test_losses_stop_new_plans_once_they_reach_the_limit(check: RiskCheck, counts: int, too_old: int) -> None:
    yes(check, losing(counts, "49.99999999"))
    assert isinstance(no(check, "50 USD, limit 50 USD", losing(counts, "50")), Alarm)
    no(check, "50.0001 USD", losing(counts, "50.00001"))
    yes(check, losing(too_old, "1000"))


def test_gains_make_room_for_losses_within_the_day() -> None:
    yes(DailyLoss(D(50)), FakeDesk(results=[(NOW, D(30)), (NOW, D(-79))]))


def test_drawdown() -> None:
    check = Drawdown(D(500))
    yes(check, FakeDesk(fall=D("499.99")))
    no(check, "drawdown is 500 USD, limit 500 USD", FakeDesk(fall=D(500)))
    no(check, "not known", FakeDesk(fall=None))


def test_failures_in_a_row() -> None:
    yes(ConsecutiveFailures(5), FakeDesk(consecutive_failures=4))
    assert isinstance(no(ConsecutiveFailures(5), "5 plans failed", FakeDesk(consecutive_failures=5)), Alarm)


# --- all of them ---


def test_a_healthy_small_plan_passes_every_shipped_check() -> None:
    for check in shipped_checks(RiskSettings()):
        yes(check)


def test_every_limit_of_the_settings_reaches_one_check() -> None:
    built = [repr(check) for check in shipped_checks(RiskSettings())]
    others: dict[str, object] = {"reserve": {"BTC": 1}, "stablecoins": {"X": "Y"}, "max_unchanged_ms": 7}
    for name in RiskSettings.model_fields.keys() - {"required", "once_per_appearance"}:
        other = others.get(name) or getattr(RiskSettings(), name) + 1
        changed = [repr(check) for check in shipped_checks(RiskSettings.model_validate({name: other}))]
        assert sum(one != was for one, was in zip(changed, built, strict=True)) == 1, name


def test_taking_an_appearance_once_is_a_check_and_required_only_where_it_is_asked_for() -> None:
    name = OncePerAppearance().name
    asked = RiskSettings(once_per_appearance=True)
    assert name not in required_checks(RiskSettings())
    assert name in required_checks(asked)
    assert [check.name for check in shipped_checks(asked)].count(name) == 1


def test_required_is_what_is_set_else_everything_shipped() -> None:
    names = [check.name for check in shipped_checks(RiskSettings())]
    assert len(set(names)) == len(names) == 21
    assert required_checks(RiskSettings()) == frozenset(names)
    assert required_checks(RiskSettings(required=("halted", "mine"))) == {"halted", "mine"}
