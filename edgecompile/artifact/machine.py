"""Whether this machine can run code that was built for a target."""

from __future__ import annotations

import platform
import re
import shutil
import struct
import sys
from pathlib import Path

from edgecompile.errors import WrongMachineError
from edgecompile.target import Target

_SAME_ARCHITECTURE = {"amd64": "x86_64", "arm64": "aarch64", "armv8l": "armv7l"}  # spellings of other systems
# The lines of /proc/cpuinfo that tell one kind of core from another, on x86 and on ARM.
_CPU_FIELDS = (
    *("vendor_id", "cpu family", "model", "model name", "stepping"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision"),
)
_POINTER_BYTES = {"x86_64": 8, "aarch64": 8, "armv7l": 4}


def host_architecture() -> str:
    """This machine's instruction set in `Target.architecture`'s spelling."""
    name = platform.machine().lower()
    return _SAME_ARCHITECTURE.get(name, name)


def host_features() -> frozenset[str]:
    """The ISA features that Linux reports; empty where there is no `/proc/cpuinfo`."""
    for line in _cpuinfo().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):  # x86, ARM
            return frozenset(value.split())
    return frozenset()


def host_identity() -> str:
    """This machine's kinds of cores, as `cpu_identity` names them; "" where there is no `/proc/cpuinfo`."""
    return cpu_identity(_cpuinfo())


def cpu_identity(cpuinfo: str) -> str:
    """The lines of `/proc/cpuinfo` that name the kinds of cores, each line once.

    What changes while a machine runs, such as the frequency, is not among them.
    """
    lines = (re.split(r"\s*:\s*", line, maxsplit=1) for line in cpuinfo.splitlines() if ":" in line)
    return "\n".join(
        sorted({f"{name.strip()}: {value.strip()}" for name, value in lines if name.strip() in _CPU_FIELDS})
    )


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def check_machine(target: Target) -> None:
    """Refuse code that this machine cannot run.

    Raises:
        WrongMachineError: another operating system or instruction set, or features that this CPU lacks.
    """
    hint = _emulation_hint(target)
    system = "android" if hasattr(sys, "getandroidapilevel") else sys.platform
    if target.os != system:
        raise WrongMachineError(f"built for {target.name} ({target.os}), this machine runs {system}{hint}")
    here = host_architecture()
    if target.architecture != here:
        raise WrongMachineError(f"built for {target.name} ({target.architecture}), this machine is {here}{hint}")
    if struct.calcsize("P") != _POINTER_BYTES[target.architecture]:
        raise WrongMachineError(
            f"built for {target.architecture}, this Python is of another word size: use a matching one"
        )
    missing = sorted(set(target.cpu.features) - host_features())
    if missing:
        raise WrongMachineError(
            f"built for {target.name}, this CPU lacks {', '.join(missing)}: compile for 'host'{hint}"
        )


def runs_here(target: Target) -> bool:
    """True when `check_machine` has nothing against it."""
    try:
        check_machine(target)
    except WrongMachineError:
        return False
    return True


def _emulation_hint(target: Target) -> str:
    if not target.emulator or shutil.which(target.emulator[0]) is None:
        return ""
    return f"; {target.emulator[0]} can run it: emulate=True, or --emulate"
