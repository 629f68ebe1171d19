"""An account that is as a test tells it, for risk checks and executors."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from decimal import Decimal

from arbitrade_core.book import Level
from arbitrade_core.domain import Fee, FeeSnapshot, LegId, Ns, Plan
from arbitrade_core.money import ZERO
from arbitrade_core.testing.builders import MS, START_NS, S, fee, fees
from arbitrade_core.testing.market import FakeMarket, fingerprint, triangle_market


class FakeDesk:
    """Implements `spi.DeskView`. It holds 10,000 of the valuation asset, knows fees of 10 bps, and may trade.

    desk = FakeDesk()
    desk.holds("USD", "1000")
    desk.ended("unwound", value="-3")
    """

    def __init__(self, market: FakeMarket | None = None, *, id: str = "desk", valuation_asset: str = "USD") -> None:
        self.id = id
        self.valuation_asset = valuation_asset
        self.market: FakeMarket = triangle_market() if market is None else market
        self.now: Ns = START_NS
        self.halted: str | None = None
        self.exchange_status = "online"
        self.open_plans: list[Plan] = []
        self.consecutive_failures = 0
        self.fees: FeeSnapshot | None = None
        self._cash: dict[str, Decimal] = {valuation_asset: Decimal(10_000)}
        self._allocated: dict[str, dict[str, Decimal]] = {}
        """by strategy"""
        self._residue: dict[str, Decimal] = {}
        self._claims: dict[LegId, dict[int, int]] = {}
        self._bans: dict[LegId, Ns] = {}
        self._approved: list[tuple[Ns, str]] = []
        self._standing: dict[str, Ns] = {}
        self._ended: list[tuple[Ns, str, Decimal]] = []
        self._drawdown: Decimal | None = ZERO
        self.charges("0.001")

    # --- verbs ---

    def passes(self, *, ms: float = 0, s: float = 0) -> Ns:
        """Time goes by; returns the new time."""
        self.now += round(ms * MS) + round(s * S)
        return self.now

    def holds(self, asset: str, amount: str, strategy: str = "") -> None:
        """Its balance that no open plan holds; of a strategy: what was allocated to it alone."""
        if strategy:
            self._allocated.setdefault(strategy, {})[asset] = Decimal(amount)
        else:
            self._cash[asset] = Decimal(amount)

    def leaves(self, asset: str, amount: str) -> None:
        """What earlier plans left behind."""
        self._residue[asset] = Decimal(amount)

    def charges(self, rate: str, symbol: str | None = None, *, id: str | None = None) -> None:
        """Fees as a fraction of the cost, of one pair or of all that are listed; `id` names the new snapshot."""
        if symbol is None:
            listed = [pair.symbol for pair in self.market.pairs]
            self.fees = fees(listed, rate, id=id or "fees-1", as_of_ns=self.now)
        else:
            known = self.fees or fees((), id="fees-1", as_of_ns=self.now)
            self.fees = replace(known, id=id or known.id, taker={**known.taker, symbol: fee(rate)})

    def knows_no_fees(self) -> None:
        self.fees = None

    def halts(self, reason: str = "a test") -> None:
        self.halted = reason

    def resumes(self) -> None:
        self.halted = None

    def hears(self, status: str) -> None:
        """What the exchange says of itself: `online`, `maintenance`, `unknown` ..."""
        self.exchange_status = status

    def bans(self, name: str, *, s: float = 60) -> None:
        """A directed leg rests: `+ETH/BTC` buys, `-ETH/BTC` sells."""
        self._bans[self.market.leg_id(name)] = self.now + round(s * S)

    def sees(self, key: str) -> None:
        """The cycle rises above the desk's hurdle now: an appearance begins."""
        self._standing[key] = self.now

    def loses(self, key: str) -> None:
        """The appearance is over."""
        self._standing.pop(key, None)

    def opens(self, plan: Plan) -> None:
        """The plan is approved and on its way: what it starts with is held."""
        self.open_plans.append(plan)
        self._approved.append((self.now, plan.key))
        self._cash[plan.start_asset] = self._cash.get(plan.start_asset, ZERO) - plan.start

    def ended(self, outcome: str, *, value: str, key: str = "") -> None:
        """A plan ended now: completed, partial, unwound, missed or stuck, and was worth this."""
        amount = Decimal(value)
        self._ended.append((self.now, outcome, amount))
        if key:
            self._approved.append((self.now, key))
        failed = outcome in ("unwound", "stuck")
        self.consecutive_failures = self.consecutive_failures + 1 if failed else 0

    def is_below_peak(self, amount: str | None) -> None:
        """Its drawdown, positive; None: something cannot be marked."""
        self._drawdown = None if amount is None else Decimal(amount)

    def promises(self, name: str, price: str, qty: str) -> None:
        """Other plans were promised this much of what the leg takes at a price."""
        leg_id = self.market.leg_id(name)
        listed = self.market.pairs[leg_id >> 1]
        self._claims.setdefault(leg_id, {})[listed.ticks(Decimal(price))] = listed.lots(Decimal(qty))

    # --- spi.DeskView ---

    def available(self, asset: str, strategy: str = "") -> Decimal:
        return self._allocated.get(strategy, self._cash).get(asset, ZERO)

    def residue(self, asset: str) -> Decimal:
        return self._residue.get(asset, ZERO)

    def value(self, asset: str, amount: Decimal) -> Decimal | None:
        mark = self.market.mark(asset, self.valuation_asset)
        return None if mark is None else mark * amount

    def depth(self, leg: LegId) -> Sequence[Level]:
        found = self.market.leg(leg)
        if not self.market.usable(found.pair_id):
            return []
        claimed = self._claims.get(leg, {})
        levels = self.market.books[found.pair_id].taken_by(found.side).levels()
        return [(ticks, lots - claimed.get(ticks, 0)) for ticks, lots in levels if lots > claimed.get(ticks, 0)]

    def promised(self, leg: LegId) -> Collection[int]:
        found = self.market.leg(leg)
        shown = self.market.books[found.pair_id].taken_by(found.side)
        return [ticks for ticks in self._claims.get(leg, {}) if shown.lots_at(ticks)]

    def fee(self, symbol: str) -> Fee | None:
        return None if self.fees is None else self.fees.taker.get(symbol)

    def banned_until(self, leg: LegId) -> Ns | None:
        return self._bans.get(leg)

    def plans_since(self, since: Ns, key: str | None = None) -> int:
        return sum(at >= since and key in (None, of) for at, of in self._approved)

    def last_plan(self, key: str) -> Ns | None:
        return max((at for at, of in self._approved if of == key), default=None)

    def standing_since(self, key: str) -> Ns | None:
        return self._standing.get(key)

    def trading_pnl(self, since: Ns) -> Decimal:
        return sum((value for at, _, value in self._ended if at >= since), ZERO)

    def unwind_loss(self, since: Ns) -> Decimal:
        return -sum((value for at, outcome, value in self._ended if at >= since and outcome != "completed"), ZERO)

    def drawdown(self) -> Decimal | None:
        return self._drawdown

    # --- looking ---

    def fingerprint(self) -> Hashable:
        """Everything that a plugin could have changed."""
        return (
            fingerprint(self.market),
            (self.halted, self.exchange_status, self.consecutive_failures, self._drawdown),
            tuple(self.open_plans),
            (None if self.fees is None else (self.fees.id, tuple(sorted(self.fees.taker)))),
            (tuple(self._cash.items()), tuple(self._residue.items()), tuple(self._bans.items())),
            (tuple(self._approved), tuple(self._ended), tuple(self._standing.items())),
        )
