"""The simulated exchange in a process of its own, and a session that waits until its books are live."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio

from arbitrade_core import runtime
from arbitrade_core.composition import Loaded
from arbitrade_core.events import StartAssets
from arbitrade_core.mode import Mode
from arbitrade_core.runtime import Session

POLL_S = 0.005


@contextmanager
def exchange(pairs: int) -> Iterator[str]:
    """Its URL, while it runs."""
    command = [sys.executable, "-m", "arbitrade_kraken.simulator", "simulate", "--until-stdin-closes", "--port=0"]
    command += ["--json", "--seed=7", f"--pairs={pairs}", "--rate=20", "--mispricings-per-s=0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
        # Leaving closes its standard input, and with that it ends.


@asynccontextmanager
async def live(mode: Mode, url: str, *, everything: bool = False, **kraken: float) -> AsyncIterator[Session]:
    """A session all of whose wanted books are live; `everything`: cycles may start anywhere."""

    def adjusted(loaded: Loaded) -> Loaded:
        return loaded.adjusted("kraken", ws_url=url, fee_tier="tier-1", **kraken)

    async with runtime.session(mode, adjust=adjusted) as session:
        engine = session.engine
        while not engine.market.pairs:  # noqa: ASYNC110 - the engine tells nobody
            await anyio.sleep(POLL_S)
        if everything:
            now = session.shell.clock()
            session.shell.take(StartAssets(session.desk.id, tuple(sorted(engine.market.assets)), now))
        while not books_live(session):  # noqa: ASYNC110 - likewise
            await anyio.sleep(POLL_S)
        yield session


def books_live(session: Session) -> bool:
    """Whether there are cycles, and every pair in one is in use."""
    market = session.engine.market
    keys = [key for detector in session.engine.detectors for key in detector.detections()]
    # A key reads "+BTC/USD +ETH/BTC -ETH/USD".
    wanted = [market.pair_id(symbol) for symbol in {leg[1:] for key in keys for leg in key.split()}]
    return bool(wanted) and all(pair is not None and market.usable(pair) for pair in wanted)
