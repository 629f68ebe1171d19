"""Resolves all dependencies anew and writes what came out as constraints into pyproject.toml (docs/adr/0006).

Run it as `just pins`. It needs uv, and the network.
"""

import os
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
UV = os.environ.get("UV", "uv")


def main() -> None:
    text = PROJECT.read_text()
    project = tomllib.loads(text)
    with tempfile.TemporaryDirectory() as folder:
        free = text
        for name in ("constraint-dependencies", "build-constraint-dependencies"):
            free = with_list(free, name, [])
        Path(folder, "pyproject.toml").write_text(free)
        exported = uv(
            "export", "--directory", folder, "--all-extras", "--all-groups", "--no-emit-project", "--no-hashes"
        )
        built = uv("pip", "compile", "--no-annotate", "-", given="\n".join(project["build-system"]["requires"]))
    text = with_list(text, "constraint-dependencies", requirements(exported))
    PROJECT.write_text(with_list(text, "build-constraint-dependencies", requirements(built)))


def uv(*arguments: str, given: str = "") -> str:
    command = [UV, *arguments, "--no-header", "--quiet"]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout  # noqa: S603


def requirements(exported: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in exported.splitlines())
    return [line for line in lines if line]


def with_list(text: str, name: str, items: list[str]) -> str:
    """The same file with this list of `[tool.uv]` replaced."""
    body = "".join(f'    "{item}",\n' for item in items)
    replaced, count = re.subn(rf"^{name} = \[[^\]]*\]$", f"{name} = [\n{body}]", text, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"pyproject.toml: there must be one `{name} = [...]` under [tool.uv], found {count}")
    return replaced


main()
