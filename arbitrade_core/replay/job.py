"""What a backtest or a sweep is asked to do: everything that its result depends on, but for recording and code.

A job is complete in itself: fees, settings and the random seed are in it, so that it gives the same wherever and
whenever it runs. Who submits one resolves what is only known then (`backtests.submit`).
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SPEC_VERSION = 1


class Told(BaseModel):
    """Part of a job."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FeeRates(Told):
    """One pair's: fractions of the cost."""

    maker: Decimal
    taker: Decimal
    currency: Literal["quote", "base", "either"] = "quote"


class Fees(Told):
    """A schedule as it is: rates by symbol, resolved when the job was submitted."""

    id: str
    source: str
    """in words for people, with its age where it has one"""
    as_of_ns: int
    rates: dict[str, FeeRates]


class FeeStep(Told):
    name: str
    fees: Fees


class Range(Told):
    """From `low` to `high`, both included, by `step`, or by equal factors where `log`."""

    low: Decimal
    high: Decimal
    step: Decimal | None = None
    """not set: any value between; a grid needs it"""
    log: bool = False

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if self.high <= self.low or (self.step is not None and self.step <= 0) or (self.log and self.low <= 0):
            raise ValueError(
                f"a range from {self.low} to {self.high} by {self.step} holds nothing; write low:high:step"
            )
        return self


class SweepSpec(Told):
    """The search: which settings, where, and how many variants."""

    space: dict[str, tuple[str, ...] | Range]
    """by `section.setting`: the values to try, or a range"""
    method: Literal["grid", "random", "adaptive"] = "grid"
    variants: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """how many to try; not set: all of a grid"""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 100
    """adaptive: variants between two looks at the results, whatever number of processes there is"""
    objective: Literal["profit", "profit_per_drawdown", "sharpe"] = "profit"
    folds: Annotated[int, Field(ge=0, le=100)] = 5
    """of the walk-forward split; 0: none"""


class JobSpec(Told):
    """A backtest, or a sweep when `sweep` is set."""

    version: int = SPEC_VERSION
    name: str = ""
    """for people"""
    recording: int | None = None
    """only this recording; not set: whatever was recorded in the range"""
    start: datetime
    end: datetime
    pairs: tuple[str, ...] | None = None
    """symbols; None: every pair that was recorded"""
    balances: Annotated[dict[str, Annotated[Decimal, Field(ge=0)]], Field(min_length=1)]
    min_profit_bps: Annotated[Decimal, Field(ge=0, lt=10_000)] | None = None
    """least expected edge after fees and buffers"""
    min_profit_valued: Annotated[Decimal, Field(ge=0)] | None = None
    """least expected profit in the valuation asset; one of the two thresholds is required"""
    fees: Fees
    ladder: tuple[FeeStep, ...] = ()
    """steps of the schedule for the fee curve, dearest first; empty: none is known"""
    slippage_bps: Annotated[Decimal, Field(ge=0, lt=10_000)] = Decimal(4)
    latency_ms: Annotated[int, Field(ge=0)] = 20
    commit_ms: Annotated[Decimal, Field(ge=0)] = Decimal(2)
    """what a commit of the journal takes"""
    executor: str | None = None
    """for cycles; None: as the settings say"""
    executors: tuple[str, ...] = ()
    """that carry out cycles: the one that does it here first, then those that have curves of their own beside it"""
    plugins: tuple[str, ...] | None = None
    """to use; None: those of the settings"""
    seed: int = 0
    settings: dict[str, str] = {}
    """variables of the environment, by name: the operator's own as they were, and what the job says otherwise"""
    curves: bool = True
    """whether to run the desks of the latency and fee curves"""
    alone: bool = False
    """whether there is the headline's desk and no other: a strategy decides from what all desks hold and pay"""
    sweep: SweepSpec | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.version != SPEC_VERSION:
            raise ValueError(f"job version {self.version}: this program knows {SPEC_VERSION}; submit it anew")
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("start and end need a time zone, such as 2026-11-22T10:00:00Z")
        if self.end <= self.start:
            raise ValueError(f"the range from {self.start} to {self.end} is empty; end must come after start")
        if self.min_profit_bps is None and self.min_profit_valued is None:
            raise ValueError("a threshold is required: min_profit_bps, min_profit_valued, or both")
        return self
