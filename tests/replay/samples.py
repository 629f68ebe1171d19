"""Seeded series of money, and the libraries that the figures are held against. Those bring no types: they are Any."""

import warnings
from collections.abc import Iterable
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of their own imports: not ours to mend
    stats: Any = import_module("scipy.stats")
    stattools: Any = import_module("statsmodels.tsa.stattools")
    survival_of: Any = import_module("statsmodels.duration.survfunc").SurvfuncRight

type Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def money(values: Iterable[float]) -> list[Decimal]:
    return [Decimal(round(value * 10_000)).scaleb(-4) for value in values]


def floats(values: Iterable[Decimal]) -> Floats:
    return np.array([float(value) for value in values])


def noise(seed: int, count: int, mean: float = 0.0) -> list[Decimal]:
    return money(np.random.default_rng(seed).normal(mean, 1.0, count))


def autoregressive(seed: int, count: int, phi: float, mean: float = 0.0) -> list[Decimal]:
    """First order, around `mean`, started in its stationary distribution, shocks of variance 1."""
    shocks = np.random.default_rng(seed).normal(0.0, 1.0, count)
    values = np.empty(count)
    last = shocks[0] / (1.0 - phi * phi) ** 0.5
    values[0] = last
    for place in range(1, count):
        last = phi * last + shocks[place]
        values[place] = last
    return money(values + mean)
