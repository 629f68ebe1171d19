"""The lists in pyproject.toml that say who may import whom are complete. `lint-imports` holds the rules."""

import ast
import sys
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement

from tests.house.repository import ROOT, packages, project

CONTRACTS: dict[str, Any] = {each["name"]: each for each in project()["tool"]["importlinter"]["contracts"]}
PUBLIC = set(project()["tool"]["arbitrade"]["public-modules"])


def core_modules() -> set[str]:
    folder = ROOT / "arbitrade_core"
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return names - {"__init__"}


def test_every_module_of_the_core_is_public_or_private() -> None:
    private = {name.removeprefix("arbitrade_core.") for name in forbidden("Plugins use the core's public modules")}
    assert not private & PUBLIC
    assert private | PUBLIC == core_modules()


def test_every_shipped_package_is_under_contract() -> None:
    assert project()["tool"]["importlinter"]["root_packages"] == sorted(package.name for package in packages())
    plugins = {package.name for package in packages()} - {"arbitrade_core"}
    assert plugins <= set(forbidden("The core imports no plugin and no web"))
    assert plugins == set(CONTRACTS["Plugins use the core's public modules"]["source_modules"])


def forbidden(contract: str) -> list[str]:
    modules: list[str] = CONTRACTS[contract]["forbidden_modules"]
    return modules


def test_what_is_imported_is_declared() -> None:
    """A package that is only there because another one brings it can be gone tomorrow."""
    declared = {name(requirement) for requirement in project()["project"]["dependencies"]}
    for extra in ("dask", "fast", "parquet", "search", "statarb", "testing"):
        declared |= {name(requirement) for requirement in project()["project"]["optional-dependencies"][extra]}
    own = {package.name for package in packages()}
    distributions = metadata.packages_distributions()
    undeclared = {
        module
        for package in packages()
        for path in package.rglob("*.py")
        for module in imported(path.read_text(encoding="utf-8"))
        if module not in sys.stdlib_module_names | own
        and not declared & {found.lower().replace("_", "-") for found in distributions.get(module, [module])}
    }
    assert undeclared == set()


def imported(source: str) -> set[str]:
    """Top-level names of what a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    pins = {pin.name: pin for pin in map(Requirement, project()["tool"]["uv"]["constraint-dependencies"])}
    wanted = list(project()["project"]["dependencies"])
    for extra in project()["project"]["optional-dependencies"].values():
        wanted += extra
    for requirement in map(Requirement, wanted):
        if requirement.name == "arbitrade":
            continue
        (pin,) = pins[requirement.name].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{requirement} is pinned to {pin.version}: `just pins`"


def name(requirement: str) -> str:
    return Requirement(requirement).name
