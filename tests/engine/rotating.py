"""A seeded market of two assets that belong together, bar by bar, with the strategy on a desk beside triangular.

rotating = Rotating()
rotating.runs(300)
assert rotating.ends == ["completed"]
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from arbitrade_core.domain import Rotation
from arbitrade_core.journal import Record
from arbitrade_core.money import ZERO, exact
from arbitrade_core.recovery import Journalled, OpenOrder, Recovered, rebuilt
from arbitrade_statarb.detector import StatarbDetector
from arbitrade_statarb.settings import StatarbSettings
from tests.engine.harness import Scene
from tests.statarb.series import cointegrated

D = Decimal
SEED = 4
BARS = 1_500
Y, X = "ETH/USD", "BTC/USD"
ALLOCATION = {"ETH": D(6), "BTC": D("0.2")}
BALANCES = {"USD": "10000", "ETH": "10", "BTC": "1"}
HALF_SPREAD = 1e-4
MODEL: dict[str, Any] = {
    "pairs": (f"{Y}:{X}",),
    "bar_s": 1,
    "formation_bars": 250,
    "validation_bars": 150,
    "window_bars": 120,
    "retest_every_bars": 5,
    "reselect_every_bars": 100,
    "cooldown_bars": 3,
    "max_lags": 2,
}


class Rotating(Scene):
    """`bar` is the next one of the series. After each the books are checked."""

    def __init__(self, *, seed: int = SEED, allocation: Mapping[str, Decimal] = ALLOCATION, **more: Any) -> None:
        model = {key: more.pop(key) for key in list(more) if key in StatarbSettings.model_fields}
        self.statarb = StatarbDetector(StatarbSettings(**{**MODEL, "allocation": dict(allocation), **model}))
        y, x = cointegrated(seed, BARS, half_life=5.0)
        # Around the usual prices of the scene, moving half as far.
        self.y = [math.log(1500) + (one - y[0]) / 2 for one in y]
        self.x = [math.log(50000) + (one - x[0]) / 2 for one in x]
        after = more.get("after")
        self.changes: set[tuple[str, int]] = set()
        """why positions changed, and to what"""
        self.bar: int = after.bar if isinstance(after, Rotating) else 0
        defaults = {"balances": BALANCES, "max_notional": None, "cooldown_ms": 100, "max_plans_per_hour": 100_000,
                    "max_loss_per_hour_valued": D(10**6), "max_loss_per_day_valued": D(10**6),
                    "max_drawdown_valued": D(10**6)}  # fmt: skip
        super().__init__(beside=(self.statarb,), **{**defaults, **more})
        # Nothing pays on the direct pair, wherever the other two go, until a test says so.
        self.sees("ETH/BTC", bid="0.001", ask="0.9")

    # --- the market ---

    def runs(self, bars: int, qty: str = "10") -> None:
        for _ in range(bars):
            self.quotes(qty=qty)
            self.passes(ms=990)

    def quotes(self, *, qty: str = "10") -> None:
        """The next bar begins: both symbols move, one after the other."""
        for symbol, series in ((Y, self.y), (X, self.x)):
            self.quote(symbol, math.exp(series[self.bar]), qty=qty)
            self.passes(ms=5)
        self.bar += 1
        for decision in self.statarb.decisions.values():
            if decision.signal.changed:
                self.changes.add((decision.signal.reason.value, int(decision.signal.position)))
        self.check()

    def lingers(self, ms: float = 990, qty: str = "10", shift: float = 0.0) -> None:
        """The prices of the bar that was decided on come back and stay, so that an entry finds its bound.

        A small `shift` makes them other levels, so that what was taken of the old ones is not missing.
        """
        for symbol, series in ((Y, self.y), (X, self.x)):
            self.quote(symbol, math.exp(series[self.bar - 2] + shift), qty=qty)
        self.passes(ms=ms)

    def cheapens(self, ms: float) -> None:
        """For so long the direct pair pays triangular a hundredth."""
        mids = [math.exp(series[self.bar - 1]) for series in (self.y, self.x)]
        self.sees("ETH/BTC", ask=f"{mids[0] / mids[1] * 0.98:.6f}", qty="1")
        self.passes(ms=ms)
        self.sees("ETH/BTC", ask="0.9")

    def quote(self, symbol: str, mid: float, qty: str = "10") -> None:
        bid, ask = (f"{mid * (1 + side * HALF_SPREAD):.4f}" for side in (-1, 1))
        self.sees(symbol, bid=bid, ask=ask, qty=qty)

    def until(self, wanted: str, bars: int = BARS) -> None:
        """Bar by bar until a pair's last decision is of that reason, before anything is done about it."""
        for _ in range(bars):
            self.quotes()
            if any(decision.signal.reason.value == wanted for decision in self.statarb.decisions.values()):
                return
            self.passes(ms=990)
        raise AssertionError(f"no {wanted} within {bars} bars")

    def check(self) -> None:
        """Everything sums up, and each ledger only ever saw its own fills."""
        with exact():
            assert self.desk.ledger.problems() == []

    # --- looking ---

    @property
    def own(self) -> dict[str, Decimal]:
        return self.desk.ledger.of("statarb").balances()

    @property
    def rotations(self) -> list[Record]:
        return [record for record in self.world.told("plan") if record.data["kind"] == "position"]

    @property
    def ends(self) -> list[str]:
        plans = {record.data["id"] for record in self.rotations}
        return [record.data["outcome"] for record in self.world.told("end") if record.data["plan"] in plans]

    @property
    def wishes(self) -> list[Rotation]:
        return [wish for wish in self.statarb.active() if isinstance(wish, Rotation)]

    def fills_of(self, strategy: str) -> dict[str, Decimal]:
        """What a strategy's fills came to, by what the journal says."""
        plans = {one.data["id"] for one in self.world.told("plan") if one.data["strategy"] == strategy}
        sums: dict[str, Decimal] = {}
        with exact():
            for fill in self.world.told("fill"):
                for row in fill.data["rows"] if fill.data["plan"] in plans else ():
                    amount = Decimal(row["amount"]) - Decimal(row["fee"])
                    sums[row["asset"]] = sums.get(row["asset"], ZERO) + amount
        return {asset: amount for asset, amount in sums.items() if amount}

    # --- the next start ---

    def recovered(self) -> Recovered:
        """The desk as its journal tells of it."""
        return rebuilt(journalled([one for one in self.world.records if one.stream == "desk"]), "desk", self.world.now)


def journalled(records: Sequence[Record]) -> Journalled:
    """What `storage.past` would read of these records."""
    told = {kind: [record for record in records if record.kind == kind] for kind in {one.kind for one in records}}

    def of(kind: str) -> list[Record]:
        return told.get(kind, [])

    balances = of("balances")[-1]
    over = {record.data["plan"] for kind in ("end", "drop") for record in of(kind)}
    plans = {record.data["id"]: record.data for record in of("plan")}
    late = [record.data for record in of("fill") if record.seq > balances.seq]
    done = {record.data["order"] for record in of("order") if record.data["event"] in ("done", "rejected")}
    sent = [
        record.data for record in of("send") if record.data["plan"] not in over and record.data["order"] not in done
    ]
    return Journalled(
        balances=balances.data,
        late_fills=late,
        late_plans={fill["plan"]: plans[fill["plan"]]["strategy"] for fill in late},
        open_plans=[plan for plan_id, plan in plans.items() if plan_id not in over],
        fills=[record.data for record in of("fill") if record.data["plan"] not in over],
        open_orders=[OpenOrder(order["order"], order["plan"], ZERO) for order in sent],
        past=[],
    )
