"""What a shadow costs the bot: blocks of frames with and without, in turns, in one run.

    python -m tests.shadow.cost [--pairs 300] [--blocks 30]

`on_frame` is what the trading thread waits, `cpu` is all threads of the bot's process, encoding included. The shadow is
a real process that drains its pipe. Machines are noisy: quote the median of the paired ratios.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from arbitrade_core.composition import Past, load
from arbitrade_core.shadow.leader import Shadow, hello
from arbitrade_core.shell import Shell
from arbitrade_core.transport import opener
from benchmarks.load import build
from tests.shadow.processes import environment

BLOCK = 1_000
TOGETHER = 16
"""frames in one turn of the event loop"""


def main() -> None:
    parser = argparse.ArgumentParser(description="What a shadow costs the bot.")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--blocks", type=int, default=30)
    arguments = parser.parse_args()
    print(anyio.run(measured, arguments.pairs, arguments.blocks))


async def measured(pairs: int, blocks: int) -> str:
    ready = build(2 * blocks * BLOCK, pairs=pairs, seed=7, mispricings_per_s=0.0)
    clock = _Clock()
    shell = Shell(ready.engine, clock, opener(), _no_fees)
    start = hello(load(), now=ready.engine.now, desk_id="bench", system="system", halted=None, past=Past())
    shadow = Shadow(Path(sys.executable), environment())
    waits: list[float] = []
    cpus: list[float] = []
    plain_us: list[float] = []
    async with shadow.beside(start, {}):
        shadow.attach(shell, None)
        shell.untap(shadow.tap)
        for block in range(blocks):
            taken = []
            for number, with_tap in enumerate((False, True) if block % 2 else (True, False)):
                at = (2 * block + number) * BLOCK
                updates = ready.updates[at : at + BLOCK]
                taken.append((with_tap, await _block(shell, clock, shadow, updates, with_tap)))
            times = dict(taken)
            waits.append(times[True][0] / times[False][0])
            cpus.append(times[True][1] / times[False][1])
            plain_us.append(times[False][1] / BLOCK * 1e6)
    report = shadow.report()
    assert report["ended"] is None, report["ended"]
    return (
        f"{blocks} times {BLOCK} frames each way, {pairs} pairs; {statistics.median(plain_us):.1f} us CPU a frame"
        f" without; on_frame x {statistics.median(waits):.3f}"
        f" (quartiles {_quartiles(waits)}), cpu x {statistics.median(cpus):.3f} (quartiles {_quartiles(cpus)});"
        f" {report['inputs']} inputs told, {report['behind']} behind"
    )


async def _block(
    shell: Shell, clock: "_Clock", shadow: Shadow, frames: Sequence[tuple[int, bytes, int]], with_tap: bool
) -> tuple[float, float]:
    """Seconds in `on_frame`, and CPU seconds until the writing thread is through."""
    waited = 0.0
    if with_tap:
        shell.tap(shadow.tap)
    cpu = time.process_time()
    for at in range(0, len(frames), TOGETHER):
        began = time.perf_counter()
        for conn, data, clock.now in frames[at : at + TOGETHER]:
            shell.on_frame(conn, data)
        waited += time.perf_counter() - began
        await asyncio.sleep(0)
    if with_tap:
        shell.untap(shadow.tap)
        shadow.flush()
        while shadow._process.fed < shadow._seq:  # noqa: ASYNC110 - a thread has no event
            await anyio.sleep(0.001)
    return waited, time.process_time() - cpu


class _Clock:
    """The load's own time."""

    now = 0

    def __call__(self) -> int:
        return self.now


def _no_fees(pairs: Any, now: int) -> Any:
    raise AssertionError("the load has its fees")


def _quartiles(ratios: list[float]) -> str:
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{low:.3f} - {high:.3f}"


if __name__ == "__main__":
    main()
