"""What the panel says, on the market of the engine's tests."""

from arbitrade_core.money import plain
from arbitrade_core.panels import Content
from arbitrade_statarb.detector import StatarbDetector
from arbitrade_statarb.panel import StatarbPanel
from arbitrade_statarb.settings import StatarbSettings
from tests.engine.rotating import Rotating


def facts(content: Content) -> dict[str, str]:
    return {fact.label: fact.value for fact in content.facts}


def test_idle_without_an_allocation() -> None:
    content = StatarbPanel(StatarbDetector(StatarbSettings())).content(0)
    assert facts(content) == {"idle": "no allocation is set (ARBITRADE_STATARB__ALLOCATION)"}


def test_before_the_first_bar_and_while_it_warms_up() -> None:
    scene = Rotating()
    panel = StatarbPanel(scene.statarb)
    assert facts(panel.content(0))["against holding"].startswith("not known")
    scene.runs(10)
    told = facts(panel.content(0))
    assert told["history"] == "10 of 400 bars of 1 s"
    assert told["against holding"] == "0 USD (0 bps), fees paid"
    assert told["value"] == told["value of just holding"]


def test_in_a_position_it_shows_what_is_held_against_the_baseline() -> None:
    scene = Rotating(seed=13)
    scene.until("entry")
    scene.lingers()
    content = StatarbPanel(scene.statarb).content(0)
    told = facts(content)
    assert (told["pairs followed"], told["in position"]) == ("1", "1")
    holdings, spreads, search = content.tables
    held = {row[0]: row[1:3] for row in holdings.rows}
    assert held["ETH"] == (plain(scene.own["ETH"]), "6")
    assert held["BTC"] == (plain(scene.own["BTC"]), "0.2")
    assert spreads.rows[0][:2] == ("ETH/USD:BTC/USD", "long")
    assert search.rows[0] == ("ETH/USD:BTC/USD", "chosen", "")
    assert "-" in told["against holding"], "two taker fees are paid"
    assert "goes back to the baseline" in content.note
