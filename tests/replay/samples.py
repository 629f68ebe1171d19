"""Seeded series of money, and scipy, which the figures are held against. It brings no types, so it comes in as Any."""

import warnings
from collections.abc import Iterable
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own imports: not ours to mend
    stats: Any = import_module("scipy.stats")

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
