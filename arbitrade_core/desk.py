"""One account trading on the market: prices candidates with its fees, asks its gate, has plans carried out.

A desk does no I/O. Live has one; a paper desk beside it, a shadow with other settings or a thousand in a sweep are
only more of them (DESIGN 1). This module decides; `liquidity` is what it counts on, `refusals` what becomes of the
rest; `execution.conductor` carries out; `ledger` books, and `treasury` hands strategies their share.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Protocol

from arbitrade_core.book import Level
from arbitrade_core.claims import Claims
from arbitrade_core.domain import (
    Candidate,
    Fee,
    FeeSnapshot,
    LegId,
    Ns,
    OrderEvent,
    PairId,
    Plan,
    PlanKind,
    Rotation,
    Severity,
)
from arbitrade_core.events import Appearance, BookUpdate, Thresholds
from arbitrade_core.execution.conductor import Conductor, ConductorPort
from arbitrade_core.funnel import Appearances, DeskFunnel, Reached
from arbitrade_core.journal import Fields, Stream
from arbitrade_core.ledger import Cash
from arbitrade_core.legs import break_even
from arbitrade_core.liquidity import Liquidity
from arbitrade_core.market import Market
from arbitrade_core.money import BPS, ONE, ZERO
from arbitrade_core.parts import DeskParts
from arbitrade_core.planning import Alike, DeskTerms, Prices, Purse, Purses, numbered, plan_rotation
from arbitrade_core.pnl import Mark
from arbitrade_core.pricing import Stage, Stopped
from arbitrade_core.records import plan_record
from arbitrade_core.recovery import Recovered
from arbitrade_core.refusals import STALENESS_CHECK, Proposal, Refusals, RefusalsPort
from arbitrade_core.risk.gate import Approved, Gate
from arbitrade_core.spi import Executor, Holdings, MarketView, Venue
from arbitrade_core.subledgers import Ledgers
from arbitrade_core.treasury import Treasury


class DeskPort(ConductorPort, RefusalsPort, Protocol):
    """A desk's way into the engine."""

    @property
    def market(self) -> Market: ...
    @property
    def blocked(self) -> str | None: ...
    @property
    def exchange_status(self) -> str: ...
    @property
    def now(self) -> Ns: ...
    def fees_record(self, fees: FeeSnapshot) -> Fields: ...


class Desk:
    """Implements `spi.DeskView`."""

    def __init__(
        self,
        *,
        desk_id: str,
        terms: DeskTerms,
        balances: Mapping[str, Decimal],
        recovered: Recovered,
        gate: Gate,
        executors: Sequence[Executor],
        venue: Venue,
        ledger: Ledgers,
        stream: Stream,
        epoch: str,
    ) -> None:
        """`balances` are those of a new account; one that was `recovered` goes on with its own.

        `epoch` makes plan ids unique over restarts: at most 9 characters, injected (ids come from outside).
        """
        self.id = desk_id
        self.terms = terms
        self.gate = gate
        self.venue = venue
        self.ledger = ledger
        self.funnel = DeskFunnel()
        self.fees: FeeSnapshot | None = None
        self._opening = dict(balances)
        self._recovered = recovered
        # The first that takes a kind gets it, as `register_executors` says.
        self._offered = list(executors)
        self._executors = _by_kind(self._offered, self.terms.executors)
        self._stream = stream
        self._epoch = epoch
        self._plans = 0
        self._claims = Claims()
        self._bans: dict[LegId, Ns] = {}
        self._fee_factors: Sequence[float] = ()
        self._starts: frozenset[LegId] = frozenset()
        self._purses: dict[str, tuple[Cash, int, Purses, Purse]] = {}
        """by strategy, with all that it was made from"""
        self.alike = Alike(None, Purses())
        """what all desks have that price as this one does"""
        self.halt_reason: str | None = None
        self.lives: list[Appearance] = []
        """appearances that ended, while they are watched"""

    def start(self, port: DeskPort, now: Ns) -> None:
        """Open the books and the venue. Called once by the engine."""
        self._port = port
        self._now = now
        self.market_state = port.market
        self.conductor = Conductor(self, self._executors, port, self._claims, self._stream)
        self.liquidity = Liquidity(port.market, self.venue, self._claims, self.terms.pricing.max_levels)
        self.refusals = Refusals(self.id, self.funnel, port, self._stream)
        self.treasury = Treasury(self, self.ledger, self.conductor.results, port, self._stream)
        self._journal("open", now, {"desk": self.id, "epoch": self._epoch})
        if self._recovered.accounts:
            self.conductor.history.remember(self._recovered.past, self._recovered.orders)
            for kind, data in self._recovered.interrupted:
                self._journal(kind, now, data)
        self.halt_reason = self._recovered.halted
        self.treasury.open(self._opening, self._recovered, self._mark, now)
        self.venue.start(_VenuePort(port, self.conductor), now)
        self.revalue(self._mark, now)

    def take_parts(self, parts: DeskParts) -> None:
        """A plugin came into use: its checks are asked from now on, its executors take new plans of their kinds."""
        self.gate = self.gate.along_with(parts.checks)
        self._offered += parts.executors
        self._executors.clear()
        self._executors |= _by_kind(self._offered, self.terms.executors)

    def drop_parts(self, parts: DeskParts) -> None:
        """A plugin goes out of use; plans in flight keep their executor, what its checks sent to rest may come."""
        names = {check.name for check in parts.checks}
        self.gate = self.gate.without(names)
        self.refusals.wake(names)
        for executor in parts.executors:
            self.drop_executor(executor.name)

    def drop_executor(self, name: str) -> None:
        """No new plan is given to it."""
        self._offered = [executor for executor in self._offered if executor.name != name]
        self._executors.clear()
        self._executors |= _by_kind(self._offered, self.terms.executors)

    def holdings(self, strategy: str) -> Holdings | None:
        return self.treasury.holdings(strategy)

    # --- deciding ---

    def consider(self, candidates: Sequence[Proposal], now: Ns, prices: Prices) -> None:
        """Price all, best first ask the gate; each approval leaves less for the next (TRADING 6).

        `prices` are those of the books as they are, of whatever other desks that price alike have asked for already.
        """
        self._now = now
        plans = self._priced(self._free(candidates, now), now, prices)
        while plans:
            plans.sort(key=lambda entry: (-entry[1].profit_valued, entry[1].key))
            candidate, plan = plans.pop(0)
            plan = numbered(plan, self, self._epoch, self._plans + 1)
            verdict = self.gate.review(plan, self, now)
            if isinstance(verdict, Approved):
                self._plans += 1
                self._approve(verdict, now)
                plans = self._priced([left for left, _ in plans], now, prices)
            else:
                self.refusals.refused(candidate, verdict, plan.edge_bps, now)

    def _free(self, candidates: Sequence[Proposal], now: Ns) -> list[Proposal]:
        """Those that no open plan is on, and that are not resting: pricing the others would change nothing."""
        free: list[Proposal] = []
        for candidate in candidates:
            if isinstance(candidate, Candidate):
                self.refusals.appearances.seen(candidate.key, now)
                if self.refusals.watched is not None:
                    self.refusals.watched.seen(candidate, partial(self.market_state.path, candidate.legs), now)
            if self.conductor.carries(candidate.key):
                self.funnel.count(candidate.key, Reached.BUSY)
            elif not self.refusals.still_resting(candidate, now):
                free.append(candidate)
        return free

    def _priced(self, candidates: Sequence[Proposal], now: Ns, prices: Prices) -> list[tuple[Proposal, Plan]]:
        plans: list[tuple[Proposal, Plan]] = []
        for candidate in candidates:
            if isinstance(candidate, Rotation):
                priced = self._rotation(candidate, now)
            else:
                priced = prices.plan_for(candidate, self, now)
            if isinstance(priced, Plan):
                plans.append((candidate, priced))
            elif priced is not None:
                self.refusals.stopped(candidate, priced)
        return plans

    def _rotation(self, rotation: Rotation, now: Ns) -> Plan | Stopped | None:
        """Inventory is what a strategy was handed: without that it has none, and the desk's own money is not for it."""
        if not self.ledger.has_own(rotation.strategy):
            return Stopped(Stage.FEES, f"strategy {rotation.strategy!r} has no allocation to rotate", None)
        return plan_rotation(rotation, self, now)

    def _approve(self, approved: Approved, now: Ns) -> None:
        plan = approved.plan
        self.liquidity.promise(plan, self.conductor.own_orders)
        run = self.conductor.admit(approved, now)
        record = self._stream.record("plan", now, plan_record(plan, approved.checks, run.marks))
        self._port.append(record, lambda at: self._last_look(run.plan, at))

    def _last_look(self, plan: Plan, now: Ns) -> None:
        """The plan is durable: is it still there (TRADING 16)? If not it is dropped, nothing sent."""
        gone = self._gone(plan, now)
        if gone is None:
            self.funnel.count(plan.key, Reached.EXECUTED)
            self.refusals.reached(plan.key, Reached.EXECUTED, "executed", plan.edge_bps)
            self.conductor.go(plan.id, now)
        else:
            self.refusals.gone(plan, gone, now)
            self.conductor.drop(plan.id, gone)

    def _gone(self, plan: Plan, now: Ns) -> str | None:
        if self.halted is not None:
            return self.halted
        if self.fees is None or self.fees.id != plan.fees_id:
            return "the fees changed"
        stale = self.gate.recheck(STALENESS_CHECK, plan, self, now)
        if stale is not None:
            return stale.reason
        return self.liquidity.missing(plan)

    def vanished(self, key: str) -> None:
        """What stood before this desk is not above its hurdle any more."""
        self.refusals.vanished(key)
        if self.refusals.watched is not None:
            life = self.refusals.watched.vanished(key, self._port.now)
            if life is not None:
                self.lives.append(life)

    def watch(self) -> None:
        """From now on keep `lives`: the appearances that ended, as this desk saw them. For reports; they only grow."""
        self.refusals.watched = Appearances()

    def standing(self) -> set[str]:
        """Keys of everything that is to be told to this desk when it vanishes."""
        return self.refusals.appearances.kept()

    @property
    def last_stop(self) -> Mapping[str, str]:
        """By cycle key: why its last offer went no further, in words."""
        return self.refusals.last_stop

    # --- what detectors must beat ---

    def break_even(self, legs: Sequence[LegId]) -> float:
        """1 / fee factors of these legs; inf when a fee is missing or the desk cannot start there."""
        return break_even(self._fee_factors, self._starts, legs)

    def required(self, legs: Sequence[LegId]) -> float:
        """What must come back gross before pricing can succeed: margin and minimum edge after fees (TRADING 2)."""
        return self.break_even(legs) * self.asks()

    def asks(self) -> float:
        """The part of `required` that is the desk's own, whatever its fees: a factor over breaking even."""
        pricing = self.terms.pricing
        return float(ONE + max(pricing.margin_bps, pricing.min_edge_bps, ZERO) * BPS)

    @property
    def start_assets(self) -> tuple[str, ...]:
        return self.terms.start_assets

    def take_fees(self, fees: FeeSnapshot, now: Ns) -> None:
        """New fees: plans not yet sent are void, since they carry another id (TRADING 7).

        The same fees again are only younger.
        """
        known = self.fees
        self.fees = fees
        if known is not None and known.id == fees.id:
            return
        self._journal("fees", now, self._port.fees_record(fees))

    def weighed(self, fee_factors: Sequence[float], starts: frozenset[LegId]) -> None:
        """Fees, start assets or the listing changed: what fees leave of each leg's rate, the legs that spend a start
        asset."""
        self._fee_factors, self._starts = fee_factors, starts

    def set_start_assets(self, assets: tuple[str, ...], now: Ns) -> None:
        self.terms = replace(self.terms, start_assets=assets)
        self._journal("start_assets", now, {"desk": self.id, "assets": list(assets)})

    def set_thresholds(self, wanted: Thresholds, now: Ns) -> None:
        pricing = replace(
            self.terms.pricing,
            min_edge_bps=wanted.min_edge_bps,
            margin_bps=wanted.margin_bps,
            min_profit=wanted.min_profit,
        )
        self.terms = replace(self.terms, pricing=pricing)
        data = {
            "desk": self.id,
            "min_edge_bps": str(wanted.min_edge_bps),
            "margin_bps": str(wanted.margin_bps),
            "min_profit": str(wanted.min_profit),
        }
        self._journal("thresholds", now, data)

    # --- what happens to it ---

    def has_taken(self, pair: PairId) -> bool:
        """Whether the venue holds liquidity as taken that the pair's book may still show (TRADING 29)."""
        return self.venue.watches(pair)

    def on_update(self, update: BookUpdate, now: Ns) -> None:
        self.venue.on_update(update, now)

    def ban(self, leg: LegId, reason: str, now: Ns) -> None:
        """Let a directed leg rest (TRADING 19)."""
        until = now + self.terms.leg_ban_ns
        self._bans[leg] = until
        self._journal(
            "ban",
            now,
            {"desk": self.id, "leg": str(self.market.leg(leg)), "until_ns": until, "reason": reason},
        )

    def halt(self, reason: str, now: Ns) -> None:
        """Nothing new from this desk until an operator resumes it."""
        if self.halt_reason is None:
            self.halt_reason = reason
            self._journal("desk_halt", now, {"desk": self.id, "reason": reason})
            self._port.notify(Severity.CRITICAL, "desk.halt", f"desk {self.id} halted: {reason}", now)

    def resume(self, actor: str, now: Ns) -> None:
        if self.halt_reason is not None:
            self._journal("desk_resume", now, {"desk": self.id, "was": self.halt_reason, "actor": actor})
            self.halt_reason = None
        self.conductor.history.forgive()

    def freed(self) -> None:
        """Balance, slot or liquidity came back: see the active set again before this step ends."""
        self._port.offer_again()

    def journal_balances(self, now: Ns) -> None:
        self.treasury.tell_balances(now)

    def _journal(self, kind: str, now: Ns, data: Mapping[str, object]) -> None:
        self._port.append(self._stream.record(kind, now, dict(data)))

    # --- spi.DeskView ---

    @property
    def valuation_asset(self) -> str:
        return self.terms.valuation_asset

    @property
    def market(self) -> MarketView:
        return self.market_state

    @property
    def halted(self) -> str | None:
        return self.halt_reason or self._port.blocked

    @property
    def exchange_status(self) -> str:
        return self._port.exchange_status

    @property
    def open_plans(self) -> Sequence[Plan]:
        return self.conductor.open_plans

    @property
    def consecutive_failures(self) -> int:
        return self.conductor.history.failures_in_a_row(self._now)

    def available(self, asset: str, strategy: str = "") -> Decimal:
        return self.ledger.of(strategy).cash(asset) - self.conductor.held(asset, strategy)

    def residue(self, asset: str) -> Decimal:
        return self.conductor.residue.unpromised(asset, self.conductor.stepping)

    def value(self, asset: str, amount: Decimal) -> Decimal | None:
        mark = self.market.mark(asset, self.valuation_asset)
        return None if mark is None else amount * mark

    def depth(self, leg: LegId) -> Sequence[Level]:
        return self.liquidity.depth(leg, self.conductor.own_orders)

    def purse(self, strategy: str) -> Purse:
        cash, moves, purses = self.ledger.of(strategy).all_cash(), self.conductor.moves, self.alike.purses
        known = self._purses.get(strategy)
        if known is not None and known[0] is cash and known[1] == moves and known[2] is purses:
            return known[3]
        free = cash
        if self.conductor.open_plans:
            left = ((asset, amount - self.conductor.held(asset, strategy)) for asset, amount in cash)
            free = tuple((asset, amount) for asset, amount in left if amount)
        purse = purses.of(free)
        self._purses[strategy] = (cash, moves, purses, purse)
        return purse

    def differs_on(self, legs: Sequence[LegId]) -> Hashable:
        return self.liquidity.differs_on(legs)

    def promised(self, leg: LegId) -> Collection[int]:
        return self.liquidity.promised(leg, self.conductor.own_orders)

    def fee(self, symbol: str) -> Fee | None:
        return None if self.fees is None else self.fees.taker.get(symbol)

    def banned_until(self, leg: LegId) -> Ns | None:
        return self._bans.get(leg)

    def last_plan(self, key: str) -> Ns | None:
        return self.conductor.history.last_plan(key)

    def plans_since(self, since: Ns, key: str | None = None) -> int:
        return self.conductor.history.plans_since(since, key)

    def standing_since(self, key: str) -> Ns | None:
        return self.refusals.appearances.since(key)

    def trading_pnl(self, since: Ns) -> Decimal:
        return self.conductor.results.trading_pnl(since)

    def unwind_loss(self, since: Ns) -> Decimal:
        return self.conductor.results.unwind_loss(since)

    def drawdown(self) -> Decimal | None:
        results = self.conductor.results
        if results.drawdown() is None:
            results.revalue(self.ledger.balances(), self._mark)
        return results.drawdown()

    def _mark(self, asset: str) -> Decimal | None:
        return self.market.mark(asset, self.valuation_asset)

    def revalue(self, mark: Mark, now: Ns) -> None:
        """From time to time: drawdown is measured at these moments and at every plan's end."""
        self.conductor.results.revalue(self.ledger.balances(), mark)
        self.treasury.tell_high_water(now)
        self.refusals.look_again()


def _by_kind(executors: Sequence[Executor], preferred: Mapping[str, str]) -> dict[PlanKind, Executor]:
    """The preferred one of each kind, else the first that takes it."""
    taken = {kind: executor for executor in reversed(executors) for kind in executor.kinds}
    return taken | {kind: one for one in executors for kind in one.kinds if preferred.get(kind) == one.name}


class _VenuePort:
    """The venue's way in (`spi.VenuePort`)."""

    def __init__(self, port: DeskPort, conductor: Conductor) -> None:
        self.clockwork = port.clockwork
        self.market: MarketView = port.market
        self._conductor = conductor

    def deliver(self, event: OrderEvent, now: Ns) -> None:
        self._conductor.on_event(event, now)
