"""The built-in plugin `core`: the shipped risk checks, the executors, the paper venue, alerts to the log.

It registers through the same hooks as everybody else. Its settings are the core's own.
"""

from collections.abc import Callable
from decimal import Decimal

import structlog

from arbitrade_core.domain import Alert, Severity
from arbitrade_core.hooks import PluginContext, hookimpl
from arbitrade_core.risk.checks import shipped_checks
from arbitrade_core.settings import CoreSettings, PaperSettings
from arbitrade_core.spi import Detector, Executor, Notifier, RiskCheck, Venue, VenueKind

ARBITRADE_API = 1


class LogNotifier:
    """Writes every alert to the log, at the level of its severity."""

    name = "log"

    def __init__(self) -> None:
        self._log = structlog.get_logger("arbitrade.alert")

    def send(self, alert: Alert) -> None:
        write = {
            Severity.INFO: self._log.info,
            Severity.WARNING: self._log.warning,
            Severity.CRITICAL: self._log.critical,
        }[alert.severity]
        write(alert.text, topic=alert.topic, at_ns=alert.at_ns)


@hookimpl
def register_risk_checks(ctx: PluginContext[CoreSettings]) -> list[RiskCheck]:
    return shipped_checks(ctx.settings.risk)


@hookimpl
def register_detectors(ctx: PluginContext[CoreSettings]) -> list[Detector]:
    from arbitrade_core.recording.every_pair import EveryPair  # noqa: PLC0415 - only who records needs it

    return [EveryPair()] if ctx.settings.recording.all_pairs else []


@hookimpl
def register_executors(ctx: PluginContext[CoreSettings]) -> list[Executor]:
    from arbitrade_core.execution.rotation import RotationExecutor  # noqa: PLC0415 - only who trades needs it
    from arbitrade_core.execution.sequential import SequentialExecutor  # noqa: PLC0415 - likewise

    execution = ctx.settings.execution
    return [
        SequentialExecutor(
            execution.loss_cap_bps,
            execution.max_follow_ups,
            execution.residue_floor_valued,
            execution.stuck_after_ms * 1_000_000,
        ),
        RotationExecutor(),
    ]


class PaperVenues:
    """Opens paper venues (`spi.VenueKind`)."""

    name = "paper"
    real = False

    def __init__(self, settings: PaperSettings) -> None:
        self._settings = settings

    def open(self, desk_id: str, funds: Callable[[str], Decimal]) -> Venue:
        from arbitrade_core.execution.paper import PaperVenue  # noqa: PLC0415 - only who trades needs it

        latency_ns = self._settings.latency_ms * 1_000_000
        return PaperVenue(desk_id, funds=funds, latency_ns=latency_ns, slippage_bps=self._settings.slippage_bps)


@hookimpl
def register_venues(ctx: PluginContext[CoreSettings]) -> list[VenueKind]:
    return [PaperVenues(ctx.settings.paper)]


@hookimpl
def register_notifiers() -> list[Notifier]:
    return [LogNotifier()]
