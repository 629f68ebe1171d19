"""A replay that computes in no time: what a variant earns depends on its settings, the job's and the chunks alone.

It stands for `driver.replay` where what is tested is who computes what, and importable by workers. A job's name tells
it how to misbehave.
"""

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError, SettingsError
from arbitrade_core.recording.entries import Chunk
from arbitrade_core.replay.job import Fees, JobSpec, Range, SweepSpec
from arbitrade_core.replay.results import Coverage, DeskResult, MarketResult, ReplayResult
from arbitrade_core.replay.searched import Variant
from arbitrade_core.replay.stage import DeskWish
from arbitrade_core.replay.statistics import Window
from arbitrade_core.replay.sweep.sweep import Progress

S: Ns = 1_000_000_000
START_NS: Ns = 1_780_000_000 * S
CHUNKS, FRAMES = 8, 500
SECONDS = 120
SETTINGS = {"ARBITRADE_KRAKEN__FEE_TIER": "tier-1"}


def span(low: int | str, high: int | str, step: int | str | None = None, log: bool = False) -> Range:
    return Range(low=Decimal(low), high=Decimal(high), step=None if step is None else Decimal(step), log=log)


def job(space: dict[str, Any] | None = None, name: str = "", seconds: int = SECONDS, **told: Any) -> JobSpec:
    spec = None if space is None else SweepSpec(space=space, **told.pop("spec", {}))
    said: dict[str, Any] = {
        "start": datetime.fromtimestamp(START_NS // S, UTC),
        "end": datetime.fromtimestamp(START_NS // S + seconds, UTC),
        "balances": {"USD": Decimal(10_000)},
        "min_profit_bps": Decimal(5),
        "fees": Fees(id="f", source="tests", as_of_ns=START_NS, rates={}),
        "settings": SETTINGS,
    }
    return JobSpec(**(said | told), name=name, sweep=spec)


def coverage(*stretches: tuple[int, int]) -> Coverage:
    """In seconds since the start."""
    found = tuple(Window(START_NS + a * S, START_NS + b * S) for a, b in stretches or ((0, SECONDS),))
    return Coverage(Window(START_NS, START_NS + SECONDS * S), found, (), (1,), ("BTC/USD",))


def chunks() -> Iterator[Chunk]:
    for number in range(CHUNKS):
        data = f"chunk {number}".encode()
        at = START_NS + number * SECONDS * S // CHUNKS
        yield Chunk(1, number, at, at + S, FRAMES, FRAMES, ("BTC/USD",), hashlib.sha256(data).digest(), data)


class Store:
    """What is kept is kept in memory."""

    def __init__(self, kept: dict[int, DeskResult] | None = None) -> None:
        self.kept = dict(kept or {})
        self.saved: list[int] = []

    def done(self) -> dict[int, DeskResult]:
        return dict(self.kept)

    def save(self, variant: Variant, result: DeskResult) -> None:
        self.kept[variant.number] = result
        self.saved.append(variant.number)


def silent(progress: Progress) -> None:
    """Hears it and says nothing."""


def desk(
    name: str, settings: dict[str, str], earned: Iterable[tuple[Ns, Ns, Decimal]], drawdown: str = "1", **told: Any
) -> DeskResult:
    plans = tuple(earned)
    total = sum((profit for *_, profit in plans), Decimal(0))
    said: dict[str, Any] = {
        "name": name,
        "settings": settings,
        "fees_id": "f",
        "fees_source": "tests",
        "decisions": hashlib.sha256(repr((sorted(settings.items()), plans)).encode()).hexdigest(),
        "halted": None,
        "opening": {"USD": Decimal(10_000)},
        "closing": {"USD": Decimal(10_000) + total},
        "valuation_asset": "USD",
        "trading_valued": total,
        "revaluation_valued": Decimal(0),
        "drawdown_valued": Decimal(drawdown) if plans else Decimal(0),
        "fees_valued": Decimal(0),
        "exposure_valued": Decimal(1_000) if plans else Decimal(0),
        "funnel": {},
        "funnel_by_key": {},
        "outcomes": {"completed": len(plans)} if plans else {},
        "orders": 3 * len(plans),
        "fills": 3 * len(plans),
        "ordered_valued": Decimal(0),
        "filled_valued": Decimal(0),
        "earned": plans,
    }
    return DeskResult(**(said | told))


def replay(
    spec: JobSpec,
    wishes: Sequence[DeskWish],
    recorded: Iterable[Chunk],
    covered: Coverage,
    tell: Callable[[Ns, int], None],
) -> ReplayResult:
    told = hashlib.sha256()
    frames = 0
    for chunk in recorded:
        told.update(chunk.data)
        frames += chunk.frames
        _misbehave(spec.name, chunk.number)
        try:
            tell(chunk.end_ns, frames)
        except BaseException:
            if spec.name.startswith("crawl"):
                Path(spec.name.partition(" ")[2], "unwanted").touch()
            raise
    market_side = repr((sorted(spec.settings.items()), spec.plugins, spec.pairs, told.hexdigest()))
    desks = {wish.name: _desk(wish, market_side) for wish in wishes}
    seen = MarketResult(frames, frames, frames, 0, {"desks": 0}, 0.5, {"evaluated": len(wishes)}, 1)
    return ReplayResult(covered, seen, desks, 0.01)


def _desk(wish: DeskWish, market_side: str) -> DeskResult:
    random = Random(f"{sorted(wish.settings.items())} {market_side}")
    edge = float(wish.settings.get("trading.min_edge_bps", "5"))
    mean = 4.0 - (edge - 7.0) ** 2 / 10.0
    at = START_NS
    earned = []
    for _ in range(40):
        at += random.randrange(1, 5 * S)
        if at >= START_NS + SECONDS * S:
            break
        earned.append((at, at + 20_000_000, Decimal(round(random.gauss(mean, 3.0) * 100)).scaleb(-2)))
    return desk(wish.name, wish.settings, earned, str(random.randrange(1, 9)))


def _misbehave(name: str, chunk: int) -> None:
    what, _, where = name.partition(" ")
    if chunk != CHUNKS // 2 or not what:
        return
    match what:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "die-once":
            with suppress(FileExistsError), Path(where).open("x"):
                os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            Path(where, str(os.getpid())).touch()
            time.sleep(600)
        case "crawl":
            Path(where, str(os.getpid())).touch()
            time.sleep(1.0)
        case "damaged":
            raise ProtocolError("chunk 4 of recording 1 is damaged: its SHA-256 differs")
        case "bug":
            raise KeyError("no such thing")
        case "wrong":
            raise SettingsError(["desk '0': trading.min_edge_bps is wrong", "so is another"])
        case "memory":
            raise MemoryError
        case _:
            raise AssertionError(name)
