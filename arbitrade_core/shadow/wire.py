"""What the bot and its shadow say to each other: msgpack messages, each after its length in four bytes.

The bot says `Hello` once, and is answered `Ready` or `Refused`. Then it tells every input of its engine, in order, and
what its shell did because of it; the shadow answers with its decisions and how far it is.
"""

from collections.abc import Iterator, Sequence
from types import GenericAlias
from typing import Any

import msgspec

from arbitrade_core.composition import Past
from arbitrade_core.domain import Ns
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import ConnId, Input
from arbitrade_core.inputs_codec import KINDS, SHAPES, from_shape, shaped
from arbitrade_core.shadow.compare import Decision

SCHEMA = 1
"""Of these messages; that of the inputs in them is told apart."""

LONGEST = 128 << 20
"""A frame of market data is at most 16 MiB; a journal's past of two days may be longer."""
_HEAD = 4


# --- the bot says -------------------------------------------------------------------------------------------


class Greeting(msgspec.Struct):
    """What every version can read of a `Hello`."""

    schema: int
    inputs_schema: int


class Hello(msgspec.Struct):
    """Where the bot starts from: everything that its engine is composed of, but for plugins and settings."""

    schema: int
    inputs_schema: int
    now: Ns
    desk_id: str
    system: str
    halted: str | None
    past: Past
    plugins: dict[str, bool]
    """every one that the bot knows: whether it is enabled"""


class Started(msgspec.Struct, array_like=True, tag="started"):
    """`Engine.start` was called."""

    now: Ns


class Connected(msgspec.Struct, array_like=True, tag="connect"):
    """In the last step the bot's feed asked for this connection."""

    conn: ConnId
    url: str


class Transmitted(msgspec.Struct, array_like=True, tag="transmit"):
    """In the last step the bot's feed sent this."""

    data: bytes


class Wrote(msgspec.Struct, array_like=True, tag="wrote"):
    """In the last step the bot journalled records of this stream, up to number `last`."""

    stream: str
    last: int


type Said = Started | Input | Connected | Transmitted | Wrote
"""In the order in which it happened. Inputs are numbered from 1, each before its step."""


# --- the shadow answers -------------------------------------------------------------------------------------


class Ready(msgspec.Struct, tag="ready"):
    versions: dict[str, str]
    """of arbitrade, Python, and each plugin in use"""
    missing: tuple[str, ...] = ()
    """plugins that the bot has in use and the shadow has not"""
    extra: tuple[str, ...] = ()
    """plugins that the shadow has in use and the bot does not know"""
    unknown_settings: tuple[str, ...] = ()
    """variables of the environment that are none in its version"""


class Refused(msgspec.Struct, tag="refused"):
    reason: str


class Astray(msgspec.Struct):
    """Where the shadow's feed went another way than the bot's: what it then sees may not be what it would see."""

    connections_asked: int = 0
    """it asked for a connection, and the bot did not"""
    connections_unasked: int = 0
    """the other way round"""
    messages_asked: int = 0
    """it sent what the bot did not send in the same step, such as another subscription"""
    messages_unasked: int = 0
    inputs_left_out: int = 0
    """inputs that mean nothing to it: frames of a connection it does not have, a desk it does not have"""
    example: str = ""


class Decided(msgspec.Struct, tag="decided"):
    decisions: tuple[Decision, ...]


class Progress(msgspec.Struct, tag="progress"):
    """Every input up to and including `seq` was taken, and all its decisions were told."""

    seq: int
    candidates: int
    faults: dict[str, int]
    quarantined: dict[str, str]
    """by plugin: why one of its objects is out of use in the shadow"""
    astray: Astray


class Failed(msgspec.Struct, tag="failed"):
    """It cannot go on."""

    seq: int
    reason: str


type Answer = Ready | Refused | Decided | Progress | Failed


# --- bytes --------------------------------------------------------------------------------------------------

_ENCODER = msgspec.msgpack.Encoder()
_INPUTS = frozenset(KINDS.values())
_SAID: Any = SHAPES | Started | Connected | Transmitted | Wrote
_BATCH: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(GenericAlias(tuple, (int, GenericAlias(list, _SAID))))
"""The number of the first input in it, or of the next one, and what was said."""
_ANSWER: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Ready | Refused | Decided | Progress | Failed)
_GREETING = msgspec.msgpack.Decoder(Greeting)
_HELLO = msgspec.msgpack.Decoder(Hello)


def framed(message: Hello | Answer) -> bytes:
    return _framed(_ENCODER.encode(message))


def framed_batch(seq: int, said: Sequence[Said]) -> tuple[bytes, int]:
    """One message whose first input is number `seq`, and the number of the input that comes after it."""
    shapes: list[Any] = [shaped(one) if type(one) in _INPUTS else one for one in said]  # type: ignore[arg-type]
    inputs = sum(type(one) in _INPUTS for one in said)
    return _framed(_ENCODER.encode((seq, shapes))), seq + inputs


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(_HEAD) + body


def read_batch(body: bytes, seq: int) -> Iterator[Said]:
    """What was said, when `seq` is the next input's number.

    Raises:
        ProtocolError: it cannot be read, or something is missing before it.
    """
    first, said = _read(_BATCH, body)
    if first != seq:
        raise ProtocolError(f"input {first} came where {seq} was due: there is a gap, so nothing can follow")
    for one in said:
        yield one if isinstance(one, Started | Connected | Transmitted | Wrote) else from_shape(one)


def read_answer(body: bytes) -> Answer:
    """Raises ProtocolError."""
    answer: Answer = _read(_ANSWER, body)
    return answer


def read_greeting(body: bytes) -> Greeting:
    """Raises ProtocolError."""
    greeting: Greeting = _read(_GREETING, body)
    return greeting


def read_hello(body: bytes) -> Hello:
    """Raises ProtocolError."""
    hello: Hello = _read(_HELLO, body)
    return hello


def _read(decoder: msgspec.msgpack.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise ProtocolError(f"{body[:40]!r} is no message of schema {SCHEMA}: {error}") from error


class Unframer:
    """Cuts a stream of bytes into messages again."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now.

        Raises:
            ProtocolError: a length that none of ours has; the stream cannot be read any further.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _HEAD:
                length = int.from_bytes(buffer[start : start + _HEAD])
                if length > LONGEST:
                    raise ProtocolError(f"{bytes(buffer[start : start + 40])!r} begins no message")
                end = start + _HEAD + length
                if len(buffer) < end:
                    break
                body = bytes(buffer[start + _HEAD : end])
                start = end
                yield body
        finally:
            del buffer[:start]
