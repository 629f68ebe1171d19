"""Who is offered what: each desk exactly what it would be offered if it were alone (TRADING 33).

Detectors know one hurdle for all desks, the lowest. What they find is held against each desk's own: a candidate that
does not beat it has vanished for that desk. Desks of equal fees and start assets stand in a row, the least demanding
first, so that whom a candidate reaches is looked up and not asked desk by desk.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Candidate, Fee, FeeSnapshot, LegId, Ns
from arbitrade_core.journal import Fields
from arbitrade_core.legs import break_even, factor
from arbitrade_core.market import Market
from arbitrade_core.money import exact
from arbitrade_core.planning import Alike, Prices, Purses
from arbitrade_core.records import fees_record
from arbitrade_core.refusals import Proposal

INFINITE = float("inf")

type Place = tuple[int, tuple[str, ...]]
"""Which row: fees and start assets."""
type Rates = Mapping[str, Fee]
"""Taker fees by symbol."""


class Row:
    """Desks of equal fees and start assets, by what they ask for beyond breaking even."""

    def __init__(self, rates: Rates | None, fee_factors: Sequence[float], starts: frozenset[LegId]) -> None:
        self.rates = rates
        self.desks: list[Desk] = []
        self.asks: list[float] = []
        """by desk: factor over the break-even return, ascending"""
        self._reach: dict[str, int] = {}
        """by key: nobody beyond that many desks has it standing before it"""
        self._fee_factors = fee_factors
        self._starts = starts

    # --- who stands in it ---

    def join(self, desk: Desk) -> None:
        asks = desk.asks()
        at = bisect_right(self.asks, asks)
        self.desks.insert(at, desk)
        self.asks.insert(at, asks)
        self._reach = {key: reach + (reach > at) for key, reach in self._reach.items()}
        for key in desk.standing():
            self._reach[key] = max(self._reach.get(key, 0), at + 1)
        desk.weighed(self._fee_factors, self._starts)

    def leave(self, desk: Desk) -> None:
        at = self.desks.index(desk)
        del self.desks[at], self.asks[at]
        self._reach = {key: reach - (reach > at) for key, reach in self._reach.items()}

    # --- whom a candidate reaches ---

    def break_even(self, legs: Sequence[LegId]) -> float:
        """1 / fee factors of these legs; inf when a fee is missing, or these desks start nowhere on them."""
        return break_even(self._fee_factors, self._starts, legs)

    def reached(self, candidate: Candidate) -> int:
        """How many desks of the row it beats the hurdle of: those at its beginning."""
        even, gross, asks = self.break_even(candidate.legs), candidate.gross, self.asks
        if even * asks[-1] < gross:
            return len(asks)
        return bisect_left(asks, gross, key=lambda ask: even * ask)

    def put(self, offers: Sequence[Proposal], now: Ns, prices: Prices) -> None:
        """Tell each desk what vanished for it, then have it consider what stands before it."""
        count = len(self.desks)
        ends: list[int] = []
        for one in offers:
            end = self.reached(one) if isinstance(one, Candidate) else count
            self.vanish(one.key, end)
            if end:
                self._reach[one.key] = end
            ends.append(end)
        begin = 0
        for stop in sorted(set(ends)):
            if stop > begin:
                theirs = [one for one, end in zip(offers, ends, strict=True) if end >= stop]
                for desk in self.desks[begin:stop]:
                    desk.consider(theirs, now, prices)
                begin = stop

    def put_to(self, desk: Desk, offers: Sequence[Proposal], now: Ns, prices: Prices) -> None:
        """To one desk alone."""
        at = self.desks.index(desk)
        theirs: list[Proposal] = []
        for one in offers:
            if not isinstance(one, Candidate) or self.reached(one) > at:
                self._reach[one.key] = max(self._reach.get(one.key, 0), at + 1)
                theirs.append(one)
            else:
                desk.vanished(one.key)
        if theirs:
            desk.consider(theirs, now, prices)

    def vanish(self, key: str, end: int = 0) -> None:
        """It is not above the hurdle of the desks from `end` on."""
        for desk in self.desks[end : self._reach.pop(key, 0)]:
            desk.vanished(key)


class Offers:
    """The desks of one engine."""

    def __init__(self, market: Market, desks: Sequence[Desk]) -> None:
        self._market = market
        self._desks = desks
        self._rows: dict[Place, Row] = {}
        self._row_of: dict[str, tuple[Place, Row]] = {}
        """by desk"""
        self._alike: dict[object, Alike] = {}
        self._purses: dict[object, Purses] = {}
        self._factors: dict[int, list[float]] = {}
        """by schedule: what its fees leave of each leg's gross rate"""
        self._rates: list[Rates] = []
        """every schedule that some desk has, once"""
        self._rates_of: dict[str, tuple[Rates | None, Rates | None]] = {}
        """by desk: its own, and the one of those above that is equal"""
        self._fees_told: tuple[FeeSnapshot, Fields] | None = None

    def fees_record(self, fees: FeeSnapshot) -> Fields:
        """The journal's record of fees, for one desk after the other."""
        if self._fees_told is None or self._fees_told[0] is not fees:
            self._fees_told = (fees, fees_record("", fees))
        return self._fees_told[1]

    # --- sorting ---

    def sort(self) -> None:
        """All desks anew, on the pairs as they are listed now."""
        used = [shared for _, shared in self._rates_of.values()]
        self._rates = [rates for rates in self._rates if any(rates is one for one in used)]
        self._rows, self._row_of, self._alike, self._factors = {}, {}, {}, {}
        for desk in self._desks:
            self._place(desk)

    def moved(self, desks: Iterable[Desk]) -> bool:
        """Fees, thresholds or start assets of these changed; returns whether that changes what detectors are told."""
        moved = [self._move(desk) for desk in desks]
        return any(moved)

    def _move(self, desk: Desk) -> bool:
        was, row = self._row_of[desk.id]
        least = row.asks[0]
        row.leave(desk)
        if not row.desks:
            del self._rows[was]
        known = {place: one.asks[0] for place, one in self._rows.items()}
        now, joined = self._place(desk)
        if now[1] != was[1] or known.get(now) != joined.asks[0]:
            return True
        # Nobody's fees are those of a row without any: who leaves it takes nothing away.
        return row.rates is not None and now != was and (not row.desks or row.asks[0] != least)

    def _place(self, desk: Desk) -> tuple[Place, Row]:
        rates, terms = self._shared_rates(desk), desk.terms
        # Whatever planning looks at but the desk's money and its books; without fees and thresholds, whatever says how
        # much of its money may be spent.
        spending = (
            terms.start_assets,
            terms.valuation_asset,
            terms.max_notional_valued,
            tuple(sorted(terms.reserve.items())),
        )
        purses = self._purses.setdefault(spending, Purses())
        desk.alike = self._alike.setdefault((id(rates), terms.pricing, spending), Alike(rates, purses))
        place = (id(rates), terms.start_assets)
        if place not in self._rows:
            if id(rates) not in self._factors:
                self._factors[id(rates)] = self._fee_factors(rates)
            starts = frozenset(leg.id for leg in self._market.legs if leg.spends in terms.start_assets)
            self._rows[place] = Row(rates, self._factors[id(rates)], starts)
        self._rows[place].join(desk)
        self._row_of[desk.id] = (place, self._rows[place])
        return self._row_of[desk.id]

    def _shared_rates(self, desk: Desk) -> Rates | None:
        """The desk's fees as the one object that all desks of equal fees have."""
        own = None if desk.fees is None else desk.fees.taker
        known, shared = self._rates_of.get(desk.id, (None, None))
        if own is None or own is not known:
            shared = None
            if own is not None:
                shared = next((one for one in self._rates if one is own), None)
                shared = shared or next((one for one in self._rates if one == own), None)
                if shared is None:
                    shared = own
                    self._rates.append(own)
            self._rates_of[desk.id] = (own, shared)
        return shared

    def _fee_factors(self, rates: Rates | None) -> list[float]:
        known = rates or {}
        return [0.0 if (fee := known.get(leg.symbol)) is None else factor(leg.side, fee) for leg in self._market.legs]

    # --- what detectors must beat ---

    def break_even(self, legs: Sequence[LegId]) -> float:
        """`spi.Hurdles`: over all desks."""
        return min((row.break_even(legs) for row in self._rows.values()), default=INFINITE)

    def required(self, legs: Sequence[LegId]) -> float:
        return min((row.break_even(legs) * row.asks[0] for row in self._rows.values()), default=INFINITE)

    def taker_rate(self, symbol: str) -> Decimal | None:
        """`spi.DetectorPort`: the highest of any desk."""
        fees = [fee for row in self._rows.values() if row.rates and (fee := row.rates.get(symbol)) is not None]
        return max((fee.rate for fee in fees), default=None)

    def start_assets(self) -> frozenset[str]:
        return frozenset(asset for desk in self._desks for asset in desk.start_assets)

    # --- offering ---

    def put(self, offers: Sequence[Proposal], now: Ns) -> None:
        """What was found just now, to every desk that it reaches."""
        prices = Prices()
        with exact():
            for row in self._rows.values():
                row.put(offers, now, prices)

    def put_to(self, desks: Iterable[Desk], offers: Sequence[Proposal], now: Ns) -> None:
        """To these desks alone: something is new for them, for others nothing is."""
        prices = Prices()
        with exact():
            for desk in desks:
                _, row = self._row_of[desk.id]
                row.put_to(desk, offers, now, prices)

    def vanished(self, key: str) -> None:
        """It is above no desk's hurdle any more."""
        for row in self._rows.values():
            row.vanish(key)
