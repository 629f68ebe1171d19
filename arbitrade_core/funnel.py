"""Where candidates stop: the answer to "why no trade?".

Counts are offers: a cycle above its hurdle is offered on every message that touches it, and each offer stops at
exactly one stage. An `Appearance` is one life of a mispricing, with the furthest stage any of its offers reached.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import IntEnum

from arbitrade_core.domain import Candidate, Ns, Rotation
from arbitrade_core.events import Appearance
from arbitrade_core.spi import Detection


class Reached(IntEnum):
    """The furthest stage an offer survived, or where it ended after all of them; ordered."""

    BUSY = -1
    """not looked at: a plan on this very cycle is under way"""
    CANDIDATE = 0
    """above the hurdle, not profitable once its fees were computed exactly, or not priceable (no mark, no fee)"""
    AFTER_FEES = 1
    AFTER_ROUNDING = 2
    AFTER_DEPTH = 3
    AFTER_BUFFERS = 4
    """a plan: it goes on to the risk gate, so no offer ends here"""
    REFUSED = 5
    """by a risk check"""
    STALE = 6
    """by the check of book health and age"""
    GONE = 7
    """approved, but not there any more at the last look"""
    EXECUTED = 8
    """its first leg was sent"""


class DeskFunnel:
    """One desk's counts by cycle key: how far each offer got, and which check refused."""

    def __init__(self) -> None:
        self.reached: dict[str, list[int]] = {}
        """by stage; `BUSY`, which is -1, has the last place"""
        self.refused: dict[str, Counter[str]] = {}

    def count(self, key: str, stage: Reached, check: str | None = None) -> None:
        reached = self.reached.get(key)
        if reached is None:
            reached = self.reached[key] = [0] * len(Reached)
        reached[stage] += 1
        if check is not None:
            self.refused.setdefault(key, Counter())[check] += 1

    def view(self, key: str | None = None) -> dict[str, int | dict[str, int]]:
        """Offers that survived each stage, and where they ended; of one cycle or of all."""
        keys = self.reached if key is None else (key,)
        counts = [self.reached[name] for name in keys if name in self.reached]
        reached = [sum(column) for column in zip(*counts, strict=True)] or [0] * len(Reached)
        refused: Counter[str] = Counter()
        for name in keys:
            refused += self.refused.get(name, Counter())

        def beyond(stage: Reached) -> int:
            return sum(reached[stage : Reached.BUSY])

        return {
            "candidates": sum(reached),
            "desk_busy": reached[Reached.BUSY],
            "priced_after_fees": beyond(Reached.AFTER_FEES),
            "after_rounding": beyond(Reached.AFTER_ROUNDING),
            "after_depth": beyond(Reached.AFTER_DEPTH),
            "after_buffers": beyond(Reached.AFTER_BUFFERS),
            "refused": dict(sorted(refused.items())),
            "stale": reached[Reached.STALE],
            "gone": reached[Reached.GONE],
            "executed": reached[Reached.EXECUTED],
        }


def detection_totals(detections: Iterable[Detection]) -> dict[str, int]:
    """The top of the funnel, summed."""
    rows = list(detections)
    return {
        "evaluated": sum(row.evaluated for row in rows),
        "gross_positive": sum(row.gross_positive for row in rows),
        "after_fees": sum(row.after_fees for row in rows),
    }


class OwnAppearances:
    """What stands before one desk, by its own hurdles: since when, and what its journal was told of it.

    A wish (`Rotation`) is no mispricing and has no beginning; what is journalled of it is told once while it stands.
    """

    def __init__(self) -> None:
        self._since: dict[str, Ns] = {}
        self._told: dict[str, set[str]] = {}

    def seen(self, key: str, now: Ns) -> None:
        if key not in self._since:
            self._since[key] = now

    def vanished(self, key: str) -> None:
        self._since.pop(key, None)
        self._told.pop(key, None)

    def since(self, key: str) -> Ns | None:
        return self._since.get(key)

    def first_time(self, key: str, what: str) -> bool:
        """True once per appearance and thing: refusals are journalled once per appearance (DESIGN 6)."""
        told = self._told.setdefault(key, set())
        if what in told:
            return False
        told.add(what)
        return True

    def kept(self) -> set[str]:
        """Everything that something is kept of."""
        return {*self._since, *self._told}


class Appearances:
    """Opens, follows and closes appearances: of all desks together, for operators."""

    def __init__(self) -> None:
        self._open: dict[str, Appearance] = {}
        self._reached: dict[str, tuple[Reached, object]] = {}
        """with words for it, as `str` makes them: most are replaced before anybody reads them"""
        self._wished: dict[str, str] = {}
        """strategies by key of what they wish for"""

    def seen(self, candidate: Candidate, path: Callable[[], str], now: Ns) -> None:
        appearance = self._open.get(candidate.key)
        gross_bps = (candidate.gross - 1.0) * 1e4
        if appearance is None:
            self._open[candidate.key] = Appearance(
                candidate.strategy, candidate.key, path(), now, None, gross_bps, None, "candidate", 1
            )
            self._reached[candidate.key] = (Reached.CANDIDATE, "candidate")
            return
        appearance.evaluations += 1
        appearance.best_gross_bps = max(appearance.best_gross_bps, gross_bps)

    def wished(self, rotation: Rotation) -> None:
        """No mispricing, so no appearance."""
        self._wished[rotation.key] = rotation.strategy

    def reached(self, key: str, stage: Reached, words: object, edge_bps: Decimal | None) -> None:
        appearance = self._open.get(key)
        if appearance is None:
            return
        if edge_bps is not None and (appearance.best_edge_bps is None or edge_bps > appearance.best_edge_bps):
            appearance.best_edge_bps = edge_bps
        if stage >= self._reached[key][0]:
            self._reached[key] = (stage, words)

    def vanished(self, key: str, now: Ns) -> Appearance | None:
        appearance = self._open.pop(key, None)
        self._wished.pop(key, None)
        if appearance is None:
            return None
        appearance.closed_ns = now
        appearance.outcome = str(self._reached.pop(key)[1])
        return appearance

    def standing(self) -> list[Appearance]:
        """Those that are open, with the furthest stage so far; by key."""
        for key, appearance in self._open.items():
            appearance.outcome = str(self._reached[key][1])
        return [self._open[key] for key in sorted(self._open)]

    def of(self, strategy: str) -> list[str]:
        """Keys of a strategy's open appearances and wishes."""
        wished = {key for key, by in self._wished.items() if by == strategy}
        return sorted(wished | {key for key, appearance in self._open.items() if appearance.strategy == strategy})

    def close_all(self, now: Ns) -> list[Appearance]:
        """At the end of a run: what is open is told with the lifetime it had so far."""
        return [closed for key in sorted(self._open) if (closed := self.vanished(key, now)) is not None]

    def __len__(self) -> int:
        return len(self._open)
