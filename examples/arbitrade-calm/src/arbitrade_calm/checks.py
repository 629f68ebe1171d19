"""The two checks: within hours, and on calm pairs."""

from collections import Counter

from arbitrade_core.domain import Leg, Ns, Plan
from arbitrade_core.spi import DeskView, Refused

from arbitrade_calm.hours import SECOND_NS, Hours
from arbitrade_calm.settings import CalmSettings
from arbitrade_calm.watch import Watch


class TradingHours:
    """Implements `spi.RiskCheck`: plans are made within hours only."""

    name = "calm_hours"

    def __init__(self, hours: Hours, refusals: Counter[str]) -> None:
        self._hours = hours
        self._refusals = refusals

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        opens_ns = self._hours.opens_ns(now)
        if opens_ns <= now:
            return None
        self._refusals["outside trading hours"] += 1
        return Refused(self.name, f"outside trading hours until {self._hours.written(opens_ns)}", opens_ns)


class CalmPairs:
    """Implements `spi.RiskCheck`: every pair of a plan has been watched for long enough, and is calm."""

    name = "calm_volatility"

    def __init__(self, settings: CalmSettings, watch: Watch, refusals: Counter[str]) -> None:
        self._settings = settings
        self._watch = watch
        self._refusals = refusals

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        for planned in plan.legs:
            refused = self._refused(planned.leg, now)
            if refused is not None:
                return refused
        return None

    def _refused(self, leg: Leg, now: Ns) -> Refused | None:
        symbol = leg.symbol
        reading = self._watch.reading(leg.pair_id, now)
        if reading is None:
            return self._no("no price", f"{symbol} has no bid or no ask, so its volatility is not known")
        least_ns = self._settings.min_seen_ns
        if reading.seen_ns < least_ns:
            seen = f"{reading.seen_ns / SECOND_NS:.0f} s, at least {self._settings.min_seen_s:g} s"
            enough_ns = now + least_ns - reading.seen_ns
            return self._no("not watched for long enough", f"{symbol} has been watched for {seen}", enough_ns)
        limit_bps = self._settings.max_volatility_bps
        if reading.volatility_bps > limit_bps:
            words = f"{symbol} moves by {reading.volatility_bps:.1f} bps per sqrt(minute), limit {limit_bps:g} bps"
            ahead = reading.calm_ns > now  # it is rounded, so at the limit it may have come
            return self._no("volatile", words, reading.calm_ns if ahead else None)
        return None

    def _no(self, kind: str, reason: str, until_ns: Ns | None = None) -> Refused:
        self._refusals[kind] += 1
        return Refused(self.name, reason, until_ns)
