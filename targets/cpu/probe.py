"""What `edgecompile doctor` reports about compilers, emulators and packages."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from typing import NamedTuple

from targets.cpu.toolchain import NDK_INSTALL, ZIG_INSTALL, first_line, ndk_compiler, zig_command


class Probe(NamedTuple):
    """One line of the report: what it is, whether it is here, its version or "", and how to get it."""

    name: str
    found: bool
    version: str
    how_to_install: str


_PROGRAMS = (
    ("cc", "apt-get install gcc libc6-dev"),
    ("aarch64-linux-gnu-gcc", "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    ("arm-linux-gnueabihf-gcc", "apt-get install gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
    ("qemu-aarch64", "apt-get install qemu-user libc6-arm64-cross"),
    ("qemu-arm", "apt-get install qemu-user libc6-armhf-cross"),
)
_PACKAGES = (
    ("apache-tvm", "pip install apache-tvm==0.27.0.post1"),
    ("apache-tvm-ffi", "pip install apache-tvm-ffi==0.1.14.post1"),
    ("torch", "pip install torch==2.13.0"),
    ("onnx", "pip install 'onnx>=1.23'"),
    ("onnxruntime", "pip install onnxruntime"),
)


def probe_toolchains() -> list[Probe]:
    """Compilers, emulators and packages, found or not; never raises, and imports none of them."""
    programs = [_program(name, how) for name, how in _PROGRAMS]
    return [*programs, _zig(), _ndk(), *(_package(name, how) for name, how in _PACKAGES)]


def _program(name: str, how_to_install: str) -> Probe:
    path = shutil.which(name)
    version = first_line([path, "--version"]) if path else None
    return Probe(name, version is not None, version or "", how_to_install)


def _zig() -> Probe:
    command = zig_command()
    version = first_line([*command, "version"]) if command else None
    return Probe("zig", version is not None, version or "", ZIG_INSTALL)


def _ndk() -> Probe:
    clang = ndk_compiler(os.environ.get("ANDROID_NDK", ""))
    version = first_line([str(clang), "--version"]) if clang else None
    return Probe("Android NDK", version is not None, version or "", NDK_INSTALL)


def _package(name: str, how_to_install: str) -> Probe:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Probe(name, False, "", how_to_install)
    return Probe(name, True, version, how_to_install)
