"""Services of plugins: each in a task of its own, so that one that fails ends alone."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup

from arbitrade_core.control import Verbs
from arbitrade_core.domain import Alert, Ns, Severity
from arbitrade_core.errors import PluginError, StorageError
from arbitrade_core.services import Service, Verb
from arbitrade_core.storage.connect import Database

_log = structlog.get_logger(__name__)

START_S = 10.0
"""How long a service may take to start."""
END_S = 6.0
"""How long it may take to end before it is cancelled."""


@dataclass(frozen=True, slots=True)
class Host:
    """Implements `services.ServiceHost` for one plugin."""

    plugin: str
    verbs: Verbs
    tell: Callable[[Alert], None]
    clock: Callable[[], Ns]
    database: Database | None

    def offer(self, verb: str, answer: Verb) -> None:
        if not verb or "." in verb:
            raise PluginError(f"plugin {self.plugin!r} offers the verb {verb!r}; give it a name without dots")
        self.verbs.offer(f"{self.plugin}.{verb}", answer)

    async def call(self, verb: str, parameters: Mapping[str, Any], actor: str) -> Any:
        return await self.verbs.call(verb, parameters, actor)

    def alert(self, severity: Severity, topic: str, text: str) -> None:
        self.tell(Alert(severity, topic, text, self.clock()))

    def pool(self) -> AbstractAsyncContextManager[Any]:
        if self.database is None:
            raise StorageError("this session keeps nothing, so there is no database")
        return self.database.pool(size=2, application=f"arbitrade {self.plugin}", schema=f"plugin_{self.plugin}")


@dataclass(slots=True)
class _Running:
    service: Service
    stop: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)


class Services:
    """The services that run, by plugin."""

    def __init__(
        self,
        tasks: TaskGroup,
        verbs: Verbs,
        tell: Callable[[Alert], None],
        clock: Callable[[], Ns],
        database: Database | None,
    ) -> None:
        self._tasks = tasks
        self._verbs = verbs
        self._tell = tell
        self._clock = clock
        self._database = database
        self.on_fault: Callable[[str, str, str], None] = lambda plugin, service, reason: None
        """told the plugin, the service and why, when one ends by itself"""
        self._running: dict[str, list[_Running]] = {}

    async def start(self, plugin: str, services: list[Service]) -> None:
        """Start them in order.

        Raises:
            PluginError: one did not start, in words; those before it run.
        """
        for service in services:
            running = _Running(service)
            try:
                with anyio.fail_after(START_S):
                    problem = await self._tasks.start(self._run, plugin, running)
            except TimeoutError:
                raise PluginError(
                    f"service {service.name!r} of {plugin!r} took over {START_S:.0f} s to start"
                ) from None
            if problem:
                raise PluginError(f"service {service.name!r} of {plugin!r} did not start: {problem}")
            self._running.setdefault(plugin, []).append(running)

    async def end(self, plugin: str) -> None:
        """End them, last first."""
        for running in reversed(self._running.pop(plugin, [])):
            running.stop.set()
            with anyio.move_on_after(END_S + 1.0):
                await running.over.wait()
            if not running.over.is_set():
                _log.error("a service does not let itself be cancelled", plugin=plugin, service=running.service.name)
        self._verbs.withdraw(plugin)

    async def end_all(self) -> None:
        for plugin in reversed(list(self._running)):
            await self.end(plugin)

    async def _run(self, plugin: str, running: _Running, *, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        """Tells through `task_status` why the service did not start, or nothing."""
        name = running.service.name
        started = False
        host = Host(plugin, self._verbs, self._tell, self._clock, self._database)
        ending = anyio.CancelScope()

        async def bound_the_end() -> None:
            await running.stop.wait()
            await anyio.sleep(END_S)
            _log.warning("a service did not end and is cancelled", plugin=plugin, service=name)
            ending.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bound_the_end)
                with ending:
                    async with running.service.run(host):
                        started = True
                        task_status.started("")
                        await running.stop.wait()
                tasks.cancel_scope.cancel()
        except BaseException as error:
            reason = _fault(error)
            if reason is None:
                raise
            _log.error("service failed", plugin=plugin, service=name, exc_info=error)
            if not started:
                task_status.started(reason)
            elif not running.stop.is_set():
                self.on_fault(plugin, name, reason)
        else:
            if not started:
                task_status.started("it ended before it began")
            elif not running.stop.is_set():
                _log.error("service ended by itself", plugin=plugin, service=name)
                self.on_fault(plugin, name, "it ended by itself")
        finally:
            running.over.set()


def _fault(error: BaseException) -> str | None:
    """What a service did wrong, in words; None when it is being cancelled, or the operator interrupts.

    `sys.exit()` in a plugin ends that service, and a cancellation that nobody asked for is an error like any other.
    """
    causes = list(_leaves(error))
    cancelled = anyio.get_cancelled_exc_class()
    if any(isinstance(cause, cancelled) for cause in causes) and anyio.current_effective_deadline() == -math.inf:
        return None
    if not all(isinstance(cause, Exception | SystemExit | cancelled) for cause in causes):
        return None
    return "; ".join(f"{type(cause).__name__}: {cause}" for cause in causes)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
