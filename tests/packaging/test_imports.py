"""Imports point one way, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

# Each of these costs a tenth of a second to five seconds.
HEAVY = ("tvm", "torch", "onnx", "onnxruntime", "numpy", "scipy", "sklearn", "pydantic", "yaml")
FORBIDDEN = {"edgecompile": ("targets", "schedules", "tests"), "schedules": ("targets", "tests"), "targets": ("tests",)}


def _imported(source: Path) -> Iterator[str]:
    """The top-level packages that a file imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(source.read_text(), str(source))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_no_import_points_the_wrong_way(package: str, repository: Path) -> None:
    sources = sorted((repository / package).rglob("*.py"))
    assert sources
    wrong = [
        f"{source.relative_to(repository)} imports {name}"
        for source in sources
        for name in _imported(source)
        if name in FORBIDDEN[package]
    ]
    assert not wrong


def test_every_package_imported_is_declared(repository: Path) -> None:
    """A package that only happens to be installed with another may be gone after the next upgrade."""
    required = [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in metadata.requires("edgecompile") or []]
    declared = {re.sub(r"[-_.]+", "-", name).lower() for name in required}
    distributions = metadata.packages_distributions()
    missing = {
        f"{source.relative_to(repository)} imports {name}"
        for package in FORBIDDEN
        for source in (repository / package).rglob("*.py")
        for name in _imported(source)
        if name not in sys.stdlib_module_names
        and name not in FORBIDDEN
        # An optional package that is not installed here has the name of its distribution.
        and not {re.sub(r"[-_.]+", "-", found).lower() for found in distributions.get(name, [name])} & declared
    }
    assert not missing


@pytest.mark.parametrize("package", ["edgecompile", "schedules"])
def test_the_linter_knows_the_rule(package: str, repository: Path, tmp_path: Path) -> None:
    """The rules in the packages' `ruff.toml` name the same packages as this file."""
    rules = (repository / package / "ruff.toml").read_text()
    banned = [name for name in FORBIDDEN[package] if name != "tests"]
    assert [f'"{name}".msg' in rules for name in banned] == [True] * len(banned)


@pytest.mark.parametrize("module", ["edgecompile", "edgecompile.errors", "edgecompile.settings", "edgecompile.cli"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}} & {set(HEAVY)}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == []


def test_every_module_imports(repository: Path) -> None:
    """In one process, since tvm takes seconds to load."""
    modules = [
        ".".join(source.relative_to(repository).with_suffix("").parts).removesuffix(".__init__")
        for package in FORBIDDEN
        for source in sorted((repository / package).rglob("*.py"))
        if source.stem != "__main__"
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)"
    run = subprocess.run(
        [sys.executable, "-c", code, *modules], capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr
