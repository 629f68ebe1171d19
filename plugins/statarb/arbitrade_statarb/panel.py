"""What the strategy shows of itself: how its holdings stand against the baseline, what is followed and why."""

from collections.abc import Iterator
from decimal import Decimal

from arbitrade_core.domain import Ns
from arbitrade_core.money import ZERO, floor_decimals, plain
from arbitrade_core.panels import Content, Fact, Table, Tone
from arbitrade_statarb.detector import StatarbDetector
from arbitrade_statarb.signal import Position

_WARNING = (
    "Experimental. Four taker fees per round trip precede every gain, and most spreads never pay for them. A restart, "
    "or switching it off and on, forgets all models: what is in a position then goes back to the baseline. While it is "
    "off, its ledger keeps what it holds as it is."
)


class StatarbPanel:
    """Implements `panels.Panel`."""

    name = "statarb"
    title = "Statistical arbitrage"

    def __init__(self, detector: StatarbDetector) -> None:
        self._detector = detector

    def content(self, now: Ns) -> Content:
        return Content(tuple(self._facts()), tuple(self._tables()), _WARNING)

    def _facts(self) -> Iterator[Fact]:
        detector, strategy = self._detector, self._detector.strategy
        if not detector.allocation:
            yield Fact("idle", "no allocation is set (ARBITRADE_STATARB__ALLOCATION)", Tone.WARNING)
            return
        known, needed = min(strategy.known_bars, strategy.searched_bars), strategy.searched_bars
        yield Fact("history", f"{known} of {needed} bars of {detector.settings.bar_s} s")
        yield Fact("pairs followed", str(len(strategy.positions)))
        in_position = sum(position is not Position.FLAT for position in strategy.positions.values())
        yield Fact("in position", str(in_position), Tone.GOOD if in_position else Tone.PLAIN)
        compared = detector.comparison
        if compared is None:
            yield Fact("against holding", "not known: no bar has closed, or a price or the allocation is missing")
            return
        quote = _quote(detector)
        yield Fact("value", f"{_money(compared.value)} {quote}")
        yield Fact("value of just holding", f"{_money(compared.baseline_value)} {quote}")
        tone = Tone.GOOD if compared.gained > 0 else Tone.BAD if compared.gained < 0 else Tone.PLAIN
        bps = plain(floor_decimals(compared.gained_bps, 1))
        yield Fact("against holding", f"{_money(compared.gained)} {quote} ({bps} bps), fees paid", tone)

    def _tables(self) -> Iterator[Table]:
        detector = self._detector
        compared = detector.comparison
        if compared is not None:
            assets = sorted(compared.held.keys() | compared.baseline.keys())
            rows = [
                (
                    asset,
                    plain(compared.held.get(asset, ZERO)),
                    plain(compared.baseline.get(asset, ZERO)),
                    plain(floor_decimals(compared.prices[asset], 8)),
                )
                for asset in assets
            ]
            columns = ("asset", "held", "baseline", "price")
            yield Table(columns, rows, "The ledger of the strategy, at the mids of the last closed bar")
        decisions = [
            (
                str(pair),
                decision.signal.position.name.lower(),
                decision.signal.reason.value,
                "" if decision.reading is None else f"{decision.reading.z:+.2f}",
                "" if decision.reading is None else f"{decision.reading.half_life_bars:.0f}",
                f"{decision.signal.expected_bps:.1f}" if decision.signal.expected_bps else "",
            )
            for pair, decision in sorted(detector.decisions.items())
        ]
        headings = ("pair", "position", "why", "z", "half-life, bars", "expected bps")
        yield Table(headings, decisions, "Spreads that are followed, at the last closed bar")
        selection = detector.strategy.selection
        if selection is not None:
            verdicts = [(str(verdict.pair), verdict.stage.value, verdict.reason) for verdict in selection.verdicts]
            yield Table(("pair", "stage", "reason"), verdicts, "The last search: why each pair is followed or not")


def _quote(detector: StatarbDetector) -> str:
    return next((symbol.partition("/")[2] for symbol in sorted(detector.strategy.symbols)), "")


def _money(amount: Decimal) -> str:
    """Rounded down to what eyes need."""
    return plain(floor_decimals(amount, 4))
