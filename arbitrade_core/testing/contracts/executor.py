"""EXECUTOR: what every executor must hold, on real plans in a real engine, whatever the venue does.

The venue is drawn from a seed: it fills, fills in part, rejects, tells things twice. Plans come from the market that
the player plays, priced and certified as in production.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from arbitrade_core.domain import Fee, FeeCurrency, Ns, Order, PlanKind, Side
from arbitrade_core.errors import InvariantError
from arbitrade_core.money import ONE, ZERO, plain
from arbitrade_core.spi import Action, DeskView, Executor, Finish, FollowUp, HaltDesk, Place, Wait
from arbitrade_core.testing.builders import CHEAP
from arbitrade_core.testing.contracts.rules import Contract, holds, holds_name, rule, skip
from arbitrade_core.testing.guard import watched
from arbitrade_core.testing.player import MarketPlayer
from arbitrade_core.testing.venue import Answer, FakeVenue, Fills, Rejects

if TYPE_CHECKING:
    from arbitrade_core.lifecycle import Run, RunEvent

OUTCOMES = frozenset({"completed", "partial", "unwound", "missed", "stuck"})
_SEEDS = 24
_ENDS_WITHIN_S = 120


class ExecutorContract(Contract[Executor]):
    KIND = "executor"
    dust_valued = Decimal(25)
    """most that a run may leave in other assets, in USD, without halting the desk: what no order can carry"""

    @rule("EXECUTOR-01", source="DESIGN 3")
    def test_executor_01_has_a_name_and_kinds(self) -> None:
        """It has a name and says which kinds of plans it takes: the catalogue's first that takes a kind gets it."""
        executor = self.make()
        holds_name(executor, self.KIND)
        kinds = executor.kinds
        right = isinstance(kinds, frozenset) and kinds and all(isinstance(kind, PlanKind) for kind in kinds)
        holds(right, f"`kinds` is {kinds!r}; it must be a frozenset of PlanKind, and not empty")

    @rule("EXECUTOR-02", source="DESIGN 5")
    def test_executor_02_completes_when_all_fills(self) -> None:
        """When everything fills at its limit the plan completes, each leg placed once, in order."""
        run = self._run(FakeVenue())
        first = run.finished()
        holds(first.outcome == "completed", f"everything filled, and the plan ended {first.outcome}: {first.words}")
        placed = [action.order.id for action in first.actions if isinstance(action, Place)]
        holds(sorted(placed) == sorted(first.leg_ids), f"the legs are {first.leg_ids}, placed were {placed}")

    @rule("EXECUTOR-03", source="RELIABILITY 1, TRADING 18")
    def test_executor_03_sends_an_order_once(self) -> None:
        """An order id is used once, ever. What is to be tried again is a new order, journalled first (FollowUp)."""
        for seed, run in self._runs():
            ids = [order.id for witness in run.witnesses for order in witness.orders]
            twice = sorted({one for one in ids if ids.count(one) > 1})
            holds(not twice, f"seed {seed}: {twice} were asked for twice")
            for witness in run.witnesses:
                strange = [one.order.id for one in witness.of(Place) if one.order.id not in witness.leg_ids]
                holds(not strange, f"seed {seed}: placed {strange}, which are no legs of the plan; use FollowUp")

    @rule("EXECUTOR-04", source="DESIGN 3")
    def test_executor_04_nothing_follows_the_end(self) -> None:
        """Finish is its last action, once, with an outcome that there is, while no order of the run is open."""
        for seed, run in self._runs():
            for witness in run.witnesses:
                ends = witness.of(Finish)
                holds(len(ends) <= 1, f"seed {seed}: {len(ends)} times Finish")
                if ends:
                    holds(witness.actions[-1] is ends[0], f"seed {seed}: {witness.actions[-1]} follows Finish")
                    holds(ends[0].outcome.kind in OUTCOMES, f"seed {seed}: the outcome is {ends[0].outcome.kind!r}")
                    holds(not witness.open_at_end, f"seed {seed}: ended with {witness.open_at_end} still open")

    @rule("EXECUTOR-05", source="RELIABILITY 13")
    def test_executor_05_every_run_ends(self) -> None:
        """Whatever the venue answers, the run ends within a bound, or halts the desk: none waits for ever."""
        for seed, run in self._runs():
            for witness in run.witnesses:
                holds(
                    witness.of(Finish), f"seed {seed}: no end after {_ENDS_WITHIN_S} s; last was {witness.actions[-1:]}"
                )

    @rule("EXECUTOR-06", source="TRADING 13, RELIABILITY 9")
    def test_executor_06_never_orders_more_than_it_holds(self) -> None:
        """No order needs more than the run holds, with fees and in no other order, and the residue it may use."""
        for seed, run in self._runs():
            for witness in run.witnesses:
                holds(not witness.overdrawn, f"seed {seed}: {witness.overdrawn}")

    @rule("EXECUTOR-07", source="RELIABILITY 6, 13")
    def test_executor_07_brings_it_home_or_halts(self) -> None:
        """What is worth something is brought home, or the desk halts and says what it holds: never forgotten."""
        for seed, run in self._runs():
            for end in run.player.told("end"):
                marks = {"BTC": Decimal(50_000), "ETH": Decimal(1_500), "USD": ZERO}
                left = sum((Decimal(amount) * marks[asset] for asset, amount in end.data["residue"].items()), ZERO)
                halted = any(witness.of(HaltDesk) for witness in run.witnesses)
                holds(
                    left <= self.dust_valued or halted,
                    f"seed {seed}: ended {end.data['outcome']} with {end.data['residue']}, about {plain(left)} USD, "
                    "left behind, and the desk did not halt",
                )

    @rule("EXECUTOR-08", source="STYLE 6")
    def test_executor_08_breaks_no_table(self) -> None:
        """Its actions fit the tables of lifecycles: the engine raised nothing and halted for no fault of its making."""
        for seed, run in self._runs():
            holds(not run.faults, f"seed {seed}: {run.faults[:1]}")
            own = {action.reason for witness in run.witnesses for action in witness.of(HaltDesk)}
            halts = [one.data["reason"] for one in run.player.told("desk_halt") if one.data["reason"] not in own]
            holds(not halts, f"seed {seed}: the engine halted the desk: {halts[:1]}")

    @rule("EXECUTOR-09", source="DESIGN 3, RELIABILITY 11")
    def test_executor_09_keeps_nothing_between_steps(self) -> None:
        """A new object at every step carries the run out to the same journal: all state is in the run."""
        for seed in range(_SEEDS // 4):
            one = self._played(seed, self.make())
            other = self._played(seed, Relay(self.make))
            holds(
                one.player.world.hashes == other.player.world.hashes,
                f"seed {seed}: with a new object at each step the journal differs; keep what you need in `run`",
            )

    @rule("EXECUTOR-10", source="RELIABILITY 11")
    def test_executor_10_is_deterministic(self) -> None:
        """The same plan and the same answers lead to the same journal."""
        for seed in range(_SEEDS // 4):
            one, other = (self._played(seed, self.make()).player.world.hashes for _ in range(2))
            holds(one == other, f"seed {seed}: two runs have different journals")

    @rule("EXECUTOR-11", source="STYLE 5, 9")
    def test_executor_11_does_no_io_and_reads_no_clock(self) -> None:
        """No I/O, no clock, no chance, no threads: it is a state machine over its run."""
        for seed in range(4):
            self._played(seed, self.make())  # what is imported when first used is read from disk
            run = self._played(seed, self.make(), guarded=True)
            called = [witness.called for witness in run.witnesses if witness.called]
            holds(not called, f"seed {seed}: called {called[:1]}")

    @rule("EXECUTOR-12", source="DESIGN 1")
    def test_executor_12_waits_for_a_time_to_come(self) -> None:
        """Wait names a time ahead: one that has come would be asked about for ever."""
        for seed, run in self._runs():
            for witness in run.witnesses:
                holds(not witness.late_waits, f"seed {seed}: Wait until {witness.late_waits[:1]}, which had come")

    # --- how ---

    def _runs(self) -> Iterator[tuple[int, "Played"]]:
        for seed in range(_SEEDS):
            yield seed, self._played(seed, self.make())

    def _played(self, seed: int, executor: Executor, *, guarded: bool = False) -> "Played":
        return self._run(FakeVenue(usually=mood(seed)), executor, seed=seed, guarded=guarded)

    def _run(
        self, venue: FakeVenue, executor: Executor | None = None, *, seed: int = 0, guarded: bool = False
    ) -> "Played":
        executor = executor or self.make()
        if PlanKind.CYCLE not in executor.kinds:
            skip("it takes no cycles, and the contract's plans are cycles")
        return play(executor, venue, seed, guarded=guarded)


def mood(seed: int) -> Callable[[Order], Answer]:
    """A venue's temper: how often it rejects, and how often it fills completely."""
    rng = Random(seed)  # noqa: S311 - answers that repeat
    rejects, completes = rng.choice([(0.0, 1.0), (0.05, 0.6), (0.15, 0.3), (0.4, 0.1)])

    def answer(_: Order) -> Answer:
        late_ms = rng.randint(1, 60)
        if rng.random() < rejects:
            return Rejects("not in the mood", late_ms)
        share = "1" if rng.random() < completes else str(Decimal(rng.randint(0, 100)) / 100)
        return Fills(share, rng.randint(1, 4), late_ms, rng.choice([0, 0, 5]), rng.random() < 0.2)  # noqa: PLR2004

    return answer


@dataclass
class Played:
    player: MarketPlayer
    witnesses: list["Witness"]
    faults: list[str]

    def finished(self) -> "Witness":
        """The first run. Raises Broken when there was none."""
        holds(self.witnesses, f"no plan was given to it: {dict(self.player.stopped)}")
        return self.witnesses[0]


def play(executor: Executor, venue: FakeVenue, seed: int, *, guarded: bool = False) -> Played:
    """A cycle pays for a moment; the plan it makes is carried out while the books go on moving."""
    rng = Random(1_000 + seed)  # noqa: S311 - a market that repeats
    watching = Watching(executor, guarded)
    player = MarketPlayer(executors=[watching], venue=venue)
    faults: list[str] = []
    try:
        player.sees("ETH/BTC", ask=CHEAP)
        player.passes(ms=2)
        player.sees("ETH/BTC", ask="0.03001")
        for _ in range(rng.randint(0, 5)):
            player.passes(ms=rng.randint(1, 40))
            _wander(player, rng)
        player.passes(s=_ENDS_WITHIN_S)
    except (InvariantError, KeyError, ValueError, TypeError, AttributeError) as error:
        faults.append(f"{type(error).__name__}: {error}")
    return Played(player, list(watching.runs.values()), faults)


def _wander(player: MarketPlayer, rng: Random) -> None:
    """One book moves by some per mille, thins out, breaks, or comes back."""
    match rng.randrange(5):
        case 0:
            player.breaks("ETH/USD")
        case 1:
            player.mends("ETH/USD")
        case 2:
            player.sees("ETH/USD", bid=str(1500 - rng.randint(0, 40)), qty=str(rng.randint(1, 10)))
        case 3:
            player.sees("BTC/USD", bid=str(50_000 - rng.randint(0, 900)))
        case _:
            player.sees("ETH/BTC", bid=str(Decimal("0.02950") - rng.randint(0, 30) * Decimal("0.00001")))


class Relay:
    """Implements `spi.Executor`: a new object carries out every step."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        first = make()
        self.name = first.name
        self.kinds = first.kinds

    def step(self, run: "Run", event: "RunEvent", desk: DeskView, now: Ns) -> Sequence[Action]:
        return self._make().step(run, event, desk, now)


@dataclass
class Witness:
    """What an executor asked for in one run."""

    leg_ids: list[str]
    actions: list[Action] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    """placed and followed up"""
    overdrawn: str = ""
    """the first order that needed more than was there"""
    open_at_end: list[str] = field(default_factory=list)
    late_waits: list[Ns] = field(default_factory=list)
    called: str = ""

    def of[A: Action](self, kind: type[A]) -> list[A]:
        return [action for action in self.actions if isinstance(action, kind)]

    @property
    def outcome(self) -> str:
        return next((end.outcome.kind for end in self.of(Finish)), "open")

    @property
    def words(self) -> str:
        return next((end.outcome.note for end in self.of(Finish)), "")


class Watching:
    """Implements `spi.Executor`: lets another do the work and writes down what it asks for."""

    def __init__(self, inner: Executor, guarded: bool) -> None:
        self._inner = inner
        self._guarded = guarded
        self.name = inner.name
        self.kinds = inner.kinds
        self.runs: dict[str, Witness] = {}
        """by plan"""

    def step(self, run: "Run", event: "RunEvent", desk: DeskView, now: Ns) -> Sequence[Action]:
        witness = self.runs.setdefault(run.plan.id, Witness([leg.order_id for leg in run.plan.legs]))
        if self._guarded:
            with watched() as seen:
                actions = list(self._inner.step(run, event, desk, now))
            witness.called = witness.called or seen.first
        else:
            actions = list(self._inner.step(run, event, desk, now))
        for action in actions:
            witness.actions.append(action)
            match action:
                case Place(order) | FollowUp(order):
                    witness.overdrawn = witness.overdrawn or _overdrawn(run, order, desk, witness)
                    witness.orders.append(order)
                case Wait(until_ns) if until_ns <= now:
                    witness.late_waits.append(until_ns)
                case Finish():
                    witness.open_at_end = [record.order.id for record in run.pending]
                case _:
                    pass
        return actions


def _overdrawn(run: "Run", order: Order, desk: DeskView, witness: Witness) -> str:
    """Why an order needs more than there is; empty: it does not. A unit of the pair's cost precision is allowed."""
    asset = order.leg.spends
    pending = {record.order.id: record for record in run.pending}
    in_flight = ZERO
    for other in witness.orders:
        if other.leg.spends == asset and other.id not in run.orders:
            in_flight += _needs(other, other.qty)  # asked for in this very step
        elif other.leg.spends == asset and other.id in pending:
            in_flight += _needs(other, other.qty - pending[other.id].filled_qty)
    there = run.holdings.get(asset, ZERO) + desk.residue(asset)
    slack = 20 * Decimal(1).scaleb(-desk.market.pairs[order.leg.pair_id].cost_decimals)
    needed = _needs(order, order.qty) + in_flight
    if needed <= there + slack:
        return ""
    return f"order {order.id} ({order.leg}) needs {plain(needed)} {asset}, the run and the residue hold {plain(there)}"


def _needs(order: Order, qty: Decimal) -> Decimal:
    fee: Fee = order.fee
    if order.leg.side is Side.SELL:
        return qty * (ONE + fee.rate) if fee.currency is FeeCurrency.BASE else qty
    return qty * order.limit * (ONE if fee.currency is FeeCurrency.BASE else ONE + fee.rate)
