"""WebSocket connections for the shell: bytes in, bytes out, no queue and no task on the way of a frame.

The default puts `websockets`' sans-I/O protocol under an `asyncio.Protocol` (its own client API receives through a
queue and a task); where `picows` is installed it is used instead, 14 times cheaper in bursts.
"""

import asyncio
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import CloseCode, Opcode
from websockets.frames import Frame as WsFrame
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import WebSocketURI, parse_uri

from arbitrade_core.errors import SettingsError
from arbitrade_core.events import ConnId

CONNECT_TIMEOUT_S = 10.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""A full instrument snapshot is under 1 MiB, a depth-1000 book snapshot under 200 KiB."""


class Listener(Protocol):
    """What the shell is told; called on the event loop's thread."""

    def on_open(self, conn: ConnId) -> None: ...
    def on_frame(self, conn: ConnId, data: bytes) -> None: ...
    def on_close(self, conn: ConnId, code: int, reason: str) -> None:
        """Once per connection, also when it never opened (code 0)."""
        ...


class Connection(Protocol):
    def send(self, data: bytes) -> None: ...
    def close(self) -> None: ...


type Opener = Callable[[ConnId, str, Listener], Connection]


def opener(prefer_fast: bool = True) -> Opener:
    """The best transport installed: `(conn, url, listener) -> Connection`; opening goes on in the background."""
    if prefer_fast and find_spec("picows") is not None:
        from arbitrade_core.transport_picows import open_connection as fast  # noqa: PLC0415 - optional extra

        return fast
    return open_connection


def checked_uri(url: str) -> WebSocketURI:
    try:
        return parse_uri(url)
    except InvalidURI as error:
        raise SettingsError([f"{url!r} is not a WebSocket address; write wss://host/path"]) from error


def open_connection(conn: ConnId, url: str, listener: Listener) -> Connection:
    return _Socket(conn, checked_uri(url), listener)


def tls_context(uri: WebSocketURI) -> ssl.SSLContext | None:
    """Kraken refuses clients that send no SNI; the default context sends it."""
    return ssl.create_default_context() if uri.secure else None


class _Socket(asyncio.Protocol):
    """One connection over the sans-I/O protocol."""

    def __init__(self, conn: ConnId, uri: WebSocketURI, listener: Listener) -> None:
        self._conn = conn
        self._uri = uri
        self._listener = listener
        self._protocol = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES)
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._told = False
        self._opened = False
        self._answered = asyncio.Event()
        """the upgrade was answered, or the connection is gone"""
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        uri = self._uri
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: self, uri.host, uri.port, ssl=tls_context(uri)
                )
                await self._answered.wait()
        except TimeoutError:
            self._tell_closed(0, f"no connection to {uri.host}:{uri.port} within {CONNECT_TIMEOUT_S:g} s")
            if self._transport is not None:
                self._transport.abort()
        except OSError as error:
            self._tell_closed(0, f"cannot connect to {uri.host}:{uri.port}: {error.strerror or error}")

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._flush()
        for event in self._protocol.events_received():
            if isinstance(event, WsFrame):
                self._on_frame(event)
            elif isinstance(event, Response) and self._protocol.handshake_exc is None:
                self._opened = True
                self._answered.set()
                self._listener.on_open(self._conn)
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.close()

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._answered.set()
        if self._protocol.state is not State.CLOSED:
            self._protocol.receive_eof()
        if self._opened:
            reason = self._protocol.close_reason or (str(exc) if exc else "connection lost")
            self._tell_closed(int(self._protocol.close_code or CloseCode.ABNORMAL_CLOSURE), reason)
        else:
            refusal = self._protocol.handshake_exc or "it closed the connection"
            self._tell_closed(0, f"{self._uri.host}:{self._uri.port} refused the upgrade: {refusal}")

    def _on_frame(self, frame: WsFrame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY) and frame.fin:
            self._listener.on_frame(self._conn, bytes(frame.data))
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                whole = b"".join(self._parts)
                self._parts.clear()
                self._listener.on_frame(self._conn, whole)

    def _tell_closed(self, code: int, reason: str) -> None:
        if not self._told:
            self._told = True
            self._listener.on_close(self._conn, code, reason)

    # --- Connection ---

    def send(self, data: bytes) -> None:
        """A text message; dropped when the connection is gone, which `on_close` tells."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(data)
            self._flush()

    def close(self) -> None:
        """Start the closing handshake and do not wait: a peer that no longer answers is let go at once."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        if self._transport is not None:
            self._transport.close()
        else:
            self._opening.cancel()
            self._tell_closed(0, "closed before it opened")

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
