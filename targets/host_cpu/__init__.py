"""The machine that the compiler runs on."""

from __future__ import annotations

from targets.cpu.emit import emit, emit_virtual_machine
from targets.cpu.lower_kernels import lower_kernels
from targets.cpu.measured_roofline import measure_roofline
from targets.cpu.object_code import tvm_target
from targets.cpu.pipeline import phases, rules
from targets.cpu.probe import probe_toolchains
from targets.cpu.runner import run_library
from targets.cpu.toolchain import find_toolchain
from targets.host_cpu.boards import TARGETS

__all__ = [
    "TARGETS",
    "emit",
    "emit_virtual_machine",
    "find_toolchain",
    "lower_kernels",
    "measure_roofline",
    "phases",
    "probe_toolchains",
    "rules",
    "run_library",
    "tvm_target",
]
