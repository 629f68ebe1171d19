"""What Arbitrade expects of every detector and risk check."""

from arbitrade_core.hooks import PluginContext
from arbitrade_core.spi import Detector, RiskCheck
from arbitrade_core.testing.contracts import DetectorContract, RiskCheckContract

from arbitrade_calm.plugin import register_detectors, register_risk_checks
from arbitrade_calm.settings import CalmSettings


def ctx(**settings: object) -> PluginContext[CalmSettings]:
    return PluginContext("calm", CalmSettings.model_validate(settings), "USD", ("USD",))


class TestTradingHours(RiskCheckContract):
    def make(self) -> RiskCheck:
        return register_risk_checks(ctx(hours="mon-fri 08:00-09:00", time_zone="Europe/Berlin"))[0]


class TestCalmPairs(RiskCheckContract):
    def make(self) -> RiskCheck:
        return register_risk_checks(ctx())[1]


class TestWatch(DetectorContract):
    def make(self) -> Detector:
        (watch,) = register_detectors(ctx())
        return watch
