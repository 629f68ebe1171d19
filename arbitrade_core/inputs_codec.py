"""Engine inputs as bytes, and back: what a run was fed, as data.

One input is a msgpack array: its kind, then its fields in the order of `events`. A field that is added at the end with
a default can be read by both sides; any other change of an input raises `SCHEMA`. Money travels as decimal text, so
that nothing is lost.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import Any

import msgspec

from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import (
    Closed,
    Drain,
    Durable,
    FeesLoaded,
    Frame,
    Halt,
    Input,
    JournalBack,
    JournalLost,
    Opened,
    PairsEnabled,
    PluginDisabled,
    PluginEnabled,
    PluginFaulted,
    Resume,
    SettingsChanged,
    StartAssets,
    Thresholds,
    Tick,
)

SCHEMA = 1

KINDS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "frame": Frame,
        "opened": Opened,
        "closed": Closed,
        "tick": Tick,
        "durable": Durable,
        "journal_lost": JournalLost,
        "journal_back": JournalBack,
        "fees": FeesLoaded,
        "pairs": PairsEnabled,
        "start_assets": StartAssets,
        "thresholds": Thresholds,
        "settings_changed": SettingsChanged,
        "halt": Halt,
        "resume": Resume,
        "drain": Drain,
        "plugin_enabled": PluginEnabled,
        "plugin_disabled": PluginDisabled,
        "plugin_faulted": PluginFaulted,
    }
)
"""Every input there is, by the name that stands first in its bytes."""


def _shape(kind: str, of: type[Any]) -> type[msgspec.Struct]:
    """The input as it is written: the same fields, as an array that begins with its kind."""
    fields = [
        (field.name, field.type) if field.required else (field.name, field.type, _default(field))
        for field in msgspec.structs.fields(of)
    ]
    return msgspec.defstruct(of.__name__, fields, tag=kind, array_like=True, gc=False)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return msgspec.field(default_factory=field.default_factory)


_SHAPES = {of: _shape(kind, of) for kind, of in KINDS.items()}
_INPUT_OF = {shape: of for of, shape in _SHAPES.items()}
_ENCODER = msgspec.msgpack.Encoder()
_fields = msgspec.structs.astuple

SHAPES: Any = reduce(or_, _SHAPES.values())
"""What inputs are written as, for messages that hold some: a union of structs, told apart by their kinds."""
_DECODER: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(SHAPES)


def shaped(event: Input) -> msgspec.Struct:
    """The input as one of `SHAPES`."""
    return _SHAPES[type(event)](*_fields(event))


def from_shape(shape: msgspec.Struct) -> Input:
    """The input that was `shaped`."""
    event: Input = _INPUT_OF[type(shape)](*_fields(shape))
    return event


def encode_input(event: Input) -> bytes:
    return _ENCODER.encode(shaped(event))


def decode_input(data: bytes) -> Input:
    """What `encode_input` was given.

    Raises:
        ProtocolError: these are not the bytes of an input of this schema.
    """
    try:
        return from_shape(_DECODER.decode(data))
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise ProtocolError(
            f"{data[:40]!r} is no engine input of schema {SCHEMA}: {error}; use the version that wrote it"
        ) from error
