"""What a desk asks of pricing and what pricing answers. All amounts are exact Decimals; assets are named."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from arbitrade_core.book import Level
from arbitrade_core.domain import Certificate, Fee, Leg, Pair


@dataclass(frozen=True, slots=True)
class Terms:
    """What a desk asks of a plan (TRADING 13, 14)."""

    margin_bps: Decimal
    """binds the product of the limit prices: the certificate promises it"""
    min_edge_bps: Decimal
    """binds the whole plan's expected edge after buffers"""
    min_profit: Decimal
    """binds the whole plan's expected profit after buffers; in the valuation asset"""
    slippage_bps: Decimal
    """per leg: worsens the expected end"""
    fee_buffer_bps: Decimal
    """per leg: on top of the modelled fee"""
    rounding_fills: int
    """executions per leg whose rounding the certificate allows for"""
    max_levels: int
    """never walk deeper than the checksum covers (10)"""


@dataclass(frozen=True, slots=True)
class LegInput:
    """One leg as the desk sees it now."""

    leg: Leg
    pair: Pair
    levels: Sequence[Level]
    """(ticks, lots), best first, less what is taken or promised already"""
    fee: Fee


@dataclass(frozen=True, slots=True)
class PricedLeg:
    """A `domain.PlanLeg` that has no order id yet; the fields mean the same."""

    leg: Leg
    qty: Decimal
    limit: Decimal
    fee: Fee
    top: Decimal
    average: Decimal
    spend: Decimal
    get: Decimal


@dataclass(frozen=True, slots=True)
class Priced:
    """A cycle that is worth trading: sized, limited, certified. Amounts are in the start asset."""

    legs: tuple[PricedLeg, ...]
    start: Decimal
    """to be reserved: the most that leg 1 can spend"""
    end: Decimal
    """expected to be there at the end, of `start`: what the last leg brings and what leg 1 leaves unspent"""
    certificate: Certificate
    edge_bps: Decimal
    """`profit` relative to what leg 1 is expected to spend; rounded down to 6 decimals"""
    profit: Decimal
    """expected, after fees, lots and depth, before buffers; equals `end - start`"""
    buffered_profit: Decimal
    """`profit` after the buffers for slippage and fees"""


class Stage(StrEnum):
    """Where pricing stopped: the candidate did not survive this stage."""

    FEES = "fees"
    ROUNDING = "rounding"
    DEPTH = "depth"
    BUFFERS = "buffers"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why a candidate is no plan: one row of "why no trade"."""

    stage: Stage
    reason: str
    """plain words with figures and assets"""
    edge_bps: Decimal | None
    """best expected edge after fees as far as it got; None when a book was empty"""

    def __str__(self) -> str:
        return f"stopped at {self.stage.value}: {self.reason}"
