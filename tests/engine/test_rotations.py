"""Stat-arb in the real engine, on simulated time: it warms up, rotates both ways, comes home, and keeps to its own.

The market is seeded; a bar is a second. What holds at every step is checked by `Rotating` and at the end of each run.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import anyio
import pytest

from arbitrade_core.domain import Candidate, Ns, Rotation
from arbitrade_core.events import PluginDisabled, PluginEnabled
from arbitrade_core.journal import Record
from arbitrade_core.money import ZERO, exact
from arbitrade_core.parts import Parts
from arbitrade_core.recovery import INTERRUPTED, Recovered
from arbitrade_core.storage.connect import Database, Pool
from arbitrade_core.storage.journal_store import JournalWriter
from arbitrade_core.storage.past import recover
from arbitrade_core.subledgers import Ledgers
from arbitrade_statarb.baseline import Holding, Prices
from arbitrade_statarb.detector import StatarbDetector
from arbitrade_triangular.detector import TriangularDetector
from tests.engine.harness import CHEAP, Scene
from tests.engine.rotating import ALLOCATION, BALANCES, Rotating, X, Y
from tests.engine.watched import assert_books_add_up, assert_plans_are_let_go
from tests.statarb.accounting import gained

D = Decimal
LIVELY = 13
"""A market in which both sides are entered, left, and given up for time, and the pair is dropped and found again."""
STOPPED = 5
"""One with a stop."""


def added(*amounts: dict[str, Decimal]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    with exact():
        for one in amounts:
            for asset, amount in one.items():
                sums[asset] = sums.get(asset, ZERO) + amount
    return {asset: amount for asset, amount in sums.items() if amount}


def assert_each_has_its_own(scene: Rotating) -> None:
    """Two strategies on one desk: each ledger is what it began with and its own fills, to the last digit."""
    allocation = dict(ALLOCATION)
    assert scene.own == added(allocation, scene.fills_of("statarb"))
    rest = {asset: -amount for asset, amount in allocation.items()}
    assert scene.desk.ledger.main.balances() == added(scene.opening, rest, scene.fills_of("triangular"))
    assert_books_add_up(scene.world, scene.opening)


def at_home(scene: Rotating) -> bool:
    """Nothing is missing of one asset while there is too much of another."""
    missing = any(scene.own.get(asset, ZERO) < amount - D("0.0002") for asset, amount in ALLOCATION.items())
    spare = any(scene.own.get(asset, ZERO) > amount + D("0.0002") for asset, amount in ALLOCATION.items())
    return not (missing and spare)


def moved(scene: Rotating) -> bool:
    """Most of what a position moves has been moved."""
    return any(scene.own.get(asset, ZERO) < amount * D("0.7") for asset, amount in ALLOCATION.items())


def in_position() -> Rotating:
    """Just after the first entry has filled."""
    scene = Rotating(seed=LIVELY)
    scene.until("entry")
    scene.lingers()
    assert moved(scene)
    return scene


# --- a whole life --------------------------------------------------------------------------------------------


class Noting(StatarbDetector):
    """Remembers what it wished for, and when."""

    def __init__(self, scene_of: StatarbDetector) -> None:
        super().__init__(scene_of.settings)
        self.bounds: list[tuple[str, Decimal]] = []

    def _wish(self, wishes: Sequence[Rotation]) -> None:
        self.bounds += [(wish.key, wish.min_rate) for wish in wishes]
        super()._wish(wishes)


@pytest.fixture(scope="module")
def life() -> Rotating:
    scene = Rotating(seed=LIVELY)
    scene.runs(1_340)
    return scene


def test_it_warms_up_selects_enters_both_ways_and_comes_home(life: Rotating) -> None:
    assert {("entry", 1), ("entry", -1), ("exit", 0), ("time_stop", 0)} <= life.changes
    assert life.statarb.strategy.selection is not None
    paths = {record.data["path"] for record in life.rotations}
    assert {"ETH > USD > BTC", "BTC > USD > ETH"} <= paths
    assert {"completed", "partial", "missed"} <= set(life.ends)
    assert at_home(life)
    assert_each_has_its_own(life)
    assert_plans_are_let_go(life.world)
    assert life.alerts("execution.certificate") == []


def test_no_fill_is_worse_than_the_limit_of_its_leg(life: Rotating) -> None:
    limits = {leg["order_id"]: leg for record in life.rotations for leg in record.data["legs"]}
    fills = [fill for fill in life.world.told("fill") if fill.data["order"] in limits]
    assert len(fills) > 30
    for fill in fills:
        leg, price = limits[fill.data["order"]], D(fill.data["price"])
        assert price <= D(leg["limit"]) if leg["side"] == "buy" else price >= D(leg["limit"])


def test_the_result_is_what_the_independent_accounting_says(life: Rotating) -> None:
    shown = life.statarb.comparison
    assert shown is not None
    brought = added(dict(ALLOCATION), life.fills_of("statarb"))
    held = Holding(brought["ETH"], brought["BTC"], brought.get("USD", ZERO))
    at = Prices(shown.prices["ETH"], shown.prices["BTC"])
    assert shown.gained == gained(held, Holding(ALLOCATION["ETH"], ALLOCATION["BTC"]), at)
    assert shown.gained != 0


def test_the_limits_of_a_plan_keep_the_rate_of_its_wish() -> None:
    """Each plan keeps the rate of the newest wish of its key, at its limits and fees."""
    scene = Rotating(seed=LIVELY)
    noting = Noting(scene.statarb)
    toggled(scene, noting)
    checked = 0
    for _ in range(520):
        known = len(scene.rotations)
        scene.runs(1)
        bounds = dict(noting.bounds)
        for record in scene.rotations[known:]:
            rate = D(1)
            for leg in record.data["legs"]:
                fee, limit = D(leg["fee"]["rate"]), D(leg["limit"])
                rate = rate / (limit * (1 + fee)) if leg["side"] == "buy" else rate * limit * (1 - fee)
            assert rate >= bounds[record.data["key"]]
            checked += 1
    assert checked >= 6


def toggled(scene: Rotating, again: StatarbDetector) -> None:
    """Off, and on again with a new object, as `plugins disable` and `enable` do."""
    scene.world.take(PluginDisabled("beside", "tester", scene.world.now))
    scene.parts["beside"] = Parts(detectors=(again,))
    scene.world.take(PluginEnabled("beside", "1", "tester", scene.world.now))
    scene.statarb = again


def test_a_stop_gives_the_position_up() -> None:
    scene = Rotating(seed=STOPPED)
    scene.until("stop")
    scene.passes(ms=990)
    scene.runs(3)
    assert at_home(scene)
    assert_each_has_its_own(scene)


# --- churn, splits, limits -----------------------------------------------------------------------------------


def test_at_the_baseline_with_a_gain_nothing_is_traded() -> None:
    """From bar 640 to 1030 the pair is in no position."""
    scene = Rotating(seed=LIVELY)
    scene.runs(640)
    shown = scene.statarb.comparison
    assert shown is not None
    assert shown.gained > 0
    assert at_home(scene)
    count = len(scene.rotations)
    assert count > 10
    scene.runs(390)
    assert len(scene.rotations) == count
    assert [wish for wish in scene.wishes if not wish.key.startswith("home")] == []


def test_a_position_larger_than_a_plan_may_be_takes_several_and_never_turns_back() -> None:
    scene = Rotating(seed=LIVELY, max_notional="1000")
    scene.until("entry")
    scene.lingers()
    plans = [record.data for record in scene.rotations]
    assert len(plans) >= 4
    assert all(D(plan["notional_valued"]) <= 1_000 for plan in plans)
    assert len({plan["legs"][-1]["gets"] for plan in plans}) == 1, "all towards the position"
    assert moved(scene)
    assert_each_has_its_own(scene)


def test_no_more_is_sold_than_brings_back_what_is_missing() -> None:
    """0.05 ETH are missing, worth 0.0015 BTC, and 0.05 BTC were won: they stay."""
    scene = Rotating(seed=LIVELY)
    changes = {("BTC", "statarb:cash"): D("0.05"), ("BTC", "statarb:market"): D("-0.05"),
               ("ETH", "statarb:cash"): D("-0.05"), ("ETH", "statarb:market"): D("0.05")}  # fmt: skip
    accounts = {(asset, account): amount for asset, account, amount in scene.desk.ledger.accounts()}
    for account, change in changes.items():
        accounts[account] = accounts.get(account, ZERO) + change
    recovered = Recovered(accounts=[(*account, amount) for account, amount in sorted(accounts.items())])
    again = Rotating(seed=LIVELY, after=scene, recovered=recovered)
    assert again.own == {"BTC": D("0.25"), "ETH": D("5.95")}
    again.runs(5)
    assert again.own["ETH"] >= 6 - D("0.0002")
    assert again.own["BTC"] > D("0.248")


def test_the_limits_of_the_desk_hold_for_rotations() -> None:
    scene = Rotating(seed=LIVELY, max_cycle_notional_valued=D(500))
    scene.until("entry")
    scene.passes(ms=990)
    assert scene.rotations == []
    assert scene.funnel["refused"]["cycle_notional"] >= 1
    assert any("cycle_notional" in record.data["check"] for record in scene.world.told("refusal"))


def test_what_does_not_fill_is_tried_again_with_later_bars() -> None:
    scene = Rotating(seed=LIVELY)
    scene.until("entry")
    entered = scene.bar
    for number in range(4):
        scene.lingers(qty="0.4", shift=number * 1e-6)
    bars = {(one.data["decided_ns"] - scene.rotations[0].data["decided_ns"]) // 10**9 for one in scene.rotations}
    assert len(bars) >= 3, "more than one bar was needed"
    assert scene.bar == entered
    assert_each_has_its_own(scene)


# --- beside triangular ---------------------------------------------------------------------------------------


def test_triangular_beside_it_on_the_same_desk_and_neither_touches_the_others_money() -> None:
    scene = Rotating(seed=LIVELY)
    for bar in range(640):
        scene.quotes()
        if bar % 9 == 0:
            scene.cheapens(ms=300)
            scene.passes(ms=690)
        else:
            scene.passes(ms=990)
        assert_separate(scene)
    by = {record.data["strategy"] for record in scene.world.told("plan")}
    assert by == {"statarb", "triangular"}
    assert len([one for one in scene.world.told("plan") if one.data["strategy"] == "triangular"]) > 30
    assert scene.desk.halted is None
    assert_each_has_its_own(scene)


def assert_separate(scene: Rotating) -> None:
    ledger = scene.desk.ledger
    assert all(ledger.of("statarb").residue(asset) == 0 for asset in scene.own), "positions leave no residue"
    assert ledger.handed("statarb") == ALLOCATION
    with exact():
        for asset in ("USD", "ETH", "BTC"):
            assert scene.desk.available(asset) >= 0
            assert scene.desk.available(asset, "statarb") >= 0


# --- when nothing new may go ---------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["halted", "journal lost"])
def test_no_new_rotation_while_the_desk_may_send_nothing(trouble: str) -> None:
    scene = Rotating(seed=LIVELY)
    scene.runs(300)
    if trouble == "halted":
        scene.halts()
    else:
        scene.loses_journal()
    scene.until("entry")
    scene.passes(ms=300)
    assert scene.wishes
    assert scene.rotations == []
    assert set(scene.funnel["refused"]) <= {"halted"}
    scene.lingers(ms=100)
    assert set(scene.funnel["refused"]) == {"halted"}
    assert scene.rotations == []
    if trouble == "halted":
        scene.resumes()
    else:
        scene.finds_journal()
    scene.passes(ms=600)
    assert scene.rotations
    assert_each_has_its_own(scene)


def test_no_new_rotation_over_a_quarantined_book() -> None:
    scene = Rotating(seed=LIVELY)
    scene.runs(300)
    scene.halts()
    scene.until("entry")
    scene.lingers(ms=10)
    scene.sees(X, bid="1", right=False)
    assert not scene.usable(X)
    scene.resumes()
    scene.passes(ms=500)
    assert scene.wishes
    assert scene.rotations == []


def test_without_an_allocation_there_is_nothing_to_rotate() -> None:
    class Greedy(TriangularDetector):
        name = "greedy"
        legs: tuple[int, ...] = ()

        def active(self) -> list[Rotation]:
            return [Rotation("greedy", "greedy BTC>USD", self.legs, ZERO, D(10**9), D(1), "greed")] if self.legs else []

    greedy = Greedy()
    scene = Scene(balances=BALANCES, beside=(greedy,))
    greedy.legs = (scene.leg("-BTC/USD"),)
    scene.charges("0.0011")
    scene.passes(ms=6_000)
    assert scene.planned == []
    assert scene.desk.last_stop["greedy BTC>USD"] == "strategy 'greedy' has no allocation to rotate"


class Funded(TriangularDetector):
    """Cycles with an allocation of their own."""

    name = "funded"

    def __init__(self, amount: str = "500") -> None:
        super().__init__()
        self.allocation = {"USD": D(amount)}

    def _own(self, findings: Iterable[object]) -> list[Candidate]:
        return [
            Candidate("funded", f"funded {one.key}", one.legs, one.gross)
            for one in findings
            if isinstance(one, Candidate)
        ]

    def on_change(self, pair: int, rose: int, now: Ns) -> list[Candidate]:
        return self._own(super().on_change(pair, rose, now))

    def active(self) -> list[Candidate]:
        return self._own(super().active())


def test_trading_26_residue_is_taken_along_from_its_own_ledger() -> None:
    scene = Scene(beside=(Funded(),), cooldown_ms=300, commit_ms=5)
    left: list[list[Decimal]] = []
    for ask in (CHEAP, "0.02965"):
        scene.sees("ETH/BTC", ask=ask)
        scene.passes(ms=150)
        scene.sees("ETH/BTC", ask="0.03001")
        scene.passes(ms=300)
        left.append([scene.desk.ledger.of(strategy).residue("BTC") for strategy in ("triangular", "funded")])
    assert scene.outcomes == ["completed"] * 4
    assert all(before > after > 0 for before, after in zip(*left, strict=True))
    assert scene.desk.halted is None
    assert scene.desk.ledger.problems() == []


def test_trading_26_cycles_of_a_funded_strategy_see_its_allocation_alone() -> None:
    scene = Scene(beside=(Funded(),), max_notional=None, cooldown_ms=60_000)
    before = scene.desk.ledger.main.accounts()
    scene.sees("ETH/BTC", ask=CHEAP)
    scene.passes(ms=300)
    mine = [record.data for record in scene.world.told("plan") if record.data["strategy"] == "funded"]
    assert len(mine) == 1
    assert D(mine[0]["start"]) <= 500
    assert scene.outcomes == ["completed", "completed"]
    ledger = scene.desk.ledger
    assert ledger.of("funded").cash("USD") > 500
    assert ledger.of("funded").residue("BTC") > 0, "what it left behind is its own"
    assert ledger.main.accounts() != before, "triangular had its own plan"
    assert ledger.problems() == []


# --- money handed over ---------------------------------------------------------------------------------------


def test_what_an_open_plan_holds_and_the_reserve_are_not_handed_over() -> None:
    scene = Scene(balances={"USD": "1000"}, reserve={"USD": D(100)}, max_notional=None)
    scene.sees("ETH/BTC", ask=CHEAP)
    (plan,) = scene.desk.open_plans
    held = plan.start
    assert held > 500
    scene.parts["beside"] = Parts(detectors=(Funded("900"),))
    scene.world.take(PluginEnabled("beside", "1", "tester", scene.world.now))
    with exact():
        assert scene.desk.ledger.of("funded").cash("USD") == 900 - held
    assert len(scene.alerts("desk.allocation")) == 1
    scene.passes(ms=10)
    scene.charges("0.0011")
    assert len(scene.alerts("desk.allocation")) == 1, "once, while the same is missing"
    scene.passes(ms=300)
    assert scene.outcomes[0] == "completed"
    assert scene.desk.ledger.handed("funded") == {"USD": D(900)}, "the plan is over, what it held is free"
    assert scene.desk.ledger.problems() == []


@pytest.mark.parametrize("amount", [D("nan"), D(-1), D(0), 1.5, None])
def test_an_allocation_that_is_none_takes_its_detector_out_and_moves_nothing(amount: Any) -> None:
    wrong = Funded()
    wrong.allocation = {"USD": D(1), "BTC": amount}
    scene = Scene(beside=(wrong,))
    assert not scene.desk.ledger.has_own("funded")
    assert [detector.name for detector in scene.engine.detectors] == ["triangular"]
    assert len(scene.alerts("plugin.quarantined")) == 1


# --- restarts and toggles ------------------------------------------------------------------------------------


def test_a_restart_in_a_position_goes_home_since_no_model_is_left() -> None:
    scene = in_position()
    again = Rotating(seed=LIVELY, after=scene, recovered=scene.recovered())
    assert again.own == scene.own
    assert again.desk.ledger.accounts() == scene.desk.ledger.accounts(), "nothing is handed over twice"
    again.quotes()
    assert again.rotations == [], "no closed bar, no price to go by"
    again.passes(ms=990)
    again.runs(3)
    assert again.statarb.strategy.positions == {}
    assert {record.data["key"].split()[0] for record in again.rotations} == {"home"}
    assert at_home(again)
    count = len(again.rotations)
    again.runs(100)
    assert len(again.rotations) == count


def test_a_restart_between_two_legs_spends_what_the_first_brought() -> None:
    scene = Rotating(seed=LIVELY)
    scene.until("entry")
    scene.lingers(ms=0)
    for _ in range(300):
        if scene.own.get("USD", ZERO) > 100:
            break
        scene.passes(ms=1)
    assert scene.own["USD"] > 100
    recovered = scene.recovered()
    assert [data["outcome"] for kind, data in recovered.interrupted if kind == "end"] == [INTERRUPTED]
    again = Rotating(seed=LIVELY, after=scene, recovered=recovered)
    assert again.own == scene.own, "what a position holds between two legs is inventory, not residue"
    again.runs(4)
    assert again.own.get("USD", ZERO) < scene.own["USD"] / 10
    assert at_home(again)


def test_a_restart_at_the_baseline_trades_nothing() -> None:
    scene = Rotating(seed=LIVELY)
    scene.runs(640)
    again = Rotating(seed=LIVELY, after=scene, recovered=scene.recovered())
    again.runs(100)
    assert again.rotations == []


def test_off_in_a_position_keeps_the_inventory_and_on_again_brings_it_home() -> None:
    scene = in_position()
    held, count = scene.own, len(scene.rotations)
    scene.world.take(PluginDisabled("beside", "tester", scene.world.now))
    scene.runs(40)
    assert (scene.own, len(scene.rotations)) == (held, count)
    toggled(scene, StatarbDetector(scene.statarb.settings))
    assert scene.own == held
    scene.runs(4)
    assert len(scene.rotations) > count
    assert at_home(scene)
    assert_each_has_its_own(scene)


def test_a_gap_in_a_position_goes_home_once_there_are_prices_again() -> None:
    """Without a model there is no position (`signal.gap`)."""
    scene = in_position()
    count = len(scene.rotations)
    scene.sees(X, bid="1", right=False)
    for _ in range(6):
        scene.quote(Y, 1500)
        scene.passes(ms=1_000)
    assert scene.statarb.strategy.positions == {}
    assert len(scene.rotations) == count, "there is no book to go home over"
    assert not at_home(scene)
    scene.resyncs(X)
    for _ in range(3):
        scene.quote(Y, 1500)
        scene.quote(X, 50_000)
        scene.passes(ms=1_000)
    assert at_home(scene)
    assert_each_has_its_own(scene)


def test_an_allocation_that_is_taken_back_brings_everything_home_to_the_desk() -> None:
    scene = in_position()
    again = Rotating(seed=LIVELY, allocation={}, pairs=("auto",), after=scene, recovered=scene.recovered())
    assert again.own == again.desk.ledger.main.balances() == scene.desk.ledger.balances()
    assert again.desk.holdings("statarb") is None
    again.runs(5)
    assert again.rotations == []
    third = Rotating(seed=LIVELY, after=again, recovered=again.recovered())
    assert third.desk.ledger.handed("statarb") == third.own, "as far as it is there"
    assert third.desk.ledger.problems() == []


@pytest.mark.anyio
async def test_a_start_after_any_record_finds_every_ledger(database: Database, pool: Pool) -> None:
    """Late fills, plans cut off between two legs, ends without balances: each is its strategy's (TRADING 26)."""
    scene = Rotating(seed=LIVELY)
    scene.runs(400)
    before = len(scene.world.records)
    scene.until("entry")
    scene.lingers(ms=0)
    scene.cheapens(ms=70)
    scene.passes(ms=300)
    records = [record for record in scene.world.records if record.stream == "desk"]
    first = len([record for record in scene.world.records[:before] if record.stream == "desk"])
    assert {"statarb", "triangular"} == {r.data["strategy"] for r in records if r.kind == "plan"}
    writer = JournalWriter(database, ["desk"], clock=lambda: scene.world.now, emit=lambda report: None)
    await writer.open()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        writer.append(records[:first])
        assert await writer.drain(5)
        for number in range(first, len(records)):
            writer.append([records[number]])
            assert await writer.drain(5)
            ledgers_as_left(records[: number + 1], await recover(pool, "desk", scene.world.now), scene.opening)
        tasks.cancel_scope.cancel()
    assert writer.unprojected == 0


def ledgers_as_left(records: Sequence[Record], recovered: Recovered, opening: dict[str, Decimal]) -> None:
    by = {record.data["id"]: record.data["strategy"] for record in records if record.kind == "plan"}
    allocation = dict(ALLOCATION)
    expected = {
        "statarb": allocation,
        "triangular": added(opening, {asset: -amount for asset, amount in allocation.items()}),
    }
    for record in records:
        if record.kind == "fill":
            strategy = by[record.data["plan"]]
            rows = {row["asset"]: D(row["amount"]) - D(row["fee"]) for row in record.data["rows"]}
            expected[strategy] = added(expected[strategy], rows)
    with exact():
        ledgers = Ledgers("desk")
        ledgers.restore(recovered.accounts)
        assert ledgers.problems() == [], [record.kind for record in records[-5:]]
        assert ledgers.of("statarb").balances() == expected["statarb"]
        assert ledgers.main.balances() == expected["triangular"]
        assert ledgers.handed("statarb") == ALLOCATION


# --- anything at any time ------------------------------------------------------------------------------------


RECKLESS: dict[str, Any] = {
    "formation_bars": 50,
    "validation_bars": 50,
    "window_bars": 50,
    "reselect_every_bars": 10,
    "alpha": 0.95,
    "retest_alpha": 0.95,
    "half_life_min_bars": 0.1,
    "hedge_ratio_min": 0.01,
    "hedge_ratio_max": 100.0,
    "entry_z": 1.0,
    "exit_z": 0.2,
    "cost_margin": 1.0,
    "fee": "0.0002",
    "leg_ban_s": 2,
}
"""It follows nearly anything, so that a few hundred bars hold many positions."""


class Life:
    """A seeded market with troubles at random moments, over restarts; what each strategy did is summed up."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(f"rotations-{seed}")
        self.seed = seed
        self.scene = Rotating(seed=seed, **RECKLESS)
        self.cut = 0
        """rotations that a restart cut off"""
        self.positions = 0
        """restarts in a position"""
        self.before: dict[str, dict[str, Decimal]] = {"statarb": {}, "triangular": {}}
        """fills of earlier runs"""

    def run(self) -> "Life":
        while self.scene.bar < 900:
            self.scene.quotes(qty=self.chance.choice(["10", "10", "0.5"]))
            self.scene.passes(ms=self.chance.randint(1, 900))
            if self.chance.random() < 0.05:
                self.trouble()
            if self.scene.desk.open_plans and self.chance.random() < 0.1:
                self.restart()
            self.scene.passes(ms=self.chance.randint(1, 90))
            self.check()
        toggled(self.scene, StatarbDetector(self.scene.statarb.settings))
        self.scene.runs(30)
        self.check()
        return self

    def trouble(self) -> None:
        scene, chance = self.scene, self.chance
        match chance.choice(("halt", "journal", "quarantine", "cheap", "cheap", "fees", "leave")):
            case "halt":
                scene.halts()
                scene.runs(chance.randint(1, 3))
                scene.resumes()
            case "journal":
                scene.loses_journal()
                scene.runs(chance.randint(1, 3))
                scene.finds_journal()
            case "quarantine":
                symbol = chance.choice((X, Y))
                scene.sees(symbol, bid="1", right=False)
                scene.passes(ms=chance.choice((100, 100, 6_000)))
                scene.resyncs(symbol)
            case "cheap":
                scene.cheapens(ms=chance.randint(1, 300))
            case "fees":
                scene.charges(chance.choice(("0.0002", "0.0003")))
            case "leave" if moved(scene) and chance.random() < 0.5:
                toggled(scene, StatarbDetector(scene.statarb.settings))
            case "leave" if moved(scene):
                self.restart()

    def restart(self) -> None:
        scene = self.scene
        for strategy, sums in self.before.items():
            self.before[strategy] = added(sums, scene.fills_of(strategy))
        recovered = scene.recovered()
        self.cut += len([plan for plan in scene.desk.open_plans if plan.strategy == "statarb"])
        self.positions += moved(scene)
        self.scene = Rotating(seed=self.seed, after=scene, recovered=recovered, **RECKLESS)

    def check(self) -> None:
        scene = self.scene
        assert scene.desk.halted is None
        assert scene.own == added(dict(ALLOCATION), self.before["statarb"], scene.fills_of("statarb"))
        rest = {asset: -amount for asset, amount in ALLOCATION.items()}
        assert scene.desk.ledger.main.balances() == added(
            scene.opening, rest, self.before["triangular"], scene.fills_of("triangular")
        )


def test_whatever_happens_each_keeps_its_own_and_it_comes_home() -> None:
    lives = [Life(seed).run() for seed in range(12)]
    for life in lives:
        assert at_home(life.scene), life.seed
        assert life.scene.desk.open_plans == []
    assert sum(life.cut for life in lives) >= 3
    assert sum(life.positions for life in lives) >= 3
