"""`arbitrade plugins new`."""

from pathlib import Path
from typing import Annotated

import typer

from arbitrade_core.commands.console import JsonOption, print_json
from arbitrade_core.scaffold import KINDS, scaffold

Name = Annotated[str, typer.Argument(help="Name of the plugin: lower-case letters, digits, single underscores.")]
KindOption = Annotated[str, typer.Option("--kind", help=f"What it brings: {', '.join(KINDS)}.")]
Folder = Annotated[Path, typer.Option("--dir", help="Where the new folder is made.")]


def new_plugin(name: Name, kind: KindOption, folder: Folder = Path(), as_json: JsonOption = False) -> None:
    """Write a new plugin: an installable package of that kind that works, with settings, tests and a README."""
    made = scaffold(name, kind, folder)
    if as_json:
        print_json(
            {
                "folder": str(made.folder),
                "name": made.name,
                "distribution": made.distribution,
                "package": made.package,
                "files": [path.as_posix() for path in made.files],
            }
        )
        return
    typer.echo(f"{made.folder}:")
    for path in made.files:
        typer.echo(f"  {path.as_posix()}")
    typer.echo(f"\nNext: cd {made.folder} && pip install -e '.[dev]' && pytest")
    typer.echo(f"      arbitrade plugins check {made.distribution}{KINDS[kind].check}")
