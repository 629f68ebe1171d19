"""What the core itself answers: the state, the kill switch, the plugins."""

from collections.abc import Callable, Mapping
from typing import Any

from arbitrade_core.control.verbs import Verbs, text
from arbitrade_core.events import Halt, Resume
from arbitrade_core.host.plugins import PluginHost
from arbitrade_core.shell import Shell


def offer_core_verbs(verbs: Verbs, shell: Shell, plugins: PluginHost, status: Callable[[], Mapping[str, Any]]) -> None:
    """`status` gives the summary of the session."""
    # Each takes the parameters and the actor, as `services.Verb` says, whether it needs them or not.

    async def answer_status(parameters: Mapping[str, Any], actor: str) -> Any:  # noqa: ARG001
        return status()

    async def halt(parameters: Mapping[str, Any], actor: str) -> Any:
        shell.take(Halt(text(parameters, "reason"), actor, shell.clock()))
        return {"halted": shell.engine.halted}

    async def resume(parameters: Mapping[str, Any], actor: str) -> Any:  # noqa: ARG001
        was = [reason for reason in (shell.engine.halted, *(desk.halt_reason for desk in shell.engine.desks)) if reason]
        shell.take(Resume(actor, shell.clock()))
        return {"was": was}

    async def list_plugins(parameters: Mapping[str, Any], actor: str) -> Any:  # noqa: ARG001
        return plugins.entries()

    async def show_plugin(parameters: Mapping[str, Any], actor: str) -> Any:  # noqa: ARG001
        return plugins.show(text(parameters, "plugin"))

    async def enable(parameters: Mapping[str, Any], actor: str) -> Any:
        return await plugins.enable(text(parameters, "plugin"), actor)

    async def disable(parameters: Mapping[str, Any], actor: str) -> Any:
        return await plugins.disable(text(parameters, "plugin"), actor)

    async def help_(parameters: Mapping[str, Any], actor: str) -> Any:  # noqa: ARG001
        return verbs.names()

    for name, verb in {
        "status": answer_status,
        "halt": halt,
        "resume": resume,
        "verbs": help_,
        "plugins.list": list_plugins,
        "plugins.show": show_plugin,
        "plugins.enable": enable,
        "plugins.disable": disable,
    }.items():
        verbs.offer(name, verb)
