"""The C compiler that builds a library for a target: the system's own, its cross compiler, Zig, or Android's NDK."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import edgecompile.runtime
from edgecompile.errors import OutputError, ToolchainError
from edgecompile.target import Target

Kind = Literal["gcc", "clang", "zig", "ndk"]

_GNU_TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf"}
_DEBIAN_PACKAGES = {
    "x86_64": "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
    "aarch64": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "armv7l": "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross",
}
# Zig picks the C library's version: 2.28 (Debian 10, 2018) is the oldest one that boards still run.
_ZIG_GLIBC = "2.28"
_ARMV7_FLAGS = ("-march=armv7-a", "-mfpu=neon-vfpv4", "-mfloat-abi=hard")
_ZIG_LINUX_FLAGS = {"x86_64": (), "aarch64": (), "armv7l": ("-mcpu=generic+v7a+neon+vfp4",)}
# +lse: otherwise Zig calls helpers that choose between two kinds of atomic instructions and that only the NDK has. The
# target demands Armv8.2, which includes the newer kind.
_ZIG_ANDROID_FLAGS = ("-mcpu=generic+lse", "-isystem", str(Path(edgecompile.runtime.__file__).parent / "bionic"))
ZIG_INSTALL = "pip install ziglang"
NDK_INSTALL = (
    "download the NDK from https://developer.android.com/ndk/downloads, unpack it, set ANDROID_NDK to its folder"
)
_SECONDS = 300  # the first link with Zig builds parts of its C library


@dataclass(frozen=True)
class Toolchain:
    """A working C compiler for one target.

    Attributes:
        command: the driver and the flags that select the target; compiles and links.
        kind: which options the driver understands.
        version: the first line of what it says about itself.
        ar: the archiver.
    """

    command: tuple[str, ...]
    kind: Kind
    version: str
    ar: tuple[str, ...]

    def compile(self, arguments: Sequence[str], folder: Path, step: str) -> None:
        """Run the driver in `folder`; `step` names what is made, for the message.

        Raises:
            ToolchainError: it failed; the message has the first line that it said.
            OutputError: the disk is full.
        """
        run_tool((*self.command, *arguments), folder, step)

    def archive(self, arguments: Sequence[str], folder: Path, step: str) -> None:
        """Run the archiver in `folder`; errors as for `compile`."""
        run_tool((*self.ar, *arguments), folder, step)


def run_tool(command: Sequence[str], folder: Path, step: str) -> None:
    """Run one tool in `folder` with the C locale, so that its messages are the same everywhere."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        result = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(f"{step} needs {command[0]} to end within {_SECONDS} s, and it did not") from error
    except OSError as error:
        raise ToolchainError(f"{step} needs {command[0]}, which cannot be started: {error.strerror}") from error
    if result.returncode == 0:
        return
    said = result.stderr.decode(errors="replace")
    if "No space left on device" in said:
        raise OutputError(f"{step} needs more disk space in {folder}: free some and try again")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = next(
        (line for line in lines if "error" in line or "undefined" in line), lines[0] if lines else "no message"
    )
    raise ToolchainError(f"{step} failed in {Path(command[0]).name} (status {result.returncode}): {reason}")


def find_toolchain(target: Target) -> Toolchain:
    """The first toolchain at hand that can build for `target`.

    Raises:
        ToolchainError: there is none; the message has the command that installs one.
    """
    return _find(target.architecture, target.os, target.llvm_triple, target.name)


@functools.cache
def _find(architecture: str, os_name: str, triple: str, name: str) -> Toolchain:
    for toolchain in _candidates(architecture, os_name, triple):
        if _has_c_library(toolchain):
            return toolchain
    if os_name == "android":
        how = f"{ZIG_INSTALL}   (or: {NDK_INSTALL})" if architecture == "aarch64" else NDK_INSTALL
    elif os_name != "linux":
        raise ToolchainError(
            f"target '{name}' needs a compiler for {os_name}, which this version cannot use on this system"
        )
    elif _is_native(architecture):
        how = f"apt-get install gcc libc6-dev   (or: {ZIG_INSTALL})"
    else:
        how = f"apt-get install {_DEBIAN_PACKAGES[architecture]}   (or: {ZIG_INSTALL})"
    raise ToolchainError(f"target '{name}' needs a C compiler for {triple}, and none was found: {how}")


def _candidates(architecture: str, os_name: str, triple: str) -> Iterator[Toolchain]:
    if os_name == "android":
        yield from _ndk(triple)
        if architecture == "aarch64":
            yield from _zig(re.sub(r"android([0-9]+)$", r"android.\1", triple), _ZIG_ANDROID_FLAGS)
        return
    if os_name != "linux":
        return
    flags = _ARMV7_FLAGS if architecture == "armv7l" else ()
    names = ("cc", "gcc", "clang") if _is_native(architecture) else (f"{_GNU_TRIPLES[architecture]}-gcc",)
    for name in names:
        yield from _system(name, flags)
    yield from _zig(f"{_GNU_TRIPLES[architecture]}.{_ZIG_GLIBC}", _ZIG_LINUX_FLAGS[architecture])


def _is_native(architecture: str) -> bool:
    return sys.platform == "linux" and platform.machine() == architecture


def _system(name: str, flags: tuple[str, ...]) -> Iterator[Toolchain]:
    path = shutil.which(name)
    version = first_line([path, "--version"]) if path else None
    if not path or not version:
        return
    kind: Kind = "clang" if "clang" in version else "gcc"
    ar = shutil.which(name.removesuffix("gcc") + "ar") if name.endswith("-gcc") else shutil.which("ar")
    if ar:
        yield Toolchain((path, *flags), kind, version, (ar,))


def _zig(triple: str, flags: tuple[str, ...]) -> Iterator[Toolchain]:
    zig = zig_command()
    version = first_line([*zig, "version"]) if zig else None
    if not version:
        return
    # Without -fno-sanitize, Zig makes undefined behaviour trap, which needs a runtime of its own.
    command = (*zig, "cc", "-target", triple, *flags, "-fno-sanitize=undefined")
    yield Toolchain(command, "zig", f"zig {version}", (*zig, "ar"))


def zig_command() -> tuple[str, ...]:
    """Zig as a program on the path or as the Python package `ziglang`; empty when there is neither."""
    path = shutil.which("zig")
    if path:
        return (path,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang")
    return ()


def _ndk(triple: str) -> Iterator[Toolchain]:
    clang = ndk_compiler(os.environ.get("ANDROID_NDK", ""))
    version = first_line([str(clang), "--version"]) if clang else None
    if clang and version:
        yield Toolchain((str(clang), f"--target={triple}"), "ndk", version, (str(clang.with_name("llvm-ar")),))


def ndk_compiler(root: str) -> Path | None:
    """The compiler inside an NDK's folder, whichever system the NDK was made for; None when it is not there."""
    found = sorted(Path(root).glob("toolchains/llvm/prebuilt/*/bin/clang")) if root else []
    return found[0] if found else None


def _has_c_library(toolchain: Toolchain) -> bool:
    """True when the compiler finds its headers: Debian installs gcc without them."""
    try:
        result = subprocess.run(
            [*toolchain.command, "-E", "-x", "c", "-"],
            input=b"#include <pthread.h>\n#include <sys/mman.h>\n",
            capture_output=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def first_line(command: Sequence[str]) -> str | None:
    """The first line that a program prints about itself; None when it cannot be run."""
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = result.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() if result.returncode == 0 and lines else None
