"""The linked library: what it shows, what it needs, and that its bytes depend on nothing but its parts."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgecompile.errors import CompilerBugError, OutputError, ToolchainError, UnsupportedModelError
from edgecompile.target import Target, find_target
from targets.cpu import link, runtime_objects, toolchain
from targets.cpu.elf_symbols import defined_symbols, undefined_symbols
from targets.cpu.link import link_library
from targets.cpu.toolchain import Toolchain, find_toolchain
from tests.runtime import dense
from tests.targets.boards import ARMV7, RPI4

PRODUCTS = ("libdense.so", "libdense.a", "include/edgecompile.h", "include/dense.h")
CROSS = [RPI4, ARMV7]


def _say(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _dynamic_symbols(library: Path) -> tuple[set[str], set[str]]:
    """Names that a shared library defines and needs."""
    defined, undefined = set(), set()
    for line in _say("readelf", "--dyn-syms", "-W", library).splitlines():
        words = line.split()
        if len(words) >= 8 and words[0].rstrip(":").isdigit() and words[4] != "LOCAL":
            (undefined if words[6] == "UND" else defined).add(words[7].partition("@")[0])
    return defined, undefined


@pytest.mark.parametrize("target", ["host", *CROSS])
@pytest.mark.parametrize("embed", [False, True])
def test_library_shows_only_its_interface(tmp_path: Path, target: str, embed: bool) -> None:
    built = dense.build(dense.describe("dense", find_target(target), embed=embed), tmp_path)
    defined, undefined = _dynamic_symbols(built.library)
    header = (tmp_path / "include/edgecompile.h").read_text()
    declared = {name for name in link.PUBLIC_FUNCTIONS if f" {name}(" in header or f"*{name}(" in header}
    assert declared == set(link.PUBLIC_FUNCTIONS)
    assert defined == {*declared, "dense_network"}
    # Every one is of libc, of the loader (__tls_get_addr) or of the compiler's own ARM helpers inside libc.
    assert not {name for name in undefined if name.startswith(("TVM", "ec_", "dense"))}
    needed = {
        line.split("[")[1].rstrip("]")
        for line in _say("readelf", "-dW", built.library).splitlines()
        if "NEEDED" in line
    }
    assert {name.partition(".so")[0] for name in needed} <= {
        "libc",
        "libm",
        "libpthread",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
        "ld-linux-armhf",
    }


def test_library_is_hardened(tmp_path: Path, host: Target) -> None:
    built = dense.build(dense.describe("dense", host), tmp_path)
    dynamic, segments = _say("readelf", "-dW", built.library), _say("readelf", "-lW", built.library)
    assert "BIND_NOW" in dynamic
    assert "GNU_RELRO" in segments
    (stack,) = [line for line in segments.splitlines() if "GNU_STACK" in line]
    assert "RWE" not in stack
    assert "soname: [libdense.so]" in dynamic
    assert "TEXTREL" not in dynamic


def test_embedded_weights_are_read_only_and_aligned(tmp_path: Path, host: Target) -> None:
    built = dense.build(dense.describe("dense", host, embed=True), tmp_path)
    blob = built.weights.read_bytes()
    content = built.library.read_bytes()
    offset = content.index(blob)
    assert offset % 64 == 0
    for line in _say("readelf", "-SW", built.library).splitlines():
        words = line.replace("[ ", "[").split()
        if len(words) > 5 and words[1] == ".rodata":
            assert int(words[4], 16) <= offset < int(words[4], 16) + int(words[5], 16)
            assert "W" not in words[7]
            break
    else:
        pytest.fail("no .rodata")


@pytest.mark.parametrize("target", ["host", *CROSS])
def test_same_bytes_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    network = dense.describe("dense", find_target(target), embed=True)
    first = dense.build(network, tmp_path / "first")
    monkeypatch.setenv("EDGECOMPILE_CACHE", str(tmp_path / "another cache"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    second = dense.build(network, tmp_path / "a second, longer folder")
    for product in PRODUCTS:
        assert (first.folder / product).read_bytes() == (second.folder / product).read_bytes(), product
    assert str(tmp_path).encode() not in first.archive.read_bytes() + first.library.read_bytes()
    assert sorted(path.name for path in first.folder.iterdir()) == [
        "include",
        "kernels.o",
        "libdense.a",
        "libdense.so",
        "weights.bin",
    ]


@pytest.mark.parametrize("target", ["host", *CROSS])
def test_two_archives_in_one_program(tmp_path: Path, target: str) -> None:
    """ "net" with a kernel "b_c" and "net_b" with a kernel "c" would clash without names of their own."""
    from targets.cpu.emulator import run_program

    found = find_target(target)
    one = dense.build(dense.describe("net", found, seed=1, embed=True), tmp_path / "one", seed=1)
    two = dense.build(dense.describe("net_b", found, seed=2, embed=True), tmp_path / "two", seed=2)
    main = tmp_path / "main.c"
    main.write_text("""
#include <stdio.h>
#include "net.h"
#include "net_b.h"
/* An app that also links TVM's runtime has this symbol already. */
int TVMBackendParallelLaunch(void) { return 99; }
static int infer(const ec_network *network) {
  float x[net_INPUT_0_BYTES / 4] = {1}, y[net_OUTPUT_0_BYTES / 4];
  const void *inputs[] = {x};
  void *outputs[] = {y};
  ec_options options = EC_OPTIONS_DEFAULT;
  options.threads = 2;
  ec_instance *instance;
  if (ec_open(network, &options, &instance) != EC_OK || ec_run(instance, inputs, outputs) != EC_OK) {
    return fprintf(stderr, "%s\\n", ec_last_error()), 1;
  }
  ec_close(instance);
  for (int i = 0; i < 3; i++) printf("%.3f ", (double)y[i]);
  return 0;
}
int main(void) { return infer(net_network()) || infer(net_b_network()) || TVMBackendParallelLaunch() != 99; }
""")
    flags = [f"-I{one.folder}/include", f"-I{two.folder}/include", str(main), str(one.archive), str(two.archive)]
    find_toolchain(found).compile([*flags, "-lm", "-pthread", "-o", "program"], tmp_path, "linking two archives")
    result = run_program(found, [str(tmp_path / "program")], timeout_s=60)
    assert result.returncode == 0, result.stderr
    import numpy as np

    x = np.eye(1, dense.K, dtype="float32")
    wanted = [f"{value:.3f}" for seed in (1, 2) for value in dense.expected(x, seed)[0, :3]]
    assert result.stdout.split() == wanted


def test_archive_names_carry_the_network(tmp_path: Path, host: Target) -> None:
    built = dense.build(dense.describe("dense", host), tmp_path)
    _say("ar", "x", "--output", str(tmp_path), built.archive)
    kernels = (tmp_path / "kernels_0.o").read_bytes()
    assert defined_symbols(kernels) == {
        "ec_internal_5dense_dense_run",
        "ec_internal_5dense___TVMBackendParallelLaunch",
    }
    needs = {name for name in undefined_symbols(kernels) if name != "memset"}
    assert needs <= {
        "ec_internal_5dense_TVMBackendParallelLaunch",
        "ec_internal_5dense_ec_internal_step_done",
        "_GLOBAL_OFFSET_TABLE_",
    }


@pytest.mark.parametrize("name", ["network", "weights", "edgecompile_"])
def test_names_of_the_runtimes_own_headers(tmp_path: Path, host: Target, name: str) -> None:
    built = dense.build(dense.describe(name, host), tmp_path)
    defined, undefined = _dynamic_symbols(built.library)
    assert f"{name}_network" in defined - undefined


def test_runtime_comes_from_the_cache(tmp_path: Path, host: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("EDGECOMPILE_CACHE", str(cache))
    steps: list[str] = []
    original = Toolchain.compile

    def watched(self: Toolchain, arguments: Sequence[str], folder: Path, step: str) -> None:
        steps.append(step)
        original(self, arguments, folder, step)

    monkeypatch.setattr(Toolchain, "compile", watched)
    network = dense.describe("dense", host)
    first = dense.build(network, tmp_path / "first")
    assert sum("the runtime's" in step for step in steps) == len(list(runtime_objects.SOURCE_FOLDER.glob("*.c")))
    steps.clear()
    dense.build(network, tmp_path / "second")
    assert not any("the runtime's" in step for step in steps)
    for damage in ("changed", "removed"):
        (instance,) = cache.rglob("instance.o")
        if damage == "changed":
            instance.write_bytes(instance.read_bytes()[:-1] + b"?")
        else:
            instance.unlink()
        steps.clear()
        again = dense.build(network, tmp_path / damage)
        assert any("the runtime's" in step for step in steps)
        assert again.library.read_bytes() == first.library.read_bytes()


def test_link_is_quick(tmp_path: Path, host: Target) -> None:
    network = dense.describe("dense", host)
    built = dense.build(network, tmp_path)
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        link_library(network, [tmp_path / "kernels.o"], built.weights, tmp_path)
        durations.append(time.perf_counter() - start)
    # 0.1 s on an idle machine; the least of five, and room for the neighbours on a shared one.
    assert min(durations) < 0.6


def test_wrong_parts_are_refused(tmp_path: Path, host: Target) -> None:
    network = dense.describe("dense", host, embed=True)
    kernels = dense.compile_kernels(network, tmp_path)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"other")
    with pytest.raises(CompilerBugError, match="not those that its table names"):
        link_library(network, [kernels], weights, tmp_path)
    with pytest.raises(CompilerBugError, match="must define missing_run"):
        link_library(dataclasses.replace(network, run_symbol="missing_run"), [kernels], weights, tmp_path)
    with pytest.raises(CompilerBugError, match="ELF"):
        link_library(network, [weights], weights, tmp_path)
    huge = dataclasses.replace(network, weights_bytes=2**31)
    with pytest.raises(UnsupportedModelError, match="keep them in a file"):
        link_library(huge, [kernels], weights, tmp_path)
    with pytest.raises(OutputError, match="cannot write the library"):
        link_library(network, [kernels], weights, tmp_path / "nowhere")
    assert not list(tmp_path.glob(".link-*"))


def test_unknown_call_of_the_kernels_fails_the_link(tmp_path: Path, host: Target) -> None:
    source = tmp_path / "bad.c"
    source.write_text("int nowhere(void); int dense_run(void) { return nowhere(); }")
    find_toolchain(host).compile(["-c", "-fPIC", "bad.c", "-o", "bad.o"], tmp_path, "compiling bad.c")
    with pytest.raises(ToolchainError, match=r"linking libdense.so failed in .*undefined.*nowhere"):
        link_library(dense.describe("dense", host), [tmp_path / "bad.o"], None, tmp_path)
    assert not (tmp_path / "libdense.so").exists()


@pytest.mark.skipif(not toolchain.zig_command(), reason="needs Zig")
@pytest.mark.parametrize("target", ["host", *CROSS])
def test_zig_links_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """Where there is no system compiler for the target; `zig` alone stays reachable."""
    import numpy as np

    from targets.cpu import runner

    found = find_target(target)
    (zig,) = [one for one in toolchain._candidates(found.architecture, "linux", "") if one.kind == "zig"]
    for module in (link, runner, dense):
        monkeypatch.setattr(module, "find_toolchain", lambda _: zig)
    built = dense.build(dense.describe("dense", found, embed=True), tmp_path / "one")
    again = dense.build(dense.describe("dense", found, embed=True), tmp_path / "two")
    assert built.library.read_bytes() == again.library.read_bytes()
    assert built.archive.read_bytes() == again.archive.read_bytes()
    assert "dense_network" in _dynamic_symbols(built.library)[0]
    x = np.random.default_rng(3).standard_normal((1, dense.K)).astype("float32")
    result = runner.run_library(found, built.library, "dense", x.tobytes(), threads=2)
    y = np.frombuffer(result.outputs, "float32")
    np.testing.assert_allclose(y, dense.expected(x, 0)[0], rtol=1e-5, atol=1e-4)


def test_headers_are_copied_verbatim(tmp_path: Path, host: Target) -> None:
    dense.build(dense.describe("dense", host), tmp_path)
    original = runtime_objects.INCLUDE_FOLDER / "edgecompile.h"
    copy = tmp_path / "include/edgecompile.h"
    assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(original.read_bytes()).digest()
    assert shutil.which("cc")
    for language, standard in (("c", "c99"), ("c", "c11"), ("c++", "c++11")):
        command = [
            "cc",
            "-x",
            language,
            f"-std={standard}",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-fsyntax-only",
        ]
        subprocess.run([*command, f"-I{tmp_path}/include", tmp_path / "include/dense.h"], check=True)
