"""Programs of a target on this machine: directly, or in QEMU's user-mode emulator."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgecompile.errors import RuntimeFailureError, ToolchainError
from edgecompile.target import Target

# Where Debian's cross packages put the C library that an emulated program loads.
_SYSROOTS = {"aarch64": Path("/usr/aarch64-linux-gnu"), "armv7l": Path("/usr/arm-linux-gnueabihf")}
_PACKAGES = {"aarch64": "qemu-user libc6-arm64-cross", "armv7l": "qemu-user libc6-armhf-cross"}


def runs_natively(target: Target) -> bool:
    """True when this machine's operating system starts the target's programs."""
    return target.os == "linux" and sys.platform == "linux" and target.architecture == platform.machine()


def emulator_command(target: Target) -> tuple[str, ...]:
    """What to put before a program of `target` to run it here; empty when it runs natively.

    Raises:
        ToolchainError: the target cannot be emulated, or the emulator or its C library is missing.
    """
    if runs_natively(target):
        return ()
    if target.os != "linux":
        raise ToolchainError(
            f"programs of target '{target.name}' need a device with {target.os}: no emulator here has its C library"
        )
    if not target.emulator:
        raise ToolchainError(f"programs of target '{target.name}' need a machine of its own: it names no emulator")
    program = shutil.which(target.emulator[0])
    sysroot = _SYSROOTS[target.architecture]
    if program is None or not (sysroot / "lib").is_dir():
        missing = target.emulator[0] if program is None else f"the C library in {sysroot}"
        how = f"apt-get install {_PACKAGES[target.architecture]}"
        raise ToolchainError(f"running programs of target '{target.name}' needs {missing}, which is not here: {how}")
    return (program, *target.emulator[1:], "-L", str(sysroot))


def run_program(
    target: Target, arguments: Sequence[str], *, timeout_s: float, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of `target` here and wait for it; its exit status is in the result.

    Args:
        target: what the program was built for.
        arguments: the program and its arguments.
        timeout_s: seconds after which it is stopped; emulation is about ten times slower than a board.
        folder: where it runs; None for the current one.

    Raises:
        ToolchainError: no emulator.
        RuntimeFailureError: it did not end in time, could not be started, or died of a signal.
    """
    command = [*emulator_command(target), *arguments]
    program = Path(arguments[0]).name
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailureError(f"{program} for '{target.name}' did not end within {timeout_s:g} s") from error
    except OSError as error:
        raise RuntimeFailureError(f"{program} for '{target.name}' cannot be started: {error.strerror}") from error
    if result.returncode < 0:
        raise RuntimeFailureError(f"{program} for '{target.name}' died of signal {-result.returncode}")
    return result
