"""What telling people costs trading: the engine's hot path without a notifier, and with one whose endpoint is dead.

    python -m benchmarks.alerts [--json] [--rounds 15] [--frames 8000] [--every 200] [--pairs 1228] [--seed 7]

Each round is three blocks of frames: A without the plugin; B with the plugin and a new alert for every `--every`
frames, while a delivery hangs in its channel, a port that takes connections and never answers; then A again. A
frame's time holds the engine's step and the handing over of its alert. Machines are noisy, so what counts is the
ratio B / A beside what A / A does by itself. The CPU time of one attempt, which is the courier's and not the hot
path's, stands apart (`attempt_cpu_ms`): a dead channel is tried once a minute with the shipped settings.
"""

import argparse
import gc
import json
import logging
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import structlog
from pydantic import SecretStr

from arbitrade_alerts.messages import Kind, Message
from arbitrade_alerts.sender import DeliveryError, Outlet
from arbitrade_alerts.service import Alerts
from arbitrade_alerts.settings import AlertsSettings
from arbitrade_core.domain import Alert, Severity
from arbitrade_core.engine import Engine
from arbitrade_core.events import ConnId, Frame
from arbitrade_core.services import Verb
from benchmarks.hot_path import percentile
from benchmarks.load import build

SENDS = 2_000
ATTEMPTS = 21
REST_S = 0.2
"""Before each block, so that one's leftovers are not the next one's load."""
COLD_FRAMES = 1_000
"""Of each block, not counted: after a rest the caches are cold, whatever is measured."""


class Host:
    """`services.ServiceHost` for a service that only offers verbs."""

    def offer(self, verb: str, answer: Verb) -> None:
        """Nobody asks here."""

    async def call(self, verb: str, parameters: Any, actor: str) -> Any:
        raise AssertionError("the plugin asks the bot nothing")

    def alert(self, severity: Severity, topic: str, text: str) -> None:
        raise AssertionError("the plugin tells nobody through itself")

    def pool(self) -> AbstractAsyncContextManager[Any]:
        raise AssertionError("the plugin has no tables")


def main() -> int:
    parser = argparse.ArgumentParser(description="The hot path beside a dead alert channel.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--frames", type=int, default=8_000, help="book updates in a block")
    parser.add_argument("--every", type=int, default=200, help="frames for each alert")
    parser.add_argument("--pairs", type=int, default=1228)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    # What the plugin says of its dead channel is not what is measured.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    result = anyio.run(run, arguments.rounds, arguments.frames, arguments.every, arguments.pairs, arguments.seed)
    width = max(map(len, result))
    print(
        json.dumps(result, indent=2)
        if arguments.json
        else "\n".join(f"{name:<{width}}  {value}" for name, value in result.items())
    )
    return 0


async def run(rounds: int, frames: int, every: int, pairs: int, seed: int) -> dict[str, object]:
    warm = 2 * frames
    load = build(warm + rounds * 3 * frames, pairs=pairs, seed=seed, mispricings_per_s=0.0)
    coming = iter(load.updates)
    timed(load.engine, [next(coming) for _ in range(warm)], every, _nobody)
    gc.collect()
    gc.freeze()
    gc.disable()
    before, beside, after, per_second, sends = [], [], [], [], []
    with black_hole() as port:
        for _ in range(rounds):
            blocks = [[next(coming) for _ in range(frames)] for _ in range(3)]
            await anyio.sleep(REST_S)
            before.append(timed(load.engine, blocks[0], every, _nobody))
            await anyio.sleep(REST_S)
            alerts = Alerts(settings(port))
            async with alerts.run(Host()):
                alerts.send(Alert(Severity.WARNING, "feed.lag", "hangs from here on", 0))
                await anyio.sleep(REST_S)
                began = time.perf_counter()
                beside.append(timed(load.engine, blocks[1], every, alerts.send))
                per_second.append(frames / every / (time.perf_counter() - began))
                sends += send_ns(alerts)
            await anyio.sleep(REST_S)
            after.append(timed(load.engine, blocks[2], every, _nobody))
    gc.enable()
    sends.sort()
    return {
        "rounds": rounds,
        "frames_per_block": frames,
        "alerts_per_s": round(statistics.median(per_second)),
        **{f"{name}_mean_us": round(statistics.median(map(mean, blocks)), 2) for name, blocks in named(before, beside)},
        **{f"{name}_p99_us": round(statistics.median(map(p99, blocks)), 2) for name, blocks in named(before, beside)},
        **compared("mean", before, beside, after, mean),
        **compared("p99", before, beside, after, p99),
        "send_us_p50": percentile(sends, 50),
        "send_us_p99": percentile(sends, 99),
        "attempt_cpu_ms": attempt_cpu_ms(),
    }


def named[T](before: T, beside: T) -> list[tuple[str, T]]:
    return [("without", before), ("with_dead_channel", beside)]


def compared(
    name: str,
    before: list[list[int]],
    beside: list[list[int]],
    after: list[list[int]],
    figure: Callable[[list[int]], float],
) -> dict[str, object]:
    """Medians and quartiles over rounds: B to the A around it, and one A to the other."""
    ratios = sorted(2 * figure(b) / (figure(a1) + figure(a2)) for a1, b, a2 in zip(before, beside, after, strict=True))
    noise = sorted(figure(a2) / figure(a1) for a1, a2 in zip(before, after, strict=True))
    return {
        f"{name}_ratio": round(statistics.median(ratios), 3),
        f"{name}_ratio_quartiles": quartiles(ratios),
        f"{name}_a_to_a": round(statistics.median(noise), 3),
        f"{name}_a_to_a_quartiles": quartiles(noise),
    }


def quartiles(ordered: list[float]) -> list[float]:
    return [round(ordered[len(ordered) // 4], 3), round(ordered[len(ordered) * 3 // 4], 3)]


def mean(block: list[int]) -> float:
    return statistics.fmean(block) / 1000


def p99(block: list[int]) -> float:
    return percentile(sorted(block), 99)


def timed(
    engine: Engine, frames: list[tuple[ConnId, bytes, int]], every: int, send: Callable[[Alert], None]
) -> list[int]:
    """Nanoseconds for each frame but the first; every so many come with an alert that has not been seen before."""
    step, clock = engine.step, time.perf_counter_ns
    samples = []
    for number, (conn, data, now) in enumerate(frames):
        alert = Alert(Severity.WARNING, "feed.lag", f"late by {now} ns", now) if number % every == 0 else None
        began = clock()
        step(Frame(conn, data, now))
        if alert is not None:
            send(alert)
        samples.append(clock() - began)
    return samples[COLD_FRAMES:]


def send_ns(alerts: Alerts) -> list[int]:
    """One `send` at a time, while the plugin is at work on those before."""
    samples = []
    for number in range(SENDS):
        alert = Alert(Severity.INFO, "feed.lag", f"late {number}", number)
        began = time.perf_counter_ns()
        alerts.send(alert)
        samples.append(time.perf_counter_ns() - began)
    return samples


def attempt_cpu_ms() -> float:
    """CPU time of one attempt at a port that refuses."""
    outlet = Outlet("refused", "json://127.0.0.1:9/hook", 1.0, ZoneInfo("UTC"))
    message = Message(Kind.ALERT, Severity.WARNING, "feed.lag", "late", 0, 1)
    took = []
    for _ in range(ATTEMPTS):
        began = time.thread_time_ns()
        with suppress(DeliveryError):
            outlet.send(message)
        took.append((time.thread_time_ns() - began) / 1e6)
    return round(statistics.median(took), 2)


def settings(port: int) -> AlertsSettings:
    return AlertsSettings(
        channels=SecretStr(f"dead=json://127.0.0.1:{port}/hook"),
        routes=("info * -> *",),
        timeout_s=2,
        retry_first_s=1,
        retry_max_s=1,
    )


@contextmanager
def black_hole() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        port: int = listener.getsockname()[1]
        yield port


def _nobody(alert: Alert) -> None:
    """Where alerts go without a notifier."""


if __name__ == "__main__":
    sys.exit(main())
