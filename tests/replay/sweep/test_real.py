"""Through the production path: every variant of a sweep decides what a backtest of it alone decides."""

from decimal import Decimal

import pytest

from arbitrade_core.replay.driver import replay
from arbitrade_core.replay.job import JobSpec, Range, SweepSpec
from arbitrade_core.replay.results import DeskResult
from arbitrade_core.replay.searched import SweepResult
from arbitrade_core.replay.stage import DeskWish
from arbitrade_core.replay.sweep import Cluster, Inline, Pool, Processes, run_sweep
from arbitrade_core.replay.sweep.space import variable_name
from tests.replay.recordings import Recorded, recorded
from tests.replay.sweep.conftest import local_cluster
from tests.replay.sweep.fakes import Store, silent
from tests.replay.sweep.test_sweep import same

SPACE: dict[str, tuple[str, ...] | Range] = {
    "trading.min_edge_bps": ("0", "5", "40"),
    "paper.latency_ms": ("5", "300"),
    "risk.max_open_plans": ("1", "5"),
    "kraken.depth": ("10", "25"),
}


@pytest.fixture(scope="module")
def made() -> Recorded:
    return recorded(12.0, pairs=12, rate=150.0, mispricings_per_s=3.0)


@pytest.fixture(scope="module")
def job(made: Recorded) -> JobSpec:
    return made.job(sweep=SweepSpec(space=SPACE, folds=2), balances={"USD": Decimal(10_000)})


def run(made: Recorded, job: JobSpec, pool: Pool, per_group: int = 250) -> SweepResult:
    return run_sweep(job, lambda: made.chunks, made.coverage, Store(), silent, pool, per_group=per_group)


@pytest.fixture(scope="module")
def swept(made: Recorded, job: JobSpec) -> SweepResult:
    return run(made, job, Inline())


def test_it_trades_and_variants_differ(swept: SweepResult) -> None:
    assert len(swept.desks) == 24
    assert sum(desk.orders > 0 for desk in swept.desks) >= 12
    assert len({desk.decisions for desk in swept.desks}) >= 6
    assert swept.market.checksums_bad == 0


def test_every_variant_decides_what_a_run_of_it_alone_decides(made: Recorded, job: JobSpec, swept: SweepResult) -> None:
    for desk in swept.desks[::3]:
        alone = _alone(made, job, desk)
        assert alone.decisions == desk.decisions, desk.settings
        assert alone.earned == desk.earned
        assert alone.funnel == desk.funnel


def _alone(made: Recorded, job: JobSpec, desk: DeskResult) -> DeskResult:
    """As a backtest whose settings are the variant's, in the words of the environment where they are plugins'."""
    depth = desk.settings["kraken.depth"]
    own = {path: text for path, text in desk.settings.items() if path != "kraken.depth"}
    settings = {**job.settings, variable_name("kraken.depth"): depth}
    plain = job.model_copy(update={"settings": settings, "sweep": None})
    wish = DeskWish("headline", {"risk.once_per_appearance": "true", **own})
    return replay(plain, [wish], made.chunks, made.coverage, lambda now, frames: None).desks["headline"]


def test_neither_processes_nor_cutting_change_anything(made: Recorded, job: JobSpec, swept: SweepResult) -> None:
    assert same(run(made, job, Processes(3), per_group=9), swept)


def test_neither_does_a_cluster(made: Recorded, job: JobSpec, swept: SweepResult) -> None:
    """Two replays at once in the threads of one process."""
    with local_cluster(2, processes=False) as threads:
        assert same(run(made, job, Cluster(threads.scheduler_address), per_group=5), swept)
