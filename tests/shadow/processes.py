"""Interpreters that are none, or another one's: what `--shadow` may be pointed at."""

import os
import shutil
import stat
import sys
from pathlib import Path

import arbitrade_triangular
from arbitrade_core.composition import Past, load
from arbitrade_core.shadow.leader import hello
from arbitrade_core.shadow.wire import Hello

PREAMBLE = "import sys, time\nfrom arbitrade_core.shadow.wire import Failed, Ready, framed\nout = sys.stdout.buffer\n"
READY = "out.write(framed(Ready({'arbitrade': '9.9'})))\nout.flush()\n"


def python(folder: Path, name: str, text: str) -> Path:
    """A stand-in for an interpreter that does `text`, in Python, whatever it is asked to run."""
    script = folder / name
    script.write_text(f"#!{sys.executable}\n{PREAMBLE}{text}")
    return _executable(script)


def with_path(folder: Path, name: str, place: Path) -> Path:
    """This environment's interpreter with another folder of packages before all others."""
    script = folder / name
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{place}" exec "{sys.executable}" "$@"\n')
    return _executable(script)


def other_triangular(folder: Path, text: str) -> Path:
    """A folder with a version of the triangular plugin whose detector is `Other`, as `text` makes it."""
    (package,) = arbitrade_triangular.__path__
    shutil.copytree(package, folder / "arbitrade_triangular", ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "arbitrade_triangular" / "plugin.py").open("a") as plugin:
        plugin.write(f"\n{text}\n\n@hookimpl\ndef register_detectors():\n    return [Other()]\n")
    return folder


def environment(**settings: str) -> dict[str, str]:
    """What a follower inherits: nothing of ours but these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ARBITRADE_")} | settings


def a_hello() -> Hello:
    return hello(load(), now=1_700_000_000_000_000_000, desk_id="desk", system="system", halted=None, past=Past())


def _executable(script: Path) -> Path:
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script
