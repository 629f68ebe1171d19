"""What a transport is to the shell, and what all of them share."""

import ssl
from collections.abc import Callable
from typing import Protocol

from websockets.exceptions import InvalidURI
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


def checked_uri(url: str) -> WebSocketURI:
    try:
        return parse_uri(url)
    except InvalidURI as error:
        raise SettingsError([f"{url!r} is not a WebSocket address; write wss://host/path"]) from error


def tls_context(uri: WebSocketURI) -> ssl.SSLContext | None:
    """Kraken refuses clients that send no SNI; the default context sends it."""
    return ssl.create_default_context() if uri.secure else None
