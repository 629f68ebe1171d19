"""A running bot as tests look at it: in this process, or as a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import asyncpg

from arbitrade_core.control import call
from arbitrade_core.money import exact
from arbitrade_core.report import summary, why_no_trade
from arbitrade_core.runtime import Session
from arbitrade_core.storage.journal_store import verify_chain

WAIT_S = 40.0
SETTLED = ("end", "drop")


class Bot:
    """A session in this process. It is asked over its socket, as everybody else does."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def ask(self, verb: str, plugin: str = "", **parameters: Any) -> Any:
        named = {"plugin": plugin} if plugin else {}
        return await call(self.session.loaded.core, verb, named | parameters)

    async def until(self, happened: Callable[[], object], within_s: float = WAIT_S) -> None:
        with anyio.fail_after(within_s):
            while not happened():  # noqa: ASYNC110 - what is awaited is anything
                await anyio.sleep(0.01)

    async def trades(self, more: int = 1) -> None:
        """Wait until it has completed so many more cycles."""
        wanted = self.completed + more
        try:
            await self.until(lambda: self.completed >= wanted)
        except TimeoutError:
            told = summary(self.session)
            raise AssertionError(
                f"it does not trade: {why_no_trade(self.session.engine, self.session.desk)}; {told}"
            ) from None

    async def every_desk_trades(self, more: int = 1) -> None:
        """Each of them has completed so many cycles since the start."""
        desks = self.session.engine.desks
        await self.until(lambda: all(desk.conductor.ended.get("completed", 0) >= more for desk in desks))

    async def refuses(self, check: str, times: int = 2) -> None:
        await self.until(lambda: self.refusals.get(check, 0) >= times)

    @property
    def completed(self) -> int:
        return self.session.desk.conductor.ended.get("completed", 0)

    @property
    def approved(self) -> int:
        return self.session.desk.conductor.approved

    def state(self, plugin: str) -> str:
        return self.session.loaded.catalogue.entry(plugin).state.value

    def alerts(self, topic: str) -> list[str]:
        return [alert.text for alert in self.session.shell.alerts if alert.topic == topic]

    @property
    def refusals(self) -> Mapping[str, int]:
        refused: Any = self.session.desk.funnel.view()["refused"]
        return dict(refused)

    def sound(self) -> None:
        """Whatever a plugin did, the books are right and the market was followed."""
        with exact():
            assert self.session.desk.ledger.problems() == []
        assert self.session.engine.checksums_bad == 0
        assert self.session.shell.connection_faults == {}


async def journal(dsn: str, kind: str, stream: str = "system") -> list[dict[str, Any]]:
    """Contents of a kind of record, oldest first."""
    rows = await _fetch(dsn, "SELECT data FROM journal WHERE stream = $1 AND kind = $2 ORDER BY seq", stream, kind)
    return [json.loads(row["data"]) for row in rows]


async def toggles(dsn: str, plugin: str) -> list[tuple[str, str]]:
    """(state, actor) of what the journal says of a plugin."""
    return [(one["state"], one["actor"]) for one in await journal(dsn, "plugin") if one["plugin"] == plugin]


async def plugin_states(dsn: str) -> dict[str, str]:
    """The table, by plugin."""
    rows = await _fetch(dsn, "SELECT plugin, state FROM plugin_state WHERE stream = 'system'")
    return {row["plugin"]: row["state"] for row in rows}


async def assert_complete(dsn: str, *desks: str) -> None:
    """The journal's chains hold, and every plan has its one end."""
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)
    try:
        async with pool.acquire() as connection:
            await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        for stream in ("system", *desks):
            records, holds, bad = await verify_chain(pool, stream)
            assert holds, f"{stream}: record {bad} of {records} is bad"
    finally:
        await pool.close()
    for desk in desks:
        plans = [plan["id"] for plan in await journal(dsn, "plan", desk)]
        ends = [end["plan"] for kind in SETTLED for end in await journal(dsn, kind, desk)]
        assert sorted(plans) == sorted(ends)


async def _fetch(dsn: str, query: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    errors: str

    def answer(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.out)


class Process:
    """An `arbitrade` command under way."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._data_dir = Path(environment["ARBITRADE_DATA_DIR"])
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from arbitrade_core.cli import main; main()", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=dict(environment),
        )
        self.out = ""
        self.errors = ""

    @property
    def code(self) -> int | None:
        return self.process.returncode

    def ended(self, within_s: float = WAIT_S) -> int:
        """Its exit code."""
        self.out, self.errors = self.process.communicate(timeout=within_s)
        return self.process.returncode

    def listens(self, demo: bool = False) -> dict[str, Any]:
        """Wait until it can be asked; what its control file says."""
        file = self._data_dir / ("control-demo.json" if demo else "control.json")
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                self.ended()
                raise AssertionError(f"it ended with {self.code}: {self.errors}")
            if file.exists() and (said := json.loads(file.read_text()))["pid"] == self.process.pid:
                return dict(said)
            time.sleep(0.02)
        raise AssertionError("it did not begin to listen")

    def answer(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.out)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
