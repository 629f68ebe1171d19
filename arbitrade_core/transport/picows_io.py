"""The same connections over picows, for those who install the extra `arbitrade[fast]`."""

import asyncio

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from arbitrade_core.events import ConnId
from arbitrade_core.transport.base import (
    CONNECT_TIMEOUT_S,
    MAX_MESSAGE_BYTES,
    Connection,
    Listener,
    checked_uri,
    tls_context,
)

_NO_CODE = 1005
"""What the protocol calls a close frame without a code."""


def open_connection(conn: ConnId, url: str, listener: Listener) -> Connection:
    return _Socket(conn, url, listener)


class _Socket(WSListener):
    def __init__(self, conn: ConnId, url: str, listener: Listener) -> None:
        super().__init__()
        self._conn = conn
        self._url = url
        self._listener = listener
        self._socket: WSTransport | None = None
        self._parts: list[bytes] = []
        self._code = 1006
        self._reason = "connection lost"
        self._told = False
        self._uri = checked_uri(url)
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        where = f"{self._uri.host}:{self._uri.port}"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await ws_connect(
                    lambda: self,
                    self._url,
                    ssl_context=tls_context(self._uri),
                    websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                    max_frame_size=MAX_MESSAGE_BYTES,
                    enable_auto_pong=True,
                )
            if self._socket is None:  # picows returns all the same when the other side left instead of answering
                self._tell_closed(0, f"{where} refused the upgrade: it closed the connection")
        except TimeoutError:
            self._tell_closed(0, f"no connection to {where} within {CONNECT_TIMEOUT_S:g} s")
        except OSError as error:
            self._tell_closed(0, f"cannot connect to {where}: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 - picows has its own error classes; all mean: not opened
            self._tell_closed(0, f"{where} refused the upgrade: {error}")

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._socket = transport
        self._listener.on_open(self._conn)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self._code = frame.get_close_code().value or _NO_CODE
            self._reason = frame.get_close_reason() or "closed by the other side"
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY) and frame.fin:
            self._listener.on_frame(self._conn, frame.get_payload_as_bytes())
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                whole = b"".join(self._parts)
                self._parts.clear()
                self._listener.on_frame(self._conn, whole)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._tell_closed(self._code, self._reason)

    def _tell_closed(self, code: int, reason: str) -> None:
        if not self._told:
            self._told = True
            self._listener.on_close(self._conn, code, reason)

    def send(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.send(WSMsgType.TEXT, data)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.send_close(WSCloseCode.OK)
            self._socket.disconnect()
        else:
            self._opening.cancel()
            self._tell_closed(0, "closed before it opened")
