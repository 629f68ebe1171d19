"""`arbitrade` in a process: `python -m tests.backtests.command backtest list`."""

import typer.main

from arbitrade_core import cli
from arbitrade_core.commands import backtest

if "backtest" not in {group.name for group in cli.app.registered_groups}:
    cli.app.add_typer(backtest.app, name="backtest")

if __name__ == "__main__":
    cli.main()

__all__ = ["typer"]
