"""What an order takes beyond its plan's holdings comes out of residue, to the last unit (TRADING 15, 25)."""

import pytest

from tests.engine import sessions


def test_what_rounding_takes_beyond_a_plan_is_no_negative_cash(monkeypatch: pytest.MonkeyPatch) -> None:
    """GBP is booked in 0.0001, its pairs report 0.00001: two fills of one order may round up by more than is held."""
    monkeypatch.setattr(sessions, "PAIRS", 60)
    monkeypatch.setattr(sessions, "RATE", 400.0)
    world = sessions.Session(4).world  # the books are checked after every step
    world.start()
    world.run_for(25 * sessions.S)
    assert len(world.orders) > 300
    assert world.desk.halt_reason is None
