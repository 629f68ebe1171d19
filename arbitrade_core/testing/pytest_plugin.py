"""For pytest: what a plugin's tests need, by fixture name. Nothing is imported before a test asks for it.

| fixture | what it is |
|---|---|
| `arbitrade_clock` | a `SimClock` |
| `arbitrade_market` | a `FakeMarket` of three pairs among which no cycle pays |
| `arbitrade_desk` | a `FakeDesk` on that market, with 10,000 USD and fees of 10 bps |
| `arbitrade_player` | `MarketPlayer`, to be called with the objects under test |

`--arbitrade-budget`, or the marker `arbitrade_budget` on a contract's class, lets its budget rule fail.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from arbitrade_core.testing.clock import SimClock
    from arbitrade_core.testing.desk import FakeDesk
    from arbitrade_core.testing.market import FakeMarket
    from arbitrade_core.testing.player import MarketPlayer

MARKER = "arbitrade_budget"
OPTION = "--arbitrade-budget"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("arbitrade").addoption(
        OPTION, action="store_true", help="let contracts of arbitrade's plugins fail that are over their budget"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: a contract that fails when it is over its budget")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.getoption(OPTION) or item.get_closest_marker(MARKER) is not None:
        contract = getattr(item, "instance", None)
        if hasattr(contract, "judges_cost"):
            contract.judges_cost = True  # type: ignore[union-attr]


@pytest.fixture
def arbitrade_clock() -> "SimClock":
    """Time that passes when the test says so."""
    from arbitrade_core.testing.clock import SimClock  # noqa: PLC0415 - who uses no fixture pays for none

    return SimClock()


@pytest.fixture
def arbitrade_market() -> "FakeMarket":
    """Three pairs among which no cycle pays."""
    from arbitrade_core.testing.market import triangle_market  # noqa: PLC0415 - as above

    return triangle_market()


@pytest.fixture
def arbitrade_desk(arbitrade_market: "FakeMarket") -> "FakeDesk":
    """An account on `arbitrade_market`."""
    from arbitrade_core.testing.desk import FakeDesk  # noqa: PLC0415 - as above

    return FakeDesk(arbitrade_market)


@pytest.fixture
def arbitrade_player() -> "type[MarketPlayer]":
    """Call it with the objects under test: `arbitrade_player(checks=[MyCheck()])`."""
    from arbitrade_core.testing.player import MarketPlayer  # noqa: PLC0415 - as above

    return MarketPlayer
