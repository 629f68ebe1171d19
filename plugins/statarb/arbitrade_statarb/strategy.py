"""The whole of it, without I/O: closed bars in, decisions out.

A search for pairs runs in the background, a few tests a bar, over windows frozen when it began; what it chooses is
followed until a later search drops it. Feeding the same bars and fees again ends in the same state.
"""

from collections.abc import Generator, Mapping
from decimal import Decimal

from arbitrade_statarb.bars import Bars
from arbitrade_statarb.costs import round_trip_bps
from arbitrade_statarb.history import History
from arbitrade_statarb.pairs import SpreadPair
from arbitrade_statarb.selection import Selection, Verdict, selecting
from arbitrade_statarb.settings import StatarbSettings
from arbitrade_statarb.signal import Position
from arbitrade_statarb.spread import Decision, Spread


class Strategy:
    """All pairs of one desk."""

    def __init__(self, settings: StatarbSettings) -> None:
        self._settings = settings
        self.universe = settings.universe()
        # A pair gets up to two tests, some to a bar: the search's windows must still be there when it ends.
        search_bars = 2 * len(self.universe) // settings.tests_per_bar + 2
        self._history = History(settings.bar_ns, settings.history_bars + search_bars)
        self._spreads: dict[SpreadPair, Spread] = {}
        self._search: Generator[None, None, Selection] | None = None
        self._until_search_bars = 0
        self.selection: Selection | None = None
        """of the last search that ended: why each pair is traded or not"""

    @property
    def symbols(self) -> frozenset[str]:
        """The symbols whose bars are wanted."""
        return frozenset(symbol for pair in self.universe for symbol in (pair.y, pair.x))

    @property
    def positions(self) -> Mapping[SpreadPair, Position]:
        """Wanted of every pair that is followed. The assets of all other pairs belong at the baseline."""
        return {pair: spread.state.position for pair, spread in self._spreads.items()}

    def on_bars(self, bars: Bars, taker: Mapping[str, Decimal]) -> list[Decision]:
        """Take one closed bar and the taker fees in force by symbol, as fractions of the cost.

        One decision for each pair that is followed, in the order of their names. Symbols without a fee are not entered.
        """
        self._history.add(bars)
        costs = self._costs(taker)
        decisions: list[Decision] = []
        for pair, spread in sorted(self._spreads.items()):
            if min(self._history.unbroken_bars(symbol) for symbol in (pair.y, pair.x)) < 2:  # noqa: PLR2004
                decisions.append(spread.on_gap(bars.end_ns))
                del self._spreads[pair]
                continue
            cost = costs.get(pair)
            fresh = bars.mids[pair.y].age_bars == bars.mids[pair.x].age_bars == 0
            decisions.append(spread.on_bar(self._history, None if cost is None else float(cost), fresh))
            if spread.retiring and spread.state.position is Position.FLAT:
                del self._spreads[pair]
        self._seek(costs)
        return decisions

    def _costs(self, taker: Mapping[str, Decimal]) -> dict[SpreadPair, Decimal]:
        return {
            pair: round_trip_bps(taker[pair.y], taker[pair.x], self._settings.slippage_bps)
            for pair in self.universe
            if pair.y in taker and pair.x in taker
        }

    def _seek(self, costs: Mapping[SpreadPair, Decimal]) -> None:
        settings = self._settings
        self._until_search_bars -= 1
        if self._search is None and self._until_search_bars <= 0 and self._ready():
            split = self._history.split(settings.formation_bars, settings.validation_bars)
            self._search = selecting(self.universe, split, costs, settings)
            self._until_search_bars = settings.reselect_every_bars
        if self._search is not None:
            try:
                for _ in range(settings.tests_per_bar):
                    next(self._search)
            except StopIteration as end:
                self._search = None
                self._adopt(end.value)

    @property
    def known_bars(self) -> int:
        """Bars without a gap of the pair that has most of them: a search begins with `searched_bars`."""
        pairs = ((self._history.unbroken_bars(symbol) for symbol in (pair.y, pair.x)) for pair in self.universe)
        return max((min(both) for both in pairs), default=0)

    @property
    def searched_bars(self) -> int:
        return self._settings.formation_bars + self._settings.validation_bars

    def _ready(self) -> bool:
        return bool(self.universe) and self.known_bars >= self.searched_bars

    def _adopt(self, selection: Selection) -> None:
        self.selection = selection
        chosen = {verdict.pair: verdict for verdict in selection.chosen}
        for pair, spread in list(self._spreads.items()):
            spread.retiring = pair not in chosen
            if spread.retiring and spread.state.position is Position.FLAT:
                del self._spreads[pair]
        taken = {asset for pair in self._spreads for asset in pair.bases}
        for pair, verdict in chosen.items():
            if taken.isdisjoint(pair.bases):
                self._follow(verdict, selection)

    def _follow(self, verdict: Verdict, selection: Selection) -> None:
        pair, fit = verdict.pair, verdict.fit
        assert fit is not None
        later = (self._history.end_ns - selection.end_ns) // self._settings.bar_ns
        y, x = (self._history.last(symbol, self._settings.validation_bars + later) for symbol in (pair.y, pair.x))
        if y is not None and x is not None:  # else a gap came while the search ran
            self._spreads[pair] = Spread(pair, fit, verdict.half_life_bars, (y, x), self._settings)
