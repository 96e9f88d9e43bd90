"""ARM application processors: boards and phones."""

from __future__ import annotations

from targets.arm_cpu.boards import TARGETS
from targets.cpu.probe import probe_toolchains
from targets.cpu.runner import run_library
from targets.cpu.toolchain import find_toolchain

__all__ = ["TARGETS", "find_toolchain", "probe_toolchains", "run_library"]
