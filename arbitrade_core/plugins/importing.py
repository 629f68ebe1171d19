"""From an entry point to a module that has been looked over: its API version, its hooks, its settings, its needs."""

import difflib
import sys
import threading
import traceback
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pluggy import PluginManager, PluginValidationError
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from arbitrade_core.errors import PluginError
from arbitrade_core.hooks import API_VERSION, HOOKS, PROJECT
from arbitrade_core.plugins.needs import BY_NAME, KINDS, is_need
from arbitrade_core.registry import call_one, new_relay

IMPORT_S = 30.0
"""How long importing and examining one plugin may take."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A sound plugin module, not in use yet."""

    module: Any
    hooks: tuple[str, ...]
    needs: tuple[str, ...]
    model: type[BaseModel] | None
    """of its settings"""


def import_plugin(point: metadata.EntryPoint, who: str) -> Imported:
    """Import and examine one plugin, on a thread of its own so that one that hangs can be left behind. Blocks.

    Raises:
        PluginError: it cannot be used, or did not end in time; the message begins with `who`.
        SettingsError: its hook for settings raised one.
    """
    done: list[Imported | BaseException] = []

    def look() -> None:
        try:
            done.append(_examined(point, who))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            done.append(error)

    thread = threading.Thread(target=look, name=f"import {point.name}", daemon=True)
    thread.start()
    thread.join(IMPORT_S)
    if not done:
        raise PluginError(f"{who} cannot be imported: it did not end within {IMPORT_S:g} s")
    found = done[0]
    if isinstance(found, BaseException):
        raise found
    return found


def _examined(point: metadata.EntryPoint, who: str) -> Imported:
    module = _imported(point, who)
    hooks = _hooks(module, who)
    _check_api(module, who)
    relay = _registered(module, point.name, who)
    return Imported(module, hooks, _needs(module, who), _settings_model(relay, point.name, who))


def _imported(point: metadata.EntryPoint, who: str) -> Any:
    try:
        return point.load()
    except BaseException as error:
        # A plugin's module may raise anything while it is imported, and no Ctrl-C comes to this thread.
        reason = f"{type(error).__name__}: {error}{_place(error)}"
        raise PluginError(f"{who} cannot be imported: {reason}") from error


def _place(error: BaseException) -> str:
    """The last line of a plugin's own code that an import reached."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    own = [frame for frame in frames if frame.filename not in (__file__, metadata.__file__)]
    own = [frame for frame in own if not frame.filename.startswith(sys.base_prefix)]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _hooks(module: Any, who: str) -> tuple[str, ...]:
    """The hooks that a plugin implements, in the order of the reference."""
    names = []
    for name in dir(module):
        function = getattr(module, name)
        marked = getattr(function, f"{PROJECT}_impl", None) is not None
        if marked and name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(HOOKS)}"
            raise PluginError(f"{who} implements {name}, which is no hook: {hint}")
        own = getattr(function, "__module__", None) == getattr(module, "__name__", "")
        if name in HOOKS and own and not marked:
            raise PluginError(f"{who} defines {name} without @hookimpl, so it would never be called; add the decorator")
        if marked:
            names.append(name)
    return tuple(sorted(names, key=HOOKS.index))


def _check_api(module: Any, who: str) -> None:
    declared = getattr(module, "ARBITRADE_API", None)
    if declared != API_VERSION:
        said = "does not declare ARBITRADE_API" if declared is None else f"is written for plugin API {declared!r}"
        raise PluginError(
            f"{who} {said}, and arbitrade {metadata.version('arbitrade')} has plugin API {API_VERSION}; "
            f"install versions that fit each other"
        )


def _registered(module: Any, name: str, who: str) -> PluginManager:
    """On a relay of its own, since one that fails half-way would leave half a plugin behind."""
    relay = new_relay()
    try:
        relay.register(module, name)
    except PluginValidationError as error:
        detail = str(error).rpartition("\n")[2] or str(error)
        raise PluginError(f"{who} implements a hook with other arguments than it has: {detail}") from error
    return relay


def _needs(module: Any, who: str) -> tuple[str, ...]:
    declared = getattr(module, "NEEDS", ())
    if not isinstance(declared, tuple | list) or not all(is_need(need) for need in declared):
        known = ", ".join(KINDS)
        raise PluginError(f"{who} declares NEEDS = {declared!r}; it must be a tuple of {known} or '{BY_NAME}<name>'")
    return tuple(declared)


def _settings_model(relay: PluginManager, name: str, who: str) -> type[BaseModel] | None:
    models: list[Any] = call_one(relay, "register_settings", name, who)
    if not models:
        return None
    (model,) = models
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or issubclass(model, BaseSettings):
        raise PluginError(
            f"register_settings of {who} returned {model!r}; it must return a class derived from "
            f"pydantic.BaseModel (not BaseSettings: the core reads the environment for it)"
        )
    return model
