"""What the plugin shows of itself: whether it is open, what it refused, and how wild each pair is."""

from collections import Counter

from arbitrade_core.domain import Ns
from arbitrade_core.panels import Content, Fact, Table, Tone

from arbitrade_calm.hours import SECOND_NS, Hours
from arbitrade_calm.settings import CalmSettings
from arbitrade_calm.watch import Reading, Watch

MOST_ROWS = 50


class CalmPanel:
    """Implements `panels.Panel`."""

    name = "calm"
    title = "Calm hours"

    def __init__(self, settings: CalmSettings, hours: Hours, watch: Watch, refusals: Counter[str]) -> None:
        self._settings = settings
        self._hours = hours
        self._watch = watch
        self._refusals = refusals

    def content(self, now: Ns) -> Content:
        opens_ns = self._hours.opens_ns(now)
        closed = f"closed until {self._hours.written(opens_ns)}"
        read = self._watch.readings(now)
        states = {symbol: self._state(reading) for symbol, reading in read.items()}
        calm = sum(state == "calm" for state in states.values())
        wildest = sorted(read, key=lambda symbol: (-_volatility(read[symbol]), symbol))[:MOST_ROWS]
        facts = (
            Fact("hours", "open", Tone.GOOD) if opens_ns <= now else Fact("hours", closed, Tone.WARNING),
            Fact("calm pairs", f"{calm} of {len(read)}", Tone.GOOD if calm == len(read) else Tone.WARNING),
            Fact("limit", f"{self._settings.max_volatility_bps:g} bps per sqrt(minute)"),
        )
        refusals = Table(
            ("reason", "times"),
            [(reason, f"{times:,}") for reason, times in sorted(self._refusals.items())],
            "Refusals, of all desks",
        )
        volatility = Table(
            ("pair", "bps per sqrt(minute)", "watched for", "state"),
            [(symbol, *_figures(read[symbol]), states[symbol]) for symbol in wildest],
            f"Volatility, the {len(wildest)} wildest of {len(read)} pairs",
        )
        return Content(facts, (refusals, volatility))

    def _state(self, reading: Reading | None) -> str:
        if reading is None:
            return "no price"
        if reading.seen_ns < self._settings.min_seen_ns:
            return "not watched for long enough"
        return "volatile" if reading.volatility_bps > self._settings.max_volatility_bps else "calm"


def _volatility(reading: Reading | None) -> float:
    return -1.0 if reading is None else reading.volatility_bps


def _figures(reading: Reading | None) -> tuple[str, str]:
    if reading is None:
        return "-", "-"
    return f"{reading.volatility_bps:.1f}", f"{max(0, reading.seen_ns) // SECOND_NS:,} s"
