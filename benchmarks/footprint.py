"""What the engine holds in memory once every book is live, as the growth of the process's resident memory.

python -m benchmarks.footprint [--pairs 1228]
"""

import argparse
import gc
import json
from pathlib import Path

import anyio

from arbitrade_core.mode import Mode
from benchmarks.simulated import exchange, live


def resident_mb() -> float:
    """Of this process, from Linux's account of it."""
    gc.collect()
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


async def measure(url: str) -> dict[str, float]:
    before = resident_mb()
    async with live(Mode.SCAN, url, everything=True, messages_per_s=1000.0) as session:
        after = resident_mb()
        return {
            "books_live": len(session.engine.market.in_use()),
            "imported_mb": round(before, 1),
            "live_mb": round(after, 1),
            "growth_mb": round(after - before, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of an engine with every book live.")
    parser.add_argument("--pairs", type=int, default=1228)
    with exchange(parser.parse_args().pairs) as url:
        print(json.dumps(anyio.run(measure, url), indent=2))


if __name__ == "__main__":
    main()
