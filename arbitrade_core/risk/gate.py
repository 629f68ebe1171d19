"""The gate: no plan is carried out without its approval, and no approval is made anywhere else.

Checks are asked one after the other, and the first that says no ends it. Whatever is in doubt refuses: a
required check that is missing, a check that raises, an answer that is none (RELIABILITY 14).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

from arbitrade_core.domain import Ns, Plan, Severity
from arbitrade_core.errors import InvariantError, PluginError
from arbitrade_core.meter import Meter
from arbitrade_core.parts import Part
from arbitrade_core.spi import DeskView, Refused, RiskCheck

GATE = "gate"
"""The name under which the gate itself refuses."""

type OnFault = Callable[[str, BaseException], None]
"""Told the name of a check that raised, and what: whoever gave it is quarantined."""

_MINT = object()


@dataclass(frozen=True, slots=True)
class Approved:
    """A plan that every check let pass. Only the gate makes one, so having one is the proof."""

    plan: Plan
    checks: tuple[str, ...]
    """names of the checks it passed, in the order they were asked"""
    mint: InitVar[object] = field(kw_only=True, default=None)

    def __post_init__(self, mint: object) -> None:
        if mint is not _MINT:
            raise InvariantError(
                f"an approval of plan {self.plan.id!r} was made outside the risk gate; only it approves"
            )


@dataclass(frozen=True, slots=True)
class Alarm(Refused):
    """A no that people must hear of; whoever asked the gate raises an alert with topic `risk.<check>`."""

    severity: Severity = Severity.WARNING


class Gate:
    """Asks checks about plans. It keeps nothing between two plans; what the desk did stands in `DeskView`."""

    def __init__(self, checks: Sequence[RiskCheck], required: Collection[str], on_fault: OnFault | None = None) -> None:
        """Args:
            checks: in the order in which they are asked, cheap ones first.
            required: names of checks without which everything is refused.
            on_fault: called when a check raises, or answers what is no answer.

        Raises:
            PluginError: two checks have the same name.
        """
        self._checks = tuple((check.name, check) for check in checks)
        self.names = tuple(name for name, _ in self._checks)
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise PluginError(f"two risk checks are named {', '.join(twice)}; each needs a name of its own")
        self.missing = tuple(sorted(set(required) - set(self.names)))
        """required checks that are not there: while there are any, everything is refused"""
        self._required = frozenset(required)
        self.on_fault = on_fault
        self.meter: Meter | None = None
        """measures what each check costs, when somebody wants to know"""
        self._held: dict[str, str] = {}
        """checks that misbehaved, and how: they are not asked again, and refuse everything"""

    def review(self, plan: Plan, desk: DeskView, now: Ns) -> Approved | Refused:
        """May it be carried out? It must not be among `desk.open_plans` yet, nor its start held for it."""
        if self.missing:
            return Refused(GATE, f"required checks are missing: {', '.join(self.missing)}")
        if plan.desk_id != desk.id or plan.valuation_asset != desk.valuation_asset:
            return Refused(
                GATE,
                f"the plan is of desk {plan.desk_id!r} in {plan.valuation_asset}, "
                f"not of desk {desk.id!r} in {desk.valuation_asset}",
            )
        for name, check in self._checks:
            refused = self._ask(name, check, plan, desk, now)
            if refused is not None:
                return refused
        return Approved(plan, self.names, mint=_MINT)

    def recheck(self, name: str, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        """Ask one check again; one that is not there refuses if it is required."""
        for known, check in self._checks:
            if known == name:
                return self._ask(name, check, plan, desk, now)
        return Refused(GATE, f"required check is missing: {name}") if name in self._required else None

    def without(self, names: Collection[str]) -> "Gate":
        """The same gate less the checks of a plugin that was disabled. Required ones stay required."""
        left = [check for name, check in self._checks if name not in names]
        return self._with(left, {name: reason for name, reason in self._held.items() if name not in names})

    def along_with(self, checks: Sequence[RiskCheck]) -> "Gate":
        """The same gate with more checks, asked last. Those that were held and come anew get another chance."""
        names = {check.name for check in checks}
        known = [check for name, check in self._checks if name not in names]
        return self._with([*known, *checks], {name: why for name, why in self._held.items() if name not in names})

    def hold(self, name: str, reason: str) -> None:
        """The check misbehaved: while it is here it is not asked any more, and refuses (RELIABILITY 14)."""
        self._held[name] = reason

    def _with(self, checks: Sequence[RiskCheck], held: dict[str, str]) -> "Gate":
        gate = Gate(checks, self._required, self.on_fault)
        gate._held = held
        gate.meter = self.meter
        return gate

    def _ask(self, name: str, check: RiskCheck, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        if name in self._held:
            return Refused(name, f"the check is quarantined: {self._held[name]}; enable its plugin anew, or disable it")
        try:
            meter = self.meter
            began = 0 if meter is None else meter.cpu_ns()
            answer: Any = check.check(plan, desk, now)
            if meter is not None:
                meter.charge(Part.RISK_CHECK, name, meter.cpu_ns() - began)
            if answer is None or isinstance(answer, Refused):
                return answer
            raise TypeError(f"answered {answer!r}; a risk check answers None or Refused(check, reason)")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; whatever it raises refuses and is told
            if self.on_fault is not None:
                self.on_fault(name, error)
            return Refused(name, f"the check failed: {type(error).__name__}: {error}")
