"""The day in a few lines, as an alert at UTC midnight: `summary.daily` (TRADING 38)."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import anyio

from arbitrade_core.domain import Alert, Ns, Severity
from arbitrade_core.shell import Shell

TOPIC = "summary.daily"
_DAY_NS = 86_400 * 10**9
_OUTCOMES = ("completed", "partial", "unwound", "missed", "stuck")


async def daily(shell: Shell, status: Callable[[], Mapping[str, Any]]) -> None:
    """Tell it at every midnight, until cancelled. `status` is `report.summary`: figures since the start."""
    before = status()
    while True:
        now = shell.clock()
        await anyio.sleep((_DAY_NS - now % _DAY_NS) / 1e9)
        after = status()
        shell.notify(Alert(Severity.INFO, TOPIC, words(before, after, shell.clock()), shell.clock()))
        before = after


def words(before: Mapping[str, Any], after: Mapping[str, Any], now: Ns) -> str:
    """What changed between two summaries. Money of the day is taken from the totals, so it is exact where they are."""
    asset = after["pnl"]["valuation_asset"]
    plans = ", ".join(
        f"{count} {outcome}"
        for outcome in _OUTCOMES
        if (count := after[f"cycles_{outcome}"] - before[f"cycles_{outcome}"])
    )
    lines = [
        f"desk {after['desk']}, the UTC day that ended {datetime.fromtimestamp(now // 10**9, UTC):%Y-%m-%d %H:%M}",
        f"plans: {plans or 'none'}; approved {after['approved'] - before['approved']}",
        f"trading {after['pnl']['trading']} {asset}, revaluation {after['pnl']['revaluation']} {asset} since the start",
        "ledger consistent" if after["ledger_consistent"] else f"LEDGER: {'; '.join(after['ledger_problems'])}",
        f"books live {after['books_live']}, checksums wrong {after['checksums_bad'] - before['checksums_bad']}",
    ]
    if after["halted"]:
        lines.append(f"HALTED: {after['halted']}")
    if after["fees_missing"]:
        lines.append(f"no fees: {after['fees_missing']}")
    return "\n".join(lines)
