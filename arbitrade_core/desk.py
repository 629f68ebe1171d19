"""One account trading on the market: prices candidates with its fees, asks its gate, has plans carried out.

A desk does no I/O. Live has one; a paper desk beside it, a shadow with other settings or a thousand in a sweep are
only more of them (DESIGN 1). This module decides; `execution.conductor` carries out; `ledger` books.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from math import prod
from typing import Protocol

from arbitrade_core.book import Level
from arbitrade_core.claims import Claims, net_of
from arbitrade_core.domain import (
    Candidate,
    Fee,
    FeeSnapshot,
    LegId,
    Ns,
    Order,
    OrderEvent,
    PairId,
    Plan,
    PlanKind,
    Rotation,
    Severity,
    Side,
)
from arbitrade_core.events import BookUpdate, Clockwork, Thresholds
from arbitrade_core.execution.conductor import Conductor
from arbitrade_core.funnel import Appearances, DeskFunnel, Reached
from arbitrade_core.journal import Record, Stream
from arbitrade_core.legs import factor
from arbitrade_core.market import Market
from arbitrade_core.meter import Meter
from arbitrade_core.money import BPS, ONE, ZERO, plain
from arbitrade_core.parts import DeskParts
from arbitrade_core.planning import STOPPED_AT, DeskTerms, numbered, plan_for, plan_rotation
from arbitrade_core.pricing import Stage, Stopped
from arbitrade_core.records import amounts, balances_record, drop_record, fees_record, high_water_record, plan_record
from arbitrade_core.recovery import Recovered
from arbitrade_core.risk.gate import Alarm, Approved, Gate
from arbitrade_core.spi import Executor, Holdings, MarketView, Refused, Venue
from arbitrade_core.subledgers import Ledgers


class DeskPort(Protocol):
    """A desk's way into the engine."""

    @property
    def clockwork(self) -> Clockwork: ...
    @property
    def market(self) -> Market: ...
    @property
    def appearances(self) -> Appearances: ...
    @property
    def blocked(self) -> str | None: ...
    @property
    def journal_lost(self) -> bool: ...
    @property
    def exchange_status(self) -> str: ...
    def append(self, record: Record, durable: Callable[[Ns], None] | None = None) -> None: ...
    def send(self, order: Order) -> None: ...
    def notify(self, severity: Severity, topic: str, text: str, now: Ns) -> None: ...
    def offer_again(self) -> None: ...
    def taken_on(self, pair: PairId) -> None: ...
    @property
    def meter(self) -> Meter | None: ...
    def executor_failed(self, name: str, error: BaseException, now: Ns) -> None: ...


ALARM_EVERY_NS = 60_000_000_000
"""Refusals that people must hear of come on every message while they last: one alert a minute and check."""

REVALUE_NS = 5_000_000_000
"""How often inventory is marked, and refusals that time alone may end (loss windows, stale books) are put again."""

STALENESS_CHECK = "book_health"
"""The check whose refusals are the funnel's `stale`; it is asked again at the last look."""


type Proposal = Candidate | Rotation


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
        self.last_stop: dict[str, str] = {}
        """by cycle key: why its last offer went no further, in words"""
        self._opening = dict(balances)
        self._recovered = recovered
        self._told_accounts: set[tuple[str, str]] = set()
        self._told_high_water: Decimal | None = None
        self._told_missing: dict[str, dict[str, Decimal]] = {}
        """by strategy: what it was told to lack of its allocation"""
        # The first that takes a kind gets it, as `register_executors` says.
        self._offered = list(executors)
        self._executors = _by_kind(self._offered, self.terms.executors)
        self._stream = stream
        self._epoch = epoch
        self._plans = 0
        self._claims = Claims()
        self._bans: dict[LegId, Ns] = {}
        self._resting: dict[str, Refused] = {}
        """by cycle key: refused until a time that has not come yet"""
        self._refused_since_look = False
        self._alarmed: dict[str, Ns] = {}
        """when each check last raised an alert"""
        self._fee_factor: list[float] = []
        self.halt_reason: str | None = None

    def start(self, port: DeskPort, now: Ns) -> None:
        """Open the books and the venue. Called once by the engine."""
        self._port = port
        self._now = now
        self.market_state = port.market
        self.conductor = Conductor(self, self._executors, port, self._claims, self._stream)
        self._journal("open", now, {"desk": self.id, "epoch": self._epoch})
        if self._recovered.accounts:
            self.ledger.restore(self._recovered.accounts)
            self.conductor.history.remember(self._recovered.past, self._recovered.orders)
            for kind, data in self._recovered.interrupted:
                self._journal(kind, now, data)
        else:
            self.ledger.open(self._opening)
        self.halt_reason = self._recovered.halted
        self.conductor.results.open(self.ledger.balances(), self._mark, self._earlier_high_water())
        self.journal_balances(now)
        self.venue.start(_VenuePort(port, self.conductor), now)
        self._revalue(now)

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
        self._resting = {key: refused for key, refused in self._resting.items() if refused.check not in names}
        self._port.offer_again()
        for executor in parts.executors:
            self.drop_executor(executor.name)

    def drop_executor(self, name: str) -> None:
        """No new plan is given to it."""
        self._offered = [executor for executor in self._offered if executor.name != name]
        self._executors.clear()
        self._executors |= _by_kind(self._offered, self.terms.executors)

    def fund(self, strategy: str, allocation: Mapping[str, Decimal], now: Ns) -> None:
        """Hand a strategy what it works with, as far as it is free; the same allocation again moves nothing.

        No allocation ends its ledger: what it holds is the desk's again, once no plan of it is open.
        """
        before = self.ledger.accounts()
        missing: dict[str, Decimal] = {}
        if allocation:
            missing = self.ledger.fund(strategy, allocation, self._unbound)
        elif all(plan.strategy != strategy for plan in self.open_plans):
            self.ledger.close(strategy)
        if self.ledger.accounts() != before:
            data = {
                "desk": self.id,
                "strategy": strategy,
                "allocation": amounts(allocation),
                "missing": amounts(missing),
            }
            self._journal("allocate", now, data)
            self.journal_balances(now)
        if missing != self._told_missing.get(strategy, {}):
            self._told_missing[strategy] = missing
            if missing:
                lacking = ", ".join(f"{plain(amount)} {asset}" for asset, amount in missing.items())
                text = (
                    f"desk {self.id} lacks {lacking} of what strategy {strategy!r} is to work with; it works with less"
                )
                self._port.notify(Severity.WARNING, "desk.allocation", text, now)

    def _unbound(self, asset: str, strategy: str) -> Decimal:
        """Cash that no open plan holds, the reserve left alone."""
        return self.available(asset, strategy) - (ZERO if strategy else self.terms.reserve.get(asset, ZERO))

    def holdings(self, strategy: str) -> Holdings | None:
        """What a strategy with a ledger of its own was handed and holds; None when it has none."""
        if not self.ledger.has_own(strategy):
            return None
        return Holdings(self.id, self.ledger.handed(strategy), self.ledger.of(strategy).balances())

    # --- deciding ---

    def consider(self, candidates: Sequence[Proposal], now: Ns) -> None:
        """Price all, best first ask the gate; each approval leaves less for the next (TRADING 6)."""
        self._now = now
        plans = self._priced(self._free(candidates, now), now)
        while plans:
            plans.sort(key=lambda entry: (-entry[1].profit_valued, entry[1].key))
            candidate, plan = plans.pop(0)
            plan = numbered(plan, self._epoch, self._plans + 1)
            verdict = self.gate.review(plan, self, now)
            if isinstance(verdict, Approved):
                self._plans += 1
                self._approve(verdict, now)
                plans = self._priced([left for left, _ in plans], now)
            else:
                self._refused(candidate, verdict, plan.edge_bps, now)
                if verdict.until_ns is None:
                    self._refused_since_look = True
                else:
                    self._rest(candidate.key, verdict, verdict.until_ns)

    def _free(self, candidates: Sequence[Proposal], now: Ns) -> list[Proposal]:
        """Those that no open plan is on, and that are not resting: pricing the others would change nothing."""
        free: list[Proposal] = []
        for candidate in candidates:
            resting = self._resting.get(candidate.key)
            if self.conductor.carries(candidate.key):
                self.funnel.count(candidate.key, Reached.BUSY)
            elif resting is not None and resting.until_ns is not None and resting.until_ns > now:
                self._refused(candidate, resting, None, now)
            else:
                free.append(candidate)
        return free

    def _rest(self, key: str, refused: Refused, until_ns: Ns) -> None:
        """Do not look at this cycle before then; then look at everything again (TRADING 4)."""
        self._resting[key] = refused

        def over(now: Ns) -> None:  # noqa: ARG001 - a timer's shape
            self._resting.pop(key, None)
            self._port.offer_again()

        self._port.clockwork.at(until_ns, over)

    def _priced(self, candidates: Sequence[Proposal], now: Ns) -> list[tuple[Proposal, Plan]]:
        plans: list[tuple[Proposal, Plan]] = []
        for candidate in candidates:
            if isinstance(candidate, Rotation):
                priced = self._rotation(candidate, now)
            else:
                priced = plan_for(candidate, self, now)
            if isinstance(priced, Plan):
                plans.append((candidate, priced))
            elif priced is not None:
                stage = STOPPED_AT[priced.stage]
                self.funnel.count(candidate.key, stage)
                self.last_stop[candidate.key] = priced.reason
                words = f"stopped at {priced.stage.value}: {priced.reason}"
                self._port.appearances.reached(candidate.key, stage, words, priced.edge_bps)
        return plans

    def _rotation(self, rotation: Rotation, now: Ns) -> Plan | Stopped | None:
        """Inventory is what a strategy was handed: without that it has none, and the desk's own money is not for it."""
        if not self.ledger.has_own(rotation.strategy):
            return Stopped(Stage.FEES, f"strategy {rotation.strategy!r} has no allocation to rotate", None)
        return plan_rotation(rotation, self, now)

    def _refused(self, candidate: Proposal, refused: Refused, edge_bps: Decimal | None, now: Ns) -> None:
        """Count it, keep why, and tell it once an appearance."""
        stage = Reached.STALE if refused.check == STALENESS_CHECK else Reached.REFUSED
        self.funnel.count(candidate.key, stage, None if stage is Reached.STALE else refused.check)
        self.last_stop[candidate.key] = f"{refused.check}: {refused.reason}"
        words = f"refused by {refused.check}: {refused.reason}"
        appearances = self._port.appearances
        appearances.reached(candidate.key, stage, words, edge_bps)
        if isinstance(refused, Alarm) and now - self._alarmed.get(refused.check, -ALARM_EVERY_NS) >= ALARM_EVERY_NS:
            self._alarmed[refused.check] = now
            text = f"{candidate.key} refused by {refused.check}: {refused.reason}"
            self._port.notify(refused.severity, f"risk.{refused.check}", text, now)
        if appearances.first_time(candidate.key, f"{self.id} {refused.check}"):
            self._journal(
                "refusal",
                now,
                {
                    "desk": self.id,
                    "strategy": candidate.strategy,
                    "key": candidate.key,
                    "check": refused.check,
                    "reason": refused.reason,
                },
            )

    def _approve(self, approved: Approved, now: Ns) -> None:
        plan = approved.plan
        for leg in plan.legs:
            pair = self.market.pairs[leg.leg.pair_id]
            levels = self.depth(leg.leg.id)
            self._claims.promise(leg.order_id, leg.leg.pair_id, leg.leg.side, levels, pair.lots(leg.qty))
        run = self.conductor.admit(approved, now)
        record = self._stream.record("plan", now, plan_record(plan, approved.checks, run.marks))
        self._port.append(record, lambda at: self._last_look(run.plan, at))

    def _last_look(self, plan: Plan, now: Ns) -> None:
        """The plan is durable: is it still there (TRADING 16)? If not it is dropped, nothing sent."""
        gone = self._gone(plan, now)
        appearances = self._port.appearances
        if gone is None:
            self.funnel.count(plan.key, Reached.EXECUTED)
            appearances.reached(plan.key, Reached.EXECUTED, "executed", plan.edge_bps)
            self.conductor.go(plan.id, now)
            return
        self.funnel.count(plan.key, Reached.GONE)
        self.last_stop[plan.key] = f"gone at the last look: {gone}"
        appearances.reached(plan.key, Reached.GONE, f"gone: {gone}", plan.edge_bps)
        self._journal("drop", now, drop_record(plan, "gone", gone))
        self.conductor.drop(plan.id, gone)

    def _gone(self, plan: Plan, now: Ns) -> str | None:
        if self.halted is not None:
            return self.halted
        if self.fees is None or self.fees.id != plan.fees_id:
            return "the fees changed"
        stale = self.gate.recheck(STALENESS_CHECK, plan, self, now)
        if stale is not None:
            return stale.reason
        own = frozenset(leg.order_id for leg in plan.legs)
        for leg in plan.legs:
            pair = self.market.pairs[leg.leg.pair_id]
            sign, limit = (1 if leg.leg.side is Side.BUY else -1), pair.ticks(leg.limit)
            within = sum(lots for ticks, lots in self._depth(leg.leg.id, own) if sign * ticks <= sign * limit)
            if within < pair.lots(leg.qty):
                return f"{leg.leg} shows {pair.qty(within)} within its limit {leg.limit}, not {leg.qty}"
        return None

    # --- what detectors must beat ---

    def break_even(self, legs: Sequence[LegId]) -> float:
        """1 / fee factors of these legs; inf when a fee is missing or the desk cannot start there."""
        factors = self._fee_factor
        left = prod(factors[leg] if leg < len(factors) else 0.0 for leg in legs)
        return 1.0 / left if left > 0.0 else float("inf")

    def required(self, legs: Sequence[LegId]) -> float:
        """What must come back gross before pricing can succeed: margin and minimum edge after fees (TRADING 2)."""
        pricing = self.terms.pricing
        return self.break_even(legs) * float(ONE + max(pricing.margin_bps, pricing.min_edge_bps, ZERO) * BPS)

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
        self._journal("fees", now, fees_record(self.id, fees))
        self._refactor()

    def relisted(self) -> None:
        """Pairs were listed or changed: fee factors by leg are worked out again."""
        self._refactor()

    def _refactor(self) -> None:
        self._fee_factor = [
            0.0 if (fee := self.fee(leg.symbol)) is None else factor(leg.side, fee) for leg in self.market_state.legs
        ]

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
        accounts = {(asset, account): amount for asset, account, amount in self.ledger.accounts()}
        # An account that was told and is empty now is told as empty, or its last amount would stand.
        whole = {**dict.fromkeys(self._told_accounts, ZERO), **accounts}
        self._told_accounts = set(accounts)
        self._journal("balances", now, balances_record(self.id, [(*name, amount) for name, amount in whole.items()]))
        self._journal_high_water(now)

    def _journal_high_water(self, now: Ns) -> None:
        """When it rose: drawdown is measured from there after a restart, too (RELIABILITY 9)."""
        high_water = self.conductor.results.high_water
        if high_water is not None and high_water != self._told_high_water:
            self._told_high_water = high_water
            self._journal("high_water", now, high_water_record(self.id, self.valuation_asset, high_water))

    def _earlier_high_water(self) -> Decimal | None:
        """One in another valuation asset says nothing in this one."""
        known = self._recovered.high_water
        return None if known is None or known.valuation_asset != self.valuation_asset else known.amount

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
        return self._depth(leg, self.conductor.own_orders)

    def _depth(self, leg_id: LegId, but_of: frozenset[str]) -> Sequence[Level]:
        leg = self.market_state.legs[leg_id]
        if not self.market_state.usable(leg.pair_id):
            return []
        levels = self.market_state.books[leg.pair_id].taken_by(leg.side).levels(self.terms.pricing.max_levels)
        return net_of(
            levels,
            self.venue.taken(leg.pair_id, leg.side),
            self._claims.on(leg.pair_id, leg.side, but_of),
        )

    def promised(self, leg: LegId) -> Collection[int]:
        of = self.market_state.legs[leg]
        shown = self.market_state.books[of.pair_id].taken_by(of.side)
        claimed = self._claims.on(of.pair_id, of.side, self.conductor.own_orders)
        return [ticks for ticks in claimed if shown.lots_at(ticks)]

    def fee(self, symbol: str) -> Fee | None:
        return None if self.fees is None else self.fees.taker.get(symbol)

    def banned_until(self, leg: LegId) -> Ns | None:
        return self._bans.get(leg)

    def last_plan(self, key: str) -> Ns | None:
        return self.conductor.history.last_plan(key)

    def plans_since(self, since: Ns, key: str | None = None) -> int:
        return self.conductor.history.plans_since(since, key)

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

    def _revalue(self, now: Ns) -> None:
        """From time to time: drawdown is measured at these moments and at every plan's end."""
        self.conductor.results.revalue(self.ledger.balances(), self._mark)
        self._journal_high_water(now)
        if self._refused_since_look:
            self._refused_since_look = False
            self._port.offer_again()
        self._port.clockwork.at(now + REVALUE_NS, self._revalue)


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
