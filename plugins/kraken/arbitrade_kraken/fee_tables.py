"""Kraken's published fee schedules and the classes of pairs they speak of, each with its date (PROTOCOL 4.1).

A pair's class follows its *base*: a stablecoin or a national currency as base makes it stable; a stablecoin
that is only the quote does not. Whatever these tables do not name is crypto, which is never the cheaper class
(TRADING 9).
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class FeeClass(StrEnum):
    CRYPTO = "crypto"
    STABLE = "stable"
    PEGGED = "pegged"


@dataclass(frozen=True, slots=True)
class Rates:
    """Basis points of the cost. A maker rate below zero is a rebate."""

    maker_bps: Decimal
    taker_bps: Decimal


ASSETS_AS_OF = "2024-04-03"
"""Kraken's instrument list that the two tables below were taken from."""
STABLE_ASSETS = frozenset({
    "AED", "AUD", "CAD", "CHF", "EUR", "GBP", "JPY", "USD",
    "DAI", "EURT", "PYUSD", "TUSD", "USDC", "USDT",
})  # fmt: skip
PEGGED_PAIRS = frozenset({"WBTC/BTC"})

STABLE_AS_OF = "2025-06"
STABLE_RATES = Rates(Decimal(20), Decimal(20))
"""Base step of stablecoin, fiat and pegged pairs; newer pairs had promotions, which are not counted on."""


@dataclass(frozen=True, slots=True)
class Tier:
    name: str
    published: str
    crypto: Rates
    ladder: str | None = None
    """whose step it is; None: what comes above it is not public"""
    volume_usd: int = 0
    """of 30 days, from which on it holds"""


_LADDER_2024_03 = (
    (0, "25", "40"),
    (10_000, "20", "35"),
    (50_000, "14", "24"),
    (100_000, "12", "22"),
    (250_000, "10", "20"),
    (500_000, "8", "18"),
    (1_000_000, "6", "16"),
    (2_500_000, "4", "14"),
    (5_000_000, "2", "12"),
    (10_000_000, "0", "10"),
    (100_000_000, "0", "8"),
    (500_000_000, "0", "5"),
)

TIERS: dict[str, Tier] = {"tier-1": Tier("tier-1", "2026-07-09", Rates(Decimal(40), Decimal(80)))} | {
    (name := f"2024-03/{volume_usd}"): Tier(
        name, "2024-03, until 2026-07", Rates(Decimal(maker), Decimal(taker)), "2024-03", volume_usd
    )
    for volume_usd, maker, taker in _LADDER_2024_03
}
"""By name. What comes above tier-1 since 2026-07-09 is not public: it comes from the account."""
