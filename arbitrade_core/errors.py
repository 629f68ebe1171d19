"""The core's errors. Every message says what was wrong, with which value, and what to do.

ArbitradeError
├── SettingsError       a setting is wrong or unknown (all problems of one start in one error)
├── PluginError         a distribution's plugin cannot be used
├── StorageError        the database cannot be used
│   └── MigrationError  a migration file changed, is missing, or failed
├── ControlError        the running bot cannot be asked, or refused
├── ProtocolError       the other side broke its own rules (a *remote* error)
└── InvariantError      we broke ours: a bug; the desk that sees it halts
"""


class ArbitradeError(Exception):
    """Base of everything the core raises on purpose; the CLI prints it without a traceback."""


class SettingsError(ArbitradeError):
    """One or more settings are wrong. `problems` lists them all, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class PluginError(ArbitradeError):
    """A plugin cannot be loaded or registered; the message names its distribution."""


class StorageError(ArbitradeError):
    """The database cannot be reached, written, or trusted."""


class MigrationError(StorageError):
    """A migration cannot be applied; nothing of it was."""


class ControlError(ArbitradeError):
    """A command to the running bot could not be given, or was refused; the message is for whoever gave it."""


class ProtocolError(ArbitradeError):
    """A remote party broke the protocol. Never a reason to crash: it becomes state or an event."""


class InvariantError(ArbitradeError):
    """Something that cannot happen happened here. Fail closed: halt, do not repair."""
