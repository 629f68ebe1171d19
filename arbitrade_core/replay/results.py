"""What a replay came to, as data: the one thing that reports, sweeps and comparisons read.

Made by `collect` from journal records and appearances alone, so that a report says what the journal says. Money is
exact; `_valued` is in the valuation asset; times are ns since the epoch. Everything encodes with msgspec.
"""

from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.replay.statistics import Window

HEADLINE = "headline"
"""The desk that takes each appearance once: a recorded mispricing survives our fills (TRADING 32)."""
UNLIMITED = "unlimited"
"""The one that takes them as often as they are offered."""


class PlanResult(msgspec.Struct, frozen=True):
    """One plan, from its approval to its end. Names and figures are those of the journal's records."""

    id: str
    strategy: str
    kind: str
    key: str
    path: str
    pairs: tuple[str, ...]
    """symbols of its legs, in trade order"""
    decided_ns: Ns
    ended_ns: Ns | None
    """None: still open when the replay ended"""
    outcome: str
    """completed | partial | unwound | missed | stuck | gone (dropped at the last look) | open"""
    start_asset: str
    start: Decimal
    notional_valued: Decimal
    expected_edge_bps: Decimal
    expected_profit_valued: Decimal
    profit_valued: Decimal | None
    pnl: dict[str, Decimal]
    """what it changed, by asset"""
    residue: dict[str, Decimal]
    attribution: tuple[dict[str, Any], ...]
    """expected minus realised, per leg: `attribution` of the journal's `end` record"""
    orders: int
    ordered_valued: Decimal
    """of all its orders at their limits, at the marks of its decision"""
    filled_valued: Decimal
    """what filled of them, at the same prices"""
    fees_valued: Decimal


class Life(msgspec.Struct, frozen=True):
    """One appearance of a mispricing as this desk saw it: from the message that lifted it over the desk's hurdle."""

    strategy: str
    key: str
    path: str
    opened_ns: Ns
    closed_ns: Ns | None
    """None: it was there when the replay ended"""
    best_gross_bps: float
    best_edge_bps: Decimal | None
    """after fees, as priced; None: no pricing got that far"""
    outcome: str
    """the furthest stage it reached, in words"""
    evaluations: int


class Worth(msgspec.Struct, frozen=True, array_like=True):
    """Trading and revaluation P&L at one moment, since the start, in the valuation asset."""

    at_ns: Ns
    trading: Decimal
    revaluation: Decimal | None
    """None: something held could not be marked"""


class DeskResult(msgspec.Struct, frozen=True):
    """One desk's. What is long is empty in the results of a sweep's variants, but for `earned`."""

    name: str
    """`headline`, `latency 50 ms`, a variant's number"""
    settings: dict[str, str]
    """what it has otherwise than the job, by `section.setting`"""
    fees_id: str
    fees_source: str
    decisions: str
    """SHA-256 over its journal records, in hex: the same recording, settings and code give the same"""
    halted: str | None
    opening: dict[str, Decimal]
    closing: dict[str, Decimal]
    valuation_asset: str
    trading_valued: Decimal
    """by all plans that ended"""
    revaluation_valued: Decimal | None
    """of what is held, when all of it could last be marked; None: it never could"""
    drawdown_valued: Decimal
    """largest fall of trading plus revaluation from its peak, at the moments of `worth`"""
    fees_valued: Decimal
    exposure_valued: Decimal
    """most that open plans had under way at once"""
    funnel: dict[str, Any]
    """`funnel.DeskFunnel.view`"""
    funnel_by_key: dict[str, dict[str, Any]]
    outcomes: dict[str, int]
    """plans by outcome"""
    orders: int
    fills: int
    ordered_valued: Decimal
    filled_valued: Decimal
    earned: tuple[tuple[Ns, Ns, Decimal], ...]
    """of every plan that ended: decided, ended, profit_valued; in order of its end"""
    plans: tuple[PlanResult, ...] = ()
    lives: tuple[Life, ...] = ()
    worth: tuple[Worth, ...] = ()
    refusals: dict[str, int] = {}
    """appearances refused, by risk check"""


class Coverage(msgspec.Struct, frozen=True):
    """What of the range was recorded."""

    wanted: Window
    stretches: tuple[Window, ...]
    """recorded without a gap, in order, inside `wanted`"""
    gaps: tuple[tuple[Ns, Ns, str], ...]
    """from, to, why; inside `wanted`, edges included"""
    recordings: tuple[int, ...]
    pairs: tuple[str, ...]
    """symbols of all pairs whose books were carried at some time"""
    overlapped: tuple[int, ...] = ()
    """recordings that are not read, since one that covers more of the range was made at the same time"""

    @property
    def covered_ns(self) -> Ns:
        return sum(stretch.end_ns - stretch.start_ns for stretch in self.stretches)


class MarketResult(msgspec.Struct, frozen=True):
    """What the replay saw of the market, whatever desks there were."""

    frames: int
    updates: int
    checksums_ok: int
    checksums_bad: int
    faults: dict[str, int]
    jitter_ms: float
    """the recording's own: the interquartile range of feed lag, below which latencies are extrapolated"""
    detection: dict[str, int]
    """`funnel.detection_totals`"""
    pairs_live: int
    """whose books were live at some time"""


class ReplayResult(msgspec.Struct, frozen=True):
    coverage: Coverage
    market: MarketResult
    desks: dict[str, DeskResult]
    """by name"""
    took_s: float
    """of CPU, not part of any hash"""

    @property
    def decisions(self) -> str:
        """SHA-256 over the desks' names and hashes, in hex."""
        return hash_of({name: desk.decisions for name, desk in self.desks.items()})


def hash_of(decisions: dict[str, str]) -> str:
    """SHA-256, in hex, over the hashes of desks by their names, in order of name."""
    told = sha256()
    for name in sorted(decisions):
        told.update(f"{name}\0{decisions[name]}\n".encode())
    return told.hexdigest()
