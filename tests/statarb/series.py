"""Seeded log prices: walks, spreads that revert, pairs that belong together and pairs that do not."""

import numpy as np

from arbitrade_statarb.regression import Series


def walk(seed: int, bars: int, step: float = 0.01, start: float = 8.0) -> Series:
    rng = np.random.default_rng(seed)
    return start + np.cumsum(rng.normal(0.0, step, bars))


def reverting(seed: int, bars: int, half_life: float, sigma: float) -> Series:
    """A first-order autoregression around 0 with that half-life in bars and that standard deviation."""
    rng = np.random.default_rng(seed)
    phi = 0.5 ** (1.0 / half_life)
    shocks = rng.normal(0.0, sigma * (1.0 - phi * phi) ** 0.5, bars)
    values = np.empty(bars)
    last = rng.normal(0.0, sigma)
    for bar in range(bars):
        last = phi * last + shocks[bar]
        values[bar] = last
    return values


def cointegrated(
    seed: int, bars: int, hedge_ratio: float = 0.9, half_life: float = 6.0, sigma: float = 0.02
) -> tuple[Series, Series]:
    """y and x with `y = 1 + hedge_ratio * x + a spread that reverts`."""
    x = walk(seed, bars)
    return 1.0 + hedge_ratio * x + reverting(seed + 1_000_000, bars, half_life, sigma), x
