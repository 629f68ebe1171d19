"""`arbitrade plugins check`."""

from typing import Annotated, Any

import typer

from arbitrade_core.commands.console import JsonOption, print_json, print_table
from arbitrade_core.testing.checking import Examined, check_distribution
from arbitrade_core.testing.contracts import Verdict

Distribution = Annotated[str, typer.Argument(help="An installed distribution, by its name on the package index.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="A setting of the plugin, above those in force; again for more."),
]
Budget = Annotated[bool, typer.Option("--budget", help="Let rules fail whose object is over its budget of CPU time.")]


def check_plugin(
    distribution: Distribution, sets: Sets = None, budget: Budget = False, as_json: JsonOption = False
) -> None:
    """Run the contract tests on what a distribution's plugins register, enabled or not. Exit 1: a rule is broken."""
    examined: list[Examined] = []
    for one in check_distribution(distribution, sets or (), judges_cost=budget):
        examined.append(one)
        if not as_json:
            _print(one)
    if as_json:
        print_json(
            {"distribution": distribution, "ok": not _failed(examined), "objects": [_plain(one) for one in examined]}
        )
    else:
        typer.echo(_summary(distribution, examined))
    if _failed(examined):
        raise typer.Exit(1)


def _print(one: Examined) -> None:
    typer.echo(f"{one.plugin}: {one.kind} {one.name}")
    rows = [(result.number, result.what, _words(result.verdict, result.reason)) for result in one.results]
    print_table(("rule", "what", "verdict"), rows)
    typer.echo("")


def _words(verdict: Verdict, reason: str) -> str:
    return f"{verdict.value}: {reason}" if reason else verdict.value


def _summary(distribution: str, examined: list[Examined]) -> str:
    if not examined:
        return f"{distribution}: its plugins register nothing, with these settings, that a contract speaks of"
    counts = {
        verdict: sum(result.verdict is verdict for one in examined for result in one.results) for verdict in Verdict
    }
    return f"{distribution}: {len(examined)} objects; rules " + ", ".join(
        f"{verdict.value} {count}" for verdict, count in counts.items()
    )


def _failed(examined: list[Examined]) -> bool:
    return any(one.failed for one in examined)


def _plain(one: Examined) -> dict[str, Any]:
    return {"plugin": one.plugin, "kind": one.kind, "name": one.name, "rules": list(one.results)}
