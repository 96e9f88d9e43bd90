"""What a user gets: the wheel's content, the version, the entry points, the README's commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

PACKAGES = ("edgecompile", "targets", "schedules")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built from a copy of the sources."""
    copy = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(repository / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir"]
    subprocess.run([*command, str(copy / "dist"), str(copy)], check=True, timeout=300, capture_output=True)
    (path,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_has_every_module_and_every_runtime_source(wheel: set[str], repository: Path) -> None:
    modules = {str(path.relative_to(repository)) for name in PACKAGES for path in (repository / name).rglob("*.py")}
    runtime = repository / "edgecompile" / "runtime"
    sources = {str(path.relative_to(repository)) for path in runtime.rglob("*") if path.suffix in (".c", ".cc", ".h")}
    assert "edgecompile/runtime/include/edgecompile.h" in sources
    assert modules | sources <= wheel


def test_the_wheel_has_nothing_else(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert any(name.endswith("/licenses/LICENSE") for name in wheel)


def test_the_command_says_the_version_of_the_package() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "edgecompile.cli", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert metadata.version("edgecompile") in run.stdout


def test_targets_are_found_by_their_entry_points() -> None:
    found = {entry.name: entry.load() for entry in metadata.entry_points(group="edgecompile.targets")}
    assert set(found) == {"host_cpu", "arm_cpu"}
    assert all(module.TARGETS for module in found.values())


def test_exact_pins_are_what_is_installed() -> None:
    pins = [line.split(";")[0].strip() for line in metadata.requires("edgecompile") or [] if "==" in line.split(";")[0]]
    assert {pin.split("==")[0] for pin in pins} == {"apache-tvm", "apache-tvm-ffi", "torch"}
    for pin in pins:
        name, version = pin.split("==")
        assert metadata.version(name).split("+")[0] == version  # a local label such as +cpu names a build


def test_make_lists_every_target_that_the_readme_names(repository: Path) -> None:
    named = set(re.findall(r"^\s*(?:\$ )?make ([a-z-]+)", (repository / "README.md").read_text(), re.MULTILINE))
    run = subprocess.run(["make", "--silent"], cwd=repository, capture_output=True, text=True, check=True, timeout=60)
    listed = set(re.findall(r"^\s*make ([a-z-]+)", run.stdout, re.MULTILINE))
    assert {"demo", "test"} <= named <= listed


def test_ci_runs_the_readmes_test_command(repository: Path) -> None:
    lines = (repository / ".ci" / "run").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test"


def test_scripts_that_make_runs_exist_and_explain_themselves(repository: Path) -> None:
    scripts = re.findall(r"\bscripts/[a-z_]+\.py|-m scripts\.[a-z_]+", (repository / "Makefile").read_text())
    assert len(scripts) >= 3
    for script in scripts:
        run = subprocess.run(
            [sys.executable, *script.split(), "--help"],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0 and "usage" in run.stdout.lower(), script
