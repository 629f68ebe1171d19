"""`arbitrade demo`: the simulated exchange, the bot over real sockets, an embedded database, and what they do."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from rich.console import Console

from arbitrade_core import runtime
from arbitrade_core.commands.console import JsonOption, RecordOption, configure_logging, print_json
from arbitrade_core.commands.shadow import ShadowOption, print_shadow, shadow_summary
from arbitrade_core.composition import Loaded, core_settings
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.report import summary
from arbitrade_core.terminal import print_summary, watch
from arbitrade_kraken.settings import KrakenSettings

app = typer.Typer(add_completion=False)

DEMO_TIER = "tier-1"
_READY_S = 30.0


@app.command()
def demo(  # noqa: PLR0917 - each is an option of the command line
    seed: Annotated[int, typer.Option(help="Seed of the simulated market and its mispricings.")] = 7,
    seconds: Annotated[float | None, typer.Option(min=1, help="End after that long. Not set: Ctrl-C.")] = None,
    pairs: Annotated[int, typer.Option(min=6, max=1228, help="Pairs, most traded first.")] = 40,
    rate: Annotated[float, typer.Option(min=1, max=5000, help="Market events per second.")] = 300.0,
    mispricings_per_s: Annotated[float, typer.Option(min=0, max=50, help="Planted mispricings per second.")] = 2.0,
    shadow: ShadowOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch the bot trade on paper against a simulated exchange. Nothing to configure, no network, no keys.

    The market is invented and its mispricings are planted: its profit says nothing about Kraken.
    """
    configure_logging(core_settings().log.model_copy(update={"level": "error"}))
    session = runtime.start_loop(_demo, _Market(seed, pairs, rate, mispricings_per_s), seconds, shadow, record, as_json)
    if as_json:
        about = {"seed": seed, "pairs": pairs, "notes": _notes(session)}
        print_json({**summary(session), **shadow_summary(session), **about})
    else:
        print_summary(session, _notes(session), Console())
        print_shadow(session)


class _Market:
    """What the simulated exchange is told."""

    def __init__(self, seed: int, pairs: int, rate: float, mispricings_per_s: float) -> None:
        self.arguments = [
            f"--seed={seed}",
            f"--pairs={pairs}",
            f"--rate={rate}",
            f"--mispricings-per-s={mispricings_per_s}",
        ]


def _notes(session: runtime.Session) -> list[str]:
    fees = session.desk.fees
    return [
        "Demo: the market is simulated and its mispricings are PLANTED. This profit says nothing about Kraken.",
        f"Fees: {'none yet' if fees is None else fees.source}.",
    ]


async def _demo(
    market: _Market, seconds: float | None, shadow: Path | None, record: bool | None, quiet: bool
) -> runtime.Session:
    stop = anyio.Event()
    async with runtime.stop_on_signals(stop), _exchange(market) as url:
        async with runtime.demo_session(partial(_configured, url), summary, shadow, record) as session:
            with anyio.move_on_after(seconds):
                await watch(session, stop, "arbitrade demo", _notes, Console(stderr=True, quiet=quiet))
        return session


def _configured(url: str, loaded: Loaded) -> Loaded:
    """The operator's settings on the simulated exchange; its fees where some are set, else the published tier 1."""
    own = loaded.settings.sections.get("kraken")
    if not isinstance(own, KrakenSettings):
        raise ArbitradeError("the demo needs the kraken plugin; add kraken to ARBITRADE_PLUGINS or unset it")
    has_fees = own.fee_tier or own.fee_file or own.fee_crypto_taker_bps is not None
    tier = own.fee_tier if has_fees else DEMO_TIER
    return loaded.adjusted("kraken", ws_url=url, fee_tier=tier)


@asynccontextmanager
async def _exchange(market: _Market) -> AsyncIterator[str]:
    """The simulated exchange as a process of its own, so that it does not share the bot's core; its URL."""
    command = [
        sys.executable,
        "-m",
        "arbitrade_kraken.simulator",
        "simulate",
        "--until-stdin-closes",
        "--port=0",
        "--json",
        *market.arguments,
    ]
    # A session of its own: Ctrl-C reaches the bot alone, which drains before its market goes away. Its standard input
    # is a pipe that closes with the bot, however the bot ends.
    async with await anyio.open_process(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            yield await _ready(process)
        finally:
            # It may have died on its own: the bot has said so, and there is nothing left to end.
            with anyio.CancelScope(shield=True), suppress(ProcessLookupError):
                process.terminate()
                with anyio.move_on_after(5):
                    await process.wait()
                if process.returncode is None:
                    process.kill()


async def _ready(process: Process) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    text = ""
    with anyio.move_on_after(_READY_S):
        async for chunk in TextReceiveStream(process.stdout):
            text += chunk
            if "\n" in text:
                return str(json.loads(text)["url"])
    errors = ""
    with anyio.move_on_after(1):
        async for chunk in TextReceiveStream(process.stderr):
            errors += chunk
    raise ArbitradeError(f"the simulated exchange did not start: {errors.strip() or text.strip() or 'no answer'}")
