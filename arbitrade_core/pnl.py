"""Profit and loss of one desk in its valuation asset: trading, revaluation and flows, kept apart (TRADING 22, 23).

- *trading*: what plans changed, asset by asset, fees and unwinds included, at the marks of the moment they were
  decided;
- *revaluation*: what the inventory is worth now less what it was worth at opening, less trading, less flows;
- *flows*: deposits, withdrawals and other external changes, at the marks of their moment.

Loss limits read trading; drawdown reads trading plus revaluation; nothing but a display reads flows. A day is
a UTC day. Call under `money.exact()`.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from arbitrade_core.domain import Ns
from arbitrade_core.money import ZERO

type Mark = Callable[[str], Decimal | None]
"""Value of one unit of an asset; None: it cannot be marked"""

HOUR_NS: Ns = 3_600_000_000_000
DAY_NS: Ns = 24 * HOUR_NS
_KEPT_NS = 2 * DAY_NS


def hour_start(now: Ns) -> Ns:
    return now - now % HOUR_NS


def day_start(now: Ns) -> Ns:
    """Midnight UTC."""
    return now - now % DAY_NS


@dataclass(frozen=True, slots=True)
class Result:
    """One ended plan's trading P&L."""

    ended_ns: Ns
    value: Decimal
    completed: bool
    unmarked: tuple[str, ...] = ()
    """changed assets that had no mark: their part is not in `value`"""


class Results:
    """The desk's P&L since it opened. Ended plans of the last two days are kept one by one, older ones as a sum."""

    def __init__(self, valuation_asset: str) -> None:
        self.valuation_asset = valuation_asset
        self.trading = ZERO
        """by all plans that ended since opening"""
        self.flows = ZERO
        self.unmarked: dict[str, Decimal] = {}
        """changes that could not be valued, by asset: shown, and a reason to stop (TRADING 22)"""
        self._recent: deque[Result] = deque()
        self._opening: dict[str, Decimal] = {}
        self._opening_value: Decimal | None = None
        self.last_revaluation: Decimal | None = None
        """as of the last time that all could be marked"""
        self.deepest_fall = ZERO
        """the largest drawdown since opening"""
        self._gain: Decimal | None = ZERO
        self._peak = ZERO
        self._earlier: Decimal | None = None
        """the high water of earlier runs, until it can be compared with the opening"""

    # --- what happens ---

    def open(self, balances: Mapping[str, Decimal], mark: Mark, high_water: Decimal | None = None) -> None:
        """Remember the opening inventory; what cannot be marked yet is marked when it first can be.

        `high_water` is that of earlier runs: drawdown goes on from there (RELIABILITY 9).
        """
        self._opening = dict(balances)
        self._earlier = high_water
        self._mark_opening(mark)

    def _mark_opening(self, mark: Mark) -> None:
        self._opening_value = value_of(self._opening, mark)
        if self._opening_value is not None and self._earlier is not None:
            self._peak = max(self._peak, self._earlier - self._opening_value)
            self._earlier = None

    def recover(self, earlier: Iterable[Result]) -> None:
        """Plans that ended before a restart, oldest first: they count in the windows, so that loss limits hold
        across restarts (RELIABILITY 9); totals begin anew with the opening."""
        self._recent.extendleft(reversed(list(earlier)))

    def ended(self, changes: Mapping[str, Decimal], marks: Mapping[str, Decimal], now: Ns, completed: bool) -> Result:
        """A plan ended: `changes` are its asset changes, `marks` those of the moment it was decided.

        `completed` is False for plans that ended otherwise: their losses are unwind losses.
        """
        missing = tuple(sorted(asset for asset, amount in changes.items() if amount and asset not in marks))
        value = sum((amount * marks[asset] for asset, amount in changes.items() if asset in marks), ZERO)
        for asset in missing:
            self.unmarked[asset] = self.unmarked.get(asset, ZERO) + changes[asset]
        result = Result(now, value, completed, missing)
        self.trading += value
        self._recent.append(result)
        while self._recent[0].ended_ns < now - _KEPT_NS:
            self._recent.popleft()
        return result

    def flowed(self, asset: str, amount: Decimal, mark: Mark) -> None:
        """An external flow was booked."""
        value = mark(asset)
        if value is None:
            self.unmarked[asset] = self.unmarked.get(asset, ZERO) + amount
        else:
            self.flows += amount * value

    def revalue(self, balances: Mapping[str, Decimal], mark: Mark) -> Decimal | None:
        """Mark the inventory; returns the revaluation, None when something cannot be marked.

        Call it at every plan's end and from time to time: drawdown is measured at these moments.
        """
        if self._opening_value is None:
            self._mark_opening(mark)
        worth = value_of(balances, mark)
        if worth is None or self._opening_value is None:
            self._gain = None
            return None
        self._gain = worth - self._opening_value - self.flows
        if self._gain > self._peak:
            self._peak = self._gain
        elif self._peak - self._gain > self.deepest_fall:
            self.deepest_fall = self._peak - self._gain
        self.last_revaluation = self._gain - self.trading
        return self.last_revaluation

    # --- reading ---

    def trading_pnl(self, since: Ns) -> Decimal:
        """Of plans that ended at or after `since`, at most two days back."""
        return sum((result.value for result in self._since(since)), ZERO)

    def unwind_loss(self, since: Ns) -> Decimal:
        """Lost (positive) by plans that ended otherwise than completed, gains not netted against it."""
        return sum(
            (-result.value for result in self._since(since) if not result.completed and result.value < 0),
            ZERO,
        )

    def hour(self, now: Ns) -> Decimal:
        """Trading P&L of the running UTC hour."""
        return self.trading_pnl(hour_start(now))

    def day(self, now: Ns) -> Decimal:
        """Trading P&L of the running UTC day."""
        return self.trading_pnl(day_start(now))

    @property
    def revaluation(self) -> Decimal | None:
        """As of the last `revalue`."""
        return None if self._gain is None else self._gain - self.trading

    def drawdown(self) -> Decimal | None:
        """Fall of trading plus revaluation from its peak, positive, as of the last `revalue`; None: unmarked."""
        return None if self._gain is None else self._peak - self._gain

    @property
    def high_water(self) -> Decimal | None:
        """Most that the inventory was worth, later flows counted as if they had always been there; what `open` of
        the next run wants. None: nothing could be marked yet."""
        if self._opening_value is None:
            return self._earlier
        return self._opening_value + self._peak + self.flows

    def _since(self, since: Ns) -> list[Result]:
        results = list(self._recent)
        return results[bisect_left(results, since, key=lambda result: result.ended_ns) :]


def value_of(balances: Mapping[str, Decimal], mark: Mark) -> Decimal | None:
    """Worth of an inventory; None when a held asset has no mark."""
    total = ZERO
    for asset, amount in balances.items():
        if amount:
            value = mark(asset)
            if value is None:
                return None
            total += amount * value
    return total
