"""When a spread is entered, left and given up: a state machine over closed bars.

    flat ── z <= -entry ──> long the spread  (more y, less x)
    flat ── z >= +entry ──> short the spread (more x, less y)
    long, short ── exit | stop | time stop | gap ──> flat

Nothing here trades: a signal is a wish, and plans, gate and venue decide what becomes of it. States are values; the
same readings give the same signals, and a state can be kept and taken up again.
"""

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from arbitrade_statarb.costs import expected_reversion_bps
from arbitrade_statarb.settings import StatarbSettings


class Position(IntEnum):
    """Side of the spread. Spot only: each is a rotation of the baseline, none a debt (TRADING 37)."""

    SHORT = -1
    FLAT = 0
    LONG = 1


class Reason(StrEnum):
    """Why the position is what it is now."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    TIME_STOP = "time_stop"
    GAP = "gap"
    HOLD = "hold"
    """in position, nothing to do"""
    WAIT = "wait"
    """flat, z is below the entry"""
    BEYOND_STOP = "beyond_stop"
    """flat, z is further out than an entry could be held"""
    COOLDOWN = "cooldown"
    """flat after a stop: too early, or z has not come back below the entry since"""
    UNSTABLE = "unstable"
    """flat: no current test says that the pair reverts in time, or it is no longer chosen"""
    STALE = "stale"
    """in position or flat: a price of this bar is carried from an earlier one, nothing is decided on it"""
    NO_FEES = "no_fees"
    """flat: what the round trip costs is not known"""
    COST = "cost"
    """flat: the expected reversion does not pay for the round trip"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One pair at the close of one bar."""

    z: float
    """deviation of the spread in standard deviations, as expected before this bar; below 0: y is cheap"""
    sigma: float
    """that standard deviation, in log price"""
    hedge_ratio: float
    half_life_bars: float
    stable: bool
    """a current test says that the pair reverts"""
    round_trip_bps: float | None
    """None: fees are not known"""
    fresh: bool = True
    """both prices are of this bar"""


@dataclass(frozen=True, slots=True)
class State:
    """Where one pair stands."""

    position: Position = Position.FLAT
    held_bars: int = 0
    time_stop_bars: float = 0.0
    """fixed at the entry"""
    cooldown_bars: int = 0
    """bars left without an entry"""
    armed: bool = True
    """False after a stop, until z was below the entry"""


@dataclass(frozen=True, slots=True)
class Signal:
    """What the bar asks for."""

    position: Position
    reason: Reason
    changed: bool
    expected_bps: float = 0.0
    """what an entry expects of the rotated value, before costs; 0 where no entry was weighed"""


def step(state: State, reading: Reading, settings: StatarbSettings) -> tuple[State, Signal]:
    """Take one closed bar."""
    if not reading.fresh:
        held_bars = state.held_bars + (state.position is not Position.FLAT)
        waited = replace(state, held_bars=held_bars, cooldown_bars=max(0, state.cooldown_bars - 1))
        return waited, Signal(state.position, Reason.STALE, changed=False)
    if state.position is Position.FLAT:
        return _flat(state, reading, settings)
    return _held(state, reading, settings)


def gap(state: State) -> tuple[State, Signal]:
    """The pair has no price any more: without a model there is no position."""
    return State(), Signal(Position.FLAT, Reason.GAP, changed=state.position is not Position.FLAT)


def _held(state: State, reading: Reading, settings: StatarbSettings) -> tuple[State, Signal]:
    adverse_z = -reading.z * state.position
    """how far the spread is out on the side it was entered on"""
    held_bars = state.held_bars + 1
    if adverse_z >= settings.stop_z:
        return _given_up(Reason.STOP, settings)
    if adverse_z <= settings.exit_z:
        return State(), Signal(Position.FLAT, Reason.EXIT, changed=True)
    if held_bars >= state.time_stop_bars:
        return _given_up(Reason.TIME_STOP, settings)
    return replace(state, held_bars=held_bars), Signal(state.position, Reason.HOLD, changed=False)


def _given_up(reason: Reason, settings: StatarbSettings) -> tuple[State, Signal]:
    state = State(cooldown_bars=settings.cooldown_bars, armed=False)
    return state, Signal(Position.FLAT, reason, changed=True)


def _flat(state: State, reading: Reading, settings: StatarbSettings) -> tuple[State, Signal]:
    out = abs(reading.z)
    cooling = state.cooldown_bars > 0
    armed = state.armed or out < settings.entry_z
    state = replace(state, cooldown_bars=max(0, state.cooldown_bars - 1), armed=armed)
    expected_bps = 0.0
    if cooling or not armed:
        reason = Reason.COOLDOWN
    elif out < settings.entry_z:
        reason = Reason.WAIT
    elif out >= settings.stop_z:
        reason = Reason.BEYOND_STOP
    elif not _reverts(reading, settings):
        reason = Reason.UNSTABLE
    elif reading.round_trip_bps is None:
        reason = Reason.NO_FEES
    else:
        expected_bps = expected_reversion_bps(
            reading.z, settings.exit_z, reading.sigma, reading.hedge_ratio, settings.time_stop_half_lives
        )
        pays = expected_bps >= reading.round_trip_bps * settings.cost_margin
        reason = Reason.ENTRY if pays else Reason.COST
    if reason is not Reason.ENTRY:
        return state, Signal(Position.FLAT, reason, changed=False, expected_bps=expected_bps)
    position = Position.LONG if reading.z < 0.0 else Position.SHORT
    time_stop_bars = settings.time_stop_half_lives * reading.half_life_bars
    entered = replace(state, position=position, time_stop_bars=time_stop_bars)
    return entered, Signal(position, reason, changed=True, expected_bps=expected_bps)


def _reverts(reading: Reading, settings: StatarbSettings) -> bool:
    timely = settings.half_life_min_bars <= reading.half_life_bars <= settings.half_life_max_bars
    sound = settings.hedge_ratio_min <= reading.hedge_ratio <= settings.hedge_ratio_max
    return reading.stable and timely and sound
