"""A new plugin from a template: an installable package that works, with settings, tests and a page.

The templates are package data: files that end in `.tmpl`, with words between @ signs for what differs.
"""

import keyword
import re
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from arbitrade_core.errors import PluginError
from arbitrade_core.plugins.catalogue import installed
from arbitrade_core.settings import CoreSettings

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SUFFIX = ".tmpl"
_TESTS = "test_plugin.py"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a template makes, in the words of its README."""

    word: str
    what: str
    settings: dict[str, str] = field(default_factory=dict)
    """by field"""
    use: str = ""
    check: str = ""
    """what `arbitrade plugins check` must be told for the plugin to register anything"""
    depends: tuple[str, ...] = ()
    """beside arbitrade and pydantic"""


KINDS: dict[str, Kind] = {
    "risk": Kind(
        "the risk check",
        "Refuses plans over books whose spread is wide.",
        {"max_spread_bps": "Widest spread that a leg's book may have, in basis points; 50."},
        "Nothing trades over a wide spread from then on; `arbitrade status` counts its refusals.",
    ),
    "detector": Kind(
        "the detector",
        "Watches cycles that you name, of any length.",
        {"cycles": "Cycles to watch, separated by commas, such as `+BTC/USD +ETH/BTC -ETH/USD`."},
        "It finds its cycles beside those that other detectors find.",
    ),
    "feed": Kind(
        "the feed",
        "Market data from lines of quotes, live or played from a file.",
        {
            "url": "The WebSocket that sends lines.",
            "reconnect_ms": "Pause before a lost connection is asked for again.",
        },
        "The module's docstring says what a line looks like. Any server that sends the lines of a file plays it.",
        depends=("msgspec>=0.20",),
    ),
    "venue": Kind(
        "the venue",
        "Paper trading without latency: the most that speed could bring.",
        use="`ARBITRADE_TRADING__VENUE=@NAME@ arbitrade run` trades on it.",
    ),
    "executor": Kind(
        "the executor",
        "Carries cycles out leg by leg, and halts the desk at the first leg that falls short.",
        use="The catalogue's first executor that takes a kind of plans gets them, and the core's takes cycles.\n"
        "This one gets them where the core's is not asked, as in simulations that bring their executors themselves.",
    ),
    "notifier": Kind(
        "the notifier",
        "Appends alerts to a file, one JSON object a line.",
        {"path": "The file; not set: none is written.", "queue": "Most alerts that wait to be written; 1000."},
        "Set the path, and every alert is a line of that file.",
        " --set path=/tmp/alerts.ndjson",
    ),
}


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What was written, and the names it has."""

    folder: Path
    name: str
    distribution: str
    package: str
    files: tuple[Path, ...]


def scaffold(name: str, kind: str, folder: Path) -> Scaffold:
    """Write a new plugin into `folder`/arbitrade-<name>.

    Args:
        name: the plugin's: its entry point, its settings section, its object's name.
        kind: one of `KINDS`.

    Raises:
        PluginError: the name or the kind cannot be, or the folder is there already; nothing was written.
    """
    _refuse_name(name)
    if kind not in KINDS:
        raise PluginError(f"there is no kind {kind!r} of plugins to start from; there are {', '.join(KINDS)}")
    package = f"arbitrade_{name}"
    distribution = package.replace("_", "-")
    target = folder / distribution
    if target.exists():
        raise PluginError(f"{target} is there already; choose another name or another --dir, nothing was written")
    words = _words(name, distribution, package, KINDS[kind])
    templates = files(__package__) / "templates"
    texts: dict[Path, str] = {}
    for source in (*(templates / "common").iterdir(), *(templates / kind).iterdir()):
        if source.name.endswith(_SUFFIX):
            texts[_place(source.name.removesuffix(_SUFFIX), name, package)] = _filled(source, words)
    for path, text in sorted(texts.items()):
        whole = target / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(text, encoding="utf-8")
    return Scaffold(target, name, distribution, package, tuple(sorted(texts)))


def _refuse_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise PluginError(f"{name!r} cannot name a plugin; write lower-case letters, digits and single underscores")
    if name in CoreSettings.model_fields or keyword.iskeyword(name):
        raise PluginError(f"{name!r} cannot name a plugin: it is a section of the core's settings, or a word of Python")
    taken = next((entry for entry in installed() if entry.name == name), None)
    if taken is not None:
        raise PluginError(f"{name!r} cannot name a plugin: {taken.origin} brings one of that name; choose another")


def _place(file: str, name: str, package: str) -> Path:
    """Where a template's file belongs in the new project."""
    if file == _TESTS:
        return Path("tests") / f"test_{name}.py"
    return Path(file) if file in ("pyproject.toml", "README.md") else Path("src") / package / file


def _words(name: str, distribution: str, package: str, kind: Kind) -> dict[str, str]:
    prefix = f"ARBITRADE_{name.upper()}__"
    rows = [f"| `{prefix}{field.upper()}` | {what} |" for field, what in kind.settings.items()]
    return {
        "@WHAT@": kind.what,
        "@KIND@": kind.word,
        "@USE@": kind.use,
        "@CHECK@": kind.check,
        "@DEPENDS@": "".join(f', "{one}"' for one in kind.depends),
        "@SETTINGS@": "\n".join(rows) or "| none | |",
        "@NAME@": name,
        "@DIST@": distribution,
        "@PACKAGE@": package,
    }


def _filled(source: Traversable, words: dict[str, str]) -> str:
    text = source.read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(word, value)
    return text
