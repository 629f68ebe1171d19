"""Exact pricing of a cycle: how much, at which limits, with which certificate, or at which stage it stopped.

    messages     what a desk asks (`Terms`, `LegInput`) and what it is told (`Priced`, `Stopped`)
    walk         floats: how deep to go into every book, best profit first
    sizing       Decimals: quantities that fund each other at given limits
    cycle        `price_cycle`: the four stages, the recomputation, the certificate
    break_even   what fees would have to be

Floats propose how deep to go; every figure that is ordered, promised or compared with a threshold is exact.
"""

from arbitrade_core.pricing.break_even import BreakEven, break_even_fee
from arbitrade_core.pricing.cycle import price_cycle
from arbitrade_core.pricing.messages import LegInput, Priced, PricedLeg, Stage, Stopped, Terms

__all__ = [
    "BreakEven",
    "LegInput",
    "Priced",
    "PricedLeg",
    "Stage",
    "Stopped",
    "Terms",
    "break_even_fee",
    "price_cycle",
]
