"""The default transport: `websockets`' sans-I/O protocol under an `asyncio.Protocol`.

Its own client API receives through a queue and a task; here a frame goes from the socket to the listener in one call.
"""

import asyncio
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Opcode
from websockets.frames import Frame as WsFrame
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import WebSocketURI

from arbitrade_core.events import ConnId
from arbitrade_core.transport.base import (
    CONNECT_TIMEOUT_S,
    MAX_MESSAGE_BYTES,
    Connection,
    Listener,
    checked_uri,
    tls_context,
)


def open_connection(conn: ConnId, url: str, listener: Listener) -> Connection:
    return _Socket(conn, checked_uri(url), listener)


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
        # uvloop's transports are none of asyncio's classes; they have the same methods.
        self._transport = cast(asyncio.Transport, transport)
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
