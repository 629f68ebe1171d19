"""The shadow's process: `python -m arbitrade_core.shadow.follower`, run by the bot with the Python of its environment.

It composes the engine from the plugins that are installed there, with the bot's settings variables, and lives until its
standard input ends. What plugins print goes to standard error, since standard output speaks `wire`.
"""

import gc
import logging
import os
import platform
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from importlib import metadata

import structlog

from arbitrade_core.composition import Loaded, compose
from arbitrade_core.engine import Engine
from arbitrade_core.errors import ArbitradeError, ProtocolError
from arbitrade_core.inputs_codec import SCHEMA as INPUTS_SCHEMA
from arbitrade_core.plugins import Catalogue, State, load_catalogue
from arbitrade_core.plugins.catalogue import settle_needs
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.settings import CoreSettings, variables
from arbitrade_core.settings.environment import PREFIX
from arbitrade_core.settings.shadows import shadow_cores
from arbitrade_core.shadow.replica import Replica
from arbitrade_core.shadow.wire import (
    SCHEMA,
    Answer,
    Decided,
    Failed,
    Hello,
    Ready,
    Refused,
    Unframer,
    framed,
    read_batch,
    read_greeting,
    read_hello,
)

_CHUNK = 1 << 16
_ORPHAN_POLL_S = 1.0


def main() -> int:
    answers = os.dup(1)
    os.dup2(2, 1)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    threading.Thread(target=_end_with, args=(os.getppid(),), name="orphan", daemon=True).start()
    # The bot hung up: there is nobody to tell.
    with suppress(BrokenPipeError, KeyboardInterrupt):
        _follow(answers)
    return 0


def _end_with(parent: int) -> None:
    """A main thread that hangs in a plugin does not see its input end. Without the bot there is nothing to do here."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_POLL_S)
    os._exit(0)


def _follow(answers: int) -> None:
    unframer = Unframer()
    replica: Replica | None = None
    while data := os.read(0, _CHUNK):
        for body in unframer.feed(data):
            if replica is None:
                try:
                    replica, ready = started(body)
                except ArbitradeError as error:
                    _answer(answers, Refused(str(error)))
                    return
                _answer(answers, ready)
                gc.collect()
                gc.freeze()
                continue
            try:
                decisions = [one for said in read_batch(body, replica.seq + 1) for one in replica.take(said)]
            except Exception as error:  # noqa: BLE001 - whatever it is, this run cannot be compared any further
                _answer(answers, Failed(replica.seq, f"{type(error).__name__}: {error}"))
                return
            if decisions:
                _answer(answers, Decided(tuple(decisions)))
        if replica is not None:
            _answer(answers, replica.progress())


def _answer(answers: int, answer: Answer) -> None:
    data = framed(answer)
    while data:
        data = data[os.write(answers, data) :]


def started(body: bytes) -> tuple[Replica, Ready]:
    """The replica that a `Hello` asks for.

    Raises:
        ArbitradeError: why there can be none.
    """
    greeting = read_greeting(body)
    if (greeting.schema, greeting.inputs_schema) != (SCHEMA, INPUTS_SCHEMA):
        raise ProtocolError(
            f"arbitrade {metadata.version('arbitrade')} there speaks schema {SCHEMA} with inputs {INPUTS_SCHEMA}, "
            f"the bot {greeting.schema} with {greeting.inputs_schema}; they are too far apart to run side by side"
        )
    hello = read_hello(body)
    catalogue = load_catalogue(hello.past.toggles)
    unknown = _without_unknown_settings(catalogue)
    _like_the_bot(catalogue, hello)
    settings = catalogue.settings()
    shadow_cores(settings.core)
    catalogue.require_sound()
    setup = Loaded(catalogue, settings).setup(hello.desk_id)
    setup.register_all()
    engine = _composed(setup, hello)
    enabled = {entry.name: entry for entry in catalogue.enabled()}
    ready = Ready(
        versions={
            "arbitrade": metadata.version("arbitrade"),
            "python": platform.python_version(),
            **{f"plugin {name}": entry.version for name, entry in enabled.items()},
        },
        missing=tuple(sorted(name for name, on in hello.plugins.items() if on and name not in enabled)),
        extra=tuple(sorted(enabled.keys() - hello.plugins.keys())),
        unknown_settings=unknown,
    )
    return Replica(engine, setup.bring_in), ready


def _composed(setup: Setup, hello: Hello) -> Engine:
    past = replace(hello.past, toggles=setup.catalogue.toggles)
    return compose(setup, now=hello.now, system=hello.system, past=past, halted=hello.halted)


def _without_unknown_settings(catalogue: Catalogue) -> tuple[str, ...]:
    """Variables that the bot's version knows and this one does not are told, and left out from here on."""
    known = {variable.name for variable in variables(CoreSettings)}
    for name, model in catalogue.models.items():
        known |= {variable.name for variable in variables(model, (name,))}
    out_of_use = [entry.name for entry in catalogue.entries if entry.state is not State.ENABLED]
    exempt = tuple(f"{PREFIX}{name}__".upper() for name in out_of_use)
    unknown = [
        name
        for name in os.environ
        if name.upper().startswith(PREFIX) and name.upper() not in known and not name.upper().startswith(exempt)
    ]
    for name in unknown:
        del os.environ[name]
    return tuple(sorted(unknown))


def _like_the_bot(catalogue: Catalogue, hello: Hello) -> None:
    """What the bot does not use is not used here; what it does not know is: that may be what is tried."""
    for entry in catalogue.enabled():
        if not hello.plugins.get(entry.name, True):
            catalogue.drop(entry.name, State.DISABLED)
    settle_needs(catalogue)


if __name__ == "__main__":
    sys.exit(main())
