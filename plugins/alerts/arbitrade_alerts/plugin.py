"""The plugin `alerts`: tells people by Telegram, Discord, mail and whatever else apprise knows."""

from collections.abc import AsyncIterator

from pydantic import BaseModel

from arbitrade_alerts.panel import AlertsPanel
from arbitrade_alerts.service import Alerts
from arbitrade_alerts.settings import AlertsSettings
from arbitrade_core.domain import Severity
from arbitrade_core.hooks import Finding, Grade, PluginContext, hookimpl
from arbitrade_core.panels import Panel
from arbitrade_core.services import Service
from arbitrade_core.spi import Notifier

ARBITRADE_API = 1


@hookimpl
def register_settings() -> type[BaseModel]:
    return AlertsSettings


@hookimpl
def register_notifiers(ctx: PluginContext[AlertsSettings]) -> list[Notifier]:
    return [_alerts(ctx)] if ctx.settings.urls() else []


@hookimpl
def register_services(ctx: PluginContext[AlertsSettings]) -> list[Service]:
    return [_alerts(ctx)] if ctx.settings.urls() else []


@hookimpl
def register_panels(ctx: PluginContext[AlertsSettings]) -> list[Panel]:
    return [AlertsPanel(_alerts(ctx))] if ctx.settings.urls() else []


def _alerts(ctx: PluginContext[AlertsSettings]) -> Alerts:
    """One object is notifier, service and what the panel looks at."""
    found = ctx.shared.get("alerts")
    if not isinstance(found, Alerts):
        found = ctx.shared["alerts"] = Alerts(ctx.settings)
    return found


async def doctor(ctx: PluginContext[AlertsSettings]) -> AsyncIterator[Finding]:
    """Which channels there are, and whether somebody would hear of a critical alert. Sends nothing."""
    outlets = ctx.settings.outlets()
    if not outlets:
        remedy = "set ARBITRADE_ALERTS__CHANNELS (docs/alerts.md), or live with the log"
        yield Finding(Grade.WARNING, "alerts: channels", "none, so nobody is told anything", remedy)
        return
    shown = ", ".join(f"{outlet.name} ({outlet.service})" for outlet in outlets)
    yield Finding(Grade.OK, "alerts: channels", f"{shown}; `arbitrade alerts test` sends a message to each")
    reached = ctx.settings.terms().routes.channels(Severity.CRITICAL, "desk.halt")
    if reached:
        yield Finding(Grade.OK, "alerts: critical", f"a halt is told to {', '.join(reached)}")
    else:
        remedy = "add a rule such as `critical * -> *` to ARBITRADE_ALERTS__ROUTES"
        yield Finding(Grade.WARNING, "alerts: critical", "no rule takes a halt, so nobody would hear of it", remedy)
