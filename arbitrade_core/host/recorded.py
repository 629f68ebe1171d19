"""Where a recorded run begins: all that `composition.compose` needs to make the same engine once more.

Secrets are left out, and where data lives: neither decides anything.
"""

import platform
from importlib import metadata

import msgspec

from arbitrade_core.composition import Loaded, Past
from arbitrade_core.domain import Ns
from arbitrade_core.inputs_codec import SCHEMA as INPUTS_SCHEMA
from arbitrade_core.recording.entries import SCHEMA, Head
from arbitrade_core.settings import Variable
from arbitrade_core.settings.environment import as_text

_LEFT_OUT = frozenset({"data_dir", "database", "log"})


def head(
    loaded: Loaded, *, started: Ns, composed: Ns, desk_id: str, system: str, halted: str | None, past: Past
) -> Head:
    """`composed` is the time that the engine was composed with, `started` when it was started."""
    enabled = {entry.name: entry.version for entry in loaded.catalogue.enabled()}
    return Head(
        schema=SCHEMA,
        inputs_schema=INPUTS_SCHEMA,
        now=composed,
        desk_id=desk_id,
        system=system,
        halted=halted,
        plugins=enabled,
        versions={"arbitrade": metadata.version("arbitrade"), "python": platform.python_version()},
        settings=settings(loaded),
        past=msgspec.msgpack.encode(past),
        started=started,
    )


def settings(loaded: Loaded) -> dict[str, str]:
    """The variables that differ from their defaults and are set, as the environment would say them."""
    told: dict[str, str] = {}
    for variable in loaded.settings.variables:
        if variable.secret or variable.path[0] in _LEFT_OUT:
            continue
        text = as_text(loaded.settings.value(variable))
        if text and (variable.field.is_required() or text != _default(variable)):
            told[variable.name] = text
    return told


def _default(variable: Variable) -> str:
    return as_text(variable.field.get_default(call_default_factory=True, validated_data={}))
