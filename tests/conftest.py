"""Options, markers and probes that all tests share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# Set before NumPy, torch or ONNX Runtime start their threads: tests share few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every run: a change that breaks nothing must not fail by chance.
settings.register_profile("edgecompile", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("edgecompile")

BOARD_PROGRAMS = ("qemu-aarch64", "aarch64-linux-gnu-gcc")
BOARD_LIBRARY = Path("/usr/aarch64-linux-gnu/lib/libc.so.6")
BOARD_PACKAGES = "qemu-user g++-aarch64-linux-gnu libc6-dev-arm64-cross"


def missing_for_board() -> str:
    """Why tests on the emulated AArch64 board cannot run here; empty when they can. Never raises."""
    lacking = [name for name in BOARD_PROGRAMS if shutil.which(name) is None]
    if not BOARD_LIBRARY.exists():
        lacking.append(str(BOARD_LIBRARY))
    return f"needs {', '.join(lacking)}: apt-get install {BOARD_PACKAGES}" if lacking else ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {"board": missing_for_board(), "slow": "" if config.getoption("--slow") else "slow: run with --slow"}
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return Path(__file__).resolve().parent.parent
