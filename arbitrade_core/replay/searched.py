"""What a sweep came to, as data. Everything encodes with msgspec."""

from decimal import Decimal

import msgspec

from arbitrade_core.replay.results import Coverage, DeskResult, MarketResult
from arbitrade_core.replay.selection import DeflatedSharpe, Fold, RealityCheck


class Variant(msgspec.Struct, frozen=True):
    """One set of settings, by `section.setting`; numbered from 0 in the order in which the search came to it."""

    number: int
    settings: dict[str, str]


class FoldResult(msgspec.Struct, frozen=True):
    """Chosen on one part of the time, judged on the next."""

    fold: Fold
    chosen: int | None
    """number of the variant that was best in training; None: none traded"""
    trained: Decimal
    """its objective's value in training"""
    tested_valued: Decimal
    """what it earned in the test"""
    best_tested_valued: Decimal
    """what the best of all variants earned in the test: known only afterwards"""


class HeatMap(msgspec.Struct, frozen=True):
    """The mean profit over all variants with these two settings; `y` is empty where only one was searched."""

    x: str
    y: str
    xs: tuple[str, ...]
    ys: tuple[str, ...]
    cells: tuple[tuple[Decimal | None, ...], ...]
    """rows by `ys`, columns by `xs`; None: no variant there"""


class SweepResult(msgspec.Struct, frozen=True):
    coverage: Coverage
    market: MarketResult
    variants: tuple[Variant, ...]
    desks: tuple[DeskResult, ...]
    """of the variants, in their order"""
    objective: str
    scores: tuple[Decimal | None, ...]
    """by the objective, in order of the variants; None: it has no value, as when nothing was traded"""
    ranking: tuple[int, ...]
    """numbers, best first; equal ones in their order"""
    deflated: DeflatedSharpe | None
    reality: RealityCheck | None
    folds: tuple[FoldResult, ...]
    forward_valued: Decimal | None
    """what choosing anew before each test would have earned over all tests: the honest figure of the search"""
    heat: tuple[HeatMap, ...]
    decisions: str
    """`results.hash_of` the variants by their numbers"""
    took_s: float
