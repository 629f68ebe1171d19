"""What becomes of one desk's offers that do not go through: counted where they stopped, told, left to rest.

The desk decides which those are. What is kept here answers "why no trade?", in counts and in words.
"""

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Protocol

from arbitrade_core.domain import Candidate, Ns, Plan, Rotation, Severity
from arbitrade_core.events import Clockwork
from arbitrade_core.funnel import Appearances, DeskFunnel, OwnAppearances, Reached
from arbitrade_core.journal import Fields, Record, Stream
from arbitrade_core.planning import STOPPED_AT
from arbitrade_core.pricing import Stopped
from arbitrade_core.records import drop_record
from arbitrade_core.risk.gate import Alarm
from arbitrade_core.spi import Refused

ALARM_EVERY_NS = 60_000_000_000
"""Refusals that people must hear of come on every message while they last: one alert a minute and check."""

STALENESS_CHECK = "book_health"
"""The check whose refusals are the funnel's `stale`; it is asked again at the last look."""

type Proposal = Candidate | Rotation


class RefusalsPort(Protocol):
    @property
    def clockwork(self) -> Clockwork: ...
    @property
    def appearances(self) -> Appearances: ...
    def append(self, record: Record, durable: Callable[[Ns], None] | None = None) -> None: ...
    def notify(self, severity: Severity, topic: str, text: str, now: Ns) -> None: ...
    def offer_again(self) -> None: ...


class Refusals:
    """One desk's; it counts into the desk's funnel and writes to the desk's stream."""

    def __init__(self, desk_id: str, funnel: DeskFunnel, port: RefusalsPort, stream: Stream) -> None:
        self.last_stop: dict[str, str] = {}
        """by cycle key: why its last offer went no further, in words"""
        self.appearances = OwnAppearances()
        self.watched: Appearances | None = None
        """the desk's own appearances in full, for a report on it; None: nobody asks"""
        self._desk_id = desk_id
        self._funnel = funnel
        self._port = port
        self._stream = stream
        self._resting: dict[str, Refused] = {}
        """by cycle key: refused until a time that has not come yet, or while the appearance lasts"""
        self._since_look = False
        """whether something was refused that time alone may let through"""
        self._alarmed: dict[str, Ns] = {}
        """when each check last raised an alert"""

    # --- where offers end ---

    def reached(self, key: str, stage: Reached, words: object, edge_bps: Decimal | None) -> None:
        """For whoever looks at appearances: so far an offer of this one came."""
        self._port.appearances.reached(key, stage, words, edge_bps)
        if self.watched is not None:
            self.watched.reached(key, stage, words, edge_bps)

    def stopped(self, offer: Proposal, stop: Stopped) -> None:
        """Pricing made no plan of it."""
        stage = STOPPED_AT[stop.stage]
        self._funnel.count(offer.key, stage)
        self.last_stop[offer.key] = stop.reason
        self.reached(offer.key, stage, stop, stop.edge_bps)

    def refused(self, offer: Proposal, refused: Refused, edge_bps: Decimal | None, now: Ns) -> None:
        """By a check: it rests until the time that the check names, else it is looked at again from time to time."""
        self._tell(offer, refused, edge_bps, now)
        if refused.until_gone:
            self._resting[offer.key] = refused
        elif refused.until_ns is None:
            self._since_look = True
        else:
            self._rest(offer.key, refused, refused.until_ns)

    def still_resting(self, offer: Proposal, now: Ns) -> bool:
        """Whether it was refused until a time that has not come: then it is refused once more, without a look."""
        resting = self._resting.get(offer.key)
        if resting is None or not (resting.until_gone or (resting.until_ns is not None and resting.until_ns > now)):
            return False
        self._tell(offer, resting, None, now)
        return True

    def vanished(self, key: str) -> None:
        """It is not above this desk's hurdle any more: when it comes again, that is another appearance."""
        self.appearances.vanished(key)
        resting = self._resting.get(key)
        if resting is not None and resting.until_gone:
            del self._resting[key]

    def gone(self, plan: Plan, reason: str, now: Ns) -> None:
        """Approved, but not there any more at the last look."""
        self._funnel.count(plan.key, Reached.GONE)
        self.last_stop[plan.key] = f"gone at the last look: {reason}"
        self.reached(plan.key, Reached.GONE, f"gone: {reason}", plan.edge_bps)
        self._journal("drop", now, drop_record(plan, "gone", reason))

    # --- looking again ---

    def look_again(self) -> None:
        """Time has passed: put again what was refused without a time to wait for."""
        if self._since_look:
            self._since_look = False
            self._port.offer_again()

    def wake(self, checks: Collection[str]) -> None:
        """These checks are not asked any more: what they sent to rest may come."""
        self._resting = {key: refused for key, refused in self._resting.items() if refused.check not in checks}
        self._port.offer_again()

    def _rest(self, key: str, refused: Refused, until_ns: Ns) -> None:
        """Do not look at this cycle before then; then look at everything again (TRADING 4)."""
        self._resting[key] = refused

        def over(now: Ns) -> None:  # noqa: ARG001 - a timer's shape
            if self._resting.get(key) is refused:
                del self._resting[key]
            self._port.offer_again()

        self._port.clockwork.at(until_ns, over)

    # --- telling ---

    def _tell(self, offer: Proposal, refused: Refused, edge_bps: Decimal | None, now: Ns) -> None:
        """Count it, keep why, and tell it once an appearance."""
        stage = Reached.STALE if refused.check == STALENESS_CHECK else Reached.REFUSED
        self._funnel.count(offer.key, stage, None if stage is Reached.STALE else refused.check)
        self.last_stop[offer.key] = f"{refused.check}: {refused.reason}"
        words = f"refused by {refused.check}: {refused.reason}"
        self.reached(offer.key, stage, words, edge_bps)
        if isinstance(refused, Alarm) and now - self._alarmed.get(refused.check, -ALARM_EVERY_NS) >= ALARM_EVERY_NS:
            self._alarmed[refused.check] = now
            text = f"{offer.key} refused by {refused.check}: {refused.reason}"
            self._port.notify(refused.severity, f"risk.{refused.check}", text, now)
        if self.appearances.first_time(offer.key, refused.check):
            data = {
                "desk": self._desk_id,
                "strategy": offer.strategy,
                "key": offer.key,
                "check": refused.check,
                "reason": refused.reason,
            }
            self._journal("refusal", now, data)

    def _journal(self, kind: str, now: Ns, data: Fields) -> None:
        self._port.append(self._stream.record(kind, now, data))
