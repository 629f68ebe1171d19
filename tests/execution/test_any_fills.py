"""Whatever the venue does within the rules, a run ends, the books agree, and the loss cap holds."""

import os
import random
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal as D

import pytest

from arbitrade_core.domain import (
    Accepted,
    Asset,
    Done,
    DoneReason,
    Fee,
    FeeCurrency,
    Fill,
    LedgerRow,
    Ns,
    Order,
    Pair,
    PairId,
    PairStatus,
    Plan,
    Rejected,
    Side,
)
from arbitrade_core.events import BookUpdate
from arbitrade_core.execution.paper import PaperVenue
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.money import ZERO, exact, nearest_decimals, unit
from arbitrade_core.spi import VenuePort
from tests.execution.worlds import Running, Seen, World, listing, planned

RUNS = int(os.environ.get("ARBITRADE_TEST_RUNS", "400"))
"""Random runs per venue; set it higher for a longer search."""

CYCLES = [
    ("+BTC/USD", "+ETH/BTC", "-ETH/USD"),
    ("+ETH/USD", "-ETH/BTC", "-BTC/USD"),
    ("-BTC/USD", "+ETH/USD", "-ETH/BTC"),
    ("+ETH/BTC", "-ETH/USD", "+BTC/USD"),
]
FAIR = {"BTC/USD": D(100), "ETH/BTC": D("0.05"), "ETH/USD": D(5)}
WORTH = {"USD": D(1), "BTC": D(100), "ETH": D(5)}
OUTCOMES = {"completed", "partial", "unwound", "missed", "stuck"}
START = {"USD": D(100_000), "BTC": D(1_000)}


class Moody:
    """A venue that may do anything an exchange may: reject, fill any part in pieces at any price within the limit,
    charge its fee in any currency that is not excluded, book at the assets' precision, and tell things twice."""

    name = "moody"

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.moods = rng.choice([(0.0, 1.0), (0.05, 0.6), (0.15, 0.3), (0.4, 0.1)])
        """how often it rejects, and how often it fills completely"""

    def start(self, port: VenuePort, now: Ns) -> None:
        self._port = port

    def watches(self, pair: PairId) -> bool:
        return False

    def taken(self, pair: PairId, side: Side) -> Mapping[int, int]:
        return {}

    def on_update(self, update: BookUpdate, now: Ns) -> None:
        pass

    def submit(self, order: Order, now: Ns) -> None:
        self._port.clockwork.at(now + self._rng.randint(0, 30_000_000), lambda at: self._answer(order, at))

    def _answer(self, order: Order, now: Ns) -> None:
        rng, deliver = self._rng, self._port.deliver
        rejects, completes = self.moods
        if rng.random() < rejects:
            deliver(Rejected(order.id, "not in the mood"), now)
            return
        if rng.random() < 0.8:
            deliver(Accepted(order.id), now)
        pair = self._port.market.pairs[order.leg.pair_id]
        lots = pair.lots(order.qty)
        whole = rng.random() < completes
        left = filled = lots if whole else rng.choice([0, rng.randint(0, lots)])
        fills: list[Fill] = []
        for number in range(10):
            take = left if number == 9 else rng.choice([left, rng.randint(0, left)])
            if take:
                fills.append(self._fill(order, pair, len(fills), pair.qty(take)))
                left -= take
        for fill in fills:
            for _ in range(rng.choice([1, 1, 2])):
                deliver(fill, now)
        reason = DoneReason.FILLED if filled == lots else DoneReason.CANCELED
        deliver(Done(order.id, reason, pair.qty(filled)), now)

    def _fill(self, order: Order, pair: Pair, number: int, qty: D) -> Fill:
        limit = pair.ticks(order.limit)
        better = self._rng.choice([0, 0, self._rng.randint(0, limit // 50)])
        price = pair.price(limit - better if order.leg.side is Side.BUY else limit + better)
        cost = nearest_decimals(qty * price, pair.cost_decimals)
        in_base = order.fee.currency is FeeCurrency.BASE or (
            order.fee.currency is FeeCurrency.EITHER and self._rng.random() < 0.5
        )
        fee = (
            nearest_decimals(qty * order.fee.rate, pair.qty_decimals)
            if in_base
            else nearest_decimals(cost * order.fee.rate, pair.cost_decimals)
        )
        sign = 1 if order.leg.side is Side.BUY else -1
        rows = (
            self._row(pair.base, sign * qty, fee if in_base else ZERO),
            self._row(pair.quote, -sign * cost, ZERO if in_base else fee),
        )
        fee_asset = pair.base if in_base else pair.quote
        return Fill(order.id, f"x{number}", qty, price, cost, fee, fee_asset, rows, None)

    def _row(self, symbol: str, amount: D, fee: D) -> LedgerRow:
        asset = self._port.market.asset(symbol)
        assert asset is not None
        return LedgerRow(symbol, nearest_decimals(amount, asset.decimals), nearest_decimals(fee, asset.decimals))


def random_world(rng: random.Random) -> World:
    def pair(symbol: str) -> Pair:
        price_decimals = rng.randint(4, 6)
        qty_decimals = rng.choice([5, 8])
        return listing(
            symbol,
            price_decimals=price_decimals,
            tick=unit(price_decimals) * rng.choice([1, 1, 5]),
            qty_decimals=qty_decimals,
            lot=unit(qty_decimals) * rng.choice([1, 1, 10]),
            cost_decimals=rng.randint(5, 9),
            qty_min=D(rng.choice(["0.0001", "0.0001", "0.5"])),
            cost_min=D(rng.choice(["0.0001", "0.0001", "0.02"])),
        )

    fee = Fee(D(rng.choice(["0", "0.001", "0.004", "0.008"])), rng.choice(list(FeeCurrency)))
    world = World([pair(symbol) for symbol in FAIR], START, fee)
    coarse = rng.random() < 0.3
    world.lists(Asset("USD", 4 if coarse else 12), Asset("BTC", 10), Asset("ETH", 6 if coarse else 10))
    skew = {symbol: D(rng.randint(-300, 300)) / 10_000 for symbol in FAIR}
    for pair_id in range(len(FAIR)):
        refresh(world, rng, pair_id, skew)
    if rng.random() < 0.5:
        for asset in ("BTC", "ETH", "USD"):
            amount = D(rng.choice([0, 1, 500])) * D(rng.randint(1, 99)) / 100 / WORTH[asset]
            if amount:
                world.ledger.flow(asset, amount, "deposit")
                world.ledger.to_residue("earlier", asset, amount)
    return world


def refresh(world: World, rng: random.Random, pair_id: PairId, skew: Mapping[str, D]) -> None:
    """A new book around fair."""
    pair = world.market.pairs[pair_id]
    middle = pair.ticks(nearest_decimals(FAIR[pair.symbol] * (1 + skew[pair.symbol]), pair.price_decimals))
    lots = pair.lots(pair.qty_unit * int(D(rng.choice([20, 500, 5_000])) / WORTH[pair.base] / pair.qty_unit))
    step = max(1, middle // 2_000)
    sides = []
    for sign in (-1, 1):
        ticks, levels = middle, []
        for _ in range(rng.randint(0, 12)):
            ticks += sign * rng.randint(1, step)
            levels.append((ticks, rng.randint(1, max(1, lots))))
        sides.append(levels)
    update = Seen(pair=pair_id, snapshot=True, bids=sides[0], asks=sides[1])
    world.market.restore(update, world.now)
    if world.venue is not None:
        world.venue.on_update(update, world.now)


def disturb(world: World, rng: random.Random) -> None:
    """Something happens to one pair."""
    pair_id = rng.randrange(len(FAIR))
    pair = world.market.pairs[pair_id]
    match rng.randint(0, 9):
        case 0:
            world.market.quarantine(pair_id, "test")
        case 1:
            status = rng.choice([PairStatus.ONLINE, PairStatus.CANCEL_ONLY])
            world.market.list_pair(listing_with(pair, status))
        case _:
            refresh(world, rng, pair_id, {symbol: D(rng.randint(-200, 200)) / 10_000 for symbol in FAIR})


def listing_with(pair: Pair, status: PairStatus) -> Pair:
    names = ("price_decimals", "tick", "qty_decimals", "lot", "cost_decimals", "qty_min", "cost_min")
    return listing(pair.symbol, **{name: getattr(pair, name) for name in names}, status=status)


def carry_out(seed: int, venue_name: str) -> tuple[Running, D] | None:
    """One random plan from start to end; its run and the loss cap, None when the books allow no plan."""
    rng = random.Random(seed)
    world = random_world(rng)
    paper = PaperVenue(
        "test",
        funds=lambda asset: world.ledger.cash(asset) + world.ledger.residue(asset),
        slippage_bps=D(rng.choice([0, 4])),
    )
    world.uses(paper if venue_name == "paper" else Moody(rng))
    path = rng.choice(CYCLES)
    home = "USD" if path[0] in ("+BTC/USD", "+ETH/USD") else "BTC"
    plan = planned(world, path, D(rng.choice([20, 300, 5_000])) / WORTH[home])
    if plan is None:
        return None
    cap_bps = D(rng.choice([0, 50, 300, 1_000]))
    executor = SequentialExecutor(cap_bps, rng.randint(0, 6), stuck_after_ns=rng.choice([0, 250_000_000]))
    running = world.begins(plan, executor)
    restless = rng.random()
    for _ in range(200):
        world.passes(5_000_000)
        if running.outcome is not None:
            break
        if rng.random() < restless:
            disturb(world, rng)
    return running, cap_bps


@pytest.mark.parametrize("venue", ["paper", "moody"])
def test_every_run_ends_in_an_outcome_with_books_that_agree(venue: str) -> None:
    seen: Counter[str] = Counter()
    with exact():
        for seed in range(RUNS):
            found = carry_out(seed, venue)
            if found is not None:
                running, cap_bps = found
                seen[running.kind] += 1
                try:
                    check(running, cap_bps)
                except AssertionError as error:
                    raise AssertionError(f"{venue}, seed {seed}, {running.kind}: {error}") from error
    assert set(seen) == OUTCOMES, f"every outcome is met: {dict(seen)}"


def check(running: Running, cap_bps: D) -> None:
    run, plan, world = running.run, running.plan, running.world
    assert running.kind in OUTCOMES
    assert run.over
    assert not run.pending
    assert not run.stakes
    # one order per id: the harness asserts it; as many follow-ups as allowed
    assert len(running.follow_ups) <= 6
    assert (running.kind == "stuck") == bool(running.halts)
    assert not run.no_way_since
    assert len(running.alerts) <= 2 * (1 + len(running.follow_ups)), "people hear of each wait once"
    assert (not running.follow_ups) or running.kind in ("unwound", "stuck")
    _books_agree(running)
    if running.kind == "completed":
        assert plan.certificate is not None
        assert running.changes.get(plan.start_asset, ZERO) >= plan.certificate.margin - _booking(world, plan), (
            "TRADING 17: the floor holds"
        )
    if running.kind != "stuck":
        _cap_holds(running, cap_bps)


def _books_agree(running: Running) -> None:
    plan, ledger = running.plan, running.world.ledger
    assert ledger.problems() == []
    sums: dict[str, D] = {}
    for record in running.run.orders.values():
        for fill in record.fills.values():
            for row in fill.rows:
                sums[row.asset] = sums.get(row.asset, ZERO) + row.amount - row.fee
    assert {asset: amount for asset, amount in sums.items() if amount} == running.changes
    for asset in WORTH:
        started = plan.start if asset == plan.start_asset else ZERO
        used = running.residue_used.get(asset, ZERO)
        assert running.left.get(asset, ZERO) == started + running.changes.get(asset, ZERO) + used, asset
        if asset != plan.start_asset:
            assert running.left.get(asset, ZERO) >= 0


def _cap_holds(running: Running, cap_bps: D) -> None:
    """What was paid comes home but for the cap, and what is left as residue (TRADING 18)."""
    plan = running.plan
    assert plan.certificate is not None
    first = running.run.orders[plan.legs[0].order_id]
    paid = sum((row.fee - row.amount for fill in first.fills.values() for row in fill.rows
                if row.asset == plan.start_asset), ZERO)  # fmt: skip
    kept = sum((amount * WORTH[asset] for asset, amount in running.left.items() if asset != plan.start_asset), ZERO)
    loss = -running.changes.get(plan.start_asset, ZERO)
    allowed = paid * cap_bps / 10_000 + max(-plan.certificate.margin, ZERO)
    dust = D("1.3") * kept / WORTH[plan.start_asset] + _booking(running.world, plan)
    assert loss <= allowed + dust, f"lost {loss} of {paid}, allowed {allowed}, left over {dust}"


def _booking(world: World, plan: Plan) -> D:
    """What coarse ledger units may cost over all fills of a run."""
    asset = world.market.asset(plan.start_asset)
    assert asset is not None
    return 60 * unit(asset.decimals) + 60 * D("0.00001") / WORTH[plan.start_asset]
