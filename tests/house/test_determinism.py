"""Time, chance and ids come in from outside: what decides reads no clock and draws no lots (STYLE 9)."""

import ast
from collections.abc import Iterator

import pytest

from tests.house.repository import module_name, packages

OUTSIDE = (
    # the shell: it is what brings time in
    "arbitrade_core.shell",
    "arbitrade_core.transport",
    "arbitrade_core.runtime",
    "arbitrade_core.terminal",
    "arbitrade_core.cli",
    "arbitrade_core.commands",
    "arbitrade_core.storage",
    "arbitrade_core.control",
    "arbitrade_core.host",
    "arbitrade_core.shadow.follower",
    "arbitrade_core.shadow.process",
    "arbitrade_core.meter",
    # jobs and their processes; what a replay cost in CPU time
    "arbitrade_core.backtests",
    "arbitrade_core.replay.driver",
    "arbitrade_core.replay.sweep.cluster",
    "arbitrade_core.replay.sweep.pool",
    # the alerts' own threads, which tell time for deliveries
    "arbitrade_alerts.service",
    "arbitrade_alerts.verbs",
    # the author's kit measures, and guards against clocks
    "arbitrade_core.testing.budget",
    "arbitrade_core.testing.checking",
    "arbitrade_core.testing.guard",
    # `arbitrade fees`: nonces, and how old fees are
    "arbitrade_kraken.fee_command",
    "arbitrade_kraken.fee_process",
    # `arbitrade doctor`'s look at the exchange; the simulator's process, and its speed
    "arbitrade_kraken.plugin",
    "arbitrade_kraken.simulator.command",
    "arbitrade_kraken.simulator.rest",
    "arbitrade_kraken.simulator.server",
    "arbitrade_kraken.simulator.shape",
)
WALL_CLOCK = ("arbitrade_core.clock", "WallClock")

BANNED = {
    "time": frozenset({"gmtime", "strftime"}),
    "uuid": None,
    "secrets": None,
    "random": frozenset({"Random"}),
    "datetime": frozenset({"UTC", "date", "datetime", "time", "timedelta", "timezone"}),
    "os": frozenset({"PathLike", "environ", "fsdecode", "fsencode", "path"}),
}
"""By module: what may be used of it; None is nothing. What is safe with arguments alone is looked at below."""
OF_THE_MOMENT = frozenset({"now", "utcnow", "today"})


def deciding() -> Iterator[tuple[str, ast.Module]]:
    for package in packages():
        for path in sorted(package.rglob("*.py")):
            name = module_name(path, package)
            if not any(name == outside or name.startswith(f"{outside}.") for outside in OUTSIDE):
                yield name, ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "tree"), [pytest.param(name, tree, id=name) for name, tree in deciding()])
def test_what_decides_reads_no_clock_and_draws_no_lots(name: str, tree: ast.Module) -> None:
    assert list(wrongs(name, tree)) == []


def wrongs(name: str, tree: ast.Module) -> Iterator[str]:
    modules: dict[str, str] = {}
    skipped = {id(node) for one in ast.walk(tree) if is_wall_clock(name, one) for node in ast.walk(one)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules |= {alias.asname or alias.name: alias.name for alias in names if alias.name in BANNED}
            case ast.ImportFrom(module=str(module), names=names) if module in BANNED:
                allowed = BANNED[module] or frozenset()
                yield from (f"line {node.lineno}: {module}.{a.name}" for a in names if a.name not in allowed)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=attribute) if module in modules:
                if attribute not in (BANNED[modules[module]] or ()):
                    yield f"line {node.lineno}: {module}.{attribute}"
            case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in OF_THE_MOMENT:
                yield f"line {node.lineno}: .{attribute}()"
            case ast.Call(
                func=ast.Attribute(attr="Random" | "gmtime" as function) | ast.Name(id="Random" | "gmtime" as function),
                args=[],
            ):
                yield f"line {node.lineno}: {function}() without an argument"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr="strftime"), args=[_]) if (
                module in modules
            ):
                yield f"line {node.lineno}: {module}.strftime() of the moment"


def is_wall_clock(name: str, node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and (name, node.name) == WALL_CLOCK


@pytest.mark.parametrize(
    "source",
    [
        "import time\nnow = time.time_ns()",
        "from time import monotonic",
        "import datetime as dt\nnow = dt.datetime.now()",
        "from datetime import datetime\nnow = datetime.now(UTC)",
        "import random\nx = random.random()",
        "from random import Random\nx = Random()",
        "from uuid import uuid4",
        "import time\nnow = time.gmtime()",
        "import time\nnow = time.strftime('%H')",
        "import os\nx = os.urandom(8)",
        "import time\nclass WallClock:\n    def __call__(self): return time.time_ns()",
    ],
)
def test_the_ban_sees_each_way_around_it(source: str) -> None:
    assert list(wrongs("arbitrade_core.desk", ast.parse(source)))
