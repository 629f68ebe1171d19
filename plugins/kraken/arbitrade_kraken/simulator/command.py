"""`arbitrade exchange simulate`: the simulated exchange as a process."""

import asyncio
import json
import signal
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, TextIO

import typer

from arbitrade_core.errors import ArbitradeError

from .account import Account
from .exchange import SimulatedExchange
from .mispricing import MispricingPlan
from .rest import RestFront, RestServer
from .server import ExchangeServer
from .universe import MAX_PAIRS, MIN_PAIRS

app = typer.Typer(
    name="exchange", help="A simulated exchange on this machine, for demos and tests.", no_args_is_help=True
)

_LATE_MS = 500.0
_LOG_EVERY_S = 0.25


@app.callback()
def exchange() -> None:
    """A simulated exchange on this machine, for demos and tests."""


@app.command()
def simulate(  # noqa: PLR0917 - each is an option of the command line
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the universe, the market and the mispricings.")] = 7,
    pairs: Annotated[int, typer.Option(min=MIN_PAIRS, max=MAX_PAIRS, help="Pairs, most traded first.")] = 40,
    rate: Annotated[float, typer.Option(min=0.0, help="Market events per second over all pairs; 0: frozen.")] = 200.0,
    mispricings_per_s: Annotated[float, typer.Option(min=0.0, help="Planted mispricings per second.")] = 0.5,
    size_bps_min: Annotated[float, typer.Option(help="Smallest planted edge at the best prices, before fees.")] = 20.0,
    size_bps_max: Annotated[float, typer.Option(help="Largest planted edge at the best prices, before fees.")] = 600.0,
    lifetime_ms_min: Annotated[float, typer.Option(help="Shortest life of a planted mispricing.")] = 30.0,
    lifetime_ms_max: Annotated[float, typer.Option(help="Longest life of a planted mispricing.")] = 5000.0,
    planted_log: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File that gets one JSON line per planted mispricing.")
    ] = None,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="End when standard input does: with who started it.")
    ] = False,
    rest_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve REST too, with an account and its key; 0 takes any free port."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as one JSON object.")] = False,
) -> None:
    """Serve a seeded market over Kraken's public WebSocket protocol until Ctrl-C or SIGTERM.

    The first line printed is the URL (or, with --json, an object with url, seed and pairs): then it is ready. With
    --rest-port, lines follow (or fields) that set the REST address and the simulated account's key.
    Its prices are invented and its mispricings planted: profits made on it say nothing about Kraken.
    """
    try:
        plan = MispricingPlan(mispricings_per_s, (size_bps_min, size_bps_max), (lifetime_ms_min, lifetime_ms_max))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        asyncio.run(
            _serve(port, rest_port, seed, pairs, rate, plan, planted_log, parent=until_stdin_closes, as_json=as_json)
        )
    except ArbitradeError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


async def _serve(  # noqa: PLR0917 - what the command line said
    port: int,
    rest_port: int | None,
    seed: int,
    pairs: int,
    rate: float,
    plan: MispricingPlan,
    log: Path | None,
    *,
    parent: bool,
    as_json: bool,
) -> None:
    exchange = SimulatedExchange(
        seed,
        pairs,
        start_ns=time.time_ns(),
        messages_per_s=rate,
        mispricings=plan,
        snapshot_delay_ms=(5, 60),
        drop_late_ms=_LATE_MS,
    )
    stop = asyncio.Event()
    _on_signals(stop)
    if parent:
        # A thread of its own, since standard input may be a file, a terminal or a pipe.
        loop = asyncio.get_running_loop()
        threading.Thread(target=_await_end_of_input, args=(loop, stop), daemon=True).start()
    server = ExchangeServer(exchange)
    account = Account(seed)
    rest = RestServer(RestFront(exchange, account))
    with _log_file(log) as file:
        async with server.serving(port), nullcontext() if rest_port is None else rest.serving(rest_port):
            private = {"rest_url": rest.url, "fee_key": account.key, "fee_secret": account.secret}
            told = {} if rest_port is None else private
            if as_json:
                typer.echo(json.dumps({"url": server.url, "seed": seed, "pairs": pairs} | told))
            else:
                typer.echo(server.url)
                for name, value in told.items():
                    typer.echo(f"ARBITRADE_KRAKEN__{name.upper()}={value}")
            sys.stdout.flush()
            await (stop.wait() if file is None else _log_planted(exchange, file, stop))


def _await_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    with suppress(RuntimeError):  # the loop is closed: it ended first
        loop.call_soon_threadsafe(stop.set)


def _log_file(log: Path | None) -> AbstractContextManager[TextIO | None]:
    if log is None:
        return nullcontext()
    try:
        return log.open("w", encoding="utf-8")
    except OSError as error:
        raise ArbitradeError(
            f"cannot write the log of mispricings to {log} ({error.strerror}): give --planted-log another file"
        ) from error


async def _log_planted(exchange: SimulatedExchange, file: TextIO, stop: asyncio.Event) -> None:
    """Append each planted mispricing to the file until told to stop."""
    written = 0
    while not stop.is_set():
        for planted in exchange.planted[written:]:
            file.write(json.dumps(planted.as_dict()) + "\n")
            written += 1
        file.flush()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOG_EVERY_S)


def _on_signals(stop: asyncio.Event) -> None:
    """Ctrl-C and SIGTERM end the serving, not the process."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: its loop has no signal handlers of its own
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
