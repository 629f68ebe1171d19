"""What the strategy shows of itself: what is followed and why, and how its holdings stand against the baseline."""

from arbitrade_core.domain import Ns
from arbitrade_core.panels import Content, Fact, Table, Tone
from arbitrade_statarb.detector import StatarbDetector
from arbitrade_statarb.signal import Position

_WARNING = "experimental: four taker fees per round trip precede every gain; most spreads never pay for them"


class StatarbPanel:
    """Implements `panels.Panel`."""

    name = "statarb"
    title = "Statistical arbitrage"

    def __init__(self, detector: StatarbDetector) -> None:
        self._detector = detector

    def content(self, now: Ns) -> Content:
        detector = self._detector
        selection = detector.strategy.selection
        in_position = sum(position is not Position.FLAT for position in detector.strategy.positions.values())
        facts = [
            Fact("baseline", ", ".join(f"{amount} {asset}" for asset, amount in detector.allocation.items()) or "none"),
            Fact("pairs followed", str(len(detector.strategy.positions))),
            Fact("in position", str(in_position), Tone.GOOD if in_position else Tone.PLAIN),
        ]
        if not detector.allocation:
            facts.append(Fact("idle", "no allocation is set (ARBITRADE_STATARB__ALLOCATION)", Tone.WARNING))
        tables = [
            Table(
                ("pair", "position", "why", "z", "half-life, bars", "expected bps"),
                [
                    (
                        str(pair),
                        decision.signal.position.name.lower(),
                        decision.signal.reason.value,
                        "" if decision.reading is None else f"{decision.reading.z:+.2f}",
                        "" if decision.reading is None else f"{decision.reading.half_life_bars:.0f}",
                        f"{decision.signal.expected_bps:.1f}",
                    )
                    for pair, decision in sorted(detector.decisions.items())
                ],
                "Spreads that are followed, at the last closed bar",
            )
        ]
        if selection is not None:
            rows = [(str(verdict.pair), verdict.stage.value, verdict.reason) for verdict in selection.verdicts]
            tables.append(Table(("pair", "stage", "reason"), rows, "The last search: why each pair is followed or not"))
        return Content(tuple(facts), tuple(tables), _WARNING)
