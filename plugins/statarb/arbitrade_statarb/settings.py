"""The plugin's settings: section `statarb`, environment prefix `ARBITRADE_STATARB__`.

Windows, half-lives and pauses count bars; only `bar_s` knows what a bar is in time.
"""

from decimal import Decimal
from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from arbitrade_statarb.pairs import SpreadPair

AUTO = "auto"

Amount = Annotated[Decimal, Field(gt=0)]
Share = Annotated[Decimal, Field(gt=0, le=1)]
Chance = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Window = Annotated[int, Field(ge=50, le=100_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Whole = Annotated[int, Field(ge=0, le=100_000)]
Bps = Annotated[Decimal, Field(ge=0, lt=10_000)]


class StatarbSettings(BaseModel):
    """Which pairs are watched, when a spread is traded, and with how much."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    allocation: dict[str, Amount] = {}
    """The funded baseline: how much of each asset this strategy may rotate, such as `ETH=2,BTC=0.1`. Results are
    measured against holding just that. Empty: nothing is watched or traded."""
    quote: Annotated[str, Field(min_length=1)] = "USD"
    """What `auto` prices the allocated assets in, and what rotations pass through."""
    pairs: Annotated[tuple[str, ...], Field(min_length=1)] = (AUTO,)
    """`auto`: every two allocated assets, both ways around. Or a list such as `ETH/USD:BTC/USD`: the first is held
    against hedge ratio times the second. Listed pairs must prove themselves like all others."""
    max_rotation_share: Share = Decimal("0.5")
    """Most of an asset's allocation that is rotated into its counterpart."""

    bar_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Length of a bar."""
    max_gap_bars: Whole = 3
    """Bars for which a pair without quotes keeps its last mid. After that its windows begin anew."""
    formation_bars: Window = 1_000
    """Window in which pairs are found."""
    validation_bars: Window = 500
    """Later window that must confirm them with the coefficients found before."""
    window_bars: Window = 500
    """Rolling window in which a traded pair must still be cointegrated for a new entry."""
    retest_every_bars: Count = 12
    """Bars between two of those tests."""
    reselect_every_bars: Count = 288
    """Bars between two searches for pairs."""
    tests_per_bar: Count = 2
    """Tests of a search that are done at the close of one bar. Each takes about half a millisecond of the trading
    loop."""
    max_lags: Whole | None = None
    """Most lags of the Dickey-Fuller regressions, among which the Akaike criterion chooses. Not set: Schwert's
    rule, 12 * (bars / 100) ** 0.25."""

    alpha: Chance = 0.05
    """Level of the searches, after correction for all pairs tested."""
    correction: Literal["benjamini-hochberg", "holm"] = "benjamini-hochberg"
    """Holds the share of false pairs among those found (benjamini-hochberg) or the chance of any (holm) under
    `alpha`."""
    retest_alpha: Chance = 0.1
    """Level of the rolling test."""
    half_life_min_bars: Positive = 2.0
    """A spread that halves faster than this is over before an order is there."""
    half_life_max_bars: Positive = 100.0
    """A spread that halves slower than this is not worth waiting for."""
    hedge_ratio_min: Positive = 0.5
    """A rotation moves equal values; the further the hedge ratio is from 1, the more of the market it carries."""
    hedge_ratio_max: Positive = 2.0
    """Likewise."""

    entry_z: Positive = 2.0
    """Standard deviations from which a spread is entered."""
    exit_z: Annotated[float, Field(ge=0)] = 0.5
    """Standard deviations at which it is left."""
    stop_z: Positive = 4.0
    """Standard deviations at which it is given up."""
    time_stop_half_lives: Positive = 3.0
    """Half-lives after which it is given up."""
    cooldown_bars: Whole = 50
    """Bars without an entry after a stop; the spread must also have come back below `entry_z`."""
    kalman_delta: Chance = 1e-6
    """Variance of the hedge ratio's steps as a share of the noise: it remembers about 1 / sqrt(delta) bars, which
    should be many half-lives."""
    kalman_noise_bps: Positive | None = None
    """Standard deviation of a spread that z counts in. Not set: as found in the formation window."""

    slippage_bps: Bps = Decimal(4)
    """Buffer for each of the four trades of a round trip."""
    exit_slippage_bps: Bps = Decimal(100)
    """Most that each trade of a way out may lose to the mid of its bar, beside the fee. What the books do not give
    within that waits for the next bar."""
    cost_margin: Annotated[float, Field(ge=1, le=1000)] = 1.5
    """An entry's expected reversion must be this many times the cost of its round trip."""

    @property
    def bar_ns(self) -> int:
        return self.bar_s * 1_000_000_000

    @property
    def history_bars(self) -> int:
        """Bars that the longest window needs."""
        return max(self.formation_bars + self.validation_bars, self.window_bars)

    def universe(self) -> tuple[SpreadPair, ...]:
        """The pairs to test, each in the direction to test it in."""
        if self.pairs != (AUTO,):
            return tuple(SpreadPair.parse(text) for text in self.pairs)
        symbols = [f"{asset}/{self.quote}" for asset in sorted(self.allocation) if asset != self.quote]
        both = ((SpreadPair(one, two), SpreadPair(two, one)) for one, two in combinations(symbols, 2))
        return tuple(pair for ways in both for pair in ways)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.exit_z < self.entry_z < self.stop_z:
            raise ValueError(
                f"exit_z {self.exit_z}, entry_z {self.entry_z}, stop_z {self.stop_z}: each must be above the one before"
            )
        for low, high in (("half_life_min_bars", "half_life_max_bars"), ("hedge_ratio_min", "hedge_ratio_max")):
            if not getattr(self, low) < getattr(self, high):
                raise ValueError(f"{low} {getattr(self, low)} must be below {high} {getattr(self, high)}")
        shortest_bars = min(self.formation_bars, self.validation_bars, self.window_bars)
        most_lags = shortest_bars // 2 - 2
        if self.max_lags is not None and self.max_lags > most_lags:
            raise ValueError(
                f"max_lags {self.max_lags} is more than the shortest window allows: "
                f"{most_lags} lags in {shortest_bars} bars"
            )
        return self

    @model_validator(mode="after")
    def _pairs_are_funded(self) -> Self:
        if self.pairs == (AUTO,):
            return self
        if AUTO in self.pairs:
            raise ValueError(f"pairs is `{AUTO}` or a list of pairs, not both: {','.join(self.pairs)}")
        if len(set(self.pairs)) < len(self.pairs):
            raise ValueError(f"pairs names one twice: {','.join(self.pairs)}; each is one test")
        for pair in self.universe():
            if pair.quote_y != pair.quote_x:
                raise ValueError(
                    f"pair {pair}: {pair.y} and {pair.x} have no quote asset in common; a rotation passes through it"
                )
            for asset in pair.bases:
                if asset not in self.allocation:
                    raise ValueError(f"pair {pair}: {asset} is not in allocation; say how much of it is the baseline")
        return self
