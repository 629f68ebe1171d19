"""A demo with a shadow, as a process: `python -m tests.shadow.demo PYTHON SECONDS [SEED]`. Prints its summary."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from arbitrade_core import runtime
from arbitrade_core.commands.shadow import shadow_summary
from arbitrade_core.report import summary
from arbitrade_kraken.demo import _configured, _exchange, _Market


async def demo(python: Path, seconds: float, seed: int) -> dict[str, Any]:
    stop = anyio.Event()
    async with runtime.stop_on_signals(stop), _exchange(_Market(seed, 40, 300.0, 4.0)) as url:
        async with runtime.demo_session(partial(_configured, url), summary, python) as session:
            with anyio.move_on_after(seconds):
                await stop.wait()
        alerts = [f"{alert.topic}: {alert.text}" for alert in session.shell.alerts]
        return {**summary(session), **shadow_summary(session), "alerts": alerts}


def main() -> None:
    python, seconds, *rest = sys.argv[1:]
    told = runtime.start_loop(demo, Path(python), float(seconds), int(rest[0]) if rest else 7)
    print(json.dumps(told, default=str))


if __name__ == "__main__":
    main()
