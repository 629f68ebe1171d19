"""A replay's desks by what they stand for: the headline, the unlimited one, and the points of curves.

Curves are measured, each point by a desk of its own (TRADING 34), told apart by names: `latency 50 ms`, `tier NAME`,
`fees x0.5`. A desk with another executor belongs to that executor's curves.
"""

from collections.abc import Callable
from decimal import Decimal

from arbitrade_core.money import nearest_decimals, plain
from arbitrade_core.replay.curves import Crossing, Curve, Point, Root
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.report import certainty
from arbitrade_core.replay.report.certainty import Parts
from arbitrade_core.replay.results import UNLIMITED, DeskResult, ReplayResult
from arbitrade_core.replay.statistics import Interval
from arbitrade_core.settings.environment import parse

_AS_SET = "as set"


class Measured:
    """Desks and their intervals, each computed once."""

    def __init__(self, job: JobSpec, result: ReplayResult, headline: DeskResult, parts: Parts) -> None:
        self.job, self.result, self.headline, self.parts = job, result, headline, parts
        traded = {symbol for plan in headline.plans for symbol in plan.pairs}
        self.symbols = tuple(sorted(traded or result.coverage.pairs))
        """of the pairs whose fees matter: those that were traded, else all that were recorded"""
        self._totals: dict[str, Interval] = {}

    @property
    def unlimited(self) -> DeskResult | None:
        return self.result.desks.get(UNLIMITED)

    def total(self, desk: DeskResult) -> Interval:
        if desk.name not in self._totals:
            self._totals[desk.name] = certainty.total(desk, self.parts, self.job.seed)
        return self._totals[desk.name]

    def more(self, desk: DeskResult) -> Interval:
        """Than the headline."""
        return certainty.more(desk, self.headline, self.parts, self.job.seed)

    def executor(self, desk: DeskResult) -> str:
        """Of its cycles."""
        usual = self.job.executor or _of_cycles(self.job.settings.get("ARBITRADE_EXECUTION__EXECUTORS", ""))
        usual = usual or next(iter(self.job.executors), _AS_SET)
        return _of_cycles(desk.settings.get("execution.executors", "")) or usual

    def by_executor(self, place: Callable[[DeskResult], Decimal | None]) -> dict[str, dict[Decimal, DeskResult]]:
        """Desks by executor and place, where there are two places at least; of desks at one place the first, and the
        headline only where there is no other."""
        found: dict[str, dict[Decimal, DeskResult]] = {}
        for desk in sorted(self.result.desks.values(), key=lambda desk: desk is self.headline):
            if (at := place(desk)) is not None:
                found.setdefault(self.executor(desk), {}).setdefault(at, desk)
        return {name: found[name] for name in sorted(found) if len(found[name]) > 1}


def _of_cycles(executors: str) -> str:
    """`cycle=parallel,position=sequential` -> `parallel`."""
    named = parse(dict[str, str], executors)
    return str(named.get("cycle", "")) if isinstance(named, dict) else ""


def meeting(root: Root, show: Callable[[Decimal], str]) -> str:
    """Where results first turn from earning to not earning."""
    crossing = root.crossings[0]
    if crossing.idle:
        low, high = sorted((crossing.earned_at, crossing.failed_at))
        found = f"somewhere between {show(low)} and {show(high)}, where nothing was traded any more"
    else:
        found = f"at about {show(crossing.at)}"
    return f"{found} (the curve crosses zero {len(root.crossings)} times)" if len(root.crossings) > 1 else found


def first_crossing(root: Root) -> Crossing | None:
    """None: there is none, or nothing was traded on one side, so that the truth lies anywhere between."""
    return next((None if crossing.idle else crossing for crossing in root.crossings), None)


def surely(curve: Curve, name: Callable[[Point], str]) -> str:
    """Where the whole interval lies above zero, as an addition to where the estimate does; empty: nothing to add."""
    if any(point.result.low is None for point in curve.points):
        return "; too little data to say how sure that is"
    earned = [point for point in curve.points if point.result.estimate > 0]
    sure = [point for point in earned if point.result.low is not None and point.result.low > 0]
    if not earned or sure == earned:
        return ""
    return f"; with 95 % confidence only at {', '.join(map(name, sure))}" if sure else "; with 95 % confidence nowhere"


def places(value: Decimal) -> str:
    """A latency, fee or factor for eyes."""
    return plain(nearest_decimals(value, 2))
