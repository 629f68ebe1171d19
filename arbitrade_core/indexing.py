"""When pairs, fees, thresholds or start assets change: detectors index anew, feeds hear what to carry (TRADING 4).

Whose fees or settings changed is offered the active set again; for others nothing has changed, so they hear nothing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from arbitrade_core.answers import Answers
from arbitrade_core.desk import Desk
from arbitrade_core.domain import Ns, PairId
from arbitrade_core.in_use import PartsInUse
from arbitrade_core.market import Block, Market
from arbitrade_core.money import exact
from arbitrade_core.offers import Offers
from arbitrade_core.spi import Detector, Funded, Listening


class Indexed(Protocol):
    """The engine as far as indexing reaches."""

    market: Market
    offers: Offers
    in_use: PartsInUse
    answers: Answers

    @property
    def desks(self) -> Sequence[Desk]: ...
    def offer_active(self, desks: Sequence[Desk], now: Ns) -> None: ...


class Indexing:
    """`watchers` are the detectors to call, by pair."""

    def __init__(self, engine: Indexed, carry_all: bool) -> None:
        """`carry_all`: feeds carry every pair that may trade, so that what is seen depends on no desk."""
        self.watchers: list[tuple[Detector, ...]] = []
        self.pending = False
        """whether there is something to do before the step ends"""
        self._engine = engine
        self._carry_all = carry_all
        self._all = False
        self._of: set[str] = set()
        """desks to whom something is new, if not to all"""
        self._wanted: set[PairId] = set()
        self._kept = False
        """books are carried that only plans in flight still need"""
        self._busy: set[str] = set()
        """desks that had plans in flight when strategies were last handed what they work with"""

    def again(self, desk_id: str | None = None) -> None:
        """Before this step ends; for all desks, or what changed concerns this one alone."""
        self.pending = True
        if desk_id is None:
            self._all = True
        else:
            self._of.add(desk_id)

    def freed(self, desk_id: str) -> None:
        """A plan of this desk has ended: what waited for the last one can be done."""
        if desk_id in self._busy or (self._kept and not any(desk.open_plans for desk in self._engine.desks)):
            self.pending = True

    def run(self, now: Ns) -> None:
        engine = self._engine
        everybody, of = self._all, self._of
        self.pending, self._all, self._of = False, False, set()
        concerned = [desk for desk in engine.desks if everybody or desk.id in of]
        free = [desk for desk in engine.desks if desk.id in self._busy and not desk.open_plans] if self._busy else []
        self._fund([*concerned, *(desk for desk in free if desk not in concerned)], now)
        if everybody:
            engine.offers.sort()
        anew = everybody or engine.offers.moved(concerned)
        if anew:
            self._rebuild(now)
        if anew or self._kept:
            self._carry(now)
        if concerned:
            engine.offer_active(concerned, now)

    def _fund(self, desks: Sequence[Desk], now: Ns) -> None:
        """Hand strategies what they work with. Money in open plans is not there: once they have ended, again."""
        self._busy -= {desk.id for desk in desks}
        engine = self._engine
        for detector in list(engine.in_use.detectors) if desks else ():
            if isinstance(detector, Funded):
                self._busy |= {desk.id for desk in desks if desk.open_plans}
                allocation = engine.answers.allocation(detector, now)
                if allocation is not None:
                    with exact():
                        for desk in desks:
                            desk.treasury.fund(detector.name, allocation, now)

    def _rebuild(self, now: Ns) -> None:
        engine = self._engine
        watchers: list[list[Detector]] = [[] for _ in engine.market.pairs]
        self._wanted = set()
        for detector in list(engine.in_use.detectors):
            wants = not (isinstance(detector, Listening) and detector.listens_only)
            for pair in engine.answers.wanted(detector, now):
                watchers[pair].append(detector)
                self._wanted.update({pair} if wants else ())
        shared: dict[tuple[Detector, ...], tuple[Detector, ...]] = {}
        self.watchers = [shared.setdefault(row, row) for row in map(tuple, watchers)]

    def _carry(self, now: Ns) -> None:
        """Plans in flight need their books, and those of any way home: nothing is let go before they have ended."""
        engine, market = self._engine, self._engine.market
        carried = {pair for pair in range(len(market.pairs)) if market.carrier(pair) is not None}
        if self._carry_all:
            carried = set()
            self._wanted |= {pair for pair, blocks in enumerate(market.blocks) if not blocks & Block.DISABLED}
        self._kept = bool(carried - self._wanted) and any(desk.open_plans for desk in engine.desks)
        wanted = self._wanted | carried if self._kept else self._wanted
        for way_in in list(engine.in_use.feeds):
            own = sorted(wanted & way_in.listed)
            engine.in_use.guarded(way_in.feed, partial(way_in.feed.carry, own, now), now)
