"""Answers verbs on a loopback socket: one JSON object a line, either way.

A request is `{"token", "verb", "parameters", "actor"}`, an answer `{"ok": ...}` or `{"error": "..."}`. TCP on 127.0.0.1
rather than a Unix socket, because it is the same on every system and no path can be too long; the token, in a file that
only this user can read, stands for the file permissions of a socket.
"""

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import orjson
import structlog
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from arbitrade_core.control.verbs import Verbs
from arbitrade_core.errors import ArbitradeError, ControlError

_log = structlog.get_logger(__name__)

_LONGEST_REQUEST = 1 << 20
_SILENCE_S = 60.0
"""How long a client may say nothing, or not take its answer."""


class Address(msgspec.Struct, frozen=True):
    """What a control file holds."""

    port: int
    token: str
    pid: int
    name: str
    """of the desk, for messages"""


class _Request(msgspec.Struct):
    token: str
    verb: str
    actor: str
    parameters: dict[str, Any] = {}


def control_file(data_path: Path, demo: bool) -> Path:
    """Where the running bot of this data directory says how to reach it; the newest demo's is apart."""
    return data_path / ("control-demo.json" if demo else "control.json")


@asynccontextmanager
async def serve(verbs: Verbs, file: Path, name: str) -> AsyncIterator[Address]:
    """Answer for as long as the context lasts.

    Raises:
        ControlError: the file cannot be written, or no port can be had.
    """
    try:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    except OSError as error:
        raise ControlError(f"cannot listen on 127.0.0.1 for commands: {error}; free a port and start again") from error
    port = int(listener.extra(SocketAttribute.local_port))  # noqa: S610 - no database
    address = Address(port, secrets.token_urlsafe(32), os.getpid(), name)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(listener.serve, partial(_converse, verbs, address.token)))
        try:
            _write(file, address)
            yield address
        finally:
            _remove(file, address)
            tasks.cancel_scope.cancel()


def _write(file: Path, address: Address) -> None:
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(orjson.dumps(msgspec.to_builtins(address)))
        fresh.replace(file)
    except OSError as error:
        raise ControlError(
            f"cannot write {file}: {error}; make its folder writable, or set ARBITRADE_DATA_DIR"
        ) from error


def _remove(file: Path, address: Address) -> None:
    """Unless another bot has put its own there since."""
    with suppress(OSError, msgspec.DecodeError):
        if msgspec.json.decode(file.read_bytes(), type=Address).token == address.token:
            file.unlink()


async def _converse(verbs: Verbs, token: str, stream: SocketStream) -> None:
    async with stream:
        lines = BufferedByteReceiveStream(stream)
        try:
            while True:
                with anyio.fail_after(_SILENCE_S):
                    line = await lines.receive_until(b"\n", _LONGEST_REQUEST)
                await _answer(stream, await _asked(verbs, token, line))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.IncompleteRead, TimeoutError):
            pass  # how clients leave
        except anyio.DelimiterNotFound:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
                await _answer(stream, {"error": f"a request is longer than {_LONGEST_REQUEST} bytes"})
        except Exception as error:  # noqa: BLE001 - whatever a client does ends its connection, never the bot
            _log.error("a control connection failed", exc_info=error)


async def _asked(verbs: Verbs, token: str, line: bytes) -> Mapping[str, Any]:
    try:
        request = msgspec.json.decode(line, type=_Request)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return {"error": f"not a request: {error}"}
    if not secrets.compare_digest(request.token.encode(), token.encode()):
        return {"error": "the token is not this bot's; read its control file again"}
    try:
        return {"ok": await verbs.call(request.verb, request.parameters, request.actor)}
    except ArbitradeError as error:
        return {"error": str(error)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's verb may raise anything; who asked is told
        _log.exception("a verb failed", verb=request.verb)
        return {"error": f"{request.verb} failed: {type(error).__name__}: {error}"}


async def _answer(stream: SocketStream, answer: Mapping[str, Any]) -> None:
    try:
        data = orjson.dumps(answer, default=msgspec.to_builtins)
    except TypeError as error:
        data = orjson.dumps({"error": f"the answer cannot be written as JSON: {error}"})
    with anyio.fail_after(_SILENCE_S):
        await stream.send(data + b"\n")
