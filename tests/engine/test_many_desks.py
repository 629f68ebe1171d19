"""Many desks on one engine do what each would do alone, record for record (TRADING 33).

ARBITRADE_TEST_RUNS is the number of seeds.
"""

import os
import random

import pytest

from arbitrade_core.engine import Engine
from arbitrade_triangular.bruteforce import every_cycle
from tests.engine.many import Run, script, wishes

RUNS = min(int(os.environ.get("ARBITRADE_TEST_RUNS", "50")), 2000)


@pytest.mark.parametrize("seed", range(RUNS))
def test_trading_33_a_desk_among_others_does_what_it_does_alone(seed: int) -> None:
    chance = random.Random(seed)
    desks = wishes(chance)
    moves = script(chance, desks)
    queued = seed % 2 == 1
    together = Run(desks, moves, queued=queued)
    for desk in desks:
        alone = Run([desk], moves, queued=queued)
        for ours, theirs in zip(together.told(desk.name), alone.told(desk.name), strict=False):
            assert ours == theirs, f"{desk} differs first here"
        assert together.chain(desk.name) == alone.chain(desk.name), f"{desk} tells more or less"
        assert together.funnel(desk.name) == alone.funnel(desk.name), f"{desk} counts otherwise"


def _own_hurdles(engine: Engine) -> None:
    rate = engine.market.rate
    for key, (a, b, c) in every_cycle(engine.market, engine.offers.start_assets()).items():
        for desk in engine.desks:
            stands = desk.standing_since(key) is not None
            assert stands == (rate[a] * rate[b] * rate[c] > desk.required((a, b, c))), f"{desk.id}: {key}"


@pytest.mark.parametrize("seed", range(min(RUNS, 15)))
def test_what_stands_before_a_desk_is_what_beats_its_own_hurdle(seed: int) -> None:
    chance = random.Random(seed)
    desks = wishes(chance)
    Run(desks, script(chance, desks), look=_own_hurdles)


def test_the_sessions_are_worth_comparing() -> None:
    """What is equal must not be nothing: plans, refusals, broken plans, desks that share prices."""
    told: dict[str, int] = {}
    outcomes: set[str] = set()
    for seed in range(12):
        chance = random.Random(seed)
        desks = wishes(chance)
        run = Run(desks, script(chance, desks))
        for record in run.world.records:
            told[record.kind] = told.get(record.kind, 0) + 1
            outcomes |= {record.data["outcome"]} if record.kind == "end" else set()
    assert told["end"] >= 50
    assert told["refusal"] >= 50
    assert told["quarantine"] > 5
    assert {"drop", "ban", "fees", "thresholds", "start_assets", "exchange_status", "halt", "high_water"} <= told.keys()
    assert {"completed", "missed", "unwound"} <= outcomes
