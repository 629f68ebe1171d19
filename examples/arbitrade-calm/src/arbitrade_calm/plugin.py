"""The plugin `calm`: what Arbitrade's entry point names."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from arbitrade_core.hooks import Finding, Grade, PluginContext, hookimpl
from arbitrade_core.panels import Panel
from arbitrade_core.spi import Detector, RiskCheck
from pydantic import BaseModel

from arbitrade_calm.checks import CalmPairs, TradingHours
from arbitrade_calm.hours import Hours
from arbitrade_calm.panel import CalmPanel
from arbitrade_calm.settings import CalmSettings
from arbitrade_calm.watch import Watch

ARBITRADE_API = 1


@dataclass(frozen=True, slots=True)
class Calm:
    """What detector, checks and panel share: one, as long as the plugin is enabled."""

    hours: Hours
    watch: Watch
    refusals: Counter[str]


@hookimpl
def register_settings() -> type[BaseModel]:
    return CalmSettings


@hookimpl
def register_detectors(ctx: PluginContext[CalmSettings]) -> list[Detector]:
    return [_calm(ctx).watch]


@hookimpl
def register_risk_checks(ctx: PluginContext[CalmSettings]) -> list[RiskCheck]:
    """Hours first: they cost less to ask. Called once a desk, so desks share what is behind them."""
    calm = _calm(ctx)
    return [TradingHours(calm.hours, calm.refusals), CalmPairs(ctx.settings, calm.watch, calm.refusals)]


@hookimpl
def register_panels(ctx: PluginContext[CalmSettings]) -> list[Panel]:
    calm = _calm(ctx)
    return [CalmPanel(ctx.settings, calm.hours, calm.watch, calm.refusals)]


async def doctor(ctx: PluginContext[CalmSettings]) -> AsyncIterator[Finding]:
    """Would it refuse now, and for how long after a start?"""
    settings = ctx.settings
    hours = settings.opening()
    now = time.time_ns()  # `arbitrade doctor` asks beside trading, where nobody hands a clock over
    opens_ns = hours.opens_ns(now)
    what = "calm: hours"
    if opens_ns <= now:
        yield Finding(Grade.OK, what, f"open now ({settings.hours}, {settings.time_zone})")
    else:
        remedy = "wait, or change ARBITRADE_CALM__HOURS or ARBITRADE_CALM__TIME_ZONE"
        detail = f"closed until {hours.written(opens_ns)}, so every plan is refused ({settings.hours})"
        yield Finding(Grade.WARNING, what, detail, remedy)
    limit = f"limit {settings.max_volatility_bps:g} bps per sqrt(minute), half-life {settings.half_life_s:g} s"
    if settings.sample_s > settings.half_life_s:
        remedy = f"set ARBITRADE_CALM__SAMPLE_S to {settings.half_life_s / 10:g} or less"
        detail = f"sampled every {settings.sample_s:g} s only, so it rests on one return or two; {limit}"
        yield Finding(Grade.WARNING, "calm: volatility", detail, remedy)
    else:
        detail = f"{limit}; after a start plans are refused for {settings.min_seen_s:g} s"
        yield Finding(Grade.OK, "calm: volatility", detail)


def _calm(ctx: PluginContext[CalmSettings]) -> Calm:
    found = ctx.shared.get("calm")
    if not isinstance(found, Calm):
        found = ctx.shared["calm"] = Calm(ctx.settings.opening(), Watch(ctx.settings), Counter())
    return found
