"""The exchange on a loopback WebSocket: bytes and wall clock in, bytes out; everything else is the
exchange's.

One task drives the market and hands every client its frames through a bounded queue. A client that does not
read is cut off when its queue is full: it never holds up the others.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from arbitrade_core.errors import ArbitradeError

from .exchange import SimulatedExchange
from .session import Session

HOST = "127.0.0.1"
PATH = "/v2"

_ABRUPT = 1006
"""Never sent in a close frame: the transport is cut instead."""
_TICK_S = 0.002
_FRAMES_WAITING = 20_000
_REQUEST_BYTES = 1 << 20


@dataclass(slots=True, eq=False)
class _Client:
    session: Session
    connection: ServerConnection
    waiting: deque[bytes] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def enqueue(self, frame: bytes, most: int) -> None:
        if len(self.waiting) >= most:
            self.waiting.clear()
            self.session.close(_ABRUPT, "slow client")
        else:
            self.waiting.append(frame)
        self.wake.set()


class ExchangeServer:
    """A running simulated exchange. `url` is where clients connect."""

    def __init__(self, exchange: SimulatedExchange, *, frames_waiting: int = _FRAMES_WAITING) -> None:
        self.exchange = exchange
        self.port = 0
        self._frames_waiting = frames_waiting
        self._clients: dict[Session, _Client] = {}

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}{PATH}"

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        """Serve inside the block. Port 0 takes any free one; ArbitradeError when the port is taken."""
        try:
            server = await serve(
                self._serve_client,
                HOST,
                port,
                process_request=_refuse_other_paths,
                compression=None,
                max_size=_REQUEST_BYTES,
                ping_interval=None,
                close_timeout=1.0,
            )
        except OSError as error:
            raise ArbitradeError(
                f"the simulated exchange cannot listen on {HOST}:{port} ({error.strerror}): "
                "choose another --port, or 0 for any free one"
            ) from error
        self.port = _port(server)
        async with asyncio.TaskGroup() as tasks:  # a market that fails ends the serving too
            market = tasks.create_task(self._drive())
            try:
                yield
            finally:
                market.cancel()
                server.close()
                await server.wait_closed()

    async def _drive(self) -> None:
        """Let time pass in the exchange, and pass on what it says."""
        while True:
            self._advance()
            due_ns = self.exchange.next_due_ns
            wait_s = _TICK_S if due_ns is None else (due_ns - time.time_ns()) * 1e-9
            # Never longer than a tick: controls and requests may have planned something sooner.
            await asyncio.sleep(min(max(wait_s, 0.0), _TICK_S))

    def _advance(self) -> None:
        for session, frame in self.exchange.advance(time.time_ns()):
            client = self._clients.get(session)
            if client is not None:
                client.enqueue(frame, self._frames_waiting)
        for client in self._clients.values():
            if client.session.closed:
                client.wake.set()

    async def _serve_client(self, connection: ServerConnection) -> None:
        session = self.exchange.open_session(time.time_ns())
        client = _Client(session, connection)
        self._clients[session] = client
        self._advance()
        sender = asyncio.create_task(self._send(client))
        try:
            async for message in connection:
                now_ns = time.time_ns()
                for frame in session.receive(message, now_ns):
                    client.enqueue(frame, self._frames_waiting)
        except ConnectionClosed:
            pass  # how most clients leave
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            session.close(1000, "client left")
            del self._clients[session]

    async def _send(self, client: _Client) -> None:
        connection, session = client.connection, client.session
        while True:
            await client.wake.wait()
            client.wake.clear()
            if session.closed is None or session.closed.code != _ABRUPT:
                while client.waiting:
                    await connection.send(client.waiting.popleft(), text=True)
            if session.closed is None:
                continue
            if session.closed.code == _ABRUPT:
                connection.transport.abort()
            else:
                await connection.close(session.closed.code, session.closed.reason)
            return


def _refuse_other_paths(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == PATH:
        return None
    return connection.respond(HTTPStatus.NOT_FOUND, f"this is a simulated exchange: connect to {PATH}\n")


def _port(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port
