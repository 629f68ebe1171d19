"""WebSocket connections for the shell: bytes in, bytes out, no queue and no task on the way of a frame.

`sans_io` works everywhere; where `picows` is installed (`arbitrade[fast]`) it is used instead, 14 times cheaper in
bursts.
"""

from importlib.util import find_spec

from arbitrade_core.transport.base import Connection, Listener, Opener

__all__ = ["Connection", "Listener", "Opener", "opener"]


def opener(prefer_fast: bool = True) -> Opener:
    """The best transport installed: `(conn, url, listener) -> Connection`; opening goes on in the background."""
    if prefer_fast and find_spec("picows") is not None:
        from arbitrade_core.transport.picows_io import open_connection as fast  # noqa: PLC0415 - optional extra

        return fast
    from arbitrade_core.transport.sans_io import open_connection  # noqa: PLC0415 - one of two

    return open_connection
