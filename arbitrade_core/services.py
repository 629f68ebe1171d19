"""What plugins run beside trading, and what the bot offers them while they do."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from arbitrade_core.domain import Severity

type Verb = Callable[[Mapping[str, Any], str], Awaitable[Any]]
"""`verb(parameters, actor)` answers with what JSON can hold, or raises ArbitradeError for the caller to read."""


class ServiceHost(Protocol):
    """The running bot, as a service sees it. Everything here is called on the trading loop."""

    def offer(self, verb: str, answer: Verb) -> None:
        """Answer `<plugin>.<verb>` on the control socket and the API for as long as the service runs."""
        ...

    async def call(self, verb: str, parameters: Mapping[str, Any], actor: str) -> Any:
        """Ask the bot, as the command line does: `plugins.list`, `status`, `halt`. Raises ArbitradeError."""
        ...

    def alert(self, severity: Severity, topic: str, text: str) -> None:
        """Tell people, through every notifier."""
        ...

    def pool(self) -> AbstractAsyncContextManager[Any]:
        """An asyncpg pool whose connections see the plugin's own schema first. Raises StorageError."""
        ...


class Service(Protocol):
    """Something that runs as long as the bot does: a server, a sender, a watcher."""

    @property
    def name(self) -> str: ...
    def run(self, host: ServiceHost) -> AbstractAsyncContextManager[None]:
        """Entered before trading starts and left after it ended; both must be quick (seconds).

        It lives on the trading loop: whatever takes longer than a blink belongs on a thread or in a process.
        """
        ...
