"""What the repository says: no host of a package registry, no path of somebody's machine, no dead link."""

import re
from pathlib import Path

import pytest

from tests.house.repository import PAGES, ROOT, files

# Put together here, so that this file does not hold what it looks for.
HOSTS = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("docker", "io"))]
HOSTS += [".".join(parts) for parts in (("ghcr", "io"), ("quay", "io"), ("npmjs", "com"), ("conda", "io"))]
MACHINE = re.compile(
    "|".join(("/ro" + "ot/", "/wo" + "rk/", "/ho" + r"me/\w", r"/Use" + r"rs/\w", r"[A-Z]:\\" + "Users"))
)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def texts() -> list[tuple[Path, str]]:
    paths = files()
    if paths is None:
        pytest.skip("not a git checkout, so there is no list of its files")
    return [(path, path.read_text(encoding="utf-8")) for path in paths]


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {found}"
        for path, text in texts()
        for found in (*(host for host in HOSTS if host in text), *MACHINE.findall(text))
    ]
    assert wrong == []


def test_the_lock_file_stays_out() -> None:
    assert ROOT / "uv.lock" not in {path for path, _ in texts()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    dead = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert dead == []
