"""A world that watches the rules of sending while it runs, and what must hold when it has ended."""

from collections.abc import Sequence
from decimal import Decimal

from arbitrade_core.desk import Desk
from arbitrade_core.events import Command, Durable, Input, Send
from arbitrade_core.journal import Record
from arbitrade_core.money import ZERO, exact
from arbitrade_core.testing.world import World


class Watched(World):
    """Every order is sent once, and only after a record that intends it is durable (RELIABILITY 1, 2)."""

    def take(self, event: Input) -> None:
        if isinstance(event, Durable):
            self._durable[event.stream] = max(event.seq, self._durable.get(event.stream, 0))
        super().take(event)

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Send):
                self._watch(command)
        super()._carry_out(commands)

    def _watch(self, send: Send) -> None:
        order = send.order
        assert order.id not in {known.id for known in self.orders}, f"{order.id} left twice"
        intents = [record for record in self.records if order.id in _intended(record)]
        assert len(intents) == 1, f"{order.id} is intended by {intents}"
        durable = self._durable.get(intents[0].stream, 0)
        assert intents[0].seq <= durable, f"{order.id} left before its {intents[0].kind} was durable"

    def start(self) -> None:
        self._durable: dict[str, int] = {}
        super().start()

    def durable(self, stream: str, seq: int) -> None:
        """The journal answers now."""
        self.take(Durable(stream, seq, self.now))

    def told(self, kind: str) -> list[Record]:
        """Journal records of a kind, oldest first."""
        return [record for record in self.records if record.kind == kind]

    @property
    def desk(self) -> Desk:
        return self.engine.desks[0]

    def end(self) -> None:
        """Nothing more happens: the engine closes its feeds and tells its open appearances."""
        self._carry_out(self.engine.stop(self.now))


def _intended(record: Record) -> list[str]:
    match record.kind:
        case "plan":
            return [leg["order_id"] for leg in record.data["legs"]]
        case "follow_up":
            return [str(record.data["order"])]
        case _:
            return []


# --- at the end of a run -------------------------------------------------------------------------------------


def assert_books_add_up(world: Watched, opening: dict[str, Decimal]) -> None:
    """What the account shows is what it opened with and what its fills brought, to the last decimal."""
    ledger = world.desk.ledger
    with exact():
        assert ledger.problems() == []
        expected = dict(opening)
        for fill in world.told("fill"):
            for row in fill.data["rows"]:
                amount = Decimal(row["amount"]) - Decimal(row["fee"])
                expected[row["asset"]] = expected.get(row["asset"], ZERO) + amount
        assert ledger.balances() == {asset: amount for asset, amount in expected.items() if amount}
        last = world.told("balances")[-1].data["accounts"]
        told = [(row["asset"], row["account"], Decimal(row["amount"])) for row in last if Decimal(row["amount"])]
        assert told == ledger.accounts()


def assert_funnel_adds_up(world: Watched) -> None:
    """Every offer ended at one stage; only a plan that still waits for the journal has not ended."""
    whole = world.engine.funnel()
    assert whole["evaluated"] >= whole["gross_positive"] >= whole["after_fees"]
    view = whole["desks"][world.desk.id]
    waiting = len(world.told("plan")) - len(world.told("drop")) - view["executed"]
    assert waiting == sum(1 for plan in world.desk.open_plans if not _sent(world, plan.id))
    assert world.engine.candidates == view["candidates"] + waiting
    stages = ("candidates", "priced_after_fees", "after_rounding", "after_depth", "after_buffers")
    counts = [view[stage] for stage in stages]
    assert counts == sorted(counts, reverse=True)
    ends = sum(view["refused"].values()) + view["stale"] + view["gone"] + view["executed"]
    assert view["after_buffers"] == ends
    assert view["gone"] == len(world.told("drop"))


def _sent(world: Watched, plan_id: str) -> bool:
    return any(order.plan_id == plan_id for order in world.orders)


def assert_appearances_are_whole(world: Watched) -> None:
    assert len(world.engine.appearances) == 0, "the end of the run closes them all"
    for appearance in world.appearances:
        assert appearance.closed_ns is not None
        assert appearance.closed_ns >= appearance.opened_ns
        assert appearance.outcome
        assert appearance.evaluations >= 1


def assert_plans_are_let_go(world: Watched) -> None:
    """Each plan ended or was dropped, nothing is promised any more, and nothing is remembered of it."""
    desk = world.desk
    plans = {record.data["id"] for record in world.told("plan")}
    over = [record.data["plan"] for kind in ("end", "drop") for record in world.told(kind)]
    assert sorted(over) == sorted(plans)
    assert desk.open_plans == []
    assert desk._claims._held == {}
    assert desk._claims._where == {}
    conductor = desk.conductor
    assert (conductor._runs, conductor._run_of, conductor._carried_by) == ({}, {}, {})
    assert (conductor._waits, len(conductor.residue)) == ({}, 0)
    assert desk.ledger.main._plans == {}
    for asset in desk.ledger.balances():
        assert conductor.held(asset, "") == 0
    done = [r.data["order"] for r in world.told("order") if r.data["event"] in ("done", "rejected")]
    assert sorted(done) == sorted(order.id for order in world.orders), "every order that left came to its end, once"


def assert_flat(world: Watched) -> None:
    """No plan is open and what plans left behind is residue."""
    assert_plans_are_let_go(world)
    with exact():
        assert world.desk.ledger.problems() == []
