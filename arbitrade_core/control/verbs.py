"""The table of what the bot can be asked: one name, one answer, whoever asks."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

import anyio

from arbitrade_core.errors import ControlError, InvariantError
from arbitrade_core.services import Verb


class Verbs:
    """Names such as `plugins.list` or, of a plugin, `alerts.ack`, and who answers them."""

    def __init__(self) -> None:
        self._answers: dict[str, Verb] = {}

    def offer(self, name: str, answer: Verb) -> None:
        """Answer this from now on. Raises InvariantError when somebody else does."""
        if name in self._answers:
            raise InvariantError(f"verb {name!r} is answered already; two parts of the bot want the same name")
        self._answers[name] = answer

    def withdraw(self, prefix: str) -> None:
        """Forget everything below a plugin's name: `alerts` takes `alerts.ack` away."""
        for name in [name for name in self._answers if name.startswith(f"{prefix}.")]:
            del self._answers[name]

    def names(self) -> list[str]:
        return sorted(self._answers)

    async def call(self, name: str, parameters: Mapping[str, Any], actor: str) -> Any:
        """Ask. Raises ControlError when nobody answers to the name, ArbitradeError as the answer does."""
        answer = self._answers.get(name)
        if answer is None:
            near = difflib.get_close_matches(name, self._answers, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.names())}"
            raise ControlError(f"the running bot knows no {name!r}: {hint}")
        try:
            return await answer(parameters, actor)
        except anyio.get_cancelled_exc_class() as error:
            if anyio.current_effective_deadline() == -math.inf:
                raise
            # Nobody cancelled it; let out, it would end the listening.
            raise ControlError(f"{name} failed: it cancelled itself") from error


def text(parameters: Mapping[str, Any], name: str) -> str:
    """A parameter that must be there and be text. Raises ControlError."""
    value = parameters.get(name)
    if not isinstance(value, str) or not value:
        raise ControlError(f"parameter {name!r} is {value!r}; give it as text")
    return value
