"""The set-up script on machines that lack things: it says what to do and goes on, or stops with one clear line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(repository / "scripts" / "setup.sh", tmp_path / "scripts" / "setup.sh")
    return tmp_path


def _programs(folder: Path, **scripts: str) -> str:
    """A PATH with only these programs: a few real ones, and shell scripts in place of others."""
    folder.mkdir()
    for name in ("bash", "dirname", "env", "cat"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, body in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)
    return str(folder)


def _setup(checkout: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "scripts/setup.sh"],
        cwd=checkout,
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_root_it_prints_the_command_and_goes_on(checkout: Path) -> None:
    """Python is missing too, so that the next step is where it stops."""
    run = _setup(checkout, _programs(checkout / "bin", id="echo 1000", apt_get="exit 99"))
    assert "sudo apt-get update && sudo apt-get install -y" in run.stderr
    assert "g++-aarch64-linux-gnu" in run.stderr and "qemu-user" in run.stderr
    assert run.returncode == 1
    assert "Python 3.10 or newer is needed" in run.stderr.splitlines()[-1]


def test_as_root_it_updates_the_package_lists_only_after_a_failed_install(checkout: Path) -> None:
    log = checkout / "log"
    fails_once = f'echo "$1" >> {log}; [ "$1" = update ] || [ -e {log}.2 ] || {{ : > {log}.2; exit 100; }}'
    _setup(checkout, _programs(checkout / "bin", id="echo 0", apt_get=fails_once))
    assert log.read_text().split() == ["install", "update", "install"]


def test_elsewhere_than_on_debian_it_names_what_is_needed(checkout: Path) -> None:
    run = _setup(checkout, _programs(checkout / "bin", id="echo 0"))
    assert "this is not Debian" in run.stderr and "qemu-user" in run.stderr


def test_an_old_python_is_refused(checkout: Path) -> None:
    old = 'case "$2" in *version_info*) exit 1;; esac'
    run = _setup(checkout, _programs(checkout / "bin", id="echo 0", apt_get="", python3=old))
    assert run.returncode == 1
    assert "Python 3.10 or newer is needed" in run.stderr


def test_make_sets_up_once_and_again_when_the_pins_change(checkout: Path, repository: Path) -> None:
    shutil.copy(repository / "Makefile", checkout / "Makefile")
    (checkout / "pyproject.toml").write_text("first pins")
    (checkout / "scripts" / "setup.sh").write_text('#!/bin/bash\nmkdir -p "$1"; echo run >> log\n')

    def runs() -> int:
        subprocess.run(["make", "--silent", "venv"], cwd=checkout, check=True, timeout=60, capture_output=True)
        return (checkout / "log").read_text().count("run")

    assert [runs(), runs()] == [1, 1]
    (checkout / "pyproject.toml").write_text("other pins")
    assert [runs(), runs()] == [2, 2]
    assert len(list((checkout / ".venv").glob(".installed-*"))) == 1


def test_make_bench_adds_its_extra_once(checkout: Path, repository: Path) -> None:
    shutil.copy(repository / "Makefile", checkout / "Makefile")
    (checkout / "pyproject.toml").write_text("pins")
    script = '#!/bin/bash\nmkdir -p "$1/bin"; ln -sf /bin/true "$1/bin/python"; echo "$*" >> log\n'
    (checkout / "scripts" / "setup.sh").write_text(script)
    for _ in range(2):
        subprocess.run(["make", "--silent", "bench"], cwd=checkout, check=True, timeout=60, capture_output=True)
    assert (checkout / "log").read_text().splitlines() == [".venv", ".venv bench"]
