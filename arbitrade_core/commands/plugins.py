"""`arbitrade plugins`."""

import typer

from arbitrade_core.commands.console import JsonOption, print_json, print_table
from arbitrade_core.plugins import load_catalogue

app = typer.Typer(no_args_is_help=True, help="Installed plugins.")


@app.command("list")
def list_plugins(as_json: JsonOption = False) -> None:
    """Show every installed plugin: state, version, hooks, last error."""
    catalogue = load_catalogue()
    catalogue.settings()
    if as_json:
        print_json(catalogue.entries)
        return
    print_table(
        ("plugin", "state", "distribution", "API", "hooks"),
        [
            (entry.name, entry.state.value, entry.origin, entry.api_version, _short(entry.hooks))
            for entry in catalogue.entries
        ],
        right=("API",),
    )
    for entry in catalogue.entries:
        if entry.last_error:
            typer.echo(f"\n{entry.name}: {entry.last_error}")


def _short(hooks: tuple[str, ...]) -> str:
    return ", ".join(hook.removeprefix("register_") for hook in hooks)
