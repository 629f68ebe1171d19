"""Jobs and results made by hand: small ones to compute by hand, and seeded ones of any size that look like a market."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from arbitrade_core.money import ZERO, exact
from arbitrade_core.replay.curves import drawdowns
from arbitrade_core.replay.job import FeeRates, Fees, FeeStep, JobSpec, SweepSpec
from arbitrade_core.replay.results import (
    Coverage,
    DeskResult,
    Life,
    MarketResult,
    PlanResult,
    ReplayResult,
    Worth,
    hash_of,
)
from arbitrade_core.replay.searched import FoldResult, HeatMap, SweepResult, Variant
from arbitrade_core.replay.selection import deflated_sharpe, reality_check, walk_forward
from arbitrade_core.replay.statistics import Window, in_parts

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
START_NS = int(START.timestamp()) * 1_000_000_000
MS, S, MIN, H = 1_000_000, 1_000_000_000, 60_000_000_000, 3_600_000_000_000

LADDER = {"tier-1": "80", "tier-2": "40", "tier-3": "26", "tier-4": "16", "tier-5": "8"}
"""taker fees in bps"""
CYCLES = (
    ("USD > BTC > ETH > USD", ("BTC/USD", "ETH/BTC", "ETH/USD")),
    ("USD > ETH > BTC > USD", ("ETH/USD", "ETH/BTC", "BTC/USD")),
    ("EUR > SOL > USD > EUR", ("SOL/EUR", "SOL/USD", "EUR/USD")),
    ("USD > SOL > BTC > USD", ("SOL/USD", "SOL/BTC", "BTC/USD")),
)
SYMBOLS = tuple(sorted({symbol for _, symbols in CYCLES for symbol in symbols}))


def dec(text: str | float) -> Decimal:
    return Decimal(str(text))


def fees(taker_bps: str = "26", source: str = "the ladder of 2024-03, volume 10000") -> Fees:
    rate = FeeRates(maker=dec(taker_bps) / 20_000, taker=dec(taker_bps) / 10_000)
    return Fees(id=f"f-{taker_bps}", source=source, as_of_ns=START_NS - 5 * H, rates=dict.fromkeys(SYMBOLS, rate))


def job(hours: float = 4, **changes: Any) -> JobSpec:
    given: dict[str, Any] = {
        "name": "Sunday's book",
        "start": START,
        "end": START + timedelta(hours=hours),
        "balances": {"USD": Decimal(10_000)},
        "min_profit_bps": Decimal(3),
        "fees": fees(),
        "ladder": tuple(FeeStep(name=name, fees=fees(taker)) for name, taker in LADDER.items()),
        "settings": {"ARBITRADE_RISK__MAX_OPEN_PLANS": "3", "ARBITRADE_TRADING__START_ASSETS": "USD,EUR"},
        "seed": 7,
    }
    return JobSpec(**{**given, **changes})


def coverage(hours: float = 4, gaps: Sequence[tuple[float, float, str]] = ()) -> Coverage:
    """`gaps`: from and to, in hours since the start, and why."""
    end = START_NS + int(hours * H)
    cuts = [(START_NS + int(low * H), START_NS + int(high * H), why) for low, high, why in gaps]
    edges = [START_NS, *(edge for low, high, _ in cuts for edge in (low, high)), end]
    stretches = tuple(Window(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if high > low)
    return Coverage(Window(START_NS, end), stretches, tuple(cuts), (12,), SYMBOLS)


def market(frames: int = 28_000_000, **changes: Any) -> MarketResult:
    given: dict[str, Any] = {
        "frames": frames,
        "updates": frames * 2,
        "checksums_ok": frames,
        "checksums_bad": 0,
        "faults": {},
        "jitter_ms": 3.5,
        "detection": {"evaluated": frames * 3, "gross_positive": frames // 40, "after_fees": frames // 4_000},
        "pairs_live": len(SYMBOLS),
    }
    return MarketResult(**{**given, **changes})


def leg(order: str, asset: str, expected: str, **parts: str) -> dict[str, Any]:
    """One leg's attribution as the journal has it; `parts` not named are 0."""
    named = {name: parts.get(name, "0") for name in ("drift", "depth", "rounding", "fee", "partial")}
    with exact():
        realised = Decimal(expected) - sum((Decimal(each) for each in named.values()), ZERO)
    return {"order": order, "asset": asset, "expected": expected, "realised": str(realised), **named}


def plan(number: int = 1, **changes: Any) -> PlanResult:
    """A completed one that earned 0.40 of the 0.50 USD it promised."""
    decided = START_NS + number * MIN
    given: dict[str, Any] = {
        "id": f"p{number}",
        "strategy": "triangular",
        "kind": "cycle",
        "key": "BTC-ETH-USD",
        "path": CYCLES[0][0],
        "pairs": CYCLES[0][1],
        "decided_ns": decided,
        "ended_ns": decided + 65 * MS,
        "outcome": "completed",
        "start_asset": "USD",
        "start": Decimal(1_000),
        "notional_valued": Decimal(1_000),
        "expected_edge_bps": Decimal(5),
        "expected_profit_valued": Decimal("0.50"),
        "profit_valued": Decimal("0.40"),
        "pnl": {"USD": Decimal("0.40")},
        "residue": {},
        "attribution": (
            leg(f"p{number}-1", "BTC", "0.02", drift="0.000001"),
            leg(f"p{number}-2", "ETH", "0.5", depth="0.000025"),
            leg(f"p{number}-3", "USD", "1000.50"),
        ),
        "orders": 3,
        "ordered_valued": Decimal(3_000),
        "filled_valued": Decimal(3_000),
        "fees_valued": Decimal("7.80"),
    }
    return PlanResult(**{**given, **changes})


def life(opened: int, closed: int | None, **changes: Any) -> Life:
    """Times in ns since the start."""
    given: dict[str, Any] = {
        "strategy": "triangular",
        "key": "BTC-ETH-USD",
        "path": CYCLES[0][0],
        "opened_ns": START_NS + opened,
        "closed_ns": None if closed is None else START_NS + closed,
        "best_gross_bps": 84.0,
        "best_edge_bps": Decimal(6),
        "outcome": "executed",
        "evaluations": 3,
    }
    return Life(**{**given, **changes})


def desk(
    name: str = "headline", plans: Iterable[PlanResult] = (), lives: Iterable[Life] = (), **changes: Any
) -> DeskResult:
    """Sums are those of its plans."""
    plans = tuple(plans)
    ended = sorted(
        ((p.decided_ns, p.ended_ns, p.profit_valued) for p in plans if p.ended_ns and p.profit_valued is not None),
        key=lambda each: each[1],
    )
    running, worth = ZERO, [Worth(START_NS, ZERO, ZERO)]
    with exact():
        for _, at_ns, profit in ended:
            running += profit
            worth.append(Worth(at_ns, running, ZERO))
    outcomes = Counter(each.outcome for each in plans)
    falls = drawdowns([(each.at_ns, each.trading) for each in worth])
    candidates = len(plans) * 9
    given: dict[str, Any] = {
        "name": name,
        "settings": {},
        "fees_id": "f-26",
        "fees_source": "the ladder of 2024-03, volume 10000",
        "decisions": hash_of({name: str(running)}),
        "halted": None,
        "opening": {"USD": Decimal(10_000)},
        "closing": {"USD": Decimal(10_000) + running},
        "valuation_asset": "USD",
        "trading_valued": running,
        "revaluation_valued": ZERO,
        "drawdown_valued": max((fall.depth for fall in falls), default=ZERO),
        "fees_valued": sum((each.fees_valued for each in plans), ZERO),
        "exposure_valued": max((each.notional_valued for each in plans), default=ZERO),
        "funnel": funnel(candidates, len(plans)),
        "funnel_by_key": {
            key: funnel(number * 9, number) for key, number in sorted(Counter(each.key for each in plans).items())
        },
        "outcomes": dict(outcomes),
        "orders": sum(each.orders for each in plans),
        "fills": sum(each.orders for each in plans),
        "ordered_valued": sum((each.ordered_valued for each in plans), ZERO),
        "filled_valued": sum((each.filled_valued for each in plans), ZERO),
        "earned": tuple(ended),
        "plans": plans,
        "lives": tuple(lives),
        "worth": tuple(worth),
        "refusals": {"once_per_appearance": len(plans) // 2, "max_open_plans": 2} if plans else {},
    }
    return DeskResult(**{**given, **changes})


def funnel(candidates: int, executed: int) -> dict[str, Any]:
    left = candidates - executed
    return {
        "candidates": candidates,
        "desk_busy": left // 8,
        "priced_after_fees": candidates - left // 4,
        "after_rounding": candidates - left // 3,
        "after_depth": candidates - left // 2,
        "after_buffers": executed + left // 4,
        "refused": {"cooldown": left // 4} if left // 4 else {},
        "stale": 0,
        "gone": 0,
        "executed": executed,
    }


def result(
    desks: Iterable[DeskResult], covered: Coverage | None = None, seen: MarketResult | None = None
) -> ReplayResult:
    return ReplayResult(covered or coverage(), seen or market(), {each.name: each for each in desks}, 31.2)


# --- of any size ----------------------------------------------------------------------------------------------


def random_plans(seed: int, count: int, hours: float, mean: float = 0.05, keys: int = 4) -> list[PlanResult]:
    random = Random(seed)
    found: list[PlanResult] = []
    for number, at in enumerate(sorted(random.uniform(0.0, hours) for _ in range(count))):
        which = random.randrange(keys)
        path, pairs = CYCLES[which % len(CYCLES)]
        expected = dec(round(random.uniform(0.1, 0.9), 4))
        outcome = random.choices(("completed", "missed", "unwound", "partial"), (80, 12, 5, 3))[0]
        profit = {
            "completed": expected - dec(round(random.expovariate(1 / max(0.45 - mean, 0.01)), 4)),
            "partial": expected / 2,
            "missed": ZERO,
            "unwound": dec(round(-random.uniform(0.5, 4.0), 4)),
        }[outcome]
        notional = dec(random.randrange(200, 1_000))
        decided = START_NS + int(at * H)
        drift = str(dec(round(random.uniform(-0.0001, 0.0004), 6)))
        found.append(
            plan(
                number,
                key=f"cycle-{which}",
                path=path,
                pairs=pairs,
                decided_ns=decided,
                ended_ns=decided + random.randrange(40, 400) * MS,
                outcome=outcome,
                start=notional,
                notional_valued=notional,
                expected_profit_valued=expected,
                profit_valued=profit,
                pnl={"USD": profit},
                ordered_valued=notional * 3,
                filled_valued=ZERO if outcome == "missed" else notional * 3,
                attribution=(
                    leg(f"{number}-1", "BTC", "0.02", drift="0.000001"),
                    leg(f"{number}-2", "ETH", "0.5", depth="0.00002", drift=drift),
                    leg(f"{number}-3", "USD", str(notional), rounding="0.0001"),
                ),
            )
        )
    return found


def random_lives(seed: int, count: int, hours: float, keys: int = 4) -> list[Life]:
    random = Random(seed)
    found: list[Life] = []
    for _ in range(count):
        which = random.randrange(keys)
        opened = int(random.uniform(0.0, hours) * H)
        closed = opened + int(random.expovariate(1 / 0.045) * S)
        edge = dec(round(random.gauss(2.0, 4.0), 3)) if random.random() < 0.9 else None
        path = CYCLES[which % len(CYCLES)][0]
        found.append(
            life(opened, closed if closed < hours * H else None, key=f"cycle-{which}", path=path, best_edge_bps=edge)
        )
    return sorted(found, key=lambda each: each.opened_ns)


def replay(
    count: int = 180,
    hours: float = 4,
    *,
    seed: int = 1,
    keys: int = 4,
    gaps: bool = True,
    curves: bool = True,
    **changes: Any,
) -> ReplayResult:
    """As a real one comes: the headline with all its detail, the unlimited desk, and those of the curves."""
    covered = coverage(hours, ((hours * 0.4, hours * 0.46, "disconnected"),) if gaps else ())
    headline = desk(
        plans=random_plans(seed, count, hours, 0.12, keys), lives=random_lives(seed, count * 3, hours, keys), **changes
    )
    desks = [headline, desk("unlimited", random_plans(seed + 1, count + count // 2, hours, 0.11, keys))]
    if not curves:
        return result(desks, covered)
    count = min(count, 180)
    for place, ms in enumerate((1, 5, 20, 50, 100, 250)):
        mean = 0.16 - 0.05 * place
        desks.append(bare(desk(f"latency {ms} ms", random_plans(seed, count - 15 * place, hours, mean))))
        other = desk(f"latency {ms} ms parallel", random_plans(seed, count - 25 * place, hours, mean + 0.04))
        desks.append(bare(other, settings={"execution.executors": "cycle=parallel"}))
    for place, name in enumerate(LADDER):
        desks.append(bare(desk(f"tier {name}", random_plans(seed, 40 * place, hours, -0.06 + 0.07 * place))))
    for place, factor in enumerate(("0", "0.5", "0.75", "1.25", "1.5", "2")):
        desks.append(bare(desk(f"fees x{factor}", random_plans(seed, count - 20 * place, hours, 0.3 - 0.09 * place))))
    return result(desks, covered)


def bare(found: DeskResult, **changes: Any) -> DeskResult:
    """As desks of curves come: without what is long."""
    kept = {name: getattr(found, name) for name in found.__struct_fields__}
    return DeskResult(**{**kept, "plans": (), "lives": (), "worth": (), "funnel_by_key": {}, **changes})


def sweep_job(space: Mapping[str, Sequence[str]], **changes: Any) -> JobSpec:
    spec = SweepSpec(space={name: tuple(values) for name, values in space.items()})
    return job(sweep=spec, **changes)


SPACE = {
    "trading.min_edge_bps": ("1", "2", "3", "5", "8", "12"),
    "paper.latency_ms": ("5", "10", "20", "50", "100"),
    "risk.max_open_plans": ("1", "3"),
}


def sweep(merit: float = 0.0, *, hours: float = 8, plans: int = 150, seed: int = 3, folds: int = 4) -> SweepResult:
    """60 variants of one market: without merit, nothing but luck tells them apart."""
    covered = coverage(hours)
    variants = [
        Variant(number, {"trading.min_edge_bps": edge, "paper.latency_ms": ms, "risk.max_open_plans": most})
        for number, (edge, ms, most) in enumerate(
            (edge, ms, most)
            for edge in SPACE["trading.min_edge_bps"]
            for ms in SPACE["paper.latency_ms"]
            for most in SPACE["risk.max_open_plans"]
        )
    ]
    desks: list[DeskResult] = []
    for variant in variants:
        random = Random(seed * 1_000 + variant.number)
        edge = int(variant.settings["trading.min_edge_bps"])
        earned = []
        for at in sorted(random.uniform(0, hours) for _ in range(plans)):
            decided = START_NS + int(at * H)
            gain = random.gauss(merit * (1.0 if edge == 5 else 0.2), 0.5)
            earned.append((decided, min(decided + 50 * MS, covered.wanted.end_ns - 1), dec(round(gain, 4))))
        with exact():
            total = sum((profit for _, _, profit in earned), ZERO)
        desks.append(
            bare(
                desk(str(variant.number)),
                earned=tuple(earned),
                trading_valued=total,
                settings=variant.settings,
                decisions=hash_of({str(variant.number): str(total)}),
            )
        )
    return judged(variants, desks, covered, folds)


def judged(variants: Sequence[Variant], desks: Sequence[DeskResult], covered: Coverage, folds: int = 4) -> SweepResult:
    periods = [in_parts(((ended, p) for _, ended, p in each.earned), covered.wanted, 48) for each in desks]
    ranking = sorted(range(len(desks)), key=lambda place: -desks[place].trading_valued)
    results: list[FoldResult] = []
    for fold in walk_forward(covered.wanted, folds) if folds else ():

        def within(each: DeskResult, window: Window) -> Decimal:
            return sum((p for at, _, p in each.earned if window.start_ns <= at < window.end_ns), ZERO)

        trained = [within(each, fold.train) for each in desks]
        tested = [within(each, fold.test) for each in desks]
        chosen = max(range(len(desks)), key=lambda place: trained[place])
        results.append(FoldResult(fold, chosen, trained[chosen], tested[chosen], max(tested)))
    return SweepResult(
        coverage=covered,
        market=market(),
        variants=tuple(variants),
        desks=tuple(desks),
        objective="profit",
        scores=tuple(each.trading_valued if each.earned else None for each in desks),
        ranking=tuple(variants[place].number for place in ranking),
        deflated=deflated_sharpe(periods) if periods else None,
        reality=reality_check(periods, random=Random(5), resamples=300) if periods else None,
        folds=tuple(results),
        forward_valued=sum((each.tested_valued for each in results), ZERO) if results else None,
        heat=tuple(_maps(variants, desks)),
        decisions=hash_of({each.name: each.decisions for each in desks}),
        took_s=212.0,
    )


def _maps(variants: Sequence[Variant], desks: Sequence[DeskResult]) -> Iterable[HeatMap]:
    if not variants:
        return
    names = list(variants[0].settings)
    pairs = [(names[0], names[1]), (names[0], names[2])] if len(names) > 2 else []
    for x, y in [*pairs, (names[0], "")]:
        xs = tuple(dict.fromkeys(each.settings[x] for each in variants))
        ys = tuple(dict.fromkeys(each.settings[y] for each in variants)) if y else ("",)
        cells = []
        for row in ys:
            found = []
            for column in xs:
                these = [
                    d.trading_valued
                    for v, d in zip(variants, desks, strict=True)
                    if v.settings[x] == column and (not y or v.settings[y] == row)
                ]
                found.append(sum(these, ZERO) / len(these) if these else None)
            cells.append(tuple(found))
        yield HeatMap(x, y, xs, ys if y else (), tuple(cells))
