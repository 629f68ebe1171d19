"""Settings: typed, from the environment and `.env`, validated together at the start.

`model` holds the core's sections, `environment` the table of variables, `loading` the validation of all
sections at once, `describe` the words for people.
"""

from arbitrade_core.settings.describe import allowed, default, markdown, written
from arbitrade_core.settings.environment import Given, Named, Variable, read_environment, variables
from arbitrade_core.settings.loading import Settings, load_settings
from arbitrade_core.settings.model import (
    BacktestSettings,
    CoreSettings,
    DatabaseSettings,
    ExecutionSettings,
    IsolationSettings,
    LogSettings,
    PaperSettings,
    RecordingSettings,
    RiskSettings,
    Section,
    TradingSettings,
)

__all__ = [
    "BacktestSettings",
    "CoreSettings",
    "DatabaseSettings",
    "ExecutionSettings",
    "Given",
    "IsolationSettings",
    "LogSettings",
    "Named",
    "PaperSettings",
    "RecordingSettings",
    "RiskSettings",
    "Section",
    "Settings",
    "TradingSettings",
    "Variable",
    "allowed",
    "default",
    "load_settings",
    "markdown",
    "read_environment",
    "variables",
    "written",
]
