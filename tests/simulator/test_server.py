"""The loopback server and its command line, over real sockets."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from arbitrade_core.errors import ArbitradeError
from arbitrade_kraken.simulator.control import Control
from arbitrade_kraken.simulator.exchange import SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan
from arbitrade_kraken.simulator.server import ExchangeServer
from tests.simulator.lexeme_client import Client

pytestmark = pytest.mark.anyio


def server(messages_per_s: float = 300.0, frames_waiting: int = 20_000) -> ExchangeServer:
    exchange = SimulatedExchange(
        7,
        20,
        start_ns=time.time_ns(),
        messages_per_s=messages_per_s,
        mispricings=MispricingPlan(per_s=2.0),
        snapshot_delay_ms=(5, 60),
        drop_late_ms=500.0,
    )
    return ExchangeServer(exchange, frames_waiting=frames_waiting)


def subscribe(*symbols: str, depth: int = 10) -> str:
    params = {"channel": "book", "symbol": symbols, "depth": depth}
    return json.dumps({"method": "subscribe", "params": params, "req_id": 1})


async def test_a_client_gets_status_acks_books_and_heartbeats_as_text_frames() -> None:
    running = server()
    async with running.serving(), connect(running.url, compression=None) as socket:
        first = await socket.recv()
        assert isinstance(first, str)
        assert json.loads(first)["channel"] == "status"
        symbols = list(running.exchange.universe.pairs)
        await socket.send(subscribe(*symbols, depth=25))
        client, acks, heartbeats = Client(25), 0, 0
        while client.messages < 200 or not heartbeats:
            text = await asyncio.wait_for(socket.recv(), 10)
            message = json.loads(text)
            acks += message.get("method") == "subscribe"
            heartbeats += message.get("channel") == "heartbeat"
            client.see(text)
        assert acks == len(symbols)
        assert client.wrong == 0
        await socket.send('{"method":"ping","req_id":5}')
        while json.loads(await asyncio.wait_for(socket.recv(), 10)).get("method") != "pong":
            pass


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_go_on() -> None:
    running = server(messages_per_s=2000.0, frames_waiting=200)
    symbols = list(running.exchange.universe.pairs)
    async with running.serving(), connect(running.url, compression=None, max_queue=4) as slow:
        async with connect(running.url, compression=None) as quick:
            await quick.send(subscribe("EUR/USD"))
            (stalled,) = list(running.exchange.sessions)[:1]
            params = {"channel": "book", "symbol": symbols, "depth": 1000}
            # Deep snapshots again and again fill what the kernel buffers for a peer that does not read.
            async with asyncio.timeout(30):
                while stalled.closed is None:
                    with suppress(ConnectionClosed):
                        await slow.send(json.dumps({"method": "subscribe", "params": params}))
                        for _ in range(20):
                            await quick.recv()
                        await slow.send(json.dumps({"method": "unsubscribe", "params": params}))
            for _ in range(20):
                await asyncio.wait_for(quick.recv(), 5)
        assert stalled.closed.reason == "slow client"
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(10):
                while True:
                    await slow.recv()


async def test_a_close_by_the_exchange_reaches_the_client_with_its_code() -> None:
    running = server()
    async with running.serving():
        async with connect(running.url) as socket:
            await socket.recv()
            (session,) = running.exchange.sessions
            Control(running.exchange).close(session, 1008, "policy violation")
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        async with connect(running.url) as socket:
            await socket.recv()
            (session,) = running.exchange.sessions
            Control(running.exchange).close(session)
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 5)
            assert closed.value.rcvd is None, "cut without a close frame"


async def test_a_client_that_leaves_is_forgotten() -> None:
    running = server()
    async with running.serving():
        async with connect(running.url) as socket:
            await socket.recv()
            await socket.send(subscribe("EUR/USD"))
            await socket.recv()
        async with asyncio.timeout(5):
            while running.exchange.sessions:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)
        assert running.exchange.depths("EUR/USD") == ()


async def test_only_the_documented_path_is_served() -> None:
    running = server()
    async with running.serving():
        with pytest.raises(InvalidStatus, match="404"):
            await connect(running.url.replace("/v2", "/v1"))


async def test_a_port_in_use_is_one_clear_error() -> None:
    first, second = server(), server()
    async with first.serving():
        with pytest.raises(ArbitradeError, match=rf"cannot listen on 127.0.0.1:{first.port}.*--port"):
            async with second.serving(first.port):
                pass


# --- the command line ---------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "arbitrade_kraken.simulator", "simulate"]


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_says_where_it_listens_and_leaves_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "planted.ndjson"
    options = ("--json", "--pairs", "12", "--seed", "3", "--rate", "500", "--mispricings-per-s", "20")
    process = start(*options, "--planted-log", str(log))
    try:
        said = json.loads(first_line(process))
        assert (said["seed"], said["pairs"]) == (3, 12)
        async with connect(said["url"]) as socket:
            assert json.loads(await socket.recv())["channel"] == "status"
            async with asyncio.timeout(10):
                while not log.exists() or not log.read_text():  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(0.05)
            process.send_signal(number)
            with pytest.raises(ConnectionClosed):
                async with asyncio.timeout(10):
                    while True:
                        await socket.recv()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
    planted = json.loads(log.read_text().splitlines()[0])
    assert set(planted) == {"key", "direction", "legs", "pair", "size_bps", "from_ns", "to_ns"}


async def test_the_command_reports_a_port_in_use_in_one_line() -> None:
    running = server()
    async with running.serving():
        process = start("--port", str(running.port), "--pairs", "3")
        out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "cannot listen" in err
    assert len(err.splitlines()) == 1


async def test_the_command_refuses_an_impossible_range() -> None:
    process = start("--pairs", "3", "--size-bps-min", "50", "--size-bps-max", "20")
    _, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 2
    assert "size_bps" in err
