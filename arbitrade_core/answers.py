"""What detectors answer, checked before anything rests on it: they are foreign code.

A detector that raises, or whose answer is none, is taken out of use, alone (RELIABILITY 14).
"""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from itertools import pairwise

from arbitrade_core.domain import Candidate, Ns, PairId, Rotation
from arbitrade_core.in_use import FOREIGN, PartsInUse
from arbitrade_core.market import Market
from arbitrade_core.parts import Part
from arbitrade_core.spi import Detector, Finding, Funded, Vanished


class Answers:
    """Asks the detectors of one engine."""

    def __init__(self, market: Market, in_use: PartsInUse) -> None:
        self._market = market
        self._in_use = in_use

    def asked(self, detector: Detector, ask: Callable[[], Collection[Finding]], now: Ns) -> Sequence[Finding]:
        """What a detector answers; nothing when it raises, or when that is no answer."""
        try:
            return self.sound(detector, ask())
        except FOREIGN as error:
            self._in_use.failed(Part.DETECTOR, detector.name, error, now)
            return ()

    def sound(self, detector: Detector, found: Collection[Finding]) -> Sequence[Finding]:
        """The findings, each of them one, of the detector's own strategy and of legs that there are.

        Raises TypeError or ValueError with the first that is not.
        """
        for one in found:
            if isinstance(one, Vanished):
                continue
            if not isinstance(one, Candidate | Rotation):
                raise TypeError(f"found {one!r}, which is no finding")
            if one.strategy != detector.name or not all(0 <= leg < len(self._market.legs) for leg in one.legs):
                raise ValueError(f"found {one!r}: not its own strategy, or not legs of this market")
            if not self._chained(one):
                raise ValueError(f"found {one!r}: its legs do not follow each other")
        return tuple(found)

    def _chained(self, found: Candidate | Rotation) -> bool:
        """Each leg spends what the one before gets; a cycle ends where it began, a rotation elsewhere."""
        legs = [self._market.legs[leg] for leg in found.legs]
        follows = all(one.gets == other.spends for one, other in pairwise(legs))
        closed = bool(legs) and legs[-1].gets == legs[0].spends
        return follows and bool(legs) and closed is isinstance(found, Candidate)

    def wanted(self, detector: Detector, now: Ns) -> Collection[PairId]:
        """The pairs a detector is called for; none when it raises, or when that is no answer."""
        try:
            pairs = list(detector.rebuild(self._market, self._in_use.port_of(detector), now))
            if not all(isinstance(pair, int) and 0 <= pair < len(self._market.pairs) for pair in pairs):
                raise ValueError(f"asks for pairs that there are not: {pairs[:5]!r}")
        except FOREIGN as error:
            self._in_use.failed(Part.DETECTOR, detector.name, error, now)
            return ()
        return pairs

    def allocation(self, detector: Detector, now: Ns) -> dict[str, Decimal] | None:
        """What a detector's strategy is to work with, by asset; None when it raises, or when that is no answer."""
        try:
            allocation = dict(detector.allocation) if isinstance(detector, Funded) else {}
            for asset, amount in allocation.items():
                if not (isinstance(asset, str) and isinstance(amount, Decimal) and amount.is_finite() and amount > 0):
                    raise ValueError(f"its allocation of {asset!r} is {amount!r}, not a positive Decimal")
        except FOREIGN as error:
            self._in_use.failed(Part.DETECTOR, detector.name, error, now)
            return None
        return allocation
