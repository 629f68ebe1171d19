"""The plugin `statarb`, experimental: rotates a funded baseline between assets whose spread reverts (TRADING 37)."""

from pydantic import BaseModel

from arbitrade_core.hooks import PluginContext, hookimpl
from arbitrade_core.panels import Panel
from arbitrade_core.spi import Detector
from arbitrade_statarb.detector import StatarbDetector
from arbitrade_statarb.panel import StatarbPanel
from arbitrade_statarb.settings import StatarbSettings

ARBITRADE_API = 1
NEEDS = ("feed", "executor")


@hookimpl
def register_settings() -> type[BaseModel]:
    return StatarbSettings


@hookimpl
def register_detectors(ctx: PluginContext[StatarbSettings]) -> list[Detector]:
    detector = ctx.shared["detector"] = StatarbDetector(ctx.settings)
    return [detector]


@hookimpl
def register_panels(ctx: PluginContext[StatarbSettings]) -> list[Panel]:
    return [StatarbPanel(ctx.shared["detector"])]
