"""`arbitrade demo`, `run` and `scan` as processes: what they say and how they end."""

import json
import os
import signal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.demo.conftest import Command, wait_until

type Start = Callable[..., Command]

FIELDS = (
    "frames",
    "books_live",
    "checksums_ok",
    "checksums_bad",
    "candidates",
    "approved",
    "refused",
    "cycles_completed",
    "cycles_unwound",
    "pnl",
    "ledger_consistent",
    "decision_us",
    "funnel",
)
NO_NETWORK = {"ARBITRADE_KRAKEN__WS_URL": "ws://127.0.0.1:9/v2"}
"""The discard port: nobody listens there."""


def test_a_demo_trades_and_its_cycles_are_listed_with_orders_and_fills(start: Start) -> None:
    demo = start("demo", "--seconds=6", "--seed=7", "--json")
    assert demo.ended() == 0, demo.errors
    told = demo.answer()
    assert [field for field in FIELDS if field not in told] == []
    assert told["frames"] > 300
    assert told["books_live"] > 20
    assert told["checksums_ok"] > 300
    assert told["checksums_bad"] == 0
    assert told["ledger_consistent"] is True
    assert told["cycles_completed"] >= 1
    assert told["approved"] >= told["cycles_completed"] + told["cycles_unwound"]
    assert told["decision_us"]["p99"] >= told["decision_us"]["p50"] > 0
    funnel = told["funnel"]
    assert funnel["evaluated"] >= funnel["gross_positive"] >= funnel["after_fees"]
    assert funnel["candidates"] == told["candidates"]
    assert funnel["executed"] + funnel["gone"] == told["approved"]
    assert "PLANTED" in told["notes"][0]

    cycles = start("cycles", "list", "--demo", "--json", "--limit=10000")
    assert cycles.ended() == 0, cycles.errors
    listed = [cycle for cycle in json.loads(cycles.out) if cycle["desk_id"] == told["desk"]]
    assert len(listed) == told["approved"]
    completed = [cycle for cycle in listed if cycle["outcome"] == "completed"]
    assert len(completed) == told["cycles_completed"]
    for cycle in completed:
        assert len(cycle["orders"]) == 3
        for order in cycle["orders"]:
            filled = sum(Decimal(fill["qty"]) for fill in order["fills"])
            assert filled == Decimal(order["filled_qty"]) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_ends_the_demo_with_a_summary(start: Start, number: signal.Signals) -> None:
    demo = start("demo")
    simulator = wait_until(demo.children)
    wait_until(lambda: trading(demo))
    demo.interrupt(number)
    assert demo.ended(20) == 0, demo.errors
    assert "frames" in demo.out
    assert ["ledger", "consistent"] in rows(demo)
    assert not [pid for pid in simulator if alive(pid)], "the simulated exchange ended with it"


def rows(command: Command) -> list[list[str]]:
    """The words of every line on standard output."""
    return [line.split() for line in command.out.splitlines()]


def trading(demo: Command) -> bool:
    """The simulated exchange has served for a while: enough for the bot to be past its start."""
    return any(cpu_s(pid) > 1.0 for pid in demo.children())


def cpu_s(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            words = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_simulator_that_dies_is_said_and_tried_again(start: Start) -> None:
    demo = start("demo", "--json")
    (simulator,) = wait_until(demo.children)

    def told(fact: Callable[[dict[str, Any]], bool]) -> bool:
        asked = start("status", "--demo")
        return asked.ended() == 0 and fact(asked.answer())

    wait_until(lambda: told(lambda status: status["books_live"] > 0))
    os.kill(simulator, signal.SIGKILL)
    wait_until(lambda: told(lambda status: "cannot connect to 127.0.0.1" in (status["last_connection_fault"] or "")))
    demo.interrupt()
    assert demo.ended() == 0, demo.errors
    summary = demo.answer()
    assert summary["books_live"] == 0
    assert "cannot connect to 127.0.0.1" in summary["last_connection_fault"]
    assert summary["ledger_consistent"] is True
    assert summary["frames"] > 0


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("demo", "--seconds=2"), {"ARBITRADE_TRADNG__MARGIN_BPS": "2"}, "ARBITRADE_TRADNG__MARGIN_BPS"),
        (("run", "--seconds=2"), {"ARBITRADE_PAPER__LATENCY_MS": "soon"}, "ARBITRADE_PAPER__LATENCY_MS"),
        (("demo", "--seconds=2"), {"DATABASE_URL": "postgresql://a:b@127.0.0.1:9/none"}, "127.0.0.1:9"),
        (("run", "--seconds=2"), {"DATABASE_URL": "postgresql://a:b@127.0.0.1:9/none"}, "127.0.0.1:9"),
        (("demo", "--pairs=3"), {}, "--pairs"),
        (("demo", "--pairs=many"), {}, "--pairs"),
    ],
    ids=["unknown-variable", "bad-value", "no-database", "no-database-run", "few-pairs", "no-number"],
)
def test_what_is_wrong_is_one_clear_error(
    start: Start, arguments: tuple[str, ...], settings: dict[str, str], words: str
) -> None:
    command = start(*arguments, **settings)
    assert command.ended(30) == 2
    assert words in command.errors
    assert command.errors.lower().count("error") == 1, command.errors
    assert command.out == ""


def test_run_without_a_network_says_so_and_ends_well(start: Start) -> None:
    command = start("run", "--seconds=3", **NO_NETWORK)
    assert command.ended() == 0, command.errors
    assert "cannot connect to 127.0.0.1:9" in command.out
    assert "no market data arrived" in command.out
    assert ["ledger", "consistent"] in rows(command)


def test_scan_without_a_network_says_so_and_fails(start: Start) -> None:
    command = start("scan", "--wait=2", **NO_NETWORK)
    assert command.ended() == 1
    assert "no book is live: cannot connect to 127.0.0.1:9" in command.out
