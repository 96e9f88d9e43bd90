"""Whether this machine can run code that was built for a target."""

from __future__ import annotations

import platform
import shutil
import struct
import sys
from pathlib import Path

from edgecompile.errors import WrongMachineError
from edgecompile.target import Target

_SAME_ARCHITECTURE = {"amd64": "x86_64", "arm64": "aarch64", "armv8l": "armv7l"}  # spellings of other systems
_POINTER_BYTES = {"x86_64": 8, "aarch64": 8, "armv7l": 4}


def host_architecture() -> str:
    """This machine's instruction set in `Target.architecture`'s spelling."""
    name = platform.machine().lower()
    return _SAME_ARCHITECTURE.get(name, name)


def host_features() -> frozenset[str]:
    """The ISA features that Linux reports; empty where there is no `/proc/cpuinfo`."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):  # x86, ARM
            return frozenset(value.split())
    return frozenset()


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
