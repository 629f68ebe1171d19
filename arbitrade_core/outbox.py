"""What a step asks of the shell, gathered while the step runs; and who waits for the journal."""

from collections.abc import Callable, Sequence

from arbitrade_core.domain import Alert, Ns, Severity
from arbitrade_core.events import Append, Command, Durable, Notify
from arbitrade_core.journal import Fields, Record, Stream


class Outbox:
    """Commands in order; records of one step leave together, last, as one `Append`."""

    def __init__(self, system: Stream) -> None:
        """`system` is the stream of records that belong to no desk."""
        self.commands: list[Command] = []
        self.records: list[Record] = []
        self._system = system
        self.system = system.name
        self._waiting: dict[str, list[tuple[int, Callable[[Ns], None]]]] = {}

    def command(self, command: Command) -> None:
        self.commands.append(command)

    def notify(self, severity: Severity, topic: str, text: str, now: Ns) -> None:
        self.commands.append(Notify(Alert(severity, topic, text, now)))

    def record(self, kind: str, now: Ns, data: Fields) -> None:
        """Journal something that belongs to no desk."""
        self.append(self._system.record(kind, now, data))

    def append(self, record: Record, durable: Callable[[Ns], None] | None = None) -> None:
        """Journal a record; `durable` runs when it is on disk."""
        self.records.append(record)
        if durable is not None:
            self._waiting.setdefault(record.stream, []).append((record.seq, durable))

    def durable(self, event: Durable) -> list[Callable[[Ns], None]]:
        """What waited for this, in the order of the records."""
        waiting = self._waiting.get(event.stream, [])
        ready = [action for seq, action in waiting if seq <= event.seq]
        if ready:
            self._waiting[event.stream] = [entry for entry in waiting if entry[0] > event.seq]
        return ready

    def take(self) -> Sequence[Command]:
        """Everything gathered; the outbox is empty afterwards."""
        commands, self.commands = self.commands, []
        if self.records:
            commands.append(Append(tuple(self.records)))
            self.records.clear()
        return commands
