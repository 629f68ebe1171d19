"""From the start of the process to every book live, over the simulated exchange, with a database that exists.

    python -m benchmarks.start [--pairs 200] [--runs 3]

Each run is a process of its own, which starts the embedded database server as well. A first run, which makes the
database, is not counted. The target is 3 s (200 pairs).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def main() -> None:
    parser = argparse.ArgumentParser(description="Process start to books live.")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        once(arguments.once)
        return
    from benchmarks.simulated import exchange  # noqa: PLC0415 - the measured process shows what importing costs

    with tempfile.TemporaryDirectory(prefix="arbitrade-start-") as data_dir, exchange(arguments.pairs) as url:
        runs = [timed(url, data_dir) for _ in range(1 + arguments.runs)][1:]
    figures = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    print(json.dumps({"pairs": arguments.pairs, "runs": arguments.runs, **figures}, indent=2))


def timed(url: str, data_dir: str) -> dict[str, float]:
    """Seconds since just before the process was made; the monotonic clock is the system's, not the process's."""
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, "-m", "benchmarks.start", "--once", url],
        env={**os.environ, "ARBITRADE_DATA_DIR": data_dir},
        stdout=subprocess.PIPE,
        check=True,
    )
    at = json.loads(done.stdout)
    return {"imported_s": at["imported"] - began, "books_live_s": at["live"] - began, "books": at["books"]}


def once(url: str) -> None:
    from arbitrade_core import runtime  # noqa: PLC0415
    from arbitrade_core.mode import Mode  # noqa: PLC0415
    from benchmarks.simulated import live  # noqa: PLC0415

    imported = time.monotonic()

    async def run() -> dict[str, float]:
        async with live(Mode.DEMO, url) as session:
            return {"imported": imported, "live": time.monotonic(), "books": len(session.engine.market.in_use())}

    print(json.dumps(runtime.start_loop(run)))


if __name__ == "__main__":
    main()
