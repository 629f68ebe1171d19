"""`arbitrade alerts`: test the channels, and see and acknowledge alerts of the running bot."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer

from arbitrade_alerts.messages import span
from arbitrade_alerts.service import SteadyClock
from arbitrade_alerts.settings import AlertsSettings
from arbitrade_alerts.verbs import choose, probe
from arbitrade_core.commandline import JsonOption, ask, plugin_settings, print_json, print_table

app = typer.Typer(name="alerts", no_args_is_help=True, help="Alerts to people: test channels, list and acknowledge.")

Demo = Annotated[bool, typer.Option("--demo", help="Ask the running demo.")]


@app.command()
def test(
    channel: Annotated[str | None, typer.Option(help="This channel alone. Not set: each one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a test message to each channel. Needs no running bot. The exit code is 1 when one fails."""
    settings = plugin_settings("alerts", AlertsSettings)
    outlets = choose(settings.outlets(), channel)
    clock = SteadyClock()
    with ThreadPoolExecutor(len(outlets)) as threads:
        results = list(threads.map(lambda outlet: probe(outlet, clock()), outlets))
    if as_json:
        print_json({"channels": results})
    else:
        for result in results:
            typer.echo(f"{result['channel']}: {'ok' if result['ok'] else 'failed: ' + result['reason']}")
    if not all(result["ok"] for result in results):
        raise typer.Exit(1)


@app.command("list")
def list_open(demo: Demo = False, as_json: JsonOption = False) -> None:
    """Show critical alerts of the running bot that nobody acknowledged."""
    answer = ask("alerts.list", demo=demo)
    if as_json:
        print_json(answer)
    elif not answer["open"]:
        typer.echo("nothing is open")
    else:
        print_table(
            ("id", "age", "topic", "text", "repeated", "escalated"),
            [
                (one["id"], span(one["age_s"] * 10**9), one["topic"], one["text"], one["repeats"], one["escalated"])
                for one in answer["open"]
            ],
            right=("repeated", "escalated"),
        )


@app.command()
def ack(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")],
    demo: Demo = False,
    as_json: JsonOption = False,
) -> None:
    """Acknowledge an alert of the running bot: it is not escalated any more."""
    answer = ask("alerts.ack", {"id": id_}, demo=demo)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"acknowledged {answer['id']}: {answer['topic']}: {answer['text']}")


@app.command()
def status(demo: Demo = False, as_json: JsonOption = False) -> None:
    """Show what became of the running bot's alerts, by channel."""
    answer = ask("alerts.status", demo=demo)
    if as_json:
        print_json(answer)
        return
    figures = ("taken", "repeated", "unrouted", "open", "acknowledged", "queued", "overflowed")
    typer.echo(", ".join(f"{answer[name]} {name}" for name in figures))
    if answer["faults"]:
        typer.echo(f"{answer['faults']} turns of the alerts thread failed, the last with {answer['last_fault']}")
    columns = ("name", "messages", "taken", "delivered", "waiting", "dropped", "failures", "last_failure")
    print_table(
        [column.replace("_", " ") for column in columns],
        [[one[column] for column in columns] for one in answer["channels"]],
        right=columns[1:7],
    )
