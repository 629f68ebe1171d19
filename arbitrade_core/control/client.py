"""Asks the running bot of a data directory."""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
import orjson
from anyio.streams.buffered import BufferedByteReceiveStream

from arbitrade_core.control.server import Address, control_file
from arbitrade_core.errors import ControlError
from arbitrade_core.settings import CoreSettings

_ANSWER_S = 120.0
_LONGEST_ANSWER = 64 << 20


class NotRunning(ControlError):
    """There is no bot to ask."""


def running(core: CoreSettings, demo: bool = False) -> Address:
    """Where the bot of this data directory listens, as far as its control file says. Raises NotRunning."""
    file = control_file(core.data_path, demo)
    kind = "demo" if demo else "bot"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Address)
    except FileNotFoundError:
        command = "arbitrade demo" if demo else "arbitrade run"
        raise NotRunning(f"no {kind} runs on {core.data_path}: start it with `{command}`") from None
    except (OSError, msgspec.DecodeError, UnicodeError) as error:
        raise NotRunning(f"{file} cannot be read: {error}; remove it and start the {kind} again") from error


async def call(
    core: CoreSettings,
    verb: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    demo: bool = False,
    by: str | None = None,
) -> Any:
    """What the running bot answers. `by` asks, for its journal; None: this user, at the command line.

    Raises:
        NotRunning: none runs.
        ControlError: it refused, in its own words, or did not answer.
    """
    address = running(core, demo)
    file = control_file(core.data_path, demo)
    try:
        stream = await anyio.connect_tcp("127.0.0.1", address.port)
    except OSError as error:
        raise NotRunning(
            f"no bot answers on 127.0.0.1:{address.port}, which {file} names: it ended without a word"
        ) from error
    request = {"token": address.token, "verb": verb, "parameters": dict(parameters or {}), "actor": by or actor()}
    async with stream:
        try:
            with anyio.fail_after(_ANSWER_S):
                await stream.send(orjson.dumps(request) + b"\n")
                line = await BufferedByteReceiveStream(stream).receive_until(b"\n", _LONGEST_ANSWER)
        except TimeoutError as error:
            raise ControlError(
                f"the bot (pid {address.pid}) did not answer {verb!r} within {_ANSWER_S:.0f} s"
            ) from error
        except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead) as error:
            raise ControlError(f"the bot (pid {address.pid}) hung up on {verb!r}; see its log") from error
        except anyio.DelimiterNotFound as error:
            raise _no_bot(address, file) from error
    try:
        answer = msgspec.json.decode(line, type=_Answer)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _no_bot(address, file) from error
    if answer.error is not None:
        raise ControlError(answer.error)
    return answer.ok


class _Answer(msgspec.Struct):
    ok: Any = None
    error: str | None = None


def _no_bot(address: Address, file: Path) -> NotRunning:
    """The port may be somebody else's by now, when the bot ended without a word."""
    return NotRunning(
        f"what listens on 127.0.0.1:{address.port} is not the bot that {file} names (pid {address.pid}); "
        f"if that process is gone, remove the file"
    )


def actor() -> str:
    """Who asks, for the journal: this user, at the command line."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError, ImportError):  # a user that has no name here, as in some containers
        return "cli"


__all__ = ["NotRunning", "actor", "call", "running"]
