"""docs/hooks.md, made from `hooks.HookSpecs`: `just docs`, or `python -m tests.house.hooks_page > docs/hooks.md`."""

import inspect
import sys

from arbitrade_core.hooks import API_VERSION, HOOKS, HookSpecs
from arbitrade_core.plugins import KINDS
from tests.house.repository import project

HEAD = """\
# Hooks

A plugin is a module that an installed distribution names in the entry-point group `arbitrade.plugins`. It
declares `ARBITRADE_API = {api}` and implements the hooks it needs. Hooks register objects when the plugin comes into
use, at the start or in a running bot. The engine calls the objects, and `arbitrade_core.spi`, `services` and `panels`
say what they must look like. A hook that raises, returns something else than it should, or registers a name that is
taken keeps the plugin out of use, at the start with an error that names its distribution. `arbitrade plugins list`
shows who implements what. [authors.md](authors.md) leads from nothing to a published plugin, [plugins.md](plugins.md)
says what operators do with it.

A whole plugin:

```python
# arbitrade_depth.py
from pydantic import BaseModel, Field

from arbitrade_core.domain import Ns, Plan
from arbitrade_core.hooks import PluginContext, hookimpl
from arbitrade_core.spi import DeskView, Refused, RiskCheck

ARBITRADE_API = {api}


class DepthSettings(BaseModel):
    min_levels: int = Field(3, ge=1, description="Fewest levels a leg's book must offer.")


class MinimumDepth:
    name = "minimum_depth"

    def __init__(self, min_levels: int) -> None:
        self._min_levels = min_levels

    def check(self, plan: Plan, desk: DeskView, now: Ns) -> Refused | None:
        for planned in plan.legs:
            levels = len(desk.depth(planned.leg.id))
            if levels < self._min_levels:
                return Refused(self.name, f"{{planned.leg}} offers {{levels}} levels, limit {{self._min_levels}}")
        return None


@hookimpl
def register_settings() -> type[BaseModel]:
    return DepthSettings


@hookimpl
def register_risk_checks(ctx: PluginContext[DepthSettings]) -> list[RiskCheck]:
    return [MinimumDepth(ctx.settings.min_levels)]
```

```toml
# its pyproject.toml
[project.entry-points."arbitrade.plugins"]
depth = "arbitrade_depth"
```

Once installed it is enabled, with the setting `ARBITRADE_DEPTH__MIN_LEVELS`; `ARBITRADE_PLUGINS` chooses among the
installed ones. An entry point in the group `arbitrade.plugins.experimental` must be named in
`ARBITRADE_EXPERIMENTAL` as well. A typer app or click command in the group `arbitrade.commands` becomes a command,
for which `arbitrade_core.commandline` has options, output, and a line to the running bot; and a module may offer
`doctor(ctx)`, an async generator of `hooks.Finding`, for `arbitrade doctor`.

`NEEDS = ("feed", "plugin:kraken")` in the module says what else must be in use: a plugin by name, or what some plugin
registers ({needs}).
Objects that several hooks hand over, such as a notifier that is also a service, are kept in `ctx.shared`.

An object that raises, or uses more CPU time than its budget, is quarantined alone
([plugins.md](plugins.md#quarantine)); a risk check then refuses everything. Nothing an object does may depend on a
clock, chance or I/O of its own, but for services and notifiers: time comes in as `now`.

Plugins run in the bot's process and are trusted code. They may import {modules}; everything else in
`arbitrade_core` is private and changes without notice.

This page is made from the code: `just docs`.
"""


def page() -> str:
    public = project()["tool"]["arbitrade"]["public-modules"]
    modules = ", ".join(f"`arbitrade_core.{name}`" for name in public)
    needs = ", ".join(f"`{kind}`" for kind in KINDS)
    return "\n".join([HEAD.format(api=API_VERSION, modules=modules, needs=needs), *(section(hook) for hook in HOOKS)])


def section(hook: str) -> str:
    function = getattr(HookSpecs, hook)
    text, _, example = (inspect.getdoc(function) or "").partition("\nExample:\n")
    signature = str(inspect.signature(function)).replace("self, ", "").replace("self", "")
    for module in ("collections.abc.", "arbitrade_core.hooks.", "arbitrade_core.spi.", "pydantic.main.", "typing."):
        signature = signature.replace(module, "")
    for label in ("Called:", "Order:", "An exception:"):
        text = text.replace(label, f"**{label}**")
    lines = [f"## {hook}{signature}".replace("[Any]", ""), "", text.strip(), "", "```python"]
    code = inspect.cleandoc(example).replace("\n\n@hookimpl", "\n\n\n@hookimpl")  # as `lint` wants code in pages, too
    return "\n".join([*lines, code, "```", ""])


if __name__ == "__main__":
    sys.stdout.write(page())
