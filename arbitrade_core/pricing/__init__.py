"""Exact pricing of cycles and rotations: how much, at which limits, with which promise, or where it stopped.

    messages     what a desk asks (`Terms`, `LegInput`) and what it is told (`Priced`, `Stopped`)
    walk         floats: how deep to go into every book, best profit first
    sizing       Decimals: quantities that fund each other at given limits
    whole_lots   Decimals: every size, where a book holds so few lots that rounding decides
    tight        Decimals: limits no worse than needed, and what is to be expected at them
    cycle        `price_cycle`, `CyclePricing`: the four stages, the recomputation, the certificate
    rotation     `price_rotation`: one asset of an inventory into another, within a price bound
    break_even   what fees would have to be

Floats propose how deep to go; every figure that is ordered, promised or compared with a threshold is exact.
"""

from arbitrade_core.pricing.break_even import BreakEven, break_even_fee
from arbitrade_core.pricing.cycle import CyclePricing, price_cycle
from arbitrade_core.pricing.messages import LegInput, Priced, PricedLeg, Stage, Stopped, Terms
from arbitrade_core.pricing.rotation import PricedRotation, price_rotation

__all__ = [
    "BreakEven",
    "CyclePricing",
    "LegInput",
    "Priced",
    "PricedLeg",
    "PricedRotation",
    "Stage",
    "Stopped",
    "Terms",
    "break_even_fee",
    "price_cycle",
    "price_rotation",
]
