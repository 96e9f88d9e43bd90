"""QEMU with a plugin that counts instructions, around a machine that looks like the board."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgecompile.errors import InvalidInputError, RuntimeFailureError, ToolchainError
from edgecompile.target import Target, find_target
from targets.cpu.emulator import emulator_command
from targets.cpu.toolchain import find_toolchain

_PLUGIN = Path(__file__).with_name("count.c")
_SECONDS = 600.0
# What /proc/cpuinfo calls the cores (Arm's MIDR_EL1 part numbers).
_PARTS = {"cortex-a72": 0xD08, "cortex-a76": 0xD0B}
_PART_WITH_I8MM = 0xD47  # Cortex-A710, for code that is made for no core in particular

# Executed instructions by the file and the offset in bytes at which their code lies.
Executed = Counter[tuple[Path, int]]


class Emulator:
    """Runs programs of `target` and counts what they execute.

    QEMU shows a program the machine that it runs on itself. A program that asks /proc/cpuinfo for its core, as ONNX
    Runtime does at its start, finds files of the board's in the emulator's root instead.

    Args:
        target: an AArch64 target of Linux with a core that is known here.
        folder: where the plugin and the root may stay.

    Raises:
        InvalidInputError: another target.
        ToolchainError: no emulator, or no compiler for the plugin.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        if _part(target) is None:
            known = f"{', '.join(_PARTS)} and cores with i8mm"
            raise InvalidInputError(f"instructions are counted for {known}, not for target '{target.name}'")
        command = emulator_command(target)
        if not command:
            raise ToolchainError(f"counting needs QEMU, but programs of target '{target.name}' run here without it")
        self._program, *options, _, sysroot = command
        self._options = (*options, "-L", str(_make_root(folder / "root", Path(sysroot), target)))
        self._plugin = folder / "count.so"
        flags = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC")
        toolchain = find_toolchain(find_target("host"))
        toolchain.compile([*flags, str(_PLUGIN), "-o", self._plugin.name], folder, "the counting plugin")
        self._counts = folder / "counts.txt"

    def run(self, arguments: Sequence[str]) -> tuple[Executed, str]:
        """What a program executed from its start to its end, and what it printed.

        Raises:
            RuntimeFailureError: it failed, or took too long.
        """
        name = Path(arguments[0]).name
        command = [self._program, "-plugin", f"{self._plugin},out={self._counts}", *self._options, *arguments]
        self._counts.unlink(missing_ok=True)
        try:
            result = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeFailureError(f"{name} did not end within {_SECONDS:g} s in the emulator") from error
        if result.returncode != 0 or not self._counts.exists():
            said = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise RuntimeFailureError(f"{name} failed in the emulator (status {result.returncode}): {said}")
        return read_counts(self._counts.read_text()), result.stdout


def read_counts(text: str) -> Executed:
    """Lines `INSTRUCTIONS OFFSET FILE`, as count.c writes them; a place that has several lines has their sum."""
    executed: Executed = Counter()
    for line in text.splitlines():
        count, offset, file = line.split(" ", 2)
        executed[Path(file), int(offset)] += int(count)
    return executed


def _part(target: Target) -> int | None:
    """The number of the target's core; None for cores that are not known."""
    return _PARTS.get(target.llvm_cpu, _PART_WITH_I8MM if "i8mm" in target.cpu.features else None)


def _make_root(root: Path, sysroot: Path, target: Target) -> Path:
    """A root directory with the target's C library and the files that describe one core of its kind."""
    for folder in ("proc", "sys/devices/system/cpu"):
        (root / folder).mkdir(parents=True)
    (root / "lib").symlink_to(sysroot / "lib")
    for name in ("possible", "present"):
        (root / "sys/devices/system/cpu" / name).write_text("0\n")
    lines = (
        "processor\t: 0",
        f"Features\t: fp {' '.join(target.cpu.features)}",
        "CPU implementer\t: 0x41",
        "CPU architecture: 8",
        "CPU variant\t: 0x0",
        f"CPU part\t: 0x{_part(target):x}",
        "CPU revision\t: 0",
    )
    (root / "proc/cpuinfo").write_text("\n".join(lines) + "\n\n")
    return root
