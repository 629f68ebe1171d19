"""The plugin `triangular`: one detector, no settings."""

from arbitrade_core.hooks import hookimpl
from arbitrade_core.spi import Detector
from arbitrade_triangular.detector import TriangularDetector

ARBITRADE_API = 1
NEEDS = ("feed", "executor")


@hookimpl
def register_detectors() -> list[Detector]:
    return [TriangularDetector()]
