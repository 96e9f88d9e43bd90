"""The machine that the compiler runs on."""

from __future__ import annotations

from targets.cpu.probe import probe_toolchains
from targets.cpu.runner import run_library
from targets.cpu.toolchain import find_toolchain
from targets.host_cpu.boards import TARGETS

__all__ = ["TARGETS", "find_toolchain", "probe_toolchains", "run_library"]
