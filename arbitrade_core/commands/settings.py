"""`arbitrade settings`."""

from typing import Annotated

import typer
from pydantic import BaseModel

from arbitrade_core.commands.console import JsonOption, print_json, print_table
from arbitrade_core.plugins import Catalogue, import_plugin, load_catalogue
from arbitrade_core.settings import CoreSettings, allowed, default, markdown, written

app = typer.Typer(no_args_is_help=True, help="Settings in force.")


@app.command("list")
def list_settings(
    as_json: JsonOption = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference of all settings, docs/settings.md.")
    ] = False,
) -> None:
    """Show every setting: its variable, its value (secrets hidden), and where the value comes from."""
    if as_json and as_markdown:
        raise typer.BadParameter("--json and --markdown exclude each other")
    catalogue = load_catalogue()
    if as_markdown:
        typer.echo(reference(catalogue), nl=False)
        return
    settings = catalogue.settings()
    rows = [
        {
            "variable": variable.name,
            "value": written("(hidden)" if variable.secret and value is not None else value),
            "origin": settings.origin(variable),
            "default": default(variable),
            "allowed": allowed(variable),
            "secret": variable.secret,
            "description": variable.field.description or "",
        }
        for variable in settings.variables
        for value in (settings.value(variable),)
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(("variable", "value", "origin"), [(row["variable"], row["value"], row["origin"]) for row in rows])


def reference(catalogue: Catalogue) -> str:
    """docs/settings.md: the core's settings and those of the plugins that come with it."""
    models: dict[str, type[BaseModel]] = {"": CoreSettings}
    for entry in catalogue.entries:
        if entry.distribution == "arbitrade":  # one that is not enabled has its settings all the same
            model = catalogue.models.get(entry.name) or import_plugin(catalogue.point(entry.name), entry.who).model
            models.update({} if model is None else {entry.name: model})
    return markdown(models)
