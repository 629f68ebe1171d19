"""`arbitrade shadow`: what another version beside the running bot decides, and the option that starts one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from arbitrade_core.commands.console import DemoOption, JsonOption, print_json
from arbitrade_core.composition import core_settings
from arbitrade_core.control import call
from arbitrade_core.runtime import Session

app = typer.Typer(help="Another version of the bot beside the running one, fed the same inputs.", no_args_is_help=True)

ShadowOption = Annotated[
    Path | None,
    typer.Option(
        "--shadow",
        metavar="PYTHON",
        help="Python of another environment: its version of the bot runs beside this one, on the same inputs and on "
        "paper alone, and their decisions are compared.",
    ),
]


@app.callback()
def shadow() -> None:
    """Keeps `status` a command of its own."""


@app.command()
def status(demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show how far the shadow agrees with the running bot, and where it does not."""
    core = core_settings()
    report = anyio.run(lambda: call(core, "shadow.status", demo=demo))
    if as_json:
        print_json(report)
    else:
        _print(report)


def shadow_summary(session: Session) -> dict[str, Any]:
    """The part `shadow` of a session's summary; nothing when it had none."""
    return {} if session.shadow is None else {"shadow": session.shadow.report()}


def print_shadow(session: Session) -> None:
    """The same for people."""
    if session.shadow is not None:
        typer.echo("")
        _print(session.shadow.report())


def _print(report: Mapping[str, Any]) -> None:
    for line in words(report):
        typer.echo(line)


def words(report: Mapping[str, Any]) -> list[str]:
    """A report in lines."""
    share = report["same_share"]
    lines = [
        f"shadow        {report['python']}",
        f"versions      {_versions(report['shadow_versions'], report['bot_versions'])}",
        f"inputs        {report['through_seq']:,} compared, {report['behind']:,} behind",
        f"decisions     {report['compared']:,} compared, {'none yet' if share is None else f'{share:.2%}'} the same",
        f"              {report['different']:,} different, {report['only_bot']:,} of the bot alone, "
        f"{report['only_shadow']:,} of the shadow alone",
        f"candidates    {report['candidates']['bot']:,} of the bot, {report['candidates']['shadow']:,} of the shadow",
    ]
    if report["first_differing_field"]:
        fields = ", ".join(f"{name} {count:,}" for name, count in report["first_differing_field"].items())
        lines.append(f"differ first  {fields}")
    for name, title in (
        ("plugins_missing", "missing there"),
        ("plugins_extra", "there alone"),
        ("unknown_settings", "unknown there"),
    ):
        if report[name]:
            lines.append(f"{title:13} {', '.join(report[name])}")
    lines += [f"out of use    {plugin}: {reason}" for plugin, reason in report["quarantined"].items()]
    astray = report["astray"]
    if astray and astray["example"]:
        counts = ", ".join(f"{name} {count}" for name, count in astray.items() if name != "example" and count)
        lines.append(f"astray        {counts}; last: {astray['example']}")
    if report["ended"]:
        lines.append(f"ended         {report['ended']}")
    return lines


def _versions(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """What it runs, and what the bot runs where that is another."""
    told = [
        f"{name} {version}" + (f" (bot: {ours.get(name, 'none')})" if ours.get(name) != version else "")
        for name, version in theirs.items()
    ]
    return ", ".join(told) or "not told"
