"""Seeded sessions on the simulated exchange with everything that can go wrong on a market and in the journal.

    python -m tests.engine.sessions 0 20        # prints the journal hashes of seeds 0 to 19

A session is a function of its seed alone: two processes print the same.
"""

import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

from arbitrade_core.composition import Loaded, Past, compose, load
from arbitrade_core.domain import Candidate, FeeSnapshot, Ns
from arbitrade_core.events import Drain, FeesLoaded, Halt, JournalBack, JournalLost, PairsEnabled, Resume
from arbitrade_kraken.loopback import Loopback
from arbitrade_kraken.simulator.control import Control
from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan
from arbitrade_triangular.bruteforce import active_cycles
from tests.engine.watched import Watched

MS: Ns = 1_000_000
S: Ns = 1_000_000_000
PAIRS = 14
RATE = 120.0
STEP_NS = 200 * MS
FAULTY_NS = 8 * S
HEALING_NS = 6 * S
DRAIN_NS = 5 * S
OPENING = {"USD": Decimal(10_000), "EUR": Decimal(5_000)}


class Session:
    """One run: faults at random moments for a while, then none, until everything is home."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(f"faults-{seed}")
        self.happened: Counter[str] = Counter()
        self.exchange = SimulatedExchange(
            seed,
            PAIRS,
            messages_per_s=RATE,
            mispricings=MispricingPlan(per_s=3.0, size_bps=(60.0, 450.0), lifetime_ms=(50.0, 3000.0)),
            snapshot_delay_ms=(0, 200),
        )
        self.control = Control(self.exchange)
        loaded = _loaded()
        setup = loaded.setup("desk")
        setup.register_all()
        engine = compose(setup, now=DEFAULT_START_NS, system="system", past=Past())
        self.world = Watched(
            engine,
            Loopback(self.exchange),
            start_ns=DEFAULT_START_NS,
            fees=setup.fees,
            commit_ns=self.chance.randint(1, 60) * MS,
            network_ns=self.chance.randint(0, 15) * MS,
        )
        self.symbols = sorted(self.exchange.market.pairs)

    def run(self) -> "Session":
        world = self.world
        world.start()
        world.run_for(2 * S)
        until = world.now + FAULTY_NS
        while world.now < until:
            world.run_for(STEP_NS)
            if self.chance.random() < 0.6:
                self._fault()
            self._look()
        self._heal()
        world.run_for(HEALING_NS)
        self._look()
        world.take(Drain(world.now))
        world.run_for(DRAIN_NS)
        world.end()
        return self

    def _look(self) -> None:
        """The incremental detector says what brute force says (TRADING 5)."""
        engine = self.world.engine
        known = {one.key for one in engine.detectors[0].active() if isinstance(one, Candidate)}
        assert known == active_cycles(engine.market, engine.offers)

    # --- what goes wrong ---

    def _fault(self) -> None:
        kind = self.chance.choice(
            (
                *("corrupt", "corrupt", "drop", "duplicate", "cross", "silence", "close", "increments"),
                *("status", "system", "journal_hangs", "journal_hangs", "journal_lost", "halt", "fees", "pairs"),
            )
        )
        self.happened[kind] += 1
        self._do(kind, self.chance.choice(self.symbols))

    def _do(self, kind: str, symbol: str) -> None:  # noqa: PLR0912 - one branch a fault
        world, control = self.world, self.control
        now = world.now
        match kind:
            case "corrupt":
                control.corrupt_next_checksum(symbol)
            case "drop":
                control.drop_next(symbol)
            case "duplicate":
                control.duplicate_next(symbol)
            case "cross":
                control.cross(symbol)
            case "silence":
                for session in list(self.exchange.sessions):
                    control.silence(session)
            case "close":
                for session in list(self.exchange.sessions):
                    control.close(session, self.chance.choice((1000, 1006, 1012)))
            case "increments":
                pair = self.exchange.market.pairs[symbol].listing
                control.change_increments(symbol, price_precision=pair.price_precision + 1)
            case "status":
                control.set_pair_status(symbol, self.chance.choice(("cancel_only", "post_only", "online")))
            case "system":
                control.set_system(self.chance.choice(("maintenance", "online")))
            case "journal_hangs":
                world.commits = not world.commits
                if world.commits:
                    self._catch_up()
            case "journal_lost":
                world.commits = False
                world.take(JournalLost("a fault", now))
            case "halt":
                world.take(Halt("a fault", "chance", now))
                world.run_for(self.chance.randint(1, 500) * MS)
                world.take(Resume("chance", world.now))
            case "fees":
                fees = world.desk.fees
                if fees is not None:
                    world.take(FeesLoaded("desk", self._dearer(fees), now))
            case "pairs":
                some = frozenset(self.chance.sample(self.symbols, len(self.symbols) - 2))
                world.take(PairsEnabled(self.chance.choice((None, some)), now))

    def _dearer(self, fees: FeeSnapshot) -> FeeSnapshot:
        factor = Decimal(self.chance.randint(90, 110)) / 100
        taker = {symbol: replace(fee, rate=fee.rate * factor) for symbol, fee in fees.taker.items()}
        return replace(fees, id=f"{fees.id}{self.chance.randint(0, 9)}", as_of_ns=self.world.now, taker=taker)

    def _catch_up(self) -> None:
        """The journal answers for everything it took."""
        for stream, seq in {record.stream: record.seq for record in self.world.records}.items():
            self.world.durable(stream, seq)

    def _heal(self) -> None:
        """Everything works again."""
        world = self.world
        for session in list(self.exchange.sessions):
            self.control.silence(session, silent=False)
        self.control.set_system("online")
        for symbol in self.symbols:
            self.control.set_pair_status(symbol, "online")
        world.commits = True
        self._catch_up()
        world.take(JournalBack(world.now))
        world.take(PairsEnabled(None, world.now))


def _loaded() -> Loaded:
    """The settings as they come, but impatient: short rests, so that a few seconds hold many plans."""
    loaded = load().adjusted("kraken", fee_tier="tier-1", ws_url="ws://simulated/v2")
    core: Any = loaded.core
    paper = core.paper.model_copy(update={"starting_balances": OPENING})
    risk = core.risk.model_copy(update={"cooldown_ms": 100, "max_consecutive_failures": 50})
    execution = core.execution.model_copy(update={"leg_ban_s": 2})
    core = core.model_copy(update={"paper": paper, "risk": risk, "execution": execution})
    return replace(loaded, settings=replace(loaded.settings, core=core))


def hashes(seed: int) -> str:
    """Of every stream of the seed's journal, on one line."""
    world = Session(seed).run().world
    return " ".join(f"{stream}={chain.hex()}" for stream, chain in sorted(world.hashes.items()))


if __name__ == "__main__":
    for seed in range(*map(int, sys.argv[1:3])):
        print(seed, hashes(seed), flush=True)
