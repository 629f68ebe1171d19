"""The very run that was recorded, once more: its engine composed as it was, fed every input in order.

What comes out is what came out then, record for record (RELIABILITY 11), as long as nothing is missing in the recording
and the code decides as it did: `compare` tells where it does not. Nothing of it is sent anywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from arbitrade_core.composition import Loaded, Past, compose, load
from arbitrade_core.domain import Ns
from arbitrade_core.engine import Engine
from arbitrade_core.errors import ArbitradeError, ProtocolError
from arbitrade_core.events import Append, Frame, Input, PluginEnabled
from arbitrade_core.inputs_codec import SCHEMA as INPUTS_SCHEMA
from arbitrade_core.journal import Record, canonical
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.recording.entries import SCHEMA, Entry, Gap, Head, State, Via
from arbitrade_core.settings.environment import instead_of_environment

_MARKS = (Via, State)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first record of a stream that is not what was journalled."""

    stream: str
    seq: int
    at_ns: Ns
    journalled: str
    """as text; empty: the journal has no such record"""
    replayed: str


@dataclass(slots=True)
class Compared:
    """How a run went the second time."""

    inputs: int = 0
    records: int = 0
    same: int = 0
    until_ns: Ns = 0
    gap: Gap | None = None
    """where the recording breaks off being exact: nothing after it is compared"""
    differences: list[Difference] = field(default_factory=list)
    """one a stream: what comes after a difference says nothing new"""

    @property
    def exact(self) -> bool:
        return not self.differences


class Rerun:
    """The recorded engine. `records` of each step come out of `take`."""

    def __init__(self, head: Head) -> None:
        """Raises ArbitradeError when the run cannot be composed here."""
        require_readable(head)
        self._head = head
        with instead_of_environment(head.settings, "the recording"):
            self.setup = _setup(head)
            self.engine: Engine = compose(
                self.setup,
                now=head.now,
                system=head.system,
                past=past_of(head),
                halted=head.halted,
            )

    def start(self) -> list[Record]:
        return _records(self.engine.start(self._head.started))

    def take(self, event: Input) -> list[Record]:
        """Raises ArbitradeError when a plugin that was enabled then cannot be used here."""
        if isinstance(event, PluginEnabled):
            with instead_of_environment(self._head.settings, "the recording"):
                event.version = self.setup.bring_in(event.plugin)
        return _records(self.engine.step(event))


def compare(head: Head, entries: Iterable[Entry], journalled: Callable[[str, int], bytes | None]) -> Compared:
    """Run it again, and hold every record against the journal's. `journalled(stream, seq)` is a record's content.

    Raises:
        ArbitradeError: the run cannot be composed here.
    """
    rerun = Rerun(head)
    done = Compared(until_ns=head.started)
    given_up: set[str] = set()
    for entry, records in _steps(rerun, entries, done):
        if entry is not None:
            done.inputs += 1
            done.until_ns = entry.now
        for record in records:
            if record.stream in given_up:
                continue
            done.records += 1
            now, then = canonical(record), journalled(record.stream, record.seq)
            if now == then:
                done.same += 1
            else:
                given_up.add(record.stream)
                was = "" if then is None else then.decode()
                done.differences.append(Difference(record.stream, record.seq, record.time_ns, was, now.decode()))
    return done


def _steps(rerun: Rerun, entries: Iterable[Entry], done: Compared) -> Iterator[tuple[Input | None, list[Record]]]:
    yield None, rerun.start()
    for entry in entries:
        if type(entry) is Frame:
            yield entry, rerun.take(entry)
        elif isinstance(entry, Gap):
            done.gap = entry
            return
        elif not isinstance(entry, _MARKS):
            yield entry, rerun.take(entry)


def _records(commands: Iterable[object]) -> list[Record]:
    return [record for command in commands if isinstance(command, Append) for record in command.records]


def require_readable(head: Head) -> None:
    """Raises ProtocolError for a recording of another version."""
    if (head.schema, head.inputs_schema) != (SCHEMA, INPUTS_SCHEMA):
        raise ProtocolError(
            f"the recording is of schema {head.schema} with inputs {head.inputs_schema}, this program reads {SCHEMA} "
            f"with {INPUTS_SCHEMA}; the version that wrote it reads it: arbitrade {head.versions.get('arbitrade')}"
        )


def past_of(head: Head) -> Past:
    """Raises ProtocolError when it cannot be read."""
    try:
        return msgspec.msgpack.decode(head.past, type=Past)
    except (msgspec.DecodeError, ValueError) as error:
        raise ProtocolError(
            f"what the recorded run began with cannot be read: {error}; it can be replayed in part"
        ) from error


def _setup(head: Head) -> Setup:
    loaded: Loaded = load(past_of(head).toggles)
    here = {entry.name for entry in loaded.catalogue.enabled()}
    missing, extra = sorted(head.plugins.keys() - here), sorted(here - head.plugins.keys())
    if missing:
        raise ArbitradeError(f"the recorded run used {', '.join(missing)}, not in use here; install and enable it")
    if extra:
        raise ArbitradeError(f"the recorded run did without {', '.join(extra)}; name its plugins: ARBITRADE_PLUGINS")
    setup = loaded.setup(head.desk_id)
    setup.register_all()
    return setup


def versions_differ(head: Head, here: Mapping[str, str]) -> list[str]:
    """Plugins and programs whose version is another one here, in words."""
    return [
        f"{name} {was} then, {here.get(name, 'none')} here"
        for name, was in sorted({**head.versions, **head.plugins}.items())
        if here.get(name) != was
    ]
