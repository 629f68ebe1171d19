"""`arbitrade status`, `halt` and `resume`: words to the running bot, with or without its database."""

from typing import Annotated

import anyio
import typer

from arbitrade_core.commands.console import DemoOption, JsonOption, print_json
from arbitrade_core.composition import core_settings
from arbitrade_core.control import call


def status(demo: DemoOption = False) -> None:
    """Show what the running bot says of itself, as JSON."""
    core = core_settings()
    print_json(anyio.run(lambda: call(core, "status", demo=demo)))


def halt(
    reason: Annotated[str, typer.Option(help="Why, for the journal and whoever reads it.")] = "ordered",
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the running bot from sending anything new, at once. It stays halted over restarts until `resume`."""
    core = core_settings()
    answer = anyio.run(lambda: call(core, "halt", {"reason": reason}, demo=demo))
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"halted: {answer['halted']}")


def resume(demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Clear the halts of the running bot, its desks' included."""
    core = core_settings()
    answer = anyio.run(lambda: call(core, "resume", demo=demo))
    if as_json:
        print_json(answer)
    else:
        typer.echo("resumed after: " + "; ".join(answer["was"]) if answer["was"] else "it was not halted")
