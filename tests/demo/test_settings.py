"""`arbitrade settings` beside a running demo, and in the next one."""

import json
import signal
from collections.abc import Callable

from tests.demo.conftest import Command, wait_until

type Start = Callable[..., Command]

EDGE, PLANS = "ARBITRADE_TRADING__MIN_EDGE_BPS", "ARBITRADE_RISK__MAX_OPEN_PLANS"


def test_a_running_demo_takes_thresholds_at_once_and_the_next_demo_has_them_all(start: Start) -> None:
    demo = start("demo", "--seconds=60", "--json")
    wait_until(lambda: told(start, "status", "--demo").get("cycles_completed"))
    wanted = ("trading.min_edge_bps=9", "risk.max_open_plans=3")
    changed = start("settings", "set", *wanted, "--demo", "--json", "--reason=sweep 12")
    assert changed.ended() == 0, changed.errors
    answer = changed.answer()
    assert (answer["now"], answer["later"], answer["refused"]) == ([EDGE], [PLANS], {})
    waits = start("settings", "list", "--demo")
    assert waits.ended() == 0, waits.errors
    assert f"override v{answer['version']}; at the next start" in waits.out
    demo.interrupt(signal.SIGINT)
    assert demo.ended() == 0, demo.errors
    assert demo.answer()["ledger_consistent"] is True

    rows = {row["variable"]: row for row in listed(start, "settings", "list", "--demo", "--json")}
    origin = f"override v{answer['version']}"
    assert [(rows[name]["value"], rows[name]["origin"]) for name in (EDGE, PLANS)] == [("9", origin), ("3", origin)]
    others = {row["variable"]: row["origin"] for row in listed(start, "settings", "list", "--json")}
    assert (others[EDGE], others[PLANS]) == ("default", "default"), "the demo's database is not that of `run`"
    back = start("settings", "unset", "trading.min_edge_bps", "risk.max_open_plans", "--demo", "--json")
    assert back.ended() == 0, back.errors
    assert back.answer()["later"] == [PLANS, EDGE], "no demo runs any more"


def told(start: Start, *arguments: str) -> dict[str, object]:
    command = start(*arguments)
    return command.answer() if command.ended() == 0 else {}


def listed(start: Start, *arguments: str) -> list[dict[str, object]]:
    command = start(*arguments)
    assert command.ended() == 0, command.errors
    found: list[dict[str, object]] = json.loads(command.out)
    return found
