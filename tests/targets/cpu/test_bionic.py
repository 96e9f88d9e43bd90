"""Libraries for Android with Zig alone: nothing here can load them, so what the phone's loader reads is checked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgecompile.errors import ToolchainError
from edgecompile.target import Target, find_target
from targets.cpu import toolchain
from targets.cpu.link import PUBLIC_FUNCTIONS, link_library
from targets.cpu.runner import build_runner
from targets.cpu.toolchain import find_toolchain
from tests.runtime import dense

pytestmark = pytest.mark.skipif(not toolchain.zig_command(), reason="needs Zig")


@pytest.fixture
def android(monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.delenv("ANDROID_NDK", raising=False)
    toolchain._find.cache_clear()
    return find_target("android-arm64")


def _readelf(option: str, library: Path) -> list[str]:
    return subprocess.run(["readelf", option, library], check=True, capture_output=True, text=True).stdout.splitlines()


def test_library_for_the_phones_loader(android: Target, tmp_path: Path) -> None:
    network = dense.describe("dense", android, embed=True)
    one, two = dense.build(network, tmp_path / "one"), dense.build(network, tmp_path / "two")
    assert one.library.read_bytes() == two.library.read_bytes()
    assert one.archive.read_bytes() == two.archive.read_bytes()
    assert str(tmp_path).encode() not in one.library.read_bytes()

    needed = [line.split("[")[1] for line in _readelf("-dW", one.library) if "NEEDED" in line]
    assert needed == ["libc.so]"]
    names = [line.split() for line in _readelf("--dyn-syms", one.library) if line.rstrip()[:1] == " "]
    defined = {words[7] for words in names if len(words) == 8 and words[6] not in ("UND", "Ndx")}
    assert defined == {*PUBLIC_FUNCTIONS, "dense_network"}
    loads = [line.split() for line in _readelf("-lW", one.library) if line.strip().startswith("LOAD")]
    assert loads
    assert all(int(words[-1], 16) >= 16384 for words in loads)  # pages of 16 KiB since Android 15


def test_functions_that_android_lacks_fail_here(android: Target, tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text("int pthread_cancel(long); int dense_run(void) { return pthread_cancel(0); }")
    find_toolchain(android).compile(["-c", "-fPIC", "bad.c", "-o", "bad.o"], tmp_path, "compiling bad.c")
    with pytest.raises(ToolchainError, match=r"undefined symbol: pthread_cancel"):
        link_library(dense.describe("dense", android), [tmp_path / "bad.o"], None, tmp_path)


def test_mathematics_come_from_libm(android: Target, tmp_path: Path) -> None:
    source = "double erf(double); float expf(float); int dense_run(float *x) { return (int)(erf(*x) + expf(*x)); }"
    (tmp_path / "maths.c").write_text(source)
    arguments = ["-c", "-fPIC", "-O1", "maths.c", "-o", "maths.o"]
    find_toolchain(android).compile(arguments, tmp_path, "compiling maths.c")
    link_library(dense.describe("dense", android), [tmp_path / "maths.o"], None, tmp_path)
    needed = [line for line in _readelf("-dW", tmp_path / "libdense.so") if "NEEDED" in line]
    assert sorted(line.split("[")[1] for line in needed) == ["libc.so]", "libm.so]"]


def test_programs_need_the_ndk(android: Target) -> None:
    with pytest.raises(ToolchainError, match=r"the runner for 'android-arm64' needs Android's NDK"):
        build_runner(android)
