"""How fast the cores can multiply and add: the number that a share of the peak is a share of."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgecompile.errors import ToolchainError
from edgecompile.target import find_target
from targets.cpu.toolchain import find_toolchain

_SOURCE = Path(__file__).with_name("peak.c")


@dataclass(frozen=True)
class Peak:
    """float32 multiply-adds of all cores together.

    Attributes:
        gflops: 1e9 operations per second, a multiplication and an addition counted as two; None where not measured.
        vectors: the instruction set, or why it was not measured.
    """

    gflops: float | None
    vectors: str


def measure_peak(cores: tuple[int, ...]) -> Peak:
    """Run `peak.c` on each of the cores at the same time; each tells the best of many tries, and those are added."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = _build(Path(folder))
        except ToolchainError as error:
            return Peak(None, str(error))
        running = [_start(program, core) for core in cores]
        said = [process.communicate()[0].split(maxsplit=1) for process in running]
    return Peak(sum(float(rate) for rate, _ in said), said[0][1].strip())


def _build(folder: Path) -> Path:
    toolchain = find_toolchain(find_target("host"))
    native = "-mcpu=native" if platform.machine() == "aarch64" or toolchain.kind == "zig" else "-march=native"
    toolchain.compile(["-O3", "-ffp-contract=fast", native, str(_SOURCE), "-o", "peak"], folder, "peak.c")
    return folder / "peak"


def _start(program: Path, core: int) -> subprocess.Popen[str]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # the program inherits it
    try:
        return subprocess.Popen([str(program)], stdout=subprocess.PIPE, text=True)
    finally:
        os.sched_setaffinity(0, before)
