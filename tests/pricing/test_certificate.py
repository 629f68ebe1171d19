"""The certificate against an adversary who fills every leg as badly as its limit allows (TRADING 13, 14)."""

import random
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Fee, FeeCurrency, Pair
from arbitrade_core.pricing import Priced, PricedLeg, Stopped, price_cycle
from tests.pricing.worlds import BUY, D, World, random_cycle

SEEDS = st.integers(0, 10**9)


def priced(world: World) -> Priced:
    plan = price_cycle(world.legs, world.budget, world.terms, D(0))
    assume(isinstance(plan, Priced))
    assert isinstance(plan, Priced)
    return plan


@dataclass
class Adversary:
    """Fills orders within their limits and rounds to nearest, each time as it likes."""

    rng: random.Random
    fills: int
    stingy: bool
    """never gives a better price than the limit"""

    def fill(self, leg: PricedLeg, pair: Pair) -> tuple[Fraction, Fraction]:
        """(spent, got) of the whole quantity."""
        spent = got = Fraction(0)
        buys = leg.leg.side is BUY
        for qty in self._split(pair.lots(leg.qty), pair):
            raw_cost = qty * self._price(leg, pair)
            cost = self._rounded(raw_cost, pair.cost_decimals)
            if self._in_base(leg.fee):
                fee = self._rounded(qty * Fraction(leg.fee.rate), pair.qty_decimals)
                spent += cost if buys else qty + fee
                got += qty - fee if buys else cost
            else:
                fee = self._rounded(self.rng.choice((cost, raw_cost)) * Fraction(leg.fee.rate), pair.cost_decimals)
                spent += cost + fee if buys else qty
                got += qty if buys else cost - fee
        return spent, got

    def _split(self, lots: int, pair: Pair) -> list[Fraction]:
        count = min(self.rng.randint(1, self.fills), lots)
        cuts = sorted(self.rng.randint(0, lots) for _ in range(count - 1))
        parts = [high - low for low, high in zip([0, *cuts], [*cuts, lots], strict=True)]
        return [Fraction(part, 10**pair.qty_decimals) for part in parts if part]

    def _price(self, leg: PricedLeg, pair: Pair) -> Fraction:
        limit = pair.ticks(leg.limit)
        better = 0 if self.stingy else self.rng.randint(0, max(1, limit // 100))
        ticks = limit - better if leg.leg.side is BUY else limit + better
        return Fraction(max(ticks, 1), 10**pair.price_decimals)

    def _in_base(self, fee: Fee) -> bool:
        if fee.currency is FeeCurrency.EITHER:
            return self.rng.random() < 0.5
        return fee.currency is FeeCurrency.BASE

    def _rounded(self, amount: Fraction, decimals: int) -> Fraction:
        scaled = amount * 10**decimals
        whole = scaled.numerator // scaled.denominator
        rest = scaled - whole
        up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and self.rng.random() < 0.5)
        return Fraction(whole + up, 10**decimals)


@settings(max_examples=1200, deadline=None)
@given(seed=SEEDS, stingy=st.booleans())
def test_trading_14_fills_within_the_limits_end_with_what_the_certificate_promises(seed: int, stingy: bool) -> None:
    world = random_cycle(seed)
    plan = priced(world)
    certificate = plan.certificate
    assert certificate.rounding_fills == world.terms.rounding_fills
    assert certificate.end_floor >= certificate.start + certificate.margin
    assert certificate.margin == certificate.start * world.terms.margin_bps / 10_000
    for attempt in range(4):
        adversary = Adversary(random.Random(seed + attempt), certificate.rounding_fills, stingy)
        at_hand = Fraction(certificate.start)
        for leg, asked in zip(plan.legs, world.legs, strict=True):
            spent, got = adversary.fill(leg, asked.pair)
            assert spent <= at_hand, f"{leg.leg} needs {float(spent)}, there is {float(at_hand)}"
            at_hand = got
        assert at_hand >= Fraction(certificate.end_floor)


@settings(max_examples=600, deadline=None)
@given(seed=SEEDS)
def test_trading_12_orders_lie_on_the_grids_over_the_minimums_within_depth_and_budget(seed: int) -> None:
    world = random_cycle(seed)
    plan = priced(world)
    assert plan.start == plan.certificate.start <= world.budget
    for leg, asked in zip(plan.legs, world.legs, strict=True):
        listing = asked.pair
        assert leg.qty > 0
        assert leg.qty % listing.lot == 0
        assert leg.limit > 0
        assert leg.limit % listing.tick == 0
        assert leg.qty >= listing.qty_min
        assert leg.qty * leg.limit >= listing.cost_min
        sign = 1 if leg.leg.side is BUY else -1
        seen = asked.levels[: world.terms.max_levels]
        within = [(ticks, lots) for ticks, lots in seen if sign * listing.price(ticks) <= sign * leg.limit]
        assert sum(lots for _, lots in within) >= listing.lots(leg.qty)
        left = listing.lots(leg.qty)
        worst = next(ticks for ticks, lots in seen if (left := left - lots) <= 0)
        steps, rest = divmod(listing.price(worst), listing.tick)
        nearest = (steps + (1 if rest and leg.leg.side is BUY else 0)) * listing.tick
        assert leg.limit == nearest or leg.qty * nearest < listing.cost_min
        assert leg.top == listing.price(next(ticks for ticks, lots in seen if lots))


@settings(max_examples=600, deadline=None)
@given(seed=SEEDS)
def test_trading_13_a_buy_is_funded_at_its_limit_with_the_fee(seed: int) -> None:
    world = random_cycle(seed)
    plan = priced(world)
    funds = world.budget
    for leg, asked in zip(plan.legs, world.legs, strict=True):
        rate = leg.fee.rate
        in_quote = D(0) if leg.fee.currency is FeeCurrency.BASE else rate
        in_base = D(0) if leg.fee.currency is FeeCurrency.QUOTE else rate
        if leg.fee.currency is FeeCurrency.EITHER:
            in_quote, in_base = max(in_quote, D(0)), max(in_base, D(0))
        if leg.leg.side is BUY:
            assert leg.qty * leg.limit * (1 + in_quote) <= funds
            funds = leg.qty * (1 - in_base)
        else:
            assert leg.qty * (1 + in_base) <= funds
            funds = leg.qty * leg.limit * (1 - in_quote)
        assert asked.leg == leg.leg


@settings(max_examples=600, deadline=None)
@given(seed=SEEDS)
def test_trading_14_expectations_come_from_the_books_and_count_leftovers_as_zero(seed: int) -> None:
    world = random_cycle(seed)
    plan = priced(world)
    for leg, asked in zip(plan.legs, world.legs, strict=True):
        listing = asked.pair
        left, cost = listing.lots(leg.qty), Fraction(0)
        for ticks, lots in asked.levels:
            taken = min(left, max(lots, 0))
            cost += Fraction(ticks * taken, 10 ** (listing.price_decimals + listing.qty_decimals))
            left -= taken
        assert abs(Fraction(leg.average) * Fraction(leg.qty) - cost) <= cost / 10**25
        unit = Fraction(1, 10**listing.cost_decimals)
        base_unit = Fraction(1, 10**listing.qty_decimals)
        rate, qty = Fraction(leg.fee.rate), Fraction(leg.qty)
        buys, in_base = leg.leg.side is BUY, leg.fee.currency is FeeCurrency.BASE
        spend = cost * (1 if in_base else 1 + rate) if buys else qty * (1 + rate if in_base else 1)
        get = qty * (1 - rate if in_base else 1) if buys else cost * (1 if in_base else 1 - rate)
        assert abs(Fraction(leg.spend) - spend) <= (2 * unit if buys else base_unit)
        assert abs(Fraction(leg.get) - get) <= (base_unit if buys else 2 * unit)
    spent, got = plan.legs[0].spend, plan.legs[-1].get
    assert plan.profit == got - spent == plan.end - plan.start > 0
    assert plan.buffered_profit == plan.profit  # no buffers asked
    assert D(0) <= plan.profit * 10_000 / spent - plan.edge_bps < D("0.000002")


def test_a_good_share_of_the_random_cycles_is_priced_and_every_stage_occurs() -> None:
    outcomes = [price_cycle(world.legs, world.budget, world.terms, D(0)) for world in map(random_cycle, range(400))]
    assert sum(isinstance(outcome, Priced) for outcome in outcomes) > 100
    assert {outcome.stage.value for outcome in outcomes if isinstance(outcome, Stopped)} == {
        "fees",
        "rounding",
        "depth",
    }


@given(seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_every_stop_says_why_in_words(seed: int) -> None:
    world = random_cycle(seed)
    stopped = price_cycle(world.legs, world.budget, world.terms, D(0))
    assume(isinstance(stopped, Stopped))
    assert isinstance(stopped, Stopped)
    assert " " in stopped.reason
    assert "Decimal" not in stopped.reason
    assert "E+" not in stopped.reason
