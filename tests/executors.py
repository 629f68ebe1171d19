"""A second executor of cycles beside the shipped one, as a plugin would bring it."""

import pytest

from arbitrade_core import builtin
from arbitrade_core.execution.sequential import SequentialExecutor
from arbitrade_core.hooks import PluginContext, hookimpl
from arbitrade_core.settings import CoreSettings
from arbitrade_core.spi import Executor

PATIENT = "patient"


class Patient(SequentialExecutor):
    """Looks for a way home for longer."""

    name = PATIENT


def patient_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the core registers it as well."""
    shipped = builtin.register_executors

    @hookimpl
    def register_executors(ctx: PluginContext[CoreSettings]) -> list[Executor]:
        return [*shipped(ctx), Patient(stuck_after_ns=60_000_000_000)]

    monkeypatch.setattr(builtin, "register_executors", register_executors)
