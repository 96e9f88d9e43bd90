"""Which compiler is taken, and what is said when there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecompile.errors import OutputError, ToolchainError
from edgecompile.target import find_target
from targets.cpu import toolchain
from targets.cpu.probe import probe_toolchains
from targets.cpu.toolchain import Toolchain, find_toolchain, run_tool


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What was found before must not answer for another PATH."""
    toolchain._find.cache_clear()
    yield
    toolchain._find.cache_clear()


def _program(folder: Path, name: str, version: str = "gcc 99", status: int = 0) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{version}'\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An x86-64 machine with an empty PATH and no Zig."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("ANDROID_NDK", raising=False)
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(toolchain.platform, "machine", lambda: "x86_64")
    return folder


@pytest.mark.parametrize(
    ("target", "needle"),
    [
        ("rpi4", "aarch64-linux-gnu.*apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross.*pip install ziglang"),
        ("armv7-neon", "apt-get install gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
        ("android-arm64", "ANDROID_NDK"),
        ("rpi4,os=ios", "cannot use on this system"),
    ],
)
def test_none_says_how_to_install(path: Path, target: str, needle: str) -> None:
    with pytest.raises(ToolchainError, match=needle):
        find_toolchain(find_target(target))


def test_system_cross_compiler_comes_first(path: Path) -> None:
    gcc = _program(path, "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc (Debian) 12")
    ar = _program(path, "aarch64-linux-gnu-ar")
    found = find_toolchain(find_target("rpi4"))
    assert found == Toolchain((str(gcc),), "gcc", "aarch64-linux-gnu-gcc (Debian) 12", (str(ar),))


def test_compiler_without_headers_is_passed_over(path: Path) -> None:
    _program(path, "cc", status=1)
    clang = path / "clang"
    clang.write_text("#!/bin/sh\necho 'Debian clang version 14'\n")
    clang.chmod(0o755)
    _program(path, "ar")
    found = find_toolchain(find_target("host"))
    assert (found.command, found.kind) == ((str(clang),), "clang")


def test_zig_where_the_system_has_none(path: Path) -> None:
    _program(path, "zig", "0.99.0")
    found = find_toolchain(find_target("armv7-neon"))
    assert found.kind == "zig"
    assert found.version == "zig 0.99.0"
    assert found.command[1:4] == ("cc", "-target", "arm-linux-gnueabihf.2.28")
    assert found.ar == (str(path / "zig"), "ar")


def test_ndk_by_its_folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = _program(tmp_path / "ndk", "toolchains/llvm/prebuilt/linux-x86_64/bin/clang", "Android clang version 18")
    monkeypatch.setenv("ANDROID_NDK", str(tmp_path / "ndk"))
    found = find_toolchain(find_target("android-arm64"))
    assert found.command == (str(clang), "--target=aarch64-linux-android24")
    assert (found.kind, found.ar) == ("ndk", (str(clang.with_name("llvm-ar")),))


def test_failures_of_tools(tmp_path: Path) -> None:
    def script(text: str) -> list[str]:
        return ["/bin/sh", "-c", text]

    with pytest.raises(ToolchainError, match=r"^linking x failed in sh \(status 3\): b: error: no$"):
        run_tool(script("echo a >&2; echo 'b: error: no' >&2; exit 3"), tmp_path, "linking x")
    with pytest.raises(ToolchainError, match="no message"):
        run_tool(script("exit 1"), tmp_path, "linking x")
    with pytest.raises(OutputError, match="needs more disk space"):
        run_tool(script("echo 'ld: No space left on device' >&2; exit 1"), tmp_path, "linking x")
    with pytest.raises(ToolchainError, match="cannot be started: No such file"):
        run_tool(["/no/such/tool"], tmp_path, "linking x")
    run_tool(script("true"), tmp_path, "linking x")


def test_probe_answers_with_nothing_installed(path: Path) -> None:
    probes = probe_toolchains()
    assert {"cc", "aarch64-linux-gnu-gcc", "zig", "Android NDK", "qemu-aarch64", "apache-tvm", "torch"} <= {
        p.name for p in probes
    }
    programs = [probe for probe in probes if "apt-get" in probe.how_to_install]
    assert programs
    assert not any(probe.found for probe in programs)
    assert all(probe.how_to_install and (probe.found == bool(probe.version)) for probe in probes)


def test_probe_finds_what_is_here() -> None:
    found = {probe.name: probe for probe in probe_toolchains()}
    assert found["apache-tvm"].version.startswith("0.27")
    assert found["cc"].found == any(Path(folder, "cc").exists() for folder in os.environ["PATH"].split(":"))
