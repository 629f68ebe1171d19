"""What comes in from operators: halt, resume and drain; which pairs trade; each desk's fees, assets and thresholds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from arbitrade_core.desk import Desk
from arbitrade_core.domain import Ns, PairId, Severity
from arbitrade_core.events import (
    Drain,
    FeesLoaded,
    Halt,
    PairsEnabled,
    Resume,
    SettingsChanged,
    StartAssets,
    Thresholds,
)
from arbitrade_core.market import Block, Market
from arbitrade_core.money import exact
from arbitrade_core.outbox import Outbox


class Operated(Protocol):
    """The engine as far as operators reach."""

    market: Market
    out: Outbox

    @property
    def desks(self) -> Sequence[Desk]: ...
    def reweigh(self, pair: PairId, now: Ns) -> None: ...
    def index_again(self, desk_id: str | None = None) -> None: ...
    def offer_all_again(self) -> None: ...


class Operators:
    """What they said last holds until they say otherwise."""

    def __init__(self, engine: Operated, halted: str | None) -> None:
        self.halted = halted
        """why nothing may be sent"""
        self.draining = False
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            FeesLoaded: self._on_fees,
            PairsEnabled: self._on_pairs_enabled,
            StartAssets: self._on_start_assets,
            Thresholds: self._on_thresholds,
            SettingsChanged: self._on_settings_changed,
            Halt: self._on_halt,
            Resume: self._on_resume,
            Drain: self._on_drain,
        }
        """by input: who takes it"""
        self._engine = engine
        self._enabled: frozenset[str] | None = None
        """symbols of the pairs that may trade; None: all"""

    # --- whether to trade ---

    def _on_halt(self, event: Halt) -> None:
        if self.halted is None:
            self.halted = event.reason
            out = self._engine.out
            out.record("halt", event.now, {"reason": event.reason, "actor": event.actor})
            out.notify(Severity.CRITICAL, "engine.halt", f"halted by {event.actor}: {event.reason}", event.now)

    def _on_resume(self, event: Resume) -> None:
        if self.halted is not None:
            self._engine.out.record("resume", event.now, {"was": self.halted, "actor": event.actor})
            self.halted = None
        for desk in self._engine.desks:
            desk.resume(event.actor, event.now)
        self._engine.offer_all_again()

    def _on_drain(self, event: Drain) -> None:
        self.draining = True
        self._engine.out.record("drain", event.now, {})

    # --- on what ---

    def _on_pairs_enabled(self, event: PairsEnabled) -> None:
        self._enabled = event.symbols
        self._engine.out.record(
            "pairs_enabled",
            event.now,
            {"symbols": None if event.symbols is None else sorted(event.symbols)},
        )
        for pair in range(len(self._engine.market.pairs)):
            self.apply_enabled(pair)
            self._engine.reweigh(pair, event.now)
        self._engine.index_again()

    def apply_enabled(self, pair: PairId) -> None:
        """Have the market know whether the pair is wanted; for a pair that is listed anew, too."""
        market = self._engine.market
        if self._enabled is None or market.pairs[pair].symbol in self._enabled:
            market.release(pair, Block.DISABLED)
        else:
            market.block(pair, Block.DISABLED)

    # --- on which terms ---

    def _on_fees(self, event: FeesLoaded) -> None:
        desk = self._desk(event.desk_id)
        known = desk.fees
        with exact():
            desk.take_fees(event.fees, event.now)
        if known is None or known.id != event.fees.id or known.taker != event.fees.taker:
            self._engine.index_again(desk.id)

    def _on_start_assets(self, event: StartAssets) -> None:
        self._desk(event.desk_id).set_start_assets(event.assets, event.now)
        self._engine.index_again(event.desk_id)

    def _on_thresholds(self, event: Thresholds) -> None:
        self._desk(event.desk_id).set_thresholds(event, event.now)
        self._engine.index_again(event.desk_id)

    def _on_settings_changed(self, event: SettingsChanged) -> None:
        """Kept for whoever asks who changed what; it decides nothing by itself."""
        changes = {name: {"from": was, "to": to} for name, (was, to) in sorted(event.changes.items())}
        data = {"version": event.version, "actor": event.actor, "reason": event.reason, "changes": changes}
        self._engine.out.record("settings_changed", event.now, data)

    def _desk(self, desk_id: str) -> Desk:
        return next(desk for desk in self._engine.desks if desk.id == desk_id)
