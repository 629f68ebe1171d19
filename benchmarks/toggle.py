"""Toggle the triangular strategy off and on while a bot trades under load, and count what it costs.

    python -m benchmarks.toggle [--toggles 100] [--rate 1500] [--json]

The simulated exchange runs in a process of its own and counts the frames it hands to the socket; when everything is
over it stands still, and the bot must have seen exactly as many. Another detector, which finds nothing, keeps every
book wanted while the strategy is off, so that the load never stops.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import asyncpg
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from websockets.asyncio.server import ServerConnection

from arbitrade_core.commands.console import configure_logging
from arbitrade_core.control import call
from arbitrade_core.mode import Mode
from arbitrade_core.money import exact
from arbitrade_core.runtime import Session, database_for, session, start_loop
from arbitrade_core.settings import LogSettings
from arbitrade_core.storage.journal_store import verify_chain
from arbitrade_kraken.simulator.exchange import SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan
from arbitrade_kraken.simulator.server import ExchangeServer

TOGGLED = "triangular"
ONLOOKER = """
from arbitrade_core.hooks import hookimpl
ARBITRADE_API = 1
class Onlooker:
    "Wants every book and finds nothing."
    name = "onlooker"
    def rebuild(self, market, port, now): return range(len(market.pairs))
    def on_change(self, pair, rose, now): return ()
    def active(self): return ()
    def detections(self): return {}
    def ranked(self, limit): return ()
@hookimpl
def register_detectors(ctx): return [Onlooker()]
"""
SETTINGS = {
    "ARBITRADE_KRAKEN__FEE_TIER": "tier-1",
    "ARBITRADE_RISK__COOLDOWN_MS": "50",
    "ARBITRADE_RISK__MAX_CONSECUTIVE_FAILURES": "1000",
    "ARBITRADE_RISK__MAX_PLANS_PER_HOUR": "1000000",
    "ARBITRADE_RISK__MAX_LOSS_PER_HOUR_VALUED": "1000000",
    "ARBITRADE_RISK__MAX_LOSS_PER_DAY_VALUED": "1000000",
    "ARBITRADE_RISK__MAX_UNWIND_LOSS_PER_DAY_VALUED": "1000000",
    "ARBITRADE_RISK__MAX_DRAWDOWN_VALUED": "1000000",
    "ARBITRADE_EXECUTION__LEG_BAN_S": "1",
    "ARBITRADE_LOG__LEVEL": "error",
}
_QUIET_S = 0.3
_PLAN_S = 0.5
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    toggles: int
    """off and on again is one"""
    seconds: float
    frames_sent: int
    """counted by the exchange"""
    frames_seen: int
    """counted by the engine"""
    frames_per_s: float
    plans: int
    plans_in_flight_at_disable: int
    """over all toggles: they ended while the strategy was on its way out"""
    plans_left: int
    """still open when a disable gave up waiting"""
    open_plans: int
    """after the end"""
    plans_without_end: int
    """in the journal"""
    toggles_journalled: int
    records: int
    chain_holds: bool
    checksums_bad: int
    ledger_problems: int
    connections_lost: int
    enable_stall_ms: Mapping[str, float]
    disable_stall_ms: Mapping[str, float]

    @property
    def sound(self) -> bool:
        return (
            self.frames_sent == self.frames_seen
            and self.toggles_journalled == 2 * self.toggles
            and self.chain_holds
            and not any(
                (
                    self.plans_left,
                    self.open_plans,
                    self.plans_without_end,
                    self.checksums_bad,
                    self.ledger_problems,
                    self.connections_lost,
                )
            )
        )


# --- the exchange's process -----------------------------------------------------------------------------------


class CountingServer(ExchangeServer):
    """Counts the frames that it hands to sockets, and stands still when it is told to."""

    sent = 0
    frozen = False

    def _advance(self) -> None:
        if not self.frozen:
            super()._advance()

    async def _serve_client(self, connection: ServerConnection) -> None:
        send = connection.send

        async def counted(*arguments: Any, **options: Any) -> None:
            self.sent += 1
            await send(*arguments, **options)

        connection.send = counted  # type: ignore[method-assign]
        await super()._serve_client(connection)


async def serve(rate: float) -> None:
    """Say where, serve until a line comes in, stand still, say how many frames were sent; end with standard input."""
    exchange = SimulatedExchange(
        7,
        14,
        start_ns=time.time_ns(),
        messages_per_s=rate,
        mispricings=MispricingPlan(per_s=40.0, size_bps=(200.0, 450.0), lifetime_ms=(200.0, 1500.0)),
        drop_late_ms=500.0,
    )
    server = CountingServer(exchange)
    async with server.serving():
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        server.frozen = True
        await asyncio.sleep(_QUIET_S)
        print(server.sent, flush=True)
        await asyncio.to_thread(sys.stdin.readline)


@asynccontextmanager
async def exchange_process(rate: float) -> AsyncIterator["Exchange"]:
    command = [sys.executable, "-m", "benchmarks.toggle", "--serve", f"--rate={rate}"]
    root = Path(__file__).parents[1]
    async with await anyio.open_process(command, stdin=subprocess.PIPE, stderr=None, cwd=root) as process:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        try:
            with anyio.fail_after(_WAIT_S):
                url = (await lines.receive_until(b"\n", 1000)).decode()
            yield Exchange(process, lines, url)
        finally:
            if process.returncode is None:
                process.terminate()


@dataclass(frozen=True, slots=True)
class Exchange:
    process: Process
    lines: BufferedByteReceiveStream
    url: str

    async def freeze(self) -> int:
        """No frame leaves any more; how many did."""
        assert self.process.stdin is not None
        await self.process.stdin.send(b"\n")
        with anyio.fail_after(_WAIT_S):
            return int(await self.lines.receive_until(b"\n", 1000))


# --- the bot ----------------------------------------------------------------------------------------------------


async def toggled(toggles: int, rate: float, pause_s: float) -> Result:
    """Run it with the settings of the environment (database, data directory), which must hold `SETTINGS`."""
    enables: list[float] = []
    disables: list[float] = []
    in_flight = left = 0
    async with exchange_process(rate) as exchange:
        os.environ["ARBITRADE_KRAKEN__WS_URL"] = exchange.url
        async with session(Mode.PAPER) as bot:
            core = bot.loaded.core
            await _until(lambda: len(bot.engine.market.in_use()) >= 10)
            began, frames = time.perf_counter(), bot.engine.frames
            for _ in range(toggles):
                with anyio.move_on_after(_PLAN_S):  # the worst moment is when a plan is in flight
                    await _until(lambda: bool(bot.desk.open_plans))
                in_flight += len(bot.desk.open_plans)
                off = await call(core, "plugins.disable", {"plugin": TOGGLED})
                left += off["plans_left"]
                disables.append(off["stall_ms"])
                await anyio.sleep(pause_s)
                on = await call(core, "plugins.enable", {"plugin": TOGGLED})
                enables.append(on["stall_ms"])
                await anyio.sleep(pause_s)
            seconds = time.perf_counter() - began
            rate_seen = (bot.engine.frames - frames) / seconds
            sent = await exchange.freeze()
            await _settled(bot, sent)
            seen = bot.engine.frames
            lost = sum(bot.shell.connection_faults.values())
        with exact():
            problems = len(bot.desk.ledger.problems())
        journal = await _journal(bot)
    return Result(
        toggles=toggles,
        seconds=round(seconds, 1),
        frames_sent=sent,
        frames_seen=seen,
        frames_per_s=round(rate_seen),
        plans=journal["plans"],
        plans_in_flight_at_disable=in_flight,
        plans_left=left,
        open_plans=len(bot.desk.open_plans),
        plans_without_end=journal["without_end"],
        toggles_journalled=journal["toggles"],
        records=journal["records"],
        chain_holds=journal["holds"],
        checksums_bad=bot.engine.checksums_bad,
        ledger_problems=problems,
        connections_lost=lost,
        enable_stall_ms=_spread(enables),
        disable_stall_ms=_spread(disables),
    )


async def _settled(bot: Session, sent: int) -> None:
    """Everything on its way has arrived: as much as was sent, or no more comes."""
    with anyio.move_on_after(_WAIT_S / 10):
        while bot.engine.frames < sent:  # noqa: ASYNC110 - the engine has no event for it
            await anyio.sleep(0.02)
    await anyio.sleep(_QUIET_S)


async def _until(happened: Any) -> None:
    with anyio.fail_after(_WAIT_S):
        while not happened():  # noqa: ASYNC110 - what is awaited is anything
            await anyio.sleep(0.005)


async def _journal(bot: Session) -> dict[str, Any]:
    """What the journal says in the end, when the bot has stopped."""
    counts: dict[str, Any] = {"records": 0, "holds": True}
    async with database_for(bot.loaded.core, Mode.PAPER) as database, database.pool(size=1) as pool:
        for stream in ("system", bot.desk.id):
            records, holds, _ = await verify_chain(pool, stream)
            counts["records"] += records
            counts["holds"] = counts["holds"] and holds
        counts["plans"] = await _count(pool, bot.desk.id, "kind = 'plan'")
        ends = await _count(pool, bot.desk.id, "kind IN ('end', 'drop')")
        counts["without_end"] = counts["plans"] - ends
        named = f"kind = 'plugin' AND data ->> 'plugin' = '{TOGGLED}'"
        counts["toggles"] = await _count(pool, "system", named)
    return counts


async def _count(pool: "asyncpg.Pool[asyncpg.Record]", stream: str, which: str) -> int:
    found = await pool.fetchval(
        f"SELECT count(*) FROM journal WHERE stream = $1 AND {which}",  # noqa: S608 - of this module, never input
        stream,
    )
    return int(found)


def _spread(stalls_ms: Sequence[float]) -> dict[str, float]:
    ranked = sorted(stalls_ms)
    return {name: ranked[min(len(ranked) - 1, int(share * len(ranked)))] for name, share in SHARES.items()}


SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


@contextmanager
def onlooker(folder: Path) -> Iterator[None]:
    """Installed for as long as the context lasts."""
    info = folder / "onlooker-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: onlooker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[arbitrade.plugins]\nonlooker = onlooker_plugin\n")
    (folder / "onlooker_plugin.py").write_text(ONLOOKER)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("onlooker_plugin", None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Toggle the strategy under load.")
    parser.add_argument("--toggles", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1500.0, help="market events per second")
    parser.add_argument("--pause-s", type=float, default=0.1, help="after every disable and enable")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.rate))
        return
    configure_logging(LogSettings(level="error"))
    # Short, for the database's socket in it.
    with tempfile.TemporaryDirectory(prefix="arb-toggle-") as folder:
        Path(folder).chmod(0o755)
        site = Path(folder) / "site"
        site.mkdir()
        os.environ |= SETTINGS | {"ARBITRADE_DATA_DIR": folder}
        with onlooker(site):
            result = start_loop(toggled, given.toggles, given.rate, given.pause_s)
    if given.json:
        print(json.dumps(asdict(result) | {"sound": result.sound}))
    else:
        for name, value in asdict(result).items():
            print(f"{name:<27} {value}")
    sys.exit(0 if result.sound else 1)


if __name__ == "__main__":
    main()
