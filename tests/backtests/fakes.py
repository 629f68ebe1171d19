"""Jobs whose names say what happens when they run, so that workers can be tried without a recording.

`quick`, `slow 3` (seconds), `raises`, `memory`, `disk`, `exits`, `killed`, `corrupt`; of a sweep, `slow 3` is for each
of its variants.
"""

import errno
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from arbitrade_core.backtests.submit import about
from arbitrade_core.backtests.tools import Pairs, Recorded, Store, Tools
from arbitrade_core.domain import Ns, Pair
from arbitrade_core.errors import ProtocolError
from arbitrade_core.recording.entries import Chunk
from arbitrade_core.replay.driver import Tell
from arbitrade_core.replay.job import Fees, JobSpec, SweepSpec
from arbitrade_core.replay.results import HEADLINE, Coverage, DeskResult, MarketResult, ReplayResult, hash_of
from arbitrade_core.replay.searched import SweepResult, Variant
from arbitrade_core.replay.stage import DeskWish
from arbitrade_core.replay.statistics import Window
from arbitrade_core.replay.sweep.sweep import Progress, TellProgress
from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage.connect import Pool

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
END = datetime(2026, 11, 20, 11, tzinfo=UTC)
CHUNKS = 20
LOG = "TEST_COMPUTED"
"""Variable that names a file to which each computed variant is added."""

market = MarketResult(1_000, 900, 900, 0, {}, 0.0, {}, 3)


def spec(name: str, variants: int | None = None) -> JobSpec:
    return JobSpec(
        name=name,
        start=START,
        end=END,
        balances={"USD": Decimal(1_000)},
        min_profit_bps=Decimal(5),
        fees=Fees(id="f", source="stated", as_of_ns=0, rates={}),
        sweep=None
        if variants is None
        else SweepSpec(space={"paper.latency_ms": tuple(str(number) for number in range(variants))}),
    )


async def submit(pool: Pool, name: str, variants: int | None = None, raw: Mapping[str, Any] | None = None) -> int:
    job = spec(name, variants)
    return await storage.submit(
        pool,
        kind="backtest" if variants is None else "sweep",
        name=name,
        spec=raw or job.model_dump(mode="json"),
        about=about(job),
        resources={},
        notes=[],
        actor="test",
    )


def desk(name: str, settings: dict[str, str] | None = None) -> DeskResult:
    return DeskResult(
        name=name,
        settings=settings or {},
        fees_id="f",
        fees_source="stated",
        decisions=hash_of({name: "x"}),
        halted=None,
        opening={"USD": Decimal(1_000)},
        closing={"USD": Decimal("1000.5")},
        valuation_asset="USD",
        trading_valued=Decimal("0.5"),
        revaluation_valued=None,
        drawdown_valued=Decimal(0),
        fees_valued=Decimal("0.1"),
        exposure_valued=Decimal(100),
        funnel={"evaluated": 3},
        funnel_by_key={},
        outcomes={"completed": 2},
        orders=6,
        fills=6,
        ordered_valued=Decimal(300),
        filled_valued=Decimal(300),
        earned=((1, 2, Decimal("0.25")), (3, 4, Decimal("0.25"))),
    )


# --- what runs ------------------------------------------------------------------------------------------------------


def _ns(at: datetime) -> Ns:
    return int(at.timestamp()) * 1_000_000_000


async def recorded(pool: Pool, number: int) -> Recorded | None:
    return Recorded(_ns(START), _ns(END), "run", {}) if number == 1 else None


async def coverage(pool: Pool, window: Window, recording: int | None, pairs: Pairs) -> Coverage:
    whole = Window(max(window.start_ns, _ns(START)), min(window.end_ns, _ns(END))) if _overlaps(window) else None
    gaps = () if whole == window else ((window.start_ns, window.end_ns, "nothing was recorded"),)
    return Coverage(window, () if whole is None else (whole,), gaps, (1,), ("BTC/USD", "ETH/BTC", "ETH/USD"))


def _overlaps(window: Window) -> bool:
    return window.start_ns < _ns(END) and window.end_ns > _ns(START)


async def chunks(pool: Pool, window: Window, recording: int | None, pairs: Pairs) -> AsyncGenerator[Chunk]:
    step = (_ns(END) - _ns(START)) // CHUNKS
    for number in range(CHUNKS):
        start_ns = _ns(START) + number * step
        yield Chunk(1, number, start_ns, start_ns + step, 10, 50, ("BTC/USD",), b"", b"")


async def pin(pool: Pool, window: Window, reason: str) -> None:
    await pool.execute("INSERT INTO recording_pins VALUES ('2026-11-20', $1) ON CONFLICT DO NOTHING", reason)


async def unpin(pool: Pool, reason: str) -> None:
    await pool.execute("DELETE FROM recording_pins WHERE reason = $1", reason)


def listing(job: JobSpec, found: Iterable[Chunk]) -> list[Pair]:
    assert next(iter(found)).number == 0
    return [a_pair("BTC", "USD"), a_pair("ETH", "BTC"), a_pair("ETH", "USD")]


def a_pair(base: str, quote: str) -> Pair:
    cent = Decimal("0.01")
    return Pair(f"{base}/{quote}", base, quote, 2, 2, tick=cent, lot=cent, qty_min=cent, cost_min=cent, cost_decimals=2)


def replay(
    job: JobSpec, wishes: Sequence[DeskWish], found: Iterable[Chunk], covered: Coverage, tell: Tell
) -> ReplayResult:
    kind, _, seconds = job.name.partition(" ")
    frames = 0
    for chunk in found:
        frames += chunk.frames
        tell(chunk.end_ns, frames)
        match kind:
            case "slow":
                time.sleep(float(seconds) / CHUNKS)
            case "raises":
                raise RuntimeError("it\nbroke")
            case "corrupt":
                raise ProtocolError("chunk 3 of recording 1 is damaged")
            case "memory":
                raise MemoryError
            case "disk":
                raise OSError(errno.ENOSPC, "No space left on device")
            case "exits":
                raise SystemExit(3)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case _:
                pass
    return ReplayResult(covered, market, {HEADLINE: desk(HEADLINE)}, 0.1)


def sweep(  # noqa: PLR0917
    job: JobSpec,
    found: Callable[[], Iterable[Chunk]],
    covered: Coverage,
    store: Store,
    tell: TellProgress,
    resources: Mapping[str, Any],
) -> SweepResult:
    assert job.sweep is not None
    latencies = job.sweep.space["paper.latency_ms"]
    assert isinstance(latencies, tuple)
    variants = [Variant(number, {"paper.latency_ms": text}) for number, text in enumerate(latencies)]
    done = dict(store.done())
    for variant in variants:
        if variant.number in done:
            continue
        time.sleep(float(job.name.partition(" ")[2] or 0))
        done[variant.number] = desk(str(variant.number), variant.settings)
        if LOG in os.environ:
            with Path(os.environ[LOG]).open("a") as log:
                log.write(f"{variant.number}\n")
        store.save(variant, done[variant.number])
        tell(Progress("replaying", len(done) / len(variants), len(done), len(variants), 100))
    desks = tuple(done[variant.number] for variant in variants)
    return SweepResult(
        coverage=covered,
        market=market,
        variants=tuple(variants),
        desks=desks,
        objective="profit",
        scores=tuple(one.trading_valued for one in desks),
        ranking=tuple(range(len(desks))),
        deflated=None,
        reality=None,
        folds=(),
        forward_valued=None,
        heat=(),
        decisions=hash_of({one.name: one.decisions for one in desks}),
        took_s=0.1,
    )


TOOLS = Tools(recorded, coverage, chunks, pin, unpin, listing, replay, sweep)
